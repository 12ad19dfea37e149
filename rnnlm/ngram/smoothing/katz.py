"""Katz backoff (Katz 1987; Chen & Goodman 1999, section 2.4) with Good-Turing counts: what was seen is worth a little
less than its count, the rest is for what was not.

With c(hw) the count of hw, c(h) = sum over w of c(hw), and r* what an n-gram of that order seen r times is worth:

    share(w|h) = c*(hw) / c(h)                                          where hw was seen
    left(h)    = 1 - sum over w of c*(hw) / c(h)
    p(w|h) = bow(h) p(w|h') for other words,   bow(h) = left(h) / (1 - sum over words seen after h of p(w|h'))

Where all words were seen after h, their shares are scaled to sum to one. r* are Simple Good-Turing's (Gale & Sampson 1995)
of each order; its last step, scaling them all to sum to one, is done here by bow(h), context by context. Shares make sense
where 0 < r* < r for every r. Where that does not hold, there is a ladder: the smoothed r* alone (good where the fitted line
falls faster than 1/r); and where they do no better, or only one count occurs at all, r* = r - D as in absolute discounting.
"""

import numpy as np

from rnnlm.errors import notice
from rnnlm.ngram.smoothing import CountsOfCounts, Estimator, OrderCounts, Shares
from rnnlm.ngram.smoothing.absolute_discounting import discount_of
from rnnlm.ngram.smoothing.good_turing import simple_good_turing

REPORTED = 5
SMALLEST_DISCOUNT = 1e-6  # below that, a count is not discounted but for rounding


class Katz(Estimator):
    """1* to 5* by order are in the report."""

    joins = ("back off",)

    def begin_order(self, order: int, tally: CountsOfCounts) -> None:
        self.counts_R, self.worth_R = tally.counts_R, _worth(tally, order)
        first = zip(self.counts_R[:REPORTED].tolist(), self.worth_R[:REPORTED].tolist(), strict=True)
        self.estimated[f"counts of order {order}"] = {str(count): round(worth, 6) for count, worth in first}

    def shares(self, seen: OrderCounts) -> Shares:
        place_M = np.searchsorted(self.counts_R, seen.counts_M)
        worth_M = np.where(seen.counts_M > 0, self.worth_R[place_M], 0.0)
        total_H = seen.totals()
        return Shares(worth_M / total_H[seen.contexts_M], seen.per_context(seen.counts_M - worth_M) / total_H)


def _worth(tally: CountsOfCounts, order: int) -> np.ndarray:
    """r* for each of the different counts r of an order, 0 < r* < r."""
    counts_R = tally.counts_R
    if len(counts_R) < 2:
        notice(f"order {order}: all counts are equal, too little for Good-Turing: absolute discounting is used")
    else:
        both, smoothed_R = simple_good_turing(counts_R, tally.tally_R)
        if _are_sound(both, counts_R):
            return both
        if _are_sound(smoothed_R, counts_R):
            notice(f"order {order}: Turing's estimates are not below the counts themselves: only smoothed ones are used")
            return smoothed_R
        notice(f"order {order}: Good-Turing counts are not below the counts themselves: absolute discounting is used")
    return counts_R - discount_of(tally, order)


def _are_sound(worth_R: np.ndarray, counts_R: np.ndarray) -> bool:
    return bool(((worth_R > 0) & (counts_R - worth_R > SMALLEST_DISCOUNT)).all())
