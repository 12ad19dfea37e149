"""Compute recurrences as loops over their steps, forward and backward: Elman, GRU, LSTM, and the
linear one of a QRNN."""

import torch
from torch import Tensor
from torch.nn import functional as F

from rnnlm.lm.neural.device import product_type
from rnnlm.lm.neural.layers.steps import Matrix
from rnnlm.lm.neural.settings import Activation

# ---- Shared parts of recurrent layers: products over a whole window, and arrays of its steps.
#
# A layer of T steps over B rows is bound by the product h' W of each step, as h' is known only
# then. All other products wait until the whole window is there and are taken at once: the inputs' x
# U before the first step, and the gradients of x, U, W and b after the last step backward. Between,
# each step of a loop writes into arrays made once a window. Both passes share x, U and W in the
# type of the products; autograd converts the gradients to the types of what they belong to.


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


# ---- Products of layers without a loop of their own, whose steps go through autograd.


def window_product(W_GX: Tensor, T: int, B: int) -> Matrix:
    """Return what multiplies by W in each of T steps over B rows, in the type of products.

    Autograd would add up the gradient of W step by step, in bf16 with a rounding each. Here it is
    one product over all steps.
    """
    W_GX = W_GX.to(product_type(W_GX))
    if not torch.is_grad_enabled():
        return W_GX
    read: list[Tensor] = []
    zeros = iter(_GradientOfWeights.apply(W_GX, T, B, read).unbind(0))
    W_GX = W_GX.detach()

    def multiply(x_BX: Tensor, b_G: Tensor | None) -> Tensor:
        x_BX = x_BX.to(W_GX.dtype)
        read.append(x_BX.detach())
        y_BG = F.linear(x_BX, W_GX) + next(zeros)
        return y_BG if b_G is None else y_BG + b_G

    return multiply


class _GradientOfWeights(torch.autograd.Function):
    """Zeros to be added to y = x W of each step, so that their gradient is the gradient of all y.
    When it comes, `read` holds all x."""

    @staticmethod
    def forward(ctx, W_GX, T: int, B: int, read: list[Tensor]):
        ctx.read = read
        return W_GX.new_zeros(()).expand(T, B, len(W_GX))

    @staticmethod
    def backward(ctx, dy_TBG):
        return recurrent_gradient(dy_TBG, torch.stack(ctx.read)), None, None, None


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


# ---- The GRU whose reset gate comes after the recurrent product, as a loop over its steps, forward
# and backward. Weights come in torch's order, r z n.

sigmoid_backward, tanh_backward = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward


class ScheduledGRU(torch.autograd.Function):
    """h = (1 - z) * n + z * h', n = tanh(x Un + bn + r * m), m = h' Wn + bn': one product a step.
    Arrays of a step are in the order m r z n."""

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
        """Go back through the steps. With da the gradient before an activation:

        da_n = dh * (1 - z) (1 - n^2)    dm = da_n * r    da_r = da_n * m r (1 - r)
        da_z = dh * (h' - n) z (1 - z)    dh' = dh * z + [dm da_r da_z] [Wn Wr Wz]^T
        """
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

            # Through the update gate, the candidate, the reset gate, and to the state before.
            torch.sub(before, n, out=dz).mul_(dh)
            tanh_backward(torch.addcmul(dh, dh, z, value=-1, out=dn), n, grad_input=dn)
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


def n_first(rzn: Tensor) -> Tensor:
    """Put the rows of n before the rows of r and z."""
    H = len(rzn) // 3
    return torch.cat((rzn[2 * H :], rzn[: 2 * H]))


def n_last(nrz: Tensor) -> Tensor:
    """Put the rows of n behind the rows of r and z."""
    H = len(nrz) // 3
    return torch.cat((nrz[H:], nrz[:H]))


# ---- The LSTM, plain and with coupled gates, as a loop over its steps, forward and backward.
#
# Arrays of a step hold its gates side by side in torch's order: i f g o, or f g o if coupled.


