"""Intervals of figures of labels and of decoded text, and differences between two systems on the same sentences.

Sentences are drawn with replacement and the figure is computed anew from the sums of what was drawn: the bootstrap of Efron &
Tibshirani (1993, chapter 13), paired for two systems (Koehn 2004; Berg-Kirkpatrick, Burkett & Klein 2012). The p-value is that of
approximate randomisation (Noreen 1989; Yeh 2000 for F1; Riezler & Maxwell 2005 for BLEU): in each trial what the two systems said of a
sentence changes sides or not. For figures that are means it is the permutation of signs that language models are compared by; see
:mod:`rnnlm.evaluation.resampling`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from rnnlm.errors import UsageError
from rnnlm.evaluation.counts import Counts, Measure
from rnnlm.evaluation.resampling import BATCH_UNITS, LEVEL, PERMUTATIONS, RESAMPLES, Interval

ROUNDING = 1e-12  # figures that differ by less are equal


@dataclass(frozen=True)
class FigureDifference:
    """A figure of the second system less that of the first. interval: of the paired bootstrap. p: two-sided, of approximate
    randomisation. p_bootstrap: two-sided, twice the share of resamples in which the difference is 0 or on the other side of it."""

    interval: Interval
    p: float
    p_bootstrap: float


def figure_interval(measure: Measure, *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 1) -> Interval | None:
    """The percentile bootstrap interval of a figure over sentences; None where it has no value, or there are no sentences."""
    estimate = measure.value
    if estimate is None or not measure.counts.sentences:
        return None
    drawn = [measure.figure(measure.counts.sums(weights_RN)) for weights_RN in _draws(measure.counts, resamples, seed)]
    return _interval(estimate, np.concatenate(drawn), level)


def figure_difference(
    first: Measure, second: Measure, *, resamples: int = RESAMPLES, permutations: int = PERMUTATIONS, level: float = LEVEL, seed: int = 1
) -> FigureDifference | None:
    """By how much the same figure of two systems differs on the same sentences, and how sure that is; None where one
    has no value, or there are no sentences.

    Raises:
        UsageError: the two are not of equally many sentences, or not the same figure.
    """
    if first.figure != second.figure or first.counts.sentences != second.counts.sentences:
        raise UsageError("two figures cannot be compared", "they are not the same figure of the same sentences")
    if first.value is None or second.value is None or not first.counts.sentences:
        return None
    classes = sorted({*first.counts.classes, *second.counts.classes})
    ours, theirs = (each.counts.with_classes(classes) for each in (first, second))
    estimate = second.value - first.value
    drawn_R = np.concatenate([
        first.figure(theirs.sums(weights_RN)) - first.figure(ours.sums(weights_RN)) for weights_RN in _draws(ours, resamples, seed)
    ])  # fmt: skip
    return FigureDifference(
        _interval(estimate, drawn_R, level), _randomisation_p(first, ours, theirs, permutations, seed), _bootstrap_p(drawn_R)
    )


def figure_intervals(measures: Mapping[str, Measure], *, resamples: int = RESAMPLES, seed: int = 1) -> dict[str, Interval]:
    """The intervals of several figures, by name; those without a value are left out."""
    found = {name: figure_interval(each, resamples=resamples, seed=seed) for name, each in measures.items()}
    return {name: interval for name, interval in found.items() if interval is not None}


def figure_differences(
    first: Mapping[str, Measure],
    second: Mapping[str, Measure],
    *,
    resamples: int = RESAMPLES,
    permutations: int = PERMUTATIONS,
    seed: int = 1,
) -> dict[str, FigureDifference]:
    """By how much several figures of two systems differ, by name; those are left out that only one system has, or that have no value.

    Raises:
        UsageError: the two are not of equally many sentences, or figures of one name are not the same.
    """
    trials = {"resamples": resamples, "permutations": permutations, "seed": seed}
    found = {name: figure_difference(first[name], second[name], **trials) for name in first if name in second}
    return {name: difference for name, difference in found.items() if difference is not None}


def _draws(counts: Counts, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each sentence is drawn, (R, N) at a time."""
    generator, sentences = np.random.default_rng(seed), counts.sentences
    for start, stop in _batches(counts, resamples):
        drawn_RN = generator.integers(0, sentences, (stop - start, sentences))
        places = (drawn_RN + sentences * np.arange(stop - start)[:, None]).ravel()
        yield np.bincount(places, minlength=drawn_RN.size).reshape(drawn_RN.shape).astype(np.float64)


def _batches(counts: Counts, trials: int) -> Iterator[tuple[int, int]]:
    """Trials from one number to another, so many that memory suffices."""
    size = max(1, BATCH_UNITS // max(counts.sentences, len(counts.classes) * len(counts.by_kind)))
    return ((start, min(start + size, trials)) for start in range(0, trials, size))


def _interval(estimate: float, drawn_R: np.ndarray, level: float) -> Interval:
    finite = drawn_R[np.isfinite(drawn_R)]  # sentences drawn may hold nothing that was counted
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2]) if len(finite) else (estimate, estimate)
    return Interval(estimate, float(low), float(high), level)


def _bootstrap_p(drawn_R: np.ndarray) -> float:
    finite = drawn_R[np.isfinite(drawn_R)]
    sides = (np.count_nonzero(finite <= ROUNDING), np.count_nonzero(finite >= -ROUNDING))
    return float(min(1.0, 2 * (min(sides) + 1) / (len(finite) + 1)))


def _randomisation_p(measure: Measure, first: Counts, second: Counts, permutations: int, seed: int) -> float:
    """Exact where all ways to exchange sentences can be tried; else one is added to both counts, for the way that was found."""
    changes = tuple(b - a for a, b in zip(first.by_kind, second.by_kind, strict=True))
    differing = np.flatnonzero(sum((abs(change).sum(axis=1) for change in changes), np.zeros(first.sentences)))
    if len(differing) < 2:  # either way round, a single one is as far from zero
        return 1.0
    moved = Counts(first.classes, tuple(change[differing] for change in changes))
    totals = np.stack([first.sums(), second.sums()])
    observed = abs(_gap(measure, totals, 0.0))[0]
    exact = len(differing) < 63 and 1 << len(differing) <= permutations
    trials = 1 << len(differing) if exact else permutations
    generator, as_far = np.random.default_rng(seed), 0
    for start, stop in _batches(moved, trials):
        if exact:
            swapped_RN = (np.arange(start, stop)[:, None] >> np.arange(len(differing))) & 1
        else:
            swapped_RN = generator.integers(0, 2, (stop - start, len(differing)))
        gap_R = _gap(measure, totals, moved.sums(swapped_RN.astype(np.float64)))
        as_far += int(np.count_nonzero(abs(gap_R) >= observed - ROUNDING))
    return as_far / trials if exact else (as_far + 1) / (trials + 1)


def _gap(measure: Measure, totals: np.ndarray, moved_KRC: np.ndarray | float) -> np.ndarray:
    """The second figure less the first once `moved_KRC` has gone from the second to the first."""
    return measure.figure(totals[1] - moved_KRC) - measure.figure(totals[0] + moved_KRC)
