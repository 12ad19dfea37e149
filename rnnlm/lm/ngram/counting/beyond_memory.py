"""Count a text that does not fit in memory: count it shard by shard, then merge the shards, order
by order. All that is finished is kept in a folder, from which an interrupted count resumes.
"""

import functools
import hashlib
import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from rnnlm.errors import TextError
from rnnlm.lm.ngram.counting.count_trie import KEY_BITS, Column, CountingProgress, Level, count
from rnnlm.lm.ngram.counting.plan import CountingPlan
from rnnlm.lm.ngram.counting.store import (
    Piece,
    Store,
    WrittenPiece,
    note_of_level,
    read_level,
    read_levels,
    remove_level,
    write_level,
)
from rnnlm.lm.ngram.counting.suffix_values import SuffixExchange
from rnnlm.lm.ngram.counting.workers import TaskRunner, WorkerContext
from rnnlm.lm.ngram.tables import NOWHERE, word_bits
from rnnlm.parallel import report_done
from rnnlm.storage.files.tensors import ChunkedArray
from rnnlm.text.encoding import IdFiles, kept, smallest

# ---- Merging: the tries of several texts become one trie of all of them, order by order, in
# bounded memory.
#
# Each source numbers its own contexts. In the merged trie they have other numbers, but in the same
# order, so the keys of a source are still sorted once their contexts are renumbered. An order is
# merged by ranges of keys, a few n-grams of each source at a time; the merged numbers of a source's
# n-grams are kept for the next order, where they are contexts and suffixes.
#
# Each order takes two phases: the suffixes of each source get their merged numbers, a task a
# source; then ranges are merged, a task each. A range ends at any key, so a context that very many
# different words follow is cut between two of them.

MERGED = "merged-"  # before the names of the pieces
NARROW = 2**31 - 1  # numbers below fit into 32 bits
PIECE_NGRAMS = 1 << 22  # whose suffixes are written together


Steps = Generator[CountingProgress, None, Level]  # of merging an order; returns its level


class MergeSources(Protocol):
    """The tries that are merged, as a task in another process can find them."""

    def __len__(self) -> int:
        """Return how many there are."""

    def level(self, store: Store, source: int, n: int) -> Level | None:
        """Return the level of a source; None: it has no n-grams that long, or they are
        forgotten."""

    def forget(self, store: Store, n: int) -> None:
        """Let go of order n, which is merged."""


