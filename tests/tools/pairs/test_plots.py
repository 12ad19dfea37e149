import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from rnnlm.errors import UsageError
from rnnlm.evaluation import plotting
from rnnlm.tools.pairs.accuracy import PairAccuracy, accuracy_figure
from support.pictures import faults_of


def accuracy(by: str, group: str | int, share: float | None) -> PairAccuracy:
    low, high = (None, None) if share is None else (share - 0.1, share + 0.05)
    return PairAccuracy(by, group, 10, share, low, high, 0, 0, 0, 0, 10, share)


def shown(figure) -> str:
    return "".join(ElementTree.fromstring(plotting.as_svg(figure)).itertext())


def test_distance_and_attractors_have_a_panel_each():
    found = [accuracy("distance", n, 0.9 - n / 20) for n in (0, 2, 5)]
    found += [accuracy("attractors", n, 0.8 - n / 5) for n in (0, 1)]
    figure = accuracy_figure([accuracy("kind", "x", 0.7), *found])
    distance, attractors = figure.axes
    points = distance.lines[0].get_xydata()
    assert points == pytest.approx(np.array([[0, 0.9], [2, 0.8], [5, 0.65]]))
    intervals = np.array(attractors.collections[0].get_segments())
    assert intervals == pytest.approx(np.array([[[0, 0.7], [0, 0.85]], [[1, 0.5], [1, 0.65]]]))
    for label in ("words between head and verb", "nouns of the other number"):
        assert label in shown(figure)


def test_kinds_are_shown_from_the_top_and_nothing_is_an_error():
    shares = {"first <&>": 0.7, "none": None, "last": 0.4}
    figure = accuracy_figure([accuracy("kind", kind, share) for kind, share in shares.items()])
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["first <&>", "last"]
    assert axes.yaxis_inverted() and "first <&>" in shown(figure)
    with pytest.raises(UsageError, match="nothing to plot"):
        accuracy_figure([accuracy("kind", "none", None)])


def test_models_stand_beside_each_other_with_a_legend():
    one = [accuracy("kind", "$a$", 0.7), accuracy("kind", "b", 0.5)]
    other = [accuracy("kind", "$a$", 0.6), accuracy("kind", "b", None)]
    figure = accuracy_figure({"one": one, "other": other})
    (axes,) = figure.axes
    first, second = (line.get_xydata().tolist() for line in axes.lines if line.get_marker() in "os")
    assert [x for x, _ in [*first, *second]] == pytest.approx([0.7, 0.5, 0.6])
    assert first[0][1] < 0 < second[0][1] and first[0][1] == pytest.approx(-second[0][1])
    assert all(text in shown(figure) for text in ("one", "other", "$a$"))
    counted = {name: [accuracy("distance", n, 0.9)] for n, name in enumerate(("one", "other"))}
    by_count = accuracy_figure(counted)
    assert "other" in shown(by_count) and "guessing" in shown(accuracy_figure(one))
    assert faults_of(figure) == faults_of(by_count) == faults_of(accuracy_figure(one)) == []
