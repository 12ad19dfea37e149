"""Encoded pieces, in order, become shards: each of the first whole lines that hold :data:`SHARD_BYTES` of text.

What was done before the work was cut off is passed over: the text is read again, and its hash at the end of each shard is the one that was
kept, or it is another text.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rnnlm.errors import UsageError
from rnnlm.text.encoding import LinesHash
from rnnlm.text.prepared.encoder import EncodedPiece
from rnnlm.text.prepared.index import Shard
from rnnlm.text.prepared.request import SHARD_BYTES
from rnnlm.text.prepared.shard import EncodedLines, joined


@dataclass(frozen=True)
class FullShard:
    """The lines of a shard, and the hash of all lines up to its end."""

    lines: EncodedLines
    lines_hash: str


class Collector:
    """Takes encoded pieces in order. kept: the shards that are there already."""

    def __init__(self, kept: Sequence[Shard], has_documents: bool) -> None:
        self.kept = deque(kept)
        self.has_documents = has_documents
        self.hash = LinesHash()
        self.parts: list[EncodedLines] = []
        self.bytes = 0  # of text, of the shard that is being filled, or passed over
        self.text_bytes = 0  # of all
        self.tokens, self.shards = sum(shard.counts.tokens for shard in kept), len(kept)
        self._ended_blank = False

    def wants_ids(self) -> bool:
        """Whether pieces that come now should have ids."""
        return not self.kept

    def passes_over(self, piece: EncodedPiece) -> bool:
        """Whether all of `piece` is in shards that are there."""
        return sum(shard.counts.bytes for shard in self.kept) - self.bytes >= len(piece.data) and bool(self.kept)

    def add(self, piece: EncodedPiece) -> Iterator[FullShard]:
        """The shards that are full with the lines of `piece`, which has ids unless it is passed over.

        Raises:
            UsageError: it is not the text that was prepared so far.
        """
        if self._ended_blank and len(piece.bytes_L) and 0 not in piece.document_lines:
            piece.document_lines = np.append(np.zeros(1, dtype=np.int32), piece.document_lines)
        if len(piece.bytes_L) or piece.ends_blank:
            self._ended_blank = piece.ends_blank
        end_L = np.cumsum(piece.bytes_L, dtype=np.int64)
        line = 0
        while line < len(end_L):
            stop, is_full = self._end_of_shard(end_L, line)
            self._read(piece, end_L, line, stop)
            if not self.kept and stop > line:
                self.parts.append(piece.lines().cut(stop)[0].cut(line)[1])
                self.tokens += len(self.parts[-1].ids_N)
            if is_full:
                yield from self._closed()
            line = stop

    def rest(self) -> Iterator[FullShard]:
        """The last shard, where lines are left.

        Raises:
            UsageError: the text ends before what was prepared so far.
        """
        if self.kept:
            raise _other_text()
        if self.parts:
            yield from self._closed()

    def _end_of_shard(self, end_L: np.ndarray, line: int) -> tuple[int, bool]:
        """Up to which line the lines from `line` on are of one shard, and whether it is full with them."""
        most = self.kept[0].counts.bytes if self.kept else SHARD_BYTES
        before = int(end_L[line - 1]) if line else 0
        stop = int(np.searchsorted(end_L, before + most - self.bytes)) + 1
        return min(stop, len(end_L)), stop <= len(end_L)

    def _read(self, piece: EncodedPiece, end_L: np.ndarray, start: int, stop: int) -> None:
        """The lines, and an empty one before each document, go into the hash."""
        data = memoryview(piece.data)
        borders = piece.document_lines[(piece.document_lines >= start) & (piece.document_lines < stop)] if self.has_documents else []
        at = int(end_L[start - 1]) if start else 0
        last = int(end_L[stop - 1])
        self.bytes += last - at
        self.text_bytes += last - at
        for border in borders:
            upto = int(end_L[border - 1]) if border else 0
            self.hash.update_data(data[at:upto])
            self.hash.update_data(b"\n")
            at = upto
        self.hash.update_data(data[at:last])

    def _closed(self) -> Iterator[FullShard]:
        self.bytes = 0
        found = self.hash.hexdigest()
        if self.kept:
            if self.kept.popleft().lines_hash != found:
                raise _other_text()
            return
        lines = joined(self.parts)
        self.parts = []
        self.shards += 1
        yield FullShard(lines if self.has_documents else replace(lines, document_lines=lines.document_lines[:0]), found)


def _other_text() -> UsageError:
    return UsageError("the text is not the one that was prepared so far", "its lines differ", "begin anew with --overwrite")
