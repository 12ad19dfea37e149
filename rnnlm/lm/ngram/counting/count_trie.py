"""The n-grams of a text and their counts: a trie, stored order by order.

An n-gram is numbered within its order; its number and the next word make the key of a longer one:
key = number of the first n-1 words << bits of a word | last word. Keys of an order are sorted, so
n-grams run by context, then by word. `<s>` is the word V: it begins n-grams, is context only, and
as the largest word puts everything that begins with it at the end of its order.

The arrays of an order are NumPy's, or chunks in files
(:class:`rnnlm.storage.files.tensors.ChunkedArray`): read arrays of unknown size in slices.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rnnlm.lm.ngram.counting.suffix_values import SuffixExchange
from rnnlm.lm.ngram.counting.workspace import IN_MEMORY, Workspace
from rnnlm.lm.ngram.tables import NOWHERE, find_many, split_keys, word_bits
from rnnlm.storage.files.tensors import ChunkedArray

Column = np.ndarray | ChunkedArray


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
        if isinstance(self.counts_M, np.ndarray):
            return self.counts_M[numbers_Q]
        chunk_Q = np.searchsorted(self.counts_M.starts, numbers_Q, side="right") - 1
        counts_Q = np.zeros(len(numbers_Q), self.counts_M.dtype)
        for number in np.unique(chunk_Q).tolist():
            here = np.flatnonzero(chunk_Q == number)
            places = numbers_Q[here] - self.counts_M.starts[number]
            counts_Q[here] = self.counts_M.chunk(number)[places]
        return counts_Q

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


def joined(counts: Iterable[Level]) -> Iterator[Level]:
    """Yield the levels with all arrays in memory."""
    for level in counts:
        yield Level(
            level.size,
            np.asarray(level.keys_M),
            np.asarray(level.suffixes_M),
            np.asarray(level.counts_M),
            level.after_start,
            level.watched,
        )
