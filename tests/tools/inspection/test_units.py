"""inspect_units: properties of a text, units that follow them, a text coloured by a unit."""

import json

import numpy as np
import pytest

from rnnlm.errors import TextError, UsageError
from rnnlm.lm.base.loading import SHIPPED
from rnnlm.tools.inspection import units
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
    assert alone.low == alone.estimate == alone.high


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
