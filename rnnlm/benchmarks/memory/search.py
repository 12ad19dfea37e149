"""The longest lag that each layer learns to bridge: lag after lag, the shortest first, until one is not solved."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rnnlm.benchmarks.memory.reader import CELLS
from rnnlm.benchmarks.memory.tasks import SHORTEST_LAG, TASKS
from rnnlm.benchmarks.memory.training import Budget, Trained, train
from rnnlm.errors import UsageError, nearest

LAGS = (5, 10, 20, 50, 100, 200)


@dataclass(frozen=True)
class Reach:
    """How far one layer comes on one task. solved: at the longest lag that it solves; None where that is none. failed: at the next one;
    None where it solves all."""

    task: str
    cell: str
    parameters: int
    solved: Trained | None
    failed: Trained | None

    @property
    def longest(self) -> int:
        """The longest lag that it solves; 0 where that is none."""
        return self.solved.lag if self.solved else 0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"longest_lag": self.longest, "criterion": TASKS[self.task].criterion, "chance": TASKS[self.task].chance}


def verdict_of(reaches: Sequence[Reach]) -> str:
    """For each task which layers solve the longest lag, in one sentence, and what is to be kept in mind."""
    said = []
    for task in dict.fromkeys(reach.task for reach in reaches):
        own = [reach for reach in reaches if reach.task == task]
        longest = max(reach.longest for reach in own)
        best = [reach.cell for reach in own if reach.longest == longest]
        tried = min(reach.failed.lag for reach in own if reach.failed) if not longest else 0
        said.append(f"{task}, {longest} steps ({' and '.join(best)})" if longest else f"{task}, none (not even {tried} steps)")
    return f"The longest lag that a layer solves: {'; '.join(said)}. More training may solve longer ones."


def bench_memory(
    tasks: Sequence[str] = (), cells: Sequence[str] = (), lags: Sequence[int] = LAGS, budget: Budget | None = None, device: str = "auto"
) -> Iterator[Trained | Reach]:
    """Each training as it ends and, after the last one of a task and layer, how far that came. Of all tasks and layers where none is named;
    each lag begins anew with `budget`, the default one if None.

    Raises:
        UsageError: there is no such task or layer, or a lag is too short; none is named twice. DeviceError: there is no such device.
    """
    from rnnlm.neural.device import resolve_device

    tasks, cells = _checked("task", tasks, TASKS), _checked("layer", cells, CELLS)
    if not lags or min(lags) < SHORTEST_LAG:
        raise UsageError(f"a lag of {min(lags, default=0)} is too short", hint=f"the shortest one is {SHORTEST_LAG}")
    where = resolve_device(device)
    for task in tasks:
        for cell in cells:
            found = []
            for lag in sorted(set(lags)):
                found.append(train(task, cell, lag, budget or Budget(), where))
                yield found[-1]
                if not found[-1].solved:
                    break
            solved, failed = [each for each in found if each.solved], [each for each in found if not each.solved]
            yield Reach(task, cell, found[0].parameters, solved[-1] if solved else None, failed[0] if failed else None)


def _checked(what: str, given: Sequence[str], known: dict[str, Any]) -> tuple[str, ...]:
    for name in given:
        if name not in known:
            raise UsageError(f"there is no {what} {name!r} here", hint=nearest(name, known))
    return tuple(dict.fromkeys(given)) or tuple(known)