class Merging:
    """Merges the orders of several sources, one after the other.

    A source may have fewer orders than others. An n-gram that a source watches is watched in the
    merged level. Orders that are in the store are not merged again.
    """

    def __init__(self, sources: MergeSources, order: int, runner: TaskRunner) -> None:
        self.sources = sources
        self.order = order
        self.runner = runner
        self.store = runner.store

    def unigrams(self) -> Level:
        """Add up the counts of words: all sources have the same."""
        store = self.store
        if read_level(store, MERGED, 1) is None:
            levels_of_sources = [
                self.sources.level(store, source, 1) for source in range(len(self.sources))
            ]
            levels = [level for level in levels_of_sources if level is not None]
            size = levels[0].size
            counts_M = np.zeros(size + 1, dtype=np.int64)
            for level in levels:
                counts_M += np.asarray(level.counts_M)
            watched = max(level.watched for level in levels)
            keys_M = np.arange(size + 1, dtype=np.uint64)
            suffixes_M = np.zeros(size + 1, np.int32)
            merged = Level(size, keys_M, suffixes_M, counts_M, size, watched)
            store.finish(*write_level(store, MERGED, 1, merged))

        # From the store even if it was made just now: the same arrays as in a resumed count.
        whole = read_level(store, MERGED, 1)
        assert whole is not None
        self.size = whole.size
        self.count_type = np.dtype(_smallest(int(np.asarray(whole.counts_M).sum(dtype=np.int64))))
        self.after_start = whole.after_start
        self.sources.forget(store, 1)
        return whole

    def longer(self, n: int) -> Steps:
        """Merge order n."""
        level = read_level(self.store, MERGED, n)
        if level is None:
            level = yield from self._merge(n)
        # A kill may have come before the sources' n-grams were forgotten.
        self.sources.forget(self.store, n)
        self.after_start = level.after_start
        self.store.remove(self.store.names(f"suffixes-{n}-"))
        self.store.remove(self.store.names(f"numbers-{n - 1}-"))
        return level

    def _merge(self, n: int) -> Steps:
        order = MergedOrder(self.sources, n, self.size, self.count_type.name)
        yield from self._find_suffixes(order)

        # Nobody looks up numbers in the highest order, but for an n-gram that is watched.
        opened = self.runner.worker.opened(order)
        levels, entries = opened.levels, int(opened.lengths.sum())
        are_watched = [level is not None and level.watched != NOWHERE for level in levels]
        are_wanted = n < self.order or any(are_watched)

        # Each range becomes two pieces, numbered within itself; the counts before it are added
        # later.
        done = len(self.store.names(f"{MERGED}order-{n}-"))
        starts = self.store.mapped(f"numbers-{n}-{done - 1:06d}")["ends"] if done else None
        ranges = opened.ranges(starts, done, self.runner.entries(entries))
        ends = []

        def tasks() -> Iterator[MergeRange]:
            for span in ranges:
                ends.append(int(span.ends.sum()))
                yield MergeRange(order, span, are_wanted)

        share, merged = 0.0, 0
        for written in self.runner.run(tasks()):
            if written is not None:
                self.store.finish(*written)
                share = ends[merged] / entries
                merged += 1
            yield CountingProgress(f"merging order {n}", share)

        # Join the pieces.
        names = self.store.names(f"{MERGED}order-{n}-")
        keys_M = self.store.column(names, "keys", np.uint64)
        first_key = np.uint64(self.after_start) << np.uint64(word_bits(self.size))
        level = Level(
            self.size,
            keys_M,
            self.store.column(names, "suffixes", opened.suffix_type),
            self.store.column(names, "counts", self.count_type),
            keys_M.searchsorted(first_key),
            self._watched(n, levels),
        )
        self.store.finish(note_of_level(MERGED, n, level))
        return level

    def _find_suffixes(self, order: "MergedOrder") -> Iterator[CountingProgress]:
        """Let the suffixes of each source have their merged numbers."""
        tasks = [
            FindSuffixes(order, source)
            for source in range(len(self.sources))
            if order.suffixes_of(source) not in self.store
        ]
        for written in self.runner.run(tasks, alone=True):
            if written is not None:
                self.store.finish(*written)
            yield CountingProgress(f"merging order {order.n}", 0.0)

    def _watched(self, n: int, levels: Sequence[Level | None]) -> int:
        """Return the merged number of the n-gram that a source watches."""
        for source, level in enumerate(levels):
            if level is not None and level.watched != NOWHERE:
                numbers_M = merged_numbers(self.store, len(levels), n, self.size)[source]
                return int(numbers_M[level.watched : level.watched + 1][0])
        return NOWHERE


@dataclass(frozen=True)
class MergedOrder:
    """A merged order, as the argument of a task. size: V. count_type: of merged counts."""

    sources: MergeSources
    n: int
    size: int
    count_type: str

    def suffixes_of(self, source: int) -> str:
        """Return how the names of the pieces of a source's suffixes begin, and their note."""
        return f"suffixes-{self.n}-{source:05d}"

    def open(self, store: Store) -> "OpenOrder":
        return OpenOrder(self, store)


