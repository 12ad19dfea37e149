"""Write the files and folders that a person asks for: check them before time goes into them, write
them whole, under another name until they are complete, and keep the record of how they are made.

The record lies beside a file as .FILE.run (of a folder, beside its index). With it, the same
command resumes where it was interrupted, or finds its result finished. It is a journal: first the
identity of the work, then, of a file that grows row by row, how far it is, and in the end the hash
of the whole file. A file that grows is cut off after the last of these entries before work resumes,
so that it becomes the same, byte by byte, as without the interruption. A file that is written as a
whole takes its place only when its hash is in the record; so does each index of a folder. Without
its record it is unknown how a file was made.
"""

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from rnnlm.amounts import amount
from rnnlm.errors import OutputError, UsageError, keyword
from rnnlm.storage.files import lock
from rnnlm.storage.files.file_types import CHUNK_BYTES, SUFFIXES, compressed
from rnnlm.storage.files.folder import check_place
from rnnlm.storage.files.reading import decode_json, read_small
from rnnlm.storage.files.resuming import ExistingWork, Identity, NextStep, next_step, tell_finished
from rnnlm.storage.files.writing import (
    STANDARD_OUTPUT,
    check_name,
    hash_of_json,
    is_stream,
    noting,
    open_appending,
    put_in_place,
    remove_unfinished,
    replace_file,
    same_place,
    sha256,
    short_name,
    unfinished,
    waiting,
    whole_name,
    writing,
)


