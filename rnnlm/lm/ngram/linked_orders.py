"""Back off through the orders of a model that is being made or changed, from the unigrams up.

The link of an n-gram is its longest proper suffix that is in the model, as number and length (the
failure links of Aho & Corasick 1975). Mostly it is the one that is a word shorter, but joined,
pruned and imported models lack some. Following links shortens a context until the n-gram exists.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rnnlm import arrays
from rnnlm.lm.ngram.tables import NOWHERE, BackoffLevel, find, make_keys, sums_of_unseen

# Keys looked up, in sorted order, before pages of files may leave memory
LOOKUPS = 1 << 14
# Where less than this share of a lower order's backoff mass remains, rounding has taken its digits
NEARLY_ALL = 1e-4


@dataclass(frozen=True)
class LinkedOrder:
    """The M n-grams of one order with the values of J models, one column each.

    logprob_MJ: log p(w|h). logbackoff_MJ: log a(hw). sums_M2: of p(v|hw) over the words v seen
    after hw, and over all others. links_M, lengths_M: number and length of each n-gram's link.
    """

    keys_M: np.ndarray
    logprob_MJ: np.ndarray
    logbackoff_MJ: np.ndarray
    sums_M2: np.ndarray
    links_M: np.ndarray
    lengths_M: np.ndarray

    def __len__(self) -> int:
        return len(self.keys_M)

    def arrays(self) -> tuple[np.ndarray, ...]:
        return tuple(vars(self).values())


class Lower(NamedTuple):
    """log p(w|h') of R n-grams hw in each column, and the links of the n-grams."""

    logprob_RJ: np.ndarray
    links_R: np.ndarray
    lengths_R: np.ndarray


class LinkedOrders:
    """The orders so far: `orders[n]` is order n, and `orders[0]` the empty n-gram, after which all
    words are seen. The last column is the model's own.

    release: lets pages of arrays in files leave memory; None: they are in memory.
    """

    def __init__(
        self, size: int, columns: int = 1, release: Callable[..., None] | None = None
    ) -> None:
        self.size = size
        self.release = release or (lambda *arrays: None)
        self.lookups = LOOKUPS if release else sys.maxsize
        nothing_1J = np.zeros((1, columns), dtype=np.float32)
        zero_1 = np.zeros(1, dtype=np.int64)
        no_length_1 = np.full(1, -1, dtype=np.int8)  # the empty n-gram has no suffix
        keys_1, sums_12 = zero_1.astype(np.uint64), np.zeros((1, 2))
        empty = LinkedOrder(keys_1, nothing_1J, nothing_1J, sums_12, zero_1, no_length_1)
        self.orders = [empty]

    def add(self, level: BackoffLevel, lower: Lower | None = None) -> None:
        """Add the next order of a model, as the only column. lower: what it backs off to, if that
        is known."""
        lower = lower or self.lower(level.contexts_M, level.words_M)
        columns = level.values_MK[:, :1], level.values_MK[:, 1:]
        sums_M2 = np.zeros((len(level), 2))
        order = LinkedOrder(level.keys_M, *columns, sums_M2, lower.links_R, lower.lengths_R)
        self.orders.append(order)

    def lower(self, contexts_R: np.ndarray, words_R: np.ndarray) -> Lower:
        """Return what words after contexts of the highest order back off to: the probability after
        the longest suffix of each context with which the n-gram exists."""
        # The lengths are those of the shortened contexts, until all are found.
        highest = self.orders[-1]
        links_R, lengths_R = highest.links_M[contexts_R], highest.lengths_M[contexts_R]
        logprob_RJ = np.zeros((len(words_R), self.orders[0].logprob_MJ.shape[1]))
        for length in range(int(lengths_R.max(initial=-1)), -1, -1):
            at = np.flatnonzero(lengths_R == length)
            contexts = links_R[at]
            keys = make_keys(contexts, words_R[at], self.size)
            numbers, rows = self._look_up(self.orders[length + 1], keys)

            # Where the n-gram exists, it gives the probability and is the link.
            exists = numbers != NOWHERE
            links_R[at[exists]] = numbers[exists]
            logprob_RJ[at[exists]] += rows[exists]

            # Elsewhere the link of its context replaces the context.
            if not exists.all():
                rest, contexts = at[~exists], contexts[~exists]
                order = self.orders[length]
                logprob_RJ[rest] += order.logbackoff_MJ[contexts]
                links_R[rest], lengths_R[rest] = order.links_M[contexts], order.lengths_M[contexts]
                self.release(*order.arrays())
        return Lower(logprob_RJ, links_R, lengths_R + np.int8(1))

    def _look_up(self, order: LinkedOrder, keys_Q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the number of each n-gram in an order, NOWHERE where it does not exist, and its
        log p."""
        numbers_Q = np.full(len(keys_Q), NOWHERE)
        rows_QJ = np.empty((len(keys_Q), order.logprob_MJ.shape[1]), dtype=np.float32)
        if not len(keys_Q) or not len(order):
            return numbers_Q, rows_QJ

        # In the order of keys, so that each step reads one stretch of the mapped arrays.
        by_key = np.argsort(keys_Q)
        for block in arrays.blocks(len(keys_Q), self.lookups):
            at = by_key[block]
            wanted = keys_Q[at]
            low = int(np.searchsorted(order.keys_M, wanted[0]))
            high = int(np.searchsorted(order.keys_M, wanted[-1], side="right"))
            numbers = find(order.keys_M[low:high], wanted, low)
            numbers_Q[at] = numbers
            rows_QJ[at] = order.logprob_MJ[numbers]
            self.release(*order.arrays())
        return numbers_Q, rows_QJ

    def unseen(
        self, keys_M: np.ndarray, contexts_M: np.ndarray, lower: Lower, span: slice
    ) -> np.ndarray:
        """Return the sum of p(w|h') over the words unseen after each context h of the highest order
        in `span`.

        keys_M: the n-grams of the next order that follow these contexts. contexts_M: their
        contexts, counted from the start of the span. lower: what they back off to.
        """
        # The sums after h', of which the words seen after h are taken away: apart for those seen
        # after h' and for the others. From 1, too little would be left where h' is nearly always
        # followed by the same word.
        contexts, highest = span.stop - span.start, self.orders[-1]
        lengths_H = highest.lengths_M[span]
        below_H2 = self._sums(highest.links_M[span], lengths_H)
        prob_M = np.exp(lower.logprob_RJ[:, -1])
        is_longest_M = lower.lengths_R == lengths_H[contexts_M] + 1
        seen_below_H = np.bincount(contexts_M, prob_M * is_longest_M, minlength=contexts)
        other_H = np.bincount(contexts_M, prob_M * ~is_longest_M, minlength=contexts)
        of_seen_H = np.maximum(below_H2[:, 0] - seen_below_H, 0)
        unseen_H = of_seen_H + np.maximum(below_H2[:, 1] - other_H, 0)
        words_H = np.bincount(contexts_M, minlength=contexts)
        unseen_H[words_H == self.size] = 0.0

        # Where nearly all of the other words' sum is taken away, too, add up word by word.
        is_near_H = (other_H > 0) & (unseen_H < NEARLY_ALL * below_H2[:, 1])
        near = np.flatnonzero(is_near_H & (words_H < self.size))
        unseen_H[near] = sums_of_unseen(
            keys_M,
            near + span.start,
            self.size,
            lower=lambda contexts_C, words_C: self.lower(contexts_C, words_C).logprob_RJ[:, -1],
        )
        return unseen_H

    def _sums(self, links_H: np.ndarray, lengths_H: np.ndarray) -> np.ndarray:
        """Return the sums after n-grams, given by number and length, (H, 2)."""
        sums_H2 = np.empty((len(links_H), 2))
        for length, order in enumerate(self.orders):
            at = np.flatnonzero(lengths_H == length)
            sums_H2[at] = order.sums_M2[links_H[at]]
            self.release(order.sums_M2)
        return sums_H2
