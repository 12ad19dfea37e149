"""Count a text that does not fit in memory: count it shard by shard, then merge the shards, order
by order. All that is finished is kept in a folder, from which an interrupted count resumes."""

import hashlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rnnlm.errors import TextError
from rnnlm.lm.ngram.counting.count_trie import CountingProgress, Level
from rnnlm.lm.ngram.counting.in_memory import count
from rnnlm.lm.ngram.counting.merging import MergeSources, Merging
from rnnlm.lm.ngram.counting.plan import CountingPlan
from rnnlm.lm.ngram.counting.store import (
    Piece,
    Store,
    WrittenPiece,
    read_level,
    read_levels,
    remove_level,
    write_level,
)
from rnnlm.lm.ngram.counting.task_runner import TaskRunner, WorkerContext
from rnnlm.lm.ngram.tables import NOWHERE
from rnnlm.parallel import report_done
from rnnlm.storage.files.tensors import ChunkedArray
from rnnlm.text.encoding import IdFiles, kept

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
    :func:`rnnlm.lm.ngram.counting.in_memory.count` does.

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
