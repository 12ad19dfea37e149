"""Dropout (Srivastava et al. 2014), inverted: what is kept is scaled up, so that expected values stay.

Locked (variational) dropout (Gal & Ghahramani 2016): one mask for each row, the same at all places of a window.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def dropout(x_TBE: Tensor, p: float, training: bool, locked: bool = False) -> Tensor:
    """`x` with each element zero by the chance `p`, otherwise divided by 1 - p; `x` itself where not training.

    torch's own kernel on the CPU takes ten nanoseconds an element for its mask, a tenth of a training step; uniform
    numbers take two.
    """
    if not training or p == 0:
        return x_TBE
    shape = (1, *x_TBE.shape[1:]) if locked else x_TBE.shape
    if x_TBE.device.type != "cpu":
        return x_TBE * F.dropout(x_TBE.new_ones(shape), p) if locked else F.dropout(x_TBE, p)
    kept = torch.rand(shape, dtype=torch.float32) >= p
    return x_TBE * (kept / (1 - p)).to(x_TBE.dtype)
