"""Both forms of the GRU as loops over their steps, forward and backward. Gates lie in torch's order, r z n.

Both end a step with h = (1 - z) * n + z * h', so backward begins alike:
    dn = dh * (1 - z)    dz = dh * (h' - n)    dh' = dh * z + ..
and for the values before the activations da_n = dn * (1 - n^2), da_z = dz * z * (1 - z), da_r = dr * r * (1 - r).
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from rnnlm.neural.layers.kernels.window import bias_gradient, input_gradients, recurrent_gradient, tanh_

sigmoid_backward, tanh_backward = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward


class ResetAfterGRU(torch.autograd.Function):
    """n = tanh(x Un + bn + r * m), m = h' Wn + bn': one product a step. Arrays of a step lie in the order m r z n."""

    @staticmethod
    def forward(ctx, x_TBE, h_BH, weight_ih, weight_hh, bias_ih, bias_hh, products: torch.dtype, keep: bool):
        (T, B, _), H = x_TBE.shape, h_BH.shape[1]
        xU_TBG = F.linear(x_TBE.to(products), weight_ih.to(products), bias_ih.to(products))
        W, b = n_first(weight_hh).to(products), n_first(bias_hh).to(products)
        y_TBH = weight_hh.new_empty((T, B, H))
        slots = T if keep else 1
        before_TBH = xU_TBG.new_empty((slots, B, H))
        gates_TBG = y_TBH.new_empty((slots, B, 4 * H))
        h, before, gates = h_BH, before_TBH.unbind(0), gates_TBG.unbind(0)
        for t, (xU, y) in enumerate(zip(xU_TBG.unbind(0), y_TBH.unbind(0), strict=True)):
            slot = t if keep else 0
            mrz, (m, r, z, n), rz = gates[slot][:, : 3 * H], gates[slot].chunk(4, 1), gates[slot][:, H : 3 * H]
            mrz.copy_(F.linear(before[slot].copy_(h), W, b))
            rz.add_(xU[:, : 2 * H]).sigmoid_()
            tanh_(torch.mul(r, m, out=n).add_(xU[:, 2 * H :]))
            h = torch.lerp(n, h, z, out=y)
        ctx.save_for_backward(x_TBE, h_BH, weight_ih, weight_hh, bias_ih, bias_hh, y_TBH, before_TBH, gates_TBG)
        return y_TBH

    @staticmethod
    def backward(ctx, dy_TBH):
        """dr = da_n * m    dm = da_n * r    dh' = dh * z + [dm da_r da_z] [Wn Wr Wz]^T"""
        x_TBE, h_BH, weight_ih, weight_hh, bias_ih, _, y_TBH, before_TBH, gates_TBG = ctx.saved_tensors
        T, B, H = y_TBH.shape
        W = n_first(weight_hh).to(before_TBH.dtype)
        da_TBG = before_TBH.new_empty((T, B, 4 * H))  # m r z n: the recurrent product's are the first 3H, the input's the last
        dh, back = torch.zeros_like(h_BH, dtype=y_TBH.dtype), torch.zeros_like(before_TBH[0])
        d = torch.empty_like(gates_TBG[0])
        dm, dr, dz, dn = d.chunk(4, 1)
        for t in reversed(range(T)):
            m, r, z, n = gates_TBG[t].chunk(4, 1)
            dh.add_(back).add_(dy_TBH[t])
            through_update(dh, z, n, y_TBH[t - 1] if t else h_BH, dz, dn)
            torch.mul(dn, m, out=dr)
            torch.mul(dn, r, out=dm)
            rz = gates_TBG[t][:, H : 3 * H]
            sigmoid_backward(d[:, H : 3 * H], rz, grad_input=d[:, H : 3 * H])
            da = da_TBG[t].copy_(d)
            torch.mm(da[:, : 3 * H], W, out=back)
            dh.mul_(z)
        dx, dU = input_gradients(da_TBG[..., H:], x_TBE, weight_ih, ctx.needs_input_grad[0])
        dW = n_last(recurrent_gradient(da_TBG[..., : 3 * H], before_TBH, weight_hh))
        db = bias_gradient(da_TBG, bias_ih)
        return dx, dh.add_(back), dU, dW, db[H:], n_last(db[: 3 * H]), None, None


