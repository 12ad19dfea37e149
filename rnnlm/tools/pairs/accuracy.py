"""Compute the accuracy on a set of pairs, by kind and other groups, with intervals; keep its scores
and a record of each pair."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from rnnlm.errors import TextError, UsageError, notice
from rnnlm.evaluation import plotting
from rnnlm.evaluation.perplexity import Signature, signature_of
from rnnlm.evaluation.resampling import FEWEST_UNITS, LEVEL, Interval, permutation_p, ratio_interval
from rnnlm.interface import LanguageModel
from rnnlm.lm.base.loading import language_model_of
from rnnlm.lm.base.span_scoring import reads_conditions
from rnnlm.tabular import RecordList
from rnnlm.text.encoding import LinesHash
from rnnlm.tools.pairs.pair import WORD, TestSet
from rnnlm.tools.pairs.scoring import PairScore, TextScore, score_pairs

ALL, KIND = "all", "kind"
FEW_PAIRS = 5  # fewer say nothing about others: they have no p-value
COUNTED = ("distance", "attractors")  # groups that are numbers
GROUPINGS = (KIND, "phenomenon", "field", "number", *COUNTED)


@dataclass(frozen=True)
class PairAccuracy:
    """Accuracy over the pairs of a group.

    Attributes:
        by: The grouping: "kind", "phenomenon", "field", "number", "distance", "attractors" or
            "all".
        group: Name of the group.
        pairs: Number of scored pairs.
        accuracy: Share of correct pairs, 0 to 1, in which ties count half.
        low: Lower bound of its 95 % interval (Wilson 1927); None with fewer than five pairs.
        high: Upper bound of its 95 % interval.
        ties: Number of pairs whose sentences have the same score.
        identical: Number of ties whose sentences are identical.
        skipped: Number of pairs that could not be scored.
        oov_pairs: Number of pairs with an unknown word.
        known_pairs: Number of pairs without an unknown word.
        known_accuracy: Accuracy over these pairs.
        margin_bits: Mean of log2 p(good) - log2 p(bad); None where one is infinite.
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
    margin_bits: float | None = None


@dataclass(frozen=True)
class AccuracyDifference:
    """A second model's accuracy over a group minus the accuracy of the first one. The numbers are
    None if no pair was scored by both.

    Attributes:
        by: The grouping, as in :class:`PairAccuracy`.
        group: Name of the group.
        pairs: Number of pairs that both models have scored.
        difference: The difference, -1 to 1.
        low: Lower bound of its 95 % interval, by leaving out each pair; None with fewer than five
            pairs, or if all of them agree.
        high: Upper bound of its 95 % interval.
        p: Two-sided p-value (permutation of signs: without ties, this is McNemar's exact test).
    """

    by: str
    group: str | int
    pairs: int
    difference: float | None
    low: float | None
    high: float | None
    p: float | None


_Item = TypeVar("_Item")


class PairScores(RecordList[PairScore]):
    """Scores of minimal pairs."""

    def accuracies(self) -> RecordList[PairAccuracy]:
        """Return accuracy by kind, in order of appearance; by any other grouping that divides the
        pairs; and over all pairs if there are several kinds.

        A pair without a label (no distance, say) is in no group of that grouping.
        """
        groups = _groups(self, lambda score: score.labels)
        return RecordList(itertools.starmap(_accuracy, groups))

    def differences(self, other: "PairScores") -> RecordList[AccuracyDifference]:
        """Return another model's accuracies minus the accuracies of this one, by group as in
        :meth:`accuracies`.

        Args:
            other: The other model's scores of the same pairs.

        Raises:
            UsageError: The scores are not of the same pairs in the same order.
        """
        both = list(zip(self, other, strict=False))
        is_same = all(first.labels == two.labels for first, two in both)
        if len(self) != len(other) or not is_same:
            raise UsageError(
                "the two models have scores of different pairs",
                hint="score the same pairs with both",
            )
        groups = _groups(both, lambda scores: scores[0].labels)
        return RecordList(itertools.starmap(_difference, groups))


