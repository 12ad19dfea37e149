"""Recurrent layers on examples worked by hand, by every kernel that may run them.

Vectors are rows, as on paper: h = relu(x U + h' W). A layer holds its matrices as torch does, (out,
in), so U and W go into it transposed and their gradients come out of it transposed. s is the
logistic function. With L = ln 3 its values are fractions:

    s(-L) = 1/4    s(0) = 1/2    s(L) = 3/4    tanh(L) = (9 - 1)/(9 + 1) = 4/5
        tanh(3L/2) = (27 - 1)/(27 + 1) = 13/14
"""

import math

import pytest
import torch
from torch import Tensor

from rnnlm.lm.neural.layers.kernels import choice
from rnnlm.lm.neural.layers.layers import ElmanLayer, GruLayer, LstmLayer, RecurrentLayer
from rnnlm.lm.neural.settings import ElmanCell, GruCell, LstmCell

L = math.log(3)
both_resets = pytest.mark.parametrize("reset_gate", ["after", "before"])
both_updates = pytest.mark.parametrize("update_gate", ["keep", "renew"])


@pytest.fixture(autouse=True, params=["default", "loops", "torch"])
def kernel(request, monkeypatch):
    """Choose the kernel: the default, our own loops, or torch's if they support the form."""
    if request.param != "default":
        monkeypatch.setattr(choice, "_torch_is_quicker", lambda *_: request.param == "torch")


def filled(layer: RecurrentLayer, U: list, W: list) -> RecurrentLayer:
    """Set U (E, H) and W (H, H) of each gate, and the biases to zero. Return the layer."""
    weights = {
        name: torch.cat([torch.tensor(block).t() for block in given])
        for name, given in (("weight_ih", U), ("weight_hh", W))
    }
    zeros = {name: torch.zeros_like(weight) for name, weight in layer.state_dict().items()}
    layer.load_state_dict({**zeros, **weights})
    return layer


def one_row(*vectors: tuple[float, ...]) -> Tensor:
    """Return inputs (T, 1, E), or a state (1, 1, H), that require gradients."""
    return torch.tensor(vectors, dtype=torch.float32).unsqueeze(1).requires_grad_()


def same(found: Tensor, expected: list | Tensor) -> None:
    """Check equality to the precision of fp32, without dimensions of one row or input."""
    expected = torch.as_tensor(expected, dtype=torch.float32).squeeze()
    torch.testing.assert_close(found.squeeze(), expected, atol=2e-6, rtol=2e-6)


def blocks(gradient: Tensor, gates: int) -> list[Tensor]:
    """Split the gradient of a layer's matrix into those of its gates, as on paper."""
    return [block.t() for block in gradient.chunk(gates)]


def outer(column: list[float], line: list[float]) -> list[list[float]]:
    return [[a * b for b in line] for a in column]


def relu_elman(W: list) -> ElmanLayer:
    return filled(ElmanLayer(ElmanCell(activation="relu"), 3, 2), [[[1, 1], [2, 0], [0.5, 1]]], [W])


def test_worked_example_of_a_relu_elman_network():
    """ "A rusty can":
    x1 U = ( 1,  1)    h0 W = (0, 0)    sum (1, 1)         h1 = (1, 1)
    x2 U = ( 4,  3)    h1 W = (1, 1)    sum (5, 4)         h2 = (5, 4)
    x3 U = (-0.5, 2)   h2 W = (4, 5)    sum (3.5, 7)       h3 = (3.5, 7)
    x4 U = (-6, -4)    h3 W = (7, 3.5)  sum (1, -0.5)      h4 = (1, 0)
    """
    x_TBE = one_row((1, 0, 0), (1, 1, 2), (1, -1, 1), (-4, -1, 0))
    y_TBH, (last,) = relu_elman([[0, 1], [1, 0]])(x_TBE, (one_row((0, 0)),))
    assert y_TBH.squeeze(1).tolist() == [[1, 1], [5, 4], [3.5, 7], [1, 0]]
    assert last.squeeze().tolist() == [1, 0]


def test_recurrent_matrix_multiplies_the_state_as_a_row():
    """(1, 1) W = (1 * 0 + 1 * 2, 1 * 1 + 1 * 0) = (2, 1); as a column, W (1, 1) would be (1, 2)."""
    y_TBH, _ = relu_elman([[0, 1], [2, 0]])(one_row((0, 0, 0)), (one_row((1, 1)),))
    assert y_TBH.squeeze().tolist() == [2, 1]


