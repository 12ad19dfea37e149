"""What surprisal adds to a baseline: the gain in log-likelihood per word on held-out items, with
intervals and p-values over items; in-sample gains; coefficients with intervals.

Items are held out in folds, the same for all models. Coefficients, the means of subjects and the
variance come from the other folds. Gains are summed by item, which are treated as `rnnlm compare`
treats lines: each is left out for intervals, their signs are flipped for p-values.
The p-value of a gain is one-sided: useless predictors lower the likelihood of held-out items, which
a two-sided test would find. For the same reason it seldom finds a weak effect; the p-value of any
effect flips the signs of the items' scores in the regression of all rows (Rao 1948).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnnlm.errors import TextError, keyword
from rnnlm.evaluation.resampling import (
    Interval,
    jackknife_interval,
    permutation_p,
    ratio_interval,
    sign_flips,
)
from rnnlm.tools.reading.regression import ItemSums

EXPLAINED = 1e-9  # a sum of squares of standardised times that is nothing but rounding
AT_ONCE = 4_000_000  # numbers in memory


@dataclass(frozen=True)
class Gain:
    """What the surprisals of a model add.

    Attributes:
        model: The model.
        perplexity: Per word, on the words of the table that all models know; None if there is none.
        gain: Gain in log-likelihood on held-out items, in nats per row, with its 95 % interval.
        p: One-sided p-value, of a gain above 0: the signs of items are flipped.
        p_any: p-value of any effect of surprisal in the regression of all rows: the signs of the
            items' scores are flipped.
        in_sample: Gain in log-likelihood over all rows on the items that were fitted, in nats.
        r2_baseline: Share of the variance within subjects that the baseline explains.
        r2: The same with surprisal.
    """

    model: str
    perplexity: float | None
    gain: Interval
    p: float
    p_any: float
    in_sample: float
    r2_baseline: float
    r2: float


@dataclass(frozen=True)
class Coefficient:
    """A coefficient of the regression with the surprisals of a model.

    Attributes:
        model: The model.
        predictor: Name of the column.
        lag: 0; of the word before 1, of the word before that 2.
        coefficient: Change in the response for one unit, with its 95 % interval over items.
    """

    model: str
    predictor: str
    lag: int
    coefficient: Interval


@dataclass(frozen=True)
class GainDifference:
    """The gain of the second model minus the gain of the first one, paired by item.

    Attributes:
        first: A model.
        second: Another model.
        difference: In nats per row, with its 95 % interval.
        p: Two-sided p-value.
    """

    first: str
    second: str
    difference: Interval
    p: float


def in_words(interval: Interval) -> str:
    """Return the bounds of an interval for people."""
    return interval.written(lambda bound: f"{bound:+.4g}")


def held_out_logliks(sums: ItemSums, columns: Sequence[int], fold_G: np.ndarray) -> np.ndarray:
    """Return the log-likelihood of each group by the regression on the other folds, (G,), in nats
    of the standardised response."""
    folds = np.unique(fold_G)
    training = sums.weighted((fold_G != folds[:, None]).astype(float))
    coefficients_FK, left_F, freedom_F = training.fit(columns)
    if (freedom_F <= 0).any() or (left_F <= EXPLAINED).any():
        raise TextError(
            "too few rows: the predictors explain all of them",
            hint="name fewer predictors with " + keyword("baseline"),
        )
    variance_F = left_F / freedom_F
    loglik_G = np.empty(len(fold_G))
    for place, fold in enumerate(folds):
        groups = np.flatnonzero(fold_G == fold)
        # A subject who read these items alone has no other mean than that of these rows.
        count_S = np.maximum(sums.count_GS[groups].sum(axis=0), 1.0)
        own_mean_SP = sums.sum_GSP[groups].sum(axis=0) / count_S[:, None]
        is_elsewhere_S = training.count_RS[place] > 0
        mean_SP = np.where(is_elsewhere_S[:, None], training.mean_RSP[place], own_mean_SP)
        product_gPP = sums.held_out(groups, mean_SP)
        contrast_P = np.zeros(len(sums.scale_P))
        contrast_P[list(columns)], contrast_P[-1] = -coefficients_FK[place], 1.0
        squares_g = contrast_P @ product_gPP @ contrast_P
        count_g = sums.count_GS[groups].sum(axis=1)
        constant = math.log(2 * math.pi * variance_F[place])
        loglik_G[groups] = -0.5 * (count_g * constant + squares_g / variance_F[place])
    return loglik_G


def gain_of(
    model: str,
    perplexity: float | None,
    gain_G: np.ndarray,
    sums: ItemSums,
    baseline: Sequence[int],
    full: Sequence[int],
    permutations: int,
    seed: int,
) -> Gain:
    """Return the gain of a model from the gains of groups, (G,), and their sums."""
    whole, count_G = sums.whole, sums.count_GS.sum(axis=1)
    any_p = any_effect_p(sums, baseline, full, permutations, seed)
    _, [left_baseline], _ = whole.fit(baseline)
    _, [left_full], _ = whole.fit(full)
    total = whole.product_RPP[0, -1, -1]
    return Gain(
        model=model,
        perplexity=perplexity,
        gain=ratio_interval(gain_G, count_G),
        p=permutation_p(gain_G, resamples=permutations, seed=seed, one_sided=True),
        p_any=any_p,
        in_sample=float(count_G.sum() / 2 * math.log(left_baseline / left_full)),
        r2_baseline=float(1 - left_baseline / total),
        r2=float(1 - left_full / total),
    )


def any_effect_p(
    sums: ItemSums, baseline: Sequence[int], full: Sequence[int], permutations: int, seed: int
) -> float:
    """Return the p-value of the columns that `full` adds to `baseline`. The score of a group is the
    sum of what the baseline leaves of the response times what it leaves of a column; of scores S
    with the sums s, s' (S'S)^-1 s is compared with that of scores whose signs are flipped."""
    added = [column for column in full if column not in baseline]
    if not added:
        return 1.0

    # Residuals are contrasts of columns: minus what the baseline explains.
    product_PP, chosen = sums.whole.product_RPP[0], list(baseline)
    normal_KK = product_PP[np.ix_(chosen, chosen)]
    contrast_PA = np.zeros((len(product_PP), len(added) + 1))
    for place, column in enumerate([*added, len(product_PP) - 1]):
        contrast_PA[column, place] = 1.0
        contrast_PA[chosen, place] = -np.linalg.lstsq(normal_KK, product_PP[chosen, column])[0]
    groups = np.arange(len(sums.sum_GSP))
    product_GPP = sums.held_out(groups, sums.whole.mean_RSP[0])
    score_GA = contrast_PA[:, :-1].T @ product_GPP @ contrast_PA[:, -1]

    # How often flipped signs give as large a statistic.
    inverse_AA = np.linalg.pinv(score_GA.T @ score_GA, hermitian=True)
    total_A = score_GA.sum(axis=0)
    observed = total_A @ inverse_AA @ total_A * (1 - EXPLAINED)
    signs, more = sign_flips(len(groups), permutations, seed)
    as_large = trials = 0
    for signs_RG in signs:
        total_RA = signs_RG @ score_GA
        as_large += int(((total_RA @ inverse_AA * total_RA).sum(axis=1) >= observed).sum())
        trials += len(signs_RG)
    return (as_large + more) / (trials + more)


def difference_of(
    names: tuple[str, str],
    gains: tuple[np.ndarray, np.ndarray],
    count_G: np.ndarray,
    permutations: int,
    seed: int,
) -> GainDifference:
    """Return the second model's gain minus the first one's."""
    difference_G = gains[1] - gains[0]
    interval = ratio_interval(difference_G, count_G)
    p = permutation_p(difference_G, resamples=permutations, seed=seed)
    return GainDifference(*names, interval, p)


def coefficient_intervals(sums: ItemSums, columns: Sequence[int]) -> list[Interval]:
    """Return the coefficients in the table's units, with intervals by leaving out each group."""
    groups, subjects, width = sums.sum_GSP.shape
    batch = max(1, AT_ONCE // (subjects * width + groups))
    fits = []
    for start in range(0, groups, batch):
        weight_RG = np.ones((min(batch, groups - start), groups))
        weight_RG[np.arange(len(weight_RG)), np.arange(start, start + len(weight_RG))] = 0.0
        fits.append(sums.weighted(weight_RG).fit(columns)[0])
    estimate_K = sums.in_units(sums.whole.fit(columns)[0][0], columns)
    left_GK = sums.in_units(np.concatenate(fits), columns)
    return [
        jackknife_interval(float(estimate), left_G)
        for estimate, left_G in zip(estimate_K, left_GK.T, strict=True)
    ]
