"""The table every n-gram model comes down to: by order, log p(w|h) and the backoff weight of each
n-gram.

An n-gram is numbered within its order. Its key is the number of its first n-1 words in the order
below and its last word; keys are sorted, so n-grams run by context, then by word, and those that
follow one context are neighbours. Unigrams are numbered by word; `<s>` is word V, context only.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np

from rnnlm import arrays, system
from rnnlm.amounts import amount
from rnnlm.arrays import drop_pages
from rnnlm.errors import ModelError, UsageError
from rnnlm.interface import LanguageModel
from rnnlm.lm.ngram.compact import CompactKeys, Keys, Values
from rnnlm.text.batches import with_boundary

WORTH_SORTING = 4096  # from this number on, keys are looked up faster in order
SEARCH_BLOCK = 4096  # sorted keys searched for together
CELLS = 1 << 20  # contexts times words looked up at a time
NOWHERE = -1  # the number of an n-gram that does not exist

# Memory for each n-gram while a model is read or changed (measured)
IMPORTING, MIXING, PRUNING, QUANTISING = 30, 55, 125, 125


def check_memory(work: str, bytes_each: int, ngrams: int, hint: str = "") -> None:
    """Refuse work that takes `bytes_each` of memory for each n-gram where the machine has less."""
    needed = bytes_each * ngrams
    available = system.available_bytes()
    if available is not None and available < needed:
        raise UsageError(
            f"there is too little memory for {work}",
            f"{ngrams:,} n-grams take about {amount(needed, unit='bytes')}, "
            f"and {amount(available, unit='bytes')} are available",
            hint or "end other programs, or use a machine with more memory",
        )


class NgramTables(LanguageModel, Protocol):
    """A model whose probabilities are in tables, see :class:`rnnlm.lm.ngram.model.NgramModel`."""

    keys: tuple[Keys, ...]
    values: tuple[Values, ...]
    unseen_context_logprob: float

    @property
    def order(self) -> int:
        """The order of its longest n-grams."""

    @property
    def size(self) -> int:
        """V."""

    def words(self, n: int, numbers: np.ndarray) -> list[np.ndarray]:
        """Return the words of the n-grams of order n with these numbers."""


@dataclass(frozen=True)
class BackoffLevel:
    """The M n-grams of one order, by ascending key (the key of a unigram is its word).

    Attributes:
        size: V, the number of words.
        keys_M: Keys of the n-grams, (M,) uint64.
        values_MK: log p(w|h) in nats, (M, 1) or (M, 2) float32; the second column, which the
            highest order of a model does not have, is the log of the weight of the lower order
            after this n-gram, 0 if nothing follows it.
    """

    size: int
    keys_M: np.ndarray
    values_MK: np.ndarray

    def __len__(self) -> int:
        return len(self.keys_M)

    @property
    def logprob_M(self) -> np.ndarray:
        """log p(w|h) in nats, (M,)."""
        return self.values_MK[:, 0]

    @property
    def logbackoff_M(self) -> np.ndarray:
        """Log of the weight of the lower order, (M,); 0 at the highest order."""
        if self.values_MK.shape[1] > 1:
            return self.values_MK[:, 1]
        return np.zeros(len(self), dtype=np.float32)

    @cached_property
    def contexts_M(self) -> np.ndarray:
        """Number of the first n-1 words in the order below; 0 for unigrams."""
        return split_keys(self.keys_M, self.size)[0]

    @cached_property
    def words_M(self) -> np.ndarray:
        return split_keys(self.keys_M, self.size)[1]


def word_bits(size: int) -> int:
    """Return the bits of a word in a key; `<s>` is word `size`."""
    return int(size).bit_length()


def make_keys(contexts_M: np.ndarray, words_M: np.ndarray, size: int) -> np.ndarray:
    """Return the keys context << bits of a word | word, uint64."""
    keys_M = contexts_M.astype(np.uint64)
    keys_M <<= np.uint64(word_bits(size))
    keys_M |= words_M.astype(np.uint64)
    return keys_M


def split_keys(keys_M: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return contexts_M and words_M of keys, int64."""
    bits = np.uint64(word_bits(size))
    words_M = keys_M & ((np.uint64(1) << bits) - np.uint64(1))
    return (keys_M >> bits).astype(np.int64), words_M.astype(np.int64)