def _groups(
    items: Sequence[_Item], labels_of: Callable[[_Item], Any]
) -> Iterator[tuple[str, str | int, Sequence[_Item]]]:
    """Yield the groups that labels make: the grouping, the group's name, and its items."""
    for by in GROUPINGS:
        groups: dict[Any, list[_Item]] = {}
        for item in items:
            groups.setdefault(getattr(labels_of(item), by, None), []).append(item)
        # A grouping that puts all into one group adds nothing to the total.
        groups.pop(None, None)
        if by == KIND or len(groups) > 1:
            for name in sorted(groups) if by in COUNTED else groups:
                yield by, name, groups[name]
    if len({labels_of(item).kind for item in items}) > 1:
        yield ALL, ALL, items


def _difference(
    by: str, group: str | int, scores: Iterable[tuple[PairScore, PairScore]]
) -> AccuracyDifference:
    points_of_pairs = ((first.point, second.point) for first, second in scores)
    points = [points for points in points_of_pairs if None not in points]
    if not points:
        return AccuracyDifference(
            by=by, group=group, pairs=0, difference=None, low=None, high=None, p=None
        )
    # Paired: both models are judged on the same pairs.
    first_N, second_N = np.array(points, dtype=np.float64).T
    interval = ratio_interval(second_N - first_N, least=-1.0, most=1.0)
    p = permutation_p(second_N - first_N) if len(points) >= FEW_PAIRS else None
    bounds = (interval.estimate, interval.low, interval.high)
    return AccuracyDifference(by, group, len(points), *bounds, p)


def share_interval(share: float, units: int, level: float = LEVEL) -> Interval:
    """Return the share of units that have some property with its interval (Wilson 1927)."""
    if units < FEWEST_UNITS:
        return Interval(share, None, None, level, f"fewer than {FEWEST_UNITS} units")
    from scipy.special import ndtri

    z = float(ndtri((1 + level) / 2))
    centre = share + z * z / (2 * units)
    half = z * math.sqrt(share * (1 - share) / units + z * z / (4 * units * units))
    scale = 1 + z * z / units
    return Interval(
        share, max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale), level
    )


def _accuracy(by: str, group: str | int, scores: Sequence[PairScore]) -> PairAccuracy:
    scored = [score for score in scores if score.point is not None]
    points = np.array([score.point for score in scored], dtype=np.float64)
    # Unknown words may make a pair a matter of chance: it is also counted without such pairs.
    has_oov = np.array([score.has_oov for score in scored], dtype=bool)
    known = points[~has_oov]
    accuracy = low = high = known_accuracy = None
    if len(points):
        interval = share_interval(float(points.mean()), len(points))
        accuracy, low, high = interval.estimate, interval.low, interval.high
    if len(known):
        known_accuracy = sum(known.tolist()) / len(known)
    margins = [score.margin_bits for score in scored if score.margin_bits is not None]
    has_margin = scored and len(margins) == len(scored)
    return PairAccuracy(
        by,
        group,
        len(scored),
        accuracy,
        low,
        high,
        ties=sum(score.is_tie for score in scored),
        identical=sum(score.is_identical for score in scored),
        skipped=len(scores) - len(scored),
        oov_pairs=len(scored) - len(known),
        known_pairs=len(known),
        known_accuracy=known_accuracy,
        margin_bits=float(np.mean(margins)) if has_margin else None,
    )


def score_set(
    model: LanguageModel | str | Path,
    test_set: TestSet,
    special_symbols: str = "error",
    scoring: str | None = None,
    eos: bool = True,
) -> PairScores:
    """Score all of a set: see :func:`score_pairs`. Sentences that cannot be scored, and pairs of
    one and the same sentence, are counted in a notice.

    `model` may be the name of a model, which is then loaded by each call.

    Raises:
        UsageError: there is no such scoring, or the model reads sources.
        TextError: nothing could be scored.
        ModelError: there is no such model, or its scores are not numbers.
    """
    model = language_model_of(model)
    if reads_conditions(model):
        raise UsageError(
            "minimal pairs have no sources",
            "an encoder-decoder scores a target given its source",
            "name a language model",
        )
    scores = PairScores(score_pairs(model, test_set.pairs, special_symbols, scoring, eos))
    _warn_of_oddities(scores)
    return scores


