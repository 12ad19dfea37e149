"""Jacobians by lag equal central differences; of linear layers, powers of W."""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from rnnlm.lm.neural.activations import BY_NAME
from rnnlm.lm.neural.layers.steps import ACTIVATIONS
from rnnlm.lm.neural.network import Network
from rnnlm.tools.inspection.gradients import jacobians
from support.networks import network_settings
from support.tiny_models import make_tokenizer

LAGS, ROWS = 3, 2
ACTIVATION_NAMES = ("tanh", "relu", "sigmoid", "elu", "leaky_relu")


CELLS = (
    *({"model": "rnn", "activation": name} for name in ACTIVATION_NAMES),
    {"model": "gru"}, {"model": "gru", "reset_gate": "before"},
    {"model": "gru", "update_gate": "renew"},
    {"model": "lstm"}, {"model": "lstm", "peepholes": True},
    {"model": "lstm", "coupled_gates": True}, {"model": "lstm", "mogrifier_rounds": 3},
    *({"model": "qrnn", "pooling": each} for each in ("f", "fo", "ifo")),
)  # fmt: skip
JORDAN = ({"model": "jordan"}, {"model": "jordan", "feedback": "embedding"})
STACKED = [{**cell, "layers": 2} for cell in CELLS]
STACKED += [pytest.param({**cell, "layers": 1}, marks=pytest.mark.soak) for cell in CELLS]
CONNECTED = [
    {"model": "lstm", "layers": 2, "connections": each} for each in ("residual", "dense", "highway")
]


def _name(settings):
    return "-".join(map(str, settings.values()))


def _network(model, **settings):
    """Make a network in float64, with weights large enough for every part to matter."""
    torch.manual_seed(1)
    made = network_settings(model, embedding_size=4, hidden_size=4, **settings)
    network = Network(made, make_tokenizer()).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.uniform_(-0.9, 0.9)
    return network


def _seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def _read(network, steps=LAGS + 2):
    ids_TB = torch.randint(0, 10, (steps, ROWS), generator=_seeded())
    return ids_TB, tuple(torch.rand_like(each) - 0.5 for each in network.initial_state(ROWS))


def _differences(function, x_BX, h=1e-5):
    """Return the Jacobian of each row by central differences, (B, outputs, X). `function` gets all
    changed vectors as rows, (X B, X)."""
    rows, width = x_BX.shape
    step_X1X = h * torch.eye(width, dtype=x_BX.dtype).unsqueeze(1)
    plus, minus = (function((x_BX + sign * step_X1X).flatten(0, 1)) for sign in (1, -1))
    return ((plus - minus) / (2 * h)).view(width, rows, -1).permute(1, 2, 0)


def _state_jacobian(trajectory, lag):
    """Return the Jacobian of the last state by that `lag` steps before, by central differences."""
    parts = len(trajectory.layer.parts)
    before = trajectory.states[trajectory.steps - lag]

    def after(changed_NS):
        copies = len(changed_NS) // ROWS
        others = [each.repeat(1, copies, 1) for each in before[parts:]]
        state = (*changed_NS.unsqueeze(0).chunk(parts, dim=2), *others)
        inputs_TBE = trajectory.inputs_TBE[trajectory.steps - lag :].repeat(1, copies, 1)
        _, state = trajectory.layer(inputs_TBE, state, *trajectory.feedback)
        return torch.cat(state[:parts], dim=2)[0]

    return _differences(after, torch.cat(before[:parts], dim=2)[0])


@pytest.mark.parametrize("settings", [*STACKED, *JORDAN], ids=_name)
def test_state_jacobians_equal_central_differences_of_fast_kernels(settings):
    network, H = _network(**settings), 4
    with torch.no_grad():
        for trajectory in jacobians.trajectories(network, *_read(network)):
            state_KB, cell_KB = jacobians.squared_sizes(trajectory, LAGS, 1, torch.Generator())
            for lag in range(1, LAGS + 1):
                squares_BSS = _state_jacobian(trajectory, lag).square()
                expected_B = squares_BSS.sum((1, 2)) / (len(trajectory.layer.parts) * H)
                torch.testing.assert_close(state_KB[lag - 1], expected_B, rtol=1e-6, atol=0)
                if cell_KB is not None:
                    cell_B = squares_BSS[:, -H:, -H:].sum((1, 2)) / H
                    torch.testing.assert_close(cell_KB[lag - 1], cell_B, rtol=1e-6, atol=0)