def log32(prob_M: np.ndarray) -> np.ndarray:
    """Return natural logarithms as tables hold them, float32; -inf of zero."""
    with np.errstate(divide="ignore"):
        return np.log(prob_M).astype(np.float32)


def exp64(logarithms: np.ndarray) -> np.ndarray:
    """Return the probabilities of logarithms, float64."""
    return np.exp(logarithms.astype(np.float64))


def renumber(levels: Sequence[BackoffLevel], number_V: np.ndarray, size: int) -> list[BackoffLevel]:
    """Return the same n-grams where word w is number_V[w] of `size`; a word that is NOWHERE, and
    occurs in no longer n-gram, is left out."""
    number_of = np.append(number_V, size)  # <s> is the last
    result = []
    numbers_M = np.zeros(1, dtype=np.int64)  # of the contexts
    for level in levels:
        kept = np.flatnonzero(number_of[level.words_M] != NOWHERE)
        keys_M = make_keys(numbers_M[level.contexts_M[kept]], number_of[level.words_M[kept]], size)
        by_key = np.argsort(keys_M)
        result.append(BackoffLevel(size, keys_M[by_key], level.values_MK[kept[by_key]]))
        numbers_M = np.full(len(level), NOWHERE)
        numbers_M[kept[by_key]] = np.arange(len(kept))
    return result


def find(keys_M: Keys, wanted_Q: np.ndarray, start: int = 0) -> np.ndarray:
    """Return the number of each wanted key among the sorted `keys_M`, NOWHERE where it is not.
    start: the number of the first of `keys_M`."""
    places_Q = keys_M.searchsorted(wanted_Q)
    if not len(keys_M):
        return np.full(len(wanted_Q), NOWHERE, dtype=np.int64)
    found_Q = keys_M[np.minimum(places_Q, len(keys_M) - 1)] == wanted_Q
    return np.where(found_Q, places_Q + start, NOWHERE)


