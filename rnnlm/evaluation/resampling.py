"""What each line contributes to a metric, resampled: confidence intervals, and tests of whether two
systems differ."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from rnnlm.errors import UsageError

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A figure with the bounds of its confidence interval at `level`."""

    estimate: float
    low: float
    high: float
    level: float = LEVEL


# ---- Counts for each sentence, and the figures that are computed from their sums.
#
# F1, BLEU and calibration errors are not means over sentences, but functions of counts that are
# summed over all of them. Every such measure therefore gives its counts sentence by sentence, so
# that sentences can be resampled and the figure computed anew.
# Shapes: N sentences, R resamples, K kinds of counts, C classes.

Numbers = Sequence[float] | np.ndarray
Figure = Callable[[np.ndarray], np.ndarray]  # of sums (K, R, C), a figure for each of R


@dataclass(frozen=True)
class Counts:
    """Kinds of counts of N sentences and C classes. by_kind: K sparse arrays of shape (N, C)."""

    classes: tuple[str, ...]
    by_kind: tuple[Any, ...]

    @classmethod
    def of_events(cls, sentences: int, kinds: Sequence[Iterable[tuple[int, str]]]) -> "Counts":
        """Counts of events, each the number of its sentence and its class; the classes are
        sorted."""
        counters = [Counter(events) for events in kinds]
        classes = tuple(sorted({name for counter in counters for _, name in counter}))
        number_of = {name: number for number, name in enumerate(classes)}
        places = sorted({place for counter in counters for place in counter})
        rows_E, columns_E = (
            [sentence for sentence, _ in places],
            [number_of[name] for _, name in places],
        )
        return cls.of_places(
            sentences,
            classes,
            rows_E,
            columns_E,
            *([counter[place] for place in places] for counter in counters),
        )

    @classmethod
    def of_numbers(cls, *kinds_N: Numbers) -> "Counts":
        """Counts of a single class: one number for each sentence and kind."""
        sentences = len(kinds_N[0])
        return cls.of_places(
            sentences, ("all",), np.arange(sentences), np.zeros(sentences, dtype=np.int64), *kinds_N
        )

    @classmethod
    def of_places(
        cls,
        sentences: int,
        classes: Sequence[str],
        rows_E: Numbers,
        columns_E: Numbers,
        *kinds_E: Numbers,
    ) -> "Counts":
        """Counts that lie in rows (sentences) and columns (classes), each place with a value of
        each kind; values of one place add up."""
        from scipy.sparse import csr_array

        places = (np.asarray(rows_E, dtype=np.int64), np.asarray(columns_E, dtype=np.int64))
        shape = (sentences, len(classes))
        return cls(
            tuple(classes),
            tuple(
                csr_array((np.asarray(values_E, dtype=np.float64), places), shape=shape)
                for values_E in kinds_E
            ),
        )

    @property
    def sentences(self) -> int:
        """How many sentences were counted."""
        return int(self.by_kind[0].shape[0])

    def sums(self, weights_RN: np.ndarray | None = None) -> np.ndarray:
        """The sums (K, R, C) over sentences, each taken `weights_RN` times; (K, 1, C) over all of
        them without weights."""
        weights_RN = np.ones((1, self.sentences)) if weights_RN is None else weights_RN
        return np.stack([np.asarray(weights_RN @ table) for table in self.by_kind])

    def with_classes(self, classes: Sequence[str]) -> "Counts":
        """The same counts with columns for `classes`, which hold all of its own."""
        from scipy.sparse import csr_array

        number_of = {name: number for number, name in enumerate(classes)}
        to_C = np.array([number_of[name] for name in self.classes], dtype=np.int64)
        moved = [(table.data, to_C[table.indices], table.indptr) for table in self.by_kind]
        return Counts(
            tuple(classes),
            tuple(csr_array(parts, shape=(self.sentences, len(classes))) for parts in moved),
        )


@dataclass(frozen=True)
class Trials:
    """How often something is resampled, and how. resamples: of the bootstrap and of permutations;
    None: RESAMPLES and PERMUTATIONS. block_lines: how many lines of a text are drawn together;
    None: as many as keep the work small."""

    resamples: int | None = None
    seed: int = 1
    block_lines: int | None = None


