"""The workers of a count: the threads of this process, or a pool of workers that sees the same
folder.

The arguments of a task are names and numbers. It reads finished pieces in the folder, and writes
its own there under new names; the process that owns the folder finishes them.
"""

import functools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from rnnlm import system
from rnnlm.lm.ngram.counting.store import Store, WrittenPiece
from rnnlm.lm.ngram.counting.workspace import Workspace
from rnnlm.parallel import WorkerPool, in_threads

# Parts of a phase for each worker, so that none waits long for the last one; and how small a part
# is that is worth a task
PARTS = 4
LEAST_SHARD, LEAST_ENTRIES = 1 << 18, 1 << 18
LARGEST_KEPT = 1 << 24  # bytes of arrays that stay in a worker when they are freed


T_co = TypeVar("T_co", covariant=True)


class Openable(Protocol[T_co]):
    """An order of n-grams in files of the store."""

    def open(self, store: Store) -> T_co:
        """Open the files."""


class WorkerContext:
    """The resources of a task: the store of finished files, and memory for large arrays."""

    def __init__(self, store: Store, workspace: Workspace) -> None:
        self.store = store
        self.workspace = workspace
        self._opened: tuple[Openable[Any], Any] | None = None

    def opened(self, order: Openable[T_co]) -> T_co:
        """Open an order, or return it where the last task has opened it."""
        if self._opened is None or self._opened[0] != order:
            self._opened = (order, order.open(self.store))
        return self._opened[1]


class CountingTask(Protocol):
    """A part of a phase, which can be sent to another process."""

    def run(self, worker: WorkerContext) -> Sequence[WrittenPiece]:
        """Do the work, and return the pieces that are written."""


class TaskRunner:
    """Runs tasks in the threads of this process.

    worker: the context of this process. workspace: the limits of each task, by which phases are cut
    into tasks.
    """

    def __init__(self, worker: WorkerContext) -> None:
        self.worker = worker
        self.workspace = worker.workspace

    @property
    def store(self) -> Store:
        return self.worker.store

    def run(
        self, tasks: Iterable[CountingTask], alone: bool = False
    ) -> Iterator[Sequence[WrittenPiece] | None]:
        """Yield the result of each task, in their order; None while the next one is awaited. alone:
        a task takes all memory and all threads of its process."""
        threads = 1 if alone else self.workspace.threads
        yield from in_threads(lambda task: task.run(self.worker), tasks, threads)

    @property
    def begun(self) -> float:
        """Fraction of the running tasks that is complete, if known (1 per task)."""
        return 0.0

    def shard(self, tokens: int) -> int:
        """Return how many tokens of a text of so many are counted together."""
        return self.workspace.shard

    def entries(self, total: int) -> int:
        """Return how many n-grams of so many are merged at a time."""
        return self.workspace.entries


class PoolRunner(TaskRunner):
    """Runs tasks in a pool whose workers see the folder under the same name. memory: bytes that the
    arrays of a task may take."""

    def __init__(self, worker: WorkerContext, pool: WorkerPool, memory: int) -> None:
        super().__init__(worker)
        self.pool = pool
        self.memory = memory
        self.workspace = Workspace(memory, threads=1)

    def run(
        self, tasks: Iterable[CountingTask], alone: bool = False
    ) -> Iterator[Sequence[WrittenPiece] | None]:
        run = functools.partial(
            run_task,
            folder=str(self.store.folder.absolute()),
            journal_bytes=self.store.journal_bytes,
            mark=self.store.mark,
            memory=self.memory,
        )
        for done in self.pool.run(run, tasks):
            yield done and done[1]

    @property
    def begun(self) -> float:
        return self.pool.begun

    def shard(self, tokens: int) -> int:
        # As many rounds as memory takes, and no worker idle in the last one.
        workers = max(1, self.pool.size)
        rounds = -(-tokens // (self.workspace.shard * workers))
        share = -(-tokens // max(1, rounds * workers))
        return min(self.workspace.shard, max(share, LEAST_SHARD))

    def entries(self, total: int) -> int:
        share = total // (PARTS * max(1, self.pool.size)) + 1
        return min(self.workspace.entries, max(share, LEAST_ENTRIES))


def run_task(
    task: CountingTask, *, folder: str, journal_bytes: int, mark: str, memory: int
) -> Sequence[WrittenPiece]:
    """Work on a task, in a worker. Nothing of the folder stays open or mapped afterwards: its files
    may be deleted elsewhere.

    journal_bytes: the valid part of the journal. mark: a file that exists while the run lasts.
    memory: the bytes that the task may use.
    """
    system.allow_open_files()
    system.return_freed(LARGEST_KEPT)
    store = Store(Path(folder), mark=mark)
    store.check_mark()
    store.follow(journal_bytes)
    return task.run(WorkerContext(store, Workspace(memory, threads=1)))
