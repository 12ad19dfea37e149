"""What gates did at each word: the trace, and shares and derivatives by autograd."""

import json

import numpy as np
import pytest
import torch

from rnnlm.errors import UsageError
from rnnlm.lm.neural.layers.layers import make_layers
from rnnlm.tools.inspection.gates import changed, inspect_gates, most_varied
from support import tiny_seq2seq, tiny_tasks
from support.networks import network_settings
from support.pictures import faults_of
from support.tiny_models import fit

LINE = "the cat sat on the mat"
ACTIVATION_NAMES = ("tanh", "relu", "sigmoid", "elu", "leaky_relu")
CELLS = [
    *(network_settings("rnn", activation=name) for name in ACTIVATION_NAMES),
    *(network_settings("gru", reset_gate=where) for where in ("after", "before")),
    network_settings("lstm"), network_settings("lstm", peepholes=True, coupled_gates=True),
    *(network_settings("qrnn", pooling=pooling) for pooling in ("f", "fo", "ifo")),
]  # fmt: skip


def test_values_equal_the_trace():
    model = fit("lstm", layers=2)
    found = inspect_gates(model, LINE)
    ids = np.concatenate([[model.tokenizer.boundary_id], model.tokenizer.encode([LINE]).ids[:-1]])
    with torch.no_grad():
        trace = model.network.trace(
            torch.from_numpy(ids).unsqueeze(1).to(model.device), model.network.initial_state(1)
        )
    assert found.tokens == ("</s>", *LINE.split())
    for layer, traced in zip(found.layers, trace.layers, strict=True):
        np.testing.assert_array_equal(layer.hidden_TH, traced.hidden_TBH[:, 0].cpu())
        np.testing.assert_array_equal(layer.cell_TH, traced.cell_TBH[:, 0].cpu())
        assert list(layer.gates) == ["input", "forget", "candidate", "output"]
        for name, values in layer.gates.items():
            np.testing.assert_array_equal(values, traced.gates[name][:, 0].cpu())
    stored = json.loads(json.dumps(found.to_dict()))["layers"][1]
    forget_TH = trace.layers[1].gates["forget"][:, 0].cpu()
    np.testing.assert_allclose(stored["gates"]["forget"], forget_TH, atol=1e-6)
    np.testing.assert_allclose(stored["rewritten"], 1 - forget_TH.mean(1), atol=1e-6)


def test_rewritten_share_is_what_gates_do_not_keep():
    gate = np.array([[1.0, 0.5, 0.0], [0.9, 0.9, 0.6]])

    def share(name, *settings, **more):
        [layer] = make_layers(network_settings(*settings, **more))
        return layer.given_up({name: gate.mean(axis=1)} if name else {})

    np.testing.assert_allclose(share("forget", "lstm"), [0.5, 0.2])
    np.testing.assert_allclose(share("update", "gru", update_gate="keep"), [0.5, 0.2])
    np.testing.assert_allclose(share("update", "gru", update_gate="renew"), [0.5, 0.8])
    assert share(None, "rnn") is None


def test_state_change_is_step_relative_to_both_lengths():
    # lengths 5, 5, 0, 0, 10
    state = np.array([[3.0, 4.0], [3.0, 4.0], [0.0, 0.0], [0.0, 0.0], [6.0, 8.0]])
    np.testing.assert_allclose(changed(state), [1, 0, 1, 0, 1])
    turned = np.array([[4.0, 0.0], [0.0, 3.0]])
    np.testing.assert_allclose(changed(turned), [1, 5 / 7])
    np.testing.assert_allclose(changed(turned, is_backward=True), [5 / 7, 1])


def test_saturation_is_told_of_each_end():
    [layer] = inspect_gates(fit("lstm"), LINE).layers
    values = {**layer.gates, "tanh of the cell": np.tanh(layer.cell_TH)}
    for each in layer.activations:
        low = -0.9 if each.activation == "tanh" else 0.1
        assert each.below == pytest.approx((values[each.gate] < low).mean())
        assert each.above == pytest.approx((values[each.gate] > 0.9).mean())
    [layer] = inspect_gates(fit("rnn", activation="relu"), LINE).layers
    [figures] = layer.activations
    assert figures.below == pytest.approx((layer.hidden_TH == 0).mean()) and figures.above is None


