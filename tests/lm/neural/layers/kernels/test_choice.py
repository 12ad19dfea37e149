"""The recurrent layers against their equations in numpy, torch's kernels and finite differences."""

import itertools
import typing

import numpy as np
import pytest
import torch

from reference import recurrent
from rnnlm.lm.neural.cells import cells
from rnnlm.lm.neural.layers.kernels import choice
from rnnlm.lm.neural.layers.steps import ACTIVATIONS, elman_step
from rnnlm.lm.neural.settings import Activation
from support.devices import NEEDS_BF16

T, B, E, H = 6, 3, 4, 5
GATES = {"elman": 1, "gru": 3, "lstm": 4}
ELMAN = [{"activation": name} for name in typing.get_args(Activation)]
GRU_GATES = itertools.product(("after", "before"), ("keep", "renew"))
GRU = [{"reset_gate": reset, "update_gate": update} for reset, update in GRU_GATES]
LSTM_GATES = itertools.product((False, True), (False, True))
LSTM = [{"peepholes": peepholes, "coupled_gates": coupled} for peepholes, coupled in LSTM_GATES]
FORMS = [
    *(("elman", form) for form in ELMAN), *(("gru", form) for form in GRU),
    *(("lstm", form) for form in LSTM),
]  # fmt: skip
NAMES = ["-".join((kind, *map(str, form.values()))) for kind, form in FORMS]
all_forms = pytest.mark.parametrize("kind, form", FORMS, ids=NAMES)


@pytest.fixture(autouse=True)
def own_loops(monkeypatch):
    """Use our own loops everywhere, as torch's kernels are the reference here."""
    monkeypatch.setattr(choice, "_torch_is_quicker", lambda *_: False)


QUICKER = choice._torch_is_quicker  # as it is outside these tests


def example(kind, form, dtype=torch.float32, sizes=(T, B, E, H)):
    """Return inputs, first states and weights of a layer, in the order of its parameters."""
    T, B, E, H = sizes
    generator = torch.Generator().manual_seed(3)
    count = GATES[kind] - form.get("coupled_gates", False)
    states, biases = (2 if kind == "lstm" else 1), (2 if kind == "gru" else 1)
    rows = count * H
    shapes = [(T, B, E), *[(B, H)] * states, (rows, E), (rows, H), *[(rows,)] * biases]
    if form.get("peepholes"):
        shapes.append((rows - H,))
    scales = [1.0] * (1 + states) + [E**-0.5, H**-0.5] + [0.5] * 3
    tensors = []
    for shape, scale in zip(shapes, scales, strict=False):
        drawn = torch.randn(shape, generator=generator, dtype=torch.float64)
        tensors.append((drawn * scale).to(dtype).requires_grad_())
    return tensors


def run(kind, form, inputs):
    """Return y_TBH and the last states, h first, of a layer with these weights."""
    states = 2 if kind == "lstm" else 1
    cell = cells()["rnn" if kind == "elman" else kind]
    layer = cell.layer()(cell.load()(**form), E, H)
    last = "bias_hh" if kind == "gru" else "peepholes"
    names = ("weight_ih", "weight_hh", "bias_ih", last)
    weights = dict(zip(names, inputs[1 + states :], strict=False))
    state = tuple(part.unsqueeze(0) for part in inputs[1 : 1 + states])
    y_TBH, state = torch.func.functional_call(layer, weights, (inputs[0], state))
    return y_TBH, *(part[0] for part in state)


def gradients(kind, form, inputs):
    """Return the gradients of a sum in which each output and last state has a different weight."""
    outputs = run(kind, form, inputs)
    weighted = [torch.linspace(-1, 1, part.numel()).view_as(part) * part for part in outputs]
    return torch.autograd.grad(sum(part.sum() for part in weighted), inputs)


@all_forms
def test_outputs_equal_the_equations_and_gradients_finite_differences(kind, form):
    inputs = example(kind, form, torch.float64)
    expected = recurrent.layer(kind, form, *(part.detach().numpy() for part in inputs))
    with torch.no_grad():
        alone = run(kind, form, inputs)
    for outputs in (run(kind, form, inputs), alone):
        for ours, theirs in zip(outputs, expected, strict=True):
            np.testing.assert_allclose(ours.detach().numpy(), theirs, atol=1e-12)
    assert torch.autograd.gradcheck(lambda *given: run(kind, form, given), inputs, fast_mode=True)


