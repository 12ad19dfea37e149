"""Write a file that a command makes, and the record of how it was made, .FILE.run beside it.

With the record, the same command resumes where it was interrupted, or finds its result finished. It
is a journal: first the identity of the work, then, of a file that grows row by row, how far it is,
and in the end the hash of the whole file. A file that grows is cut off after the last of these
entries before work resumes, so that it becomes the same, byte by byte, as without the interruption.
Without its record it is unknown how a file was made.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from rnnlm.errors import UsageError
from rnnlm.storage.files.compression import CHUNK_BYTES, SUFFIXES
from rnnlm.storage.files.journal import Journal
from rnnlm.storage.files.outputs import check_file, is_stream
from rnnlm.storage.files.resuming import ExistingWork, Identity, NextStep, next_step, tell_finished
from rnnlm.storage.files.writing import open_appending, replace_file, sha256, short_name, writing


class WorkBegun(msgspec.Struct, tag="begun", tag_field="what"):
    """Work on the file has started."""

    identity: dict[str, str]


class RowsWritten(msgspec.Struct, tag="written", tag_field="what"):
    """A record of how much of the file is written. rows: how many of whatever it holds; bytes,
    sha256: its length and hash."""

    rows: Annotated[int, msgspec.Meta(ge=0)]
    bytes: Annotated[int, msgspec.Meta(ge=0)]
    sha256: str


class WorkFinished(msgspec.Struct, tag="finished", tag_field="what"):
    """The file is whole. content: what it holds, for people."""

    content: str
    sha256: str | None


Record = list[WorkBegun | RowsWritten | WorkFinished]


def next_step_of_file(path: Path, wanted: Identity, overwrite: bool) -> NextStep:
    """Return what to do about the file at `path`, by the rule of :func:`next_step`. Say it where
    the file is finished; raise OutputError where no file can be written there."""
    return next_step_of_files({path: wanted}, overwrite)


def next_step_of_files(wanted: Mapping[Path, Identity], overwrite: bool) -> NextStep:
    """Return what to do about files that are made together, as :func:`next_step_of_file` does about
    one. They are finished if all of them are. wanted: the identity of each."""
    steps = set()
    contents = {}
    for path, identity in wanted.items():
        check_file(path, overwrite=True)
        if is_stream(path):
            steps.add(NextStep.START)
            continue
        existing, contents[path] = _found(path)
        steps.add(next_step(path, existing, identity, overwrite))
    if len(steps) != 1:
        return NextStep.START
    if steps == {NextStep.FINISHED}:
        for path, content in contents.items():
            tell_finished(path, content)
    return steps.pop()


def _found(path: Path) -> tuple[ExistingWork | None, str]:
    """Return what is at `path`, and what it holds, if it is finished."""
    journal = journal_beside(path)
    is_there = os.path.lexists(path)
    try:
        record = _read(journal)
    except FileNotFoundError:
        return (ExistingWork() if is_there else None), ""
    except ValueError as error:
        return ExistingWork(fault=str(error)), ""
    assert isinstance(record[0], WorkBegun)
    identity = record[0].identity
    last = record[-1]
    if isinstance(last, WorkFinished):
        if not is_there:
            return None, ""
        fault = "" if sha256(path) == last.sha256 else "its SHA-256 does not match the recorded one"
        return ExistingWork(identity, is_finished=True, fault=fault), last.content

    # Of a growing file, an unchanged beginning must be left to resume from.
    fault = ""
    kept = _kept(path, record)
    if kept and _hash_of_start(path, kept[-1].bytes).hexdigest() != kept[-1].sha256:
        fault = "its existing rows have been changed"
    elif not kept and len(record) > 1:
        fault = "it is shorter than before"
    return ExistingWork(identity, fault=fault), ""


def _kept(path: Path, record: Record) -> list[RowsWritten]:
    """Return the entries that are within the size of the file."""
    size = path.stat().st_size if path.exists() else 0
    written = [entry for entry in record if isinstance(entry, RowsWritten)]
    return [entry for entry in written if entry.bytes <= size]


def _hash_of_start(path: Path, length: int) -> "hashlib._Hash":
    hashed = hashlib.sha256()
    with open(path, "rb") as stream:
        piece = stream.read(min(length, CHUNK_BYTES))
        while piece:
            hashed.update(piece)
            length -= len(piece)
            piece = stream.read(min(length, CHUNK_BYTES))
    return hashed


def _read(journal: Journal) -> Record:
    kind: Any = WorkBegun | RowsWritten | WorkFinished
    record: Record = journal.read(kind)
    if not record or not isinstance(record[0], WorkBegun):
        raise ValueError(f"{journal.path.name} does not record what was started")
    return record


def journal_beside(path: Path) -> Journal:
    """Return the record of the file at `path`."""
    return Journal(path.with_name(f".{short_name(path)}.run"))


def record_finished(path: Path, identity: Identity, content: str) -> None:
    """Write the record of a file that was written as a whole. content: what it holds, for people,
    such as "1,000 sentences"."""
    if not is_stream(path):
        with writing(path):
            entries = (WorkBegun({**identity}), WorkFinished(content, sha256(path)))
            journal_beside(path).write(entries)


class GrowingFile:
    """A file that grows row by row. done: how many rows it has held from the start; rows: how many
    it holds now."""

    def __init__(self, path: Path, identity: Identity, header: str, step: NextStep) -> None:
        """Start the file, or cut it off where work resumes, as :func:`next_step_of_file`
        decides."""
        if path.suffix.lower() in SUFFIXES:
            raise UsageError(
                f"{path} would be compressed",
                "a compressed file cannot grow row by row",
                "choose another name, and compress it later",
            )
        self.path = path
        self.done = 0
        self._journal = journal_beside(path)

        # Resume after the last entry that is within the file.
        kept = _kept(path, _read(self._journal)) if step is NextStep.RESUME else []
        self._hash = hashlib.sha256()
        with writing(path):
            # Record the work first: a run that is killed after this can be resumed.
            self._journal.write([WorkBegun({**identity}), *kept])
            if kept:
                self.done = kept[-1].rows
                self._hash = _hash_of_start(path, kept[-1].bytes)
                with open_appending(path) as stream:
                    stream.truncate(kept[-1].bytes)
            else:
                replace_file(path, b"")
        self.rows = self.done
        if not kept:
            self.append(0, header)

    def append(self, rows: int, text: str) -> None:
        """Write the `text` of the next rows."""
        self.rows += rows
        encoded = text.encode("utf-8")
        self._hash.update(encoded)
        with writing(self.path):
            with open_appending(self.path) as stream:
                stream.write(encoded)
                length = stream.tell()
            entry = RowsWritten(self.rows, length, self._hash.hexdigest())
            self._journal.append(entry, is_lasting=False)

    def finish(self, content: str) -> None:
        """Take note that the file is whole. content: what it holds, for people."""
        with writing(self.path):
            self._journal.append(WorkFinished(content, self._hash.hexdigest()))
