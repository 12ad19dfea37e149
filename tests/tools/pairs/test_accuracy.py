from dataclasses import dataclass, replace

import pytest

from rnnlm.errors import UsageError
from rnnlm.tools.pairs.accuracy import PairScores
from rnnlm.tools.pairs.pair import Pair


@dataclass(frozen=True)
class Scored:
    labels: Pair
    point: float | None
    has_oov: bool = False
    is_identical: bool = False
    margin_bits: float | None = None

    @property
    def is_tie(self) -> bool:
        return self.point == 0.5


def scored(kind: str, points: list[float | None], **labels) -> list[Scored]:
    return [Scored(Pair(kind, "a", "b", **labels), point) for point in points]


def test_ties_count_half_and_skipped_pairs_are_separate():
    scores = [*scored("x", [1, 0.5, 0, None]), *scored("y", [1, None])]
    scores[0], scores[1] = replace(scores[0], has_oov=True), replace(scores[1], is_identical=True)
    x, y, both = PairScores(scores).accuracies()
    assert (x.by, x.group, x.pairs, x.accuracy) == ("kind", "x", 3, 0.5)
    assert (x.ties, x.identical, x.skipped) == (1, 1, 1)
    assert (x.oov_pairs, x.known_pairs, x.known_accuracy) == (1, 2, 0.25)
    assert (y.group, y.pairs, y.accuracy, y.skipped) == ("y", 1, 1.0, 1)
    assert (both.by, both.group, both.pairs, both.accuracy) == ("all", "all", 4, 0.625)
    assert both.skipped == 2 and both.margin_bits is None
    bits = zip(scores, [4, 2, -1], strict=False)
    margins = [replace(score, margin_bits=of_score) for score, of_score in bits]
    assert PairScores(margins).accuracies()[0].margin_bits == pytest.approx(5 / 3)


def test_groups_and_totals_come_from_what_distinguishes_pairs():
    scores = scored("x", [1, 1], field="syntax", distance=10, attractors=0)
    scores += scored("y", [0], field="syntax", distance=2, attractors=1)
    scores += scored("z", [1], field="syntax")
    found = [(each.by, each.group, each.pairs) for each in PairScores(scores).accuracies()]
    assert found == [
        ("kind", "x", 2), ("kind", "y", 1), ("kind", "z", 1), ("distance", 2, 1),
        ("distance", 10, 2), ("attractors", 0, 2), ("attractors", 1, 1), ("all", "all", 4),
    ]  # fmt: skip
    (only,) = PairScores(scored("x", [None, None])).accuracies()
    assert (only.pairs, only.skipped) == (0, 2)
    assert (only.accuracy, only.low, only.high, only.known_accuracy) == (None,) * 4


@pytest.mark.parametrize("pairs, has_interval", [(4, False), (5, True)])
def test_fewer_than_five_pairs_have_no_interval_and_no_p(pairs, has_interval):
    first, second = (PairScores(scored("x", [point, 0] + [1] * (pairs - 2))) for point in (1, 0))
    (of_first,) = first.accuracies()
    (found,) = first.differences(second)
    assert of_first.accuracy == pytest.approx(1 - 1 / pairs)
    bounds = (of_first.low, of_first.high, found.low, found.high, found.p)
    assert [bound is not None for bound in bounds] == [has_interval] * 5


def test_model_differences_use_pairs_both_models_scored():
    first = [*scored("x", [1, 1, 1, 1, 1, 1, 0, 0, 1, None]), *scored("y", [None])]
    second = [*scored("x", [0, 0, 0, 0, 0, 0, 1, 0, 1, 1]), *scored("y", [1])]
    x, y, both = PairScores(first).differences(PairScores(second))
    assert (x.by, x.group, x.pairs, x.difference) == ("kind", "x", 9, pytest.approx(-5 / 9))
    assert x.low < x.difference < x.high
    # seven pairs differ, one of them the other way: the binomial test
    assert x.p == pytest.approx(2 * (1 + 7) / 2**7)
    assert (y.pairs, y.difference, y.low, y.high, y.p) == (0, None, None, None, None)
    assert (both.by, both.pairs, both.difference) == ("all", 9, x.difference)
    with pytest.raises(UsageError, match="scores of different pairs"):
        PairScores(first).differences(PairScores(second[1:]))
