"""inspect_units: properties of a text, units that follow them, a text coloured by a unit."""

import json

import numpy as np
import pytest
import torch

from rnnlm.errors import TextError, UsageError
from rnnlm.lm.base.loading import SHIPPED
from rnnlm.tools.inspection import units
from support import tiny_tasks
from support.pictures import faults_of
from support.tiny_models import LINES, Lines, fit

TEXT = Lines(LINES * 2)


@pytest.fixture(scope="module")
def lstm():
    return fit("lstm", layers=2)


def test_features_are_counted_by_hand():
    found = units.features_of(["</s>", '"', "a", "(", "[b", ")", "]", '"', "7", "c"])
    columns = dict(zip(units.FEATURES, found.T.tolist(), strict=True))
    assert columns["quotes"] == [0, 1, 1, 1, 1, 1, 1, 0, 0, 0]
    assert columns["brackets"] == [0, 0, 0, 1, 2, 1, 0, 0, 0, 0]
    assert columns["line length"] == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10]
    assert columns["position"] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert columns["number"] == [0, 0, 0, 0, 0, 0, 0, 0, 1, 0]
    # other marks of quotations; closing brackets without an opening one
    curly = units.features_of(["``", "a", "''", "\u201cb", "\u201d", ")", "("])
    assert curly[:, 0].tolist() == [1, 1, 0, 0, 0, 0, 0]
    assert curly[:, 1].tolist() == [0, 0, 0, 0, 0, 0, 1]


def test_correlations_are_those_of_numpy():
    random = np.random.default_rng(0)
    values_TU, features_TF = random.normal(size=(50, 3)), random.normal(size=(50, 2))
    values_TU[:, 2] = 1.5  # a unit that never moves
    found = units.correlations(values_TU, features_TF)
    expected = np.corrcoef(features_TF.T, values_TU[:, :2].T)[:2, 2:]
    assert found[:, :2] == pytest.approx(expected)
    assert np.isnan(found[:, 2]).all()
    interval = units.correlation_interval(values_TU[:, 0], features_TF[:, 0], range(0, 50, 5))
    assert interval.estimate == pytest.approx(expected[0, 0])
    assert interval.low < interval.estimate < interval.high
    alone = units.correlation_interval(values_TU[:, 0], features_TF[:, 0], [0])
    assert alone.low is None and alone.why == "fewer than 5 units"


def test_units_are_cells_and_the_closest_come_first(lstm):
    found = units.inspect_units(lstm, TEXT, most=2)
    traced = lstm.trace_line(LINES[0])
    cell_TH = traced.layers[0].layer.cell_TBH[:, 0]
    count = len(traced.tokens)
    width = cell_TH.shape[1]
    assert found.reading.values_TU[:count, :width] == pytest.approx(cell_TH.cpu().numpy())
    assert found.reading.units[width] == ("layer 2", 0)
    of_position = [each for each in found.responses if each.feature == "position"]
    sizes = [abs(each.correlation.estimate) for each in of_position]
    assert len(sizes) == 2 and sizes[0] >= sizes[1]
    row = list(units.FEATURES).index("position")
    assert sizes[0] == pytest.approx(np.nanmax(np.abs(found.correlations_FU[row])))
    assert not any(each.feature in ("quotes", "brackets") for each in found.responses)  # none here
    stored = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert len(stored["correlations"]["layer 2"]["position"]) == width
    assert stored["correlations"]["layer 1"]["quotes"] == [None] * width
    assert len(stored["unit"]["values"]) == stored["tokens"]
    assert [len(table.rows[0]) == len(table.columns) for table in found.tables()] == [True]
    assert faults_of(found.figure()) == []


def test_one_unit_is_shown_if_asked(lstm):
    found = units.inspect_units(lstm, TEXT, unit=1, layer=2)
    assert found.reading.name(found.chosen) == "unit 1 of layer 2"
    assert "unit 1 of layer 2" in found.verdict
    extremes = found.tables()[1]
    means = [mean for _, mean, _ in extremes.rows]
    assert means == sorted(means)
    token, mean, times = extremes.rows[0]
    values = found.reading.values_TU[np.array(found.reading.tokens) == token, found.chosen]
    assert (mean, times) == (pytest.approx(values.mean()), len(values))
    assert faults_of(found.figure()) == []


def test_the_shipped_model_has_a_unit_for_quotations():
    lines = Lines(['"it is late," he said.', "he went home.", '"why?" she asked.'] * 4)
    found = units.inspect_units(SHIPPED, lines, most=1)
    [quotes] = [each for each in found.responses if each.feature == "quotes"]
    assert abs(quotes.correlation.estimate) > 0.9
    assert "follows quotes (1 inside a quotation)" in found.verdict


def test_wrong_requests_are_refused(lstm):
    for asked, what in (
        ({"unit": 99}, "no unit 99 in layer 1"),
        ({"unit": 0, "layer": 3}, "no layer 3"),
        ({"most": 0}, "most = 0"),
    ):
        with pytest.raises(UsageError, match=what):
            units.inspect_units(lstm, TEXT, **asked)
    with pytest.raises(UsageError, match="no recurrent layers"):
        units.inspect_units(fit("ngram"), TEXT)
    with pytest.raises(TextError, match="no words"):
        units.inspect_units(lstm, Lines(["", " "]))