@pytest.mark.parametrize("name, activation", ACTIVATIONS.items())
def test_activations_and_their_derivatives_are_torchs(name, activation):
    """At 0, too, where the derivative of some is a convention."""
    x_TBE, h_BH, U, W, b_H = example("elman", {}, torch.float64)
    with torch.no_grad():
        for zero in (x_TBE[0, 0], h_BH[0], b_H[0]):
            zero.zero_()
    h, steps = h_BH, []
    for x_BE in x_TBE:
        h = elman_step(x_BE @ U.T + b_H, h, W, name).hidden_BH
        steps.append(h)
    inputs = [x_TBE, h_BH, U, W, b_H]
    ours, theirs = choice.elman(*inputs, name), torch.stack(steps)
    assert theirs[0, 0, 0] == activation(torch.zeros(()))
    assert name in ("relu", "sigmoid") or (theirs < 0).any()
    weighting = torch.linspace(-1, 1, ours.numel()).view_as(ours)
    gradients = [torch.autograd.grad((weighting * each).sum(), inputs) for each in (ours, theirs)]
    for mine, other in zip((ours, *gradients[0]), (theirs, *gradients[1]), strict=True):
        torch.testing.assert_close(mine, other, atol=1e-12, rtol=0)


@all_forms
def test_products_in_bf16_stay_close_to_fp32(kind, form):
    """Each product rounds to 8 bits: 2^-8 of terms of order one, carried over six steps."""
    inputs = example(kind, form)
    exact = [*run(kind, form, inputs), *gradients(kind, form, inputs)]
    with torch.autocast("cpu", torch.bfloat16):
        rounded = [*run(kind, form, inputs), *gradients(kind, form, inputs)]
    for mine, other in zip(rounded, exact, strict=True):
        assert mine.dtype == torch.float32
        relative = (mine - other).norm() / other.norm()
        assert 1e-5 < relative < 0.03


@pytest.mark.parametrize("reset_gate", ["after", "before"])
def test_swapping_the_update_gate_gives_the_other_convention(reset_gate):
    x_TBE, h_BH, *weights = example("gru", {}, torch.float64)
    swapped = [choice.swap_update_gate(weight) for weight in weights]
    keep, renew = ({"reset_gate": reset_gate, "update_gate": name} for name in ("keep", "renew"))
    expected = run("gru", keep, (x_TBE, h_BH, *weights))
    torch.testing.assert_close(run("gru", renew, (x_TBE, h_BH, *swapped)), expected)
    for weight, twice in zip(weights, map(choice.swap_update_gate, swapped), strict=True):
        assert torch.equal(weight, twice)


def test_only_lstms_are_quicker_in_torch_on_cpu():
    x_TBE, h_BH = torch.zeros(T, B, E), torch.zeros(B, H)
    assert [kind for kind in GATES if QUICKER(kind, x_TBE, h_BH)] == ["lstm"]
    assert not QUICKER("lstm", x_TBE.double(), h_BH.double())
    assert all(QUICKER(kind, x_TBE.to("meta"), h_BH.to("meta")) for kind in GATES)


@NEEDS_BF16
def test_wide_lstms_train_in_bf16_through_the_loops():
    x_TBE, wide_BH = torch.zeros(T, B, E), torch.zeros(B, choice.WIDE_LSTM)
    assert QUICKER("lstm", x_TBE, wide_BH)
    with torch.autocast("cpu", torch.bfloat16):
        assert not QUICKER("lstm", x_TBE, wide_BH)
        assert QUICKER("lstm", x_TBE, wide_BH[:, :512])
        with torch.no_grad():
            assert QUICKER("lstm", x_TBE, wide_BH)


@pytest.mark.parametrize(
    "precision", [torch.float32, pytest.param(torch.bfloat16, marks=NEEDS_BF16)]
)
@all_forms
def test_torchs_kernels_agree_with_the_loops(monkeypatch, kind, form, precision):
    inputs = example(kind, form)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        ours = [*run(kind, form, inputs), *gradients(kind, form, inputs)]
        monkeypatch.setattr(choice, "_torch_is_quicker", lambda *_: True)
        theirs = [*run(kind, form, inputs), *gradients(kind, form, inputs)]
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.dtype == other.dtype == torch.float32
        assert (mine - other).norm() < (1e-5 if precision == torch.float32 else 0.03) * other.norm()
