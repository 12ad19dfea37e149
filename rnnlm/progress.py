"""Say on standard error how far work is, with a line now and then."""

import contextlib
import re
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rnnlm.amounts import duration
from rnnlm.errors import visible

PROGRESS_SECONDS, MOST_PROGRESS_SECONDS = 5.0, 30.0  # between lines: at first, and of long work
SILENT_SECONDS = 60.0
_NUMBERS = re.compile(r"\d+[smh]\b|[\d.,\s]+")
_OF = re.compile(r"(\d+) of (\d+)")

# The command line replaces both: it writes settings as its options, and ends what a command began.
spelled: Callable[[str], str] = str
on_begin: Callable[["Progress"], None] = lambda progress: None  # noqa: E731


def say(message: str) -> None:
    """Print one line for people, on stderr. Where it cannot be shown (a terminal that is gone, a
    full disk), the work goes on without it."""
    line = visible(spelled(message)) + "\n"
    with contextlib.suppress(OSError, AttributeError):  # a process may be started without stderr
        sys.stderr.write(line)


class Progress:
    """Says now and then how far the work is, and at the end how far each part of it has come. Work
    that is done soon is not mentioned.

    Messages of one part differ in numbers alone. One such as "1,479 of 2,958 tokens scored" is said
    with an estimate of the time left; the time of a part counts from its first message. about: the
    file or folder that lines begin with, as the log of several commands holds the lines of all.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, about: Path | str = "") -> None:
        self.about = f"{about}: " if str(about) else ""
        self.clock = clock
        self.began = self.last_line = clock()
        self.message = self.part = ""
        self.part_began = self.done_before = 0.0
        self.is_said = False  # the last message
        self.is_part_known = False  # some message of this part was said
        self.closed = threading.Event()
        on_begin(self)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def __call__(self, message: str) -> None:
        self.take(message)

        # The longer the work takes, the fewer lines a minute.
        elapsed = self.clock() - self.began
        wait = min(PROGRESS_SECONDS * max(1.0, elapsed / 50), MOST_PROGRESS_SECONDS)
        is_due = self.clock() - self.last_line >= wait
        if is_due or (self.is_part_known and _is_complete(message)):
            self.say(self.shown())
            self.is_said = self.is_part_known = True

    def take(self, message: str) -> None:
        """Keep a message, and begin a part where it is the first of one."""
        part = _NUMBERS.sub("", message)
        if part != self.part:
            self._end_part()
            self.part, self.is_part_known = part, False
            self.part_began = self.clock()
            self.done_before = (done_and_wanted(message) or (0, 0))[0]
        self.message, self.is_said = message, False

    def shown(self) -> str:
        """Return the last message, with the time left where it says how much is done of how
        much."""
        done, wanted = done_and_wanted(self.message) or (0, 0)
        rate = (done - self.done_before) / max(1e-9, self.clock() - self.part_began)
        if rate <= 0 or done >= wanted:
            return self.message
        return f"{self.message}, {duration((wanted - done) / rate)} left"

    def say(self, line: str) -> None:
        """Print a line now."""
        say(self.about + line)
        self.last_line = self.clock()

    def say_if_silent(self) -> None:
        """Say that the work goes on, if nothing was said for a minute."""
        if self.clock() - self.last_line < SILENT_SECONDS:
            return
        line = f"still working after {duration(self.clock() - self.began)}"
        if self.message:
            line += f"; {self.shown()}"
        self.say(line)

    def close(self) -> None:
        self._end_part()
        self.part, self.is_part_known = "", False
        self.closed.set()

    def _end_part(self) -> None:
        if self.is_part_known and not self.is_said:
            self.say(self.message)

    def go_on_saying(self) -> None:
        """Say after each silent minute that the work goes on, until the progress is closed."""
        silent = self.clock() - self.last_line
        while not self.closed.wait(max(SILENT_SECONDS / 60, SILENT_SECONDS - silent)):
            self.say_if_silent()
            silent = self.clock() - self.last_line


def done_and_wanted(message: str) -> tuple[int, int] | None:
    """Return the numbers of the last "1,479 of 2,958" in a message; None where there is no such
    pair."""
    pairs = _OF.findall(message.replace(",", ""))
    return (int(pairs[-1][0]), int(pairs[-1][1])) if pairs else None


def _is_complete(message: str) -> bool:
    """Return whether a message says that all is done, such as "1,479 of 1,479 segments"."""
    done, wanted = done_and_wanted(message) or (0, -1)
    return done == wanted
