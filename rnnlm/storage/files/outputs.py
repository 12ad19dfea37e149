"""Write the files and folders that a person asks for: check and lock them before time goes into
them, and write them whole, under another name until they are complete. The scores of long texts
grow row by row instead, and can be resumed.
"""

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec

from rnnlm.amounts import amount
from rnnlm.errors import OutputError, UsageError, keyword
from rnnlm.storage.files import lock
from rnnlm.storage.files.file_types import CHUNK_BYTES, compressed
from rnnlm.storage.files.folder import check_place
from rnnlm.storage.files.reading import decode_json, read_small
from rnnlm.storage.files.resuming import ExistingWork, Identity, NextStep, next_step
from rnnlm.storage.files.workbooks import is_workbook, writer_package
from rnnlm.storage.files.writing import (
    STANDARD_OUTPUT,
    check_name,
    hash_of_json,
    is_stream,
    missing_folder,
    open_appending,
    put_in_place,
    remove_unfinished,
    replace_file,
    same_place,
    sha256,
    short_name,
    unfinished,
    whole_name,
    writing,
)


def check_file(path: Path, overwrite: bool) -> None:
    """Make sure that a file may be written to `path`, before time goes into it. Raise OutputError
    where something must not be replaced, or nothing can be written into the folder."""
    check_name(path)
    if is_workbook(path):
        writer_package()  # which is there
    if not path.parent.is_dir():
        raise OutputError(f"cannot write {path}", missing_folder(path.parent))
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
    if path.exists() and not overwrite:
        raise OutputError(
            f"{path} already exists",
            hint="choose another name, or replace it with " + keyword("overwrite", True),
        )


@contextlib.contextmanager
def owned_file(path: Path, overwrite: bool) -> Iterator[None]:
    """Own a file in this context, and make sure that it may be written, before time goes into it.
    Leftovers of its killed writers are deleted."""
    check_file(path, overwrite)
    if is_stream(path):
        yield
        return
    with lock.file_held(path):
        remove_unfinished(path)
        check_file(path, overwrite)
        yield
        remove_record(path)


def check_apart(outputs: Iterable[Path], sources: Iterable[str]) -> None:
    """Make sure that no two outputs are the same file, and none of them an input. A UsageError
    names one that is."""
    taken = {same_place(source) for source in sources}
    for path in outputs:
        place = same_place(path)
        if place in taken and not is_stream(path):
            raise UsageError(
                f"{path} is also an input, or is written twice", hint="choose another name"
            )
        taken.add(place)


def save_file(
    path: Path,
    pieces: Iterable[bytes | memoryview],
    report: Callable[[str], None] = lambda message: None,
    as_is: bool = False,
) -> None:
    """Write `pieces` to a file, compressed as its suffix says, whole or not at all; to a pipe, a
    device or standard output (`-`) as they come. report: called with how many bytes were written.
    as_is: never compressed.

    Raise OutputError if it cannot be written; earlier content stays. Raise BrokenPipeError if
    standard output has no reader any more.
    """
    if path == STANDARD_OUTPUT:
        # A notebook's output has no buffer.
        if not hasattr(sys.stdout, "buffer"):
            raise OutputError(
                "cannot write to standard output", "it does not accept bytes here", "name a file"
            )
        # Text that was printed before comes first.
        sys.stdout.flush()
        sys.stdout.buffer.writelines(_watched(pieces, report))
        sys.stdout.buffer.flush()
        return
    with writing(path):
        # A pipe or device cannot be replaced, and its reader need not wait for the end.
        if is_stream(path):
            with open(path, "wb") as stream:
                stream.writelines(_watched(pieces, report))
            return
        replace_file(path, _watched(compressed(pieces, "" if as_is else path.suffix), report))


def _watched(
    pieces: Iterable[bytes | memoryview], report: Callable[[str], None]
) -> Iterator[bytes | memoryview]:
    written = 0
    for piece in pieces:
        yield piece
        written += len(piece)
        report(f"{amount(written, unit='bytes')} written")


