"""Counting n-grams: a text of token ids becomes a trie of counts, order by order.

An n-gram is numbered within its order; its number and the next word make the key of a longer one:
key = number of the first n-1 words << bits of a word | last word. Keys of an order are sorted, so
n-grams run by context, then by word, and one 64-bit sort of (key, position) an order finds them
all. `<s>` is the word V: it begins n-grams, is context only, and as the largest word puts
everything that begins with it at the end of its order.

Sorting goes by ranges of contexts, one after the other or side by side, so the memory it takes can
be bounded.
"""

import math
import mmap
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import DTypeLike

from rnnlm.arrays import drop_pages
from rnnlm.errors import OutputError
from rnnlm.ngram.tables import NOWHERE, split_keys, word_bits
from rnnlm.system import in_threads, processors

# ---- Room for large arrays: in memory, or, where memory is limited, in files that vanish with the
# process, however it ends.

POSITIONS, NGRAMS = 1 << 25, 1 << 22  # handled at a time by all threads where memory is not limited
SMALLEST_PART = 1 << 16  # positions: for fewer, another thread saves no time
BYTES_PER_POSITION, BYTES_PER_NGRAM = 100, 200  # of temporary arrays


class Workspace:
    """Where large arrays go, and how much is handled at a time.

    buffer_bytes: None, or how much memory there is for what one thread handles at the moment; all
    else goes to files then. threads: how many parts are handled side by side; None: one for each
    processor. positions, ngrams: how many are to be handled at a time.
    """

    def __init__(self, buffer_bytes: int | None = None, threads: int | None = None) -> None:
        self.threads = threads or processors()
        self.in_files = buffer_bytes is not None
        if buffer_bytes is None:
            positions, ngrams = POSITIONS // self.threads, NGRAMS // self.threads
        else:
            positions = buffer_bytes // BYTES_PER_POSITION
            ngrams = buffer_bytes // BYTES_PER_NGRAM
        self.positions = max(1, positions)
        self.ngrams = max(1, ngrams)

    def empty(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
        """Return an array of any content. Parts of it that are not written take no memory."""
        length = math.prod(np.atleast_1d(shape).tolist()) * np.dtype(dtype).itemsize
        if not self.in_files or not length:
            return np.empty(shape, dtype)
        try:
            with tempfile.TemporaryFile() as file:
                _reserve(file.fileno(), length)
                return np.frombuffer(mmap.mmap(file.fileno(), length), dtype).reshape(shape)
        except OSError as error:
            raise OutputError(
                f"no room for {length / 1e6:,.0f} MB of temporary files in {tempfile.gettempdir()}",
                error.strerror or str(error),
                "free some space there, name another folder in TMPDIR, or leave out --memory",
            ) from None

    def release(self, *arrays: np.ndarray) -> None:
        """Let go of the memory of arrays that are not needed for a while; their content is kept."""
        for array in arrays:
            drop_pages(array)


def _reserve(descriptor: int, length: int) -> None:
    """Take the space on disk now: writing to a mapped file on a full disk would end the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, length)
        return
    block = bytes(1 << 20)
    for start in range(0, length, len(block)):
        os.write(descriptor, block[: length - start])


# ---- The n-grams of a text and their counts, order by order.

KEY_BITS = 64
IN_MEMORY = Workspace()


@dataclass(frozen=True)
class Level:
    """The M n-grams of one order, by ascending key (see :mod:`rnnlm.ngram.tables`; the key of a
    unigram is its word).

    suffixes_M: number of the last n-1 words in the order below. counts_M: how often the n-gram
    occurs. From `after_start` on, n-grams begin with `<s>`. watched: number of the n-gram that ends
    at the position that :func:`count` was asked to watch.
    """

    size: int  # V
    keys_M: np.ndarray
    suffixes_M: np.ndarray
    counts_M: np.ndarray
    after_start: int
    watched: int = NOWHERE

    def __len__(self) -> int:
        return len(self.keys_M)

    @cached_property
    def contexts_M(self) -> np.ndarray:
        """Number of the first n-1 words in the order below."""
        return split_keys(self.keys_M, self.size)[0].astype(self.suffixes_M.dtype)

    @cached_property
    def words_M(self) -> np.ndarray:
        return split_keys(self.keys_M, self.size)[1].astype(self.suffixes_M.dtype)


@dataclass(frozen=True)
class NgramCounts:
    """levels[n - 1] holds order n. The unigrams are all V words, seen or not, and `<s>` (word V) as
    the last."""

    size: int
    levels: tuple[Level, ...]

    @property
    def order(self) -> int:
        return len(self.levels)

    def adjusted(self, n: int) -> np.ndarray:
        """Return raw counts at the highest order and after `<s>`; elsewhere the number of different
        words to the left; 0 for `<s>` (Heafield et al. 2013, section 2)."""
        level = self.levels[n - 1]
        if n == self.order:
            return self.raw(n)
        left_M = np.bincount(self.levels[n].suffixes_M, minlength=len(level))
        adjusted_M = left_M.astype(level.counts_M.dtype)
        adjusted_M[level.after_start :] = level.counts_M[level.after_start :]
        if n == 1:
            adjusted_M[self.size] = 0
        return adjusted_M

    def raw(self, n: int) -> np.ndarray:
        """Return counts as they are; 0 for `<s>`, which is never predicted."""
        counts_M = self.levels[n - 1].counts_M
        if n == 1:
            counts_M = np.append(counts_M[:-1], 0)
        return counts_M


def count(
    ids_T: np.ndarray,
    boundary_id: int,
    size: int,
    order: int,
    watch: int = 0,
    workspace: Workspace = IN_MEMORY,
) -> Iterator[Level]:
    """Yield the levels of orders 1 to `order` of a text whose lines end in `boundary_id`.

    There are fewer where no line is that long. What is found then is the same: an n-gram that fills
    the longest line begins with `<s>`, so its count is raw anyway.

    watch: a position of the text; the numbers of the n-grams that end there are kept.
    """
    counter = _Counter(ids_T, boundary_id, size, watch, workspace)
    for n in range(1, order + 1):
        level = counter.unigrams() if n == 1 else counter.longer()
        if not len(level):
            return
        yield level


class _Counter:
    """What is known of each position of the text: the number of the (n-1)-gram that ends there and
    of the one before it."""

    def __init__(
        self, ids_T: np.ndarray, boundary_id: int, size: int, watch: int, workspace: Workspace
    ) -> None:
        self.ids_T = ids_T
        self.size = size
        self.index = np.int32 if len(ids_T) < 2**31 - 1 else np.int64
        self.watch = watch
        self.workspace = workspace
        self.is_first_T = np.empty(len(ids_T), dtype=bool)  # first of its sentence
        self.is_first_T[:1] = True
        np.equal(ids_T[:-1], boundary_id, out=self.is_first_T[1:])

    def unigrams(self) -> Level:
        """Count the words, all of V and `<s>`."""
        counts_M = np.bincount(self.ids_T, minlength=self.size + 1)
        counts_M[self.size] = np.count_nonzero(self.is_first_T)
        self.numbers_T = self.ids_T.astype(self.index)
        self.contexts_T = self._before(self.numbers_T, at_start=self.size)
        self.context_counts = counts_M
        self.after_start = self.size
        keys_M = np.arange(self.size + 1, dtype=np.uint64)
        suffixes_M = np.zeros(self.size + 1, self.index)
        watched = int(self.numbers_T[self.watch])
        return Level(self.size, keys_M, suffixes_M, counts_M, self.size, watched)

    def longer(self) -> Level:
        """Count the next order."""
        # There are no more different n-grams than positions where one ends.
        positions = int(np.count_nonzero(self.contexts_T != NOWHERE))
        keys_M = self.workspace.empty(positions, np.uint64)
        suffixes_M = self.workspace.empty(positions, self.index)
        counts_M = self.workspace.empty(positions, self.index)
        numbers_T = np.full(len(self.ids_T), NOWHERE, dtype=self.index)
        end = 0
        for keys, suffixes, counts, at, numbers in in_threads(
            self._part, self._parts(), self.workspace.threads
        ):
            numbers_T[at] = numbers + self.index(end)
            start, end = end, end + len(keys)
            keys_M[start:end], suffixes_M[start:end], counts_M[start:end] = keys, suffixes, counts
            self.workspace.release(keys_M, suffixes_M, counts_M)
        keys_M, suffixes_M, counts_M = keys_M[:end], suffixes_M[:end], counts_M[:end]

        # Keep what counting the next order needs.
        first_key = np.uint64(self.after_start) << np.uint64(word_bits(self.size))
        self.after_start = int(np.searchsorted(keys_M, first_key))
        self.numbers_T, self.contexts_T = numbers_T, self._before(numbers_T, at_start=NOWHERE)
        self.context_counts = counts_M
        watched = int(numbers_T[self.watch])
        return Level(self.size, keys_M, suffixes_M, counts_M, self.after_start, watched)

    def _before(self, numbers_T: np.ndarray, at_start: int) -> np.ndarray:
        """Return the number at the position before, and `at_start` where a sentence starts."""
        before_T = np.empty_like(numbers_T)
        before_T[1:] = numbers_T[:-1]
        before_T[self.is_first_T] = at_start
        return before_T

    def _parts(self) -> list[tuple[int, int]]:
        """Return ranges of contexts, each of few enough positions to be sorted at a time with (key,
        position) in 64 bits."""
        ends_H = np.cumsum(self.context_counts, dtype=np.int64)
        share = int(ends_H[-1]) // self.workspace.threads + 1
        most = min(self.workspace.positions, max(share, SMALLEST_PART))
        parts, start = [], 0
        while start < len(ends_H):
            before = int(ends_H[start - 1]) if start else 0
            stop = max(start + 1, int(np.searchsorted(ends_H, before + most, side="right")))
            bits = self._bits(start, stop, int(ends_H[stop - 1]) - before)
            while bits > KEY_BITS:
                stop = start + max(1, (stop - start) >> (bits - KEY_BITS))
                bits = self._bits(start, stop, int(ends_H[stop - 1]) - before)
            parts.append((start, stop))
            start = stop
        self.workspace.release(self.context_counts)
        return parts

    def _bits(self, start: int, stop: int, positions: int) -> int:
        context_bits = (stop - start - 1).bit_length()
        position_bits = max(0, positions - 1).bit_length()
        return context_bits + word_bits(self.size) + position_bits

    def _part(self, contexts: tuple[int, int]) -> tuple[np.ndarray, ...]:
        """Count the n-grams after a range of contexts. Return their keys, suffixes and counts, and
        their positions and numbers there."""
        start, stop = contexts
        at = np.flatnonzero((self.contexts_T >= start) & (self.contexts_T < stop))
        at = at.astype(self.index)

        # Sort (context, word, position), packed into 64 bits each.
        word = np.uint64(word_bits(self.size))
        position = np.uint64(max(0, len(at) - 1).bit_length())
        keys = (self.contexts_T[at] - self.index(start)).astype(np.uint64)
        keys <<= word
        keys |= self.ids_T[at].astype(np.uint64)
        keys <<= position
        keys |= np.arange(len(at), dtype=np.uint64)
        keys.sort()
        position_mask = (np.uint64(1) << position) - np.uint64(1)
        at = at[(keys & position_mask).astype(self.index)]
        keys >>= position

        # Equal keys lie side by side now: the first of each is the n-gram.
        is_new = np.empty(len(keys), dtype=bool)
        is_new[:1] = True
        np.not_equal(keys[1:], keys[:-1], out=is_new[1:])
        first = np.flatnonzero(is_new)
        counts = np.diff(first, append=len(keys)).astype(self.index)
        keys = keys[first] + (np.uint64(start) << word)
        numbers: np.ndarray = np.cumsum(is_new, dtype=self.index) - 1
        return keys, self.numbers_T[at[first]], counts, at, numbers