def check_file(path: Path, overwrite: bool) -> None:
    """Make sure that a file may be written to `path`, before time goes into it. Raise OutputError
    where something must not be replaced, or nothing can be written into the folder."""
    check_name(path)
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
) -> None:
    """Write `pieces` to a file, compressed as its suffix says, whole or not at all; to a pipe, a
    device or standard output (`-`) as they come. report: called with how many bytes were written.

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
        replace_file(path, _watched(compressed(pieces, path.suffix), report))


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

    def read(self, kind: type[T], length: int | None = None) -> list[T]:
        """Return the entries, all of type `kind`. length: read only so many bytes of the journal.

        A line that was changed, or is no such entry, is a ValueError that names it.
        """
        whole_lines = read_small(self.path, LARGEST)[:length].split(b"\n")[:-1]
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


# ---- The entries of a record, and the next step that they imply.


class WorkBegun(msgspec.Struct, tag="begun", tag_field="what", omit_defaults=True):
    """Work on the file has started. replaces: the hash of the file whose place a file takes that is
    written as a whole, or NO_FILE; None for a file that grows. The index of a folder may be
    replaced several times, each time with an entry of its own."""

    identity: dict[str, str]
    replaces: str | None = None


class RowsWritten(msgspec.Struct, tag="written", tag_field="what"):
    """A record of how much of the file is written. rows: number of its items, of any kind; bytes,
    sha256: its length and hash."""

    rows: Annotated[int, msgspec.Meta(ge=0)]
    bytes: Annotated[int, msgspec.Meta(ge=0)]
    sha256: str


class WorkFinished(msgspec.Struct, tag="finished", tag_field="what", omit_defaults=True):
    """The file or folder is whole. content: its content, for people. files: the names of the files
    in a folder. result: what the command returned beside it, in JSON."""

    content: str
    sha256: str | None
    files: list[str] = []
    result: Any = None


NO_FILE = "no file"
Record = list[WorkBegun | RowsWritten | WorkFinished]


def next_step_of_file(path: Path, wanted: Identity, overwrite: bool) -> NextStep:
    """Return the next step for the file at `path`, by the rule of :func:`next_step`. Say so if the
    file is finished; raise OutputError if no file can be written there."""
    return next_step_of_files({path: wanted}, overwrite)


def next_step_of_files(wanted: Mapping[Path, Identity], overwrite: bool) -> NextStep:
    """Return the next step for files that are made together, as :func:`next_step_of_file` does for
    one. They are finished if all of them are. wanted: the identity of each."""
    steps = set()
    finished = {}

    # The next step of each file; output that is a stream always starts over.
    for path, identity in wanted.items():
        check_file(path, overwrite=True)
        if is_stream(path):
            steps.add(NextStep.START)
            continue
        existing, finished[path] = _found(path)
        steps.add(next_step(path, existing, identity, overwrite))

    # Files that are made together are resumed or finished together.
    if len(steps) != 1:
        return NextStep.START
    if steps == {NextStep.FINISHED}:
        for path, entry in finished.items():
            tell_finished(path, entry.content if entry else "")
    return steps.pop()


def _found(path: Path) -> tuple[ExistingWork | None, WorkFinished | None]:
    """Return the identity of the file at `path`, and the last entry of its record, if it is
    finished."""
    is_there = os.path.lexists(path)
    try:
        record = _read(journal_beside(path))
    except FileNotFoundError:
        return (ExistingWork() if is_there else None), None
    except ValueError as error:
        return ExistingWork(fault=str(error)), None
    if not is_there:
        return None, None
    begun, last = record[0], record[-1]
    assert isinstance(begun, WorkBegun)
    identity = begun.identity

    # A file that was written as a whole: it is in place, or the one before still is.
    is_whole = isinstance(last, WorkFinished) or begun.replaces is not None
    content_hash = sha256(path) if is_whole else None
    if isinstance(last, WorkFinished) and content_hash == last.sha256:
        missing = [name for name in last.files if not (path.parent / name).is_file()]
        fault = f"{missing[0]} is missing" if missing else ""
        return ExistingWork(identity, is_finished=True, fault=fault), last
    if is_whole:
        fault = "its SHA-256 does not match the recorded one"
        replaced = {entry.replaces for entry in record if isinstance(entry, WorkBegun)} - {None}
        return ExistingWork(identity, fault="" if content_hash in replaced else fault), None

    # Of a growing file, an unchanged beginning must be left to resume from.
    fault = ""
    kept = _kept(path, record)
    if kept and _hash_of_start(path, kept[-1].bytes).hexdigest() != kept[-1].sha256:
        fault = "its existing rows have been changed"
    elif not kept and len(record) > 1:
        fault = "it is shorter than before"
    return ExistingWork(identity, fault=fault), None


def _kept(path: Path, record: Record) -> list[RowsWritten]:
    """Return the entries that are within the size of the file."""
    size = path.stat().st_size if path.exists() else 0
    written = [entry for entry in record if isinstance(entry, RowsWritten)]
    return [entry for entry in written if entry.bytes <= size]


def _hash_of_start(path: Path, length: int) -> "hashlib._Hash":
    hashed = hashlib.sha256()
    with open(path, "rb") as stream:
        while piece := stream.read(min(length, CHUNK_BYTES)):
            hashed.update(piece)
            length -= len(piece)
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


@contextlib.contextmanager
def whole_files(wanted: Mapping[Path, Identity], overwrite: bool) -> Iterator["WholeFiles"]:
    """Own files in this context that are made together, each written as a whole. Files written to
    their paths are put in place by :meth:`WholeFiles.finish`; without it, earlier files stay.

    wanted: the identity of each. Raise OutputError if another process owns one of them, or an
    earlier file must not be overwritten.
    """
    paths = [path for path in wanted if not is_stream(path)]
    with contextlib.ExitStack() as held:
        for path in wanted:
            held.enter_context(owned_file(path, overwrite=True))
        step = next_step_of_files(wanted, overwrite)
        for path in paths:
            remove_unfinished(journal_beside(path).path)
        if step is NextStep.FINISHED:
            yield WholeFiles(finished=_found(paths[0])[1])
            return

        # A run that is killed from here on is begun again by the same command; an error restores
        # the records of the earlier files.
        records = {}
        files = WholeFiles(held.enter_context(waiting(paths)))
        try:
            for path in paths:
                records[path] = _content(journal_beside(path).path)
                _begin(path, wanted[path])
            yield files
        finally:
            for path in records if not files.are_finished else ():
                _restore(journal_beside(path).path, records[path])


class WholeFiles:
    """Files that are made together in the context of :func:`whole_files`. are_finished: nothing is
    left to do. result: what was recorded with them when they were finished."""

    def __init__(
        self, complete: Callable[[], dict[Path, Path]] = dict, finished: WorkFinished | None = None
    ) -> None:
        self.are_finished = finished is not None
        self.result: Any = finished.result if finished else None
        self._complete = complete

    def finish(self, content: str, result: Any = None, names: Iterable[str] = ()) -> None:
        """Record the written files, then put them in place. content: their content, for people,
        such as "1,000 sentences". result: what else the same command returns when it finds them
        finished, in JSON. names: of the files in a folder."""
        complete = self._complete()
        try:
            for path, new in complete.items():
                with writing(path):
                    entry = WorkFinished(content, sha256(new), [*names], result)
                    journal_beside(path).append(entry)
            self.are_finished = True
            while complete:
                path, new = complete.popitem()
                with writing(path):
                    put_in_place(new, path)
        finally:
            for new in complete.values():
                with contextlib.suppress(OSError):
                    new.unlink()


class WholeFolder(WholeFiles):
    """The files of a folder in the context of :func:`whole_folder`."""

    def __init__(self, index: Path) -> None:
        super().__init__()
        self._index = index

    def finish(self, content: str, result: Any = None, names: Iterable[str] = ()) -> None:
        entry = WorkFinished(content, sha256(self._index), [*names], result)
        with writing(self._index.parent):
            journal_beside(self._index).append(entry)
        self.are_finished = True


@contextlib.contextmanager
def whole_folder(index: Path, identity: Identity, overwrite: bool) -> Iterator[WholeFiles]:
    """Record work on a folder of files in this context, beside its `index`, the file without which
    it cannot be read. The caller owns the folder, and writes all of it before it calls
    :meth:`WholeFiles.finish`.

    Raise OutputError if earlier files must not be overwritten.
    """
    journal = journal_beside(index)
    remove_unfinished(journal.path)
    existing, finished = _found(index)
    step = next_step(index.parent, existing, identity, overwrite)
    if step is NextStep.FINISHED and finished is not None:
        tell_finished(index.parent, finished.content)
        yield WholeFiles(finished=finished)
        return

    # Whatever index a kill leaves, the same command finds its hash, and begins again. An error that
    # comes before the first one leaves the record as it was.
    def note(new: Path) -> None:
        journal.append(WorkBegun({**identity}, sha256(new)))

    record, hash_before = _content(journal.path), sha256(index)
    _begin(index, identity)
    files = WholeFolder(index)
    try:
        with noting(index, note):
            yield files
    finally:
        if not files.are_finished and sha256(index) == hash_before:
            _restore(journal.path, record)


@contextlib.contextmanager
def exported_folder(
    folder: Path, noun: str, index: str, identity: Identity, overwrite: bool, mark: str = ""
) -> Iterator[WholeFiles]:
    """Own a folder of files for another program in this context, make sure that it may be written,
    before time goes into it, and record the work.

    noun: its content, such as "ONNX model". mark: the file that only folders of ours have; the
    index by default.
    """

    def foreign(names: list[str]) -> list[str]:
        return [] if (mark or index) in map(whole_name, names) else names

    check_place(folder, noun, foreign)
    with lock.held(folder, "exporting"):
        check_place(folder, noun, foreign)
        with whole_folder(folder / index, identity, overwrite) as files:
            yield files


def _begin(path: Path, identity: Identity) -> None:
    """Record that a file is about to be written as a whole."""
    replaced = sha256(path) if path.exists() else NO_FILE
    with writing(path):
        journal_beside(path).write([WorkBegun({**identity}, replaced)])


def _content(record: Path) -> bytes | None:
    try:
        return read_small(record, LARGEST)
    except FileNotFoundError:
        return None


def _restore(record: Path, content: bytes | None) -> None:
    with contextlib.suppress(OSError):
        if content is None:
            record.unlink()
        else:
            replace_file(record, content)


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
        remove_unfinished(path)
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
        """Take note that the file is whole. content: its content, for people."""
        with writing(self.path):
            self._journal.append(WorkFinished(content, self._hash.hexdigest()))
