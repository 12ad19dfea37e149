"""Compute one step of each kind of layer in plain torch: the equations, as one would write them on
paper. `rnnlm export --hf` ships this file as it is, so it imports nothing else of rnnlm.

Layers compute windows by faster kernels, whose inner values cannot be seen, in the forms that
recipes train, and by these steps in all others; a contract test holds the two equal, forward and
backward. Weights have torch's names and shapes: U = weight_ih
(gates H, E), W = weight_hh (gates H, H), the gates' rows stacked. s is the logistic function, *
acts element by element, ' marks values of the step before. Inputs come as `a` = x U +
b, which does not wait for the step before: :func:`product`.

With layer normalisation (Ba, Kiros & Hinton 2016) LN(a) = g * (a - mean(a)) / sd(a), over all
numbers of a row, takes the place of a, as each step says. Its gains g are `norms`, () without.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

# A matrix, or the function that multiplies by it: see :func:`product`.
Matrix = Tensor | Callable[[Tensor, Tensor | None], Tensor]

# leaky_relu: max(0.01 a, a) (Maas et al. 2013); elu: exp(a) - 1 below 0 (Clevert et al. 2016).
ACTIVATIONS = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "elu": F.elu,
    "leaky_relu": F.leaky_relu,
}


@dataclass(frozen=True)
class CellStep:
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


def product(x: Tensor, W: Matrix, b: Tensor | None = None) -> Tensor:
    """Return x W + b, of one step or of many at once."""
    return F.linear(x, W, b) if isinstance(W, Tensor) else W(x, b)


def feed_forward_step(a_BH: Tensor, activation: str, norm: Callable[[Tensor], Tensor]) -> CellStep:
    """Take the step of Bengio et al. 2003, equation 1: h = f(a), with x the vectors of the last
    words side by side, or the layer below. norm: normalises a before f."""
    return CellStep(ACTIVATIONS[activation](norm(a_BH)))


def elman_step(
    a_BH: Tensor,
    h_BH: Tensor,
    W: Matrix,
    activation: str,
    norms: Sequence[Tensor] = (),
    b: Tensor | None = None,
) -> CellStep:
    """Take Elman's step (1990): h = f(a + h' W), normalised f(LN(x U + h' W) + b) with a = x U (Ba
    et al. 2016, section 3.1). A Jordan layer (1986) reads its last output in the place of h'."""
    sums_BH = a_BH + product(h_BH, W)
    if norms:
        sums_BH = normalised(sums_BH, norms[0], b)
    return CellStep(ACTIVATIONS[activation](sums_BH))


def gru_step(
    a_BG: Tensor,
    h_BH: Tensor,
    W: Sequence[Matrix],
    b_hh: Tensor,
    reset_gate: str,
    update_gate: str,
    norms: Sequence[Tensor] = (),
) -> CellStep:
    """Take the step of a gated recurrent unit (Cho et al. 2014, equations 5 to 8), rows of weights
    in the order r z n, those of W in two parts, r z and n:

    r = s(ar + h' Wr + br')     z = s(az + h' Wz + bz')
    n = tanh(an + (r * h') Wn + bn')
        reset "before" the recurrent product: Cho et al. 2014
    n = tanh(an + r * (h' Wn + bn'))            reset "after" it: cuDNN, torch
    h = (1 - z) * n + z * h'                    update gate "keep": Cho et al. 2014, torch
    h = z * n + (1 - z) * h'                    update gate "renew": Chung et al. 2014

    `norms`, two gains (3H,), normalise the products with x and with h': the products of r and z
    together, the product of n by itself (Ba et al. 2016, supplementary material); see
    :func:`normalised_gru_inputs`.
    """
    H = h_BH.shape[1]
    gates, candidate = slice(2 * H), slice(2 * H, None)

    def of_state(y_BH: Tensor, W: Matrix, rows: slice) -> Tensor:
        if not norms:
            return product(y_BH, W, b_hh[rows])
        return normalised(product(y_BH, W), norms[1][rows], b_hh[rows])

    W_rz, W_n = W
    r, z = torch.sigmoid(a_BG[:, gates] + of_state(h_BH, W_rz, gates)).chunk(2, dim=1)
    is_after = reset_gate == "after"
    kept_BH = r * of_state(h_BH, W_n, candidate) if is_after else of_state(r * h_BH, W_n, candidate)
    n = torch.tanh(a_BG[:, candidate] + kept_BH)
    kept = z if update_gate == "keep" else 1 - z
    return CellStep((1 - kept) * n + kept * h_BH, gates={"reset": r, "update": z, "candidate": n})


def normalised_gru_inputs(x: Tensor, U: Matrix, b: Tensor, gain_G: Tensor) -> Tensor:
    """Return LN(x U) + b, of one step or of many at once, normalised over r and z together, and
    over n by itself."""
    sums_G = product(x, U)
    H = len(b) // 3
    gates = (slice(2 * H), slice(2 * H, None))
    return torch.cat([normalised(sums_G[..., rows], gain_G[rows], b[rows]) for rows in gates], -1)


def lstm_step(
    a_BG: Tensor,
    h_BH: Tensor,
    c_BH: Tensor,
    W: Matrix,
    peepholes: Tensor | None = None,
    coupled: bool = False,
    norms: Sequence[Tensor] = (),
    b: Tensor | None = None,
) -> CellStep:
    """Take the step of a long short-term memory (Gers et al. 2000), rows of weights in the order i
    f g o:

    i = s(ai + h' Wi + pi * c')    f = s(af + h' Wf + pf * c')    g = tanh(ag + h' Wg)
    c = f * c' + i * g             o = s(ao + h' Wo + po * c)     h = o * tanh(c)

    `peepholes`, (3H,) in the order i f o, are the p (Gers & Schmidhuber 2000). With `coupled` gates
    i = 1 - f (Greff et al. 2017): weights are (3H, .) in the order f g o, peepholes (2H,) in the
    order f o.

    `norms` normalise the products of all gates together, LN(x U) + LN(h' W) + b with a = LN(x U),
    and the cell: h = o * tanh(LN(c) + bias) (Ba et al. 2016, supplementary material). They are two
    gains (4H,), the gain of the cell (H,) and its bias.
    """
    # The sum of each gate before its activation, and its peepholes, by the gate's letter.
    names = "fgo" if coupled else "ifgo"
    recurrent_BG = product(h_BH, W)
    if norms:
        recurrent_BG = normalised(recurrent_BG, norms[1], b)
    a = dict(zip(names, (a_BG + recurrent_BG).chunk(len(names), dim=1), strict=True))
    seeing = names.replace("g", "")
    p = {} if peepholes is None else dict(zip(seeing, peepholes.chunk(len(seeing)), strict=True))

    def gate(name: str, c_BH: Tensor) -> Tensor:
        return torch.sigmoid(a[name] + p[name] * c_BH if p else a[name])

    f, g = gate("f", c_BH), torch.tanh(a["g"])
    i = 1 - f if coupled else gate("i", c_BH)
    c = f * c_BH + i * g
    o = gate("o", c)
    squashed = torch.tanh(normalised(c, *norms[2:]) if norms else c)
    return CellStep(o * squashed, c, {"input": i, "forget": f, "candidate": g, "output": o})


def mogrify(
    x_BE: Tensor, h_BH: Tensor, rounds: Sequence[Sequence[Matrix]]
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
            product_BX = product(product_BX, factor)
        gate_BX = 2 * torch.sigmoid(product_BX)
        gates[f"round {number}"] = gate_BX
        if number % 2:
            x_BE = gate_BX * x_BE
        else:
            h_BH = gate_BX * h_BH
    return x_BE, h_BH, gates


def qrnn_step(a_BG: Tensor, c_BH: Tensor, pooling: str) -> CellStep:
    """Take the step of a quasi-recurrent layer (Bradbury et al. 2017), x the last words side by
    side:

    f-pooling:   c = f * c' + (1 - f) * z, h = c       fo-pooling: the same c, h = o * c
    ifo-pooling: c = f * c' + i * z,       h = o * c
        (their equations 3 to 5)
    """
    gates = qrnn_gates(a_BG, pooling)
    c = gates["forget"] * c_BH + gates["input"] * gates["candidate"]
    return CellStep(gates["output"] * c if "output" in gates else c, c, gates)


def qrnn_gates(a_G: Tensor, pooling: str) -> dict[str, Tensor]:
    """Return the gates of a quasi-recurrent layer, of one step or of many at once, rows of weights
    in the order z f o i, as many as the pooling has:

    z = tanh(az)    f = s(af)    o = s(ao)    i = s(ai), without weights for it 1 - f
        (their equations 1 and 2)
    """
    H = a_G.shape[-1] // (1 + len(pooling))
    f, *more = torch.sigmoid(a_G[..., H:]).chunk(len(pooling), dim=-1)
    i = more[1] if pooling == "ifo" else 1 - f
    gates = {"input": i, "forget": f, "candidate": torch.tanh(a_G[..., :H])}
    return gates if pooling == "f" else gates | {"output": more[0]}
