"""Accuracy over pairs, or over predictions of suites: by kind and by whatever else they are grouped by, with intervals."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from rnnlm.evaluation.resampling import ratio_interval

ALL, KIND = "all", "kind"
COUNTED = ("distance", "attractors")  # groups that are numbers
GROUPINGS = (KIND, "phenomenon", "field", "number", *COUNTED)


class Judged(Protocol):
    """What has a point: a pair or a prediction, scored."""

    point: float | None

    @property
    def labels(self) -> Any: ...

    @property
    def is_tie(self) -> bool: ...

    @property
    def has_oov(self) -> bool: ...

    @property
    def is_identical(self) -> bool: ...


@dataclass(frozen=True)
class PairAccuracy:
    """Accuracy (0 to 1) over the pairs of a group, with the bounds of its 95 % interval (bootstrap over pairs).

    by: what the group is of: "kind", "phenomenon", "field", "number", "distance", "attractors" or "all"; group: its name.
    pairs: those scored, of which `ties` count half (predictions: not at all), `identical` ones (good is bad) among them, and `oov_pairs` hold an unknown
    word. skipped: those that could not be scored. known_accuracy: over the `known_pairs`, in which no word is unknown.
    """

    by: str
    group: str | int
    pairs: int
    accuracy: float | None
    low: float | None
    high: float | None
    ties: int
    identical: int
    skipped: int
    oov_pairs: int
    known_pairs: int
    known_accuracy: float | None


def pair_accuracies(scores: Sequence[Judged]) -> list[PairAccuracy]:
    """Accuracy by kind, in order of appearance; by any other grouping that tells pairs apart; over all where there are several kinds.

    A pair without a label (no distance, say) is in no group of that grouping.
    """
    found = []
    for by in GROUPINGS:
        groups: dict[Any, list[Judged]] = {}
        for score in scores:
            groups.setdefault(getattr(score.labels, by, None), []).append(score)
        groups.pop(None, None)
        if by == KIND or len(groups) > 1:
            order = sorted(groups) if by in COUNTED else groups
            found += [_accuracy(by, name, groups[name]) for name in order]
    if len({score.labels.kind for score in scores}) > 1:
        found.append(_accuracy(ALL, ALL, scores))
    return found


def _accuracy(by: str, group: str | int, scores: Iterable[Judged]) -> PairAccuracy:
    scores = list(scores)
    scored = [score for score in scores if score.point is not None]
    points = np.array([score.point for score in scored], dtype=np.float64)
    known = [score.point for score in scored if not score.has_oov]
    interval = ratio_interval(points) if len(points) else None
    return PairAccuracy(
        by, group, len(scored),
        accuracy=interval.estimate if interval else None,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        ties=sum(score.is_tie for score in scored),
        identical=sum(score.is_identical for score in scored),
        skipped=len(scores) - len(scored),
        oov_pairs=len(scored) - len(known),
        known_pairs=len(known),
        known_accuracy=sum(known) / len(known) if known else None,
    )  # fmt: skip
