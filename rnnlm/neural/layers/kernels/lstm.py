"""The LSTM with peepholes and coupled gates, as a loop over its steps, forward and backward.

Arrays of a step hold its gates in torch's order, i f g o. Where gates are coupled the place of i holds 1 - f, and what
belongs to weights (before the activations, and its gradient) begins at f.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from rnnlm.neural.layers.kernels.window import bias_gradient, input_gradients, recurrent_gradient, tanh_

sigmoid_backward, tanh_backward = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward


class ScheduledLSTM(torch.autograd.Function):
    """The equations stand at :func:`rnnlm.neural.layers.steps.lstm_step`."""

    @staticmethod
    def forward(ctx, x_TBE, h_BH, c_BH, weight_ih, weight_hh, bias, peepholes, products: torch.dtype, keep: bool):
        (T, B, _), H = x_TBE.shape, h_BH.shape[1]
        first = 4 * H - len(weight_hh)
        xU_TBG = F.linear(x_TBE.to(products), weight_ih.to(products), bias.to(products))
        W = weight_hh.to(products).t()
        slots = T if keep else 1
        before_TBH, gates_TB4H = xU_TBG.new_empty((slots, B, H)), weight_hh.new_empty((slots, B, 4 * H))
        y_TBH, c_TBH, tanh_c_TBH = (weight_hh.new_empty((count, B, H)) for count in (T, slots, slots))
        h, c = h_BH, c_BH
        for t in range(T):
            slot = t if keep else 0
            gates_TB4H[slot][:, first:].copy_(xU_TBG[t].addmm_(before_TBH[slot].copy_(h), W))
            c = lstm_step(gates_TB4H[slot], c, peepholes, first, c_TBH[slot], tanh_c_TBH[slot], y_TBH[t])
            h = y_TBH[t]
        ctx.save_for_backward(x_TBE, c_BH, weight_ih, weight_hh, bias, peepholes, before_TBH, gates_TB4H, c_TBH, tanh_c_TBH)
        return y_TBH, c.clone()

    @staticmethod
    def backward(ctx, dy_TBH, dc_BH):
        x_TBE, c_BH, weight_ih, weight_hh, bias, peepholes, before_TBH, gates_TB4H, c_TBH, tanh_c_TBH = ctx.saved_tensors
        (T, B, H), G = c_TBH.shape, len(weight_hh)
        first = 4 * H - G
        W, da_TBG = weight_hh.to(before_TBH.dtype), before_TBH.new_empty((T, B, G))
        d_B4H = torch.empty_like(gates_TB4H[0])
        dc, dh, back = dc_BH.clone(), torch.empty_like(dc_BH), torch.zeros_like(before_TBH[0])
        for t in reversed(range(T)):
            torch.add(dy_TBH[t], back, out=dh)
            lstm_step_backward(dh, dc, gates_TB4H[t], c_TBH[t - 1] if t else c_BH, tanh_c_TBH[t], peepholes, first, d_B4H)
            torch.mm(da_TBG[t].copy_(d_B4H[:, first:]), W, out=back)
        dx, dU = input_gradients(da_TBG, x_TBE, weight_ih, ctx.needs_input_grad[0])
        dW, db = recurrent_gradient(da_TBG, before_TBH, weight_hh), bias_gradient(da_TBG, bias)
        dp = None if peepholes is None else peephole_gradient(da_TBG, c_BH, c_TBH).to(peepholes.dtype)
        return dx, back.to(dc.dtype), dc, dU, dW, db, dp, None, None


def lstm_step(
    gates_B4H: Tensor, c_BH: Tensor, peepholes: Tensor | None, first: int, new_c_BH: Tensor, tanh_c_BH: Tensor, h_BH: Tensor
) -> Tensor:
    """Gates from what stands in their places from `first` on, before the activations; then, written where it belongs, the new
    cell (returned), its tanh, and h."""
    H = c_BH.shape[1]
    i, f, g, o = gates_B4H.chunk(4, 1)
    i_and_f = gates_B4H[:, first : 2 * H]
    p_o, p_KH = _peepholes(peepholes, H)
    if p_KH is not None:
        i_and_f.unflatten(1, p_KH.shape).addcmul_(p_KH, c_BH.unsqueeze(1))
    i_and_f.sigmoid_()
    if first:
        torch.sub(1, f, out=i)
    torch.mul(f, c_BH, out=new_c_BH).addcmul_(i, tanh_(g))
    if p_o is not None:
        o.addcmul_(p_o, new_c_BH)
    torch.mul(o.sigmoid_(), tanh_(tanh_c_BH.copy_(new_c_BH)), out=h_BH)
    return new_c_BH


def lstm_step_backward(
    dh: Tensor, dc: Tensor, gates_B4H: Tensor, c_BH: Tensor, tanh_c_BH: Tensor, peepholes: Tensor | None, first: int, da_B4H: Tensor
) -> None:
    """Into `da`, from `first` on, the gradient before the activations; `dc`, of the new cell, becomes that of `c_BH`, the one
    before. With d the gradient after an activation, and `dh` used up:

    do = dh * tanh(c)    dc = (what comes from the next step) + dh * o * (1 - tanh(c)^2) + po * da_o
    di = dc * g    df = dc * c' (coupled: - di)    dg = dc * i    dc' = dc * f + pi * da_i + pf * da_f
    """
    H = c_BH.shape[1]
    p_o, p_KH = _peepholes(peepholes, H)
    i, f, g, o = gates_B4H.chunk(4, 1)
    di, df, dg, do = da_B4H.chunk(4, 1)
    i_and_f, di_and_df = gates_B4H[:, first : 2 * H], da_B4H[:, first : 2 * H]
    sigmoid_backward(torch.mul(dh, tanh_c_BH, out=do), o, grad_input=do)
    dc.add_(tanh_backward(dh.mul_(o), tanh_c_BH, grad_input=dh))
    if p_o is not None:
        dc.addcmul_(do, p_o)
    torch.mul(dc, g, out=di)
    torch.mul(dc, c_BH, out=df)
    if first:
        df.sub_(di)
    sigmoid_backward(di_and_df, i_and_f, grad_input=di_and_df)
    tanh_backward(torch.mul(dc, i, out=dg), g, grad_input=dg)
    dc.mul_(f)
    if p_KH is not None:
        dc.add_((di_and_df.unflatten(1, p_KH.shape) * p_KH).sum(1))


def _peepholes(peepholes: Tensor | None, H: int) -> tuple[Tensor | None, Tensor | None]:
    """Those of o, (H,), and those of the gates that see c', (K, H)."""
    return (None, None) if peepholes is None else (peepholes[-H:], peepholes[:-H].view(-1, H))


def peephole_gradient(da_TBG: Tensor, c_BH: Tensor, c_TBH: Tensor) -> Tensor:
    """Sums over steps and rows of da * c, with c' for i and f and the new c for o; in their order."""
    H = c_BH.shape[1]
    before_TBH = torch.cat((c_BH[None], c_TBH[:-1]))
    seen = [before_TBH] * (da_TBG.shape[2] // H - 2) + [c_TBH]
    da = [*da_TBG[..., : -2 * H].split(H, -1), da_TBG[..., -H:]]
    return torch.cat([(gate_TBH * cell_TBH).sum((0, 1)) for gate_TBH, cell_TBH in zip(da, seen, strict=True)])