@pytest.mark.parametrize("settings", CELLS, ids=lambda settings: settings.model)
def test_derivatives_equal_autograds(settings):
    torch.manual_seed(3)
    layer = make_layers(settings)[0].double()
    for parameter in layer.parameters():
        parameter.data.uniform_(-0.8, 0.8)
    shapes = [(places, 1, width) for places, width in layer.state_shapes()]
    state = tuple(torch.rand(shape, dtype=torch.float64) for shape in shapes)
    step, _ = layer.step(torch.randn(1, settings.input_width, dtype=torch.float64), state)
    order = {
        "rnn": ["hidden state"], "gru": ["reset", "update", "candidate"],
        "qrnn": ["candidate", "forget", "output", "input"],
    }.get(settings.model, ["input", "forget", "candidate", "output"][layer.gates == 3 :])  # fmt: skip
    for name, activation in layer.activations().items():
        if name == "tanh of the cell":
            cell = step.cell_BH.detach().requires_grad_()
            values = torch.tanh(cell)
            [slopes] = torch.autograd.grad(values.sum(), cell)
        else:  # each bias is added to one number alone, before its activation
            values = step.gates.get(name, step.hidden_BH)
            start = order.index(name) * layer.width
            [gradient] = torch.autograd.grad(values.sum(), layer.bias_ih, retain_graph=True)
            slopes = gradient[start : start + layer.width].unsqueeze(0)
        found = activation.derivative(values.detach().numpy())
        np.testing.assert_allclose(found, slopes, atol=1e-12)


def test_the_gates_of_a_mogrifiers_rounds_are_doubled():
    model = fit("lstm", mogrifier_rounds=3)
    [layer] = inspect_gates(model, LINE).layers
    assert [each.gate for each in layer.activations[:3]] == ["round 1", "round 2", "round 3"]
    assert layer.gates["round 1"].shape == (7, 8) and layer.gates["round 2"].shape == (7, 12)
    a = torch.tensor(0.3, requires_grad=True)
    doubled = 2 * torch.sigmoid(a)
    doubled.backward()
    activation = model.network.body.layers[0].activations()["round 1"]
    assert activation.derivative(doubled.detach().numpy()) == pytest.approx(a.grad.item())


def test_units_are_those_named_or_most_variable():
    model = fit("gru")
    assert inspect_gates(model, LINE, units=[3, 7]).layers[0].units == (3, 7)
    [layer] = inspect_gates(model, LINE, unit_count=4).layers
    spread = layer.hidden_TH.var(axis=0)
    assert len(layer.units) == 4 and min(spread[list(layer.units)]) >= sorted(spread)[-4]
    assert most_varied(np.array([[0, 0, 5.0], [1, 9, 5.0]]), 2) == (0, 1)
    with pytest.raises(UsageError, match="there is no unit 12 in layer 1"):
        inspect_gates(model, LINE, units=[12])


@pytest.mark.parametrize("kind", ["rnn", "jordan"])
def test_layers_without_gates_show_their_states_and_derivatives(kind):
    found = inspect_gates(fit(kind, activation="tanh"), LINE)
    [layer] = found.layers
    assert layer.gates == {} and layer.rewritten_T is None and layer.changed_T.shape == (7,)
    assert found.tables()[0].columns == ("token", "layer 1, changed")
    assert "layer 1 has no gate that keeps its state, which changes by" in found.verdict
    assert layer.activations[0].derivative_mean == pytest.approx((1 - layer.hidden_TH**2).mean())


@pytest.mark.parametrize("kind", ["ngram", "ffnn"])
def test_models_without_gates_and_states_are_refused(kind):
    with pytest.raises(UsageError, match=f"kind {kind} has no gates and no hidden state"):
        inspect_gates(fit(kind), LINE)


@pytest.mark.parametrize("task, kind", [("tagging", "gru"), ("classification", "lstm")])
def test_models_of_labels_show_both_directions(task, kind):
    found = inspect_gates(tiny_tasks.fit(task, kind), "show flights from oslo")
    onwards, backwards = found.layers
    assert (onwards.name, backwards.name) == ("layer 1 forward", "layer 1 backward")
    assert found.task == task
    # each begins with zeros
    assert onwards.changed_T[0] == backwards.changed_T[-1] == pytest.approx(1)
    assert max(onwards.changed_T[1:]) < 1 and max(backwards.changed_T[:-1]) < 1


def test_encoders_show_both_directions():
    encoder = inspect_gates(tiny_seq2seq.tiny_model(bidirectional=True), "the cat sat")
    names = [layer.name for layer in encoder.layers]
    assert names == ["encoder layer 1 forward", "encoder layer 1 backward"]


def test_the_picture_has_a_panel_for_each_gate():
    figure = inspect_gates(fit("lstm"), LINE, units=[0, 5]).figure()
    panels = [axes for axes in figure.axes if axes.images]
    names = ("hidden", "cell", "input", "forget", "candidate", "output")
    assert [axes.get_title() for axes in panels] == [f"layer 1, {name}" for name in names]
    assert panels[3].images[0].get_array().shape == (2, 7)
    heading = figure.get_suptitle()
    assert "units of" in heading and heading.endswith("those chosen") and faults_of(figure) == []


def test_pictures_of_many_units_can_be_read():
    """Sixteen units of an LSTM fit on a slide; a long line has a panel below the other."""
    model = fit("lstm", hidden_size=20)
    assert faults_of(inspect_gates(model, LINE, units=range(16)).figure()) == []
    assert faults_of(inspect_gates(model, f"{LINE} " * 6).figure(), fits_a_slide=False) == []
