"""A set of pairs or of suites as files hold them: its scores, a record of each, and accuracy by
kind and other groups, with intervals."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from rnnlm.errors import TextError, UsageError, notice
from rnnlm.evaluation import plotting
from rnnlm.evaluation.perplexity import Signature, signature_of
from rnnlm.evaluation.resampling import permutation_p, ratio_interval
from rnnlm.interface import LanguageModel
from rnnlm.models.loading import language_model_of
from rnnlm.scoring.pairs.pair import WORD, Pair
from rnnlm.scoring.pairs.scoring import PairScore, TextScore, score_pairs
from rnnlm.scoring.pairs.suites import PredictionScore, Suite, score_suite
from rnnlm.text.encoding import LinesHash

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


ALL, KIND = "all", "kind"
COUNTED = ("distance", "attractors")  # groups that are numbers
GROUPINGS = (KIND, "phenomenon", "field", "number", *COUNTED)


class Judged(Protocol):
    """What has a point: a pair or a prediction, scored."""

    @property
    def point(self) -> float | None:
        """1 where it is right, 0 where not; None where that is not known."""

    @property
    def labels(self) -> object:
        """What it is grouped by, as attributes: `kind`, `phenomenon` and so on."""

    @property
    def is_tie(self) -> bool:
        """Whether nothing tells the two sides apart."""

    @property
    def has_oov(self) -> bool:
        """Whether a word of it is unknown to the model."""

    @property
    def is_identical(self) -> bool:
        """Whether both sentences are the same."""


@dataclass(frozen=True)
class PairAccuracy:
    """Accuracy (0 to 1) over the pairs of a group, with the bounds of its 95 % interval (bootstrap
    over pairs).

    by: what the group is of: "kind", "phenomenon", "field", "number", "distance", "attractors" or
    "all"; group: its name. pairs: those scored, of which `ties` count half (predictions: not at
    all), `identical` ones (good is bad) among them, and `oov_pairs` hold an unknown word. skipped:
    those that could not be scored. known_accuracy: over the `known_pairs`, in which no word is
    unknown.
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


@dataclass(frozen=True)
class AccuracyDifference:
    """By how much a second model's accuracy over a group is above the first one's (-1 to 1), with
    the bounds of its 95 % interval (paired bootstrap over pairs) and its two-sided p-value
    (permutation of signs: without ties, that is McNemar's exact test).

    by, group: as of :class:`PairAccuracy`. pairs: those that both models have scored; the figures
    are None where there are none.
    """

    by: str
    group: str | int
    pairs: int
    difference: float | None
    low: float | None
    high: float | None
    p: float | None


_SHARED = {"id", "kind", "phenomenon", "field", "number", "distance", "attractors", "scoring",
           "good", "bad", "identical", "where",
           "suite", "item", "prediction"}  # fmt: skip
_Item = TypeVar("_Item")


def pair_accuracies(scores: Sequence[Judged]) -> list[PairAccuracy]:
    """Accuracy by kind, in order of appearance; by any other grouping that divides the pairs; over
    all where there are several kinds.

    A pair without a label (no distance, say) is in no group of that grouping.
    """
    return [_accuracy(*group) for group in _groups(scores, lambda score: score.labels)]


def accuracy_differences(
    first: Sequence[Judged], second: Sequence[Judged]
) -> list[AccuracyDifference]:
    """How the accuracies of two models differ on the same pairs, group by group as in
    :func:`pair_accuracies`.

    Raises:
        UsageError: the scores are not of the same pairs in the same order.
    """
    if [score.labels for score in first] != [score.labels for score in second]:
        raise UsageError(
            "the scores of two models are not of the same pairs",
            hint="score one set with both: rnnlm.score_set",
        )
    return [
        _difference(*group)
        for group in _groups(list(zip(first, second, strict=True)), lambda both: both[0].labels)
    ]


def _groups(
    items: Sequence[_Item], labels_of: Callable[[_Item], Any]
) -> Iterator[tuple[str, str | int, Sequence[_Item]]]:
    """The groups that labels make: what each is of, its name, and its items."""
    for by in GROUPINGS:
        groups: dict[Any, list[_Item]] = {}
        for item in items:
            groups.setdefault(getattr(labels_of(item), by, None), []).append(item)
        groups.pop(None, None)
        if by == KIND or len(groups) > 1:
            for name in sorted(groups) if by in COUNTED else groups:
                yield by, name, groups[name]
    if len({labels_of(item).kind for item in items}) > 1:
        yield ALL, ALL, items


def _difference(
    by: str, group: str | int, scores: Iterable[tuple[Judged, Judged]]
) -> AccuracyDifference:
    points = [
        (first.point, second.point)
        for first, second in scores
        if first.point is not None and second.point is not None
    ]
    if not points:
        return AccuracyDifference(by, group, 0, None, None, None, None)
    first_N, second_N = np.array(points, dtype=np.float64).T
    interval = ratio_interval(second_N - first_N)
    p = permutation_p(second_N - first_N)
    return AccuracyDifference(
        by, group, len(points), interval.estimate, interval.low, interval.high, p
    )


