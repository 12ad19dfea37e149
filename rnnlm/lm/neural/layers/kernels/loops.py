"""Compute recurrences as loops over their steps, forward and backward: Elman, GRU, LSTM, and the
linear one of a QRNN."""

import torch
from torch import Tensor
from torch.nn import functional as F

from rnnlm.lm.neural.settings import Activation

# ---- Shared parts of the hand-scheduled recurrent layers: products over a whole window, and arrays
# that hold its steps.
#
# A layer of T steps over B rows is bound by the product h' W of each step, as h' is known only
# then. All other products wait until the whole window is there and are taken at once: the inputs' x
# U before the first step, and the gradients of x, U, W and b after the last step backward. Between,
# each step writes into arrays made once a window. Both passes share x, U and W in the type of the
# products; autograd converts the gradients to the types of what they belong to.


def tanh(a: Tensor) -> Tensor:
    """Return tanh(a), differentiable.

    A CPU computes it as 2 s(2a) - 1: torch's logistic function takes an eighth of the time of its
    tanh there. A GPU would launch four kernels for that, so it gets the one that it has.
    """
    return 2 * torch.sigmoid(2 * a) - 1 if a.device.type == "cpu" else torch.tanh(a)


def tanh_(a: Tensor) -> Tensor:
    """Replace `a` by tanh(a), in the way of :func:`tanh`."""
    return a.mul_(2).sigmoid_().mul_(2).sub_(1) if a.device.type == "cpu" else a.tanh_()


