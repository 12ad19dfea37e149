"""What signals ask of a run that lasts: to end in order, or to store now what it could go on
from."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

ENDING = ("SIGINT", "SIGTERM", "SIGHUP")
SAVING = "SIGUSR1"
# timeout, torchrun and a terminal that closes send the same signal twice: to the process, and to
# its group
ONE_WISH_SECONDS = 0.2


@contextlib.contextmanager
def leaving_at_ctrl_c() -> Iterator[None]:
    """Leave the process at once at Ctrl-C, with its exit code and no traceback: while the command
    line is imported, nobody catches it."""
    before = signal.getsignal(signal.SIGINT)
    is_main_thread = threading.current_thread() is threading.main_thread()
    if before is not signal.default_int_handler or not is_main_thread:
        yield
        return
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def saving_ignored() -> Iterator[None]:
    """USR1 ends no program that has nothing to save yet, or nothing more."""
    number = getattr(signal, SAVING, None)
    before = signal.signal(number, signal.SIG_IGN) if number else None
    try:
        yield
    finally:
        if number:
            signal.signal(number, before)


class Signals:
    """Hears signals while it is entered. The first Ctrl-C, TERM or HUP asks the run to end in
    order; a second one, if it is a wish of its own and no echo of the first, does what it did
    before: it ends at once. USR1 asks to save, as often as it comes.

    ends_in_order: whether the run can do that; else the first one ends it at once. ending: the
    signal that asked for the end, or 0.
    """

    def __init__(self, ends_in_order: bool = True) -> None:
        self.handled = [*(ENDING if ends_in_order else ())]
        self.ending = 0
        self.is_saving_wanted = False
        self.before: dict[int, Any] = {}

    def wants_end(self) -> bool:
        return bool(self.ending)

    def wants_saving(self) -> bool:
        """Whether saving was asked for since this was last called."""
        wanted, self.is_saving_wanted = self.is_saving_wanted, False
        return wanted

    def __enter__(self) -> None:
        asking = [getattr(signal, name) for name in self.handled if hasattr(signal, name)]
        self.before = {
            number: signal.signal(number, self._end)
            for number in asking
            if signal.getsignal(number) != signal.SIG_IGN
        }
        if hasattr(signal, SAVING):
            self.saving_before = signal.signal(getattr(signal, SAVING), self._save)

    def __exit__(self, *error: Any) -> None:
        self.restore()
        if hasattr(signal, SAVING):
            signal.signal(getattr(signal, SAVING), self.saving_before)

    def restore(self) -> None:
        """The signals that end do again what they did before."""
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _end(self, number: int, frame: FrameType | None) -> None:
        if not self.ending:
            self.ending, self.asked_at = number, time.monotonic()
        elif time.monotonic() - self.asked_at > ONE_WISH_SECONDS:
            self.restore()
            os.kill(os.getpid(), number)

    def _save(self, number: int, frame: FrameType | None) -> None:
        self.is_saving_wanted = True
