"""Estimate by the other classical methods: additive, Good-Turing, interpolation with one weight an
order, Jelinek-Mercer, Katz, maximum likelihood, stupid backoff, Witten-Bell."""

import math
from typing import Any

import numpy as np

from rnnlm.amounts import plural
from rnnlm.errors import NoticeCollector, SettingsError, keyword
from rnnlm.lm.ngram.counting.count_trie import NgramCounts
from rnnlm.lm.ngram.settings import NgramSettings, numbers_in
from rnnlm.lm.ngram.smoothing.estimator import (
    CountsOfCounts,
    Estimator,
    HeldoutCounts,
    OrderCounts,
    Shares,
)
from rnnlm.lm.ngram.smoothing.kneser_ney import discount_of

# ---- Additive smoothing (Lidstone 1920; Chen & Goodman 1999, section 2.1): k V imagined events
# after every context.
#
# With c(hw) the count of hw, c(h) = sum over w of c(hw), and V words:
#
#     share(w|h) = c(hw) / (c(h) + k V)
#     left(h)    = k V   / (c(h) + k V)
#
# The prior distributes the imagined events:
#
#     uniform:      p(w|h) = (c(hw) + k) / (c(h) + k V), which is 1/V after a context never seen
#     lower-order:  p(w|h) = (c(hw) + k V p(w|h')) / (c(h) + k V)    (MacKay & Peto 1995)
#
# Every model is stored as one that backs off, exactly: with the uniform prior, lower orders hold
# 1/V and leave all to the order below, but after contexts that begin with <s>. Those are as long as
# the line allows, and nothing backs off to them. One k serves all orders: the one given, or else
# the one under which held-out text is most probable.

LOWEST, HIGHEST = -8.0, 4.0  # log10 k
STEPS, SMALLEST_STEP = 6, 0.002


class Additive(Estimator):
    """Additive smoothing. The report has k."""

    tuned = keyword("additive_k") + " is"
    instead_of_valid = keyword("additive_k", 0.1)

    @classmethod
    def needs_heldout(cls, settings: NgramSettings) -> bool:
        return settings.additive_k is None

    def __init__(
        self, settings: NgramSettings, counts: NgramCounts, heldout: HeldoutCounts | None = None
    ) -> None:
        super().__init__(settings, counts, heldout)
        self.is_uniform = settings.additive_prior == "uniform"
        k = settings.additive_k
        if k is None:
            assert heldout is not None  # see `needs_heldout`
            k = best_k(heldout, self.is_uniform)
        self.estimated["k"] = k
        self.added = k * counts.size
        self.first_at_start_N = counts.first_at_start()

    def shares(self, seen: OrderCounts) -> Shares:
        total_H = seen.per_context(seen.counts_M)
        share_M = seen.counts_M / (total_H + self.added)[seen.contexts_M]
        left_H = 1 / (1 + total_H / self.added)

        # Of lower orders, the uniform prior takes the contexts that begin with <s> alone.
        if self.is_uniform and seen.order < len(self.first_at_start_N):
            numbers_H = np.arange(seen.contexts) + seen.first_context
            is_at_start_H = numbers_H >= self.first_at_start_N[seen.order - 1]
            share_M = np.where(is_at_start_H[seen.contexts_M], share_M, 0.0)
            left_H = np.where(is_at_start_H, left_H, 1.0)
        return Shares(share_M, left_H)


def best_k(heldout: HeldoutCounts, is_uniform: bool) -> float:
    """Return the k that makes the held-out text most probable, by ever finer steps in log k around
    the best so far."""
    low, high = LOWEST, HIGHEST
    while high - low > SMALLEST_STEP:
        grid = np.linspace(low, high, STEPS + 1)
        logprobs = [logprob(heldout, 10.0**exponent, is_uniform) for exponent in grid]
        best = int(np.argmax(logprobs))
        low, high = grid[max(0, best - 1)], grid[min(STEPS, best + 1)]
    return float(f"{10 ** ((low + high) / 2):.4g}")


