"""The finished pieces of a long count in a folder: each is a file of arrays, which a journal names
with its length and hash.

A piece is written under a new name, in this process or by a worker; then the process that
owns the folder renames it and names it in the journal. So a worker that is late, or
does its work twice, changes nothing. After a kill, the pieces that the journal names count. One
that is missing or damaged is an error.
"""

import hashlib
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from rnnlm import system
from rnnlm.amounts import amount
from rnnlm.errors import ModelError, OutputError
from rnnlm.lm.ngram.counting.count_trie import Level
from rnnlm.lm.ngram.counting.workspace import MOST_OPEN
from rnnlm.parallel import RunCancelled
from rnnlm.storage.files import tensors, writing
from rnnlm.storage.files.folder import FolderFiles, remove_files
from rnnlm.storage.files.outputs import Journal
from rnnlm.text.encoding import smallest

JOURNAL = "finished.jsonl"
OURS = re.compile(r"plan\.json|finished\.jsonl|run-[0-9]+\.safetensors|running-[0-9a-f]{16}")
RUNNING = "running-"  # the mark of a run that has workers begins so
SHARE_OPEN = 4  # pieces that stay mapped, each of which keeps a file open, are 1 of so many files
ITEM_BYTES = (4, 8)  # of a suffix or a count in memory
Facts = dict[str, int]


@dataclass(frozen=True)
class Piece:
    """A file of arrays; of 0 bytes: only the facts, without a file. facts: numbers that belong to
    it."""

    name: str
    bytes: int
    sha256: str
    facts: Facts = field(default_factory=dict)


class WrittenPiece(NamedTuple):
    """A piece that is written, and the file's name until it counts; "": facts alone."""

    piece: Piece
    file: str = ""


