"""Compute the Mogrifier LSTM (Melis, Kocisky & Blunsom 2020) as a loop over its steps, forward and
backward.

Before each step of an LSTM its input and its last output gate each other. With v_-1 = x and v_0 =
h':

    v_i = 2 s(M_i v_i-1) * v_i-2
        for i = 1 .. r (their equations 1 and 2: M_i is Q_i where i is odd, R_i where even)

and the LSTM reads the last v of odd number in the place of x, the last of even number in the place
of h'. A matrix of low rank is the product of two. As in the paper's equations, these gates have no
biases.
"""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from rnnlm.lm.neural.device import product_type
from rnnlm.lm.neural.layers.kernels.loops import (
    bias_gradient,
    lstm_step,
    lstm_step_backward,
    peephole_gradient,
)


def mogrifier_lstm(
    x_TBE: Tensor,
    h_BH: Tensor,
    c_BH: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor,
    rounds: int,
    factors: Sequence[Tensor],
    peepholes: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return y_TBH and the last cell.

    Weights are the weights of :func:`rnnlm.lm.neural.layers.kernels.choice.lstm`, in all its forms.
    `factors` are M_1 to M_r or, if they are of low rank, two for each, the one that is multiplied
    first coming first: M = second first.
    """
    weights = weight_ih, weight_hh, bias, peepholes
    settings = rounds, product_type(x_TBE), torch.is_grad_enabled()
    return MogrifierLSTM.apply(x_TBE, h_BH, c_BH, *weights, *settings, *factors)


class MutualGating:
    """The rounds of a window's steps: their values and their gradients."""

    def __init__(
        self, rounds: list[tuple[Tensor, ...]], x_TBE: Tensor, h_BH: Tensor, slots: int
    ) -> None:
        self.rounds = rounds

        # The values v_-1, v_0, .. v_r of each step, the gates, and the operand of each factor.
        self.values = [_steps(slots, h_BH, x_TBE.shape[2], x_TBE)]
        self.values.append(_steps(slots, h_BH, h_BH.shape[1], h_BH))
        for i in range(len(rounds)):
            self.values.append(torch.empty_like(self.values[i]))
        self.gates = [torch.empty_like(array) for array in self.values[2:]]
        self.read = [
            [_steps(slots, h_BH, factor.shape[1], factor) for factor in factors]
            for factors in rounds
        ]

    def step(self, slot: int, x_BE: Tensor, h_BH: Tensor) -> tuple[Tensor, Tensor]:
        """Return the LSTM's inputs in the places of x and h'."""
        v = [self.values[0][slot].copy_(x_BE), self.values[1][slot].copy_(h_BH)]
        for i, factors in enumerate(self.rounds):
            product = v[-1]
            for factor, read in zip(factors, self.read[i], strict=True):
                product = torch.mm(read[slot].copy_(product), factor.t())
            gate = self.gates[i][slot].copy_(product).sigmoid_().mul_(2)
            v.append(torch.mul(gate, v[-2], out=self.values[i + 2][slot]))
        return (v[-2], v[-1]) if len(v) % 2 == 0 else (v[-1], v[-2])

    def start_backward(self) -> None:
        """Make the arrays that :meth:`step_backward` writes gradients into."""
        slots, like_BH = len(self.values[1]), self.values[1][0]
        self.d = [
            [_steps(slots, like_BH, factor.shape[0], factor) for factor in factors]
            for factors in self.rounds
        ]

    def step_backward(self, t: int, dx_BE: Tensor, dh_BH: Tensor) -> None:
        """Turn the gradients of the LSTM's inputs into the gradients of x and h', in place."""
        for i in reversed(range(len(self.rounds))):
            gated_gradient, gating_gradient = (dx_BE, dh_BH) if i % 2 == 0 else (dh_BH, dx_BE)
            gate = self.gates[i][t]
            # The derivative of 2 s is 2 s (1 - s).
            back = gated_gradient * self.values[i][t] * gate * (1 - gate / 2)
            gated_gradient.mul_(gate)
            for factor, d in reversed(list(zip(self.rounds[i], self.d[i], strict=True))):
                back = torch.mm(d[t].copy_(back), factor)
            gating_gradient.add_(back)

    def weight_gradients(self) -> list[Tensor]:
        """Return the gradients of all factors, each a product over all steps at once."""
        pairs = zip(itertools.chain(*self.d), itertools.chain(*self.read), strict=True)
        return [torch.mm(d.flatten(0, 1).t(), read.flatten(0, 1)) for d, read in pairs]


class MogrifierLSTM(torch.autograd.Function):
    """The LSTM behind the rounds. x U + h' W is one product with [U W], as the x that it reads is
    not known before its step."""

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
        rounds: int,
        products: torch.dtype,
        keep: bool,
        *factors,
    ):
        (T, _, E), H = x_TBE.shape, h_BH.shape[1]
        gates_start = 4 * H - len(weight_hh)
        UW_GX = torch.cat((weight_ih, weight_hh), dim=1).to(products)
        b_G = bias.to(products)
        y_TBH = _steps(T, h_BH, H, h_BH)

        # For the backward pass: the rounds, the operand of the product, gates, cells, their tanh.
        slots = T if keep else 1
        by_rounds = by_round([factor.to(products) for factor in factors], rounds)
        gating = MutualGating(by_rounds, x_TBE.to(h_BH.dtype), h_BH, slots)
        joined_TBX = _steps(slots, h_BH, E + H, UW_GX)
        gates_TB4H = _steps(slots, h_BH, 4 * H, h_BH)
        c_TBH, tanh_c_TBH = _steps(slots, h_BH, H, h_BH), _steps(slots, h_BH, H, h_BH)
        h, c = h_BH, c_BH
        for t in range(T):
            slot = t if keep else 0
            gates, new_c, tanh_c = gates_TB4H[slot], c_TBH[slot], tanh_c_TBH[slot]
            torch.cat(gating.step(slot, x_TBE[t], h), dim=1, out=joined_TBX[slot])
            gates[:, gates_start:].copy_(torch.addmm(b_G, joined_TBX[slot], UW_GX.t()))
            h = y_TBH[t]
            c = lstm_step(gates, c, peepholes, gates_start, new_c, tanh_c, h)
        ctx.save_for_backward(c_BH, weight_ih, peepholes)
        ctx.window = gating, UW_GX, joined_TBX, gates_TB4H, c_TBH, tanh_c_TBH
        return y_TBH, c.clone()

    @staticmethod
    def backward(ctx, dy_TBH, dc_BH):
        c_BH, weight_ih, peepholes = ctx.saved_tensors
        gating, UW_GX, joined_TBX, gates_TB4H, c_TBH, tanh_c_TBH = ctx.window
        (T, _, H), (G, E) = c_TBH.shape, weight_ih.shape
        gates_start = 4 * H - G
        da_TBG, dx_TBE = _steps(T, c_BH, G, UW_GX), _steps(T, c_BH, E, c_BH)
        d_B4H = torch.empty_like(gates_TB4H[0])
        dc, dh = dc_BH.clone(), torch.zeros_like(c_BH)
        gating.start_backward()
        for t in reversed(range(T)):
            before = c_TBH[t - 1] if t else c_BH
            dh.add_(dy_TBH[t])
            lstm_step_backward(
                dh, dc, gates_TB4H[t], before, tanh_c_TBH[t], peepholes, gates_start, d_B4H
            )
            d_BX = torch.mm(da_TBG[t].copy_(d_B4H[:, gates_start:]), UW_GX)
            gating.step_backward(t, dx_TBE[t].copy_(d_BX[:, :E]), dh.copy_(d_BX[:, E:]))

        # Each gradient of a weight is one product over all steps.
        dUW_GX = torch.mm(da_TBG.flatten(0, 1).t(), joined_TBX.flatten(0, 1))
        dp = peephole_gradient(da_TBG, c_BH, c_TBH, peepholes)
        of_weights = dUW_GX[:, :E], dUW_GX[:, E:], bias_gradient(da_TBG), dp
        return dx_TBE, dh, dc, *of_weights, None, None, None, *gating.weight_gradients()


def by_round(factors: Sequence[Tensor], rounds: int) -> list[tuple[Tensor, ...]]:
    """Group the factors by the round whose matrix they make."""
    per_round = len(factors) // rounds
    return [
        tuple(factors[start : start + per_round]) for start in range(0, len(factors), per_round)
    ]


def _steps(count: int, rows_BH: Tensor, width: int, like: Tensor) -> Tensor:
    """Make an array for the results of `count` steps: (count, B, width), in the type of `like`."""
    return like.new_empty((count, len(rows_BH), width))