def _accuracy(by: str, group: str | int, scores: Iterable[Judged]) -> PairAccuracy:
    scores = list(scores)
    scored = [score for score in scores if score.point is not None]
    points = np.array([score.point for score in scored], dtype=np.float64)
    known = [score.point for score in scores if score.point is not None and not score.has_oov]
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


@dataclass(frozen=True)
class TestSet:
    """What files of pairs hold: pairs, or suites of predictions. format: what they are, in
    words."""

    __test__ = False  # not a class of tests, though pytest takes its name for one

    format: str
    pairs: tuple[Pair, ...] = ()
    suites: tuple[Suite, ...] = ()


def score_set(
    model: LanguageModel | str | Path,
    test_set: TestSet,
    special_symbols: str = "error",
    scoring: str | None = None,
) -> list[PairScore | PredictionScore]:
    """Score all of a set: see :func:`rnnlm.score_pairs`; of suites the predictions say what is
    compared. What cannot be scored, and pairs of one and the same sentence, are counted in a
    notice.

    model: a language model, or the name of one, which is then loaded anew by each call.

    Raises:
        UsageError: there is no such scoring, or one is asked for where there are suites. TextError:
            nothing could be scored.
        ModelError: there is no such model, or its scores are not numbers.
    """
    model = language_model_of(model)
    scores: list[PairScore | PredictionScore] = []
    if test_set.suites and scoring:
        raise UsageError(
            "test suites have no scoring to choose", "their predictions say what is compared"
        )
    for suite in test_set.suites:
        scores += score_suite(model, suite, special_symbols)
    scores += score_pairs(model, test_set.pairs, special_symbols, scoring)
    _warn_of_oddities(scores)
    return scores


def signature_of_set(
    model: LanguageModel, test_set: TestSet, scoring: str | None = None
) -> Signature:
    """What accuracies of `model` on a set are measured on, and how: a pair counts as two lines, a
    region of a suite as one."""
    lines = LinesHash()
    for pair in test_set.pairs:
        lines.update((pair.good, pair.bad))
    for suite in test_set.suites:
        lines.update(
            text
            for item in suite.items
            for regions in item.conditions.values()
            for text in regions.values()
        )
    with_ends = any((scoring or pair.scoring) != WORD for pair in test_set.pairs)
    return signature_of(model, lines.hexdigest(), "reset", "keep", "yes" if with_ends else "no")


def _warn_of_oddities(scores: Sequence[PairScore | PredictionScore]) -> None:
    """Notices of what is left out, and of pairs that no model can tell apart.

    Raises:
        TextError: nothing is left.
    """
    skipped = [score for score in scores if score.point is None]
    if skipped:
        first = f"{skipped[0].where}: {skipped[0].reason}"
        if len(skipped) == len(scores):
            raise TextError("no pair can be scored", first)
        notice(
            f"{len(skipped):,} of {len(scores):,} cannot be scored and are left out; the "
            f"first: {first}"
        )
    identical = sum(score.is_identical for score in scores)
    if identical:
        notice(
            f"in {identical:,} of {len(scores):,} pairs both sentences are the same; each "
            "counts half, as a tie"
        )


def record_of(score: PairScore | PredictionScore) -> dict[str, Any]:
    """What is known of a score, in JSON's types; what is not known is None."""
    return _pair_record(score) if isinstance(score, PairScore) else _prediction_record(score)


def record_of_models(scores: Mapping[str, PairScore | PredictionScore]) -> dict[str, Any]:
    """What is known of a pair or prediction that several models have scored, in JSON's types: what
    it is, and under `models` the scores by the model's name."""
    records = {name: record_of(score) for name, score in scores.items()}
    of_model = {
        name: {key: value for key, value in record.items() if key not in _SHARED} for name,
        record in records.items()
    }  # fmt: skip
    return {key: value for key, value in next(iter(records.values())).items() if key in _SHARED} | {
        "models": of_model
    }


def _pair_record(score: PairScore) -> dict[str, Any]:
    pair = score.pair
    return {
        "id": pair.id, "kind": pair.kind, "phenomenon": pair.phenomenon, "field": pair.field,
        "number": pair.number,
        "distance": pair.distance, "attractors": pair.attractors, "scoring": score.scoring,
        "good": pair.good or None, "bad": pair.bad or None, **_side("good", score.good),
        **_side("bad", score.bad),
        "point": score.point, "identical": score.is_identical, "reason": score.reason,
        "where": score.where,
    }  # fmt: skip


def _side(name: str, side: TextScore | None) -> dict[str, Any]:
    return {
        f"{name}_logprob_nats": side.logprob_nats if side else None,
        f"{name}_tokens": side.tokens if side else None,
        f"{name}_oov": list(side.oov) if side else None,
    }


