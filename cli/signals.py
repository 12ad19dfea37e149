"""Handle signals to a long run: end in order, or store a state now from which it can resume."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

SAVING = "SIGUSR1"
# timeout, torchrun and a terminal that closes send the same signal twice: to the process and to its
# group
ONE_WISH_SECONDS = 0.2


def leave(number: int, frame: FrameType | None) -> None:
    """Leave the process at once, with the exit code of a signal."""
    os._exit(128 + number)


@contextlib.contextmanager
def leaving_at_ctrl_c() -> Iterator[None]:
    """Leave the process at once at Ctrl-C, with its exit code and no traceback: while the command
    line is imported, nothing catches it."""
    before = signal.getsignal(signal.SIGINT)
    is_main_thread = threading.current_thread() is threading.main_thread()
    if before is not signal.default_int_handler or not is_main_thread:
        yield
        return
    signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def saving_ignored() -> Iterator[None]:
    """Ignore USR1, which would end a program that has nothing to save yet, or nothing more."""
    number = getattr(signal, SAVING, None)
    before = signal.signal(number, signal.SIG_IGN) if number else None
    try:
        yield
    finally:
        if number:
            signal.signal(number, before)


@contextlib.contextmanager
def explaining(say: Callable[[], None]) -> Iterator[None]:
    """Call `say`, which says how to resume, where a signal ends this context at once."""
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception):  # Ctrl-C, or another signal
            say()
        raise


class Signals:
    """Listens to signals inside its `with` block. The first Ctrl-C, TERM, HUP or BREAK asks the run
    to end in order. A second one ends it at once, unless it is an echo of the first. USR1 asks to
    save, as often as it comes.

    ends_in_order: whether the run can do that; else the first one ends it at once. ending: the
    signal that asked for the end, or 0.
    """

    def __init__(self, ends_in_order: bool = True) -> None:
        self.ends_in_order = ends_in_order
        self.ending = 0
        self.is_saving_wanted = False
        self.before: dict[int, Any] = {}

    def wants_end(self) -> bool:
        return bool(self.ending)

    def wants_saving(self) -> bool:
        """Return whether saving was asked for since the last call."""
        wanted, self.is_saving_wanted = self.is_saving_wanted, False
        return wanted

    def __enter__(self) -> None:
        # Imported here: at the top of this module, Ctrl-C would still leave a traceback.
        from rnnlm.system import ending_signals

        self.before = {}
        if self.ends_in_order:
            for number in ending_signals():
                self.before[number] = signal.signal(number, self._end)
        if hasattr(signal, SAVING):
            self.saving_before = signal.signal(getattr(signal, SAVING), self._save)

    def __exit__(self, *error: Any) -> None:
        self.restore()
        if hasattr(signal, SAVING):
            signal.signal(getattr(signal, SAVING), self.saving_before)

    def restore(self) -> None:
        """Give the signals that end the run back to their earlier handlers."""
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _end(self, number: int, frame: FrameType | None) -> None:
        if not self.ending:
            self.ending, self.asked_at = number, time.monotonic()
        elif time.monotonic() - self.asked_at > ONE_WISH_SECONDS:
            # The earlier handlers know how to end at once.
            self.restore()
            signal.raise_signal(number)  # os.kill ends a process of Windows without any handler

    def _save(self, number: int, frame: FrameType | None) -> None:
        self.is_saving_wanted = True