def signature_of_set(
    model: LanguageModel, test_set: TestSet, scoring: str | None, eos: bool
) -> Signature:
    """Return the data and the method that accuracies of `model` on a set are measured with: a pair
    counts as two lines."""
    lines = LinesHash()
    for pair in test_set.pairs:
        lines.update((pair.good, pair.bad))
    # Whether `</s>` is scored anywhere: words are compared without it.
    has_ends = eos and any((scoring or pair.scoring) != WORD for pair in test_set.pairs)
    return signature_of(model, lines.hexdigest(), "reset", "keep", "yes" if has_ends else "no")


def _warn_of_oddities(scores: Sequence[PairScore]) -> None:
    """Give notice of pairs that are left out, and of pairs whose sentences are the same. TextError:
    nothing is left."""
    skipped = [score for score in scores if score.point is None]
    if skipped:
        first = f"{skipped[0].where}: {skipped[0].reason}"
        if len(skipped) == len(scores):
            raise TextError("no pair can be scored", first)
        notice(
            f"{len(skipped):,} of {len(scores):,} pairs cannot be scored and are left out; the "
            f"first: {first}"
        )

    # No model can tell these apart.
    identical = sum(score.is_identical for score in scores)
    if identical:
        notice(
            f"in {identical:,} of {len(scores):,} pairs both sentences are the same; each "
            "counts half, as a tie"
        )


def record_of(score: PairScore) -> dict[str, Any]:
    """Return the facts of a score, in JSON types; unknown ones are None."""
    pair = score.pair
    return {
        "id": pair.id,
        "kind": pair.kind,
        "phenomenon": pair.phenomenon,
        "field": pair.field,
        "number": pair.number,
        "distance": pair.distance,
        "attractors": pair.attractors,
        "scoring": score.scoring,
        "good": pair.good or None,
        "bad": pair.bad or None,
        **_side("good", score.good),
        **_side("bad", score.bad),
        "point": score.point,
        "identical": score.is_identical,
        "reason": score.reason,
        "where": score.where,
    }


def _side(name: str, side: TextScore | None) -> dict[str, Any]:
    logprob_nats = tokens = oov = None
    if side:
        logprob_nats, tokens, oov = side.logprob_nats, side.tokens, list(side.oov)
    return {f"{name}_logprob_nats": logprob_nats, f"{name}_tokens": tokens, f"{name}_oov": oov}


# ---- Accuracy as a plot, for one model or several: by distance and by number of attractors, where
# pairs have them; else by kind.

_LABELS = {
    "distance": "words between head and verb",
    "attractors": "nouns of the other number between them",
}
INCHES_PER_KIND = 0.25
HEADING = "How often the right sentence of a pair is the likelier one"
GUESSING: dict[str, Any] = {"color": plotting.REFERENCE, "linestyle": ":", "label": "guessing"}
DODGE = 0.14  # between models, where places are 1 apart


