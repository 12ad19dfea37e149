"""Absolute discounting (Ney, Essen & Kneser 1994; Chen & Goodman 1999, section 2.6): every count gives up the same amount D.

With c(hw) the count of hw, c(h) = sum over w of c(hw), T(h) how many different words were seen after h, and one D an order:

    share(w|h) = (c(hw) - D) / c(h)      where hw was seen
    left(h)    = D T(h) / c(h)
    D = t_1 / (t_1 + 2 t_2),   t_j = number of n-grams with count j

Where t_1 or t_2 is 0, the formula gives 0 or 1, which leaves nothing to unseen words, or nothing to those seen once;
D = 1/2 is used instead.
"""

import numpy as np

from rnnlm.errors import notice
from rnnlm.ngram.smoothing import CountsOfCounts, Estimator, OrderCounts, Shares

FALLBACK_DISCOUNT = 0.5


class AbsoluteDiscounting(Estimator):
    """Discounts by order are in the report."""

    joins = ("interpolate", "back off")

    def begin_order(self, order: int, tally: CountsOfCounts) -> None:
        self.discount = discount_of(tally, order)
        self.estimated[f"discount of order {order}"] = round(self.discount, 6)

    def shares(self, seen: OrderCounts) -> Shares:
        total_H = seen.totals()
        discount_M = np.where(seen.counts_M > 0, self.discount, 0.0)
        return Shares((seen.counts_M - discount_M) / total_H[seen.contexts_M], seen.per_context(discount_M) / total_H)


def discount_of(tally: CountsOfCounts, order: int) -> float:
    """D of an order; where it does not exist, 1/2, and a notice."""
    _, once, twice = tally.first(2)
    if once and twice:
        return float(once / (once + 2 * twice))
    missing = "twice" if once else "once"
    notice(f"order {order}: no n-gram occurs {missing}, so the discount cannot be estimated: {FALLBACK_DISCOUNT} is used")
    return FALLBACK_DISCOUNT
