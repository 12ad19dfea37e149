"""Encode pieces of text into shards: each piece in a worker or here; its lines are then collected,
in order, into shards.

A shard holds the first whole lines that reach :data:`SHARD_BYTES` of text. To resume work, the text
of existing shards is read again without encoding it; its hash at the end of each shard must be the
recorded one, or the text has changed.
"""

import functools
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rnnlm.errors import ModelError, OutputError
from rnnlm.interface import Tokenizer
from rnnlm.storage.files.resuming import WAYS_OUT
from rnnlm.text.encoding import LinesHash, encode_block
from rnnlm.text.lines import Block, Lines, TextSettings, as_bytes, read_block
from rnnlm.text.prepared.index import JOURNAL, EncodedLines, Shard, joined, read_index
from rnnlm.text.prepared.pieces import RawPiece
from rnnlm.text.prepared.prepared_text import load_tokenizer

SHARD_BYTES = 32 << 20  # of text


@dataclass
class EncodedPiece:
    """The lines of a piece that are kept, encoded.

    data: the lines, each with a newline. bytes_L: the length of each. document_lines: lines that
    begin a document; the first line also does if the piece before ended in blank lines. ends_blank:
    this piece ends in blank lines. arrays: the rest of :class:`EncodedLines`, or None without ids.
    """

    data: bytes
    bytes_L: np.ndarray
    document_lines: np.ndarray
    ends_blank: bool
    arrays: dict[str, np.ndarray] | None = None

    def lines(self) -> EncodedLines:
        assert self.arrays is not None
        return EncodedLines(bytes_L=self.bytes_L, document_lines=self.document_lines, **self.arrays)


@dataclass(frozen=True)
class PieceEncoder:
    """Encodes pieces with the tokenizer in `folder`, which each worker reads once, or with one in
    the memory of this process."""

    settings: TextSettings
    folder: Path
    fingerprint: str  # of the tokenizer
    tokenizer: Tokenizer | None = None

    def encode(self, task: tuple[RawPiece, bool]) -> EncodedPiece:
        """Return the lines of a piece, encoded, with their ids or without."""
        piece, with_ids = task
        tokenizer = self.tokenizer if with_ids else None
        if with_ids and tokenizer is None:
            tokenizer = _tokenizer(self.folder, self.fingerprint)
        return encoded_piece(piece, self.settings, tokenizer)


@functools.lru_cache(1)
def _tokenizer(folder: Path, fingerprint: str) -> Tokenizer:
    tokenizer = load_tokenizer(folder, read_index(folder, JOURNAL))
    # Another machine may see a folder of the same name, or an old content.
    if tokenizer.fingerprint != fingerprint:
        raise ModelError(
            f"a worker finds another tokenizer in {folder}",
            f"{tokenizer.fingerprint} there, {fingerprint} here",
            "all workers must see the same folder",
        )
    return tokenizer


def encoded_piece(
    piece: RawPiece, settings: TextSettings, tokenizer: Tokenizer | None
) -> EncodedPiece:
    """Return `piece`, read as `settings` say and encoded; without a tokenizer, it has no ids."""
    block, ends_blank = block_of(piece, settings)
    data = as_bytes(block.lines)
    arrays = None
    if tokenizer:
        encoded = encode_block(block, data, tokenizer)
        arrays = {
            "ids_N": encoded.ids,
            "oov": encoded.oov,
            "tokens_L": np.diff(encoded.line_offsets),
            "words_L": encoded.words_L,
            "oov_words_L": encoded.oov_words_L,
            "characters_L": encoded.characters_L,
        }
    bytes_L = np.diff(Lines(data).ends, prepend=0).astype(np.int32)
    document_lines = np.array(block.document_starts, dtype=np.int32)
    return EncodedPiece(data, bytes_L, document_lines, ends_blank, arrays)


def block_of(piece: RawPiece, settings: TextSettings) -> tuple[Block, bool]:
    """Return the lines of `piece`, and whether it ends in blank ones that separate documents."""
    return read_block(piece.source, piece.first_line, piece.whole, settings, piece.is_first)


@dataclass(frozen=True)
class FullShard:
    """The lines of a shard, and the hash of all lines up to its end."""

    lines: EncodedLines
    lines_hash: str


