"""Additive smoothing (Lidstone 1920; Chen & Goodman 1999, section 2.1), each order's prior being the next lower order
(MacKay & Peto 1995).

With c(hw) the count of hw, c(h) = sum over w of c(hw), and V words:

    share(w|h) = c(hw) / (c(h) + k V)
    left(h)    = k V   / (c(h) + k V),   so   p(w|h) = (c(hw) + k V p(w|h')) / (c(h) + k V)

For unigrams that is (c(w) + k) / (N + k V): k is added to every count. Higher up, the k V imagined events are shared out as
the lower order says. One k serves all orders: the one given, or else the one under which held-out text is most probable.
"""

import numpy as np

from rnnlm.ngram.counting.counts import NgramCounts
from rnnlm.ngram.settings import NgramSettings
from rnnlm.ngram.smoothing import Estimator, HeldoutCounts, OrderCounts, Shares

LOWEST, HIGHEST = -8.0, 4.0  # log10 k
STEPS, SMALLEST_STEP = 6, 0.002


class Additive(Estimator):
    """k is in the report."""

    heldout = "without additive_k"

    def __init__(self, settings: NgramSettings, counts: NgramCounts, heldout: HeldoutCounts | None = None) -> None:
        super().__init__(settings, counts, heldout)
        if (k := settings.additive_k) is None:
            assert heldout is not None  # as `heldout` of the class asks for
            k = best_k(heldout)
        self.estimated["k"] = k
        self.added = k * counts.size

    def shares(self, seen: OrderCounts) -> Shares:
        total_H = seen.per_context(seen.counts_M)
        return Shares(seen.counts_M / (total_H + self.added)[seen.contexts_M], 1 / (1 + total_H / self.added))


def best_k(heldout: HeldoutCounts) -> float:
    """The k that makes the held-out text most probable, by ever finer steps in log k around the best so far."""
    low, high = LOWEST, HIGHEST
    while high - low > SMALLEST_STEP:
        grid = np.linspace(low, high, STEPS + 1)
        best = int(np.argmax([logprob(heldout, 10.0**exponent) for exponent in grid]))
        low, high = grid[max(0, best - 1)], grid[min(STEPS, best + 1)]
    return float(f"{10 ** ((low + high) / 2):.4g}")


def logprob(heldout: HeldoutCounts, k: float) -> float:
    """Of the held-out text, in nats."""
    added = k * heldout.size
    prob_T = 1 / heldout.size
    for ngrams_T, contexts_T in zip(heldout.ngrams_NT, heldout.contexts_NT, strict=True):
        prob_T = (ngrams_T + added * prob_T) / (contexts_T + added)
    return float(np.log(prob_T).sum())
