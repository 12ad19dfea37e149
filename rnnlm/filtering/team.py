"""Who works on the tasks of a filter: this process, or several processes of this machine."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

from rnnlm.work.executors import Inline
from rnnlm.work.tasks import AHEAD, TICK_SECONDS, Team
from rnnlm.work.teams import local_team

Result = TypeVar("Result")


@dataclass(frozen=True)
class Means:
    """What tasks run on. ahead: how many are handed out for each worker; threads: of each task."""

    team: AbstractContextManager[Team]
    ahead: int = AHEAD
    threads: int = 1


def of_this_machine(workers: int, tasks: int, reads_in_threads: bool) -> Means:
    """Return the means for so many tasks on so many processors: a process for each of several, and
    threads where there are fewer tasks."""
    count = max(1, min(workers, tasks))
    threads = workers // count if reads_in_threads else 1
    if count == 1:
        return Means(nullcontext(Team(Inline(), 1)), 1, threads)
    return Means(local_team(count), AHEAD, threads)


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
                # Hand out a few tasks.
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