@pytest.mark.parametrize("settings", [*STACKED, *JORDAN, *CONNECTED], ids=_name)
def test_loss_gradients_equal_central_differences_of_plain_steps(settings):
    network = _network(**settings)
    ids_TB, state = _read(network)
    x_TBE = network.input.vectors(ids_TB)
    steps, targets_B = len(ids_TB), torch.tensor([1, 2])
    norms_TB, _ = jacobians.loss_gradients(
        network, x_TBE, torch.full((ROWS,), steps - 1), targets_B, state
    )

    def loss(changed_NX):
        copies = len(changed_NX) // ROWS
        changed_TNE = changed_NX.unflatten(1, (steps, -1)).transpose(0, 1)
        network.input.vectors = lambda _: changed_TNE
        states = tuple(each.repeat(1, copies, 1) for each in state)
        features_TNE = network.trace(ids_TB.repeat(1, copies), states).features_TBE
        return -network.score_features(features_TNE[-1:], targets_B.repeat(copies)[None])[0]

    with torch.no_grad():
        gradient_BX = _differences(loss, x_TBE.transpose(0, 1).flatten(1))[:, 0]
    expected_TB = gradient_BX.unflatten(1, (steps, -1)).norm(dim=2).t()
    torch.testing.assert_close(norms_TB, expected_TB, rtol=1e-6, atol=1e-9)


def _changed_at(at, added_NH, layer):
    """Return the steps of a layer, with something added to the hidden state after step `at`, or to
    the cell of a layer that does not read its hidden state."""
    plain, places = layer.step, iter(range(100))

    def step(x_BE, before, *feedback):
        step, after = plain(x_BE, before, *feedback)
        if next(places) != at:
            return step, after
        if "h" in layer.parts:
            h_BH = step.hidden_BH + added_NH
            return replace(step, hidden_BH=h_BH), (h_BH.unsqueeze(0), *after[1:])
        # A cell that is changed changes h = o * c with it.
        h_BH = step.hidden_BH + added_NH * step.gates.get("output", 1)
        return replace(step, hidden_BH=h_BH), ((step.cell_BH + added_NH).unsqueeze(0), *after[1:])

    return step


@pytest.mark.parametrize("settings", [*STACKED, *JORDAN, *CONNECTED], ids=_name)
def test_loss_gradients_by_state_equal_central_differences(settings, monkeypatch):
    network = _network(**settings)
    ids_TB, state = _read(network)
    targets_B = torch.tensor([1, 2])
    norms = jacobians.loss_gradients_by_state(network, ids_TB, targets_B, state)
    layers = getattr(network.body, "layers", [network.body])
    assert len(norms) == len(layers) and norms[0].shape == ids_TB.shape

    def loss(layer, at, added_NH):
        copies = len(added_NH) // ROWS
        states = tuple(part.repeat(1, copies, 1) for part in state)
        with monkeypatch.context() as patch:
            patch.setattr(layer, "step", _changed_at(at, added_NH, layer))
            features_TNE = network.trace(ids_TB.repeat(1, copies), states).features_TBE
        return -network.score_features(features_TNE[-1:], targets_B.repeat(copies)[None])[0]

    zeros_BH = torch.zeros(ROWS, 4, dtype=torch.float64)
    for layer, norms_TB in zip(layers, norms, strict=True):
        for at in range(len(ids_TB)):
            with torch.no_grad():
                gradient_BH = _differences(partial(loss, layer, at), zeros_BH)[:, 0]
            torch.testing.assert_close(norms_TB[at], gradient_BH.norm(dim=1), rtol=1e-6, atol=1e-9)


class Linear(nn.Module):
    """h = h' W^T + x, a layer whose Jacobian over k steps is W^k."""

    parts = ("h",)

    def __init__(self, W):
        super().__init__()
        self.W, self.width = W, len(W)

    def step(self, x_BE, state):
        return None, (state[0] @ self.W.T + x_BE,)


