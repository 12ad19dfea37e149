"""The workers of a count: the threads of this process, or a team of workers that sees the same
folder.

The arguments of a task are names and numbers. It reads what is finished in the folder, and writes
its own pieces there under new names; the process that owns the folder finishes them.
"""

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rnnlm import system
from rnnlm.lm.ngram.counting.store import Store, Written
from rnnlm.lm.ngram.counting.workspace import Workspace
from rnnlm.parallel import Team, in_threads

if TYPE_CHECKING:
    from rnnlm.lm.ngram.counting.merging import MergedOrder, OpenOrder

# Parts of a phase for each worker, so that none waits long for the last one; and how small a part
# is that is worth a task
PARTS = 4
LEAST_SHARD, LEAST_ENTRIES = 1 << 18, 1 << 18
LARGEST_KEPT = 1 << 24  # bytes of arrays that stay in a worker when they are freed


class Bench:
    """The resources of a task: the store of finished files, and memory for large arrays."""

    def __init__(self, store: Store, workspace: Workspace) -> None:
        self.store = store
        self.workspace = workspace
        self._opened: tuple[MergedOrder, OpenOrder] | None = None

    def opened(self, order: "MergedOrder") -> "OpenOrder":
        """Open an order that is merged, or return it where the last task has opened it."""
        if self._opened is None or self._opened[0] != order:
            self._opened = (order, order.open(self.store))
        return self._opened[1]


class Task(Protocol):
    """A part of a phase, which can be sent to another process."""

    def run(self, bench: Bench) -> Sequence[Written]:
        """Do the work, and return the pieces that are written."""


class Crew:
    """The threads of this process.

    bench: of this process. workspace: what each task may take, by which phases are cut into tasks.
    """

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.workspace = bench.workspace

    @property
    def store(self) -> Store:
        return self.bench.store

    def run(self, tasks: Iterable[Task], alone: bool = False) -> Iterator[Sequence[Written] | None]:
        """Yield what each task has written, in their order; None while the next one is awaited.
        alone: a task takes all memory and all threads of its process."""
        threads = 1 if alone else self.workspace.threads
        yield from in_threads(lambda task: task.run(self.bench), tasks, threads)

    @property
    def begun(self) -> float:
        """How much is done of the tasks that are in work, in tasks, where that is known."""
        return 0.0

    def shard(self, tokens: int) -> int:
        """Return how many tokens of a text of so many are counted together."""
        return self.workspace.shard

    def entries(self, total: int) -> int:
        """Return how many n-grams of so many are merged at a time."""
        return self.workspace.entries


class TeamCrew(Crew):
    """A team whose workers see the folder under the same name. memory: bytes that the arrays of a
    task may take."""

    def __init__(self, bench: Bench, team: Team, memory: int) -> None:
        super().__init__(bench)
        self.team = team
        self.memory = memory
        self.workspace = Workspace(memory, threads=1)

    def run(self, tasks: Iterable[Task], alone: bool = False) -> Iterator[Sequence[Written] | None]:
        folder = str(self.store.folder.absolute())
        place = Place(folder, self.store.journal_bytes, self.store.mark, self.memory)
        for done in self.team.run(functools.partial(work_at, place), tasks):
            yield done and done[1]

    @property
    def begun(self) -> float:
        return self.team.begun

    def shard(self, tokens: int) -> int:
        # As many rounds as memory takes, and no worker idle in the last one.
        workers = max(1, self.team.size)
        rounds = -(-tokens // (self.workspace.shard * workers))
        share = -(-tokens // max(1, rounds * workers))
        return min(self.workspace.shard, max(share, LEAST_SHARD))

    def entries(self, total: int) -> int:
        share = total // (PARTS * max(1, self.team.size)) + 1
        return min(self.workspace.entries, max(share, LEAST_ENTRIES))


@dataclass(frozen=True)
class Place:
    """The folder of a run, as a worker finds it: the valid part of the journal, the mark that
    exists while the run lasts, and how much memory a task may use."""

    folder: str
    journal_bytes: int
    mark: str
    memory: int


def work_at(place: Place, task: Task) -> Sequence[Written]:
    """Work on a task, in a worker. Nothing of the folder stays open or mapped afterwards: its files
    may be deleted elsewhere."""
    system.allow_open_files()
    system.return_freed(LARGEST_KEPT)
    store = Store(Path(place.folder), mark=place.mark)
    store.check_mark()
    store.follow(place.journal_bytes)
    return task.run(Bench(store, Workspace(place.memory, threads=1)))
