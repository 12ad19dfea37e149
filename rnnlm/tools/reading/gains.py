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
from dataclasses import astuple, dataclass

import numpy as np

from rnnlm.errors import TextError, keyword
from rnnlm.evaluation import plotting
from rnnlm.evaluation.resampling import (
    Interval,
    jackknife_interval,
    permutation_p,
    ratio_interval,
    sign_flips,
)
from rnnlm.tabular import Row
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


# ---- The figure of an analysis.

MOST_REGIONS = 12  # that are drawn
LAG_NAMES = ("surprisal", "word before", "two before")


def reading_figure(
    found_gains: Sequence[Gain],
    found_coefficients: Sequence[Coefficient],
    means: Sequence[Row],
    unit: str,
    region: str,
) -> "plotting.Figure":
    """Draw the gain of each model over its perplexity, its coefficients of surprisal by lag, and
    the mean time and surprisal of each region and condition. region: what regions are."""
    models = [gain.model for gain in found_gains]
    labels = [
        ("What surprisal adds", "perplexity", "gain (nats per row)"),
        ("Coefficients by lag", "", f"{unit} per bit"),
        ("Times", region, "mean time (ms)"),
        ("Surprisals", region, "mean surprisal (bits)"),
    ]
    figure, (gains, coefficients, times, surprisals) = plotting.new_panels(
        labels, height=7.0, columns=2
    )
    styles = plotting.series_styles(models)

    # Each model that has a perplexity is a point, with its interval.
    points = [(gain.perplexity, gain) for gain in found_gains if gain.perplexity is not None]
    for perplexity, gain in points:
        middle, bars = plotting.with_bars([astuple(gain.gain)[:3]])
        style = styles[gain.model]
        gains.errorbar(
            [perplexity], middle, bars, fmt=style.marker, color=style.colour, capsize=3,
            label=plotting.short_name(gain.model),
        )  # fmt: skip
    gains.axhline(0, color=plotting.REFERENCE, lw=0.8)
    if points:
        plotting.log_x(gains)

    # Surprisal of the word itself, and of those before it.
    for number, model in enumerate(models):
        of_model = [
            found
            for found in found_coefficients
            if found.model == model and found.predictor.endswith("surprisal_bits")
        ]
        places = [found.lag + 0.15 * (number - (len(models) - 1) / 2) for found in of_model]
        intervals = [found.coefficient for found in of_model]
        middle, bars = plotting.with_bars(
            [(each.estimate, each.low, each.high) for each in intervals]
        )
        style = styles[model]
        coefficients.errorbar(places, middle, bars, fmt=style.marker, color=style.colour, capsize=3)
    coefficients.axhline(0, color=plotting.REFERENCE, lw=0.8)
    coefficients.set_xticks(range(len(LAG_NAMES)), LAG_NAMES)

    # A line for each condition; surprisals are those of the first model.
    regions = list(dict.fromkeys(row["region"] for row in means))[:MOST_REGIONS]
    conditions = sorted({str(row["condition"]) for row in means})
    for number, condition in enumerate(conditions):
        rows = [row for row in means if row["condition"] == condition and row["region"] in regions]
        places = [regions.index(row["region"]) for row in rows]
        style = plotting.series_style(number + len(models))
        name = plotting.short_name(condition) if condition else "all conditions"
        for axes, column in ((times, "time"), (surprisals, models[0])):
            heights = [float(row[column] or 0) for row in rows]
            axes.plot(places, heights, marker=style.marker, color=style.colour, label=name)
    for axes in (times, surprisals):
        axes.set_xticks(range(len(regions)), map(plotting.short_name, map(str, regions)))
    if len(models) > 1:
        surprisals.set_title(f"Surprisals by {plotting.short_name(models[0])}")
    plotting.legend_below(figure, gains, times)
    return figure