def _linear_trajectory(W, steps, rows):
    x_TBE = torch.zeros(steps, rows, len(W), dtype=W.dtype)
    return jacobians.Trajectory(Linear(W), x_TBE, [(x_TBE[:1],)] * (steps + 1))


def _orthogonal(width):
    return torch.linalg.qr(torch.randn(width, width, dtype=torch.float64, generator=_seeded(3))).Q


@pytest.mark.parametrize("a", [0.9, 1.0, 1.1])
@pytest.mark.parametrize("width", [16, 80])
def test_scaled_rotation_has_exact_sizes_and_exponents(a, width):
    trajectory = _linear_trajectory(a * _orthogonal(width), 60, 2)
    sizes = jacobians.squared_sizes(trajectory, 60, 4, torch.Generator())[0].sqrt()
    expected = a ** torch.arange(1, 61, dtype=torch.float64).unsqueeze(1).expand(60, 2)
    torch.testing.assert_close(sizes, expected, rtol=1e-6, atol=0)
    for exponent in jacobians.exponents(jacobians.growth(trajectory, 60, 3, torch.Generator())):
        assert exponent.value == pytest.approx(math.log(a), abs=1e-6)


def test_probes_agree_with_matrix_powers_within_standard_error():
    rows, width = 400, 80
    W = torch.randn(width, width, dtype=torch.float64, generator=_seeded(5)) / math.sqrt(width)
    squares_KB = jacobians.squared_sizes(_linear_trajectory(W, 20, rows), 20, 2, _seeded())[0]
    for lag in (1, 2, 5, 20):
        exact = float(torch.linalg.matrix_power(W, lag).square().sum()) / width
        error = float(squares_KB[lag - 1].std()) / math.sqrt(rows)
        assert abs(float(squares_KB[lag - 1].mean()) - exact) < 3 * error
        assert error < 0.2 * exact


@pytest.mark.parametrize("a", [1e-2, 1e2])
def test_sizes_stay_right_beyond_the_fp32_range(a):
    trajectory = _linear_trajectory((a * _orthogonal(16)).float(), 60, 1)
    sizes = jacobians.squared_sizes(trajectory, 60, 4, torch.Generator())[0].sqrt()
    assert float(sizes[59, 0]) == pytest.approx(a**60, rel=1e-4)


def test_diagonal_network_exponents_are_logs_of_largest_values():
    values = torch.tensor([0.9, 0.5, 1.2, 0.1, 0.7], dtype=torch.float64)
    Q = _orthogonal(5)
    trajectory = _linear_trajectory(Q @ values.diag() @ Q.T, 200, 3)
    found = jacobians.exponents(jacobians.growth(trajectory, 200, 3, _seeded()))
    expected = [math.log(value) for value in (1.2, 0.9, 0.7)]
    assert [each.value for each in found] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("activation", ACTIVATION_NAMES)
def test_size_lies_within_bounds_of_pascanu_et_al(activation):
    network = _network("rnn", activation=activation)
    with torch.no_grad():
        (trajectory,) = jacobians.trajectories(network, *_read(network, 10))
        sizes = jacobians.squared_sizes(trajectory, 9, 1, torch.Generator())[0].sqrt()
        bounds = jacobians.elman_bounds(
            trajectory.layer, jacobians.flattest_slope(trajectory.hidden_TBH, activation)
        )
        largest = float(torch.linalg.matrix_norm(trajectory.layer.weight_hh, 2))
    for lag in range(1, 10):
        assert bounds.lower**lag - 1e-12 <= float(sizes[lag - 1].min())
        assert float(sizes[lag - 1].max()) <= bounds.upper**lag + 1e-12
    assert bounds.largest == pytest.approx(largest)


@pytest.mark.parametrize("activation", ACTIVATION_NAMES)
def test_slopes_from_unit_values_equal_autograd(activation):
    a_N = torch.linspace(-3, 3, 601, dtype=torch.float64, requires_grad=True)  # 0 among them
    h_N = ACTIVATIONS[activation](a_N)
    (slopes_N,) = torch.autograd.grad(h_N.sum(), a_N)
    for at in range(100, 600, 70):
        found = jacobians.flattest_slope(h_N[at].detach().reshape(1), activation)
        assert found == pytest.approx(float(slopes_N[at]))
    assert BY_NAME[activation].steepest == pytest.approx(float(slopes_N.max()))
