"""One step of each kind of layer in plain torch: the equations, as one would write them on paper.

Layers compute whole windows by quicker kernels, which nothing can look into; a contract test holds
the two equal, forward and backward. Weights have torch's names and shapes: U = weight_ih (gates H,
E), W = weight_hh (gates H, H), the gates' rows stacked. s is the logistic function, * acts element
by element, ' marks what the step before left.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from rnnlm.neural.settings import Activation, Pooling, ResetGate, UpdateGate

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
    """What one step computed: the hidden state h, which is also what the layer hands on; the cell,
    where there is one; and the gates by name, after their activations. All are (B, H), but for a
    Mogrifier's gates of its input, which are (B, E)."""

    hidden_BH: Tensor
    cell_BH: Tensor | None = None
    gates: dict[str, Tensor] = field(default_factory=dict)

    @property
    def state(self) -> tuple[Tensor, ...]:
        """h and, where there is one, the cell, (1, B, H) each."""
        return tuple(
            each.unsqueeze(0) for each in (self.hidden_BH, self.cell_BH) if each is not None
        )


def feed_forward_step(window_BX: Tensor, U: Tensor, b: Tensor, activation: Activation) -> Step:
    """Bengio et al. 2003, equation 1: h = f(x U + b), with x the vectors of the last words side by
    side."""
    return Step(ACTIVATIONS[activation](F.linear(window_BX, U, b)))


def elman_step(
    x_BE: Tensor, h_BH: Tensor, U: Tensor, W: Tensor, b: Tensor, activation: Activation
) -> Step:
    """Elman 1990: h = f(x U + h' W + b). A Jordan layer (1986) reads its last output in the place
    of h'."""
    return Step(ACTIVATIONS[activation](F.linear(x_BE, U, b) + F.linear(h_BH, W)))


def gru_step(
    x_BE: Tensor,
    h_BH: Tensor,
    U: Tensor,
    W: Tensor,
    b: Tensor,
    b_hh: Tensor,
    reset_gate: ResetGate,
    update_gate: UpdateGate,
) -> Step:
    """Gated recurrent unit (Cho et al. 2014, equations 5 to 8), rows of weights in the order r z n:

    r = s(x Ur + br + h' Wr + br')     z = s(x Uz + bz + h' Wz + bz')
    n = tanh(x Un + bn + (r * h') Wn + bn')
        reset "before" the recurrent product: Cho et al. 2014
    n = tanh(x Un + bn + r * (h' Wn + bn'))     reset "after" it: cuDNN, torch
    h = (1 - z) * n + z * h'                    update gate "keep": Cho et al. 2014, torch
    h = z * n + (1 - z) * h'                    update gate "renew": Chung et al. 2014
    """
    x_r, x_z, x_n = F.linear(x_BE, U, b).chunk(3, dim=1)
    (W_r, W_z, W_n), (b_r, b_z, b_n) = W.chunk(3), b_hh.chunk(3)
    r = torch.sigmoid(x_r + F.linear(h_BH, W_r, b_r))
    z = torch.sigmoid(x_z + F.linear(h_BH, W_z, b_z))
    n = torch.tanh(
        x_n
        + (r * F.linear(h_BH, W_n, b_n) if reset_gate == "after" else F.linear(r * h_BH, W_n, b_n))
    )
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
) -> Step:
    """Long short-term memory (Gers et al. 2000), rows of weights in the order i f g o:

    i = s(x Ui + h' Wi + bi + pi * c')    f = s(x Uf + h' Wf + bf + pf * c')
        g = tanh(x Ug + h' Wg + bg)
    c = f * c' + i * g                    o = s(x Uo + h' Wo + bo + po * c)     h = o * tanh(c)

    `peepholes`, (3H,) in the order i f o, are the p (Gers & Schmidhuber 2000). With `coupled` gates
    i = 1 - f (Greff et al. 2017): weights are (3H, .) in the order f g o, peepholes (2H,) in the
    order f o.
    """
    names = "fgo" if coupled else "ifgo"
    a = dict(
        zip(names, (F.linear(x_BE, U, b) + F.linear(h_BH, W)).chunk(len(names), dim=1), strict=True)
    )
    p: dict[str, Tensor | float] = dict.fromkeys("ifo", 0.0)
    if peepholes is not None:
        p |= zip(names.replace("g", ""), peepholes.chunk(len(names) - 1), strict=True)
    f, g = torch.sigmoid(a["f"] + p["f"] * c_BH), torch.tanh(a["g"])
    i = 1 - f if coupled else torch.sigmoid(a["i"] + p["i"] * c_BH)
    c = f * c_BH + i * g
    o = torch.sigmoid(a["o"] + p["o"] * c)
    return Step(o * torch.tanh(c), c, {"input": i, "forget": f, "candidate": g, "output": o})


def mogrify(
    x_BE: Tensor, h_BH: Tensor, rounds: Sequence[Sequence[Tensor]]
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """What a Mogrifier LSTM (Melis et al. 2020) reads in the places of x and h', and the gates of
    its rounds, which in turn are

    x = 2 s(h' M) * x        h' = 2 s(x M) * h'

    Each round has its matrix M or, of low rank, the factors of it, the one that is multiplied first
    coming first.
    """
    gates = {}
    for number, factors in enumerate(rounds, start=1):
        product_BX = h_BH if number % 2 else x_BE
        for factor in factors:
            product_BX = F.linear(product_BX, factor)
        gate_BX = gates[f"round {number}"] = 2 * torch.sigmoid(product_BX)
        x_BE, h_BH = (gate_BX * x_BE, h_BH) if number % 2 else (x_BE, gate_BX * h_BH)
    return x_BE, h_BH, gates


def qrnn_step(window_BX: Tensor, c_BH: Tensor, U: Tensor, b: Tensor, pooling: Pooling) -> Step:
    """Quasi-recurrent layer (Bradbury et al. 2017), rows of weights in the order z f o i, as many
    as the pooling has; x is the last words side by side:

    z = tanh(x Uz + bz)    f = s(x Uf + bf)    o = s(x Uo + bo)    i = s(x Ui + bi)
        (their equations 1 and 2)
    f-pooling:   c = f * c' + (1 - f) * z, h = c       fo-pooling: the same c, h = o * c
    ifo-pooling: c = f * c' + i * z,       h = o * c
        (their equations 3 to 5)
    """
    a = dict(zip("zfoi", F.linear(window_BX, U, b).chunk(1 + len(pooling), dim=1), strict=False))
    z, f = torch.tanh(a["z"]), torch.sigmoid(a["f"])
    i = torch.sigmoid(a["i"]) if "i" in a else 1 - f
    c = f * c_BH + i * z
    gates = {"input": i, "forget": f, "candidate": z}
    if "o" not in a:
        return Step(c, c, gates)
    o = torch.sigmoid(a["o"])
    return Step(o * c, c, gates | {"output": o})
