"""Jacobians by lag: equal central differences for every kind of layer; of linear layers they are
powers of W."""

import math

import pytest
import torch
from torch import nn

from rnnlm.inspection.gradients.jacobians import (
    Trajectory,
    elman_bounds,
    exponents,
    flattest_slope,
    growth,
    loss_gradients,
    probes_for,
    squared_sizes,
    trajectories,
)
from rnnlm.neural.activations import BY_NAME
from rnnlm.neural.layers.steps import ACTIVATIONS
from rnnlm.neural.network import Network
from rnnlm.neural.settings import network_settings
from support.tiny_models import make_tokenizer

LAGS, ROWS = 3, 2
CELLS = (
    *(
        {"model": "rnn", "activation": each}
        for each in ("tanh", "relu", "sigmoid", "elu", "leaky_relu")
    ),
    *({"model": "gru", "reset_gate": each} for each in ("after", "before")),
    {"model": "gru", "update_gate": "renew"},
    {"model": "lstm"},
    {"model": "lstm", "peepholes": True},
    {"model": "lstm", "coupled_gates": True},
    {"model": "lstm", "mogrifier_rounds": 3},
    *({"model": "qrnn", "pooling": each} for each in ("f", "fo", "ifo")),
)
JORDAN = ({"model": "jordan"}, {"model": "jordan", "feedback": "embedding"})
STACKED = [{**cell, "layers": layers} for cell in CELLS for layers in (1, 2)]
CONNECTED = [
    {"model": "lstm", "layers": 2, "connections": each} for each in ("residual", "dense", "highway")
]


def _name(settings):
    return "-".join(map(str, settings.values()))


def _network(model, **settings):
    """Make a network in float64, with weights large enough for every part to matter."""
    torch.manual_seed(1)
    made = (
        Network(
            network_settings(model, embedding_size=4, hidden_size=4, **settings), make_tokenizer()
        )
        .double()
        .eval()
    )
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.uniform_(-0.9, 0.9)
    return made


def _read(network, steps=LAGS + 2):
    ids_TB = torch.randint(0, 10, (steps, ROWS), generator=torch.Generator().manual_seed(0))
    state = tuple(torch.rand_like(each) - 0.5 for each in network.initial_state(ROWS))
    return ids_TB, state


def _differences(function, x_BX, h=1e-5):
    """Return the Jacobian of each row by central differences, (B, outputs, X). `function` gets all
    changed vectors as rows, (X B, X)."""
    rows, width = x_BX.shape
    step_X1X = h * torch.eye(width, dtype=x_BX.dtype).unsqueeze(1)
    plus, minus = (
        function((x_BX + sign * step_X1X).flatten(0, 1)).view(width, rows, -1) for sign in (1, -1)
    )
    return ((plus - minus) / (2 * h)).permute(1, 2, 0)


@pytest.mark.parametrize("settings", [*STACKED, *JORDAN], ids=_name)
def test_state_jacobians_equal_central_differences_of_fast_kernels(settings):
    network = _network(**settings)
    with torch.no_grad():
        for trajectory in trajectories(network, *_read(network)):
            H, parts = 4, len(trajectory.parts)
            sizes = squared_sizes(trajectory, LAGS, 1, torch.Generator())
            for lag in range(1, LAGS + 1):
                start = trajectory.steps - lag
                before = trajectory.states[start]

                def after(
                    changed_NS, start=start, before=before, trajectory=trajectory, parts=parts
                ):
                    copies = len(changed_NS) // ROWS
                    state = (
                        *changed_NS.unsqueeze(0).chunk(parts, dim=2),
                        *(each.repeat(1, copies, 1) for each in before[parts:]),
                    )
                    _, state = trajectory.layer(
                        trajectory.inputs_TBE[start:].repeat(1, copies, 1),
                        state,
                        *trajectory.feedback,
                    )
                    return torch.cat(state[:parts], dim=2)[0]

                jacobian_BSS = _differences(after, torch.cat(before[:parts], dim=2)[0])
                expected_B = jacobian_BSS.square().sum((1, 2)) / (parts * H)
                torch.testing.assert_close(sizes.state_KB[lag - 1], expected_B, rtol=1e-6, atol=0)
                if sizes.cell_KB is not None:
                    expected_B = jacobian_BSS[:, -H:, -H:].square().sum((1, 2)) / H
                    torch.testing.assert_close(
                        sizes.cell_KB[lag - 1], expected_B, rtol=1e-6, atol=0
                    )