def input_products(
    x_TBE: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor, products: torch.dtype
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return x, U and W in the type of the products, and x U^T + b of all steps."""
    x_TBE, U, W = (part.to(products) for part in (x_TBE, weight_ih, weight_hh))
    return x_TBE, U, W, F.linear(x_TBE, U, bias.to(products))


def input_gradients(
    da_TBG: Tensor, x_TBE: Tensor, U_GE: Tensor, wanted: bool
) -> tuple[Tensor | None, Tensor]:
    """Return the gradients of x (None unless `wanted`) and of U, for a = x U^T."""
    da_NG = da_TBG.flatten(0, 1)
    dx = torch.mm(da_NG, U_GE).view(x_TBE.shape) if wanted else None
    return dx, torch.mm(da_NG.t(), x_TBE.flatten(0, 1))


def recurrent_gradient(da_TBG: Tensor, before_TBH: Tensor) -> Tensor:
    """Return the gradient of W, for a = h' W^T, where `before_TBH` holds the h' of each step."""
    return torch.mm(da_TBG.flatten(0, 1).t(), before_TBH.flatten(0, 1))


def bias_gradient(da_TBG: Tensor) -> Tensor:
    """Sum over steps and rows, by a product: torch's sum over rows of bf16 takes as long as a
    step's products."""
    da_NG = da_TBG.flatten(0, 1)
    return torch.mm(da_NG.new_ones((1, len(da_NG))), da_NG)[0]


# ---- The Elman layer as a loop over its steps, forward and backward: the pattern that the gated
# layers follow.

IN_PLACE = {
    "tanh": tanh_,
    "relu": torch.relu_,
    "sigmoid": torch.sigmoid_,
    "elu": F.elu_,
    "leaky_relu": F.leaky_relu_,
}
ELU_ALPHA, LEAKY_SLOPE = 1.0, 0.01  # torch's defaults, with which the functions above work


class ScheduledElman(torch.autograd.Function):
    """h = act(a), a = x U + h' W + b (Elman 1990)."""

    @staticmethod
    def forward(
        ctx,
        x_TBE,
        h_BH,
        weight_ih,
        weight_hh,
        bias,
        activation: Activation,
        products: torch.dtype,
        keep: bool,
    ):
        (T, B, _), H = x_TBE.shape, h_BH.shape[1]
        act_ = IN_PLACE[activation]
        x_TBE, U, W, xU_TBH = input_products(x_TBE, weight_ih, weight_hh, bias, products)
        W_HH = W.t()
        y_TBH = weight_hh.new_empty((T, B, H))

        # The h' of each step, in the type of its product: all are kept for the gradient of W, or
        # one after the other in the same place.
        slots = T if keep else 1
        before_TBH = xU_TBH.new_empty((slots, B, H))
        h, before = h_BH, before_TBH.unbind(0)
        for t, (xU, y) in enumerate(zip(xU_TBH.unbind(0), y_TBH.unbind(0), strict=True)):
            slot = t if keep else 0
            xU.addmm_(before[slot].copy_(h), W_HH)
            h = act_(y.copy_(xU))
        ctx.save_for_backward(x_TBE, U, W, y_TBH, before_TBH)
        ctx.activation = activation
        return y_TBH

    @staticmethod
    def backward(ctx, dy_TBH):
        """Go back through the steps. With da = dh * act'(a):  dh' = da W^T;  dx = da U^T;
        dU, dW, db: sums over steps of x da, h' da, da."""
        x_TBE, U, W, y_TBH, before_TBH = ctx.saved_tensors
        da_TBH = torch.empty_like(before_TBH)
        dh = torch.empty_like(y_TBH[0])
        # the gradient that a step hands to the one before it
        back = torch.zeros_like(before_TBH[0])

        steps = zip(dy_TBH.unbind(0), y_TBH.unbind(0), da_TBH.unbind(0), strict=True)
        for dy, y, da in reversed(list(steps)):
            torch.add(dy, back, out=dh)
            da.copy_(_through_activation(ctx.activation, dh, y))
            torch.mm(da, W, out=back)

        dx, dU = input_gradients(da_TBH, x_TBE, U, ctx.needs_input_grad[0])
        dW = recurrent_gradient(da_TBH, before_TBH)
        return dx, back, dU, dW, bias_gradient(da_TBH), None, None, None


def _through_activation(activation: Activation, dh: Tensor, y: Tensor) -> Tensor:
    """Return dh * act'(a), the derivative computed from y = act(a)."""
    if activation == "tanh":
        return torch.ops.aten.tanh_backward(dh, y)
    if activation == "relu":
        return torch.ops.aten.threshold_backward(dh, y, 0)
    if activation == "elu":
        return torch.ops.aten.elu_backward(dh, ELU_ALPHA, 1, 1, True, y)
    if activation == "leaky_relu":
        return torch.ops.aten.leaky_relu_backward(dh, y, LEAKY_SLOPE, True)
    return torch.ops.aten.sigmoid_backward(dh, y)


# ---- Both forms of the GRU as loops over their steps, forward and backward. Gates are in torch's
# order, r z n.
#
# Both end a step with h = (1 - z) * n + z * h', so backward begins alike:
#     dn = dh * (1 - z)    dz = dh * (h' - n)    dh' = dh * z + ..
# and for the values before the activations da_n = dn * (1 - n^2), da_z = dz * z * (1 - z), da_r =
# dr * r * (1 - r).

sigmoid_backward, tanh_backward = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward


class ResetAfterGRU(torch.autograd.Function):
    """n = tanh(x Un + bn + r * m), m = h' Wn + bn': one product a step. Arrays of a step are in the
    order m r z n."""

    @staticmethod
    def forward(
        ctx, x_TBE, h_BH, weight_ih, weight_hh, bias_ih, bias_hh, products: torch.dtype, keep: bool
    ):
        (T, B, _), H = x_TBE.shape, h_BH.shape[1]
        W, b = n_first(weight_hh), n_first(bias_hh).to(products)
        x_TBE, U, W, xU_TBG = input_products(x_TBE, weight_ih, W, bias_ih, products)
        y_TBH = weight_hh.new_empty((T, B, H))

        # For the backward pass: h' in the type of its product, and the gates.
        slots = T if keep else 1
        before_TBH = xU_TBG.new_empty((slots, B, H))
        gates_TBG = y_TBH.new_empty((slots, B, 4 * H))
        h, before, gates = h_BH, before_TBH.unbind(0), gates_TBG.unbind(0)
        for t, (xU, y) in enumerate(zip(xU_TBG.unbind(0), y_TBH.unbind(0), strict=True)):
            slot = t if keep else 0
            m, r, z, n = gates[slot].chunk(4, 1)
            gates[slot][:, : 3 * H].copy_(F.linear(before[slot].copy_(h), W, b))
            gates[slot][:, H : 3 * H].add_(xU[:, : 2 * H]).sigmoid_()  # r and z
            tanh_(torch.mul(r, m, out=n).add_(xU[:, 2 * H :]))
            h = torch.lerp(n, h, z, out=y)
        ctx.save_for_backward(x_TBE, h_BH, U, W, y_TBH, before_TBH, gates_TBG)
        return y_TBH

    @staticmethod
    def backward(ctx, dy_TBH):
        """Go back through the steps, with
        dr = da_n * m    dm = da_n * r    dh' = dh * z + [dm da_r da_z] [Wn Wr Wz]^T"""
        x_TBE, h_BH, U, W, y_TBH, before_TBH, gates_TBG = ctx.saved_tensors
        T, B, H = y_TBH.shape
        dh = torch.zeros_like(y_TBH[0])
        # the gradient that a step hands to the one before it
        back = torch.zeros_like(before_TBH[0])

        # m r z n, of one step and of all: the recurrent product takes the first 3H, the input's
        # the last.
        d = torch.empty_like(gates_TBG[0])
        dm, dr, dz, dn = d.chunk(4, 1)
        d_rz = d[:, H : 3 * H]
        da_TBG = before_TBH.new_empty((T, B, 4 * H))
        for t in reversed(range(T)):
            m, r, z, n = gates_TBG[t].chunk(4, 1)
            before = y_TBH[t - 1] if t else h_BH
            dh.add_(back).add_(dy_TBH[t])
            through_update(dh, z, n, before, dz, dn)
            torch.mul(dn, m, out=dr)
            torch.mul(dn, r, out=dm)
            sigmoid_backward(d_rz, gates_TBG[t][:, H : 3 * H], grad_input=d_rz)
            da = da_TBG[t].copy_(d)
            torch.mm(da[:, : 3 * H], W, out=back)
            dh.mul_(z)

        dx, dU = input_gradients(da_TBG[..., H:], x_TBE, U, ctx.needs_input_grad[0])
        dW = n_last(recurrent_gradient(da_TBG[..., : 3 * H], before_TBH))
        db = bias_gradient(da_TBG)
        return dx, dh.add_(back), dU, dW, db[H:], n_last(db[: 3 * H]), None, None


class ResetBeforeGRU(torch.autograd.Function):
    """n = tanh(x Un + bn + (r * h') Wn + bn'): the product of n waits for r, so that a step has
    two."""

    @staticmethod
    def forward(
        ctx, x_TBE, h_BH, weight_ih, weight_hh, bias_ih, bias_hh, products: torch.dtype, keep: bool
    ):
        (T, B, _), H = x_TBE.shape, h_BH.shape[1]
        x_TBE, U, W, xU_TBG = input_products(
            x_TBE, weight_ih, weight_hh, bias_ih + bias_hh, products
        )
        W_rz, W_n = W[: 2 * H].t(), W[2 * H :].t()
        y_TBH = weight_hh.new_empty((T, B, H))

        # For the backward pass: h' and r * h' in the type of their products, and the gates.
        slots = T if keep else 1
        before_TBH, reset_TBH = xU_TBG.new_empty((2, slots, B, H)).unbind(0)
        gates_TBG = y_TBH.new_empty((slots, B, 3 * H))
        h = h_BH
        for t in range(T):
            slot = t if keep else 0
            r, z, n = gates_TBG[slot].chunk(3, 1)
            xU_rz, xU_n = xU_TBG[t].split((2 * H, H), dim=1)
            xU_rz.addmm_(before_TBH[slot].copy_(h), W_rz)
            gates_TBG[slot][:, : 2 * H].copy_(xU_rz).sigmoid_()
            xU_n.addmm_(reset_TBH[slot].copy_(r * h), W_n)
            tanh_(n.copy_(xU_n))
            h = torch.lerp(n, h, z, out=y_TBH[t])
        ctx.save_for_backward(x_TBE, h_BH, U, W, y_TBH, before_TBH, reset_TBH, gates_TBG)
        return y_TBH

    @staticmethod
    def backward(ctx, dy_TBH):
        """Go back through the steps. With q = da_n Wn^T:
        dr = q * h'    dh' = dh * z + q * r + [da_r da_z] [Wr Wz]^T"""
        x_TBE, h_BH, U, W, y_TBH, before_TBH, reset_TBH, gates_TBG = ctx.saved_tensors
        T, B, H = y_TBH.shape
        W_rz, W_n = W[: 2 * H], W[2 * H :]
        dh = torch.zeros_like(y_TBH[0])

        # r z n, of one step and, in the type of the products, of all.
        d = torch.empty_like(gates_TBG[0])
        dr, dz, dn = d.chunk(3, 1)
        da_TBG = before_TBH.new_empty((T, B, 3 * H))
        for t in reversed(range(T)):
            r, z, n = gates_TBG[t].chunk(3, 1)
            da_rz, da_n = da_TBG[t].split((2 * H, H), dim=1)
            h = y_TBH[t - 1] if t else h_BH
            dh.add_(dy_TBH[t])
            through_update(dh, z, n, h, dz, dn)
            q = torch.mm(da_n.copy_(dn), W_n).to(dh.dtype)
            torch.mul(q, h, out=dr)
            da_rz.copy_(sigmoid_backward(d[:, : 2 * H], gates_TBG[t][:, : 2 * H]))
            dh.mul_(z).addcmul_(q, r).add_(torch.mm(da_rz, W_rz))

        dx, dU = input_gradients(da_TBG, x_TBE, U, ctx.needs_input_grad[0])
        dW_rz = recurrent_gradient(da_TBG[..., : 2 * H], before_TBH)
        dW_n = recurrent_gradient(da_TBG[..., 2 * H :], reset_TBH)
        db = bias_gradient(da_TBG)
        return dx, dh, dU, torch.cat((dW_rz, dW_n)), db, db, None, None


def through_update(dh: Tensor, z: Tensor, n: Tensor, h: Tensor, dz: Tensor, dn: Tensor) -> None:
    """Write dh * (h' - n) into `dz` and, before its activation, dh * (1 - z) * (1 - n^2) into
    `dn`."""
    torch.sub(h, n, out=dz).mul_(dh)
    torch.addcmul(dh, dh, z, value=-1, out=dn)
    tanh_backward(dn, n, grad_input=dn)


def n_first(rzn: Tensor) -> Tensor:
    """Put the rows of n before the rows of r and z."""
    H = len(rzn) // 3
    return torch.cat((rzn[2 * H :], rzn[: 2 * H]))


def n_last(nrz: Tensor) -> Tensor:
    """Put the rows of n behind the rows of r and z."""
    H = len(nrz) // 3
    return torch.cat((nrz[H:], nrz[:H]))


# ---- The LSTM with peepholes and coupled gates, as a loop over its steps, forward and backward.
#
# Arrays of a step hold its gates side by side in torch's order, i f g o, each H columns wide. With
# coupled gates, i has no weights: its columns hold 1 - f, and the sums before the activations, and
# their gradients, begin at the columns of f. `gates_start` is their first column: 0, or H with
# coupled gates.


class ScheduledLSTM(torch.autograd.Function):
    """The equations of :func:`rnnlm.lm.neural.layers.steps.lstm_step`."""

    @staticmethod
    def forward(
        ctx,
        x_TBE,
        h_BH,
        c_BH,
        weight_ih,
        weight_hh,
        bias,
        peepholes,
        products: torch.dtype,
        keep: bool,
    ):
        (T, B, _), H = x_TBE.shape, h_BH.shape[1]
        # The inputs' part of the sums, of all steps at once.
        gates_start = 4 * H - len(weight_hh)
        x_TBE, U, W, xU_TBG = input_products(x_TBE, weight_ih, weight_hh, bias, products)
        W_HG = W.t()
        y_TBH = weight_hh.new_empty((T, B, H))

        # Step by step: the state's part, then the gates, the cell and the new state.
        before_TBH, gates_TB4H, c_TBH, tanh_c_TBH = _kept_of_lstm(xU_TBG, y_TBH, gates=4, keep=keep)
        h, c = h_BH, c_BH
        for t in range(T):
            slot = t if keep else 0
            gates, new_c, tanh_c = gates_TB4H[slot], c_TBH[slot], tanh_c_TBH[slot]
            xU_TBG[t].addmm_(before_TBH[slot].copy_(h), W_HG)
            gates[:, gates_start:].copy_(xU_TBG[t])
            h = y_TBH[t]
            c = lstm_step(gates, c, peepholes, gates_start, new_c, tanh_c, h)
        inputs = x_TBE, c_BH, U, W, peepholes
        ctx.save_for_backward(*inputs, before_TBH, gates_TB4H, c_TBH, tanh_c_TBH)
        return y_TBH, c.clone()

    @staticmethod
    def backward(ctx, dy_TBH, dc_BH):
        *inputs, before_TBH, gates_TB4H, c_TBH, tanh_c_TBH = ctx.saved_tensors
        x_TBE, c_BH, U, W, peepholes = inputs
        (T, B, H), G = c_TBH.shape, len(W)
        gates_start = 4 * H - G
        da_TBG = before_TBH.new_empty((T, B, G))
        d_B4H = torch.empty_like(gates_TB4H[0])
        dc, dh = dc_BH.clone(), torch.empty_like(dc_BH)
        # the gradients that a step hands to the one before it
        back = torch.zeros_like(before_TBH[0])
        for t in reversed(range(T)):
            before = c_TBH[t - 1] if t else c_BH
            torch.add(dy_TBH[t], back, out=dh)
            lstm_step_backward(
                dh, dc, gates_TB4H[t], before, tanh_c_TBH[t], peepholes, gates_start, d_B4H
            )
            torch.mm(da_TBG[t].copy_(d_B4H[:, gates_start:]), W, out=back)

        # Each gradient of a weight is one product over all steps.
        dx, dU = input_gradients(da_TBG, x_TBE, U, ctx.needs_input_grad[0])
        dW = recurrent_gradient(da_TBG, before_TBH)
        db = bias_gradient(da_TBG)
        dp = peephole_gradient(da_TBG, c_BH, c_TBH, peepholes)
        return dx, back, dc, dU, dW, db, dp, None, None


class CoupledLSTM(torch.autograd.Function):
    """The LSTM with coupled gates, c = f * c' + (1 - f) * g, and without peepholes: the default.

    It computes what :class:`ScheduledLSTM` does, forward in about half as many operations: a small
    one spends most of its time on being started. Arrays of a step hold f g o side by side.
    """

    @staticmethod
    def forward(
        ctx, x_TBE, h_BH, c_BH, weight_ih, weight_hh, bias, products: torch.dtype, keep: bool
    ):
        (T, B, _), H = x_TBE.shape, h_BH.shape[1]
        x_TBE, U, W, xU_TBG = input_products(x_TBE, weight_ih, weight_hh, bias, products)
        W_HG = W.t()
        y_TBH = weight_hh.new_empty((T, B, H))
        before_TBH, gates_TBG, c_TBH, tanh_c_TBH = _kept_of_lstm(xU_TBG, y_TBH, gates=3, keep=keep)

        # The parts of each step. A single slot is the same one at all steps.
        kept = before_TBH, gates_TBG, *gates_TBG.chunk(3, dim=2), c_TBH, tanh_c_TBH
        arrays = (xU_TBG, y_TBH, *(array.expand(T, -1, -1) for array in kept))
        h, c = h_BH, c_BH
        for xU, y, before, gates, f, g, o, new_c, tanh_c in _steps(*arrays):
            gates.copy_(xU.addmm_(before.copy_(h), W_HG))

            # One logistic function for all gates, as tanh(a) = 2 s(2a) - 1.
            g.mul_(2)
            gates.sigmoid_()
            g.mul_(2).sub_(1)

            c = torch.lerp(g, c, f, out=new_c)
            h = torch.mul(o, tanh_(tanh_c.copy_(c)), out=y)
        ctx.save_for_backward(x_TBE, c_BH, U, W, before_TBH, gates_TBG, c_TBH, tanh_c_TBH)
        return y_TBH, c.clone()

    @staticmethod
    def backward(ctx, dy_TBH, dc_BH):
        """Go back through the steps. With d the gradient before an activation:

        do = dh * tanh(c) o (1 - o)    dc = (from the next step) + dh * o (1 - tanh(c)^2)
        df = dc * (c' - g) f (1 - f)    dg = dc * (1 - f) (1 - g^2)    dc' = dc * f

        The factors of dh and dc wait for no other step: they are computed for all steps at once.
        """
        x_TBE, c_BH, U, W, before_TBH, gates_TBG, c_TBH, tanh_c_TBH = ctx.saved_tensors
        f_TBH, g_TBH, o_TBH = gates_TBG.chunk(3, dim=2)

        # The factors of f g o, side by side, and of dh in dc.
        factors_TBG = torch.empty_like(gates_TBG)
        of_f, of_g, of_o = factors_TBG.chunk(3, dim=2)
        torch.sub(c_BH, g_TBH[0], out=of_f[0])
        torch.sub(c_TBH[:-1], g_TBH[1:], out=of_f[1:])
        sigmoid_backward(of_f, f_TBH, grad_input=of_f)
        tanh_backward(torch.sub(1, f_TBH, out=of_g), g_TBH, grad_input=of_g)
        sigmoid_backward(tanh_c_TBH, o_TBH, grad_input=of_o)
        in_dc_TBH = torch.empty_like(c_TBH)
        tanh_backward(o_TBH, tanh_c_TBH, grad_input=in_dc_TBH)

        # Gradients of the sums before the activations: of all steps in the type of their product,
        # and of one step.
        da_TBG = torch.empty_like(gates_TBG, dtype=before_TBH.dtype)
        d_BG = torch.empty_like(gates_TBG[0])
        H = c_BH.shape[1]
        df_and_dg, do = d_BG[:, : 2 * H].unflatten(1, (2, H)), d_BG[:, 2 * H :]
        of_f_and_g = factors_TBG[..., : 2 * H].unflatten(2, (2, H))
        dc, dh = dc_BH.clone(), torch.empty_like(dc_BH)
        # the gradient that a step hands to the one before it
        back = torch.zeros_like(before_TBH[0])

        arrays = dy_TBH, da_TBG, f_TBH, of_f_and_g, of_o, in_dc_TBH
        for dy, da, f, of_f_and_g, of_o, in_dc in reversed(_steps(*arrays)):
            # Through the output gate, and through h to the new cell.
            torch.add(dy, back, out=dh)
            torch.mul(dh, of_o, out=do)
            dc.addcmul_(dh, in_dc)

            # Through the new cell to the other gates, to the cell before and to the state before.
            torch.mul(dc.unsqueeze(1), of_f_and_g, out=df_and_dg)
            dc.mul_(f)
            torch.mm(da.copy_(d_BG), W, out=back)

        # Each gradient of a weight is one product over all steps.
        dx, dU = input_gradients(da_TBG, x_TBE, U, ctx.needs_input_grad[0])
        dW = recurrent_gradient(da_TBG, before_TBH)
        return dx, back, dc, dU, dW, bias_gradient(da_TBG), None, None


def _kept_of_lstm(
    xU_TBG: Tensor, y_TBH: Tensor, gates: int, keep: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return empty arrays for what the backward pass of an LSTM reads, time first: h' in the type
    of its product, so many gates side by side, cells, and their tanh. Unless `keep`, they have one
    slot for all steps."""
    T, B, H = y_TBH.shape
    slots = T if keep else 1
    before_TBH = xU_TBG.new_empty((slots, B, H))
    gates_TBX = y_TBH.new_empty((slots, B, gates * H))
    c_TBH, tanh_c_TBH = y_TBH.new_empty((2, slots, B, H)).unbind(0)
    return before_TBH, gates_TBX, c_TBH, tanh_c_TBH


def _steps(*arrays_TBX: Tensor) -> list[tuple[Tensor, ...]]:
    """Return the parts of each step, cut out of all arrays at once: a slice takes as long as a
    small sum."""
    return list(zip(*(array_TBX.unbind(0) for array_TBX in arrays_TBX), strict=True))


def lstm_step(
    gates_B4H: Tensor,
    c_BH: Tensor,
    peepholes: Tensor | None,
    gates_start: int,
    new_c_BH: Tensor,
    tanh_c_BH: Tensor,
    h_BH: Tensor,
) -> Tensor:
    """Compute one step from the sums before the activations, which `gates_B4H` holds from column
    `gates_start` on.

    Replace the sums by the gates, and write the new cell, its tanh and h into the last three
    arguments. Return the new cell.
    """
    H = c_BH.shape[1]
    i, f, g, o = gates_B4H.chunk(4, 1)
    i_and_f = gates_B4H[:, gates_start : 2 * H]
    p_o, p_KH = _peepholes(peepholes, H)
    if p_KH is not None:
        i_and_f.unflatten(1, p_KH.shape).addcmul_(p_KH, c_BH.unsqueeze(1))
    i_and_f.sigmoid_()
    if gates_start:  # coupled gates
        torch.sub(1, f, out=i)
    torch.mul(f, c_BH, out=new_c_BH).addcmul_(i, tanh_(g))

    # The output gate sees the new cell.
    if p_o is not None:
        o.addcmul_(p_o, new_c_BH)
    tanh_(tanh_c_BH.copy_(new_c_BH))
    torch.mul(o.sigmoid_(), tanh_c_BH, out=h_BH)
    return new_c_BH


def lstm_step_backward(
    dh: Tensor,
    dc: Tensor,
    gates_B4H: Tensor,
    c_BH: Tensor,
    tanh_c_BH: Tensor,
    peepholes: Tensor | None,
    gates_start: int,
    da_B4H: Tensor,
) -> None:
    """Write the gradient of the sums before the activations into `da_B4H`, from column
    `gates_start` on.

    `dc`, the gradient of the new cell, becomes the gradient of `c_BH`, the cell before; `dh` is
    used up. With d the gradient after an activation:

    do = dh * tanh(c)    dc = (from the next step) + dh * o * (1 - tanh(c)^2) + po * da_o
    di = dc * g    df = dc * c' (coupled: - di)    dg = dc * i
        dc' = dc * f + pi * da_i + pf * da_f
    """
    H = c_BH.shape[1]
    p_o, p_KH = _peepholes(peepholes, H)
    i, f, g, o = gates_B4H.chunk(4, 1)
    di, df, dg, do = da_B4H.chunk(4, 1)
    i_and_f, di_and_df = gates_B4H[:, gates_start : 2 * H], da_B4H[:, gates_start : 2 * H]

    # Through the output gate and h to the new cell.
    sigmoid_backward(torch.mul(dh, tanh_c_BH, out=do), o, grad_input=do)
    dc.add_(tanh_backward(dh.mul_(o), tanh_c_BH, grad_input=dh))
    if p_o is not None:
        dc.addcmul_(do, p_o)

    # Through the new cell to the other gates.
    torch.mul(dc, g, out=di)
    torch.mul(dc, c_BH, out=df)
    if gates_start:  # coupled gates
        df.sub_(di)
    sigmoid_backward(di_and_df, i_and_f, grad_input=di_and_df)
    tanh_backward(torch.mul(dc, i, out=dg), g, grad_input=dg)

    # To the cell before.
    dc.mul_(f)
    if p_KH is not None:
        dc.add_((di_and_df.unflatten(1, p_KH.shape) * p_KH).sum(1))


def _peepholes(peepholes: Tensor | None, H: int) -> tuple[Tensor | None, Tensor | None]:
    """Return the peepholes of o, (H,), and of the gates that see c', (K, H)."""
    return (None, None) if peepholes is None else (peepholes[-H:], peepholes[:-H].view(-1, H))


def peephole_gradient(
    da_TBG: Tensor, c_BH: Tensor, c_TBH: Tensor, peepholes: Tensor | None
) -> Tensor | None:
    """Sum da * c over steps and rows, with c' for i and f and the new c for o; None without
    peepholes."""
    if peepholes is None:
        return None
    H = c_BH.shape[1]
    before_TBH = torch.cat((c_BH[None], c_TBH[:-1]))
    *da_i_and_f, _, da_o = da_TBG.split(H, dim=2)  # g has no peepholes
    sums = [(da_TBH * before_TBH).sum((0, 1)) for da_TBH in da_i_and_f]
    return torch.cat([*sums, (da_o * c_TBH).sum((0, 1))]).to(peepholes.dtype)


# ---- c_t = f_t * c_t-1 + b_t, element by element: the one thing that waits for the step before in
# a quasi-recurrent layer (Bradbury, Merity, Xiong & Socher 2017).


class LinearRecurrence(torch.autograd.Function):
    """All c_TBH from f_TBH, b_TBH, c_BH.

    With D the gradient of c_TBH, dc_t = D_t + f_t+1 * dc_t+1 is the same recurrence backwards in
    time; db_t = dc_t, df_t = dc_t * c_t-1, and the first state's is f_1 * dc_1.
    """

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
        before_TBH = torch.cat((c_BH.unsqueeze(0), c_TBH[:-1]))
        return dc_TBH * before_TBH, dc_TBH, f_TBH[0] * dc_TBH[0]


def _recur(f_TBH: Tensor, b_TBH: Tensor, c_BH: Tensor) -> Tensor:
    compute = step_by_step if f_TBH.device.type == "cpu" else by_doubling
    return compute(f_TBH, b_TBH, c_BH)


def step_by_step(f_TBH: Tensor, b_TBH: Tensor, c_BH: Tensor) -> Tensor:
    """Compute the recurrence in T small passes: least work."""
    c_TBH = torch.empty_like(b_TBH)
    for f, b, out in zip(f_TBH.unbind(0), b_TBH.unbind(0), c_TBH.unbind(0), strict=True):
        c_BH = torch.addcmul(b, f, c_BH, out=out)
    return c_TBH


def by_doubling(f_TBH: Tensor, b_TBH: Tensor, c_BH: Tensor) -> Tensor:
    """Compute the recurrence in log2 T passes over the whole window (Hillis & Steele 1986), for
    devices on which a small pass costs as much as a large one."""
    c_TBH = torch.cat((torch.addcmul(b_TBH[:1], f_TBH[:1], c_BH), b_TBH[1:]))
    reach = 1
    while reach < len(c_TBH):
        # After a pass each place holds the recurrence over twice as many steps up to it. A product
        # of forget gates is 1 at most.
        later_TBH = torch.addcmul(c_TBH[reach:], f_TBH[reach:], c_TBH[:-reach])
        c_TBH = torch.cat((c_TBH[:reach], later_TBH))
        f_TBH = torch.cat((f_TBH[:reach], f_TBH[reach:] * f_TBH[:-reach]))
        reach *= 2
    return c_TBH
