"""What the hand-scheduled recurrent layers share: products over a whole window, and arrays that hold its steps.

A layer of T steps over B rows is bound by the product h' W of each step, as h' is known only then. All other products
wait until the whole window is there and are taken at once: the inputs' x U before the first step, and the gradients
of x, U, W and b after the last step backward. Between, each step writes into arrays made once a window.
"""

import torch
from torch import Tensor


def tanh(a: Tensor) -> Tensor:
    """Return tanh(a), differentiable.

    A CPU computes it as 2 s(2a) - 1: torch's logistic function takes an eighth of the time of its tanh
    there. A GPU would launch four kernels for that, so it gets the one that it has.
    """
    if a.device.type == "cpu":
        return 2 * torch.sigmoid(2 * a) - 1
    return torch.tanh(a)


def tanh_(a: Tensor) -> Tensor:
    """Replace `a` by tanh(a), in the way of :func:`tanh`."""
    if a.device.type == "cpu":
        return a.mul_(2).sigmoid_().mul_(2).sub_(1)
    return a.tanh_()


def input_gradients(da_TBG: Tensor, x_TBE: Tensor, weight_GE: Tensor, wanted: bool) -> tuple[Tensor | None, Tensor]:
    """For a = x U^T: the gradients of x (None unless `wanted`) and of U. Products run in the type of `da_TBG`."""
    da_NG, x_NE = da_TBG.flatten(0, 1), x_TBE.flatten(0, 1).to(da_TBG.dtype)
    grad_x = torch.mm(da_NG, weight_GE.to(da_NG.dtype)).view(x_TBE.shape).to(x_TBE.dtype) if wanted else None
    return grad_x, torch.mm(da_NG.t(), x_NE).to(weight_GE.dtype)


def recurrent_gradient(da_TBG: Tensor, before_TBH: Tensor, weight_GH: Tensor) -> Tensor:
    """For a = h' W^T, where `before_TBH` holds the h' of each step: the gradient of W."""
    return torch.mm(da_TBG.flatten(0, 1).t(), before_TBH.flatten(0, 1)).to(weight_GH.dtype)


def bias_gradient(da_TBG: Tensor, bias_G: Tensor) -> Tensor:
    """The sum over steps and rows, as a product: torch's sum over rows of bf16 takes as long as a step's products."""
    da_NG = da_TBG.flatten(0, 1)
    return torch.mm(da_NG.new_ones((1, len(da_NG))), da_NG)[0].to(bias_G.dtype)
