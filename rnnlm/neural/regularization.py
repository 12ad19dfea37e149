"""Dropout, and penalties on activations.

Dropout (Srivastava et al. 2014) is inverted: what is kept is scaled up, so that expected values stay.

Locked (variational) dropout (Gal & Ghahramani 2016): one mask for each row, the same at all places of a window.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from rnnlm.neural.settings import NetworkSettings, RecurrentModelSettings


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


def activation_penalty(settings: NetworkSettings, y_TBE: Tensor, dropped_TBE: Tensor) -> Tensor | float:
    """Activation and temporal activation regularization (Merity, McCann & Socher 2017; Merity et al. 2018, section 4.6):
    alpha mean(dropped^2) + beta mean((y_t+1 - y_t)^2), AR on what dropout left, TAR on what there was before; 0.0 where
    neither is asked for."""
    if not isinstance(settings, RecurrentModelSettings):
        return 0.0
    penalty: Tensor | float = 0.0
    if settings.activation_penalty:
        penalty = penalty + settings.activation_penalty * _mean_square(dropped_TBE)
    if settings.temporal_penalty and len(y_TBE) > 1:
        penalty = penalty + settings.temporal_penalty * _mean_square(y_TBE.diff(dim=0))
    return penalty


def _mean_square(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32)).pow(2).mean()
