"""Run several training runs in one process, which take turns.

torch has one stream of random numbers in a process. Runs in several threads, or iterated over
alternately, would draw from the same stream and get other weights each time. So one run computes at
a time, from one event to the next, and continues the stream where it left it.
"""

import contextlib
import threading
from collections.abc import Generator, Iterator
from typing import Any

import torch

from rnnlm.events import Event

_NO_EVENT: Any = object()


class RandomStream:
    """The random numbers of a run. A run that is alone in its process never restores them."""

    _lock = threading.RLock()
    _current: "RandomStream | None" = None  # the stream that torch draws from now

    def __init__(self) -> None:
        self._cpu: torch.Tensor | None = None
        self._cuda: list[torch.Tensor] = []
        self._turns = 0  # one inside another

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Draw from this stream in this context, and keep other runs from computing."""
        with RandomStream._lock:
            before = RandomStream._current
            self._take_over()
            self._turns += 1
            try:
                yield
            finally:
                self._turns -= 1
                # A run may be garbage-collected, and so end, in the turn of another.
                if before is not None and before._turns:
                    before._take_over()

    def _take_over(self) -> None:
        """Save the position of the other stream, and continue at the position of this one."""
        if RandomStream._current is self:
            return
        if RandomStream._current is not None:
            RandomStream._current._save()
        if self._cpu is not None:
            torch.set_rng_state(self._cpu)
            if self._cuda:
                torch.cuda.set_rng_state_all(self._cuda)
        RandomStream._current = self

    def _save(self) -> None:
        self._cpu = torch.get_rng_state()
        if torch.cuda.is_initialized():
            self._cuda = torch.cuda.get_rng_state_all()

    def end(self) -> None:
        """Forget the stream: its run is over."""
        with RandomStream._lock:
            if RandomStream._current is self:
                RandomStream._current = None


def in_turns(events: Generator[Event, None, None]) -> Iterator[Event]:
    """Yield the events of a run. It computes in turns with the other runs of the process."""
    stream = RandomStream()
    try:
        while True:
            with stream.turn():
                event = next(events, _NO_EVENT)
            if event is _NO_EVENT:
                return
            yield event
    finally:
        with stream.turn():
            events.close()
        stream.end()
