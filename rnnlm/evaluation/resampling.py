"""Confidence intervals of metrics from the contributions of lines, each left out once, and tests of
whether two systems differ, by permutations."""

import functools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from rnnlm.errors import UsageError

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval.

    Attributes:
        estimate: The estimate.
        low: Lower bound; None if there is no interval.
        high: Upper bound; None if there is no interval.
        level: Confidence level, 0 to 1.
        why: Reason why there is no interval; "" if there is one.
    """

    estimate: float
    low: float | None
    high: float | None
    level: float = LEVEL
    why: str = ""

    @property
    def excludes_zero(self) -> bool:
        """Whether there is an interval, and zero is outside of it."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high

    def written(self, write: Callable[[float], str]) -> str:
        """Return the bounds for people, or the reason why there are none.

        Args:
            write: Function that writes a bound.
        """
        if self.low is None or self.high is None:
            return f"none: {self.why}" if self.why else "-"
        return f"{write(self.low)} to {write(self.high)}"

    def map(self, transform: Callable[[Any], Any]) -> "Interval":
        """Return the interval of a monotone function of the estimate; a falling one swaps the
        bounds.

        Args:
            transform: The function, such as np.exp for a perplexity.
        """
        estimate = float(transform(np.float64(self.estimate)))
        if self.low is None or self.high is None:
            return replace(self, estimate=estimate)
        low, high = sorted(float(transform(np.float64(end))) for end in (self.low, self.high))
        return replace(self, estimate=estimate, low=low, high=high)


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

    def rows(self) -> Iterator[np.ndarray]:
        """Yield the counts of each sentence, (K, R, C) for R sentences at a time."""
        size = max(1, BATCH_UNITS // max(1, len(self.classes) * len(self.by_kind)))
        for start in range(0, self.sentences, size):
            yield np.stack([table[start : start + size].toarray() for table in self.by_kind])

    def holding(self) -> np.ndarray:
        """Return the numbers of the sentences of which something was counted."""
        return np.flatnonzero(sum(abs(table).sum(axis=1) for table in self.by_kind))

    def of_sentences(self, chosen: np.ndarray) -> "SentenceCounts":
        """Return the counts of some of the sentences."""
        return SentenceCounts(self.classes, tuple(table[chosen] for table in self.by_kind))

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
    """Settings for intervals and p-values. resamples: number of permutations; None: PERMUTATIONS.
    block_lines: how many lines of a text are left out together; None: as many as keep the work
    small."""

    resamples: int | None = None
    seed: int = 1
    block_lines: int | None = None


class Resamplable(Protocol):
    """The contribution of each line, sentence or source to a metric."""

    def interval(self, resampling: Resampling = ...) -> Interval | None:
        """Return the 95 % interval of the metric; None if there is none.

        Args:
            resampling: Number of permutations, blocks and seed.
        """

    def difference(self, other: Any, resampling: Resampling = ...) -> "PairedDifference | None":
        """Return the metric of `other` minus this one, with its interval.

        Args:
            other: Contributions of the same lines for the second model.
            resampling: Number of permutations, blocks and seed.
        """


@dataclass(frozen=True)
class CountedMetric:
    """A metric as counts of each sentence and a function of their sums.

    Attributes:
        counts: Counts of S sentences.
        statistic: Function from the sums of the counts to the value, which is 0 or more.
        most: The largest value of the metric.
    """

    counts: SentenceCounts
    statistic: Statistic
    most: float = 1.0

    @property
    def value(self) -> float | None:
        """The metric over all sentences; None if nothing was counted."""
        value = float(self.statistic(self.counts.sums())[0])
        return value if np.isfinite(value) else None

    def interval(self, resampling: Resampling = Resampling()) -> Interval | None:
        """Return the 95 % interval of the metric; None if it has no value.

        Args:
            resampling: Not used: each sentence is left out once.
        """
        estimate = self.value
        if estimate is None or not self.counts.sentences:
            return None
        counted = self.counts.of_sentences(self.counts.holding())
        alone = [self.statistic(rows_KRC) for rows_KRC in counted.rows()]
        alone_N = np.concatenate([np.zeros(0), *alone])
        left_N = self.without_each(counted)
        return jackknife_interval(estimate, left_N, alone_N, least=0.0, most=self.most)

    def without_each(self, counts: SentenceCounts) -> np.ndarray:
        """Return the metric of the other sentences for each sentence of `counts`.

        Args:
            counts: Counts of sentences.
        """
        total_K1C = counts.sums()
        left = [self.statistic(total_K1C - rows_KRC) for rows_KRC in counts.rows()]
        return np.concatenate([np.zeros(0), *left])

    def difference(
        self, other: "CountedMetric", resampling: Resampling = Resampling()
    ) -> "PairedDifference | None":
        """Return the metric of `other` minus this one, as :func:`paired_difference` does.

        Args:
            other: Counts of the same sentences for the second model.
            resampling: Number of permutations, blocks and seed.
        """
        permutations = resampling.resamples or PERMUTATIONS
        return paired_difference(self, other, permutations=permutations, seed=resampling.seed)


def ratio(sums_KRC: np.ndarray) -> np.ndarray:
    """Divide the first kind by the second, all classes together; NaN where the second is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return sums_KRC[0].sum(axis=-1) / sums_KRC[1].sum(axis=-1)


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide `part` by `whole`; 0 where `whole` is 0, as conlleval, seqeval and sacrebleu do."""
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=whole > 0)


