"""Files that are written whole or not at all: under a new name, fsynced, then put in place."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from rnnlm.errors import OutputError

UNFINISHED = ".new"  # what the name of a file ends in until it is whole


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turns the errors of writing into an OutputError that names the folder."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot write to {folder}", error.strerror or str(error), "make space or choose another folder with -o"
        ) from None


def replace_file(path: Path, data: bytes) -> None:
    """Write `data` under a new name, fsync, and put it in the place of `path`.

    Raises:
        OSError: it cannot be written; what was at `path` is there still.
    """
    new = path.with_name(path.name + UNFINISHED)
    try:
        _write_synced(new, data)
        os.replace(new, path)
    except BaseException:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
    _sync_folder(path.parent)


def _write_synced(path: Path, data: bytes) -> None:
    with open(path, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
