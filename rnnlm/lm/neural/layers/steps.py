"""Compute one step of each kind of layer in plain torch: the equations, as one would write them on
paper.

Layers compute whole windows by faster kernels, whose inner values cannot be seen; a contract test
holds the two equal, forward and backward. Weights have torch's names and shapes: U = weight_ih
(gates H, E), W = weight_hh (gates H, H), the gates' rows stacked. s is the logistic function, *
acts element by element, ' marks values of the step before.

With layer normalisation (Ba, Kiros & Hinton 2016) LN(a) = g * (a - mean(a)) / sd(a), over all
numbers of a row, takes the place of a, as each step says. Its gains g are `norms`, () without.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from rnnlm.lm.neural.settings import Activation, Pooling, ResetGate, UpdateGate

# leaky_relu: max(0.01 a, a) (Maas et al. 2013); elu: exp(a) - 1 below 0 (Clevert et al. 2016).
ACTIVATIONS = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "elu": F.elu,
    "leaky_relu": F.leaky_relu,
}


@dataclass(frozen=True)
class Step:
    """The values of one step: the hidden state h, which is also the layer's output; the cell, if
    there is one; and the gates by name, after their activations. All are (B, H), except a
    Mogrifier's gates of its input, which are (B, E)."""

    hidden_BH: Tensor
    cell_BH: Tensor | None = None
    gates: dict[str, Tensor] = field(default_factory=dict)

    @property
    def state(self) -> tuple[Tensor, ...]:
        """h and, if there is one, the cell, (1, B, H) each."""
        if self.cell_BH is None:
            return (self.hidden_BH.unsqueeze(0),)
        return self.hidden_BH.unsqueeze(0), self.cell_BH.unsqueeze(0)


def normalised(a_BG: Tensor, gain_G: Tensor, bias_G: Tensor | None = None) -> Tensor:
    """Return LN(a) and, if there is one, a bias; in the type of the gains."""
    return F.layer_norm(a_BG.to(gain_G.dtype), gain_G.shape, gain_G, bias_G)


def feed_forward_step(
    x_BX: Tensor, U: Tensor, b: Tensor, activation: Activation, norm: Callable[[Tensor], Tensor]
) -> Step:
    """Take the step of Bengio et al. 2003, equation 1: h = f(x U + b), with x the vectors of the
    last words side by side, or the layer below. norm: of x U + b, before f."""
    return Step(ACTIVATIONS[activation](norm(F.linear(x_BX, U, b))))


def elman_step(
    x_BE: Tensor,
    h_BH: Tensor,
    U: Tensor,
    W: Tensor,
    b: Tensor,
    activation: Activation,
    norms: Sequence[Tensor] = (),
) -> Step:
    """Take Elman's step (1990): h = f(x U + h' W + b), normalised f(LN(x U + h' W) + b) (Ba et al.
    2016, section 3.1). A Jordan layer (1986) reads its last output in the place of h'."""
    if not norms:
        return Step(ACTIVATIONS[activation](F.linear(x_BE, U, b) + F.linear(h_BH, W)))
    sums_BH = normalised(F.linear(x_BE, U) + F.linear(h_BH, W), *norms)
    return Step(ACTIVATIONS[activation](sums_BH + b))


def gru_step(
    x_BE: Tensor,
    h_BH: Tensor,
    U: Tensor,
    W: Tensor,
    b: Tensor,
    b_hh: Tensor,
    reset_gate: ResetGate,
    update_gate: UpdateGate,
    norms: Sequence[Tensor] = (),
) -> Step:
    """Take the step of a gated recurrent unit (Cho et al. 2014, equations 5 to 8), rows of weights
    in the order r z n:

    r = s(x Ur + br + h' Wr + br')     z = s(x Uz + bz + h' Wz + bz')
    n = tanh(x Un + bn + (r * h') Wn + bn')
        reset "before" the recurrent product: Cho et al. 2014
    n = tanh(x Un + bn + r * (h' Wn + bn'))     reset "after" it: cuDNN, torch
    h = (1 - z) * n + z * h'                    update gate "keep": Cho et al. 2014, torch
    h = z * n + (1 - z) * h'                    update gate "renew": Chung et al. 2014

    `norms`, two gains (3H,), normalise the products with x and with h': the products of r and z
    together, the product of n by itself (Ba et al. 2016, supplementary material).
    """
    if norms:
        return _normalised_gru_step(x_BE, h_BH, U, W, b, b_hh, reset_gate, update_gate, norms)
    x_r, x_z, x_n = F.linear(x_BE, U, b).chunk(3, dim=1)
    W_r, W_z, W_n = W.chunk(3)
    b_r, b_z, b_n = b_hh.chunk(3)
    r = torch.sigmoid(x_r + F.linear(h_BH, W_r, b_r))
    z = torch.sigmoid(x_z + F.linear(h_BH, W_z, b_z))
    if reset_gate == "after":
        n = torch.tanh(x_n + r * F.linear(h_BH, W_n, b_n))
    else:
        n = torch.tanh(x_n + F.linear(r * h_BH, W_n, b_n))
    return _updated(h_BH, r, z, n, update_gate)