# ---- Confidence intervals and p-values from the units of a text: lines, blocks of lines,
# utterances, pairs.
#
# Each of these metrics is a ratio of two sums over units: errors over words, points over pairs,
# nats over tokens, and differences of these between two systems over the same units.
# Intervals: the jackknife's standard error (Tukey 1958; Efron & Tibshirani 1993, chapter 11) with
# Student's t. Permutation: Good (2005); the signs of paired
# differences. docs/evaluate.md has a table of what was measured of them by simulation.

PERMUTATIONS = 9999
BATCH_UNITS = 4_000_000  # numbers in memory at a time
FEWEST_UNITS = 5  # of an interval
FEWEST_ERRORS = 3  # units with errors, and with hits, of the interval of a rate
FEWEST_DIFFERING = 6  # units in which two systems differ: with five, no p is below 0.06
ROUNDING = 1e-12  # metrics that differ by less are equal


def ratio_interval(
    numerator_N: np.ndarray, denominator_N: np.ndarray | None = None, *,
    least: float = -math.inf, most: float = math.inf, level: float = LEVEL,
) -> Interval:  # fmt: skip
    """Return sum(numerator_N) / sum(denominator_N) over N units with its interval.

    denominator_N: None for the mean over units. least, most: the range of the ratio, as in
    :func:`jackknife_interval`.
    """
    numerator_N = np.asarray(numerator_N, dtype=np.float64)
    if denominator_N is None:
        denominator_N = np.ones_like(numerator_N)
    denominator_N = np.asarray(denominator_N, dtype=np.float64)
    _check(numerator_N, denominator_N)

    # Units that hold nothing are no evidence.
    holds = (numerator_N != 0) | (denominator_N != 0)
    numerator_N, denominator_N = numerator_N[holds], denominator_N[holds]
    numerator, denominator = numerator_N.sum(), denominator_N.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        alone_N = numerator_N / denominator_N
        left_N = (numerator - numerator_N) / (denominator - denominator_N)
    estimate = float(numerator / denominator)
    return jackknife_interval(estimate, left_N, alone_N, least=least, most=most, level=level)


# Above so many degrees of freedom, the series of the quantile around that of the normal
# distribution is as exact as float64.
MANY_DEGREES = 200


