"""The trace of a network equals what its kernels compute, in values and in gradients."""

import pytest
import torch

from rnnlm.lm.neural.network import make_network
from rnnlm.lm.neural.settings import kinds
from rnnlm.registry import kind_of
from support.model_cases import SPELLED, VARIANTS
from support.tiny_models import make_tokenizer, small_settings

T, B = 6, 3
# what does not touch the layers that are traced
OUTSIDE = {"output_layer", "loss", "ema_decay", "optimizer"}
PLAIN = [(name, each) for name in kinds() for each in VARIANTS[name] if not OUTSIDE & each.keys()]
CASES = [
    *PLAIN, *SPELLED[:3],
    ("gru", {"reset_gate": "before", "update_gate": "renew", "layers": 3, "connections": "dense"}),
    ("lstm", {"peepholes": True, "coupled_gates": True, "layers": 2, "connections": "residual"}),
    ("lstm", {"mogrifier_rounds": 3, "peepholes": True}),
    ("lstm", {"mogrifier_rounds": 2, "mogrifier_rank": 3, "coupled_gates": True}),
]  # fmt: skip


def make(name, dtype=torch.float64, **settings):
    """Make a network in evaluation mode with random weights everywhere, its input and a state."""
    tokenizer = make_tokenizer()
    torch.manual_seed(5)
    shape = small_settings(kind_of(name), **settings).make(kinds()[name])
    network = make_network(shape, tokenizer.spelling() if shape.characters else tokenizer)
    network.to(dtype).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.uniform_(-0.6, 0.6)
    inputs_TB, state = torch.randint(tokenizer.size, (T, B)), network.initial_state(B)
    return network, inputs_TB, tuple(torch.randn_like(part).requires_grad_() for part in state)


def gradients(outputs, network, state):
    """Return the gradients of a mean in which each number has a different weight."""
    means = []
    for each in filter(torch.numel, outputs):
        weighting = torch.linspace(-1, 1, each.numel(), dtype=each.dtype).view_as(each)
        means.append((weighting * each).mean())
    wanted = [*network.parameters(), *state]
    found = torch.autograd.grad(sum(means), wanted, materialize_grads=True)
    return [each.to_dense() for each in found]


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("name, settings", CASES, ids=str)
def test_trace_equals_kernels_in_values_and_gradients(name, settings, dtype, tolerance):
    network, inputs_TB, state = make(name, dtype, **settings)
    features_TBE, after = network.features(inputs_TB, state)
    found = network.trace(inputs_TB, state)
    kernels, plain = [features_TBE, *after], [found.features_TBE, *found.state]
    expected, ours = ([*values, *gradients(values, network, state)] for values in (kernels, plain))
    torch.testing.assert_close(ours, expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize("name, settings", CASES, ids=str)
def test_trace_holds_what_every_layer_and_step_computes(name, settings):
    """Each step's states follow from its own gates, and what it left one step before."""
    network, inputs_TB, state = make(name, **settings)
    layers = network.trace(inputs_TB, state).layers
    assert len(layers) == getattr(network.settings, "layers", 1)
    for number, layer in enumerate(layers):
        assert layer.inputs_TBE.shape[:2] == (T, B) and len(layer.steps) == T
        h, cell, gates = layer.hidden_TBH, layer.cell_TBH, layer.gates
        if cell is not None:
            new = gates["forget"] * cell.roll(1, 0) + gates["input"] * gates["candidate"]
            torch.testing.assert_close(cell[1:], new[1:])
            out = cell
            if name == "lstm":
                out = network.body.layers[number].normalised(cell).tanh()
            torch.testing.assert_close(h, gates["output"] * out if "output" in gates else out)
        elif gates:
            new = network.body.layers[number].given_up(gates)
            mixed = (1 - new) * h.roll(1, 0) + new * gates["candidate"]
            torch.testing.assert_close(h[1:], mixed[1:])
        # A layer names its gates; one whose input and forget gate are coupled computes both.
        named = {*network.body.layers[number].gate_names} if gates else set()
        computed = {gate for gate in gates if not gate.startswith("round ")}
        assert named <= computed <= {*named, "input"}


def test_gradients_between_steps_are_recurrent_weight_products():
    """Where all units of a ReLU layer are active, d h_t / d h_s is W^(t - s)."""
    network, inputs_TB, _ = make("rnn", activation="relu", tied=False)
    layer = network.body.layers[0]
    with torch.no_grad():
        for weight in (layer.weight_ih, layer.weight_hh):
            weight.abs_()
        network.input.weight.abs_()
        layer.bias_ih.abs_()
    steps = network.trace(inputs_TB[:, :1], network.initial_state(1)).layers[0].steps
    first, last = steps[0].hidden_BH, steps[3].hidden_BH
    rows = [torch.autograd.grad(unit, first, retain_graph=True)[0][0] for unit in last[0]]
    expected = torch.linalg.matrix_power(layer.weight_hh, 3)
    torch.testing.assert_close(torch.stack(rows), expected)


def test_nothing_is_dropped_from_a_trace():
    places = ("embedding", "input", "between", "output")
    drops = {f"dropout_{place}": 0.5 for place in places} | {"weight_drop": 0.5}
    network, inputs_TB, state = make("lstm", layers=2, **drops)
    expected = network.trace(inputs_TB, state).features_TBE
    assert torch.equal(network.train().trace(inputs_TB, state).features_TBE, expected)
    assert not torch.equal(network.features(inputs_TB, state)[0], expected)
