"""From counts to probabilities and backoff weights, order by order from below, for any estimator.

The estimator says what share each n-gram gets and what is left to the lower order (see :mod:`rnnlm.ngram.smoothing`);
here the orders are joined, pruned n-grams give their share to the lower order, and what is left becomes the form every n-gram
model is stored in: log p(w|h) for the n-grams kept, log backoff for their contexts (Katz 1987; the ARPA format).

All that happens after one context concerns no other, so an order is worked through in blocks of contexts, side by side.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rnnlm.ngram.counting.counts import IN_MEMORY, NgramCounts
from rnnlm.ngram.counting.workspace import Workspace
from rnnlm.ngram.smoothing import CountsOfCounts, Estimator, HeldoutCounts, OrderCounts
from rnnlm.ngram.tables import NOWHERE, BackoffLevel, find_many, make_keys, split_keys, word_bits
from rnnlm.system import in_threads

SMALLEST_UNSEEN = 1e-9  # of the lower order's probability; below that no word is unseen but for rounding


def estimate(
    counts: NgramCounts, smoothing: Estimator, thresholds: Sequence[int] = (), workspace: Workspace = IN_MEMORY
) -> Iterator[BackoffLevel]:
    """The levels of the model, from the unigrams up. n-grams of order n that occur at most `thresholds[n - 1]` times are left out.

    A level is given out when the next one is known: its backoff weights come from there.

    Raises:
        OutputError: memory is limited, and there is no room for temporary files.
    """
    below = _EstimatedOrder(np.zeros(1, np.uint64), np.full(1, 1 / counts.size), None, np.zeros((1, 2), dtype=np.float32))
    for n in range(1, counts.order + 1):
        threshold = thresholds[n - 1] if 1 < n <= len(thresholds) else 0
        order = _estimate_order(_OrderTask(n, counts, smoothing, threshold, below, workspace))
        if n > 1:
            yield BackoffLevel(counts.size, below.keys_M, below.values_MK)
        below = order
    yield BackoffLevel(counts.size, below.keys_M, below.values_MK)


class _EstimatedOrder:
    """An order worked through: keys and values of the n-grams kept; all probabilities again in full precision; which n-grams of
    those counted were kept (None: all), and their new numbers."""

    def __init__(self, keys_M: np.ndarray, prob_M: np.ndarray, kept_M: np.ndarray | None, values_MK: np.ndarray) -> None:
        self.keys_M = keys_M
        self.prob_M = prob_M
        self.values_MK = values_MK
        self.kept_M = kept_M
        self.numbers_M = None if kept_M is None else np.cumsum(kept_M) - 1

    def renumbered(self, numbers_M: np.ndarray) -> np.ndarray:
        return numbers_M if self.numbers_M is None else self.numbers_M[numbers_M]


@dataclass(frozen=True)
class _ContextBlock:
    """The n-grams numbered `start` to `end` of an order, which follow the contexts `first` to `last` (both without the end)."""

    first: int
    last: int
    start: int
    end: int


class _OrderTask:
    """All that it takes to work through order n."""

    def __init__(
        self, n: int, counts: NgramCounts, smoothing: Estimator, threshold: int, below: _EstimatedOrder, workspace: Workspace
    ) -> None:
        self.n, self.size, self.smoothing, self.below, self.workspace = n, counts.size, smoothing, below, workspace
        self.level = counts.levels[n - 1]
        self.contexts = len(counts.levels[n - 2]) if n > 1 else 1
        self.counts_M = counts.raw(n) if smoothing.counts == "raw" else counts.adjusted(n)
        self.kept_M = self.level.counts_M > threshold if threshold else None
        self.kept = len(self.level) if self.kept_M is None else int(np.count_nonzero(self.kept_M))
        self.is_highest = n == counts.order

    def blocks(self) -> Iterator[_ContextBlock]:
        """All contexts, in blocks of about as many n-grams as are to be handled at a time."""
        bits, keys_M = word_bits(self.size), self.level.keys_M
        first = start = 0
        while first < self.contexts:
            end = min(start + self.workspace.ngrams, len(keys_M))
            last = self.contexts if end == len(keys_M) else max(first + 1, int(keys_M[end] >> np.uint64(bits)))
            end = len(keys_M) if last == self.contexts else int(np.searchsorted(keys_M, np.uint64(last << bits)))
            yield _ContextBlock(first, last, start, end)
            first, start = last, end

    def tally(self) -> CountsOfCounts:
        tally_C = np.zeros(int(self.counts_M.max()) + 1, dtype=np.int64)
        for start in range(0, len(self.counts_M), self.workspace.ngrams):
            part = np.bincount(self.counts_M[start : start + self.workspace.ngrams])
            tally_C[: len(part)] += part
        counts_R = np.flatnonzero(tally_C[1:]) + 1
        return CountsOfCounts(counts_R, tally_C[counts_R])


def _estimate_order(task: _OrderTask) -> _EstimatedOrder:
    task.smoothing.begin_order(task.n, task.tally())
    below, workspace = task.below, task.workspace
    is_whole = task.kept_M is None and below.kept_M is None
    keys_M = task.level.keys_M if is_whole else workspace.empty(task.kept, np.uint64)
    prob_M = workspace.empty(task.kept, np.float64)
    values_MK = workspace.empty((task.kept, 1 if task.is_highest else 2), np.float32)
    context = end = 0
    for keys, prob, backoff in in_threads(lambda block: _estimate_block(task, block), task.blocks(), workspace.threads):
        start, end = end, end + len(prob)
        prob_M[start:end] = prob
        values_MK[start:end] = 0
        values_MK[start:end, 0] = _log(prob)
        if not is_whole:
            keys_M[start:end] = keys
        below.values_MK[context : context + len(backoff), 1] = _log(backoff)
        context += len(backoff)
        workspace.release(task.level.keys_M, task.level.suffixes_M, task.level.counts_M, keys_M, prob_M, values_MK, below.values_MK)
    return _EstimatedOrder(keys_M, prob_M, task.kept_M, values_MK)


def _estimate_block(task: _OrderTask, block: _ContextBlock) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Keys and probabilities of the n-grams kept, and the backoff weights of the contexts kept."""
    below, here = task.below, slice(block.start, block.end)
    contexts_M, words_M = split_keys(task.level.keys_M[here], task.size)
    seen = OrderCounts(task.n, task.counts_M[here], contexts_M - block.first, block.last - block.first)
    shares = task.smoothing.shares(seen)
    share_M, left_H, suffixes_M, of_M = shares.seen_M, shares.left_H, task.level.suffixes_M[here], seen.contexts_M
    if task.kept_M is not None:
        kept_M = task.kept_M[here]
        if task.smoothing.join != "fixed weight":
            left_H = left_H + np.bincount(of_M[~kept_M], share_M[~kept_M], minlength=seen.contexts)
        share_M, suffixes_M, of_M, contexts_M, words_M = (each[kept_M] for each in (share_M, suffixes_M, of_M, contexts_M, words_M))
    prob_M, backoff_H = _join(task.smoothing, share_M, left_H, of_M, below.prob_M[below.renumbered(suffixes_M)])
    if task.n == 1:
        prob_M[task.size] = 1.0  # <s> is given; by custom its log-probability is 0
    if below.kept_M is not None:
        backoff_H = backoff_H[below.kept_M[block.first : block.last]]
    if task.kept_M is None and below.kept_M is None:
        return None, prob_M, backoff_H
    return make_keys(below.renumbered(contexts_M), words_M, task.size), prob_M, backoff_H


