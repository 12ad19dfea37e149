"""Confidence intervals of metrics from the contributions of lines, each left out once, and tests of
whether two systems differ, by permutations."""

import functools
import math
from collections.abc import Callable, Iterator
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
    both_RN2 = np.tile(np.array([1, -1], dtype=np.int8), (batch, units, 1))
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


def _check(numerator_N: np.ndarray, denominator_N: np.ndarray) -> None:
    if not len(numerator_N):
        raise UsageError("there is nothing to resample", "there is no line, pair or utterance")
    if not np.isfinite(numerator_N).all() or not np.isfinite(denominator_N).all():
        raise UsageError(
            "resampling needs finite values", "a probability of zero has an infinite logarithm"
        )
    if denominator_N.sum() <= 0:
        raise UsageError("there is nothing to resample", "there are no words in it")