class ResetBeforeGRU(torch.autograd.Function):
    """n = tanh(x Un + bn + (r * h') Wn + bn'): the product of n waits for r, so that a step has two."""

    @staticmethod
    def forward(ctx, x_TBE, h_BH, weight_ih, weight_hh, bias_ih, bias_hh, products: torch.dtype, keep: bool):
        (T, B, _), H = x_TBE.shape, h_BH.shape[1]
        xU_TBG = F.linear(x_TBE.to(products), weight_ih.to(products), (bias_ih + bias_hh).to(products))
        W = weight_hh.to(products)
        W_rz, W_n = W[: 2 * H].t(), W[2 * H :].t()
        y_TBH = weight_hh.new_empty((T, B, H))
        slots = T if keep else 1
        before_TBH, reset_TBH = xU_TBG.new_empty((2, slots, B, H)).unbind(0)  # h' and r * h'
        gates_TBG = y_TBH.new_empty((slots, B, 3 * H))
        h = h_BH
        for t in range(T):
            slot = t if keep else 0
            r, z, n = gates_TBG[slot].chunk(3, 1)
            rz = gates_TBG[slot][:, : 2 * H]
            rz.copy_(xU_TBG[t][:, : 2 * H].addmm_(before_TBH[slot].copy_(h), W_rz)).sigmoid_()
            reset = reset_TBH[slot].copy_(r * h)
            tanh_(n.copy_(xU_TBG[t][:, 2 * H :].addmm_(reset, W_n)))
            h = torch.lerp(n, h, z, out=y_TBH[t])
        saved = x_TBE, h_BH, weight_ih, weight_hh, bias_ih, bias_hh, y_TBH, before_TBH, reset_TBH, gates_TBG
        ctx.save_for_backward(*saved)
        return y_TBH

    @staticmethod
    def backward(ctx, dy_TBH):
        """With q = da_n Wn^T:    dr = q * h'    dh' = dh * z + q * r + [da_r da_z] [Wr Wz]^T"""
        x_TBE, h_BH, weight_ih, weight_hh, bias_ih, _, y_TBH, before_TBH, reset_TBH, gates_TBG = ctx.saved_tensors
        T, B, H = y_TBH.shape
        W = weight_hh.to(before_TBH.dtype)
        da_TBG = before_TBH.new_empty((T, B, 3 * H))
        dh = torch.zeros_like(h_BH, dtype=y_TBH.dtype)
        d = torch.empty_like(gates_TBG[0])
        dr, dz, dn = d.chunk(3, 1)
        for t in reversed(range(T)):
            r, z, n = gates_TBG[t].chunk(3, 1)
            h = y_TBH[t - 1] if t else h_BH
            dh.add_(dy_TBH[t])
            through_update(dh, z, n, h, dz, dn)
            da = da_TBG[t]
            q = torch.mm(da[:, 2 * H :].copy_(dn), W[2 * H :]).to(dh.dtype)
            torch.mul(q, h, out=dr)
            rz = gates_TBG[t][:, : 2 * H]
            da[:, : 2 * H].copy_(sigmoid_backward(d[:, : 2 * H], rz))
            dh.mul_(z).addcmul_(q, r).add_(torch.mm(da[:, : 2 * H], W[: 2 * H]))
        dx, dU = input_gradients(da_TBG, x_TBE, weight_ih, ctx.needs_input_grad[0])
        dW_rz = recurrent_gradient(da_TBG[..., : 2 * H], before_TBH, weight_hh)
        dW_n = recurrent_gradient(da_TBG[..., 2 * H :], reset_TBH, weight_hh)
        db = bias_gradient(da_TBG, bias_ih)
        return dx, dh, dU, torch.cat((dW_rz, dW_n)), db, db, None, None


def through_update(dh: Tensor, z: Tensor, n: Tensor, h: Tensor, dz: Tensor, dn: Tensor) -> None:
    """Into `dz`: dh * (h' - n); into `dn`, before its activation: dh * (1 - z) * (1 - n^2)."""
    torch.sub(h, n, out=dz).mul_(dh)
    tanh_backward(torch.addcmul(dh, dh, z, value=-1, out=dn), n, grad_input=dn)


def n_first(rzn: Tensor) -> Tensor:
    H = len(rzn) // 3
    return torch.cat((rzn[2 * H :], rzn[: 2 * H]))


def n_last(nrz: Tensor) -> Tensor:
    H = len(nrz) // 3
    return torch.cat((nrz[H:], nrz[:H]))
