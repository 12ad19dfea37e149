"""Plain files that a person asks for: checked before time goes into them, locked while they are
made, and written whole.

The lock of a file is a file beside it, as :mod:`rnnlm.files.lock` says. Within :func:`claims`,
:func:`check_file` takes it until the claims end: the command line holds them for a whole command,
so that a second writer is refused before it computes what the first one is about to write.
"""

import contextlib
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path

from rnnlm.errors import OutputError, UsageError
from rnnlm.files import lock
from rnnlm.files.compression import compressed
from rnnlm.files.writing import STANDARD_OUTPUT, remove_unfinished, replace_file, writing


class _Claims:
    """The files that :func:`claims` owns, by name, and the locks that end with it."""

    def __init__(self, locks: contextlib.ExitStack, names: frozenset[str]) -> None:
        self.locks = locks
        self.names = names


_claims: ContextVar[_Claims | None] = ContextVar("claims", default=None)


@contextlib.contextmanager
def claims() -> Iterator[None]:
    """Own all files that :func:`claim` and :func:`check_file` name in this context, until it
    ends."""
    # Know the files of an outer context, so that they are not locked a second time.
    outer = _claims.get()
    with contextlib.ExitStack() as locks:
        token = _claims.set(_Claims(locks, outer.names if outer else frozenset()))
        try:
            yield
        finally:
            _claims.reset(token)


def claim(path: Path) -> None:
    """Own the file at `path` until the :func:`claims` end. Where there are none, only make sure
    that nobody else is writing it."""
    held = _claims.get()
    if held is None:
        with owned(path):
            return
    if _name(path) not in held.names:
        held.locks.enter_context(owned(path))
        held.names |= {_name(path)}


@contextlib.contextmanager
def owned(path: Path) -> Iterator[None]:
    """Own the file at `path` in this context, unless it is claimed already."""
    held = _claims.get()
    if is_stream(path) or (held is not None and _name(path) in held.names):
        yield
        return
    with lock.file_held(path):
        remove_unfinished(path)
        yield


def _name(path: Path) -> str:
    """Return one name for a file, however it is named; for a link, the link's."""
    return os.path.join(os.path.realpath(path.parent), path.name)


def check_file(path: Path, overwrite: bool) -> None:
    """Make sure that a file may be written to `path`, before time goes into it. Within
    :func:`claims`, nobody else may write it until these end.

    Raise OutputError where something must not be replaced, nothing can be written into the folder,
    or another process is writing the file.
    """
    if not path.parent.is_dir():
        raise OutputError(f"cannot write {path}", f"there is no folder {path.parent}")
    if is_stream(path):
        return
    if not os.access(path.parent, os.W_OK):
        raise OutputError(
            f"cannot write {path}",
            f"the folder {path.parent.absolute()} is read-only",
            "choose another folder",
        )
    if path.exists() and not path.is_file():
        raise OutputError(f"cannot write {path}", "it is not a plain file")
    # First the claim: that another process writes the file says more than that it exists.
    claim(path)
    if path.exists() and not overwrite:
        raise OutputError(
            f"{path} already exists", hint="choose another name, or replace it with --overwrite"
        )


def check_apart(outputs: Iterable[Path], sources: Iterable[str]) -> None:
    """Make sure that no two outputs are the same file, and none of them an input. A UsageError
    names one that is."""
    taken = {os.path.realpath(source) for source in sources}
    for path in outputs:
        place = os.path.realpath(path)
        if place in taken and not is_stream(path):
            raise UsageError(
                f"{path} is also an input, or is written twice", hint="choose another name"
            )
        taken.add(place)


def save_file(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """Write `pieces` to a file, compressed as its suffix says, whole or not at all; to a pipe, a
    device or standard output (`-`) as they come.

    Raise OutputError where it cannot be written; what was there stays. Raise BrokenPipeError where
    nobody reads standard output any more.
    """
    if path == STANDARD_OUTPUT:
        _write_to_standard_output(pieces)
        return
    with writing(path):
        # A pipe or device cannot be replaced, and its reader need not wait for the end.
        if is_stream(path):
            with open(path, "wb") as stream:
                stream.writelines(pieces)
            return
        with owned(path):
            replace_file(path, compressed(pieces, path.suffix))


def _write_to_standard_output(pieces: Iterable[bytes | memoryview]) -> None:
    # A notebook's output has no buffer.
    if not hasattr(sys.stdout, "buffer"):
        raise OutputError(
            "cannot write to standard output", "it does not accept bytes here", "name a file"
        )
    # Text that was printed before comes first.
    sys.stdout.flush()
    sys.stdout.buffer.writelines(pieces)
    sys.stdout.buffer.flush()


def is_stream(path: Path) -> bool:
    """Return whether what is at `path` takes bytes without keeping them: standard output, a pipe, a
    terminal, a device."""
    if path == STANDARD_OUTPUT:
        return True
    mode = path.stat().st_mode if path.exists() else 0
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)
