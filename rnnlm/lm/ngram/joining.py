"""Join several n-gram models into one (static interpolation, as SRILM's `ngram -mix-lm`).

The joined model has the n-grams of all parts. It holds for each n-gram the probability that the
parts give it together, backing off where they lack it, and the backoff weights are recomputed:

    p(w|h) = sum over k of weight_k p_k(w|h)     where hw is in the union
             a(h) p(w|h')                        elsewhere; h' is h without its first word

    a(h) = (1 - sum of p(w|h) over the words seen after h)
           / (sum of p(w|h') over all other words)

so that it sums to one after every context, even if the parts do not (ngram(1) of SRILM, -mix-lm;
Stolcke 2002). Where hw is in no part, this is not quite the mixture of the parts, in which each has
its own backoff weight.

Orders are joined from the unigrams up, each by ranges of contexts, in one pass over the sorted
n-grams of the parts. Values of the orders below are looked up in sorted order. All large arrays are
in a workspace, which may put them into files: memory holds one range at a time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rnnlm import arrays
from rnnlm.errors import ModelError
from rnnlm.interface import Tokenizer
from rnnlm.lm.ngram.compact import Keys
from rnnlm.lm.ngram.counting.workspace import Workspace
from rnnlm.lm.ngram.model import NgramModel
from rnnlm.lm.ngram.tables import (
    LinkedOrder,
    LinkedOrders,
    Lower,
    exp64,
    log32,
    make_keys,
    split_keys,
    word_bits,
)
from rnnlm.parallel import in_threads
from rnnlm.storage.files.tensors import ChunkedArray
from rnnlm.text.lines import Progress, silent

# n-grams joined at a time where memory is not limited: more do not fit into caches.
RANGE = 1 << 18
# Of each n-gram of a range, temporary arrays included; the second for each part
BYTES_PER_NGRAM, BYTES_PER_PART = 260, 90
# If the seen words of a context leave less than this, rounding has taken its digits.
NEARLY_NOTHING = 1e-5


def joined(
    parts: Sequence[NgramModel],
    weights_K: Sequence[float] | np.ndarray,
    workspace: Workspace,
    report: Progress = silent,
) -> NgramModel:
    """Join models that share a tokenizer, with weights above 0 whose sum is 1. The arrays of the
    result belong to `workspace`.

    ModelError: no part gives any word a probability.
    """
    joining = _Joining(parts, np.asarray(weights_K, dtype=np.float64), workspace)
    joining.add_unigrams()
    for n in range(2, joining.order + 1):
        joining.add_order(n, report)
    keys = [order.keys_M for order in joining.orders[2:]]
    values = [joining.values(n) for n in range(1, joining.order + 1)]
    return NgramModel(keys, values, parts[0].tokenizer, normalised=True)


@dataclass(frozen=True)
class _Range:
    """Contexts of the order below, and the n-grams of each part that follow them, from `starts_K`
    to `ends_K` (without the end)."""

    contexts: slice
    starts_K: np.ndarray
    ends_K: np.ndarray


@dataclass(frozen=True)
class _Union:
    """The n-grams of all parts in a range: M keys, with their contexts as numbers from the first of
    the range on; the places of each part's own n-grams; the probabilities from the orders below."""

    span: _Range
    keys_M: np.ndarray
    contexts_M: np.ndarray
    places: list[np.ndarray]
    lower: Lower

    @property
    def contexts(self) -> int:
        """How many contexts the range has."""
        return self.span.contexts.stop - self.span.contexts.start

    def sums(self, values_M: np.ndarray) -> np.ndarray:
        """Return the sum of the values of the words seen after each context."""
        return np.bincount(self.contexts_M, values_M, minlength=self.contexts)


@dataclass(frozen=True)
class _Joined:
    """The n-grams of a range, joined. weights_H, sums_H2: of its contexts."""

    union: _Union
    logprob_MJ: np.ndarray
    logbackoff_MJ: np.ndarray
    weights_H: np.ndarray
    sums_H2: np.ndarray