def test_bptt_through_relu_elman_matches_worked_example():
    """W = [[0, 1], [2, 0]], h0 = (1, 1), target (1, 1.5) after two steps. Forward:
        x1 U = (0.5, 1)    h0 W = (2, 1)      h1 = (2.5, 2)
        x2 U = (-5, 1)     h1 W = (4, 2.5)    sum (-1, 3.5), h2 = (0, 3.5)
        loss = ((0 - 1)^2 + (3.5 - 1.5)^2) / 2 = 2.5
    Backward, da before ReLU:
        dh2 = h2 - target = (-1, 2)              da2 = (0, 2), as the first unit is off
        dh1 = da2 W^T = (2 * 1, 0 * 2) = (2, 0)  da1 = (2, 0)
        dh0 = da1 W^T = (2 * 0, 2 * 2) = (0, 4)
        dW = h1^T da2 + h0^T da1 = [[0, 5], [0, 4]] + [[2, 0], [2, 0]]
        dU = x1^T da1 + x2^T da2: rows x1[i] (2, 0) + x2[i] (0, 2)
        db = da1 + da2           dx1 = da1 U^T = (2, 4, 1)    dx2 = da2 U^T = (2, 0, 2)
    """
    layer, h0, x_TBE = relu_elman([[0, 1], [2, 0]]), one_row((1, 1)), one_row((0, 0, 1), (1, -3, 0))
    y_TBH, _ = layer(x_TBE, (h0,))
    loss = (y_TBH[-1] - torch.tensor([1.0, 1.5])).square().sum() / 2
    loss.backward()
    assert y_TBH.squeeze(1).tolist() == [[2.5, 2], [0, 3.5]] and loss.item() == 2.5
    same(layer.weight_hh.grad.t(), [[2, 5], [2, 4]])
    same(layer.weight_ih.grad.t(), [[0, 2], [0, -6], [2, 0]])
    same(layer.bias_ih.grad, [2, 2])
    same(h0.grad, [0, 4])
    same(x_TBE.grad, [[2, 4, 1], [2, 0, 2]])


def gru(reset_gate: str, update_gate: str) -> GruLayer:
    """Make a GRU with one input, two units, gates r z n. The first unit's update gate reads the
    second unit, whose reset gate reads the first; their candidates read each other. With "renew"
    the update gate is 1 - z, so its weights are negated."""
    sign = 1 if update_gate == "keep" else -1
    U = [[[L, -L]], [[0, sign * L]], [[L, -L]]]
    W = [[[0, 5 * L / 2], [0, 0]], [[0, 0], [sign * 5 * L, 0]], [[0, -5 * L], [-10 * L, 0]]]
    return filled(GruLayer(GruCell(reset_gate=reset_gate, update_gate=update_gate), 1, 2), U, W)


@both_updates
@pytest.mark.parametrize(
    "reset_gate, h2", [("after", [7 / 10, -79 / 140]), ("before", [223 / 280, -1 / 2])]
)
def test_worked_example_of_a_gru(reset_gate, update_gate, h2):
    """From h0 = (0, 0), x1 = 1:
        z = s(0, L) = (1/2, 3/4)    n = tanh(L, -L) = (4/5, -4/5)    h1 = (1 - z) n = (2/5, -1/5)
    With x2 = 0:
        r = s(h1 Wr) = s(0, 2/5 * 5L/2) = s(0, L) = (1/2, 3/4)
            z = s(h1 Wz) = s(-1/5 * 5L, 0) = s(-L, 0) = (1/4, 1/2)
      after:  h1 Wn = (-1/5 * -10L, 2/5 * -5L) = (2L, -2L)
          n = tanh(r (h1 Wn)) = tanh(L, -3L/2) = (4/5, -13/14)
              h2 = (1 - z) n + z h1 = (3/4 * 4/5 + 1/4 * 2/5, 1/2 * -13/14 + 1/2 * -1/5) = (7/10,
              -79/140)
      before: r h1 = (1/5, -3/20)
          n = tanh((r h1) Wn) = tanh(3L/2, -L) = (13/14, -4/5)
              h2 = (3/4 * 13/14 + 1/4 * 2/5, 1/2 * -4/5 + 1/2 * -1/5) = (223/280, -1/2)
    """
    y_TBH, _ = gru(reset_gate, update_gate)(one_row((1,), (0,)), (one_row((0, 0)),))
    same(y_TBH, [[2 / 5, -1 / 5], h2])


