"""Counting a text that does not fit in memory: shard by shard, then the shards are merged, order by
order. All that is finished lies in a folder, from which an interrupted count goes on."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from rnnlm.files.tensors import ChunkedArray
from rnnlm.ngram.counting.counts import count
from rnnlm.ngram.counting.levels import Level
from rnnlm.ngram.counting.merging import Merging, Sources
from rnnlm.ngram.counting.plan import Plan
from rnnlm.ngram.counting.store import Store, read_level, remove_level, write_level
from rnnlm.ngram.counting.workspace import Workspace
from rnnlm.ngram.tables import NOWHERE
from rnnlm.text.encoding import kept


@dataclass(frozen=True)
class Progress:
    """How far a phase of the work is. share: of the phase, from 0 to 1."""

    phase: str
    share: float


def count_by_shards(
    ids: np.ndarray | ChunkedArray,
    boundary_id: int,
    size: int,
    order: int,
    plan: Plan,
    store: Store,
    workspace: Workspace,
    watch: int = NOWHERE,
    done: Callable[[int], None] = kept,
) -> Iterator[Progress | Level]:
    """Yield how far the work is, and the levels of orders 1 to `order`, as
    :func:`rnnlm.ngram.counting.counts.count` does.

    watch: a position of the text, or NOWHERE. done: called with the number of tokens, from the
    first on, that are not needed any more.
    """
    for number, shard in enumerate(plan.shards):
        yield Progress("counting", number / len(plan.shards))
        if prefix_of(number) in store:
            done(shard.stop)
            continue
        ids_T = np.asarray(ids[shard.start : shard.stop])
        is_watched = shard.start <= watch < shard.stop
        watched = watch - shard.start if is_watched else NOWHERE
        # Not by enumerate, which would hold a level while the next order is counted.
        numbers = itertools.count(1)
        for level in count(ids_T, boundary_id, size, order, watched, workspace):
            n = next(numbers)
            write_level(store, prefix_of(number), n, level)
            del level
        store.note(prefix_of(number), {})
        done(shard.stop)
    yield Progress("counting", 1.0)

    # A single shard is the whole already.
    sources = _Shards(len(plan.shards), store)
    if len(plan.shards) == 1:
        for n in range(1, order + 1):
            whole = read_level(store, prefix_of(0), n)
            if whole is None:
                return
            yield whole
        return

    yield from merge(sources, order, store, workspace)


def merge(
    sources: Sources, order: int, store: Store, workspace: Workspace
) -> Iterator[Progress | Level]:
    """Yield how far merging is, and the merged levels of orders 1 to `order`; fewer where there are
    no n-grams that long."""
    merging = Merging(sources, order, store, workspace)
    yield merging.unigrams()
    for n in range(2, order + 1):
        steps = merging.longer(n)
        while True:
            try:
                yield Progress(f"merging order {n}", next(steps))
            except StopIteration as finished:
                merged: Level = finished.value
                break
        if not len(merged):
            return
        yield merged


class _Shards:
    """The shards of a text, as they are merged."""

    def __init__(self, shards: int, store: Store) -> None:
        self.shards = shards
        self.store = store

    def of_order(self, n: int) -> list[Level | None]:
        return [read_level(self.store, prefix_of(shard), n) for shard in range(self.shards)]

    def forget(self, n: int) -> None:
        for shard in range(self.shards):
            remove_level(self.store, prefix_of(shard), n)


def prefix_of(shard: int) -> str:
    """Return how the names of a shard's pieces begin."""
    return f"shard-{shard:05d}-"
