"""Jelinek-Mercer (Jelinek & Mercer 1980; Chen & Goodman 1999, section 2.3): relative frequencies of all orders, mixed.

With c(hw) the count of hw and c(h) = sum over w of c(hw):

    share(w|h) = lambda_b(h) c(hw) / c(h)
    left(h)    = 1 - lambda_b(h)

The more often h was seen, the more it can be trusted: each order has one weight for each bucket b of contexts, b(h) = 1, 2,
3, ... where c(h) is 1, 2 to 3, 4 to 7, ... Weights are those under which held-out text is most probable, of all orders
together, found by EM (Dempster, Laird & Rubin 1977). A held-out word is thought of as drawn by descending from the highest
order: at each order it is drawn there with probability lambda, else one goes on below. So

    lambda_b = (expected words drawn at b + 1/2) / (expected words that came to b + 1)

where one imagined word, half of it drawn, keeps every weight off 0 and 1: held-out text that never met a new word after h is no
proof that there is none. A bucket that no held-out word came to is given a weight between its neighbours'.
"""

from typing import Any

import numpy as np

from rnnlm.ngram.counting.counts import NgramCounts
from rnnlm.ngram.settings import NgramSettings
from rnnlm.ngram.smoothing import Estimator, HeldoutCounts, OrderCounts, Shares

START = 0.5
ROUNDS, SMALLEST_CHANGE = 500, 1e-4


class JelinekMercer(Estimator):
    """Weights by order are in the report, beside the smallest c(h) of their bucket."""

    heldout = "always"

    def __init__(self, settings: NgramSettings, counts: NgramCounts, heldout: HeldoutCounts) -> None:
        super().__init__(settings, counts, heldout)
        buckets = int(bucket(counts.raw(1).sum())) + 1
        self.weights_NB = fitted_weights(heldout, buckets)

    def shares(self, seen: OrderCounts) -> Shares:
        bucket_H = bucket(seen.per_context(seen.counts_M))
        weights_B = self.weights_NB[seen.order - 1]
        occurring = [number for number in np.flatnonzero(np.bincount(bucket_H)).tolist() if number]
        reported = self.estimated.setdefault(f"weights of order {seen.order}", {})
        reported.update({str(2 ** (number - 1)): round(float(weights_B[number]), 4) for number in occurring})
        weight_H = weights_B[bucket_H]
        return Shares((weight_H / seen.totals())[seen.contexts_M] * seen.counts_M, 1 - weight_H)

    def report(self) -> dict[str, Any]:
        return {name: dict(sorted(weights.items(), key=lambda item: int(item[0]))) for name, weights in self.estimated.items()}


def bucket(counts: np.ndarray) -> np.ndarray:
    """Bits of a count: 0 for 0, 1 for 1, 2 for 2 to 3, 3 for 4 to 7, ..."""
    return np.frexp(counts)[1]


def fitted_weights(heldout: HeldoutCounts, buckets: int) -> np.ndarray:
    """weights_NB by EM; bucket 0, contexts never seen, has weight 0."""
    buckets_NT = bucket(heldout.contexts_NT)
    relative_NT = heldout.ngrams_NT / np.maximum(heldout.contexts_NT, 1)
    weights_NB = np.full((len(buckets_NT), buckets), START)
    weights_NB[:, 0] = 0
    for _ in range(ROUNDS):
        drawn_NB, came_NB = _expected(weights_NB, relative_NT, buckets_NT, heldout.size)
        previous_NB = weights_NB
        weights_NB = (drawn_NB + 0.5) / (came_NB + 1)
        weights_NB[:, 0] = 0
        if np.abs(weights_NB - previous_NB).max() < SMALLEST_CHANGE:
            break
    for weights_B, came_B in zip(weights_NB[:, 1:], came_NB[:, 1:], strict=True):
        known = np.flatnonzero(came_B)
        if len(known):
            weights_B[:] = np.interp(np.arange(len(weights_B)), known, weights_B[known])
    return weights_NB


def _expected(weights_NB: np.ndarray, relative_NT: np.ndarray, buckets_NT: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Held-out words expected to be drawn at each order and bucket, and to have come there."""
    orders, buckets = weights_NB.shape
    drawn_NT = np.empty_like(relative_NT)  # probability that a word that came to the order was drawn there
    prob_T = 1 / size
    for n in range(orders):
        weight_T = weights_NB[n, buckets_NT[n]]
        here_T = weight_T * relative_NT[n]
        prob_T = here_T + (1 - weight_T) * prob_T
        drawn_NT[n] = here_T / prob_T
    drawn_NB, came_NB = np.zeros_like(weights_NB), np.zeros_like(weights_NB)
    came_T = np.ones(relative_NT.shape[1])
    for n in reversed(range(orders)):
        came_NB[n] = np.bincount(buckets_NT[n], came_T, minlength=buckets)
        drawn_NB[n] = np.bincount(buckets_NT[n], came_T * drawn_NT[n], minlength=buckets)
        came_T = came_T * (1 - drawn_NT[n])
    return drawn_NB, came_NB