# da of the second step and dh1, the loss being the sum of h2: dh2 = (1, 1), and dn = dh2 (1 - z) =
# (3/4, 1/2). What Wn reads, and the gradient m of its product, are h1 and da_n r after the reset, r
# h1 and da_n before it.
#
# after:  da_n = dn (1 - n^2) = (3/4 * 9/25, 1/2 * 27/196) = (27/100, 27/392)
#         da_z = dh2 (h1 - n) z (1 - z) = (-2/5 * 3/16, 51/70 * 1/4) = (-3/40, 51/280) da_r = da_n
#         (h1 Wn) r (1 - r) = (27/100 * 2L * 1/4, 27/392 * -2L * 3/16) = (27L/200, -81L/3136)
#         m    = da_n r = (27/200, 81/1568)
#         dh1  = dh2 z + m Wn^T + da_r Wr^T + da_z Wz^T
#              = (1/4 - 5L * 81/1568 - 5L/2 * 81L/3136, 1/2 - 10L * 27/200 - 5L * 3/40)
# before: da_n = (3/4 * 27/196, 1/2 * 9/25) = (81/784, 9/50)
#         da_z = ((2/5 - 13/14) 3/16, (-1/5 + 4/5) 1/4) = (-111/1120, 3/20)
#         q    = m Wn^T = (-5L * 9/50, -10L * 81/784) = (-9L/10, -405L/392), the gradient of r h1
#         da_r = q h1 r (1 - r) = (-9L/10 * 2/5 * 1/4, 405L/392 * 1/5 * 3/16) = (-9L/100, 243L/6272)
#         dh1  = dh2 z + q r + da_r Wr^T + da_z Wz^T
#              = (1/4 - 9L/20 + 5L/2 * 243L/6272, 1/2 - 3/4 * 405L/392 - 5L * 111/1120)
GRU_BACKWARD = {
    "after": {
        "loss": 7 / 10 - 79 / 140, "r": [27 * L / 200, -81 * L / 3136], "z": [-3 / 40, 51 / 280],
        "n": [27 / 100, 27 / 392],
        "dh1": [1 / 4 - 405 * L / 1568 - 405 * L**2 / 6272, 1 / 2 - 27 * L / 20 - 3 * L / 8],
        "read": [2 / 5, -1 / 5], "m": [27 / 200, 81 / 1568],
    },
    "before": {
        "loss": 223 / 280 - 1 / 2, "r": [-9 * L / 100, 243 * L / 6272], "z": [-111 / 1120, 3 / 20],
        "n": [81 / 784, 9 / 50],
        "dh1": [1 / 4 - 9 * L / 20 + 1215 * L**2 / 12544, 1 / 2 - 1215 * L / 1568 - 111 * L / 224],
        "read": [1 / 5, -3 / 20], "m": [81 / 784, 9 / 50],
    },
}  # fmt: skip


@both_resets
def test_worked_example_of_bptt_through_a_gru(reset_gate):
    """The second step is worked above. The first one, from h0 = (0, 0), has h0 Wn = 0, so that
    nothing reaches r or a matrix W:
        da_n = dh1 (1 - z) (1 - n^2) = dh1 (1/2 * 9/25, 1/4 * 9/25) = dh1 (9/50, 9/100)
        da_z = dh1 (0 - n) z (1 - z) = dh1 (-4/5 * 1/4, 4/5 * 3/16) = dh1 (-1/5, 3/20)
        r = s(L, -L) = (3/4, 1/4)
        dh0 = dh1 z + da_z Wz^T + m Wn^T        after: m = da_n r
        dh0 = dh1 z + da_z Wz^T + (m Wn^T) r    before: m = da_n
    As x2 = 0, dU is x1 = 1 times da of the first step. A bias has da of both steps; the inner one
    of n, which Wn's product is added to, has m of both.
    """
    layer, h0, worked = gru(reset_gate, "keep"), one_row((0, 0)), GRU_BACKWARD[reset_gate]
    y_TBH, _ = layer(one_row((1,), (0,)), (h0,))
    loss = y_TBH[-1].sum()
    loss.backward()
    dh1, h1, (r1, r2), (z1, z2) = worked["dh1"], [2 / 5, -1 / 5], worked["r"], worked["z"]
    first_n, first_z = [9 / 50 * dh1[0], 9 / 100 * dh1[1]], [-1 / 5 * dh1[0], 3 / 20 * dh1[1]]
    first_m = [3 / 4 * first_n[0], 1 / 4 * first_n[1]] if reset_gate == "after" else first_n
    same(loss, worked["loss"])
    dW = outer(h1, worked["r"]), outer(h1, worked["z"]), outer(worked["read"], worked["m"])
    for found, expected in zip(blocks(layer.weight_hh.grad, 3), dW, strict=True):
        same(found, expected)
    same(layer.weight_ih.grad, [0, 0, *first_z, *first_n])
    db_r_and_z = [r1, r2, z1 + first_z[0], z2 + first_z[1]]
    for bias, first, second in (
        (layer.bias_ih, first_n, worked["n"]),
        (layer.bias_hh, first_m, worked["m"]),
    ):
        same(bias.grad, [*db_r_and_z, first[0] + second[0], first[1] + second[1]])
    r = [1, 1] if reset_gate == "after" else [3 / 4, 1 / 4]
    through_n = [-5 * L * first_m[1] * r[0], -10 * L * first_m[0] * r[1]]
    same(h0.grad, [dh1[0] / 2 + through_n[0], dh1[1] * 3 / 4 + 5 * L * first_z[0] + through_n[1]])


