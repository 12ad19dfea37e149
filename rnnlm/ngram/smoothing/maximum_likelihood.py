"""Maximum likelihood: what the text itself says, and nothing else (Chen & Goodman 1999, section 1).

    share(w|h) = c(hw) / c(h)
    left(h)    = 0

c(hw) is how often hw occurs in the text, c(h) = sum over w of c(hw). What was not seen after h is impossible, so the
model suits lessons and comparisons; only after a context that was never seen at all, where the formula says 0 / 0, does it go
by a shorter one.
"""

import numpy as np

from rnnlm.ngram.smoothing import Estimator, OrderCounts, Shares


class MaximumLikelihood(Estimator):
    """Nothing is estimated but the shares."""

    joins = ("fixed weight",)
    normalised = False

    def shares(self, seen: OrderCounts) -> Shares:
        return Shares(seen.counts_M / seen.totals()[seen.contexts_M], np.zeros(seen.contexts))