class Resampled(Protocol):
    """What each line, sentence or source contributes to a metric."""

    def interval(self, trials: Trials = ...) -> Interval | None:
        """Return the 95 % interval of the metric; None where there is none."""

    def difference(self, other: Any, trials: Trials = ...) -> "MetricDifference | None":
        """Return by how much the metric of `other`, over the same lines, exceeds this one."""


class MetricDifference(Protocol):
    """By how much a metric of the second model exceeds that of the first."""

    @property
    def interval(self) -> Interval | None:
        """The difference with its 95 % interval; None where one of the two is no number."""

    @property
    def p(self) -> float | None:
        """The two-sided p-value."""


@dataclass(frozen=True)
class Measure:
    """Counts of each sentence, and the figure that is made of their sums."""

    counts: Counts
    figure: Figure

    @property
    def value(self) -> float | None:
        """The figure of all sentences; None where nothing was counted that it could be of."""
        value = float(self.figure(self.counts.sums())[0])
        return value if np.isfinite(value) else None

    def interval(self, trials: Trials = Trials()) -> Interval | None:
        """Return the 95 % interval of the figure; None where it has no value."""
        return figure_interval(self, resamples=trials.resamples or RESAMPLES, seed=trials.seed)

    def difference(self, other: "Measure", trials: Trials = Trials()) -> "FigureDifference | None":
        """Return by how much the figure of `other` exceeds this one, as
        :func:`figure_difference` does."""
        return figure_difference(
            self,
            other,
            resamples=trials.resamples or RESAMPLES,
            permutations=trials.resamples or PERMUTATIONS,
            seed=trials.seed,
        )