class Collector:
    """Takes encoded pieces in order and makes shards of them. kept: the shards that exist already.
    shard_bytes: of text in a new one; None: SHARD_BYTES."""

    def __init__(
        self, kept: Sequence[Shard], has_documents: bool, shard_bytes: int | None = None
    ) -> None:
        self.kept = deque(kept)
        self.shard_bytes = shard_bytes or SHARD_BYTES
        self.has_documents = has_documents
        self.hash = LinesHash()
        self.parts: list[EncodedLines] = []
        self.bytes = 0  # of text in the shard that is being filled, or passed over
        self.text_bytes = 0  # of all text so far
        self.tokens = sum(shard.counts.tokens for shard in kept)
        self.shards = len(kept)
        self._ended_blank = False

    def wants_ids(self) -> bool:
        """Return whether the next pieces should have ids."""
        return not self.kept

    def passes_over(self, piece: EncodedPiece) -> bool:
        """Return whether all of `piece` is in shards that exist."""
        left = sum(shard.counts.bytes for shard in self.kept) - self.bytes
        return bool(self.kept) and left >= len(piece.data)

    def add(self, piece: EncodedPiece) -> Iterator[FullShard]:
        """Yield the shards that become full with the lines of `piece`, which has ids unless it is
        passed over."""
        # Blank lines at the end of the last piece make the first line here begin a document.
        if self._ended_blank and len(piece.bytes_L) and 0 not in piece.document_lines:
            piece.document_lines = np.append(np.zeros(1, dtype=np.int32), piece.document_lines)
        if len(piece.bytes_L) or piece.ends_blank:
            self._ended_blank = piece.ends_blank

        # The lines may belong to several shards.
        end_L = np.cumsum(piece.bytes_L, dtype=np.int64)
        line = 0
        while line < len(end_L):
            stop, is_full = self._end_of_shard(end_L, line)
            self._read(piece, end_L, line, stop)
            if not self.kept and stop > line:
                before_stop, _ = piece.lines().split_at(stop)
                _, part = before_stop.split_at(line)
                self.parts.append(part)
                self.tokens += len(part.ids_N)
            if is_full:
                yield from self._close_shard()
            line = stop

    def rest(self) -> Iterator[FullShard]:
        """Yield the last shard, if lines are left. Raise OutputError if the text ends before the
        part that was prepared so far."""
        if self.kept:
            raise _other_text()
        if self.parts:
            yield from self._close_shard()

    def _end_of_shard(self, end_L: np.ndarray, line: int) -> tuple[int, bool]:
        """Return the line up to which those from `line` on belong to one shard, and whether they
        fill it."""
        most = self.kept[0].counts.bytes if self.kept else self.shard_bytes
        before = int(end_L[line - 1]) if line else 0
        stop = int(np.searchsorted(end_L, before + most - self.bytes)) + 1
        return min(stop, len(end_L)), stop <= len(end_L)

    def _read(self, piece: EncodedPiece, end_L: np.ndarray, start: int, stop: int) -> None:
        """Add the lines to the hash, and an empty one before each document."""
        data = memoryview(piece.data)
        lines = piece.document_lines if self.has_documents else piece.document_lines[:0]
        borders = lines[(lines >= start) & (lines < stop)]
        at = int(end_L[start - 1]) if start else 0
        last = int(end_L[stop - 1])
        self.bytes += last - at
        self.text_bytes += last - at
        # Between two borders the lines are hashed at once.
        for border in borders:
            upto = int(end_L[border - 1]) if border else 0
            self.hash.update_data(data[at:upto])
            self.hash.update_data(b"\n")
            at = upto
        self.hash.update_data(data[at:last])

    def _close_shard(self) -> Iterator[FullShard]:
        """End the current shard. Yield it where it does not exist yet."""
        self.bytes = 0
        lines_hash = self.hash.hexdigest()
        # A shard that exists must hold the same lines.
        if self.kept:
            if self.kept.popleft().lines_hash != lines_hash:
                raise _other_text()
            return
        lines = joined(self.parts)
        if not self.has_documents:
            lines = replace(lines, document_lines=lines.document_lines[:0])
        self.parts = []
        self.shards += 1
        yield FullShard(lines, lines_hash)


def _other_text() -> OutputError:
    return OutputError("the text has changed since preparation began", "its lines differ", WAYS_OUT)
