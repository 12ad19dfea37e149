"""Merging counts: the tries of several texts become that of all of them, order by order, in bounded
memory.

Each source numbers its own contexts. In the merged trie they have other numbers, but in the same
order, so the keys of a source are still sorted once their contexts are renumbered. An order is
merged by ranges of keys, a few n-grams of each source at a time; what a source's n-grams are called
in the merged order is kept for the next one, where they are contexts and suffixes.
"""

import itertools
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import DTypeLike

from rnnlm.ngram.counting.exchange import SuffixExchange
from rnnlm.ngram.counting.levels import Column, Level
from rnnlm.ngram.counting.store import Piece, Store, note_level, read_level, write_level
from rnnlm.ngram.counting.workspace import Workspace
from rnnlm.ngram.tables import NOWHERE, word_bits
from rnnlm.system import in_threads
from rnnlm.text.encoding import smallest

MERGED = "merged-"  # before the names of the pieces
KEY_BITS = 64
NARROW = 2**31 - 1  # numbers below fit into 32 bits


Steps = Generator[float, None, Level]  # the share of an order that is merged, and its level


class Sources(Protocol):
    """The tries that are merged."""

    def of_order(self, n: int) -> Sequence[Level | None]:
        """Return the level of each source; None: it has no n-grams that long, or they are
        forgotten."""

    def forget(self, n: int) -> None:
        """Let go of order n, which is merged."""


class Merging:
    """Merges the orders of several sources, one after the other.

    A source may have fewer orders than others. An n-gram that a source watches is watched in the
    merged level. Orders that are in the store are not merged again.

    numbers[s]: the merged number of each n-gram of source s in the order merged last.
    """

    def __init__(self, sources: Sources, order: int, store: Store, workspace: Workspace) -> None:
        self.sources = sources
        self.order = order
        self.store = store
        self.workspace = workspace

    def unigrams(self) -> Level:
        """Add up the counts of words: all sources have the same."""
        if read_level(self.store, MERGED, 1) is None:
            levels = [level for level in self.sources.of_order(1) if level is not None]
            size = levels[0].size
            counts_M = np.zeros(size + 1, dtype=np.int64)
            watched = NOWHERE
            for level in levels:
                counts_M += np.asarray(level.counts_M)
                watched = max(watched, level.watched)
            keys_M = np.arange(size + 1, dtype=np.uint64)
            suffixes_M = np.zeros(size + 1, np.int32)
            merged = Level(size, keys_M, suffixes_M, counts_M, size, watched)
            write_level(self.store, MERGED, 1, merged)

        # From the store even if it was made just now: the same arrays as in a resumed count.
        found = read_level(self.store, MERGED, 1)
        assert found is not None
        self.size = found.size
        self.bits = np.uint64(word_bits(found.size))
        self.count_type = _smallest(int(np.asarray(found.counts_M).sum(dtype=np.int64)))
        self.after_start = found.after_start
        sources = len(self.sources.of_order(1))
        self.sources.forget(1)
        numbers_M = np.arange(found.size + 1, dtype=np.int32)
        self.numbers: list[Column] = [numbers_M] * sources
        return found

    def longer(self, n: int) -> Steps:
        """Merge order n."""
        level = read_level(self.store, MERGED, n)
        if level is None:
            level = yield from self._merge(n)
        # A kill may have come before the sources' n-grams were forgotten.
        self.sources.forget(n)
        self.after_start = level.after_start
        if n < self.order:
            self.numbers = self._numbers(n, len(self.numbers))
        self.store.remove(self.store.names(f"numbers-{n - 1}-"))
        return level

    def _merge(self, n: int) -> Steps:
        levels = self.sources.of_order(n)
        entries = sum(len(level) for level in levels if level is not None)
        index = _smallest(entries)
        job = _OrderJob(self, levels)

        # Nobody looks up numbers in the highest order, but for an n-gram that is watched.
        are_watched = [level is not None and level.watched != NOWHERE for level in levels]
        are_wanted = n < self.order or any(are_watched)

        # Each range becomes two pieces, numbered within itself; what came before is added later.
        done = len(self.store.names(f"{MERGED}order-{n}-"))
        starts = self.store.mapped(f"numbers-{n}-{done - 1:06d}")["ends"] if done else None

        def merge_range(span: _Range) -> tuple[int, Piece, Piece]:
            number = f"{done + span.number:06d}"
            columns, origin = job.merge(span, index, self.count_type)
            facts = {"ngrams": len(columns["keys"])}
            if not are_wanted:
                origin["numbers"] = origin["numbers"][:0]
            numbers = self.store.write(f"numbers-{n}-{number}", origin, facts)
            ngrams = self.store.write(f"{MERGED}order-{n}-{number}", columns, facts)
            return int(span.ends.sum()), numbers, ngrams

        for merged, *pieces in in_threads(merge_range, job.ranges(starts), self.workspace.threads):
            self.store.finish(*pieces)
            yield merged / entries

        # Join the pieces.
        names = self.store.names(f"{MERGED}order-{n}-")
        keys_M = self.store.column(names, "keys", np.uint64)
        first_key = np.uint64(self.after_start) << self.bits
        level = Level(
            self.size,
            keys_M,
            self.store.column(names, "suffixes", job.suffix_type),
            self.store.column(names, "counts", self.count_type),
            keys_M.searchsorted(first_key),
            self._watched(n, levels),
        )
        note_level(self.store, MERGED, n, level)
        return level

    def _numbers(self, n: int, sources: int) -> list[Column]:
        """Return the merged numbers of the n-grams of each source."""
        names = self.store.names(f"numbers-{n}-")
        ngrams = [self.store.facts(name)["ngrams"] for name in names]
        before = dict(zip(names, np.cumsum([0, *ngrams]).tolist(), strict=False))
        index = np.dtype(_smallest(sum(ngrams)))

        def of_source(source: int) -> Column:
            def part(name: str, numbers: np.ndarray) -> np.ndarray:
                starts = self.store.mapped(name)["starts"]
                own = numbers[starts[source] : starts[source + 1]]
                return own.astype(index) + index.type(before[name])

            return self.store.column(names, "numbers", index, part)

        return [of_source(source) for source in range(sources)]

    def _watched(self, n: int, levels: Sequence[Level | None]) -> int:
        """Return the merged number of the n-gram that a source watches."""
        for source, level in enumerate(levels):
            if level is not None and level.watched != NOWHERE:
                numbers_M = self._numbers(n, len(levels))[source]
                return int(numbers_M[level.watched : level.watched + 1][0])
        return NOWHERE


