"""Cut the sources of a text into pieces of whole lines with their origin, and say how far reading
is."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rnnlm.storage.files.reading import STANDARD_INPUT, is_pipe
from rnnlm.text.lines import TextSettings, line_count, lines_of, read_whole_lines, unwrapped
from rnnlm.text.sources import SourceSettings

PIECE_BYTES = 1 << 21


@dataclass(frozen=True)
class RawPiece:
    """Consecutive lines of a source, not yet decoded: bytes, or records of a table. source: its
    name, as :func:`shown`. is_first: they are the first lines of the source."""

    source: str
    first_line: int
    is_first: bool
    whole: bytes | list[str]

    def __len__(self) -> int:
        whole = self.whole
        return len(whole) if isinstance(whole, bytes) else sum(map(len, whole))


class Position:
    """The progress of reading, in bytes on disk. total: None where it is not known."""

    def __init__(self, names: Sequence[str]) -> None:
        self.sizes = list(map(size_of, names))
        known = [size for size in self.sizes if size is not None]
        self.total = sum(known) if len(known) == len(self.sizes) else None
        self.read = 0

    def add(self, count: int) -> None:
        self.read += count

    @property
    def share(self) -> float | None:
        return min(1.0, self.read / self.total) if self.total else None


def shown(name: str) -> str:
    """Return `name` as valid UTF-8, which a file's name need not be."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def is_read_once(name: str) -> bool:
    """Return whether a source is gone once it is read: standard input, a pipe."""
    return name == STANDARD_INPUT or is_pipe(name)


def size_of(name: str) -> int | None:
    """Return the bytes of a file; None where a source is no file, or a pipe."""
    return os.path.getsize(name) if os.path.isfile(name) else None


def pieces(
    names: Sequence[str],
    settings: SourceSettings,
    text: TextSettings,
    position: Position,
    piece_bytes: int | None = None,
) -> Iterator[RawPiece]:
    """Yield all pieces of these sources, in order, each of about `piece_bytes` (None: PIECE_BYTES).
    Raise TextError where one cannot be read."""
    for name, size in zip(names, position.sizes, strict=True):
        before = position.read
        next_line = 1
        # A text that is prepared may be too large to be kept.
        for whole in read_whole_lines(name, text, settings, position.add, is_kept=False):
            for part in _in_pieces(whole, piece_bytes or PIECE_BYTES):
                yield RawPiece(shown(name), next_line, next_line == 1, part)
                next_line += line_count(part)
        # Parquet's shares are rounded, and its first rows are read twice.
        position.read = before + (size or 0)


def unwrapped_piece(piece: RawPiece) -> RawPiece:
    """Return the sentences of hard-wrapped lines."""
    lines = lines_of(piece.whole, piece.source, piece.first_line, "replace")
    return replace(piece, whole=[*unwrapped(lines, piece.source)])


def _in_pieces(whole: bytes | list[str], piece_bytes: int) -> Iterator[bytes | list[str]]:
    """Yield the same in parts of about `piece_bytes`: they fit a processor's caches, and many
    workers' memory."""
    start = characters = 0

    # Whole records.
    if isinstance(whole, list):
        for number, record in enumerate(whole, start=1):
            characters += len(record)
            if characters >= piece_bytes or number == len(whole):
                yield whole[start:number]
                start, characters = number, 0
        return

    # Whole lines.
    while len(whole) - start > piece_bytes:
        end = whole.find(b"\n", start + piece_bytes) + 1
        if not end:
            break
        yield whole[start:end]
        start = end
    if start < len(whole):
        yield whole[start:]
