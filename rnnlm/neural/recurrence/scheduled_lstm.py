"""The LSTM with peepholes and coupled gates, as a loop over its steps, forward and backward.

Arrays of a step hold its gates in torch's order, i f g o. Where gates are coupled the place of i holds 1 - f, and what
belongs to weights (before the activations, and its gradient) begins at f.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from rnnlm.neural.recurrence.scheduled_window import bias_gradient, input_gradients, recurrent_gradient, tanh_

sigmoid_backward, tanh_backward = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward


class ScheduledLSTM(torch.autograd.Function):
    """The equations stand at :func:`rnnlm.neural.recurrence.lstm`."""

    @staticmethod
    def forward(ctx, x_TBE, h_BH, c_BH, weight_ih, weight_hh, bias, peepholes, products: torch.dtype, keep: bool):
        T, B, H = len(x_TBE), *h_BH.shape
        first = 4 * H - len(weight_hh)
        p_o, p_KH = _peepholes(peepholes, H)
        xU_TBG = F.linear(x_TBE.to(products), weight_ih.to(products), bias.to(products))
        W = weight_hh.to(products).t()
        slots = T if keep else 1
        before_TBH, gates_TB4H = xU_TBG.new_empty((slots, B, H)), weight_hh.new_empty((slots, B, 4 * H))
        y_TBH, c_TBH, tanh_c_TBH = (weight_hh.new_empty((count, B, H)) for count in (T, slots, slots))
        h, c = h_BH, c_BH
        for t in range(T):
            slot = t if keep else 0
            i, f, g, o = gates_TB4H[slot].chunk(4, 1)
            i_and_f = gates_TB4H[slot][:, first : 2 * H]
            gates_TB4H[slot][:, first:].copy_(xU_TBG[t].addmm_(before_TBH[slot].copy_(h), W))
            if peepholes is not None:
                i_and_f.unflatten(1, p_KH.shape).addcmul_(p_KH, c.unsqueeze(1))
            i_and_f.sigmoid_()
            if first:
                torch.sub(1, f, out=i)
            c = torch.mul(f, c, out=c_TBH[slot]).addcmul_(i, tanh_(g))
            if peepholes is not None:
                o.addcmul_(p_o, c)
            h = torch.mul(o.sigmoid_(), tanh_(tanh_c_TBH[slot].copy_(c)), out=y_TBH[t])
        ctx.save_for_backward(x_TBE, c_BH, weight_ih, weight_hh, bias, peepholes, before_TBH, gates_TB4H, c_TBH, tanh_c_TBH)
        return y_TBH, c.clone()

    @staticmethod
    def backward(ctx, dy_TBH, dc_BH):
        """With da the gradient before an activation, d that after it:

        do = dh * tanh(c)    dc = (what comes from the next step) + dh * o * (1 - tanh(c)^2) + po * da_o
        di = dc * g    df = dc * c' (coupled: - di)    dg = dc * i
        dc' = dc * f + pi * da_i + pf * da_f    dh' = da W^T
        """
        x_TBE, c_BH, weight_ih, weight_hh, bias, peepholes, before_TBH, gates_TB4H, c_TBH, tanh_c_TBH = ctx.saved_tensors
        (T, B, H), G = c_TBH.shape, len(weight_hh)
        first = 4 * H - G
        p_o, p_KH = _peepholes(peepholes, H)
        W, da_TBG = weight_hh.to(before_TBH.dtype), before_TBH.new_empty((T, B, G))
        d = torch.empty_like(gates_TB4H[0])
        di, df, dg, do = d.chunk(4, 1)
        di_and_df = d[:, first : 2 * H]
        dc, dh, back = dc_BH.clone(), torch.empty_like(dc_BH), torch.zeros_like(before_TBH[0])
        for t in reversed(range(T)):
            i, f, g, o = gates_TB4H[t].chunk(4, 1)
            i_and_f = gates_TB4H[t][:, first : 2 * H]
            torch.add(dy_TBH[t], back, out=dh)
            sigmoid_backward(torch.mul(dh, tanh_c_TBH[t], out=do), o, grad_input=do)
            dc.add_(tanh_backward(dh.mul_(o), tanh_c_TBH[t], grad_input=dh))
            if peepholes is not None:
                dc.addcmul_(do, p_o)
            torch.mul(dc, g, out=di)
            torch.mul(dc, c_TBH[t - 1] if t else c_BH, out=df)
            if first:
                df.sub_(di)
            sigmoid_backward(di_and_df, i_and_f, grad_input=di_and_df)
            tanh_backward(torch.mul(dc, i, out=dg), g, grad_input=dg)
            dc.mul_(f)
            if peepholes is not None:
                dc.add_((di_and_df.unflatten(1, p_KH.shape) * p_KH).sum(1))
            torch.mm(da_TBG[t].copy_(d[:, first:]), W, out=back)
        dx, dU = input_gradients(da_TBG, x_TBE, weight_ih, ctx.needs_input_grad[0])
        dW, db = recurrent_gradient(da_TBG, before_TBH, weight_hh), bias_gradient(da_TBG, bias)
        dp = None if peepholes is None else _peephole_gradient(da_TBG, c_BH, c_TBH).to(peepholes.dtype)
        return dx, back.to(dc.dtype), dc, dU, dW, db, dp, None, None


def _peepholes(peepholes: Tensor | None, H: int) -> tuple[Tensor | None, Tensor | None]:
    """Those of o, (H,), and those of the gates that see c', (K, H)."""
    return (None, None) if peepholes is None else (peepholes[-H:], peepholes[:-H].view(-1, H))


def _peephole_gradient(da_TBG: Tensor, c_BH: Tensor, c_TBH: Tensor) -> Tensor:
    """Sums over steps and rows of da * c, with c' for i and f and the new c for o; in their order."""
    H = c_BH.shape[1]
    before_TBH = torch.cat((c_BH[None], c_TBH[:-1]))
    seen = [before_TBH] * (da_TBG.shape[2] // H - 2) + [c_TBH]
    da = [*da_TBG[..., : -2 * H].split(H, -1), da_TBG[..., -H:]]
    return torch.cat([(gate_TBH * cell_TBH).sum((0, 1)) for gate_TBH, cell_TBH in zip(da, seen, strict=True)])