# ---- Saturated and dead units.


def shares_of(found):
    """Return positions, counts at either end, and dead units of each layer or gate."""
    return {
        (part.layer, part.gate): (part.positions, [*part.low_H], [*part.high_H], part.dead)
        for part in found.parts
    }


def test_saturation_is_counted_by_hand():
    """tanh(3) is saturated at every token, tanh(0) at none, the last unit at "cat" alone,
    which occurs three times among 26 words; each of 5 lines begins with a boundary."""
    model = fit("rnn", hidden_size=3, activation="tanh")
    layer = model.network.body.layers[0]
    with torch.no_grad():
        for weight in (layer.weight_ih, layer.weight_hh, model.network.input.weight):
            weight.zero_()
        layer.bias_ih.copy_(torch.tensor([3.0, 0.0, 0.0]))
        layer.weight_ih[2, 0] = 1
        model.network.input.weight[model.tokenizer.encode(["cat"]).ids[0], 0] = -2
    found = units.inspect_saturation(model, Lines(LINES))
    assert shares_of(found) == {("layer 1", "hidden state"): (31, [0, 0, 3], [31, 0, 0], (0,))}
    [row] = found.to_rows()
    assert row["saturated_low"] == pytest.approx(3 / 31 / 3)
    assert row["saturated_high"] == pytest.approx(1 / 3)
    assert (row["dead"], row["most_saturated"], row["its_share"]) == (1, 0, 1)
    assert "1 of 3 units and gates are dead (layer 1, hidden state 0)" in found.verdict
    [part] = json.loads(json.dumps(found.to_dict(), allow_nan=False))["parts"]
    assert part["low"] == pytest.approx([0, 0, 3 / 31]) and part["dead"] == [0]
    assert faults_of(found.figure()) == []


def test_each_hidden_layer_of_a_window_has_dead_units():
    settings = {"layers": 2, "activation": "relu", "direct_connections": True}
    model = fit("ffnn", hidden_size=4, **settings)
    window = model.network.body
    with torch.no_grad():
        window.bias_ih.copy_(torch.tensor([-100.0, 100.0, 100.0, -100.0]))
        window.above[0].bias.copy_(torch.tensor([1000.0, -1000.0, 1000.0, 1000.0]))
    found = units.inspect_saturation(model, Lines(LINES))
    assert shares_of(found) == {
        ("layer 1", "hidden state"): (31, [31, 0, 0, 31], [0] * 4, (0, 3)),
        ("layer 2", "hidden state"): (31, [0, 31, 0, 0], [0] * 4, (1,)),
    }
    assert found.to_rows()[0]["saturated_high"] is None
    assert faults_of(found.figure()) == []


def test_gates_are_those_of_the_trace(lstm):
    found = units.inspect_saturation(lstm, Lines(LINES[:1]))
    gates = ["input", "forget", "candidate", "output", "tanh of the cell"]
    assert [part.gate for part in found.parts] == gates * 2
    layer = lstm.trace_line(LINES[0]).layers[1].layer
    of_output = found.parts[8]
    assert (of_output.layer, of_output.gate) == ("layer 2", "output")
    output_TH = layer.gates["output"][:, 0]
    assert of_output.high_H.tolist() == (output_TH >= 0.9).sum(0).tolist()
    assert of_output.low_H.tolist() == (output_TH <= 0.1).sum(0).tolist()


@pytest.mark.parametrize("name", ["bag", "cnn", "recursive"])
def test_classifiers_without_recurrence_have_dead_units(name):
    """Positions are texts, of which the ReLU of a dead unit is 0, or nodes above the words."""
    own = {"layers": 2} if name == "bag" else {}
    model = tiny_tasks.fit("classification", name, **own)
    encoder = model.network.encoder
    linear = {"bag": "layers.1", "cnn": "filters.0", "recursive": "compose"}[name]
    with torch.no_grad():
        for parameter in encoder.get_submodule(linear).parameters():
            parameter.zero_()
        encoder.get_submodule(linear).bias[1] = {"recursive": 2.0}.get(name, -1.0)
        encoder.get_submodule(linear).bias[0] = 1.0
    found = units.inspect_saturation(model, Lines(["one two three", "four five", "six"]))
    part = found.parts[-1]
    assert part.positions == 3  # nodes: 2 + 1 + 0
    if name == "recursive":  # tanh(1) = 0.76, tanh(2) = 0.96
        assert part.high_H[:3].tolist() == [0, 3, 0] and part.dead == (1,)
    else:
        width = len(encoder.get_submodule(linear).bias)
        assert part.low_H[:width].tolist() == [0] + [3] * (width - 1)
    assert [each.layer for each in found.parts] == ["layer 1", "layer 2"][: len(found.parts)]


def test_saturation_of_models_without_units_is_refused():
    with pytest.raises(UsageError, match="no units with an activation function"):
        units.inspect_saturation(fit("ngram"), TEXT)
    with pytest.raises(UsageError, match="nothing to show"):
        units.inspect_saturation(fit("ffnn", layers=0), TEXT)
    with pytest.raises(TextError, match="no words"):
        units.inspect_saturation(fit("gru"), Lines([" "]))