class ScheduledLSTM(torch.autograd.Function):
    """c = f * c' + i * g, with coupled gates c = f * c' + (1 - f) * g; h = o * tanh(c).

    A small operation spends most of its time on being started, so there are few of them.
    """

    @staticmethod
    def forward(
        ctx, x_TBE, h_BH, c_BH, weight_ih, weight_hh, bias, products: torch.dtype, keep: bool
    ):
        (T, B, _), (G, H) = x_TBE.shape, weight_hh.shape
        is_coupled = G == 3 * H
        x_TBE, U, W, xU_TBG = input_products(x_TBE, weight_ih, weight_hh, bias, products)
        W_HG = W.t()
        y_TBH = weight_hh.new_empty((T, B, H))

        # For the backward pass: h' in the type of its product, gates, cells, and their tanh.
        slots = T if keep else 1
        before_TBH = xU_TBG.new_empty((slots, B, H))
        gates_TBG = y_TBH.new_empty((slots, B, G))
        c_TBH, tanh_c_TBH = y_TBH.new_empty((2, slots, B, H)).unbind(0)

        # The parts of each step. A single slot is the same one at all steps.
        gates = gates_TBG.split(H, dim=2)  # the first one is i, which coupled gates do not read
        kept = before_TBH, gates_TBG, gates[0], *gates[-3:], c_TBH, tanh_c_TBH
        arrays = (xU_TBG, y_TBH, *(array.expand(T, -1, -1) for array in kept))
        h, c = h_BH, c_BH
        for xU, y, before, gates, i, f, g, o, new_c, tanh_c in _steps(*arrays):
            gates.copy_(xU.addmm_(before.copy_(h), W_HG))

            # One logistic function for all gates, as tanh(a) = 2 s(2a) - 1.
            g.mul_(2)
            gates.sigmoid_()
            g.mul_(2).sub_(1)

            if is_coupled:
                c = torch.lerp(g, c, f, out=new_c)
            else:
                c = torch.mul(f, c, out=new_c).addcmul_(i, g)
            h = torch.mul(o, tanh_(tanh_c.copy_(c)), out=y)
        ctx.save_for_backward(x_TBE, c_BH, U, W, before_TBH, gates_TBG, c_TBH, tanh_c_TBH)
        return y_TBH, c.clone()

    @staticmethod
    def backward(ctx, dy_TBH, dc_BH):
        """Go back through the steps. With d the gradient before an activation:

        do = dh * tanh(c) o (1 - o)    dc = (from the next step) + dh * o (1 - tanh(c)^2)
        di = dc * g i (1 - i)    df = dc * c' f (1 - f)    dg = dc * i (1 - g^2)    dc' = dc * f

        with i = 1 - f and, for di, c' - g in the place of c' where gates are coupled. The factors
        of dh and dc wait for no other step: they are computed for all steps at once.
        """
        x_TBE, c_BH, U, W, before_TBH, gates_TBG, c_TBH, tanh_c_TBH = ctx.saved_tensors
        H = c_BH.shape[1]
        *i_TBH, f_TBH, g_TBH, o_TBH = gates_TBG.split(H, dim=2)

        # The factors of the gates, side by side, and of dh in dc.
        factors_TBG = torch.empty_like(gates_TBG)
        *of_i, of_f, of_g, of_o = factors_TBG.split(H, dim=2)
        of_f[0].copy_(c_BH)
        of_f[1:].copy_(c_TBH[:-1])
        if i_TBH:
            sigmoid_backward(g_TBH, i_TBH[0], grad_input=of_i[0])
            tanh_backward(i_TBH[0], g_TBH, grad_input=of_g)
        else:
            of_f.sub_(g_TBH)
            tanh_backward(torch.sub(1, f_TBH, out=of_g), g_TBH, grad_input=of_g)
        sigmoid_backward(of_f, f_TBH, grad_input=of_f)
        sigmoid_backward(tanh_c_TBH, o_TBH, grad_input=of_o)
        in_dc_TBH = torch.empty_like(c_TBH)
        tanh_backward(o_TBH, tanh_c_TBH, grad_input=in_dc_TBH)

        # Gradients of the sums before the activations: of all steps in the type of their product,
        # and of one step.
        da_TBG = torch.empty_like(gates_TBG, dtype=before_TBH.dtype)
        d_BG = torch.empty_like(gates_TBG[0])
        of_dc_TBKH = factors_TBG[..., :-H].unflatten(2, (-1, H))
        d_BKH, do = d_BG[:, :-H].unflatten(1, (-1, H)), d_BG[:, -H:]
        dc, dh = dc_BH.clone(), torch.empty_like(dc_BH)
        # the gradient that a step hands to the one before it
        back = torch.zeros_like(before_TBH[0])

        arrays = dy_TBH, da_TBG, f_TBH, of_dc_TBKH, of_o, in_dc_TBH
        for dy, da, f, of_dc, of_o, in_dc in reversed(_steps(*arrays)):
            # Through the output gate, and through h to the new cell.
            torch.add(dy, back, out=dh)
            torch.mul(dh, of_o, out=do)
            dc.addcmul_(dh, in_dc)

            # Through the new cell to the other gates, to the cell before and to the state before.
            torch.mul(dc.unsqueeze(1), of_dc, out=d_BKH)
            dc.mul_(f)
            torch.mm(da.copy_(d_BG), W, out=back)

        # Each gradient of a weight is one product over all steps.
        dx, dU = input_gradients(da_TBG, x_TBE, U, ctx.needs_input_grad[0])
        dW = recurrent_gradient(da_TBG, before_TBH)
        return dx, back, dc, dU, dW, bias_gradient(da_TBG), None, None


def _steps(*arrays_TBX: Tensor) -> list[tuple[Tensor, ...]]:
    """Return the parts of each step, cut out of all arrays at once: a slice takes as long as a
    small sum."""
    return list(zip(*(array_TBX.unbind(0) for array_TBX in arrays_TBX), strict=True))


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