def _prediction_record(score: PredictionScore) -> dict[str, Any]:
    bits = score.surprisal_bits
    return {
        "suite": score.suite, "item": score.item, "prediction": score.formula.text,
        "surprisal_bits": None if bits is None else {str(reference): value for reference,
                                                     value in bits.items()},
        "point": score.point, "tie": score.is_tie, "has_oov": score.has_oov, "reason": score.reason,
        "where": score.where,
    }  # fmt: skip


# ---- Accuracy as a figure, of one model or several: by distance and by number of attractors, where
# pairs have them; else by kind.

_LABELS = {
    "distance": "words between head and verb",
    "attractors": "nouns of the other number between them",
}
INCHES_PER_KIND = 0.25
DODGE = 0.14  # between models, where places are 1 apart


def accuracy_figure(
    accuracies: Sequence[PairAccuracy] | Mapping[str, Sequence[PairAccuracy]],
) -> "Figure":
    """Accuracies of :func:`rnnlm.pair_accuracies` with their intervals, one panel a grouping.
    accuracies: those of one model, or of several by name, which stand beside each other.

    Raises:
        UsageError: there is none.
    """
    by_model = accuracies if isinstance(accuracies, Mapping) else {"": accuracies}
    shown = {
        name: [each for each in its if each.accuracy is not None] for name, its in by_model.items()
    }
    counted = [by for by in COUNTED if any(each.by == by for its in shown.values() for each in its)]
    if counted:
        figure, panels = plotting.new_panels(
            [(f"by {by}", _LABELS[by], "accuracy") for by in counted], width=1 + 4.2 * len(counted)
        )
        for by, axes in zip(counted, panels, strict=True):
            _draw_counts(
                axes, {name: [each for each in its if each.by == by] for name, its in shown.items()}
            )
        return _with_legend(figure, panels[0], len(shown))
    kinds = {name: [each for each in its if each.by == KIND] for name, its in shown.items()}
    if not any(kinds.values()):
        raise UsageError("there is nothing to plot", "no pair could be scored")
    groups = list(dict.fromkeys(each.group for its in kinds.values() for each in its))
    figure, axes = plotting.new_figure(
        "", "accuracy", "", height=1.2 + INCHES_PER_KIND * len(groups) * (1 + len(kinds)) / 2
    )
    _draw_kinds(axes, kinds, groups)
    return _with_legend(figure, axes, len(shown))


def _draw_counts(axes: "Axes", accuracies: Mapping[str, Sequence[PairAccuracy]]) -> None:
    for name, its, shift, marker in _series(accuracies):
        accuracy_N, bars_2N = _with_bars(its)
        axes.errorbar(
            [int(each.group) + shift for each in its],
            accuracy_N,
            bars_2N,
            marker=marker,
            capsize=3,
            label=name,
        )
    axes.axhline(0.5, color="grey", linestyle=":")
    axes.set_ylim(-0.02, 1.02)
    axes.locator_params(axis="x", integer=True)


def _draw_kinds(
    axes: "Axes", accuracies: Mapping[str, Sequence[PairAccuracy]], groups: Sequence[str | int]
) -> None:
    for name, its, shift, marker in _series(accuracies):
        accuracy_N, bars_2N = _with_bars(its)
        axes.errorbar(
            accuracy_N,
            [groups.index(each.group) + shift for each in its],
            xerr=bars_2N,
            fmt=marker,
            capsize=3,
            label=name,
        )
    axes.axvline(0.5, color="grey", linestyle=":")
    axes.set_xlim(-0.02, 1.02)
    axes.set_yticks(range(len(groups)), list(map(str, groups)), parse_math=False)
    axes.invert_yaxis()


def _series(
    accuracies: Mapping[str, Sequence[PairAccuracy]],
) -> Iterator[tuple[str, Sequence[PairAccuracy], float, str]]:
    """Each model that has accuracies: its name in the plot, these, how far it stands beside its
    place, its marker."""
    for k, (name, its) in enumerate(accuracies.items()):
        if its:
            yield (
                plotting.short_name(name),
                its,
                DODGE * (k - (len(accuracies) - 1) / 2),
                plotting.MARKERS[k % len(plotting.MARKERS)],
            )


def _with_legend(figure: "Figure", axes: "Axes", models: int) -> "Figure":
    if models > 1:
        plotting.legend_above(figure, axes)
    return figure


def _with_bars(accuracies: Sequence[PairAccuracy]) -> tuple[np.ndarray, np.ndarray]:
    """The accuracies, and how far each interval reaches below and above."""
    accuracy_N, low_N, high_N = np.array(
        [(each.accuracy, each.low, each.high) for each in accuracies], dtype=np.float64
    ).T
    return accuracy_N, np.stack([accuracy_N - low_N, high_N - accuracy_N])
