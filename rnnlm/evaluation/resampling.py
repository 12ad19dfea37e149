"""Resample the contributions of lines to a metric: confidence intervals, and tests of whether two
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
    """An estimate with its confidence interval.

    Attributes:
        estimate: The estimate.
        low: Lower bound.
        high: Upper bound.
        level: Confidence level, 0 to 1.
    """

    estimate: float
    low: float
    high: float
    level: float = LEVEL


# ---- Counts for each sentence, and the metrics that are computed from their sums.
#
# F1, BLEU and calibration errors are not means over sentences, but functions of counts that are
# summed over all of them. Every such metric therefore has its counts sentence by sentence, so that
# sentences can be resampled and the metric computed again.
# Shapes: N sentences, R resamples, K kinds of counts, C classes.

FloatArrayLike = Sequence[float] | np.ndarray
Statistic = Callable[[np.ndarray], np.ndarray]  # from sums (K, R, C), the metric of each of R


@dataclass(frozen=True)
class SentenceCounts:
    """Kinds of counts of N sentences and C classes. by_kind: K sparse arrays of shape (N, C)."""

    classes: tuple[str, ...]
    by_kind: tuple[Any, ...]

    @classmethod
    def of_events(
        cls, sentences: int, kinds: Sequence[Iterable[tuple[int, str]]]
    ) -> "SentenceCounts":
        """Count events, each given as the number of its sentence and its class. The classes are
        sorted."""
        counters = list(map(Counter, kinds))
        places: set[tuple[int, str]] = set().union(*counters)
        classes = sorted({name for _, name in places})
        number_of = {name: number for number, name in enumerate(classes)}

        # Places are sorted so that the arrays do not depend on the order of the events.
        ordered = sorted(places)
        rows_E = [sentence for sentence, _ in ordered]
        columns_E = [number_of[name] for _, name in ordered]
        kinds_E = ([counter[place] for place in ordered] for counter in counters)
        return cls.of_places(sentences, classes, rows_E, columns_E, *kinds_E)

    @classmethod
    def of_numbers(cls, *kinds_N: FloatArrayLike) -> "SentenceCounts":
        """Make counts of a single class from one number for each sentence and kind."""
        sentences = len(kinds_N[0])
        return cls.of_places(
            sentences, ("all",), np.arange(sentences), np.zeros(sentences), *kinds_N
        )

    @classmethod
    def of_places(
        cls,
        sentences: int,
        classes: Sequence[str],
        rows_E: FloatArrayLike,
        columns_E: FloatArrayLike,
        *kinds_E: FloatArrayLike,
    ) -> "SentenceCounts":
        """Make counts from values at rows (sentences) and columns (classes), one of each kind at
        a place; values at the same place add up."""
        from scipy.sparse import csr_array

        places = (np.asarray(rows_E, dtype=np.int64), np.asarray(columns_E, dtype=np.int64))
        shape = (sentences, len(classes))
        values = (np.asarray(values_E, dtype=np.float64) for values_E in kinds_E)
        by_kind = tuple(csr_array((values_E, places), shape=shape) for values_E in values)
        return cls(tuple(classes), by_kind)

    @property
    def sentences(self) -> int:
        """How many sentences were counted."""
        return int(self.by_kind[0].shape[0])

    def sums(self, weights_RN: np.ndarray | None = None) -> np.ndarray:
        """Sum over sentences, each taken `weights_RN` times: (K, R, C), or (K, 1, C) without
        weights."""
        if weights_RN is None:
            weights_RN = np.ones((1, self.sentences))
        return np.stack([np.asarray(weights_RN @ table) for table in self.by_kind])

    def with_classes(self, classes: Sequence[str]) -> "SentenceCounts":
        """Return the same counts with columns for `classes`, which must include the present
        ones."""
        from scipy.sparse import csr_array

        number_of = {name: number for number, name in enumerate(classes)}
        to_C = np.array([number_of[name] for name in self.classes], dtype=np.int64)
        shape = (self.sentences, len(classes))
        by_kind = tuple(
            csr_array((table.data, to_C[table.indices], table.indptr), shape=shape)
            for table in self.by_kind
        )
        return SentenceCounts(tuple(classes), by_kind)


@dataclass(frozen=True)
class Resampling:
    """Settings for resampling. resamples: of the bootstrap and of permutations; None: RESAMPLES and
    PERMUTATIONS. block_lines: how many lines of a text are drawn together; None: as many as keep
    the work small."""

    resamples: int | None = None
    seed: int = 1
    block_lines: int | None = None


class Resamplable(Protocol):
    """The contribution of each line, sentence or source to a metric."""

    def interval(self, resampling: Resampling = ...) -> Interval | None:
        """Return the 95 % interval of the metric; None if there is none.

        Args:
            resampling: Number of resamples, blocks and seed.
        """

    def difference(self, other: Any, resampling: Resampling = ...) -> "PairedDifference | None":
        """Return the metric of `other` minus this one, with its interval.

        Args:
            other: Contributions of the same lines for the second model.
            resampling: Number of resamples, blocks and seed.
        """


@dataclass(frozen=True)
class CountedMetric:
    """A metric as counts of each sentence and a function of their sums.

    Attributes:
        counts: Counts of S sentences.
        statistic: Function from the sums of the counts to the value.
    """

    counts: SentenceCounts
    statistic: Statistic

    @property
    def value(self) -> float | None:
        """The metric over all sentences; None if nothing was counted."""
        value = float(self.statistic(self.counts.sums())[0])
        return value if np.isfinite(value) else None

    def interval(self, resampling: Resampling = Resampling()) -> Interval | None:
        """Return the 95 % interval of the metric; None if it has no value.

        Args:
            resampling: Number of resamples, blocks and seed.
        """
        return bootstrap_interval(
            self, resamples=resampling.resamples or RESAMPLES, seed=resampling.seed
        )

    def difference(
        self, other: "CountedMetric", resampling: Resampling = Resampling()
    ) -> "PairedDifference | None":
        """Return the metric of `other` minus this one, as :func:`paired_difference` does.

        Args:
            other: Counts of the same sentences for the second model.
            resampling: Number of resamples, blocks and seed.
        """
        return paired_difference(
            self,
            other,
            resamples=resampling.resamples or RESAMPLES,
            permutations=resampling.resamples or PERMUTATIONS,
            seed=resampling.seed,
        )


def ratio(sums_KRC: np.ndarray) -> np.ndarray:
    """Divide the first kind by the second, all classes together; NaN where the second is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return sums_KRC[0].sum(axis=-1) / sums_KRC[1].sum(axis=-1)


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide `part` by `whole`; 0 where `whole` is 0, as conlleval, seqeval and sacrebleu do."""
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=whole > 0)


# ---- Confidence intervals and p-values by resampling the units of a text: lines, blocks of lines,
# utterances, pairs.
#
# Each of these metrics is a ratio of two sums over units: errors over words, points over pairs,
# nats over tokens, and differences of these between two systems over the same units.
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
    """Bootstrap sum(numerator_N) / sum(denominator_N) over N units drawn with replacement, with
    percentile bounds.

    denominator_N: None for the mean over units. transform: applied to the ratio, as np.exp for a
    perplexity; it must be monotone.
    """
    numerator_N = np.asarray(numerator_N, dtype=np.float64)
    if denominator_N is None:
        denominator_N = np.ones_like(numerator_N)
    denominator_N = np.asarray(denominator_N, dtype=np.float64)
    _check(numerator_N, denominator_N)

    # A single unit cannot vary: its interval has no width.
    estimate = numerator_N.sum() / denominator_N.sum()
    low = high = estimate
    if len(numerator_N) > 1:
        values = (numerator_N, denominator_N)
        low, high = percentile_bounds(values, _ratio, resamples=resamples, level=level, seed=seed)

    # Quantiles may be transformed instead of each resample. A falling transform swaps them.
    if transform is not None:
        low, estimate, high = (transform(np.float64(value)) for value in (low, estimate, high))
    low, estimate, high = float(low), float(estimate), float(high)
    return Interval(estimate, min(low, high), max(low, high), level)


def percentile_bounds(
    values: tuple[np.ndarray, ...], statistic: Callable[..., np.ndarray], *,
    resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 1,
) -> tuple[float, float]:  # fmt: skip
    """Return the bounds of the percentile bootstrap of any statistic of N units drawn with
    replacement. values: arrays of shape (N,), which `statistic` takes with an `axis`. Resamples
    whose statistic is not finite are left out."""
    generator = np.random.default_rng(seed)
    units = len(values[0])
    batch = max(1, BATCH_UNITS // units)
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
    difference_N: np.ndarray,
    *,
    resamples: int = PERMUTATIONS,
    seed: int = 1,
    one_sided: bool = False,
) -> float:
    """Return the p-value of paired differences: how often their sum is as far from zero, on either
    side or (one_sided) above it, when signs are drawn at random. It is exact where all signs can be
    tried."""
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
    if one_sided:
        return (above + added) / (trials + added)
    return min(1.0, 2 * (min(above, below) + added) / (trials + added))


def _all_signs(units: int) -> Iterator[np.ndarray]:
    """Yield every way to give so many units a sign, (R, N) at a time."""
    ways = 1 << units
    batch = max(1, BATCH_UNITS // units)
    for start in range(0, ways, batch):
        # The bits of a number are the signs of one way.
        numbers_R = np.arange(start, min(start + batch, ways))
        yield 1 - 2 * ((numbers_R[:, None] >> np.arange(units)) & 1)


def _drawn_signs(units: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Yield signs drawn for so many units, (R, N) at a time, in the order of scipy's
    `permutation_test`, so that both give the same p-value."""
    generator = np.random.default_rng(seed)
    batch = min(draws, max(1, BATCH_UNITS // units))
    both_RN2 = np.tile(np.array([1, -1]), (batch, units, 1))
    for start in range(0, draws, batch):
        yield generator.permuted(both_RN2, axis=-1)[: draws - start, :, 0]


def by_block(values_N: np.ndarray, length: int) -> np.ndarray:
    """Sum consecutive blocks of `length` units (the last may be shorter), since neighbouring
    units depend on each other."""
    if length < 1:
        raise UsageError(f"a block of {length} lines is not valid", hint="1 or more")
    values_N = np.asarray(values_N)
    if not len(values_N):
        return values_N
    return np.add.reduceat(values_N, np.arange(0, len(values_N), length))


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


# ---- Intervals of metrics of labels and of decoded text, and differences between two systems on
# the same sentences.
#
# Sentences are drawn with replacement and the metric is computed from the sums of the draw: the
# bootstrap of Efron & Tibshirani (1993, chapter 13), paired for two systems (Koehn 2004;
# Berg-Kirkpatrick, Burkett & Klein 2012). The p-value is computed by approximate randomisation
# (Noreen 1989; Yeh 2000 for F1; Riezler & Maxwell 2005 for BLEU): each trial swaps the outputs of
# the two systems for some sentences. For metrics that are means this is the permutation of signs
# that language models are compared by.

ROUNDING = 1e-12  # metrics that differ by less are equal


@dataclass(frozen=True)
class PairedDifference:
    """The metric of the second system minus the metric of the first one.

    Attributes:
        interval: The difference with its interval, by the paired bootstrap.
        p: Two-sided p-value, by approximate randomisation.
        p_bootstrap: Two-sided p-value: twice the share of resamples in which the difference is 0 or
            has the other sign. None for sums over lines, whose signs are permuted.
    """

    interval: Interval
    p: float
    p_bootstrap: float | None = None


def bootstrap_interval(
    measure: CountedMetric, *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 1
) -> Interval | None:
    """Return the percentile bootstrap interval of a metric over sentences; None where it has no
    value, or there are no sentences."""
    estimate = measure.value
    if estimate is None or not measure.counts.sentences:
        return None
    draws = _draws(measure.counts, resamples, seed)
    drawn = [measure.statistic(measure.counts.sums(weights_RN)) for weights_RN in draws]
    return _interval(estimate, np.concatenate(drawn), level)


def paired_difference(
    first: CountedMetric,
    second: CountedMetric,
    *,
    resamples: int = RESAMPLES,
    permutations: int = PERMUTATIONS,
    level: float = LEVEL,
    seed: int = 1,
) -> PairedDifference | None:
    """Return by how much a metric of two systems differs on the same sentences, and how sure
    that is; None where one has no value, or there are no sentences."""
    if first.statistic != second.statistic or first.counts.sentences != second.counts.sentences:
        raise UsageError(
            "two metrics cannot be compared", "they are not the same metric on the same sentences"
        )
    if first.value is None or second.value is None or not first.counts.sentences:
        return None

    # Each system may have predicted classes that the other never did.
    classes = sorted({*first.counts.classes, *second.counts.classes})
    ours = first.counts.with_classes(classes)
    theirs = second.counts.with_classes(classes)

    # Both systems get the same draws, which makes the bootstrap a paired one.
    drawn_R = np.concatenate([
        first.statistic(theirs.sums(weights_RN)) - first.statistic(ours.sums(weights_RN))
        for weights_RN in _draws(ours, resamples, seed)
    ])  # fmt: skip

    interval = _interval(second.value - first.value, drawn_R, level)
    p = _randomisation_p(first, ours, theirs, permutations, seed)
    return PairedDifference(interval, p, _bootstrap_p(drawn_R))


def _draws(counts: SentenceCounts, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each sentence is drawn, (R, N) at a time."""
    generator = np.random.default_rng(seed)
    sentences = counts.sentences
    for start, stop in _batches(counts, resamples):
        trials = stop - start
        drawn_RN = generator.integers(0, sentences, (trials, sentences))
        # One bincount serves all trials: each gets a range of numbers to itself.
        places = (drawn_RN + sentences * np.arange(trials)[:, None]).ravel()
        times = np.bincount(places, minlength=drawn_RN.size).reshape(drawn_RN.shape)
        yield times.astype(np.float64)


def _batches(counts: SentenceCounts, trials: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of trials small enough for memory."""
    size = max(1, BATCH_UNITS // max(counts.sentences, len(counts.classes) * len(counts.by_kind)))
    for start in range(0, trials, size):
        yield start, min(start + size, trials)


def _interval(estimate: float, drawn_R: np.ndarray, level: float) -> Interval:
    """Return the estimate with the quantiles of the drawn values as bounds."""
    finite = drawn_R[np.isfinite(drawn_R)]  # sentences drawn may hold nothing that was counted
    low = high = estimate
    if len(finite):
        low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate, float(low), float(high), level)


def _bootstrap_p(drawn_R: np.ndarray) -> float:
    """Return twice the share of resamples on the rarer side of zero."""
    finite = drawn_R[np.isfinite(drawn_R)]
    sides = (np.count_nonzero(finite <= ROUNDING), np.count_nonzero(finite >= -ROUNDING))
    return float(min(1.0, 2 * (min(sides) + 1) / (len(finite) + 1)))


def _randomisation_p(
    measure: CountedMetric,
    first: SentenceCounts,
    second: SentenceCounts,
    permutations: int,
    seed: int,
) -> float:
    """Return the p-value of approximate randomisation. It is exact where all ways to swap
    sentences can be tried; otherwise one is added to both counts, for the way that was observed."""
    # Only sentences on which the systems differ are swapped: the others would change nothing.
    changes = [b - a for a, b in zip(first.by_kind, second.by_kind, strict=True)]
    differing = np.flatnonzero(sum(abs(change).sum(axis=1) for change in changes))
    count = len(differing)
    if count < 2:  # swapped or not, a single one is as far from zero
        return 1.0

    moved = SentenceCounts(first.classes, tuple(change[differing] for change in changes))
    totals = np.stack([first.sums(), second.sums()])
    observed = abs(_gap(measure, totals, 0.0))[0]

    # Count the ways to swap sentences that give at least the observed difference.
    is_exact = count < 63 and 1 << count <= permutations
    trials = 1 << count if is_exact else permutations
    generator = np.random.default_rng(seed)
    as_far = 0
    for start, stop in _batches(moved, trials):
        if is_exact:
            swapped_RN = (np.arange(start, stop)[:, None] >> np.arange(count)) & 1
        else:
            swapped_RN = generator.integers(0, 2, (stop - start, count))
        gap_R = _gap(measure, totals, moved.sums(swapped_RN.astype(np.float64)))
        as_far += int(np.count_nonzero(abs(gap_R) >= observed - ROUNDING))
    added = 0 if is_exact else 1
    return (as_far + added) / (trials + added)


def _gap(measure: CountedMetric, totals: np.ndarray, moved_KRC: np.ndarray | float) -> np.ndarray:
    """Return the second metric minus the first after moving `moved_KRC` to the first system."""
    return measure.statistic(totals[1] - moved_KRC) - measure.statistic(totals[0] + moved_KRC)
