"""The n-grams of a text and their counts: a trie, stored order by order; and counting in memory.

An n-gram is numbered within its order; its number and the next word make the key of a longer one:
key = number of the first n-1 words << bits of a word | last word. Keys of an order are sorted, so
n-grams run by context, then by word. `<s>` is the word V: it begins n-grams, is context only, and
as the largest word puts everything that begins with it at the end of its order.

The arrays of an order are NumPy's, or chunks in files
(:class:`rnnlm.storage.files.tensors.ChunkedArray`): read arrays of unknown size in slices.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rnnlm.lm.ngram.counting.suffix_values import SuffixExchange
from rnnlm.lm.ngram.counting.workspace import IN_MEMORY, Workspace
from rnnlm.lm.ngram.tables import NOWHERE, find_many, split_keys, word_bits
from rnnlm.parallel import in_threads
from rnnlm.storage.files.tensors import ChunkedArray

Column = np.ndarray | ChunkedArray


def taken(values: Column, numbers_Q: np.ndarray) -> np.ndarray:
    """Return the values of these numbers, in any order."""
    if isinstance(values, np.ndarray):
        return values[numbers_Q]
    chunk_Q = np.searchsorted(values.starts, numbers_Q, side="right") - 1
    values_Q = np.zeros(len(numbers_Q), values.dtype)
    for number in np.unique(chunk_Q).tolist():
        here = np.flatnonzero(chunk_Q == number)
        places = numbers_Q[here] - values.starts[number]
        values_Q[here] = values.chunk(number)[places]
    return values_Q


@dataclass(frozen=True)
class Level:
    """The M n-grams of one order, by ascending key (see :mod:`rnnlm.lm.ngram.tables`; the key of a
    unigram is its word).

    suffixes_M: number of the last n-1 words in the order below. counts_M: how often the n-gram
    occurs. From `after_start` on, n-grams begin with `<s>`. watched: number of the n-gram that ends
    at the position that counting watches.
    """

    size: int  # V
    keys_M: Column
    suffixes_M: Column
    counts_M: Column
    after_start: int
    watched: int = NOWHERE

    def __len__(self) -> int:
        return len(self.keys_M)

    @cached_property
    def contexts_M(self) -> np.ndarray:
        """Number of the first n-1 words in the order below, in memory."""
        return split_keys(np.asarray(self.keys_M), self.size)[0].astype(self.suffixes_M.dtype)

    @cached_property
    def words_M(self) -> np.ndarray:
        """The last words, in memory."""
        return split_keys(np.asarray(self.keys_M), self.size)[1].astype(self.suffixes_M.dtype)

    def find(self, wanted_Q: np.ndarray) -> np.ndarray:
        """Return the number of each wanted key, NOWHERE where it is not; keys in any order."""
        if isinstance(self.keys_M, np.ndarray):
            return find_many(self.keys_M, wanted_Q)

        # Each chunk is searched for the keys that it may hold.
        by_key = np.argsort(wanted_Q)
        sorted_Q = wanted_Q[by_key]
        numbers_Q = np.full(len(wanted_Q), NOWHERE)
        start = 0
        for chunk, first in zip(self.keys_M.chunks(), self.keys_M.starts, strict=False):
            stop = int(np.searchsorted(sorted_Q, chunk[-1], side="right")) if len(chunk) else start
            numbers = find_many(chunk, sorted_Q[start:stop])
            numbers_Q[by_key[start:stop]] = np.where(numbers == NOWHERE, NOWHERE, numbers + first)
            start = stop
        return numbers_Q

    def counts_of(self, numbers_Q: np.ndarray) -> np.ndarray:
        """Return the counts of n-grams given by number, in any order."""
        return taken(self.counts_M, numbers_Q)

    def blocks(self, most: int, contexts: int) -> list["Block"]:
        """Return all n-grams with the `contexts` that there are, in blocks of about `most` n-grams
        and as many contexts; a block ends where a context does, and holds one at least."""
        bits = word_bits(self.size)
        first = start = 0
        blocks = []
        while first < contexts:
            end, last = min(start + most, len(self)), contexts
            if end < len(self):
                last = max(first + 1, int(self.keys_M[end : end + 1][0]) >> bits)
            last = min(last, first + max(1, most))
            is_last = last == contexts
            end = len(self) if is_last else int(self.keys_M.searchsorted(np.uint64(last << bits)))
            blocks.append(Block(first, last, start, end))
            first, start = last, end
        return blocks


@dataclass(frozen=True)
class Block:
    """The n-grams numbered `start` to `end` of an order, which follow the contexts `first` to
    `last` (both without the end)."""

    first: int
    last: int
    start: int
    end: int


@dataclass(frozen=True)
class NgramCounts:
    """levels[n - 1] holds order n. The unigrams are all V words, seen or not, and `<s>` (word V) as
    the last."""

    size: int
    levels: tuple[Level, ...]

    @property
    def order(self) -> int:
        return len(self.levels)

    @property
    def tokens(self) -> int:
        """How many tokens the text has."""
        return int(self.raw(1).sum())

    def adjusted(self, n: int, suffixes: SuffixExchange | None = None) -> Column:
        """Return raw counts at the highest order and after `<s>`; elsewhere the number of different
        words to the left; 0 for `<s>` (Heafield et al. 2013, section 2).

        suffixes: suffixes of the n-grams one longer, if they have been looked up already.
        """
        level = self.levels[n - 1]
        if n == self.order:
            return self.raw(n)
        if suffixes is None:
            suffixes = self.suffixes(n + 1, IN_MEMORY)
        adjusted_M = suffixes.tally(level.counts_M.dtype)
        adjusted_M[level.after_start :] = level.counts_M[level.after_start :]
        if n == 1:
            adjusted_M[self.size] = 0
        return adjusted_M

    def raw(self, n: int) -> Column:
        """Return counts as they are; 0 for `<s>`, which is never predicted."""
        counts_M = self.levels[n - 1].counts_M
        if n == 1:
            counts_M = np.append(counts_M[:-1], 0)
        return counts_M

    def suffixes(self, n: int, workspace: Workspace) -> SuffixExchange:
        """Return a function that brings values from order n - 1 to order n."""
        below = len(self.levels[n - 2])
        blocks = self.blocks(n, workspace)
        ranges = [(block.start, block.end) for block in blocks]
        return SuffixExchange(self.levels[n - 1].suffixes_M, ranges, below, workspace)

    def blocks(self, n: int, workspace: Workspace) -> list[Block]:
        """Return the n-grams of order n, by context, in blocks to be handled at a time."""
        contexts = len(self.levels[n - 2]) if n > 1 else 1
        return self.levels[n - 1].blocks(workspace.ngrams, contexts)

    def first_at_start(self) -> list[int]:
        """Return for each order the number of the first context that begins with `<s>`: they come
        last."""
        # Unigrams have one context, which is empty.
        return [1, *(level.after_start for level in self.levels[:-1])]


@dataclass(frozen=True)
class CountingProgress:
    """Progress of a phase of the work that yields levels. share: of the phase, from 0 to 1."""

    phase: str
    share: float


CHECKED_TOGETHER = 1 << 20  # n-grams of a level that are checked at a time


def level_fault(level: Level, below: Level | None) -> str:
    """Return the reason why it is unsafe to use numbers of a stored level as indices, or "". below:
    the level of the order below, without faults; None: these are the unigrams."""
    # Words and contexts fit the type of the suffixes, and every array is as long as the others.
    contexts = len(below) if below else 1
    index = level.suffixes_M.dtype
    if max(contexts, level.size) > np.iinfo(index).max:
        return f"a number of {index.itemsize} bytes cannot hold its contexts"
    if not len(level) == len(level.suffixes_M) == len(level.counts_M):
        return "its arrays differ in length"
    if below is None and len(level) != level.size + 1:
        return f"{len(level):,} n-grams for {level.size:,} words and <s>"
    if level.watched != NOWHERE:
        return f"watched is {level.watched}"

    # Each key is a context of the order below with a word, and they ascend.
    last_key = -1
    for start in range(0, len(level), CHECKED_TOGETHER):
        here = slice(start, start + CHECKED_TOGETHER)
        keys_M, counts_M = level.keys_M[here], level.counts_M[here]
        if int(keys_M[0]) <= last_key or (keys_M[1:] <= keys_M[:-1]).any():
            return "its n-grams are not in order"
        last_key = int(keys_M[-1])
        contexts_M, words_M = split_keys(keys_M, level.size)
        if last_key >> word_bits(level.size) >= contexts:
            return "an n-gram has a context that does not exist"
        if words_M.max() >= level.size + (below is None):
            return "an n-gram has a word that is not in the vocabulary"
        suffixes_M = level.suffixes_M[here]
        if suffixes_M.min() < 0 or suffixes_M.max() >= contexts:
            return "an n-gram has a suffix that does not exist"

        # Only words may have no count, and no n-gram occurs more often than its context.
        if counts_M.min() < (below is not None):
            return "an n-gram has no count"
        if below and (counts_M > below.counts_of(contexts_M)).any():
            return "an n-gram occurs more often than its context"

    # N-grams that begin with <s> come last.
    if below is None:
        after_start = level.size
    else:
        first_key = below.after_start << word_bits(level.size)
        after_start = int(level.keys_M.searchsorted(np.uint64(first_key)))
    if level.after_start != after_start:
        return f"after_start is {level.after_start}, not {after_start}"
    return ""


# ---- Counting in memory. For each order, one sort of (context, word, position), packed into 64
# bits, finds the n-grams. An n-gram that occurs once needs none: the only longer one that begins
# with it ends at the position behind it. So ever fewer positions are sorted from order to order.
# Sorting goes by ranges of contexts, side by side.

KEY_BITS = 64
SMALLEST_PART = 1 << 16  # positions: for fewer, another thread saves no time


def count(
    ids_T: np.ndarray,
    boundary_id: int,
    size: int,
    order: int,
    watch: int = NOWHERE,
    workspace: Workspace = IN_MEMORY,
) -> Iterator[Level]:
    """Yield the levels of orders 1 to `order` of a text whose lines end in `boundary_id`.

    There are fewer if no line is that long. The result is then the same: an n-gram that fills the
    longest line begins with `<s>`, so its count is raw anyway.

    watch: a position of the text, or NOWHERE; the numbers of the n-grams that end there are kept.
    """
    counter = _Counter(ids_T, boundary_id, size, watch, workspace)
    for n in range(1, order + 1):
        level = counter.next_order(n)
        if not len(level):
            return
        yield level
        del level  # before the next order is counted


class _Counter:
    """The data needed to count the next order: of each position of the text, the number of the
    n-gram that ends there; of each n-gram, how often it occurs and one position where it ends; and
    all positions where an n-gram ends that occurs several times, by ascending number."""

    def __init__(
        self, ids_T: np.ndarray, boundary_id: int, size: int, watch: int, workspace: Workspace
    ) -> None:
        self.ids_T = ids_T
        self.size = size
        self.bits = np.uint64(word_bits(size))
        self.index = np.int32 if len(ids_T) < 2**31 - 1 else np.int64
        self.watch = watch
        self.workspace = workspace
        # Nothing follows the last position, so there a line begins, too.
        self.is_first_T = np.empty(len(ids_T) + 1, dtype=bool)
        self.is_first_T[:1] = True
        np.equal(ids_T, boundary_id, out=self.is_first_T[1:])
        self.is_first_T[-1] = True

    def next_order(self, n: int) -> Level:
        if n == 1:
            return self.unigrams()
        return self.bigrams() if n == 2 else self.longer()

    def unigrams(self) -> Level:
        """Count the words, all of V and `<s>`."""
        counts_M = np.bincount(self.ids_T, minlength=self.size + 1)
        counts_M[self.size] = np.count_nonzero(self.is_first_T[:-1])
        self.numbers_T = self.ids_T.astype(self.index)
        self.counts_M = counts_M
        self.after_start = self.size
        keys_M = np.arange(self.size + 1, dtype=np.uint64)
        suffixes_M = np.zeros(self.size + 1, self.index)
        return self._level(keys_M, suffixes_M, counts_M)

    def bigrams(self) -> Level:
        """Count the pairs of words. All positions are sorted: each ends a pair, which begins with
        the word before or with `<s>`."""
        contexts_T = np.empty_like(self.numbers_T)
        contexts_T[1:] = self.numbers_T[:-1]
        contexts_T[self.is_first_T[:-1]] = self.size

        # Put the positions of each range of contexts together: small numbers are sorted fast.
        ranges = self._ranges(np.cumsum(self.counts_M, dtype=np.int64))
        lengths = [stop - start for start, stop in ranges]
        range_V = np.repeat(np.arange(len(ranges)), lengths)
        range_T = range_V.astype(np.min_scalar_type(len(ranges)))[contexts_T]
        by_range = np.argsort(range_T, kind="stable")
        ends = np.cumsum(np.bincount(range_T, minlength=len(ranges)))

        def part(number: int) -> _Part:
            start, stop = ranges[number]
            first = ends[number - 1] if number else 0
            at = by_range[first : ends[number]].astype(self.index)
            nothing = np.zeros(0, np.intp)
            return self._part(start, stop, nothing, nothing, contexts_T[at] - self.index(start), at)

        return self._longer(part, len(ranges))

    def longer(self) -> Level:
        """Count the next order.

        A context that occurs once is followed by one word, at the position after it: nothing needs
        sorting there.
        """
        is_repeated_H = self.counts_M > 1
        ends_H = np.cumsum(np.where(is_repeated_H, self.counts_M, 0), dtype=np.int64)
        ranges = self._ranges(ends_H)

        def part(number: int) -> _Part:
            # Contexts that occur once, and the positions after them, unless their line is over.
            start, stop = ranges[number]
            once = np.flatnonzero(~is_repeated_H[start:stop])
            next_once = self.positions_M[start:stop].take(once).astype(np.intp) + 1
            continues = ~self.is_first_T.take(next_once)
            once, next_once = once[continues], next_once[continues]

            # Contexts that occur several times: all of their positions lie side by side.
            several = np.flatnonzero(is_repeated_H[start:stop]).astype(self.index)
            first = int(ends_H[start - 1]) if start else 0
            at: np.ndarray = self.repeated_R[first : int(ends_H[stop - 1])] + 1
            contexts = np.repeat(several, self.counts_M[start:stop][several])
            continues = ~self.is_first_T[at]
            return self._part(start, stop, once, next_once, contexts[continues], at[continues])

        return self._longer(part, len(ranges))

    def _longer(self, part: "Callable[[int], _Part]", count: int) -> Level:
        """Count the next order in so many parts, each of a range of contexts."""
        parts = dict(enumerate(in_threads(part, range(count), self.workspace.threads)))
        starts = np.cumsum([0, *(len(part.keys) for part in parts.values())])
        keys_M = np.empty(starts[-1], np.uint64)
        suffixes_M = np.empty(starts[-1], self.index)
        counts_M = np.empty(starts[-1], self.index)
        positions_M = np.empty(starts[-1], self.index)
        numbers_T = np.full(len(self.ids_T), NOWHERE, dtype=self.index)

        # The facts about the order before are not needed any more.
        self.counts_M, self.numbers_T, self.positions_M = counts_M, numbers_T, positions_M
        self.repeated_R = numbers_T[:0]

        # Put the parts together, whose n-grams now have their final numbers, and release each.
        def place(number: int) -> np.ndarray:
            part = parts.pop(number)
            here = slice(starts[number], starts[number + 1])
            keys_M[here], suffixes_M[here] = part.keys, part.suffixes
            counts_M[here], positions_M[here] = part.counts, part.positions
            numbers_T[part.once] = part.numbers_once + self.index(starts[number])
            numbers_T[part.at] = part.numbers_at + self.index(starts[number])
            return part.at[part.is_repeated]

        repeated = list(in_threads(place, list(parts), self.workspace.threads))
        self.repeated_R = np.concatenate([self.repeated_R, *repeated])

        # Keep the arrays that counting the next order needs.
        first_key = np.uint64(self.after_start) << self.bits
        self.after_start = int(np.searchsorted(keys_M, first_key))
        return self._level(keys_M, suffixes_M, counts_M)

    def _level(self, keys_M: np.ndarray, suffixes_M: np.ndarray, counts_M: np.ndarray) -> Level:
        watched = NOWHERE if self.watch == NOWHERE else int(self.numbers_T[self.watch])
        return Level(self.size, keys_M, suffixes_M, counts_M, self.after_start, watched)

    def _ranges(self, ends_H: np.ndarray) -> list[tuple[int, int]]:
        """Return ranges of contexts, each of few enough positions to be sorted at a time with
        (context, word, position) in 64 bits. ends_H: how many positions are to be sorted up to the
        end of each context."""
        # Each thread gets a share of positions and contexts, within the limits of the workspace.
        share = int(ends_H[-1]) // self.workspace.threads + 1
        most = min(self.workspace.positions, max(share, SMALLEST_PART))
        share_of_contexts = len(ends_H) // self.workspace.threads + 1
        most_contexts = min(self.workspace.positions, max(share_of_contexts, SMALLEST_PART))

        # Cut after the last context that fits, or earlier if the sort keys need more than 64 bits.
        ranges, start = [], 0
        while start < len(ends_H):
            before = int(ends_H[start - 1]) if start else 0
            stop = max(start + 1, int(np.searchsorted(ends_H, before + most, side="right")))
            stop = min(stop, start + most_contexts)
            bits = self._bits(start, stop, int(ends_H[stop - 1]) - before)
            while bits > KEY_BITS:
                stop = start + max(1, (stop - start) >> (bits - KEY_BITS))
                bits = self._bits(start, stop, int(ends_H[stop - 1]) - before)
            ranges.append((start, stop))
            start = stop
        return ranges

    def _bits(self, start: int, stop: int, positions: int) -> int:
        context_bits = (stop - start - 1).bit_length()
        position_bits = max(0, positions - 1).bit_length()
        return context_bits + int(self.bits) + position_bits

    def _part(
        self,
        start: int,
        stop: int,
        once: np.ndarray,
        next_once: np.ndarray,
        contexts: np.ndarray,
        at: np.ndarray,
    ) -> "_Part":
        """Count the n-grams after the contexts from `start` on.

        once: the contexts, less `start`, that one position follows, next_once. contexts: contexts
        of the positions `at`, less `start`, which are to be sorted.
        """
        keys, at = self._sorted(contexts, at)
        # Equal keys lie side by side now: the first of each is the n-gram.
        is_new = np.empty(len(keys), dtype=bool)
        is_new[:1] = True
        np.not_equal(keys[1:], keys[:-1], out=is_new[1:])
        first = np.flatnonzero(is_new)
        keys = keys[first]
        times: np.ndarray = np.diff(first, append=len(at))
        counts = times.astype(self.index)

        # Merge both kinds by context: no context belongs to both.
        followers_H = np.bincount((keys >> self.bits).view(np.int64), minlength=stop - start)
        before_H = np.cumsum(followers_H) - followers_H
        numbers_once = before_H[once] + np.arange(len(once))
        is_once = np.zeros(len(once) + len(keys), dtype=bool)
        is_once[numbers_once] = True
        numbers_sorted = np.flatnonzero(~is_once).astype(self.index)
        once_keys = once.view(np.uint64) << self.bits
        once_keys |= self.ids_T.take(next_once).astype(np.uint64)
        first_at = at[first].astype(np.intp)
        merged = _Part(
            keys=_merged(is_once, once_keys, keys),
            suffixes=_merged(
                is_once, self.numbers_T.take(next_once), self.numbers_T.take(first_at)
            ),
            counts=_merged(is_once, np.ones(len(once), self.index), counts),
            positions=_merged(is_once, next_once.astype(self.index), at[first]),
            once=next_once.astype(self.index),
            numbers_once=numbers_once.astype(self.index),
            at=at,
            numbers_at=np.repeat(numbers_sorted, times),
            is_repeated=np.repeat(times > 1, times),
        )
        merged.keys[:] += np.uint64(start) << self.bits
        return merged

    def _sorted(self, contexts: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return keys, context << bits of a word | word, in order, and their positions."""
        # (context, word, place in `at`) are packed into 64 bits each.
        place = np.uint64(max(0, len(at) - 1).bit_length())
        keys = contexts.astype(np.uint64)
        keys <<= self.bits
        keys |= self.ids_T[at].astype(np.uint64)
        keys <<= place
        keys |= np.arange(len(at), dtype=np.uint64)
        keys.sort()
        place_mask = (np.uint64(1) << place) - np.uint64(1)
        at = at[(keys & place_mask).astype(self.index)]
        keys >>= place
        return keys, at


@dataclass(frozen=True)
class _Part:
    """The n-grams after some contexts, in order: keys, suffixes, counts, one position of each.

    once, at: the positions where one ends: those after a context that occurs once, and the others,
    by n-gram. numbers_once, numbers_at: the n-gram that ends there, numbered within the part.
    is_repeated: whether it occurs several times.
    """

    keys: np.ndarray
    suffixes: np.ndarray
    counts: np.ndarray
    positions: np.ndarray
    once: np.ndarray
    numbers_once: np.ndarray
    at: np.ndarray
    numbers_at: np.ndarray
    is_repeated: np.ndarray


def _merged(is_once: np.ndarray, once: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return both arrays as one, in the order given by `is_once`."""
    merged = np.empty(len(is_once), others.dtype)
    merged[is_once] = once
    merged[~is_once] = others
    return merged
