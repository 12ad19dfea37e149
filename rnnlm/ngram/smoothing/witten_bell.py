"""Witten-Bell (Witten & Bell 1991, method C; Chen & Goodman 1999, section 2.5): a new word is as likely as new words were so far.

With c(hw) the count of hw, c(h) = sum over w of c(hw), and T(h) how many different words were seen after h:

    share(w|h) = c(hw) / (c(h) + T(h))
    left(h)    = T(h)  / (c(h) + T(h))
"""

from rnnlm.ngram.smoothing import Estimator, OrderCounts, Shares


class WittenBell(Estimator):
    """Nothing is estimated but the shares."""

    def shares(self, seen: OrderCounts) -> Shares:
        types_H = seen.per_context(seen.counts_M > 0)
        both_H = seen.totals() + types_H
        return Shares(seen.counts_M / both_H[seen.contexts_M], types_H / both_H)
