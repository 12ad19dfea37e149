"""Confidence intervals and p-values by resampling the units of a text: lines, blocks of lines, utterances, pairs.

Every figure we give intervals for is a ratio of two sums over units: errors over words, points over pairs, nats over tokens, and
differences of these between two systems over the same units. Bootstrap: Efron & Tibshirani (1993), chapters 13 and 16; for test
sets of language processing, Koehn (2004) and Bisani & Ney (2004). Permutation: Good (2005); the signs of paired differences.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnlm.errors import UsageError

RESAMPLES = 2000
PERMUTATIONS = 9999
LEVEL = 0.95
BATCH_UNITS = 4_000_000  # units drawn at a time, which bounds the memory


@dataclass(frozen=True)
class Interval:
    """A figure with the bounds of its confidence interval at `level`."""

    estimate: float
    low: float
    high: float
    level: float = LEVEL


def ratio_interval(
    numerator_N: np.ndarray, denominator_N: np.ndarray | None = None, *, transform: Callable[[Any], Any] | None = None,
    resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 1,
) -> Interval:  # fmt: skip
    """Percentile bootstrap of sum(numerator_N) / sum(denominator_N) over N units drawn with replacement.

    denominator_N: None for the mean over units. transform: applied to the ratio, as np.exp for a perplexity; it must be monotone.

    Raises:
        UsageError: there are no units, the denominators add up to zero, or a value is not finite.
    """
    numerator_N = np.asarray(numerator_N, dtype=np.float64)
    denominator_N = np.ones_like(numerator_N) if denominator_N is None else np.asarray(denominator_N, dtype=np.float64)
    _check(numerator_N, denominator_N)
    estimate = numerator_N.sum() / denominator_N.sum()
    low, high = estimate, estimate
    if len(numerator_N) > 1:
        low, high = percentile_bounds((numerator_N, denominator_N), _ratio, resamples=resamples, level=level, seed=seed)
    low, estimate, high = (float(transform(np.float64(value)) if transform else value) for value in (low, estimate, high))
    return Interval(estimate, min(low, high), max(low, high), level)


def percentile_bounds(
    values: tuple[np.ndarray, ...], statistic: Callable[..., np.ndarray], *, resamples: int = RESAMPLES, level: float = LEVEL,
    seed: int = 1, batch_units: int = BATCH_UNITS,
) -> tuple[float, float]:  # fmt: skip
    """The bounds of the percentile bootstrap of any statistic of N units drawn with replacement. values: of each unit, (N,) each, which
    `statistic` takes with an `axis`. Where units drawn have no finite statistic they are left out."""
    from scipy.stats import DegenerateDataWarning, bootstrap

    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)  # all equal: an interval without width
        drawn = bootstrap(
            values, statistic, n_resamples=resamples, method="percentile", paired=True, vectorized=True,
            batch=max(1, batch_units // len(values[0])), rng=np.random.default_rng(seed),
        ).bootstrap_distribution  # fmt: skip
    low, high = np.quantile(drawn[np.isfinite(drawn)], [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def permutation_p(difference_N: np.ndarray, *, resamples: int = PERMUTATIONS, seed: int = 1) -> float:
    """Two-sided p-value of paired differences: how often their sum is as far from zero when signs are drawn at random. Exact
    where all signs can be tried.

    Raises:
        UsageError: there are no units, or a value is not finite.
    """
    difference_N = np.asarray(difference_N, dtype=np.float64)
    _check(difference_N, np.ones_like(difference_N))
    differing = difference_N[difference_N != 0]  # the sign of a zero makes no difference
    if len(differing) < 2:  # either sign of a single one is as far from zero
        return 1.0
    from scipy.stats import permutation_test

    def total(values: np.ndarray, axis: int = -1) -> np.ndarray:
        return values.sum(axis=axis)

    batch = max(1, BATCH_UNITS // len(differing))
    result = permutation_test(
        (differing,), total, permutation_type="samples", vectorized=True, n_resamples=resamples, batch=batch,
        rng=np.random.default_rng(seed),
    )  # fmt: skip
    return float(result.pvalue)


def by_block(values_N: np.ndarray, length: int) -> np.ndarray:
    """The sums of consecutive blocks of `length` units (the last may be shorter): units that lie close depend on each other.

    Raises:
        UsageError: `length` is below 1.
    """
    if length < 1:
        raise UsageError(f"a block of {length} lines is not valid", hint="1 or more")
    values_N = np.asarray(values_N)
    return np.add.reduceat(values_N, np.arange(0, len(values_N), length)) if len(values_N) else values_N


def _ratio(numerator: np.ndarray, denominator: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.asarray(numerator.sum(axis=axis) / denominator.sum(axis=axis))


def _check(numerator_N: np.ndarray, denominator_N: np.ndarray) -> None:
    if not len(numerator_N):
        raise UsageError("there is nothing to resample", "there is no line, pair or utterance")
    if not np.isfinite(numerator_N).all() or not np.isfinite(denominator_N).all():
        raise UsageError("resampling needs finite values", "a probability of zero has an infinite logarithm")
    if denominator_N.sum() <= 0:
        raise UsageError("there is nothing to resample", "there are no words in it")