class Store:
    """The pieces in a folder, by name. needed: how many bytes the whole work is expected to take.
    mark: a file that exists as long as its workers should continue. most_open: how many stay
    mapped."""

    def __init__(self, folder: Path, mark: str = "") -> None:
        self.folder = folder
        self._journal = Journal(folder / JOURNAL)
        hint = "delete the folder and start again"
        self._files = FolderFiles(folder, f"the counts in {folder} are damaged", hint)
        self.needed = 0
        self.mark = mark
        self.pieces: dict[str, Piece] = {}
        self._open: dict[str, dict[str, np.ndarray]] = {}
        self.most_open = min(MOST_OPEN, system.most_open_files() // SHARE_OPEN)

    def resume(self) -> None:
        """Take up the pieces that are in the folder and whole. Files of killed writers are
        deleted."""
        self._read_journal()
        for piece in self.pieces.values():
            if piece.bytes:
                name = self._path(piece.name).name
                self._files.plain_file(name, piece.bytes, piece.sha256)
        with self._explaining():
            self._journal.write(self.pieces.values())
        self.remove_unfinished()

    def _read_journal(self) -> None:
        if not self._journal.path.is_file():
            return
        try:
            pieces = self._journal.read(Piece)
        except ValueError as error:
            raise self._files.error(str(error)) from None
        self.pieces.update({piece.name: piece for piece in pieces})

    def __contains__(self, name: str) -> bool:
        return name in self.pieces

    def facts(self, name: str) -> Facts:
        return self.pieces[name].facts

    def write(self, name: str, arrays: Mapping[str, np.ndarray]) -> WrittenPiece:
        """Write a piece under a new name. It counts once it was handed to :meth:`finish`."""
        # Stop if the run that this worker belongs to has ended, before and after the write.
        self.check_mark()
        size = 0
        hashed = hashlib.sha256()
        new = writing.unfinished_path(self._path(name))
        try:
            with self._explaining(), open(new, "xb") as stream:
                for data in tensors.chunks(arrays):
                    stream.write(data)
                    hashed.update(data)
                    size += len(data)
            self.check_mark()
        except BaseException:
            with suppress(OSError):
                new.unlink()
            raise
        return WrittenPiece(Piece(name, size, hashed.hexdigest()), new.name)

    def finish(self, *written: WrittenPiece) -> None:
        """Give pieces their names, and name them in the journal, in one write."""
        with self._explaining():
            for piece, file in written:
                if file:
                    writing.replace(self.folder / file, self._path(piece.name))
            # Pieces that a power cut takes away are counted again.
            self._journal.append(*(piece for piece, _ in written), is_lasting=False)
        self.pieces.update({piece.name: piece for piece, _ in written})

    def names(self, prefix: str) -> list[str]:
        """Return the names of the pieces that begin with `prefix`, in order."""
        return sorted(name for name in self.pieces if name.startswith(prefix))

    def column(self, names: Iterable[str], column: str, dtype: DTypeLike) -> tensors.ChunkedArray:
        """Return one array of several pieces, joined."""
        lengths, chunks = [], []
        for name in names:
            if column not in self.mapped(name):
                raise self.damaged(f"{self._path(name).name} holds no {column}")
            array = self.mapped(name)[column]
            if array.ndim != 1 or array.dtype.kind not in "iu":
                raise self.damaged(f"{self._path(name).name}: {column} are not whole numbers")
            # A search in a column looks at the first item of each chunk.
            if len(array):
                lengths.append(len(array))
                chunks.append(name)

        def chunk(number: int) -> np.ndarray:
            return self.mapped(chunks[number])[column]

        return tensors.ChunkedArray(np.cumsum([0, *lengths]), chunk, dtype)

    def mapped(self, name: str) -> dict[str, np.ndarray]:
        """Return the arrays of a piece, mapped into memory."""
        arrays = self._open.get(name)
        if arrays is not None:
            return arrays
        try:
            arrays = tensors.mapped(self._path(name))
        except ModelError as error:
            raise self._files.error(f"{self._path(name).name}: {error.why}") from None

        # The first one goes where too many are open; other threads may be about to do the same.
        if len(self._open) >= self.most_open:
            self._open.pop(next(iter(list(self._open))), None)
        self._open[name] = arrays
        return arrays

    def damaged(self, why: str) -> ModelError:
        """Return the error for a damage in the folder."""
        return self._files.error(why)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        """Turn an error of writing into one that names the folder and both ways out."""
        try:
            yield
        except OSError as error:
            missing = self.needed - sum(piece.bytes for piece in self.pieces.values())
            free = f"free {amount(missing, unit='bytes')}" if missing > 0 else "free some space"
            raise OutputError(
                f"cannot write to {self.folder}",
                error.strerror or str(error),
                f"{free} there and run the same command again, or delete the folder",
            ) from None

    def close(self) -> None:
        """Keep no piece mapped: Windows deletes no file that is."""
        self._open.clear()

    def delete(self) -> None:
        """Delete all pieces, finished or not, the plan and the journal."""
        self.close()
        self._delete(lambda name: bool(OURS.fullmatch(writing.whole_name(name))))

    def remove_unfinished(self) -> None:
        """Delete the files of writers that were killed, called off, or late; and their marks."""
        self._delete(
            lambda name: (
                bool(OURS.fullmatch(writing.whole_name(name)))
                and (writing.whole_name(name) != name or name.startswith(RUNNING))
            )
        )

    def _delete(self, is_meant: Callable[[str], bool]) -> None:
        remove_files(self.folder, lambda name: name != self.mark and is_meant(name))

    # ---- The mark of a run that has workers.

    def set_mark(self) -> None:
        """Write the mark of this run, which names itself."""
        self.mark = f"{RUNNING}{secrets.token_hex(8)}"
        with self._explaining():
            (self.folder / self.mark).write_text(self.mark)

    def remove_mark(self) -> None:
        """Delete the mark: anything that workers still write for this run is useless."""
        with suppress(OSError):
            (self.folder / self.mark).unlink()
        self.mark = ""

    def check_mark(self) -> None:
        """Raise RunCancelled if the run should not continue. Open the file, as a network file
        system may remember names that are gone."""
        if not self.mark:
            return
        try:
            with open(self.folder / self.mark):
                pass
        except OSError:
            raise RunCancelled(f"the run in {self.folder} has ended") from None


# ---- Tries of counts, as folders keep them: pieces of each order, PREFIXorder-N-NUMBER, and a note
# of their common facts, PREFIXorder-N.


def columns_of(level: Level, start: int, stop: int) -> dict[str, np.ndarray]:
    """Return the arrays of a piece that holds some n-grams of an order."""
    return {
        "keys": np.asarray(level.keys_M[start:stop]),
        "suffixes": np.asarray(level.suffixes_M[start:stop]),
        "counts": smallest(np.asarray(level.counts_M[start:stop])),
    }


def facts_of(level: Level) -> Facts:
    """Return the common facts of the pieces of an order."""
    return {
        "size": level.size,
        "after_start": level.after_start,
        "watched": level.watched,
        "suffix_bytes": np.dtype(level.suffixes_M.dtype).itemsize,
        "count_bytes": np.dtype(level.counts_M.dtype).itemsize,
    }


def read_level(store: Store, prefix: str, n: int) -> Level | None:
    """Return an order, mapped; None where it was not finished, or there is none."""
    if f"{prefix}order-{n}" not in store:
        return None
    facts = _facts_read(store, f"{prefix}order-{n}")
    names = store.names(f"{prefix}order-{n}-")
    return Level(
        facts["size"],
        store.column(names, "keys", np.uint64),
        store.column(names, "suffixes", f"i{facts['suffix_bytes']}"),
        store.column(names, "counts", f"i{facts['count_bytes']}"),
        facts["after_start"],
        facts["watched"],
    )


def read_levels(store: Store, prefix: str, order: int) -> Iterator[Level]:
    """Yield the orders from the unigrams to `order`, mapped; fewer where there are not so many."""
    for n in range(1, order + 1):
        level = read_level(store, prefix, n)
        if level is None:
            return
        yield level


def _facts_read(store: Store, name: str) -> Facts:
    """Return the common facts of the pieces of an order, if :func:`facts_of` can have written
    them."""
    facts = store.facts(name)
    missing = {"size", "after_start", "watched", "suffix_bytes", "count_bytes"} - facts.keys()
    if missing:
        raise store.damaged(f"{name} names no {min(missing)}")
    for name_of_size in ("suffix_bytes", "count_bytes"):
        if facts[name_of_size] not in ITEM_BYTES:
            raise store.damaged(f"{name}: {name_of_size} is {facts[name_of_size]}")
    return facts