@pytest.mark.parametrize("settings", [*STACKED, *JORDAN, *CONNECTED], ids=_name)
def test_loss_gradients_equal_central_differences_of_plain_steps(settings, monkeypatch):
    network = _network(**settings)
    ids_TB, state = _read(network)
    targets_B = torch.tensor([1, 2])
    norms_TB, _ = loss_gradients(
        network,
        network.input.vectors(ids_TB),
        torch.full((ROWS,), len(ids_TB) - 1),
        targets_B,
        state,
    )
    norms_TB = norms_TB.flip(0)

    with torch.no_grad():
        x_TBE = network.input.vectors(ids_TB)

        def loss(changed_NX):
            copies = len(changed_NX) // ROWS
            monkeypatch.setattr(
                network.input,
                "vectors",
                lambda _: changed_NX.unflatten(1, (len(x_TBE), -1)).transpose(0, 1),
            )
            features_TNE = network.trace(
                ids_TB.repeat(1, copies), tuple(each.repeat(1, copies, 1) for each in state)
            ).features_TBE
            return -network.score_features(
                features_TNE[-1:], targets_B.repeat(copies).unsqueeze(0)
            )[0]

        gradient_BX = _differences(loss, x_TBE.transpose(0, 1).flatten(1))[:, 0]
    expected_TB = gradient_BX.unflatten(1, (len(x_TBE), -1)).norm(dim=2).t().flip(0)
    torch.testing.assert_close(norms_TB, expected_TB, rtol=1e-6, atol=1e-9)


class Linear(nn.Module):
    """h = h' W^T + x, a layer whose Jacobian over k steps is W^k."""

    states = 1

    def __init__(self, W):
        super().__init__()
        self.W, self.width = W, len(W)

    def step(self, x_BE, state):
        after = (state[0] @ self.W.T + x_BE,)
        return None, after


def _linear_trajectory(W, steps, rows):
    x_TBE = torch.zeros(steps, rows, len(W), dtype=W.dtype)
    return Trajectory(Linear(W), x_TBE, [(x_TBE[:1],)] * (steps + 1))


def _orthogonal(width, seed=3):
    return torch.linalg.qr(
        torch.randn(
            width, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
        )
    ).Q


@pytest.mark.parametrize("a", [0.9, 1.0, 1.1])
@pytest.mark.parametrize("width", [16, 80])
def test_scaled_rotation_has_exact_sizes_and_exponents(a, width):
    trajectory = _linear_trajectory(a * _orthogonal(width), 60, 2)
    sizes = squared_sizes(trajectory, 60, 4, torch.Generator()).state_KB.sqrt()
    expected = a ** torch.arange(1, 61, dtype=torch.float64).unsqueeze(1).expand(60, 2)
    torch.testing.assert_close(sizes, expected, rtol=1e-6, atol=0)
    for exponent in exponents(growth(trajectory, 60, 3, torch.Generator())):
        assert exponent.value == pytest.approx(math.log(a), abs=1e-6)


@pytest.mark.parametrize("a", [0.9, 1.0, 1.1])
def test_fully_active_relu_elman_layer_is_scaled_rotation(a):
    network = _network("rnn", activation="relu")
    (layer,) = network.body.layers
    with torch.no_grad():
        # orthogonal, and nothing in it is negative
        layer.weight_hh.copy_(a * torch.eye(4)[[2, 0, 3, 1]])
        layer.weight_ih.zero_()
        layer.bias_ih.fill_(1.0)
        (trajectory,) = trajectories(
            network, torch.zeros(31, 1, dtype=torch.int64), network.initial_state(1)
        )
        sizes = squared_sizes(trajectory, 30, 4, torch.Generator()).state_KB.sqrt()[:, 0]
        (exponent,) = exponents(growth(trajectory, 30, 1, torch.Generator()))
    assert exponent.value == pytest.approx(math.log(a), abs=1e-6)
    torch.testing.assert_close(
        sizes, a ** torch.arange(1, 31, dtype=torch.float64), rtol=1e-6, atol=0
    )


