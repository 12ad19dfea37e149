"""The Elman layer as a loop over its steps, forward and backward: the pattern that the gated layers follow."""

import torch
from torch import Tensor
from torch.nn import functional as F

from rnnlm.neural.layers.kernels.window import bias_gradient, input_gradients, recurrent_gradient, tanh_
from rnnlm.neural.recurrent_settings import Activation

IN_PLACE = {"tanh": tanh_, "relu": torch.relu_, "sigmoid": torch.sigmoid_, "elu": F.elu_, "leaky_relu": F.leaky_relu_}
ELU_ALPHA, LEAKY_SLOPE = 1.0, 0.01  # torch's defaults, with which the functions above work


class ScheduledElman(torch.autograd.Function):
    """h = act(a), a = x U + h' W + b (Elman 1990)."""

    @staticmethod
    def forward(ctx, x_TBE, h_BH, weight_ih, weight_hh, bias, activation: Activation, products: torch.dtype, keep: bool):
        (T, B, _), H = x_TBE.shape, h_BH.shape[1]
        act_ = IN_PLACE[activation]
        xU_TBH = F.linear(x_TBE.to(products), weight_ih.to(products), bias.to(products))
        W = weight_hh.to(products).t()
        y_TBH = weight_hh.new_empty((T, B, H))
        before_TBH = xU_TBH.new_empty((T if keep else 1, B, H))  # h' of each step, for its product
        before, h = before_TBH.unbind(0), h_BH
        for t, (xU, y) in enumerate(zip(xU_TBH.unbind(0), y_TBH.unbind(0), strict=True)):
            h = act_(y.copy_(xU.addmm_(before[t if keep else 0].copy_(h), W)))
        ctx.save_for_backward(x_TBE, h_BH, weight_ih, weight_hh, bias, y_TBH, before_TBH)
        ctx.activation = activation
        return y_TBH

    @staticmethod
    def backward(ctx, dy_TBH):
        """With da = dh * act'(a):  dh' = da W^T;  dx = da U^T;  dU, dW, db: sums over steps of x da, h' da, da."""
        x_TBE, h_BH, weight_ih, weight_hh, bias, y_TBH, before_TBH = ctx.saved_tensors
        W = weight_hh.to(before_TBH.dtype)
        da_TBH = torch.empty_like(before_TBH)
        dh, back = torch.empty_like(h_BH, dtype=y_TBH.dtype), torch.zeros_like(before_TBH[0])
        for dy, y, da in zip(*(reversed(steps.unbind(0)) for steps in (dy_TBH, y_TBH, da_TBH)), strict=True):
            torch.add(dy, back, out=dh)
            da.copy_(_through_activation(ctx.activation, dh, y))
            torch.mm(da, W, out=back)
        dx, dU = input_gradients(da_TBH, x_TBE, weight_ih, ctx.needs_input_grad[0])
        dW = recurrent_gradient(da_TBH, before_TBH, weight_hh)
        return dx, back.to(h_BH.dtype), dU, dW, bias_gradient(da_TBH, bias), None, None, None


def _through_activation(activation: Activation, dh: Tensor, y: Tensor) -> Tensor:
    """dh * act'(a), the derivative computed from y = act(a)."""
    if activation == "tanh":
        return torch.ops.aten.tanh_backward(dh, y)
    if activation == "relu":
        return torch.ops.aten.threshold_backward(dh, y, 0)
    if activation == "elu":
        return torch.ops.aten.elu_backward(dh, ELU_ALPHA, 1, 1, True, y)
    if activation == "leaky_relu":
        return torch.ops.aten.leaky_relu_backward(dh, y, LEAKY_SLOPE, True)
    return torch.ops.aten.sigmoid_backward(dh, y)