@dataclass(frozen=True)
class _Range:
    """The n-grams from one key on: of each source, those from `starts` to `ends`."""

    number: int
    low: int
    starts: np.ndarray
    ends: np.ndarray


class _OrderJob:
    """The n-grams of one order of all sources, ready to be merged by ranges."""

    def __init__(self, merging: Merging, levels: Sequence[Level | None]) -> None:
        self.bits = merging.bits
        self.mask = (np.uint64(1) << self.bits) - np.uint64(1)
        self.levels = levels
        self.numbers = merging.numbers  # of the contexts
        self.workspace = merging.workspace
        self.suffix_type = merging.numbers[0].dtype
        self.suffixes = [self._suffixes(source) for source in range(len(levels))]

    def _suffixes(self, source: int) -> np.ndarray:
        """Return the merged numbers of the suffixes of a source's n-grams."""
        level, numbers_M = self.levels[source], self.numbers[source]
        found_M = self.workspace.empty(0 if level is None else len(level), self.suffix_type)
        if level is None:
            return found_M
        edges = [*range(0, len(level), self.workspace.ngrams), len(level)]
        blocks = list(itertools.pairwise(edges))
        exchange = SuffixExchange(level.suffixes_M, blocks, len(numbers_M), self.workspace)
        values = exchange.values(numbers_M)
        for number, (start, end) in enumerate(blocks):
            found_M[start:end] = values(number)
        self.workspace.release(found_M)
        return found_M

    def ranges(self, starts: np.ndarray | None) -> Iterator[_Range]:
        """Yield ranges of about as many n-grams as are to be merged at a time, from where each
        source begins or from `starts` on."""
        lengths = np.array([0 if level is None else len(level) for level in self.levels])
        at = np.zeros_like(lengths) if starts is None else np.array(starts)
        number = 0
        while (at < lengths).any():
            left = np.flatnonzero(at < lengths).tolist()
            low = min(self._key(source, int(at[source])) for source in left)

            # Each source gives its share; the one that reaches its share first ends the range.
            entries = self.workspace.entries
            shares = entries * (lengths - at) // int((lengths - at).sum())
            goals = np.minimum(at + np.maximum(shares, 1), lengths)
            high = low + (1 << KEY_BITS - int(entries + len(left)).bit_length())
            for source in left:
                if goals[source] < lengths[source]:
                    high = min(high, self._key(source, int(goals[source])))
            ends = at.copy()
            for source in left:
                ends[source] = self._place(source, high)
            yield _Range(number, low, at, ends)
            number += 1
            at = ends

    def _key(self, source: int, number: int) -> int:
        """Return the merged key of a source's n-gram."""
        level = self.levels[source]
        assert level is not None
        key = int(level.keys_M[number : number + 1][0])
        context = key >> int(self.bits)
        merged = int(self.numbers[source][context : context + 1][0])
        return (merged << int(self.bits)) | (key & int(self.mask))

    def _place(self, source: int, key: int) -> int:
        """Return the number of a source's first n-gram whose merged key is at least `key`."""
        level, numbers_M = self.levels[source], self.numbers[source]
        assert level is not None
        context, word = key >> int(self.bits), key & int(self.mask)
        own = int(numbers_M.searchsorted(context))
        if own == len(numbers_M) or int(numbers_M[own : own + 1][0]) != context:
            word = 0  # the source does not know the context: begin with the next one it knows
        return int(level.keys_M.searchsorted(np.uint64((own << int(self.bits)) | word)))

    def merge(
        self, span: _Range, index: DTypeLike, count_type: DTypeLike
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Return the columns of the merged n-grams; and for each source's own, its number among
        them, source after source."""
        lengths = span.ends - span.starts
        starts = np.cumsum([0, *lengths])
        keys = np.concatenate([self._keys(source, span) for source in range(len(lengths))])

        # Sort (key, place), packed into 64 bits each.
        place_bits = np.uint64(max(0, len(keys) - 1).bit_length())
        keys <<= place_bits
        keys |= np.arange(len(keys), dtype=np.uint64)
        keys.sort()
        place_mask = (np.uint64(1) << place_bits) - np.uint64(1)
        places = (keys & place_mask).view(np.int64)
        keys >>= place_bits

        # Equal keys lie side by side now, at most one from each source.
        is_new = np.empty(len(keys), dtype=bool)
        is_new[:1] = True
        np.not_equal(keys[1:], keys[:-1], out=is_new[1:])
        first = np.flatnonzero(is_new)
        numbers = np.empty(len(keys), dtype=index)
        numbers[places] = np.cumsum(is_new) - 1
        counts, suffixes = self._gathered(span, count_type)
        columns = {
            "keys": keys[first] + np.uint64(span.low),
            "suffixes": suffixes[places[first]],
            "counts": smallest(np.add.reduceat(counts[places], first, dtype=count_type)),
        }
        origin = {"numbers": numbers, "starts": starts, "ends": span.ends.astype(np.int64)}
        return columns, origin

    def _keys(self, source: int, span: _Range) -> np.ndarray:
        """Return the merged keys of a source's n-grams, less the range's first."""
        level = self.levels[source]
        start, end = int(span.starts[source]), int(span.ends[source])
        if level is None or start == end:
            return np.zeros(0, np.uint64)
        keys = level.keys_M[start:end]
        contexts = (keys >> self.bits).astype(np.int64)
        first = int(contexts[0])
        merged = self.numbers[source][first : int(contexts[-1]) + 1]
        contexts -= first
        found = merged.astype(np.uint64)[contexts]
        found <<= self.bits
        found |= keys & self.mask
        found -= np.uint64(span.low)
        return found

    def _gathered(self, span: _Range, count_type: DTypeLike) -> tuple[np.ndarray, np.ndarray]:
        """Return counts and suffixes of all n-grams of a range, source after source."""
        counts, suffixes = [], []
        for source, level in enumerate(self.levels):
            here = slice(int(span.starts[source]), int(span.ends[source]))
            if level is not None and here.start < here.stop:
                counts.append(level.counts_M[here].astype(count_type))
                suffixes.append(self.suffixes[source][here])
                self.workspace.release(self.suffixes[source])
        return np.concatenate(counts), np.concatenate(suffixes)


def _smallest(most: int) -> type[np.signedinteger]:
    """Return a type for numbers up to `most`."""
    return np.int32 if most < NARROW else np.int64