def _normalised_gru_step(
    x_BE: Tensor,
    h_BH: Tensor,
    U: Tensor,
    W: Tensor,
    b: Tensor,
    b_hh: Tensor,
    reset_gate: ResetGate,
    update_gate: UpdateGate,
    norms: Sequence[Tensor],
) -> Step:
    H = h_BH.shape[1]
    gates, candidate = slice(2 * H), slice(2 * H, None)

    def of_inputs(rows: slice) -> Tensor:
        return normalised(F.linear(x_BE, U[rows]), norms[0][rows], b[rows])

    def of_state(y_BH: Tensor, rows: slice) -> Tensor:
        return normalised(F.linear(y_BH, W[rows]), norms[1][rows], b_hh[rows])

    r, z = torch.sigmoid(of_inputs(gates) + of_state(h_BH, gates)).chunk(2, dim=1)
    if reset_gate == "after":
        n = torch.tanh(of_inputs(candidate) + r * of_state(h_BH, candidate))
    else:
        n = torch.tanh(of_inputs(candidate) + of_state(r * h_BH, candidate))
    return _updated(h_BH, r, z, n, update_gate)


def _updated(h_BH: Tensor, r: Tensor, z: Tensor, n: Tensor, update_gate: UpdateGate) -> Step:
    kept = z if update_gate == "keep" else 1 - z
    return Step((1 - kept) * n + kept * h_BH, gates={"reset": r, "update": z, "candidate": n})


def lstm_step(
    x_BE: Tensor,
    h_BH: Tensor,
    c_BH: Tensor,
    U: Tensor,
    W: Tensor,
    b: Tensor,
    peepholes: Tensor | None = None,
    coupled: bool = False,
    norms: Sequence[Tensor] = (),
) -> Step:
    """Take the step of a long short-term memory (Gers et al. 2000), rows of weights in the order i
    f g o:

    i = s(x Ui + h' Wi + bi + pi * c')    f = s(x Uf + h' Wf + bf + pf * c')
        g = tanh(x Ug + h' Wg + bg)
    c = f * c' + i * g                    o = s(x Uo + h' Wo + bo + po * c)     h = o * tanh(c)

    `peepholes`, (3H,) in the order i f o, are the p (Gers & Schmidhuber 2000). With `coupled` gates
    i = 1 - f (Greff et al. 2017): weights are (3H, .) in the order f g o, peepholes (2H,) in the
    order f o.

    `norms` normalise the products of all gates together, LN(x U) + LN(h' W) + b, and the cell: h =
    o * tanh(LN(c) + bias) (Ba et al. 2016, supplementary material). They are two gains (4H,), the
    gain of the cell (H,) and its bias.
    """
    # The sum of each gate before its activation, and its peepholes, by the gate's letter.
    names = "fgo" if coupled else "ifgo"
    if norms:
        of_inputs_BG = normalised(F.linear(x_BE, U), norms[0])
        sums_BG = of_inputs_BG + normalised(F.linear(h_BH, W), norms[1], b)
    else:
        sums_BG = F.linear(x_BE, U, b) + F.linear(h_BH, W)
    a = dict(zip(names, sums_BG.chunk(len(names), dim=1), strict=True))
    p: dict[str, Tensor | float] = dict.fromkeys("ifo", 0.0)
    if peepholes is not None:
        seeing = names.replace("g", "")
        p |= zip(seeing, peepholes.chunk(len(seeing)), strict=True)

    f = torch.sigmoid(a["f"] + p["f"] * c_BH)
    g = torch.tanh(a["g"])
    i = 1 - f if coupled else torch.sigmoid(a["i"] + p["i"] * c_BH)
    c = f * c_BH + i * g
    o = torch.sigmoid(a["o"] + p["o"] * c)
    squashed = torch.tanh(normalised(c, *norms[2:]) if norms else c)
    return Step(o * squashed, c, {"input": i, "forget": f, "candidate": g, "output": o})


def mogrify(
    x_BE: Tensor, h_BH: Tensor, rounds: Sequence[Sequence[Tensor]]
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Return the inputs of a Mogrifier LSTM (Melis et al. 2020) in the places of x and h', and the
    gates of its rounds, which in turn are

    x = 2 s(h' M) * x        h' = 2 s(x M) * h'

    Each round has its matrix M or, of low rank, the factors of it, the one that is multiplied first
    coming first.
    """
    gates = {}
    for number, factors in enumerate(rounds, start=1):
        product_BX = h_BH if number % 2 else x_BE
        for factor in factors:
            product_BX = F.linear(product_BX, factor)
        gate_BX = 2 * torch.sigmoid(product_BX)
        gates[f"round {number}"] = gate_BX
        if number % 2:
            x_BE = gate_BX * x_BE
        else:
            h_BH = gate_BX * h_BH
    return x_BE, h_BH, gates


def qrnn_step(window_BX: Tensor, c_BH: Tensor, U: Tensor, b: Tensor, pooling: Pooling) -> Step:
    """Take the step of a quasi-recurrent layer (Bradbury et al. 2017), rows of weights in the order
    z f o i, as many as the pooling has; x is the last words side by side:

    z = tanh(x Uz + bz)    f = s(x Uf + bf)    o = s(x Uo + bo)    i = s(x Ui + bi)
        (their equations 1 and 2)
    f-pooling:   c = f * c' + (1 - f) * z, h = c       fo-pooling: the same c, h = o * c
    ifo-pooling: c = f * c' + i * z,       h = o * c
        (their equations 3 to 5)
    """
    a_z, a_f, *more = F.linear(window_BX, U, b).chunk(1 + len(pooling), dim=1)
    z = torch.tanh(a_z)
    f = torch.sigmoid(a_f)
    i = torch.sigmoid(more[1]) if pooling == "ifo" else 1 - f
    c = f * c_BH + i * z
    gates = {"input": i, "forget": f, "candidate": z}
    if pooling == "f":
        return Step(c, c, gates)
    o = torch.sigmoid(more[0])
    return Step(o * c, c, gates | {"output": o})