def test_probes_agree_with_matrix_powers_within_standard_error():
    rows, width = 400, 80
    W = torch.randn(
        width, width, dtype=torch.float64, generator=torch.Generator().manual_seed(5)
    ) / math.sqrt(width)
    squares_KB = squared_sizes(
        _linear_trajectory(W, 20, rows), 20, 2, torch.Generator().manual_seed(0)
    ).state_KB
    for lag in (1, 2, 5, 20):
        exact = float(torch.linalg.matrix_power(W, lag).square().sum()) / width
        error = float(squares_KB[lag - 1].std()) / math.sqrt(rows)
        assert abs(float(squares_KB[lag - 1].mean()) - exact) < 3 * error
        assert error < 0.2 * exact


@pytest.mark.parametrize(
    ("width", "states", "asked", "taken"),
    [(80, 1, 4, 4), (80, 2, 5, 2), (80, 2, 1, 1), (64, 2, 4, 64)],
)
def test_probes_are_shared_out_unless_state_is_narrow(width, states, asked, taken):
    trajectory = _linear_trajectory(torch.eye(width), 1, 1)
    trajectory.layer.states = states
    assert probes_for(trajectory, asked) == taken


def test_sizes_stay_right_beyond_the_fp32_range():
    for a in (1e-2, 1e2):
        sizes = squared_sizes(
            _linear_trajectory((a * _orthogonal(16)).float(), 60, 1), 60, 4, torch.Generator()
        ).state_KB.sqrt()
        assert float(sizes[59, 0]) == pytest.approx(a**60, rel=1e-4)


def test_diagonal_network_exponents_are_logs_of_largest_values():
    values = torch.tensor([0.9, 0.5, 1.2, 0.1, 0.7], dtype=torch.float64)
    Q = _orthogonal(5)
    found = exponents(
        growth(
            _linear_trajectory(Q @ values.diag() @ Q.T, 200, 3),
            200,
            3,
            torch.Generator().manual_seed(0),
        )
    )
    assert [each.value for each in found] == pytest.approx(
        [math.log(each) for each in (1.2, 0.9, 0.7)], abs=1e-3
    )


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid", "elu", "leaky_relu"])
def test_size_lies_within_bounds_of_pascanu_et_al(activation):
    network = _network("rnn", activation=activation)
    with torch.no_grad():
        (trajectory,) = trajectories(network, *_read(network, 10))
        sizes = squared_sizes(trajectory, 9, 1, torch.Generator()).state_KB.sqrt()
        bounds = elman_bounds(trajectory.layer, flattest_slope(trajectory.hidden_TBH, activation))
    for lag in range(1, 10):
        assert bounds.lower**lag - 1e-12 <= float(sizes[lag - 1].min())
        assert float(sizes[lag - 1].max()) <= bounds.upper**lag + 1e-12
    assert bounds.largest == pytest.approx(
        float(torch.linalg.matrix_norm(trajectory.layer.weight_hh.detach(), 2))
    )


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid", "elu", "leaky_relu"])
def test_slopes_from_unit_values_equal_autograd(activation):
    for a in torch.linspace(-2, 2, 8, dtype=torch.float64):
        a = a.clone().requires_grad_()
        h = ACTIVATIONS[activation](a)
        (slope,) = torch.autograd.grad(h, a)
        assert flattest_slope(h.detach().unsqueeze(0), activation) == pytest.approx(float(slope))


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid", "elu", "leaky_relu"])
def test_the_steepest_slope_is_the_largest_of_autograd(activation):
    a = torch.linspace(-3, 3, 601, dtype=torch.float64, requires_grad=True)  # 0 among them
    (slopes,) = torch.autograd.grad(ACTIVATIONS[activation](a).sum(), a)
    assert BY_NAME[activation].steepest == pytest.approx(float(slopes.max()))