def extreme_gru(reset_gate: str, update_gate: str, r: int, z: int) -> GruLayer:
    """Make a GRU of random weights whose r and z are 0 or 1. z is how much is kept."""
    torch.manual_seed(5)
    layer = GruLayer(GruCell(reset_gate=reset_gate, update_gate=update_gate), 3, 4)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.uniform_(-1, 1)
        renewed = 1 - z if update_gate == "renew" else z
        layer.bias_ih[:4], layer.bias_ih[4:8] = (1e4 if r else -1e4), (1e4 if renewed else -1e4)
    return layer


@both_updates
@both_resets
@pytest.mark.parametrize("r", [0, 1])
def test_update_gate_keeping_everything_copies_the_state(reset_gate, update_gate, r):
    state = torch.randn(1, 2, 4)
    y_TBH, _ = extreme_gru(reset_gate, update_gate, r, z=1)(torch.randn(5, 2, 3), (state,))
    same(y_TBH, state.expand(5, 2, 4))


@both_updates
@both_resets
def test_a_reset_gate_at_zero_forgets_the_state(reset_gate, update_gate):
    """n = tanh(x Un + bn), which torch's form takes the inner bias from, too, as the gate
    multiplies it."""
    layer, x_TBE = extreme_gru(reset_gate, update_gate, r=0, z=0), torch.randn(5, 2, 3)
    y_TBH, _ = layer(x_TBE, (torch.randn(1, 2, 4),))
    bias = layer.bias_ih[8:] if reset_gate == "after" else layer.bias_ih[8:] + layer.bias_hh[8:]
    same(y_TBH, torch.tanh(x_TBE @ layer.weight_ih[8:].t() + bias))


@both_updates
@both_resets
def test_gru_with_open_gates_is_an_elman_network(reset_gate, update_gate):
    layer = extreme_gru(reset_gate, update_gate, r=1, z=0)
    x_TBE = torch.randn(5, 2, 3)
    state = torch.randn(1, 2, 4)
    elman = ElmanLayer(ElmanCell(activation="tanh"), 3, 4)
    bias = layer.bias_ih[8:] + layer.bias_hh[8:]
    elman.load_state_dict(
        {"weight_ih": layer.weight_ih[8:], "weight_hh": layer.weight_hh[8:], "bias_ih": bias}
    )
    same(layer(x_TBE, (state,))[0], elman(x_TBE, (state,))[0])


T1, T2 = math.tanh(3 / 5), math.tanh(2 / 5)
# so that K1 times the first unit's output, and -K2 times the second one's, is L
K1, K2 = 2 * L / T1, 4 * L / (3 * T2)


def lstm() -> LstmLayer:
    """Make an LSTM with one input, two units, gates i f g o. Its output h1 = (T1/2, -3 T2/4), times
    K1 and K2, is (L, -L)."""
    U = [[[L, 0]], [[0, 0]], [[L, -L]], [[0, L]]]
    W = [[[0, 0], [K2, 0]], [[0, K1], [0, 0]], [[0, -K1], [-K2, 0]], [[K1, 0], [0, 0]]]
    return filled(LstmLayer(LstmCell(), 1, 2), U, W)


def test_worked_example_of_an_lstm():
    """From h0 = c0 = (0, 0), x1 = 1:
        i = s(L, 0) = (3/4, 1/2)    g = tanh(L, -L) = (4/5, -4/5)    o = s(0, L) = (1/2, 3/4)
        c1 = i g = (3/5, -2/5)      h1 = o tanh(c1) = (tanh(3/5)/2, -3 tanh(2/5)/4)
    With x2 = 0:
        i = s(-L, 0) = (1/4, 1/2)   f = s(0, L) = (1/2, 3/4)   g = tanh(L, -L) = (4/5, -4/5)
            o = s(L, 0) = (3/4, 1/2)
        c2 = f c1 + i g = (3/10 + 1/5, -3/10 - 2/5) = (1/2, -7/10)
        h2 = o tanh(c2) = (3 tanh(1/2)/4, -tanh(7/10)/2)
    """
    y_TBH, (_, cell) = lstm()(one_row((1,), (0,)), (one_row((0, 0)), one_row((0, 0))))
    same(
        y_TBH,
        [
            [math.tanh(3 / 5) / 2, -3 * math.tanh(2 / 5) / 4],
            [3 * math.tanh(1 / 2) / 4, -math.tanh(7 / 10) / 2],
        ],
    )
    same(cell, [1 / 2, -7 / 10])