def logprob(heldout: HeldoutCounts, k: float, is_uniform: bool) -> float:
    """Return the log-probability of the held-out text, in nats."""
    added = k * heldout.size
    if is_uniform:
        longest_1T = heldout.longest_T[None] - 1
        ngrams_T = np.take_along_axis(heldout.ngrams_NT, longest_1T, axis=0)[0]
        contexts_T = np.take_along_axis(heldout.contexts_NT, longest_1T, axis=0)[0]
        return float(np.log((ngrams_T + k) / (contexts_T + added)).sum())
    prob_T = 1 / heldout.size
    for ngrams_T, contexts_T in zip(heldout.ngrams_NT, heldout.contexts_NT, strict=True):
        prob_T = (ngrams_T + added * prob_T) / (contexts_T + added)
    return float(np.log(prob_T).sum())


# ---- Simple Good-Turing (Gale & Sampson 1995): the value of an event seen r times, judging by how
# many events were seen how often.
#
# With t_r the number of things seen r times, Turing's estimate and its standard deviation are
#
#     x(r) = (r + 1) t_(r+1) / t_r,   sd(r) = (r + 1) / t_r sqrt(t_(r+1) (1 + t_(r+1) / t_r))
#
# Where r is large, t_r is mostly 0 or 1. So t_r is averaged over the gap between the counts around
# it, q and s, Z_r = 2 t_r / (s - q) (s = 2 r - q at the last), and log Z_r = a + b log r is fitted
# by least squares, which makes the smoothed estimate
#
#     y(r) = (r + 1) Z_(r+1) / Z_r = r (1 + 1/r)^(b + 1)
#
# r* is x(r) from r = 1 on as long as |x(r) - y(r)| > 1.65 sd(r), and y(r) from the first r on where
# that is not so.

SIGNIFICANT = 1.65