def save_folder(folder: Path, files: Mapping[str, Iterable[bytes | memoryview]]) -> None:
    """Write files, by name, into an owned folder. They get their names once all of them are
    complete: an error of writing leaves the earlier files. The first one is the index, without
    which the folder cannot be read: it goes before the others are renamed, and comes last."""
    with writing(folder):
        new: dict[Path, Path] = {}
        try:
            for name, pieces in files.items():
                remove_unfinished(folder / name)
                with unfinished(folder / name) as stream:
                    stream.writelines(pieces)
                new[folder / name] = Path(stream.name)
            next(iter(new)).unlink(missing_ok=True)
            while new:
                path, complete = new.popitem()
                put_in_place(complete, path)
        except BaseException:
            with contextlib.suppress(OSError):
                for complete in new.values():
                    complete.unlink()
            raise


@contextlib.contextmanager
def exported_folder(
    folder: Path, noun: str, index: str, overwrite: bool, mark: str = ""
) -> Iterator[None]:
    """Own a folder of files for another program in this context, and make sure that it may be
    written, before time goes into it.

    noun: its content, such as "ONNX model". mark: the file that only folders of ours have; the
    index by default.
    """

    def foreign(names: list[str]) -> list[str]:
        return [] if (mark or index) in map(whole_name, names) else names

    check_place(folder, noun, foreign)
    with lock.held(folder, "exporting"):
        check_place(folder, noun, foreign)
        check_file(folder / index, overwrite)
        yield
        remove_record(folder / index)


# ---- A journal: a file of lines, each an entry in JSON behind the hash of that JSON. Entries are
# appended while work lasts; a kill leaves at most half a last line, which does not count. A line
# that was changed is noticed by its hash.

T = TypeVar("T")

LARGEST = 1 << 30


