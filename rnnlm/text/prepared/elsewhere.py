"""Pieces of text encoded by workers elsewhere, which see the folder of the prepared text.

A piece travels in a file of that folder, and so do its ids; a task is told names and numbers. The
file of a piece is there for as long as somebody waits for it: a worker that finds it gone is late,
and leaves nothing.
"""

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from rnnlm.files import tensors
from rnnlm.files.writing import unfinished_path, writing
from rnnlm.text.prepared.encoder import EncodedPiece, Encoder
from rnnlm.text.prepared.index import shard_name
from rnnlm.text.prepared.pieces import Piece
from rnnlm.work.tasks import Cancelled, Team

NO_SHARD = 10**9  # a number that no shard has
LINES = ("data", "bytes_L", "document_lines")  # arrays that each encoded piece has


@dataclass(frozen=True)
class EncodePiece:
    """The task to encode a piece. text: the name of its file, in which records are JSON."""

    encoder: Encoder
    text: str
    source: str
    first_line: int
    is_first: bool
    has_records: bool
    with_ids: bool

    def run(self) -> "Encoded":
        """Encode the piece, and write what is found to a file."""
        folder = self.encoder.folder
        try:
            data = (folder / self.text).read_bytes()
        except FileNotFoundError:
            raise Cancelled(f"nobody waits for {self.text} any more") from None
        whole = msgspec.json.decode(data, type=list[str]) if self.has_records else data
        piece = Piece(self.source, self.first_line, self.is_first, whole)
        encoded = self.encoder.encode(piece, self.with_ids)

        # The result goes through a file of a new name, unless nobody waits for it any more.
        arrays = {
            "data": np.frombuffer(encoded.data, np.uint8),
            "bytes_L": encoded.bytes_L,
            "document_lines": encoded.document_lines,
            **(encoded.arrays or {}),
        }
        new = _new_path(folder)
        try:
            with open(new, "xb") as stream:
                stream.writelines(tensors.chunks(arrays))
            if not (folder / self.text).exists():
                raise Cancelled(f"nobody waits for {self.text} any more")
        except BaseException:
            with contextlib.suppress(OSError):
                new.unlink()
            raise
        return Encoded(new.name, encoded.ends_blank, encoded.arrays is not None)


@dataclass(frozen=True)
class Encoded:
    """The file with what a task has found. ends_blank: as of an :class:`EncodedPiece`."""

    file: str
    ends_blank: bool
    has_ids: bool

    def taken(self, folder: Path) -> EncodedPiece:
        """Read the file, and delete it."""
        arrays, _ = tensors.hashed(folder / self.file)
        os.unlink(folder / self.file)
        data, bytes_L, document_lines = (arrays.pop(name) for name in LINES)
        found = arrays if self.has_ids else None
        return EncodedPiece(data.tobytes(), bytes_L, document_lines, self.ends_blank, found)


def encode_all(
    encoder: Encoder, pieces: Iterable[Piece], with_ids: Callable[[], bool], team: Team
) -> Iterator[tuple[Piece, EncodedPiece] | None]:
    """Yield each piece with its encoding, in order; None while one is awaited. `with_ids` is asked
    when a piece is handed out."""
    folder = encoder.folder
    _remove_left(folder)
    _check_folder(folder, team)
    # Workers load the tokenizer themselves.
    encoder = replace(encoder, tokenizer=None)
    waiting: deque[tuple[Piece, EncodePiece]] = deque()

    def tasks() -> Iterator[EncodePiece]:
        for piece in pieces:
            new = _new_path(folder)
            whole = piece.whole
            has_records = not isinstance(whole, bytes)
            data = whole if isinstance(whole, bytes) else msgspec.json.encode(whole)
            with writing(folder):
                new.write_bytes(data)
            about = (piece.source, piece.first_line, piece.is_first, has_records)
            task = EncodePiece(encoder, new.name, *about, with_ids())
            waiting.append((piece, task))
            yield task

    try:
        for found in team.run(EncodePiece.run, tasks()):
            if found is None:
                yield None
                continue
            piece, task = waiting.popleft()
            encoded = found.taken(folder)
            (folder / task.text).unlink()
            yield piece, encoded
    finally:
        # Without the files of pieces, tasks that are at work come to nothing.
        if waiting:
            _remove_left(folder)
            team.settle()
        _remove_left(folder)


def _check_folder(folder: Path, team: Team) -> None:
    """Make sure that all workers see and write the folder."""
    probe = _new_path(folder)
    with writing(folder):
        probe.write_text(probe.name)
    try:
        team.check_folder(folder, probe.name)
    finally:
        probe.unlink()


def _new_path(folder: Path) -> Path:
    """Return a path for a file of a piece: of a shard that nobody finishes, as whatever deletes
    those is to delete it, too."""
    return unfinished_path(folder / shard_name(NO_SHARD))


def _remove_left(folder: Path) -> None:
    """Delete the files of pieces that nobody waits for any more."""
    for name in os.listdir(folder):
        if name.startswith(shard_name(NO_SHARD)):
            with contextlib.suppress(OSError):
                (folder / name).unlink()
