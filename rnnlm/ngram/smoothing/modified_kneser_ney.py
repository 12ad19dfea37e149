"""Modified Kneser-Ney (Chen & Goodman 1999, section 3; Heafield et al. 2013, section 2), the estimator of KenLM's lmplz.

Kneser-Ney with three discounts an order, for counts of one, two, and three or more. With a(hw) the adjusted count (raw at
the highest order and after `<s>`, else the number of different words to the left of hw), S(h) = sum over w of a(hw) and
N_j(h) the number of words that follow h with adjusted count j (3: or more):

    share(w|h) = (a(hw) - D_a(hw)) / S(h)
    left(h)    = (D_1 N_1(h) + D_2 N_2(h) + D_3 N_3(h)) / S(h)
    Y = t_1 / (t_1 + 2 t_2),   D_j = j - (j + 1) Y t_(j+1) / t_j,   t_j = number of n-grams with adjusted count j

Where t_1, t_2 or t_3 is 0 or a D_j is not above 0, D = 1/2, 1, 3/2 is used instead for that order. (lmplz accepts D_j = 0, which leaves
nothing to unseen words after some contexts; `--discounts lmplz` does, too.)
"""

import numpy as np

from rnnlm.errors import notice
from rnnlm.ngram.counting.counts import NgramCounts
from rnnlm.ngram.settings import NgramSettings
from rnnlm.ngram.smoothing import CountsOfCounts, Estimator, HeldoutCounts, OrderCounts, Shares
from rnnlm.ngram.smoothing.lmplz_discounts import with_end_of_text

FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)  # lmplz's, with --discount_fallback
SMALLEST = 1e-9  # below that, a discount is 0 but for rounding


class ModifiedKneserNey(Estimator):
    """Discounts by order are in the report."""

    counts = "adjusted"
    joins = ("interpolate", "back off")

    def __init__(self, settings: NgramSettings, counts: NgramCounts, heldout: HeldoutCounts | None = None) -> None:
        super().__init__(settings, counts, heldout)
        self.all_counts = counts

    def begin_order(self, order: int, tally: CountsOfCounts) -> None:
        t = tally.first(4)
        like_lmplz = self.settings.discounts == "lmplz"
        if like_lmplz:
            t = with_end_of_text(t, self.all_counts, order)
        self.discounts = discounts_of(t, order, least=0.0 if like_lmplz else SMALLEST)
        self.estimated[f"discounts of order {order}"] = [round(float(value), 6) for value in self.discounts[1:]]

    def shares(self, seen: OrderCounts) -> Shares:
        total_H = seen.totals()
        discount_M = self.discounts[np.minimum(seen.counts_M, 3)]
        return Shares((seen.counts_M - discount_M) / total_H[seen.contexts_M], seen.per_context(discount_M) / total_H)


def discounts_of(tally: np.ndarray, order: int, least: float = SMALLEST) -> np.ndarray:
    """D_0 = 0 and D_1 to D_3 from the counts of counts t_0 to t_4; where they do not exist, fixed ones, and a notice."""
    t = tally.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        y = t[1] / (t[1] + 2 * t[2])
        discounts = np.array([0.0, *(j - (j + 1) * y * t[j + 1] / t[j] for j in (1, 2, 3))])
    if t[1:4].all() and all(least <= discounts[j] <= j for j in (1, 2, 3)):
        return discounts
    notice(
        f"order {order}: too few different counts for Kneser-Ney discounts (t1 to t4 are {', '.join(map(str, tally[1:5]))}): "
        f"{FALLBACK_DISCOUNTS} are used"
    )
    return np.array([0.0, *FALLBACK_DISCOUNTS])