class Journal:
    """The journal at `path`. Resumed work begins with :meth:`write`, which removes half a last
    line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, kind: type[T]) -> list[T]:
        """Return the entries, all of type `kind`.

        A line that was changed, or is no such entry, is a ValueError that names it.
        """
        whole_lines = read_small(self.path, LARGEST).split(b"\n")[:-1]
        entries = []
        for number, line in enumerate(whole_lines, start=1):
            line_hash, _, encoded = line.partition(b" ")
            if line_hash.decode("ascii", "replace") != hash_of_json(encoded):
                raise ValueError(
                    f"line {number} of {self.path.name} was changed after it was written"
                )
            try:
                entries.append(decode_json(encoded, kind))
            except ValueError as error:
                raise ValueError(f"line {number} of {self.path.name}: {error}") from None
        return entries

    def append(self, *entries: object, is_lasting: bool = True) -> None:
        """Add entries in one write. is_lasting: wait until they would survive a power cut."""
        with open_appending(self.path) as stream:
            stream.write(b"".join(map(_line, entries)))
            if is_lasting:
                stream.flush()
                os.fsync(stream.fileno())

    def write(self, entries: Iterable[object]) -> None:
        """Replace the journal with one of these entries, at once, and delete what killed writers of
        it left."""
        remove_unfinished(self.path)
        replace_file(self.path, map(_line, entries))


def _line(entry: object) -> bytes:
    # A file's name may be no UTF-8, which JSON holds as an escape.
    encoded = json.dumps(msgspec.to_builtins(entry), allow_nan=False).encode("ascii")
    return b"%s %s\n" % (hash_of_json(encoded).encode("ascii"), encoded)


# ---- A file that grows row by row. Its record is the journal .FILE.run beside it: the identity of
# the work, how far the file is after each part, and in the end that it is whole. Before work
# resumes, the file is cut off after the last of these entries, so that it becomes the same, byte by
# byte, as without the interruption.


class Entry(msgspec.Struct, omit_defaults=True):
    """An entry of a record. rows, bytes, sha256: of all that is written."""

    what: Literal["begun", "written", "finished"]
    identity: dict[str, str] = {}
    rows: Annotated[int, msgspec.Meta(ge=0)] = 0
    bytes: Annotated[int, msgspec.Meta(ge=0)] = 0
    sha256: str = ""


def record_of(path: Path) -> Journal:
    """Return the record of the file at `path`."""
    return Journal(path.with_name(f".{short_name(path)}.run"))


def remove_record(path: Path) -> None:
    """Delete the record of an earlier file at `path`, now that another one is in its place."""
    with contextlib.suppress(OSError):
        record_of(path).path.unlink()


class GrowingFile:
    """A file that grows row by row, which the caller owns. done: how many rows it has held from the
    start. is_finished: whether these are all."""

    def __init__(self, path: Path, identity: Identity, header: str, overwrite: bool) -> None:
        """Start the file, or cut it off where work resumes, unless it is finished. Raise
        OutputError if something else is there that must not be overwritten."""
        self.path = path
        self._journal = record_of(path)
        self._hash = hashlib.sha256()
        check_file(path, overwrite=True)
        record, existing = self._found()
        step = next_step(path, existing, identity, overwrite)

        # Resume after the last entry that is within the file.
        kept = _within(path, record) if step is not NextStep.START else []
        self.done = kept[-1].rows if kept else 0
        self.is_finished = step is NextStep.FINISHED
        if self.is_finished:
            return
        remove_unfinished(path)
        with writing(path):
            # Record the work first: a run that is killed after this can be resumed.
            self._journal.write([Entry("begun", {**identity}), *kept])
            if kept:
                self._hash = _hash_of_start(path, kept[-1].bytes)
                with open_appending(path) as stream:
                    stream.truncate(kept[-1].bytes)
            else:
                replace_file(path, b"")
                self.append(header, 0)

    def _found(self) -> tuple[list[Entry], ExistingWork | None]:
        """Return the record of the file that is there, and its state."""
        if not os.path.lexists(self.path):
            return [], None
        record: list[Entry] = []
        try:
            with contextlib.suppress(FileNotFoundError):
                record = self._journal.read(Entry)
        except ValueError as error:
            return [], ExistingWork(fault=str(error))
        if not record:
            return [], ExistingWork()

        # An unchanged beginning must be left to resume from.
        last, kept = record[-1], _within(self.path, record)
        is_finished = last.what == "finished"
        fault = ""
        if is_finished:
            if sha256(self.path) != last.sha256:
                fault = "its SHA-256 does not match the recorded one"
        elif kept and _hash_of_start(self.path, kept[-1].bytes).hexdigest() != kept[-1].sha256:
            fault = "its existing rows have been changed"
        elif not kept and len(record) > 1:
            fault = "it is shorter than before"
        return record, ExistingWork(record[0].identity, is_finished, fault)

    def append(self, text: str, rows: int) -> None:
        """Write the `text` of the next rows. rows: how many the file then holds."""
        encoded = text.encode("utf-8")
        self._hash.update(encoded)
        with writing(self.path):
            with open_appending(self.path) as stream:
                stream.write(encoded)
                length = stream.tell()
            written = Entry("written", rows=rows, bytes=length, sha256=self._hash.hexdigest())
            self._journal.append(written, is_lasting=False)

    def finish(self) -> None:
        """Record that the file is whole."""
        with writing(self.path):
            self._journal.append(Entry("finished", sha256=self._hash.hexdigest()))


def _within(path: Path, record: list[Entry]) -> list[Entry]:
    """Return the entries of parts that are within the file."""
    size = path.stat().st_size if path.exists() else 0
    return [entry for entry in record if entry.what == "written" and entry.bytes <= size]


def _hash_of_start(path: Path, length: int) -> "hashlib._Hash":
    hashed = hashlib.sha256()
    with open(path, "rb") as stream:
        while piece := stream.read(min(length, CHUNK_BYTES)):
            hashed.update(piece)
            length -= len(piece)
    return hashed
