"""Files that are written whole or not at all: under a new name, fsynced, then put in place."""

import contextlib
import errno
import hashlib
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rnnlm.errors import OutputError, UsageError
from rnnlm.files.compression import compressed

STANDARD_OUTPUT = Path("-")
UNFINISHED = ".new"  # what the name of a file ends in until it is whole


@dataclass(frozen=True)
class FileEntry:
    """One file of a folder. role: what it is there, such as `weights`, or the tokenizer's name for
    it."""

    role: str
    bytes: int
    sha256: str


@contextlib.contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turns the errors of writing into an OutputError that names `place`: the file or folder that a
    person asked for."""
    try:
        yield
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        hint = "make space, or choose another folder" if is_full else "choose another folder"
        why = error.strerror or str(error)
        if isinstance(error, FileNotFoundError) and not place.parent.is_dir():
            why = f"there is no folder {place.parent}"
        raise OutputError(f"cannot write to {place}", why, hint) from None


def check_file(path: Path, overwrite: bool) -> None:
    """Make sure that a file may be written to `path`, before time goes into it.

    Raises:
        OutputError: something is there that is not to be replaced, there is no such folder, or
            nothing can be written into it.
    """
    if not path.parent.is_dir():
        raise OutputError(f"cannot write {path}", f"there is no folder {path.parent}")
    if _is_stream(path):
        return
    if not os.access(path.parent, os.W_OK):
        raise OutputError(
            f"cannot write {path}",
            f"the folder {path.parent.absolute()} is read-only",
            "choose another folder",
        )
    if path.exists() and not path.is_file():
        raise OutputError(f"cannot write {path}", "it is not a plain file")
    if path.exists() and not overwrite:
        raise OutputError(
            f"{path} already exists", hint="choose another name, or replace it with --overwrite"
        )


def check_apart(outputs: Iterable[Path], sources: Iterable[str]) -> None:
    """Make sure that no two outputs are one file, and none of them a file that is read; a
    UsageError names one that is."""
    taken = {os.path.realpath(source) for source in sources}
    for path in outputs:
        place = os.path.realpath(path)
        if place in taken and not _is_stream(path):
            raise UsageError(
                f"{path} is also an input, or is written twice", hint="choose another name"
            )
        taken.add(place)


def save_file(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """Write `pieces` to a file, compressed as its suffix says, whole or not at all; to a pipe, a
    device or standard output (`-`) as they come.

    Raises:
        OutputError: it cannot be written; what was there is there still. BrokenPipeError: nobody
            reads standard output any more.
    """
    if path == STANDARD_OUTPUT:
        _write_to_standard_output(pieces)
        return
    with writing(path):
        if _is_stream(path):
            with open(path, "wb") as stream:
                stream.writelines(pieces)
            return
        replace_file(path, compressed(pieces, path.suffix))


def _write_to_standard_output(pieces: Iterable[bytes | memoryview]) -> None:
    if not hasattr(sys.stdout, "buffer"):  # as in a notebook
        raise OutputError(
            "cannot write to standard output", "it takes no bytes here", "name a file"
        )
    sys.stdout.flush()
    sys.stdout.buffer.writelines(pieces)
    sys.stdout.buffer.flush()


def _is_stream(path: Path) -> bool:
    """Whether what is at `path` takes bytes without keeping them: standard output, a pipe, a
    terminal, a device."""
    if path == STANDARD_OUTPUT:
        return True
    mode = path.stat().st_mode if path.exists() else 0
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def replace_file(path: Path, data: bytes | Iterable[bytes | memoryview]) -> None:
    """Write `data`, whole or in pieces, under a new name, fsync, and put it in the place of `path`.

    Raises:
        OSError: it cannot be written; what was at `path` is there still.
    """
    with replacing(path) as stream:
        stream.writelines([data] if isinstance(data, bytes) else data)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A stream into a file of a new name, which is fsynced and takes the place of `path` at the
    end. An error leaves what was there."""
    new = path.with_name(path.name + UNFINISHED)
    try:
        with open(new, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(new, path)
    except BaseException:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def digest(pieces: Iterable[bytes | memoryview]) -> str:
    """The SHA-256 of `pieces`, hexadecimal."""
    found = hashlib.sha256()
    for piece in pieces:
        found.update(piece)
    return found.hexdigest()


def sha256(path: Path) -> str | None:
    """The SHA-256 of a file; None where it cannot be read, or no file can have such a name."""
    try:
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, ValueError):
        return None
