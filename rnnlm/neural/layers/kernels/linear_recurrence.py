"""c_t = f_t * c_t-1 + b_t, element by element: the one thing that waits for the step before in a quasi-recurrent layer
(Bradbury, Merity, Xiong & Socher 2017).
"""

import torch
from torch import Tensor


class LinearRecurrence(torch.autograd.Function):
    """f_TBH, b_TBH, c_BH to all c_TBH. With D the gradient of c_TBH, dc_t = D_t + f_t+1 * dc_t+1 is the same recurrence
    backwards in time; db_t = dc_t, df_t = dc_t * c_t-1, and the first state's is f_1 * dc_1."""

    @staticmethod
    def forward(ctx, f_TBH: Tensor, b_TBH: Tensor, c_BH: Tensor) -> Tensor:
        c_TBH = _recur(f_TBH, b_TBH, c_BH)
        ctx.save_for_backward(f_TBH, c_BH, c_TBH)
        return c_TBH

    @staticmethod
    def backward(ctx, D_TBH: Tensor):
        f_TBH, c_BH, c_TBH = ctx.saved_tensors
        later_f_TBH = torch.cat((f_TBH[1:], torch.ones_like(f_TBH[:1]))).flip(0)
        dc_TBH = _recur(later_f_TBH, D_TBH.flip(0), torch.zeros_like(c_BH)).flip(0)
        return dc_TBH * torch.cat((c_BH.unsqueeze(0), c_TBH[:-1])), dc_TBH, f_TBH[0] * dc_TBH[0]


def _recur(f_TBH: Tensor, b_TBH: Tensor, c_BH: Tensor) -> Tensor:
    return step_by_step(f_TBH, b_TBH, c_BH) if f_TBH.device.type == "cpu" else by_doubling(f_TBH, b_TBH, c_BH)


def step_by_step(f_TBH: Tensor, b_TBH: Tensor, c_BH: Tensor) -> Tensor:
    """T small passes: least work."""
    c_TBH = torch.empty_like(b_TBH)
    for f, b, out in zip(f_TBH.unbind(0), b_TBH.unbind(0), c_TBH.unbind(0), strict=True):
        c_BH = torch.addcmul(b, f, c_BH, out=out)
    return c_TBH


def by_doubling(f_TBH: Tensor, b_TBH: Tensor, c_BH: Tensor) -> Tensor:
    """log2 T passes over the whole window (Hillis & Steele 1986), for devices on which a small pass costs as much as a large
    one. After a pass each place holds the recurrence over twice as many steps up to it; what f are multiplied is 1 at most."""
    c_TBH = torch.cat((torch.addcmul(b_TBH[:1], f_TBH[:1], c_BH), b_TBH[1:]))
    reach = 1
    while reach < len(c_TBH):
        c_TBH = torch.cat((c_TBH[:reach], torch.addcmul(c_TBH[reach:], f_TBH[reach:], c_TBH[:-reach])))
        f_TBH = torch.cat((f_TBH[:reach], f_TBH[reach:] * f_TBH[:-reach]))
        reach *= 2
    return c_TBH
