"""Stupid backoff (Brants et al. 2007, eq. 5): relative frequencies, and a fixed price for each word of context given up.

    S(w|h) = c(hw) / c(h)      where hw was seen
             alpha S(w|h')     elsewhere, also after a context h that was never seen

c(hw) is how often hw occurs in the text, c(h) = sum over w of c(hw); alpha is 0.4 in the paper. S are scores, not
probabilities: they do not sum to one. The paper's recursion ends at c(w) / N; a word of the vocabulary that never occurs
gets alpha / V here, not zero.
"""

import math

import numpy as np

from rnnlm.ngram.counting.counts import NgramCounts
from rnnlm.ngram.settings import NgramSettings
from rnnlm.ngram.smoothing import Estimator, HeldoutCounts, OrderCounts, Shares


class StupidBackoff(Estimator):
    """The factor is a setting; nothing is estimated but the shares."""

    joins = ("fixed weight",)
    normalised = False

    def __init__(self, settings: NgramSettings, counts: NgramCounts, heldout: HeldoutCounts | None = None) -> None:
        super().__init__(settings, counts, heldout)
        self.unseen_context_logprob = math.log(settings.backoff_factor)
        self.estimated["backoff factor"] = settings.backoff_factor

    def shares(self, seen: OrderCounts) -> Shares:
        left_H = np.full(seen.contexts, self.settings.backoff_factor)
        return Shares(seen.counts_M / seen.totals()[seen.contexts_M], left_H)