def _join(
    smoothing: Estimator, share_M: np.ndarray, left_H: np.ndarray, contexts_M: np.ndarray, lower_M: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of n-grams, and the backoff weights of their contexts. lower_M: what the lower order says of them."""
    if smoothing.join == "interpolate":
        prob_M, backoff_H = share_M + left_H[contexts_M] * lower_M, left_H
    else:
        prob_M, backoff_H = share_M.copy(), left_H
        is_unseen_M = share_M == 0  # a discount may take a count whole; then backing off takes it for unseen
        if smoothing.join == "back off":
            prob_M, backoff_H = _backed_off(prob_M, left_H, contexts_M, np.where(is_unseen_M, 0.0, lower_M))
        prob_M[is_unseen_M] = backoff_H[contexts_M[is_unseen_M]] * lower_M[is_unseen_M]
    is_followed_H = np.bincount(contexts_M, minlength=len(left_H)) > 0
    return prob_M, np.where(is_followed_H, backoff_H, np.exp(smoothing.unseen_context_logprob))


def _backed_off(prob_M: np.ndarray, left_H: np.ndarray, contexts_M: np.ndarray, lower_M: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights such that all sums to one (Katz 1987, eq. 16); where every word was seen, what is left goes to the seen ones."""
    unseen_H = 1 - np.bincount(contexts_M, lower_M, minlength=len(left_H))
    is_full_H = unseen_H < SMALLEST_UNSEEN
    with np.errstate(divide="ignore", invalid="ignore"):
        scale_H = np.where(is_full_H, 1 / (1 - left_H), 1.0)
        backoff_H = np.where(is_full_H, 1.0, left_H / unseen_H)
    return prob_M * scale_H[contexts_M], backoff_H


def _log(prob_M: np.ndarray) -> np.ndarray:
    """Natural logarithms, float32; -inf of zero."""
    with np.errstate(divide="ignore"):
        return np.log(prob_M).astype(np.float32)


def heldout_counts(counts: NgramCounts, ids_T: np.ndarray, boundary_id: int) -> HeldoutCounts:
    """Look up every n-gram of a held-out text whose lines end in `boundary_id`; contexts begin at each line, with `<s>`."""
    is_first_T = np.append(True, ids_T[:-1] == boundary_id)
    ngrams_NT = np.zeros((counts.order, len(ids_T)), dtype=np.int64)
    contexts_NT = np.zeros_like(ngrams_NT)
    numbers_T = ids_T.astype(np.int64)
    counts_M = counts.raw(1)
    ngrams_NT[0], contexts_NT[0] = counts_M[ids_T], counts_M.sum()
    for n, level in enumerate(counts.levels[1:], start=2):
        before_T = np.append(NOWHERE, numbers_T[:-1])
        before_T[is_first_T] = counts.size if n == 2 else NOWHERE
        known = np.flatnonzero(before_T != NOWHERE)
        numbers_T = np.full(len(ids_T), NOWHERE)
        numbers_T[known] = find_many(level.keys_M, make_keys(before_T[known], ids_T[known], counts.size))
        found = np.flatnonzero(numbers_T != NOWHERE)
        contexts_NT[n - 1, known] = counts.levels[n - 2].counts_M[before_T[known]]  # all that end no line are followed by a word
        ngrams_NT[n - 1, found] = level.counts_M[numbers_T[found]]
    return HeldoutCounts(ngrams_NT, contexts_NT, counts.size)