def ratio(sums_KRC: np.ndarray) -> np.ndarray:
    """The first kind over the second, all classes together; not a number where the second is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return sums_KRC[0].sum(axis=-1) / sums_KRC[1].sum(axis=-1)


# ---- Confidence intervals and p-values by resampling the units of a text: lines, blocks of lines,
# utterances, pairs.
#
# Every figure we give intervals for is a ratio of two sums over units: errors over words, points
# over pairs, nats over tokens, and differences of these between two systems over the same units.
# Bootstrap: Efron & Tibshirani (1993), chapters 13 and 16; for test sets of language processing,
# Koehn (2004) and Bisani & Ney (2004). Permutation: Good (2005); the signs of paired differences.

RESAMPLES = 2000
PERMUTATIONS = 9999
BATCH_UNITS = 4_000_000  # units drawn at a time, which bounds the memory


def ratio_interval(
    numerator_N: np.ndarray, denominator_N: np.ndarray | None = None, *,
    transform: Callable[[Any], Any] | None = None,
    resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 1,
) -> Interval:  # fmt: skip
    """Percentile bootstrap of sum(numerator_N) / sum(denominator_N) over N units drawn with
    replacement.

    denominator_N: None for the mean over units. transform: applied to the ratio, as np.exp for a
    perplexity; it must be monotone.

    Raises:
        UsageError: there are no units, the denominators add up to zero, or a value is not finite.
    """
    numerator_N = np.asarray(numerator_N, dtype=np.float64)
    denominator_N = (
        np.ones_like(numerator_N)
        if denominator_N is None
        else np.asarray(denominator_N, dtype=np.float64)
    )
    _check(numerator_N, denominator_N)
    estimate = numerator_N.sum() / denominator_N.sum()
    low, high = estimate, estimate
    if len(numerator_N) > 1:
        low, high = percentile_bounds(
            (numerator_N, denominator_N), _ratio, resamples=resamples, level=level, seed=seed
        )
    low, estimate, high = (
        float(transform(np.float64(value)) if transform else value)
        for value in (low, estimate, high)
    )
    return Interval(estimate, min(low, high), max(low, high), level)


def percentile_bounds(
    values: tuple[np.ndarray, ...], statistic: Callable[..., np.ndarray], *,
    resamples: int = RESAMPLES, level: float = LEVEL,
    seed: int = 1, batch_units: int = BATCH_UNITS,
) -> tuple[float, float]:  # fmt: skip
    """The bounds of the percentile bootstrap of any statistic of N units drawn with replacement.
    values: of each unit, (N,) each, which `statistic` takes with an `axis`. Where units drawn have
    no finite statistic they are left out."""
    generator, units = np.random.default_rng(seed), len(values[0])
    batch = max(1, batch_units // units)
    drawn = []
    with np.errstate(all="ignore"):
        for start in range(0, resamples, batch):
            places_RN = generator.integers(0, units, (min(batch, resamples - start), units))
            drawn.append(statistic(*(each_N[places_RN] for each_N in values), axis=-1))
    drawn_R = np.concatenate(drawn)
    finite = drawn_R[np.isfinite(drawn_R)]
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def permutation_p(
    difference_N: np.ndarray, *, resamples: int = PERMUTATIONS, seed: int = 1
) -> float:
    """Two-sided p-value of paired differences: how often their sum is as far from zero when signs
    are drawn at random. Exact where all signs can be tried.

    Raises:
        UsageError: there are no units, or a value is not finite.
    """
    difference_N = np.asarray(difference_N, dtype=np.float64)
    _check(difference_N, np.ones_like(difference_N))
    differing = difference_N[difference_N != 0]  # the sign of a zero makes no difference
    if len(differing) < 2:  # either sign of a single one is as far from zero
        return 1.0

    # Count the sums on either side of the observed one; sums that differ by rounding are equal.
    observed, units = differing.sum(), len(differing)
    tolerance = 100 * np.finfo(np.float64).eps * abs(observed)
    is_exact = units < 63 and 1 << units <= resamples
    signs = _all_signs(units) if is_exact else _drawn_signs(units, resamples, seed)
    above = below = trials = 0
    for signs_RN in signs:
        total_R = (signs_RN * differing).sum(axis=-1)
        above += int(np.count_nonzero(total_R >= observed - tolerance))
        below += int(np.count_nonzero(total_R <= observed + tolerance))
        trials += len(total_R)

    # Where signs are drawn, the observed ones count as one more draw (Phipson & Smyth 2010).
    added = 0 if is_exact else 1
    return min(1.0, 2 * (min(above, below) + added) / (trials + added))


def _all_signs(units: int) -> Iterator[np.ndarray]:
    """Yield every way to give so many units a sign, (R, N) at a time."""
    ways, batch = 1 << units, max(1, BATCH_UNITS // units)
    for start in range(0, ways, batch):
        numbers_R = np.arange(start, min(start + batch, ways))
        yield 1 - 2 * ((numbers_R[:, None] >> np.arange(units)) & 1)


def _drawn_signs(units: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Yield signs drawn for so many units, (R, N) at a time. They are drawn as scipy's
    `permutation_test` draws them, so that both give the same p-value."""
    generator = np.random.default_rng(seed)
    batch = min(draws, max(1, BATCH_UNITS // units))
    both_RN2 = np.tile(np.array([1, -1]), (batch, units, 1))
    for start in range(0, draws, batch):
        yield generator.permuted(both_RN2, axis=-1)[: draws - start, :, 0]


def by_block(values_N: np.ndarray, length: int) -> np.ndarray:
    """The sums of consecutive blocks of `length` units (the last may be shorter): units that lie
    close depend on each other.

    Raises:
        UsageError: `length` is below 1.
    """
    if length < 1:
        raise UsageError(f"a block of {length} lines is not valid", hint="1 or more")
    values_N = np.asarray(values_N)
    return (
        np.add.reduceat(values_N, np.arange(0, len(values_N), length))
        if len(values_N)
        else values_N
    )


def _ratio(numerator: np.ndarray, denominator: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.asarray(numerator.sum(axis=axis) / denominator.sum(axis=axis))


def _check(numerator_N: np.ndarray, denominator_N: np.ndarray) -> None:
    if not len(numerator_N):
        raise UsageError("there is nothing to resample", "there is no line, pair or utterance")
    if not np.isfinite(numerator_N).all() or not np.isfinite(denominator_N).all():
        raise UsageError(
            "resampling needs finite values", "a probability of zero has an infinite logarithm"
        )
    if denominator_N.sum() <= 0:
        raise UsageError("there is nothing to resample", "there are no words in it")


# ---- Intervals of figures of labels and of decoded text, and differences between two systems on
# the same sentences.
#
# Sentences are drawn with replacement and the figure is computed anew from the sums of what was
# drawn: the bootstrap of Efron & Tibshirani (1993, chapter 13), paired for two systems (Koehn 2004;
# Berg-Kirkpatrick, Burkett & Klein 2012). The p-value is that of approximate randomisation (Noreen
# 1989; Yeh 2000 for F1; Riezler & Maxwell 2005 for BLEU): in each trial what the two systems said
# of a sentence changes sides or not. For figures that are means it is the permutation of signs that
# language models are compared by.

ROUNDING = 1e-12  # figures that differ by less are equal


@dataclass(frozen=True)
class FigureDifference:
    """A figure of the second system less that of the first. interval: of the paired bootstrap. p:
    two-sided, of approximate randomisation. p_bootstrap: two-sided, twice the share of resamples in
    which the difference is 0 or on the other side of it."""

    interval: Interval
    p: float
    p_bootstrap: float


def figure_interval(
    measure: Measure, *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 1
) -> Interval | None:
    """The percentile bootstrap interval of a figure over sentences; None where it has no value, or
    there are no sentences."""
    estimate = measure.value
    if estimate is None or not measure.counts.sentences:
        return None
    drawn = [
        measure.figure(measure.counts.sums(weights_RN))
        for weights_RN in _draws(measure.counts, resamples, seed)
    ]
    return _interval(estimate, np.concatenate(drawn), level)


def figure_difference(
    first: Measure,
    second: Measure,
    *,
    resamples: int = RESAMPLES,
    permutations: int = PERMUTATIONS,
    level: float = LEVEL,
    seed: int = 1,
) -> FigureDifference | None:
    """By how much the same figure of two systems differs on the same sentences, and how sure that
    is; None where one has no value, or there are no sentences.

    Raises:
        UsageError: the two are not of equally many sentences, or not the same figure.
    """
    if first.figure != second.figure or first.counts.sentences != second.counts.sentences:
        raise UsageError(
            "two figures cannot be compared", "they are not the same figure of the same sentences"
        )
    if first.value is None or second.value is None or not first.counts.sentences:
        return None
    classes = sorted({*first.counts.classes, *second.counts.classes})
    ours, theirs = (each.counts.with_classes(classes) for each in (first, second))
    estimate = second.value - first.value
    drawn_R = np.concatenate(
        [
            first.figure(theirs.sums(weights_RN)) - first.figure(ours.sums(weights_RN))
            for weights_RN in _draws(ours, resamples, seed)
        ]
    )
    return FigureDifference(
        _interval(estimate, drawn_R, level),
        _randomisation_p(first, ours, theirs, permutations, seed),
        _bootstrap_p(drawn_R),
    )


def _draws(counts: Counts, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each sentence is drawn, (R, N) at a time."""
    generator, sentences = np.random.default_rng(seed), counts.sentences
    for start, stop in _batches(counts, resamples):
        drawn_RN = generator.integers(0, sentences, (stop - start, sentences))
        places = (drawn_RN + sentences * np.arange(stop - start)[:, None]).ravel()
        yield (
            np.bincount(places, minlength=drawn_RN.size).reshape(drawn_RN.shape).astype(np.float64)
        )


def _batches(counts: Counts, trials: int) -> Iterator[tuple[int, int]]:
    """Trials from one number to another, so many that memory suffices."""
    size = max(1, BATCH_UNITS // max(counts.sentences, len(counts.classes) * len(counts.by_kind)))
    return ((start, min(start + size, trials)) for start in range(0, trials, size))


def _interval(estimate: float, drawn_R: np.ndarray, level: float) -> Interval:
    finite = drawn_R[np.isfinite(drawn_R)]  # sentences drawn may hold nothing that was counted
    low, high = (
        np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
        if len(finite)
        else (estimate, estimate)
    )
    return Interval(estimate, float(low), float(high), level)


def _bootstrap_p(drawn_R: np.ndarray) -> float:
    finite = drawn_R[np.isfinite(drawn_R)]
    sides = (np.count_nonzero(finite <= ROUNDING), np.count_nonzero(finite >= -ROUNDING))
    return float(min(1.0, 2 * (min(sides) + 1) / (len(finite) + 1)))


def _randomisation_p(
    measure: Measure, first: Counts, second: Counts, permutations: int, seed: int
) -> float:
    """Exact where all ways to exchange sentences can be tried; else one is added to both counts,
    for the way that was found."""
    changes = tuple(b - a for a, b in zip(first.by_kind, second.by_kind, strict=True))
    differing = np.flatnonzero(
        sum((abs(change).sum(axis=1) for change in changes), np.zeros(first.sentences))
    )
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
