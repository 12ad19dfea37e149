"""The tasks of a phase, run by any executor.

A task takes paths and numbers and returns names and counts: what it works on, and what it makes,
lies in a folder that all workers see. It may run twice, or be killed: what it writes has a new name
until the process that began the phase gives it its own. That process waits for all tasks of a phase
before it begins the next; no task waits for another.
"""

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Executor, Future, wait
from contextvars import ContextVar
from pathlib import Path
from typing import TypeVar

from rnnlm.errors import RnnlmError

Task = TypeVar("Task")
Result = TypeVar("Result")

TICK_SECONDS = 0.5  # between two looks at whether the work can go on, and at who asks for its end
AHEAD = 2  # tasks handed out for each worker: it begins the next one at once
DONE = object()  # there are no more tasks


# What a long task tells about itself: the share that is done. A team that can hear it sets this.
_say: ContextVar[Callable[[float], None] | None] = ContextVar("_say", default=None)


def say_share(share: float) -> None:
    """Tell, from within a task, how much of it is done, if anybody hears it."""
    say = _say.get()
    if say is not None:
        say(share)


@contextlib.contextmanager
def saying(say: Callable[[float], None]) -> Iterator[None]:
    """Let `say` hear what a task in this context tells of itself."""
    token = _say.set(say)
    try:
        yield
    finally:
        _say.reset(token)


class Cancelled(RnnlmError):
    """The run that a task belongs to has ended, so that its result is of no use."""


class Team:
    """The workers behind one executor.

    size: how many tasks are worked on at once. A team that can lose what it depends on says so in
    `check`, and in errors of its own in `outcome`.
    """

    def __init__(self, executor: Executor, size: int) -> None:
        self.executor = executor
        self.size = size

    @property
    def begun(self) -> float:
        """How much is done of the tasks that are in work, in tasks, where they tell it."""
        return 0.0

    def check(self) -> None:
        """Raise an error if the work cannot go on."""

    def check_folder(self, folder: Path, mark: str) -> None:
        """Make sure that all workers see and write a folder, which has a file of the name `mark`
        that holds its name. Processes of this machine do."""

    def settle(self) -> None:
        """Wait a while for tasks that were called off, so that they leave nothing behind."""

    def outcome(self, future: "Future[Result]") -> Result:
        """Return the result of a task that has come to its end, or raise its error."""
        return future.result()

    def submit(self, function: Callable[..., Result], *arguments: object) -> "Future[Result]":
        """Hand out a task."""
        return self.executor.submit(function, *arguments)

    def run(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Iterator[Result | None]:
        """Yield what `function` returns for each task, in their order; and None now and then while
        the next one is awaited, so that the caller can show how far the work is, or end it.

        The first error of any task is raised, and the tasks that wait are called off.
        """
        left = iter(tasks)
        waiting: deque[Future[Result]] = deque()
        try:
            while True:
                # Few tasks are handed out ahead: reading them may take memory, and a team may grow.
                while len(waiting) < max(2, AHEAD * self.size):
                    following = next(left, DONE)
                    if following is DONE:
                        break
                    waiting.append(self.submit(function, following))
                if not waiting:
                    return
                while waiting and waiting[0].done():
                    yield self.outcome(waiting.popleft())

                # Those behind may be done, too, or have failed, which is said at once.
                busy = [future for future in waiting if not future.done()]
                for future in waiting:
                    if future.done() and _has_failed(future):
                        self.outcome(future)
                if busy and not wait(busy, TICK_SECONDS, "FIRST_COMPLETED").done:
                    self.check()
                    yield None
        finally:
            for future in waiting:
                future.cancel()


def _has_failed(future: "Future[Result]") -> bool:
    try:
        return future.exception() is not None
    except CancelledError:
        return True