@dataclass(frozen=True)
class FindSuffixes:
    """The task to find the merged numbers of the suffixes of a source's n-grams."""

    order: MergedOrder
    source: int

    def run(self, worker: WorkerContext) -> list[WrittenPiece]:
        """Look all of them up, and write them, some at a time."""
        opened, workspace = worker.opened(self.order), worker.workspace
        level, numbers_M = opened.levels[self.source], opened.numbers[self.source]
        name = self.order.suffixes_of(self.source)
        written = [WrittenPiece(Piece(name, 0, ""))]
        if level is None:
            return written
        edges = [*range(0, len(level), workspace.ngrams), len(level)]
        blocks = list(itertools.pairwise(edges))
        exchange = SuffixExchange(level.suffixes_M, blocks, len(numbers_M), workspace)
        values = exchange.values(numbers_M)
        at_once = max(1, PIECE_NGRAMS // workspace.ngrams)
        for first in range(0, len(blocks), at_once):
            numbers = range(first, min(first + at_once, len(blocks)))
            suffixes = np.concatenate([values(number) for number in numbers])
            facts = {"ngrams": len(suffixes)}
            written.append(worker.store.write(f"{name}-{first:06d}", {"suffixes": suffixes}, facts))
        # The note comes last: with it, all of them are there.
        return [*written[1:], written[0]]


@dataclass(frozen=True)
class MergeRange:
    """The task to merge a range. are_numbers_wanted: whether to return the numbers of each source's
    n-grams."""

    order: MergedOrder
    span: "_Range"
    are_numbers_wanted: bool

    def run(self, worker: WorkerContext) -> list[WrittenPiece]:
        """Write the merged n-grams, and the numbers in the range of each source's own."""
        columns, origin = worker.opened(self.order).merge(self.span)
        facts = {"ngrams": len(columns["keys"])}
        if not self.are_numbers_wanted:
            origin["numbers"] = origin["numbers"][:0]
        number = f"{self.order.n}-{self.span.number:06d}"
        return [
            worker.store.write(f"numbers-{number}", origin, facts),
            worker.store.write(f"{MERGED}order-{number}", columns, facts),
        ]


def merged_numbers(store: Store, sources: int, n: int, size: int) -> list[Column]:
    """Return the merged numbers of the n-grams of order n of each source."""
    if n == 1:
        return [np.arange(size + 1, dtype=np.int32)] * sources
    names = store.names(f"numbers-{n}-")
    ngrams = [store.facts(name)["ngrams"] for name in names]
    before = dict(zip(names, np.cumsum([0, *ngrams]).tolist(), strict=False))
    index = np.dtype(_smallest(sum(ngrams)))

    def of_source(source: int) -> Column:
        def part(name: str, numbers: np.ndarray) -> np.ndarray:
            starts = store.mapped(name)["starts"]
            source_numbers = numbers[starts[source] : starts[source + 1]]
            return source_numbers.astype(index) + index.type(before[name])

        return store.column(names, "numbers", index, part)

    return [of_source(source) for source in range(sources)]


@dataclass(frozen=True)
class _Range:
    """The n-grams from one key on: of each source, those from `starts` to `ends`."""

    number: int
    low: int
    starts: np.ndarray
    ends: np.ndarray


class OpenOrder:
    """The n-grams of one order of all sources, ready to be merged by ranges. numbers: of their
    contexts."""

    def __init__(self, order: MergedOrder, store: Store) -> None:
        self.order = order
        self.store = store
        self.bits = np.uint64(word_bits(order.size))
        self.mask = (np.uint64(1) << self.bits) - np.uint64(1)
        sources, n = order.sources, order.n
        self.levels = [sources.level(store, source, n) for source in range(len(sources))]
        self.lengths = np.array([0 if level is None else len(level) for level in self.levels])
        self.index = _smallest(int(self.lengths.sum()))
        self.count_type = np.dtype(order.count_type)
        self.numbers = merged_numbers(store, len(sources), n - 1, order.size)
        self.suffix_type = self.numbers[0].dtype

    @functools.cached_property
    def suffixes(self) -> list[Column]:
        """The merged numbers of the suffixes of each source's n-grams."""
        prefixes = [f"{self.order.suffixes_of(source)}-" for source in range(len(self.levels))]
        names = map(self.store.names, prefixes)
        return [self.store.column(pieces, "suffixes", self.suffix_type) for pieces in names]

    def ranges(self, starts: np.ndarray | None, number: int, entries: int) -> Iterator[_Range]:
        """Yield ranges of about as many n-grams as are to be merged at a time, from where each
        source begins or from `starts` on. number: of the first."""
        lengths = self.lengths
        at = np.zeros_like(lengths) if starts is None else np.array(starts)
        while (at < lengths).any():
            left = np.flatnonzero(at < lengths).tolist()
            low = min(self._key(source, int(at[source])) for source in left)

            # Each source gives its share; the one that reaches its share first ends the range.
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
        place = int(numbers_M.searchsorted(context))
        if place == len(numbers_M) or int(numbers_M[place : place + 1][0]) != context:
            word = 0  # the source does not know the context: begin with the next one it knows
        return int(level.keys_M.searchsorted(np.uint64((place << int(self.bits)) | word)))

    def merge(self, span: _Range) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
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
        numbers = np.empty(len(keys), dtype=self.index)
        numbers[places] = np.cumsum(is_new) - 1
        counts, suffixes = self._gathered(span)
        columns = {
            "keys": keys[first] + np.uint64(span.low),
            "suffixes": suffixes[places[first]],
            "counts": smallest(np.add.reduceat(counts[places], first, dtype=self.count_type)),
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
        joined_keys = merged.astype(np.uint64)[contexts]
        joined_keys <<= self.bits
        joined_keys |= keys & self.mask
        joined_keys -= np.uint64(span.low)
        return joined_keys

    def _gathered(self, span: _Range) -> tuple[np.ndarray, np.ndarray]:
        """Return counts and suffixes of all n-grams of a range, source after source."""
        counts, suffixes = [], []
        for source, level in enumerate(self.levels):
            here = slice(int(span.starts[source]), int(span.ends[source]))
            if level is not None and here.start < here.stop:
                counts.append(level.counts_M[here].astype(self.count_type))
                suffixes.append(self.suffixes[source][here])
        return np.concatenate(counts), np.concatenate(suffixes)


def _smallest(most: int) -> type[np.signedinteger]:
    """Return a type for numbers up to `most`."""
    return np.int32 if most < NARROW else np.int64


# ---- The shards of one text, counted and merged.

Ids = np.ndarray | ChunkedArray | IdFiles


@dataclass(frozen=True)
class CountShard:
    """The task to count some lines of a text, from one token to another."""

    number: int
    ids: Ids
    start: int
    stop: int
    sha256: str
    boundary_id: int
    size: int
    order: int
    watch: int

    def run(self, worker: WorkerContext) -> list[WrittenPiece]:
        """Count the shard, order by order, and write each."""
        ids_T = np.asarray(self.ids[self.start : self.stop])
        if isinstance(self.ids, IdFiles):
            self._check(ids_T, self.ids.folder)
        is_watched = self.start <= self.watch < self.stop
        watched = self.watch - self.start if is_watched else NOWHERE
        written = []
        # Not by enumerate, which would hold a level while the next order is counted.
        numbers = itertools.count(1)
        shape = (self.boundary_id, self.size, self.order)
        for level in count(ids_T, *shape, watched, worker.workspace):
            n = next(numbers)
            written += write_level(worker.store, prefix_of(self.number), n, level)
            del level
            report_done(n / self.order)
        written.append(WrittenPiece(Piece(prefix_of(self.number), 0, "")))
        return written

    def _check(self, ids_T: np.ndarray, folder: Path) -> None:
        """Make sure that another machine sees the text that the plan was made for."""
        sha256 = hashlib.sha256(np.ascontiguousarray(ids_T, np.int32).data).hexdigest()
        if sha256 != self.sha256:
            raise TextError(
                f"a worker finds another text in {folder} than the one to count",
                f"part {self.number + 1} differs",
                "all workers must see the same folder, and it must not change",
            )


def count_by_shards(
    ids: Ids,
    boundary_id: int,
    size: int,
    order: int,
    plan: CountingPlan,
    runner: TaskRunner,
    watch: int = NOWHERE,
    done: Callable[[int], None] = kept,
) -> Iterator[CountingProgress | Level]:
    """Yield how far the work is, and the levels of orders 1 to `order`, as
    :func:`rnnlm.lm.ngram.counting.count_trie.count` does.

    watch: a position of the text, or NOWHERE. done: called with the number of tokens, from the
    first on, that are not needed any more.
    """
    store, shards = runner.store, plan.shards
    left = [number for number in range(len(shards)) if prefix_of(number) not in store]
    counted = len(shards) - len(left)
    done(shards[left[0]].start if left else shards[-1].stop)
    yield CountingProgress("counting", counted / len(shards))

    def tasks() -> Iterator[CountShard]:
        for number in left:
            shard = shards[number]
            near = ids.around(shard.start, shard.stop) if isinstance(ids, IdFiles) else ids
            yield CountShard(
                number=number,
                ids=near,
                start=shard.start,
                stop=shard.stop,
                sha256=shard.sha256,
                boundary_id=boundary_id,
                size=size,
                order=order,
                watch=watch,
            )

    # Shards come in order, so all tokens up to the end of this one are counted.
    for written in runner.run(tasks(), alone=True):
        if written is not None:
            store.finish(*written)
            counted += 1
            last = left[counted - len(shards) - 1]
            done(shards[last].stop)
        yield CountingProgress("counting", min(1.0, (counted + runner.begun) / len(shards)))

    # A single shard is the whole already.
    if len(shards) == 1:
        yield from read_levels(store, prefix_of(0), order)
    else:
        yield from merge(_Shards(len(shards)), order, runner)


def merge(
    sources: MergeSources, order: int, runner: TaskRunner
) -> Iterator[CountingProgress | Level]:
    """Yield how far merging is, and the merged levels of orders 1 to `order`; fewer where there are
    no n-grams that long."""
    merging = Merging(sources, order, runner)
    yield merging.unigrams()
    for n in range(2, order + 1):
        merged = yield from merging.longer(n)
        if not len(merged):
            return
        yield merged


@dataclass(frozen=True)
class _Shards:
    """The shards of a text, as they are merged."""

    shards: int

    def __len__(self) -> int:
        return self.shards

    def level(self, store: Store, source: int, n: int) -> Level | None:
        return read_level(store, prefix_of(source), n)

    def forget(self, store: Store, n: int) -> None:
        for shard in range(self.shards):
            remove_level(store, prefix_of(shard), n)


def prefix_of(shard: int) -> str:
    """Return how the names of a shard's pieces begin."""
    return f"shard-{shard:05d}-"