def sums_of_unseen(
    keys_M: np.ndarray,
    contexts_N: np.ndarray,
    size: int,
    lower: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    """Return the sum of p(w|h') over the words w that follow each of these contexts in no n-gram of
    `keys_M`, word by word, (N,). lower: log p(w|h') by contexts and words."""
    sums_N = np.empty(len(contexts_N))
    for here in arrays.blocks(len(contexts_N), max(1, CELLS // size)):
        contexts_C = np.repeat(contexts_N[here], size)
        words_C = np.tile(np.arange(size), len(contexts_C) // size)
        is_unseen_C = find(keys_M, make_keys(contexts_C, words_C, size)) == NOWHERE
        prob_C = np.where(is_unseen_C, np.exp(lower(contexts_C, words_C)), 0.0)
        sums_N[here] = prob_C.reshape(-1, size).sum(axis=1)
    return sums_N


def find_many(keys_M: Keys, wanted_Q: np.ndarray) -> np.ndarray:
    """Return the result of :func:`find` for many keys in any order: each different one is looked up
    once, in sorted order."""
    if not len(wanted_Q):
        return np.zeros(0, dtype=np.int64)
    if len(wanted_Q) < WORTH_SORTING:
        return find(keys_M, wanted_Q)
    sorted_Q, positions_Q = _sort_with_positions(wanted_Q)
    is_first_Q = np.append(True, sorted_Q[1:] != sorted_Q[:-1])
    numbers_D = _find_sorted(keys_M, sorted_Q[is_first_Q])  # D: the different ones
    numbers_Q = np.empty(len(wanted_Q), dtype=np.int64)
    numbers_Q[positions_Q] = np.take(numbers_D, np.cumsum(is_first_Q) - 1)
    return numbers_Q


def _sort_with_positions(wanted_Q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the keys in ascending order, and where each of them was."""
    # Sorting numbers is several times faster than sorting positions by number, so positions travel
    # in the spare bits of the keys, if there are enough of them.
    position_bits = (len(wanted_Q) - 1).bit_length()
    if int(wanted_Q.max()).bit_length() + position_bits > 64:
        positions_Q = np.argsort(wanted_Q)
        return wanted_Q[positions_Q], positions_Q
    shift = np.uint64(position_bits)
    packed_Q = wanted_Q << shift
    packed_Q |= np.arange(len(packed_Q), dtype=np.uint64)
    packed_Q.sort()
    low_bits_Q = packed_Q & ((np.uint64(1) << shift) - np.uint64(1))
    packed_Q >>= shift
    return packed_Q, low_bits_Q.view(np.int64)


def _find_sorted(keys_M: Keys, wanted_Q: np.ndarray) -> np.ndarray:
    """Run :func:`find` on keys that are sorted themselves: a block of them lies within a few pages
    of `keys_M`."""
    if isinstance(keys_M, CompactKeys):
        return find(keys_M, wanted_Q)  # a slice of them is a copy
    first = keys_M.searchsorted(wanted_Q[::SEARCH_BLOCK]).tolist()
    numbers_Q = np.empty(len(wanted_Q), dtype=np.int64)
    for block, (low, high) in enumerate(zip(first, [*first[1:], len(keys_M)], strict=True)):
        here = slice(block * SEARCH_BLOCK, (block + 1) * SEARCH_BLOCK)
        # The key at `high` is the key of the first one wanted in the next block.
        numbers_Q[here] = find(keys_M[low:high], wanted_Q[here], low)
    return numbers_Q


@contextlib.contextmanager
def naming_damage() -> Iterator[None]:
    """Turn an IndexError into the error for damaged tables. Tables mapped into memory are not read
    when a model is opened: their faults show in use."""
    try:
        yield
    except IndexError:
        raise damage_error() from None


def damage_error() -> ModelError:
    """Return the error for tables that point to missing entries."""
    return ModelError(
        "the tables of the model are damaged",
        "an n-gram refers to one that does not exist",
        "rebuild it; rnnlm doctor shows what is damaged",
    )


# ---- Whether tables are in order, and after which contexts predictions differ. Reading all of them
# takes a while, so it is done before work that reads them anyway.

TOLERANCE = 1e-5  # of a probability of 1, in fp32
AT_ONCE = 1 << 20  # n-grams whose tables are looked at together


def check_tables(model: NgramTables) -> None:
    """Make sure that the tables are sound."""
    for disorder in disorders(model):
        raise ModelError(
            "the tables of the model are damaged",
            disorder,
            "rebuild it; rnnlm doctor shows what is damaged",
        )


def examine(model: NgramTables) -> tuple[str, str]:
    """Return the faults of the tables, "" if there are none, and a summary of their content."""
    ngrams = "/".join(f"{len(values):,}" for values in model.values)
    return "; ".join(
        disorders(model)
    ), f"{ngrams} n-grams, sorted, each after one of the order below"


def disorders(model: NgramTables) -> Iterator[str]:
    """Yield each fault: keys that are not sorted or point nowhere, values that are not numbers,
    probabilities above 1."""
    for n in range(1, model.order + 1):
        if n > 1:
            yield from _odd_keys(model, n)
        yield from _odd_values(model, n)


def _odd_keys(model: NgramTables, n: int) -> Iterator[str]:
    unsorted, last_context, last_word = NOWHERE, -1, 0
    for first, block in _blocks(model.keys[n - 2]):
        at = np.flatnonzero(block[1:] <= block[:-1])
        if len(at) and unsorted == NOWHERE:
            unsorted = first + int(at[0]) + 1
        contexts, words = split_keys(block, model.size)
        last_context = max(last_context, int(contexts.max()))
        last_word = max(last_word, int(words.max()))
    if unsorted != NOWHERE:
        yield f"{n}-grams are not sorted, first at {unsorted:,}"
    if last_context >= len(model.values[n - 2]):
        yield f"{n}-grams follow {n - 1}-grams that do not exist"
    if last_word >= model.size:
        yield f"{n}-grams end in words that do not exist"


def _odd_values(model: NgramTables, n: int) -> Iterator[str]:
    odd = too_likely = NOWHERE
    largest = 0.0
    for first, block in _blocks(model.values[n - 1]):
        at = np.flatnonzero((np.isnan(block) | np.isposinf(block)).any(axis=1))
        if len(at) and odd == NOWHERE:
            odd = first + int(at[0])
        at = np.flatnonzero(block[:, 0] > TOLERANCE)
        if len(at) and too_likely == NOWHERE:
            too_likely, largest = first + int(at[0]), np.exp(block[at[0], 0])
    if odd != NOWHERE:
        yield f"a {n}-gram has values that are not numbers, first at {odd:,}"
    if too_likely != NOWHERE:
        yield f"a {n}-gram has a probability above 1, first at {too_likely:,}: {largest:.6g}"


def _blocks(table: Keys | Values) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the rows of a table with the number of the first one, in blocks that begin with the
    last row of the one before. Of a mapped file, no more than a block need be in memory."""
    for start in range(0, len(table), AT_ONCE):
        first = max(0, start - 1)
        yield first, table[first : start + AT_ONCE]
        drop_pages(table)


def contexts(
    model: NgramTables, most: int, generator: "np.random.Generator"
) -> tuple[list[np.ndarray], bool]:
    """Draw at most `most` contexts of an n-gram model. Return their ids by length, (S, T), and
    whether they are all there are.

    Contexts are the n-grams that another one continues, and one word that nothing continues, if
    there is one, after which the unigrams are left alone.
    """
    firsts = (split_keys(keys[:], model.size)[0] for keys in model.keys)
    # These are sorted; np.unique takes much longer.
    numbers = [sorted_M[np.diff(sorted_M, prepend=-1) > 0] for sorted_M in firsts]
    numbers = numbers or [np.zeros(0, dtype=np.int64)]
    alone = np.setdiff1d(np.arange(model.size), numbers[0], assume_unique=True)[:1]
    numbers[0] = np.append(alone, numbers[0])

    # Draw among the contexts of all lengths together.
    lengths = [len(numbers_S) for numbers_S in numbers]
    known = sum(lengths)
    is_chosen = np.zeros(known, dtype=bool)
    is_chosen[generator.choice(known, min(most, known), replace=False, shuffle=False)] = True
    parts = np.split(is_chosen, np.cumsum(lengths)[:-1])
    chosen = [numbers_S[part_S] for numbers_S, part_S in zip(numbers, parts, strict=True)]
    ids = [_words(model, length, numbers_S) for length, numbers_S in enumerate(chosen, start=1)]
    return ids, most >= known


def _words(model: NgramTables, length: int, numbers: np.ndarray) -> np.ndarray:
    """Return the ids of the n-grams of that length with these numbers; `<s>` is read as the
    boundary."""
    words_BT = np.stack(model.words(length, numbers), axis=1)
    return np.where(words_BT == model.size, model.tokenizer.boundary_id, words_BT)


# ---- The longest n-gram of a table that ends at each token of a text: how much of the context a
# model, or a training text, knows.


def longest_matches(
    ids_N: np.ndarray, keys: Sequence[Keys], size: int, boundary_id: int
) -> np.ndarray:
    """Return how many words the longest n-gram has that ends at each token, (N,) int64; the start
    of the line counts as one. It is 1 where not even a bigram is there.

    ids_N: tokens below `size`, each line ending in the boundary. keys[n]: sorted keys of order n +
    2 (:mod:`rnnlm.lm.ngram.tables`).
    """
    words_N = ids_N.astype(np.int64)
    inputs_N = with_boundary(words_N, boundary_id)[:-1]
    starts_N = inputs_N == boundary_id
    contexts_N = np.where(starts_N, size, inputs_N)
    matched_N = np.ones(len(words_N), dtype=np.int64)
    # Each n-gram found is the context of the next word's (n + 1)-gram.
    for n, keys_M in enumerate(keys, start=2):
        numbers_N = find_many(keys_M, make_keys(np.maximum(contexts_N, 0), words_N, size))
        numbers_N[contexts_N < 0] = NOWHERE
        matched_N[numbers_N >= 0] = n
        contexts_N = np.append(NOWHERE, numbers_N[:-1])
        contexts_N[starts_N] = NOWHERE  # nothing lies before the start of a line
    return matched_N


# ---- Back off through the orders of a model that is being made or changed, from the unigrams up.
#
# The link of an n-gram is its longest proper suffix that is in the model, as number and length (the
# failure links of Aho & Corasick 1975). Mostly it is the one that is a word shorter, but joined,
# pruned and imported models lack some. Following links shortens a context until the n-gram exists.

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