@functools.cache
def student_quantile(freedom: int, level: float = 0.95) -> float:
    """Return the t within which Student's distribution of two or more degrees of freedom holds a
    share `level`, from -t to t. It is computed here, as an install for n-grams has no scipy.

    Source: Abramowitz & Stegun 1972, equations 26.7.3 to 26.7.5.
    """
    if freedom > MANY_DEGREES:
        from statistics import NormalDist

        z = NormalDist().inv_cdf((1 + level) / 2)
        terms = (
            (z**3 + z) / 4,
            (5 * z**5 + 16 * z**3 + 3 * z) / 96,
            (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        )
        return z + sum(term / freedom**power for power, term in enumerate(terms, 1))

    # With t = sqrt(freedom) tan(angle), the share within is a sum of powers of the cosine.
    is_odd = freedom % 2
    i = np.arange(1, (freedom - is_odd) // 2)
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        angle = (low + high) / 2
        ratios = (2 * i - 1 + is_odd) / (2 * i + is_odd) * math.cos(angle) ** 2
        share = math.sin(angle) * (1 + float(np.cumprod(ratios).sum()))
        if is_odd:
            share = 2 / math.pi * (angle + math.cos(angle) * share)
        low, high = (angle, high) if share < level else (low, angle)
    return math.sqrt(freedom) * math.tan(low)


def jackknife_interval(
    estimate: float, left_N: np.ndarray, alone_N: np.ndarray | None = None, *,
    least: float = -math.inf, most: float = math.inf, level: float = LEVEL,
) -> Interval:  # fmt: skip
    """Return a statistic of N units with its interval, by Student's t, or the reason why it has
    none.

    left_N: the statistic without each unit. alone_N: the statistic of each unit alone; at least
    three of a rate are above its least value, and three below its largest. least, most: the range
    of the statistic. The interval is symmetric on a scale without ends, and so stays within: log
    odds between two ends, the logarithm above one.
    """
    units = len(left_N)
    none = Interval(estimate, None, None, level)
    if units < FEWEST_UNITS:
        return replace(none, why=f"fewer than {FEWEST_UNITS} units")
    if not np.isfinite(left_N).all():
        return replace(none, why="one unit holds everything")
    spread_N = left_N - left_N.mean()
    error = math.sqrt((units - 1) / units * float(spread_N @ spread_N))
    if error <= ROUNDING * abs(estimate) or not least < estimate < most:
        return replace(none, why="all units agree")
    if alone_N is not None:
        away = min(np.count_nonzero(alone_N > least), np.count_nonzero(alone_N < most))
        if away < FEWEST_ERRORS:
            return replace(none, why=f"errors or hits in fewer than {FEWEST_ERRORS} units")

    half = student_quantile(units - 1, level) * error
    if math.isinf(least):
        return Interval(estimate, estimate - half, estimate + half, level)

    # The slope of the scale at the estimate takes the half width there; bounds are taken back.
    below, above = estimate - least, most - estimate
    with np.errstate(over="ignore"):
        factor = float(np.exp(half * (1 / below + 1 / above)))
    if math.isinf(most):
        return Interval(estimate, least + below / factor, least + below * factor, level)
    low = least + (most - least) / (1 + factor * above / below)
    high = least + (most - least) / (1 + above / below / factor)
    return Interval(estimate, low, high, level)


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
    signs, added = sign_flips(units, resamples, seed)
    above = below = trials = 0
    for signs_RN in signs:
        total_R = (signs_RN * differing).sum(axis=-1)
        above += int(np.count_nonzero(total_R >= observed - tolerance))
        below += int(np.count_nonzero(total_R <= observed + tolerance))
        trials += len(total_R)

    if one_sided:
        return (above + added) / (trials + added)
    return min(1.0, 2 * (min(above, below) + added) / (trials + added))


def sign_flips(units: int, draws: int, seed: int) -> tuple[Iterator[np.ndarray], int]:
    """Return signs of units, (R, N) at a time: every way to give them, if these are not more than
    `draws`, or drawn ones. Return also how many to add to both counts of a p-value: where signs are
    drawn, the observed ones count as one more draw (Phipson & Smyth 2010)."""
    if units < 63 and 1 << units <= draws:
        return _all_signs(units), 0
    return _drawn_signs(units, draws, seed), 1


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


def _check(numerator_N: np.ndarray, denominator_N: np.ndarray) -> None:
    if not len(numerator_N):
        raise UsageError("there is nothing to resample", "there is no line, pair or utterance")
    if not np.isfinite(numerator_N).all() or not np.isfinite(denominator_N).all():
        raise UsageError(
            "resampling needs finite values", "a probability of zero has an infinite logarithm"
        )
    if denominator_N.sum() <= 0:
        raise UsageError("there is nothing to resample", "there are no words in it")


# ---- Differences in metrics of labels and of decoded text between two systems on the same
# sentences.
#
# The difference is computed from the sums without each sentence, for both systems. The p-value is
# computed by approximate randomisation (Noreen 1989; Yeh 2000 for F1; Riezler & Maxwell 2005 for
# BLEU): each trial swaps the outputs of the two systems for some sentences. For metrics that are
# means this is the permutation of signs that language models are compared by.


@dataclass(frozen=True)
class PairedDifference:
    """The metric of the second system minus the metric of the first one.

    Attributes:
        interval: The difference with its interval.
        p: Two-sided p-value: of permuted signs for sums over lines, otherwise by approximate
            randomisation.
        differing: Number of units in which the systems differ.
    """

    interval: Interval
    p: float
    differing: int

    @property
    def is_significant(self) -> bool | None:
        """Whether the systems differ: the interval excludes zero, and p is at most 0.05. None if
        too few units differ for a verdict."""
        if self.differing < FEWEST_DIFFERING:
            return None
        return self.interval.excludes_zero and self.p <= 1 - LEVEL


def paired_difference(
    first: CountedMetric,
    second: CountedMetric,
    *,
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

    # Both systems lose the same sentences, which makes the interval a paired one.
    held = np.union1d(ours.holding(), theirs.holding())
    left_N = first.without_each(theirs.of_sentences(held))
    left_N = left_N - first.without_each(ours.of_sentences(held))
    estimate = second.value - first.value
    interval = jackknife_interval(estimate, left_N, least=-first.most, most=first.most, level=level)
    changes = [b - a for a, b in zip(ours.by_kind, theirs.by_kind, strict=True)]
    moved = SentenceCounts(ours.classes, tuple(changes))
    moved = moved.of_sentences(moved.holding())
    p = _randomisation_p(first, np.stack([ours.sums(), theirs.sums()]), moved, permutations, seed)
    return PairedDifference(interval, p, moved.sentences)


def _batches(counts: SentenceCounts, trials: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of trials small enough for memory."""
    size = max(1, BATCH_UNITS // max(counts.sentences, len(counts.classes) * len(counts.by_kind)))
    for start in range(0, trials, size):
        yield start, min(start + size, trials)


def _randomisation_p(
    measure: CountedMetric, totals: np.ndarray, moved: SentenceCounts, permutations: int, seed: int
) -> float:
    """Return the p-value of approximate randomisation. It is exact where all ways to swap
    sentences can be tried; otherwise one is added to both counts, for the way that was observed.

    totals: the sums of both systems. moved: by how much the sentences on which they differ do; the
    others would change nothing.
    """
    count = moved.sentences
    if count < 2:  # swapped or not, a single one is as far from zero
        return 1.0
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