def accuracy_figure(
    accuracies: Sequence[PairAccuracy] | Mapping[str, Sequence[PairAccuracy]],
) -> "plotting.Figure":
    """Plot the accuracies of one model, or of several by name side by side, with their intervals,
    one panel a grouping."""
    by_model = accuracies if isinstance(accuracies, Mapping) else {"": accuracies}

    # A panel for each of the groupings by numbers.
    counted = [by for by in COUNTED if any(_of_grouping(by_model, by).values())]
    if counted:
        titles = [(f"by {by}", _LABELS[by], "accuracy") for by in counted]
        width = plotting.WIDEST if len(counted) > 1 else 5.0
        figure, panels = plotting.new_panels(titles, width, height=3.8, heading=HEADING)
        for by, axes in zip(counted, panels, strict=True):
            _draw_counts(axes, _of_grouping(by_model, by))
        return _with_legend(figure, panels)

    # Else one of all kinds, with a row for each.
    kinds = _of_grouping(by_model, KIND)
    if not any(kinds.values()):
        raise UsageError("there is nothing to plot", "no pair could be scored")
    of_kinds = itertools.chain.from_iterable(kinds.values())
    groups = list(dict.fromkeys(accuracy.group for accuracy in of_kinds))
    height = 1.7 + INCHES_PER_KIND * len(groups) * (1 + len(kinds)) / 2
    figure, axes = plotting.new_figure(HEADING, "accuracy", "", height=height)
    _draw_kinds(axes, kinds, groups)
    return _with_legend(figure, [axes])


def _of_grouping(
    by_model: Mapping[str, Sequence[PairAccuracy]], by: str
) -> dict[str, list[PairAccuracy]]:
    """Return the accuracies of one grouping that are known, by model."""

    def is_known(accuracy: PairAccuracy) -> bool:
        return accuracy.by == by and accuracy.accuracy is not None

    return {name: list(filter(is_known, accuracies)) for name, accuracies in by_model.items()}


def _draw_counts(axes: "plotting.Axes", accuracies: Mapping[str, Sequence[PairAccuracy]]) -> None:
    for name, of_model, shift, style in _series(accuracies):
        intervals = [_drawn_interval(accuracy) for accuracy in of_model]
        accuracy_N, bars_2N = plotting.with_bars(intervals)
        axes.errorbar(
            [int(accuracy.group) + shift for accuracy in of_model],
            accuracy_N,
            bars_2N,
            color=style.colour,
            marker=style.marker,
            linestyle=style.line,
            capsize=3,
            label=name,
        )
    axes.axhline(0.5, **GUESSING)
    axes.set_ylim(-0.02, 1.02)
    axes.locator_params(axis="x", integer=True)


def _draw_kinds(
    axes: "plotting.Axes",
    accuracies: Mapping[str, Sequence[PairAccuracy]],
    groups: Sequence[str | int],
) -> None:
    for name, of_model, shift, style in _series(accuracies):
        intervals = [_drawn_interval(accuracy) for accuracy in of_model]
        accuracy_N, bars_2N = plotting.with_bars(intervals)
        axes.errorbar(
            accuracy_N,
            [groups.index(accuracy.group) + shift for accuracy in of_model],
            xerr=bars_2N,
            color=style.colour,
            fmt=style.marker,
            capsize=3,
            label=name,
        )
    axes.axvline(0.5, **GUESSING)
    axes.set_xlim(-0.02, 1.02)
    # The first kind on top, with space for all models beside the first and the last.
    axes.set_yticks(range(len(groups)), list(map(str, groups)), parse_math=False)
    axes.set_ylim(len(groups) - 0.5, -0.5)


def _drawn_interval(accuracy: PairAccuracy) -> tuple[float, float, float]:
    """Return an accuracy that is known, and the bounds of its interval, if it has one."""
    value = accuracy.accuracy or 0.0
    if accuracy.low is None or accuracy.high is None:
        return value, value, value
    return value, accuracy.low, accuracy.high


def _series(
    accuracies: Mapping[str, Sequence[PairAccuracy]],
) -> Iterator[tuple[str, Sequence[PairAccuracy], float, plotting.SeriesStyle]]:
    """Yield each model that has accuracies: its name in the plot, these, how far it is beside its
    place, its style."""
    for k, (name, of_model) in enumerate(accuracies.items()):
        if of_model:
            shift = DODGE * (k - (len(accuracies) - 1) / 2)
            yield plotting.short_name(name) or "accuracy", of_model, shift, plotting.series_style(k)


def _with_legend(figure: "plotting.Figure", panels: Sequence["plotting.Axes"]) -> "plotting.Figure":
    plotting.name_intervals(panels[0])
    plotting.legend_below(figure, *panels)
    return figure
