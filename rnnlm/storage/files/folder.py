"""Read, check and delete files in a folder whose index names them with their lengths and hashes: a
model, a prepared text, counts."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from rnnlm.errors import ModelError, OutputError
from rnnlm.storage.files.reading import read_small
from rnnlm.storage.files.writing import (
    BESIDE,
    STANDARD_OUTPUT,
    FileEntry,
    check_name,
    delete,
    digest,
    existing_part,
    sha256,
    writing,
)

OTHER_HASH = "has changed: its SHA-256 does not match the recorded one"
LARGEST = 4 << 30  # bytes of a file that is read as a whole, such as a vocabulary


def check_place(folder: Path, noun: str, foreign: Callable[[list[str]], Iterable[str]]) -> None:
    """Make sure that a folder can be written, before time goes into it.

    noun: its content, such as "model". foreign: returns the names there that are not ours, which
    keeps a folder with another purpose as it is; those that come and go beside ours do not count.
    """
    if folder == STANDARD_OUTPUT:
        raise OutputError(
            f"a {noun} cannot be written to standard output",
            "it is a folder of files",
            "name a folder",
        )
    check_name(folder)
    with writing(folder):
        if os.path.lexists(folder) and not folder.is_dir():
            raise OutputError(f"cannot write to {folder}", f"it is a file, not a {noun}")
        names = sorted(os.listdir(folder)) if folder.exists() else []
        others = [name for name in sorted(foreign(names)) if not BESIDE.fullmatch(name)]
        if others:
            raise OutputError(
                f"{folder} is not empty and holds no {noun}",
                f"it contains {others[0]}",
                "choose another folder",
            )

        # A file that leaves nothing behind shows whether we can write there.
        with tempfile.TemporaryFile(dir=existing_part(folder)):
            pass


def foreign_names(names: Iterable[str], index: str, is_ours: Callable[[str], bool]) -> list[str]:
    """Return the names that are not ours in a folder whose index cannot be read. The index may
    belong to another program, unless files of ours lie beside it."""
    ours = {name for name in names if is_ours(name)}
    if ours == {index}:
        ours.clear()
    return [name for name in names if name not in ours]


def remove_files(folder: Path, is_meant: Callable[[str], bool]) -> None:
    """Delete files in a folder, as far as possible. is_meant: whether one of that name goes."""
    with contextlib.suppress(OSError):
        for name in filter(is_meant, os.listdir(folder)):
            delete(folder / name)


@dataclass(frozen=True)
class FolderFiles:
    """The files of a folder, as they are checked. damaged: the message of a ModelError, such as
    "the model at m is damaged"; hint: the way out."""

    folder: Path
    damaged: str
    hint: str = ""

    def fault(self, name: str, size: int, recorded_hash: str | None = None) -> str:
        """Return the fault of a file, or "": it must be a plain one of that length, and, if a hash
        is recorded for it, have this hash."""
        path = self.folder / name
        # Unlike Path's methods, these raise nothing for a name that no file can have.
        if os.path.islink(path) or not os.path.isfile(path):
            return f"{name} is missing or is not a plain file"
        actual_size = os.path.getsize(path)
        if actual_size != size:
            return f"{name} has {actual_size:,} bytes instead of {size:,}"
        if recorded_hash is not None and sha256(path) != recorded_hash:
            return f"{name} {OTHER_HASH}"
        return ""

    def plain_file(self, name: str, size: int, recorded_hash: str | None = None) -> Path:
        """Return the path of a file that the index names, if :meth:`fault` finds none."""
        why = self.fault(name, size, recorded_hash)
        if why:
            raise self.error(why)
        return self.folder / name

    def read(self, name: str, entry: FileEntry) -> bytes:
        """Return the content of a file, whose hash is compared."""
        path = self.plain_file(name, entry.bytes)
        try:
            data = read_small(path, LARGEST)
        except OSError as error:
            raise ModelError(f"cannot read {path}", error.strerror or str(error)) from None
        self.check_hash(name, entry.sha256, digest([data]))
        return data

    def check_hash(self, name: str, recorded: str, computed: str) -> None:
        """Make sure that the bytes read of a file have the hash that is recorded."""
        if computed != recorded:
            raise self.error(f"{name} {OTHER_HASH}")

    def error(self, why: str) -> ModelError:
        """Return the error for a damage."""
        return ModelError(self.damaged, why, self.hint)