class _Joining(LinkedOrders):
    """The orders joined so far: a column for each part, and the last for all of them. numbers[k]:
    the joined number of each n-gram of part k in the order joined last; they ascend, as all number
    their n-grams in the same order."""

    def __init__(
        self, parts: Sequence[NgramModel], weights_K: np.ndarray, workspace: Workspace
    ) -> None:
        release = workspace.release if workspace.in_files else None
        super().__init__(parts[0].size, len(parts) + 1, release)
        self.parts = parts
        self.weights_K = weights_K
        self.workspace = workspace
        self.bits = word_bits(self.size)
        # An empty highest order gives no n-gram, and the weights below it are recomputed.
        self.order = 1 + max(sum(len(keys) > 0 for keys in part.keys) for part in parts)
        self.numbers: list[np.ndarray] = []
        self.most = RANGE
        if workspace.in_files:
            bytes_per_ngram = BYTES_PER_NGRAM + BYTES_PER_PART * len(parts)
            self.most = max(1, workspace.memory // bytes_per_ngram)

    def values(self, n: int) -> np.ndarray:
        """Return the values of an order of the joined model."""
        order = self.orders[n]
        columns = [order.logprob_MJ, order.logbackoff_MJ][: 1 if n == self.order else 2]
        values_MK = self.workspace.empty((len(order), len(columns)), np.float32)
        for here in arrays.blocks(len(order), self.most):
            values_MK[here] = np.stack([column_MJ[here, -1] for column_MJ in columns], axis=1)
            self.release(values_MK, *columns)
        return values_MK

    def add_unigrams(self) -> None:
        """Join the unigrams: every part has all words, and `<s>` as the last."""
        order = self._room_for(1, self.size + 1)
        order.logbackoff_MJ[:] = 0.0
        for k, part in enumerate(self.parts):
            order.logprob_MJ[:, k] = part.values[0][:, 0]
            if part.order > 1:
                order.logbackoff_MJ[:, k] = part.values[0][:, 1]
        prob_V = exp64(order.logprob_MJ[:, :-1]) @ self.weights_K
        total = prob_V[:-1].sum()
        if not total > 0:
            raise ModelError("the models cannot be joined", "no word has a probability above zero")

        order.keys_M[:] = np.arange(self.size + 1)
        order.logprob_MJ[:, -1] = log32(prob_V / total)
        order.logprob_MJ[-1, -1] = 0.0  # by custom, as `<s>` is given
        order.lengths_M[:] = 0  # the empty n-gram is the only proper suffix
        order.links_M[:] = 0
        self.orders.append(order)
        self.numbers = [np.arange(self.size + 1)] * len(self.parts)
        self.orders[0].sums_M2[0, 0] = exp64(order.logprob_MJ[:-1, -1]).sum()

    def add_order(self, n: int, report: Progress) -> None:
        """Join the next order, and set the backoff weights of the one below."""
        lengths = [len(part.keys[n - 2]) if n <= part.order else 0 for part in self.parts]
        longest = sum(lengths)
        order, below = self._room_for(n, longest), self.orders[-1]
        numbers = [self.workspace.empty(length, np.int64) for length in lengths]

        length, done = 0, 0
        spans = self._ranges(n)
        for block in in_threads(lambda span: self._join(n, span), spans, self.workspace.threads):
            union, span = block.union, block.union.span
            here = slice(length, length + len(union.keys_M))
            order.keys_M[here] = union.keys_M
            if n == self.order:
                order.logprob_MJ[here, 0] = block.logprob_MJ[:, -1]
            else:
                order.logprob_MJ[here] = block.logprob_MJ
                order.logbackoff_MJ[here] = block.logbackoff_MJ
                order.links_M[here] = union.lower.links_R
                order.lengths_M[here] = union.lower.lengths_R
            for k, places in enumerate(union.places):
                numbers[k][span.starts_K[k] : span.ends_K[k]] = places + length
            below.logbackoff_MJ[span.contexts, -1] = block.weights_H
            below.sums_M2[span.contexts] = block.sums_H2
            length = here.stop
            done += int((span.ends_K - span.starts_K).sum())
            report(f"joining {n}-grams: {done / max(1, longest):.0%}")
            self.release(*order.arrays(), *below.arrays(), *numbers)

        # One for each of them; shared memory is not counted twice.
        self.orders.append(LinkedOrder(*(array[:length] for array in order.arrays())))
        self.numbers = numbers

    def _room_for(self, n: int, ngrams: int) -> LinkedOrder:
        """Return an order of so many n-grams, not filled in."""
        # Nothing is looked up in the highest order, unless it is that of the unigrams.
        empty, columns = self.workspace.empty, len(self.parts) + 1
        is_looked_up = n < self.order or n == 1
        below = ngrams if is_looked_up else 0
        return LinkedOrder(
            empty(ngrams, np.uint64),
            empty((ngrams, columns if is_looked_up else 1), np.float32),
            empty((below, columns), np.float32),
            empty((below, 2), np.float64),
            empty(below, np.int64),
            empty(below, np.int8),
        )

    def _ranges(self, n: int) -> Iterator[_Range]:
        """Yield the contexts of order n with their continuations: about as many n-grams at a time
        as may be in memory, but one context at least."""
        contexts = len(self.orders[-1])
        lengths_K = np.array([len(p.keys[n - 2]) if n <= p.order else 0 for p in self.parts])
        starts_K = np.zeros_like(lengths_K)
        first = 0
        while first < contexts:
            # Each part gives its share; the one that reaches its share first ends the range.
            last = min(contexts, first + self.most)
            left = int((lengths_K - starts_K).sum())
            for k in np.flatnonzero(starts_K < lengths_K).tolist():
                share = self.most * int(lengths_K[k] - starts_K[k]) // left
                goal = int(starts_K[k]) + max(share, 1)
                if goal < lengths_K[k]:
                    part_context = _context(self.parts[k].keys[n - 2], goal, self.bits)
                    last = min(last, int(self.numbers[k][part_context]))
            last = max(last, first + 1)
            ends_K = np.array([self._place(k, n, last) for k in range(len(self.parts))])
            yield _Range(slice(first, last), starts_K, ends_K)
            first, starts_K = last, ends_K

    def _place(self, k: int, n: int, context: int) -> int:
        """Return the number of the first n-gram of part k whose joined context is at least
        `context`."""
        if n > self.parts[k].order:
            return 0
        part_context = int(np.searchsorted(self.numbers[k], context))
        return _first_after(self.parts[k].keys[n - 2], part_context, self.bits)

    def _join(self, n: int, span: _Range) -> _Joined:
        """Join the n-grams of a range."""
        union = self._union(n, span)
        logprob_MK, logprob_MJ, logbackoff_MJ = self._given(n, union)
        prob_M = np.exp(logprob_MK) @ self.weights_K
        logprob_M = log32(prob_M)
        seen_H = union.sums(exp64(logprob_M))

        # The words seen leave some to the others, and share the rest, each in proportion to its
        # probability.
        unseen_H = self.unseen(union.keys_M, union.contexts_M, union.lower, span.contexts)
        left_H = self._left(union, seen_H, unseen_H)
        is_scaled_H = (seen_H > 0) & (left_H != 1 - seen_H)
        if is_scaled_H.any():
            scale_H = np.ones(union.contexts)
            scale_H[is_scaled_H] = (1 - left_H[is_scaled_H]) / seen_H[is_scaled_H]
            logprob_M = log32(prob_M * scale_H[union.contexts_M])
            seen_H = union.sums(exp64(logprob_M))

        # Backoff weights: 1 where nothing is seen, or where nothing is left unseen.
        words_H = np.bincount(union.contexts_M, minlength=union.contexts)
        is_open_H = (words_H > 0) & (unseen_H > 0)
        weights_H = np.zeros(union.contexts, dtype=np.float32)
        weights_H[is_open_H] = log32(left_H[is_open_H] / unseen_H[is_open_H])
        sums_H2 = np.stack([seen_H, exp64(weights_H) * unseen_H], axis=1)
        logprob_MJ[:, -1] = logprob_M
        return _Joined(union, logprob_MJ, logbackoff_MJ, weights_H, sums_H2)

    def _union(self, n: int, span: _Range) -> _Union:
        """Return the n-grams of all parts in a range."""
        keys = [self._keys(k, n, span) for k in range(len(self.parts))]
        keys_M, places_R = np.unique(np.concatenate(keys), return_inverse=True)
        places = np.split(places_R, np.cumsum([len(part_keys) for part_keys in keys])[:-1])
        contexts_M, words_M = split_keys(keys_M, self.size)
        lower = self.lower(contexts_M, words_M)
        return _Union(span, keys_M, contexts_M - span.contexts.start, places, lower)

    def _logbackoff(self, span: _Range) -> np.ndarray:
        """Return the log backoff weights that the parts give the contexts of a range, (H, K)."""
        return self.orders[-1].logbackoff_MJ[span.contexts, :-1].astype(np.float64)

    def _given(self, n: int, union: _Union) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the probability of each n-gram in each part, (M, K), its own or one from backing
        off. And the same in single precision with room for all of them, and the log backoff
        weights, (M, K + 1) each."""
        logprob_MK = self._logbackoff(union.span)[union.contexts_M]
        logprob_MK += union.lower.logprob_RJ[:, :-1]
        logbackoff_MJ = np.zeros((len(union.keys_M), len(self.parts) + 1), dtype=np.float32)
        for k, places_R in enumerate(union.places):
            if len(places_R):
                here = slice(union.span.starts_K[k], union.span.ends_K[k])
                values = self.parts[k].values[n - 1][here]
                logprob_MK[places_R, k] = values[:, 0]
                if values.shape[1] > 1:
                    logbackoff_MJ[places_R, k] = values[:, 1]
        logprob_MJ = np.zeros_like(logbackoff_MJ)
        logprob_MJ[:, :-1] = logprob_MK
        return logprob_MK, logprob_MJ, logbackoff_MJ

    def _left(self, union: _Union, seen_H: np.ndarray, unseen_H: np.ndarray) -> np.ndarray:
        """Return the probability that the words seen after each context leave to the others: if
        that is next to nothing, the value from the parts."""
        left_H = 1 - seen_H
        near = np.flatnonzero((left_H < NEARLY_NOTHING) & (seen_H > 0))
        if len(near):
            left_N = self._left_by_parts(union, near)
            left_H[near] = left_N / (seen_H[near] + left_N)
        left_H[unseen_H == 0] = 0.0
        return left_H

    def _left_by_parts(self, union: _Union, near: np.ndarray) -> np.ndarray:
        """Return the probability that the parts together leave to the words that no part has seen,
        after the contexts numbered `near` in a range."""
        logbackoff_HK = self._logbackoff(union.span)
        left_N = np.zeros(len(near))
        for k, weight in enumerate(self.weights_K.tolist()):
            below_H = union.sums(np.exp(union.lower.logprob_RJ[:, k]))
            unseen_N = np.maximum(1 - below_H[near], 0)
            left_N += weight * np.exp(logbackoff_HK[near, k]) * unseen_N
        return left_N

    def _keys(self, k: int, n: int, span: _Range) -> np.ndarray:
        """Return the joined keys of the n-grams of part k in a range."""
        start, end = int(span.starts_K[k]), int(span.ends_K[k])
        if start == end:
            return np.zeros(0, dtype=np.uint64)
        part = self.parts[k]
        contexts_R, words_R = split_keys(part.keys[n - 2][start:end], self.size)
        first = int(contexts_R[0])
        numbers = self.numbers[k][first : int(contexts_R[-1]) + 1]
        keys = make_keys(numbers[contexts_R - first], words_R, self.size)
        self.release(self.numbers[k])
        if self.workspace.in_files:
            part.drop_pages()
        return keys


def _context(keys_M: Keys, number: int, bits: int) -> int:
    """Return the context of an n-gram."""
    return int(keys_M[number : number + 1][0]) >> bits


def _first_after(keys_M: Keys, context: int, bits: int) -> int:
    """Return the number of the first n-gram that does not follow an earlier context."""
    return int(keys_M.searchsorted(np.array([context << bits], dtype=np.uint64))[0])


# ---- One vocabulary for all parts.


def renumbered(
    model: NgramModel, number_V: np.ndarray, tokenizer: Tokenizer, workspace: Workspace
) -> NgramModel:
    """Return `model` with the vocabulary of `tokenizer`, in which word w has the id number_V[w].

    Words that the model does not know have probability zero. Its arrays belong to `workspace`.
    """
    # The unigrams get their new places; words that the model lacks stay impossible.
    size = tokenizer.size
    number_of = np.append(number_V, size)  # <s> is the last
    values_MK = np.zeros((size + 1, model.values[0].shape[1]), dtype=np.float32)
    values_MK[:, 0] = -np.inf
    values_MK[number_of] = model.values[0][:]

    # Longer n-grams are sorted by their new keys, order by order, as their contexts have new
    # numbers.
    all_keys, all_values = [], [values_MK]
    numbers_H = number_of  # the new number of each n-gram of the order below
    contexts = size + 1
    for old_keys_M, old_values_MK in zip(model.keys, model.values[1:], strict=True):
        keys_M = workspace.empty(len(old_keys_M), np.uint64)
        values_MK = workspace.empty(old_values_MK.shape, np.float32)
        numbers_M = workspace.empty(len(old_keys_M), np.int64)
        ranges = list(_blocks(old_keys_M, word_bits(model.size), workspace.ngrams))
        moved = _new_places(old_keys_M, ranges, number_of, numbers_H, contexts, workspace)
        for (start, end), (by_word_R, keys_R, places_R) in zip(ranges, moved, strict=True):
            keys_M[places_R] = keys_R
            values_MK[places_R] = old_values_MK[start:end][by_word_R]
            numbers_M[start + by_word_R] = places_R
            workspace.release(keys_M, values_MK, numbers_M)
            if workspace.in_files:
                model.drop_pages()
        all_keys.append(keys_M)
        all_values.append(values_MK)
        numbers_H, contexts = numbers_M, len(old_keys_M)
    return NgramModel(all_keys, all_values, tokenizer, model.normalised)


def _blocks(keys_M: Keys, bits: int, most: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of about `most` n-grams, each of which ends where a context does."""
    start = 0
    while start < len(keys_M):
        end = min(start + most, len(keys_M))
        if end < len(keys_M):
            context = _context(keys_M, end, bits)
            end = _first_after(keys_M, context, bits)
            if end == start:  # a context of more than that
                end = _first_after(keys_M, context + 1, bits)
        yield start, end
        start = end


def _new_places(
    keys_M: Keys | ChunkedArray,
    ranges: Sequence[tuple[int, int]],
    number_of: np.ndarray,
    number_H: np.ndarray,
    contexts: int,
    workspace: Workspace,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield for each range of n-grams where they go when word w becomes number_of[w], and context c
    number_H[c]: what puts them in their new order within each context; their new keys and numbers,
    in that order.

    ranges: all n-grams from the first to the last, each range ends where a context does. number_of:
    `<s>`, which is the last word, becomes the last one again. contexts: how many contexts there are
    then.
    """
    size, new_size = len(number_of) - 1, int(number_of[-1])
    # Where the n-grams of each context will begin.
    starts_H = workspace.empty(contexts + 1, np.int64)
    starts_H[:] = 0
    for start, end in ranges:
        contexts_R, _ = split_keys(keys_M[start:end], size)
        first = int(contexts_R[0])
        lengths = np.bincount(contexts_R - first)
        starts_H[number_H[first : first + len(lengths)] + 1] += lengths
        workspace.release(starts_H, number_H)
    np.cumsum(starts_H, out=starts_H)

    # Within a context, they go by their new last words.
    for start, end in ranges:
        contexts_R, words_R = split_keys(keys_M[start:end], size)
        new_contexts_R, new_words_R = number_H[contexts_R], number_of[words_R]
        by_word_R = np.argsort(make_keys(contexts_R, new_words_R, new_size))
        is_first_R = np.diff(contexts_R, prepend=-1) > 0
        ranks_R = np.arange(end - start)
        ranks_R -= np.maximum.accumulate(np.where(is_first_R, ranks_R, 0))
        keys_R = make_keys(new_contexts_R, new_words_R[by_word_R], new_size)
        yield by_word_R, keys_R, starts_H[new_contexts_R] + ranks_R
        workspace.release(starts_H, number_H)
