"""Who works on the tasks of a filter: this process, several processes of this machine, or the
workers of a Dask cluster, which see the same files under the same names."""

import contextlib
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rnnlm.files.writing import writing
from rnnlm.work.executors import Inline, Processes
from rnnlm.work.tasks import AHEAD, TICK_SECONDS, Team

if TYPE_CHECKING:
    from rnnlm.work.dask_cluster import Cluster

Result = TypeVar("Result")
# A file of such a name is there as long as a run on a cluster is to go on, and holds its name.
MARK = re.compile(r"running-[0-9a-f]{16}")


@dataclass(frozen=True)
class Means:
    """What tasks run on. ahead: how many are handed out for each worker; threads: of each task."""

    team: AbstractContextManager[Team]
    ahead: int = AHEAD
    threads: int = 1


def of_team(team: Team) -> Means:
    """Return the means of a team that stays when the tasks are done."""
    return Means(nullcontext(team))


def of_this_machine(workers: int, tasks: int, reads_in_threads: bool) -> Means:
    """Return the means for so many tasks on so many processors: a process for each of several, and
    threads where there are fewer tasks."""
    count = max(1, min(workers, tasks))
    threads = workers // count if reads_in_threads else 1
    return Means(_local(count), AHEAD if count > 1 else 1, threads)


@contextlib.contextmanager
def _local(count: int) -> Iterator[Team]:
    with Processes(count) if count > 1 else Inline() as executor:
        yield Team(executor, count)


@contextlib.contextmanager
def cluster_at(
    address: str, folder: Path, files: Mapping[str, str]
) -> "Iterator[tuple[Cluster, Path]]":
    """Provide the workers of a Dask cluster, and the mark of this run in `folder`, which all of
    them see. At the end of the context the mark goes, and tasks that still run have some time to
    notice.

    files: what the workers read, too: SHA-256 by name.
    """
    from rnnlm.work import dask_cluster

    with dask_cluster.connected(address) as cluster:
        folder = folder.absolute()
        mark = folder / f"running-{secrets.token_hex(8)}"
        try:
            with writing(folder):
                mark.write_text(mark.name)
            cluster.check_folder(folder, mark.name, files)
            yield cluster, mark
        finally:
            with contextlib.suppress(OSError):
                mark.unlink()
            cluster.settle()


def run_tasks(
    means: Means, names: Iterable[str], submit: "Callable[[Team, str], Future[Result]]"
) -> Iterator[tuple[str, Result]]:
    """Run a task for each name, and yield their results by name, as they come. After an error no
    more tasks begin; it is raised when those that run have ended."""
    waiting = iter(names)
    running: dict[Future[Result], str] = {}
    error: Exception | None = None
    with means.team as team:
        try:
            while True:
                # Hand out a few tasks; a team may grow meanwhile.
                while error is None and len(running) < max(1, means.ahead * team.size):
                    name = next(waiting, None)
                    if name is None:
                        break
                    running[submit(team, name)] = name
                if not running:
                    break

                ended, _ = wait(running, TICK_SECONDS, FIRST_COMPLETED)
                if not ended:
                    team.check()
                for future in ended:
                    name = running.pop(future)
                    try:
                        result = team.outcome(future)
                    except Exception as failure:
                        error = error or failure
                        continue
                    yield name, result
        finally:
            for future in running:
                future.cancel()
    if error is not None:
        raise error
