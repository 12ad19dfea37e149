"""Writing that fails, or that a process does not survive: the calls of the system below a folder
are counted, and one of them is hit.

Nothing in the package knows of it: the functions that Python itself has for this are replaced.
"""

import builtins
import collections
import contextlib
import errno
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from support.systems import need

WRITING = frozenset("wax+")
# a hash of facts with times among them; the random part of a new file's name, and of counts
HASHED = re.compile(
    r"(?<=state-\d{8})-[0-9a-f]{8}|\.[0-9a-f]{16}(?=\.new)|(?<=^counts)-[0-9a-f]{8}"
)


class Watch:
    """Hears each call that changes something below `folder`: `hear(kind, name, is_after)`.

    Kinds: open, write, fsync, replace, unlink, mkdir.
    """

    def __init__(self, folder: Path, hear: Callable[[str, str, bool], None]) -> None:
        self.folder = os.path.abspath(folder)
        self.hear = hear
        self.real = {
            "open": builtins.open,
            **{name: getattr(os, name) for name in ("fsync", "replace", "unlink", "mkdir")},
        }

    def __enter__(self) -> "Watch":
        need("proc")
        builtins.open = self._open
        for name in ("fsync", "replace", "unlink", "mkdir"):
            setattr(os, name, self._around(name))
        return self

    def __exit__(self, *error: Any) -> None:
        builtins.open = self.real["open"]
        for name in ("fsync", "replace", "unlink", "mkdir"):
            setattr(os, name, self.real[name])

    def _around(self, kind: str) -> Callable[..., Any]:
        def called(path: Any, *rest: Any, **options: Any) -> Any:
            name = (
                os.readlink(f"/proc/self/fd/{path}")
                if isinstance(path, int)
                else os.path.abspath(path)
            )
            if not name.startswith(self.folder):
                return self.real[kind](path, *rest, **options)
            self.hear(kind, name, False)
            result = self.real[kind](path, *rest, **options)
            self.hear(kind, name, True)
            return result

        return called

    def _open(self, path: Any, mode: str = "r", *rest: Any, **options: Any) -> Any:
        is_ours = isinstance(path, (str, os.PathLike)) and os.path.abspath(path).startswith(
            self.folder
        )
        if not is_ours or not WRITING & set(mode):
            return self.real["open"](path, mode, *rest, **options)
        self.hear("open", os.path.abspath(path), False)
        stream = self.real["open"](path, mode, *rest, **options)
        self.hear("open", os.path.abspath(path), True)
        return _Stream(stream, os.path.abspath(path), self.hear)


class _Stream:
    """An open file; where writing is hit, half of the data has reached the file."""

    def __init__(self, stream: Any, name: str, hear: Callable[[str, str, bool], None]) -> None:
        self.stream, self.path, self.hear = stream, name, hear

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def __enter__(self) -> "_Stream":
        return self

    def __exit__(self, *error: Any) -> None:
        self.stream.close()

    def write(self, data: Any) -> int:
        self.hear("write", self.path, False)
        middle = len(data) // 2
        self.stream.write(data[:middle])
        self.stream.flush()
        self.hear("write", self.path, True)
        self.stream.write(data[middle:])
        return len(data)

    def writelines(self, pieces: Any) -> None:
        for piece in pieces:
            self.write(piece)


def kill_at(folder: Path, point: tuple[str, str], log: Path) -> None:
    """Have this process kill itself at its call `point` below `folder`.

    point: ("before" or "after", a line of `log`); "after" a write means in the middle of it. All
    calls that succeed are logged: kind, file name, how many such calls came before.
    """
    counts: collections.Counter[str] = collections.Counter()
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def hear(kind: str, name: str, is_after: bool) -> None:
        short = HASHED.sub("", os.path.basename(name))
        call = f"{kind} {short}"
        if is_after:
            os.write(handle, f"{call} {counts[call]}\n".encode())
        if point == ("after" if is_after else "before", f"{call} {counts[call]}"):
            os.kill(os.getpid(), signal.SIGKILL)
        counts[call] += is_after

    Watch(folder, hear).__enter__()


@contextlib.contextmanager
def failing(
    folder: Path,
    kinds: tuple[str, ...],
    number: int = errno.ENOSPC,
    part: str = "",
    calls: range | None = None,
) -> Iterator[list[str]]:
    """Make calls of these kinds fail inside this context, below `folder` and for files with `part`
    in their names. Yield the list of failures, which grows.

    calls: the numbers of those that fail, counted from 0; all by default.
    """
    failed: list[str] = []
    count = 0

    def hear(kind: str, name: str, is_after: bool) -> None:
        nonlocal count
        if kind in kinds and part in name and (is_after if kind == "write" else not is_after):
            count += 1
            if calls is None or count - 1 in calls:
                failed.append(f"{kind} {os.path.basename(name)}")
                raise OSError(number, os.strerror(number), name)

    with Watch(folder, hear):
        yield failed