def test_worked_example_of_bptt_through_an_lstm():
    """The loss is the sum of h2: dh2 = (1, 1). With t = tanh(c2) the second step gives
        da_o = t o (1 - o) = (3/16 t1, 1/4 t2)
            d = dc2 = o (1 - t^2) = (3/4 (1 - t1^2), 1/2 (1 - t2^2))
        da_i = d g i (1 - i) = (4/5 * 3/16 d1, -4/5 * 1/4 d2) = (3/20 d1, -1/5 d2)
        da_f = d c1 f (1 - f) = (3/5 * 1/4 d1, -2/5 * 3/16 d2) = (3/20 d1, -3/40 d2)
        da_g = d i (1 - g^2) = (1/4 * 9/25 d1, 1/2 * 9/25 d2) = (9/100 d1, 9/50 d2)
        dh1 = da_i Wi^T + da_f Wf^T + da_g Wg^T + da_o Wo^T
            = (K1 (-3/40 d2 - 9/50 d2 + 3/16 t1), K2 (3/20 d1 - 9/100 d1))
    and the first one, with e = dc1 = d f + dh1 o (1 - tanh(c1)^2) = (d1/2 + dh1[1] (1 - T1^2)/2, 3
    d2/4 + 3 dh1[2] (1 - T2^2)/4)
        da_o = dh1 tanh(c1) o (1 - o) = (1/4 T1 dh1[1], -3/16 T2 dh1[2])
        da_i = e g i (1 - i) = (4/5 * 3/16 e1, -4/5 * 1/4 e2) = (3/20 e1, -1/5 e2)
        da_f = e c0 f (1 - f) = 0
            da_g = e i (1 - g^2) = (3/4 * 9/25 e1, 1/2 * 9/25 e2)
        dc0 = e f = e/2
            dh0 = (K1 (da_o[1] - da_g[2]), K2 (da_i[1] - da_g[1]))
    dW = h1^T da of the second step, dU = x1 da of the first, as x2 = 0; db is da of both.
    """
    layer, h0, c0 = lstm(), one_row((0, 0)), one_row((0, 0))
    y_TBH, _ = layer(one_row((1,), (0,)), (h0, c0))
    loss = y_TBH[-1].sum()
    loss.backward()
    t1, t2 = math.tanh(1 / 2), -math.tanh(7 / 10)
    d1, d2 = 3 / 4 * (1 - t1**2), 1 / 2 * (1 - t2**2)
    second = [
        [3 / 20 * d1, -1 / 5 * d2],
        [3 / 20 * d1, -3 / 40 * d2],
        [9 / 100 * d1, 9 / 50 * d2],
        [3 / 16 * t1, 1 / 4 * t2],
    ]
    dh_1, dh_2 = K1 * (3 / 16 * t1 - 51 / 200 * d2), K2 * 3 / 50 * d1
    e1, e2 = d1 / 2 + dh_1 * (1 - T1**2) / 2, 3 / 4 * d2 + 3 / 4 * dh_2 * (1 - T2**2)
    first = [
        [3 / 20 * e1, -1 / 5 * e2],
        [0, 0],
        [27 / 100 * e1, 9 / 50 * e2],
        [1 / 4 * T1 * dh_1, -3 / 16 * T2 * dh_2],
    ]
    same(loss, 3 / 4 * t1 + 1 / 2 * t2)
    for gradient, da in zip(blocks(layer.weight_hh.grad, 4), second, strict=True):
        same(gradient, outer([T1 / 2, -3 / 4 * T2], da))
    same(layer.weight_ih.grad, [value for da in first for value in da])
    same(
        layer.bias_ih.grad,
        [
            a + b
            for one, other in zip(first, second, strict=True)
            for a, b in zip(one, other, strict=True)
        ],
    )
    same(c0.grad, [e1 / 2, e2 / 2])
    (i1, _), _, (g1, g2), (o1, _) = first
    same(h0.grad, [K1 * (o1 - g2), K2 * (i1 - g1)])