def simple_good_turing(counts_R: np.ndarray, tally_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return r* and the smoothed y(r) for the R >= 2 different counts r, ascending; `tally_R`
    things have each."""
    r_R, t_R = counts_R.astype(np.float64), tally_R.astype(np.float64)
    smoothed_R = r_R * (1 + 1 / r_R) ** (_slope(r_R, t_R) + 1)
    next_R = np.append(np.where(np.diff(r_R) == 1, t_R[1:], 0.0), 0.0)
    turing_R = (r_R + 1) * next_R / t_R
    deviation_R = (r_R + 1) / t_R * np.sqrt(next_R * (1 + next_R / t_R))
    differs_R = (next_R > 0) & (np.abs(turing_R - smoothed_R) > SIGNIFICANT * deviation_R)
    return np.where(np.logical_and.accumulate(differs_R), turing_R, smoothed_R), smoothed_R


def _slope(r_R: np.ndarray, t_R: np.ndarray) -> float:
    """Return b of the line through (log r, log Z_r)."""
    before_R = np.append(0.0, r_R[:-1])
    after_R = np.append(r_R[1:], 2 * r_R[-1] - before_R[-1])
    x_R, y_R = np.log(r_R), np.log(2 * t_R / (after_R - before_R))
    x_R = x_R - x_R.mean()
    return float(x_R @ y_R / (x_R @ x_R))


# ---- Jelinek-Mercer (Jelinek & Mercer 1980; Chen & Goodman 1999, section 2.3): relative
# frequencies of all orders, mixed.
#
# With c(hw) the count of hw and c(h) = sum over w of c(hw):
#
#     share(w|h) = lambda_b(h) c(hw) / c(h)
#     left(h)    = 1 - lambda_b(h)
#
# The more often h was seen, the more it can be trusted: each order has one weight for each bucket b
# of contexts, b(h) = 1, 2, 3, ... where c(h) is 1, 2 to 3, 4 to 7, ...; the last of a limited
# number of buckets has all higher counts. Weights are those under
# which held-out text is most probable, of all orders together, found by EM (Dempster, Laird & Rubin
# 1977). A held-out word is thought of as drawn by descending from the highest order: at each order
# it is drawn there with probability lambda, else at a lower order. So
#
#     lambda_b = (expected words drawn at b + 1/2) / (expected words that came to b + 1)
#
# where one imagined word, half of it drawn, keeps every weight off 0 and 1: held-out text that
# never met a new word after h is no proof that there is none. A bucket that no held-out word came
# to is given a weight between its neighbours'.

START = 0.5
ROUNDS = 500


class JelinekMercer(Estimator):
    """Jelinek-Mercer smoothing. The report has the weights by order, each with the smallest c(h) of
    its bucket."""

    tuned = "interpolation weights are"

    def __init__(
        self, settings: NgramSettings, counts: NgramCounts, heldout: HeldoutCounts
    ) -> None:
        super().__init__(settings, counts, heldout)
        buckets = int(bucket(np.array(counts.tokens)))
        if settings.buckets is not None:
            buckets = min(buckets, settings.buckets)
        self.weights_NB = fitted_weights(heldout, buckets + 1)

    def shares(self, seen: OrderCounts) -> Shares:
        highest = self.weights_NB.shape[1] - 1
        bucket_H = np.minimum(bucket(seen.per_context(seen.counts_M)), highest)
        weights_B = self.weights_NB[seen.order - 1]
        weight_H = weights_B[bucket_H]

        # Report the weights of the buckets that occur, as far as they have been seen.
        reported = self.estimated.setdefault(f"weights of order {seen.order}", {})
        for number in np.flatnonzero(np.bincount(bucket_H)).tolist():
            if number:
                reported[str(2 ** (number - 1))] = round(float(weights_B[number]), 6)
        share_M = (weight_H / seen.totals())[seen.contexts_M] * seen.counts_M
        return Shares(share_M, 1 - weight_H)

    def report(self) -> dict[str, Any]:
        return {
            name: dict(sorted(weights.items(), key=lambda item: int(item[0])))
            for name, weights in self.estimated.items()
        }


def bucket(counts: np.ndarray) -> np.ndarray:
    """Return the bits of a count: 0 for 0, 1 for 1, 2 for 2 to 3, 3 for 4 to 7, ..."""
    return np.frexp(counts)[1]


def fitted_weights(heldout: HeldoutCounts, buckets: int) -> np.ndarray:
    """Fit weights_NB by EM; bucket 0, contexts never seen, has weight 0, and the last one has all
    higher counts."""
    buckets_NT = np.minimum(bucket(heldout.contexts_NT), buckets - 1)
    relative_NT = heldout.ngrams_NT / np.maximum(heldout.contexts_NT, 1)
    weights_NB, came_NB = expectation_maximization(
        relative_NT, buckets_NT, buckets, 1 / heldout.size, imagined=1.0, smallest_change=1e-4
    )
    # A bucket that no held-out word came to has a weight between its neighbours'.
    for weights_B, came_B in zip(weights_NB[:, 1:], came_NB[:, 1:], strict=True):
        known = np.flatnonzero(came_B)
        if len(known):
            weights_B[:] = np.interp(np.arange(len(weights_B)), known, weights_B[known])
    return weights_NB


def expectation_maximization(
    relative_NT: np.ndarray,
    buckets_NT: np.ndarray,
    buckets: int,
    lowest: float,
    imagined: float,
    smallest_change: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return weights_NB, and how many held-out words are expected to come to each order and bucket.

    relative_NT: c(hw) / c(h) of each token. lowest: the probability of any word below the unigrams.
    imagined: words that come to each bucket beside the text's, half of which are drawn there.
    """
    weights_NB = np.full((len(buckets_NT), buckets), START)
    weights_NB[:, 0] = 0
    for _ in range(ROUNDS):
        drawn_NB, came_NB = _expected_counts(weights_NB, relative_NT, buckets_NT, lowest)
        previous_NB = weights_NB
        total_NB = came_NB + imagined
        weights_NB = np.full_like(previous_NB, START)
        np.divide(drawn_NB + imagined / 2, total_NB, out=weights_NB, where=total_NB > 0)
        weights_NB[:, 0] = 0
        if np.abs(weights_NB - previous_NB).max() < smallest_change:
            break
    return weights_NB, came_NB


def _expected_counts(
    weights_NB: np.ndarray, relative_NT: np.ndarray, buckets_NT: np.ndarray, lowest: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return how many held-out words are expected to be drawn at each order and bucket, and to have
    come there."""
    # From below: the probability that a word that came to an order was drawn there.
    orders, buckets = weights_NB.shape
    drawn_NT = np.empty_like(relative_NT)
    prob_T = lowest
    for n in range(orders):
        weight_T = weights_NB[n, buckets_NT[n]]
        here_T = weight_T * relative_NT[n]
        prob_T = here_T + (1 - weight_T) * prob_T
        drawn_NT[n] = here_T / prob_T

    # From above: tokens that are not drawn at an order go to the one below.
    drawn_NB, came_NB = np.zeros_like(weights_NB), np.zeros_like(weights_NB)
    came_T = np.ones(relative_NT.shape[1])
    for n in reversed(range(orders)):
        came_NB[n] = np.bincount(buckets_NT[n], came_T, minlength=buckets)
        drawn_NB[n] = np.bincount(buckets_NT[n], came_T * drawn_NT[n], minlength=buckets)
        came_T = came_T * (1 - drawn_NT[n])
    return drawn_NB, came_NB


# ---- Interpolation with one weight an order (Jelinek & Mercer 1980; Jurafsky & Martin): relative
# frequencies of all orders, mixed with the same weights after every context.
#
# With c(hw) the count of hw, c(h) = sum over w of c(hw), h_n the last n - 1 words of h, and weights
# lambda_1 to lambda_N that sum to one:
#
#     p(w|h) = sum over n of lambda_n c(h_n w) / c(h_n)
#
# At the start of a line, `<s>` is repeated as often as the context is too short. If h_n was never
# seen, its part is 0 / 0. Then either the weights of the orders that remain are scaled to sum to
# one (unseen=lower), or the part is 0 and the rest sums to less than one (unseen=zero). With L_n =
# lambda_1 + ... + lambda_n, order by order:
#
#     lower:  share(w|h) = lambda_n / L_n c(hw) / c(h),   left(h) = L_(n-1) / L_n
#     zero:   share(w|h) = lambda_n       c(hw) / c(h),   left(h) = 1
#
# After a context of n - 1 words that begins with `<s>`, lambda_n + ... + lambda_N takes the place
# of lambda_n, and L_N the place of L_n. Tuned weights make held-out text most probable, by the EM
# of Jelinek-Mercer with one bucket; words that no order has seen are left out, as no weights change
# that.

SUM_TOLERANCE = 1e-6


class Interpolated(Estimator):
    """Interpolation with one weight an order. The report has the weights, the lowest order
    first."""

    tuned = keyword("weights") + " are"
    instead_of_valid = keyword("weights", "0.1,0.3,0.6")

    @classmethod
    def needs_heldout(cls, settings: NgramSettings) -> bool:
        return given_weights(settings) is None

    def __init__(
        self, settings: NgramSettings, counts: NgramCounts, heldout: HeldoutCounts | None = None
    ) -> None:
        super().__init__(settings, counts, heldout)
        self.is_lower = settings.unseen == "lower"
        self.normalised = self.normalised_if_pruned = self.is_lower
        self.first_at_start_N = counts.first_at_start()
        weights_N = given_weights(settings)
        if weights_N is None:
            assert heldout is not None  # see `needs_heldout`
            weights_N = best_weights(heldout, self.is_lower)
        self.weights_N = weights_N
        self.estimated["weights"] = [round(weight, 6) for weight in weights_N.tolist()]

    def shares(self, seen: OrderCounts) -> Shares:
        below = self.weights_N[: seen.order - 1].sum()
        weight = self.weights_N[seen.order - 1]

        # A context at the start of a line has the weights of all longer ones, too.
        numbers_H = np.arange(seen.contexts) + seen.first_context
        is_at_start_H = numbers_H >= self.first_at_start_N[seen.order - 1]
        weight_H = np.where(is_at_start_H, self.weights_N[seen.order - 1 :].sum(), weight)
        left_H = np.full(seen.contexts, float(seen.order > 1))
        if self.is_lower:
            # Where this order and those below have no weight, it takes everything.
            is_idle_H = weight_H + below == 0
            weight_H = np.where(is_idle_H, 1.0, weight_H / (weight_H + below + is_idle_H))
            left_H = 1 - weight_H
        return Shares((weight_H / seen.totals())[seen.contexts_M] * seen.counts_M, left_H)


def given_weights(settings: NgramSettings) -> np.ndarray | None:
    """Return the weights, the lowest order first; None: they are tuned."""
    text = settings.weights
    if text == "tuned":
        return None
    try:
        weights_N = np.array([float(number) for number in numbers_in(text)])
    except ValueError:
        weights_N = np.zeros(0)
    if not len(weights_N):
        raise SettingsError(
            f"weights = {text!r} is not understood",
            hint="write one number per order, the lowest order first, such as 0.1,0.3,0.6; or "
            "tuned",
        )
    if len(weights_N) != settings.order:
        raise SettingsError(
            f"weights = {text!r} has {plural(len(weights_N), 'number')}",
            f"the order is {settings.order}",
            f"write {plural(settings.order, 'number')}, the lowest order first, or set "
            + keyword("order", len(weights_N)),
        )
    is_in_range = bool(((weights_N >= 0) & (weights_N <= 1)).all())
    if not is_in_range or abs(weights_N.sum() - 1) > SUM_TOLERANCE:
        raise SettingsError(
            f"weights = {text!r} is not valid",
            f"their sum is {weights_N.sum():g}" if is_in_range else "",
            "write numbers from 0 to 1 whose sum is 1",
        )
    return weights_N / weights_N.sum()


def best_weights(heldout: HeldoutCounts, is_lower: bool) -> np.ndarray:
    """Return the weights that make the held-out text most probable."""
    # At the start of a line, longer contexts are as good as the longest one there is.
    rows_NT = np.minimum(np.arange(len(heldout.ngrams_NT))[:, None], heldout.longest_T - 1)
    ngrams_NT = np.take_along_axis(heldout.ngrams_NT, rows_NT, axis=0)
    contexts_NT = np.take_along_axis(heldout.contexts_NT, rows_NT, axis=0)

    # Bucket 1 has the contexts whose order has a part: those seen, or all of them.
    is_possible_T = ngrams_NT.any(axis=0)
    relative_NT = (ngrams_NT / np.maximum(contexts_NT, 1))[:, is_possible_T]
    has_part_NT = (contexts_NT[:, is_possible_T] > 0) | (not is_lower)
    weights_NB, _ = expectation_maximization(
        relative_NT, has_part_NT.astype(np.int64), 2, lowest=0.0, imagined=0.0, smallest_change=1e-6
    )

    # Each order leaves the rest to those below; the lowest one takes all of it.
    taken_N = weights_NB[:, 1]
    taken_N[0] = 1.0
    return taken_N * np.append(np.cumprod(1 - taken_N[:0:-1])[::-1], 1.0)


# ---- Katz backoff (Katz 1987; Chen & Goodman 1999, section 2.4) with Good-Turing counts: seen
# n-grams are worth a little less than their counts, the rest is for unseen ones.
#
# With c(hw) the count of hw, c(h) = sum over w of c(hw), and r* the value of an n-gram of that
# order seen r times:
#
#     share(w|h) = c*(hw) / c(h)                                          where hw was seen
#     left(h)    = 1 - sum over w of c*(hw) / c(h)
#     p(w|h) = bow(h) p(w|h') for other words,
#         bow(h) = left(h) / (1 - sum over words seen after h of p(w|h'))
#
# Where all words were seen after h, their shares are scaled to sum to one. r* are Simple
# Good-Turing's (Gale & Sampson 1995) of each order; its last step, scaling them all to sum to one,
# is done here by bow(h), context by context. Shares make sense where 0 < r* < r for every r. Where
# that does not hold, there is a ladder: the smoothed r* alone (good where the fitted line falls
# faster than 1/r); and where they do no better, or only one count occurs at all, r* = r - D as in
# absolute discounting.

REPORTED = 5
SMALLEST_DISCOUNT = 1e-6  # below that, a count is not discounted but for rounding


class Katz(Estimator):
    """Katz's smoothing. The report has the discounted counts 1* to 5* by order."""

    joins = ("back off",)

    def begin_order(self, order: int, tally: CountsOfCounts) -> None:
        self.counts_R, self.worth_R = tally.counts_R, _worth(tally, order, self.notices)
        counts, worths = self.counts_R[:REPORTED].tolist(), self.worth_R[:REPORTED].tolist()
        first = zip(counts, worths, strict=True)
        self.estimated[f"counts of order {order}"] = {str(r): round(worth, 6) for r, worth in first}

    def shares(self, seen: OrderCounts) -> Shares:
        place_M = np.searchsorted(self.counts_R, seen.counts_M)
        worth_M = np.where(seen.counts_M > 0, self.worth_R[place_M], 0.0)
        total_H = seen.totals()
        left_H = seen.per_context(seen.counts_M - worth_M) / total_H
        return Shares(worth_M / total_H[seen.contexts_M], left_H)


def _worth(tally: CountsOfCounts, order: int, notices: NoticeCollector) -> np.ndarray:
    """Return r* for each of the different counts r of an order, 0 < r* < r."""
    counts_R = tally.counts_R
    if len(counts_R) < 2:
        notices.add(
            f"order {order}",
            "all counts are equal, which is too little for Good-Turing: absolute "
            "discounting is used",
        )
    else:
        both, smoothed_R = simple_good_turing(counts_R, tally.tally_R)
        if _are_sound(both, counts_R):
            return both
        if _are_sound(smoothed_R, counts_R):
            notices.add(
                f"order {order}",
                "Turing's estimates are not below the counts themselves: only smoothed ones are "
                "used",
            )
            return smoothed_R
        notices.add(
            f"order {order}",
            "Good-Turing counts are not below the counts themselves: absolute discounting is used",
        )
    return counts_R - discount_of(tally, order, notices)


def _are_sound(worth_R: np.ndarray, counts_R: np.ndarray) -> bool:
    return bool(((worth_R > 0) & (counts_R - worth_R > SMALLEST_DISCOUNT)).all())


# ---- Maximum likelihood: the relative frequencies of the text, and nothing else (Chen & Goodman
# 1999, section 1).
#
#     share(w|h) = c(hw) / c(h)
#     left(h)    = 0
#
# c(hw) is how often hw occurs in the text, c(h) = sum over w of c(hw). Words that were not seen
# after h are impossible, so the model suits lessons and comparisons; only after a context that was
# never seen at all, where the formula gives 0 / 0, does it use a shorter one. The probability of
# pruned n-grams has no heir, so pruned probabilities sum to less than one.


class MaximumLikelihood(Estimator):
    """Nothing is estimated but the shares."""

    joins = ("fixed weight",)
    normalised_if_pruned = False

    def shares(self, seen: OrderCounts) -> Shares:
        return Shares(seen.counts_M / seen.totals()[seen.contexts_M], np.zeros(seen.contexts))


# ---- Stupid backoff (Brants et al. 2007, eq. 5): relative frequencies, and a fixed penalty for
# each word of context dropped.
#
#     S(w|h) = c(hw) / c(h)      where hw was seen
#              alpha S(w|h')     elsewhere, also after a context h that was never seen
#
# c(hw) is how often hw occurs in the text, c(h) = sum over w of c(hw); alpha is 0.4 in the paper. S
# are scores, not probabilities: they do not sum to one. The paper's recursion ends at c(w) / N; a
# word of the vocabulary that never occurs gets alpha / V here, not zero.


class StupidBackoff(Estimator):
    """The factor is a setting; nothing is estimated but the shares."""

    joins = ("fixed weight",)
    normalised = normalised_if_pruned = False

    def __init__(
        self, settings: NgramSettings, counts: NgramCounts, heldout: HeldoutCounts | None = None
    ) -> None:
        super().__init__(settings, counts, heldout)
        self.unseen_context_logprob = math.log(settings.backoff_factor)
        self.estimated["backoff factor"] = settings.backoff_factor

    def shares(self, seen: OrderCounts) -> Shares:
        left_H = np.full(seen.contexts, self.settings.backoff_factor)
        return Shares(seen.counts_M / seen.totals()[seen.contexts_M], left_H)


# ---- Witten-Bell (Witten & Bell 1991, method C; Chen & Goodman 1999, section 2.5): a new word is
# as likely as new words were so far.
#
# With c(hw) the count of hw, c(h) = sum over w of c(hw), and T(h) how many different words were
# seen after h:
#
#     share(w|h) = c(hw) / (c(h) + T(h))
#     left(h)    = T(h)  / (c(h) + T(h))


class WittenBell(Estimator):
    """Witten-Bell smoothing, which estimates only the shares."""

    def shares(self, seen: OrderCounts) -> Shares:
        types_H = seen.per_context(seen.counts_M > 0)
        both_H = seen.totals() + types_H
        return Shares(seen.counts_M / both_H[seen.contexts_M], types_H / both_H)
