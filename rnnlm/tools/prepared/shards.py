"""Make the shards of a prepared text: cut its sources into pieces, encode these, and write their
lines into the folder.

A piece is encoded in a worker or here; its lines are then collected, in order, into shards. A shard
holds the first whole lines that reach :data:`SHARD_BYTES` of text. To resume work, the text of
existing shards is read again without encoding it; its hash at the end of each shard must be the
recorded one, or the text has changed.
"""

import contextlib
import functools
import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rnnlm.errors import ModelError, OutputError
from rnnlm.interface import Tokenizer
from rnnlm.storage.files import tensors
from rnnlm.storage.files.folder import foreign_names, remove_files
from rnnlm.storage.files.reading import STANDARD_INPUT, is_pipe
from rnnlm.storage.files.resuming import WAYS_OUT, ExistingWork
from rnnlm.storage.files.writing import FileEntry, digest, replace_file, sha256, writing
from rnnlm.text.encoding import LinesHash, encode_block
from rnnlm.text.lines import (
    Block,
    Lines,
    TextSettings,
    as_bytes,
    line_count,
    lines_of,
    read_block,
    read_whole_lines,
    unwrapped,
)
from rnnlm.text.samples import size_of
from rnnlm.text.sources import SourceSettings
from rnnlm.tools.prepared.folder import INDEX, JOURNAL, PREPARED
from rnnlm.tools.prepared.index import (
    EncodedLines,
    PreparedIndex,
    Shard,
    TextCounts,
    TokenizerSample,
    files_of,
    index_name,
    is_ours,
    joined,
    read_index,
    shard_name,
    write_index,
)
from rnnlm.tools.prepared.prepared_text import load_tokenizer, tokenizer_files

# ---- Pieces of whole lines with their origin, cut from the sources, and how far reading is.

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


# ---- Pieces are encoded, and their lines collected into shards.

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


# ---- The folder: check the files in it before, write the tokenizer, shards one by one, and the
# index at the end. Each file is written under a new name, fsynced, renamed; then the journal that
# names it is replaced. So a reader, and a run that resumes after a kill, see only whole files.


def foreign(folder: Path, names: list[str]) -> list[str]:
    """Return the names in a folder that are not ours. Other files are left alone beside a prepared
    text, whole or in part."""
    with contextlib.suppress(ModelError):
        read_index(folder, index_name(folder))
        return []
    return foreign_names(names, INDEX, is_ours)


def remove(folder: Path) -> None:
    """Delete the files that we wrote there, first the one that names the rest: a journal beside an
    index counts for nothing."""
    unname(folder)
    remove_files(folder, is_ours)


def unname(folder: Path) -> None:
    """Delete the files that mark the folder as a prepared text, or a part of one."""
    for name in (JOURNAL, INDEX):
        (folder / name).unlink(missing_ok=True)


def remove_shards(folder: Path, names: Iterable[str]) -> None:
    """Delete shards. The rest is no prepared text any more."""
    unname(folder)
    remove_files(folder, set(names).__contains__)


def remove_all(folder: Path) -> None:
    """Delete the files that we wrote there, and the folder unless other files are in it."""
    remove(folder)
    with contextlib.suppress(OSError):
        folder.rmdir()


def found(folder: Path) -> ExistingWork | None:
    """Return the state of a prepared text, for the rule of resuming."""
    if not PREPARED.is_in(folder):
        return None
    try:
        index = read_index(folder, index_name(folder))
        if index.files:
            tokenizer_files(folder, index)
        if is_finished(folder):
            for shard in index.shards:
                files_of(folder).plain_file(shard.name, shard.file_bytes)
    except ModelError as error:
        return ExistingWork(fault=error.why)
    return ExistingWork(index.identity, is_finished(folder))


def begun(folder: Path, identity: dict[str, str], text: TextSettings) -> PreparedIndex | None:
    """Return the state that the work resumes from, without incomplete shards; None if it was killed
    before there was a tokenizer. identity, text: of the work now, which may differ in free
    facts."""
    index = replace(read_index(folder, JOURNAL), identity=identity, text_settings=asdict(text))
    if not index.files:
        return None
    # A kill may have left the last shards in part; those before them count.
    whole = itertools.takewhile(
        lambda shard: sha256(folder / shard.name) == shard.sha256, index.shards
    )
    return index.with_shards(list(whole))


@dataclass(frozen=True)
class TokenizerFiles:
    """Settings and files that a tokenizer is loaded from. notices: warnings while it was made.
    sample_bytes: how much text it was made from."""

    settings: dict[str, Any]
    files: dict[str, bytes]
    fingerprint: str
    size: int
    notices: tuple[str, ...] = ()
    sample_bytes: int = 0

    @classmethod
    def of(
        cls, tokenizer: Tokenizer, notices: Iterable[str] = (), sample_bytes: int = 0
    ) -> "TokenizerFiles":
        return cls(
            tokenizer.to_settings(),
            tokenizer.to_files(),
            tokenizer.fingerprint,
            tokenizer.size,
            tuple(notices),
            sample_bytes,
        )


def begin(
    folder: Path,
    identity: dict[str, str],
    names: list[str],
    text: TextSettings,
    tokenizer: TokenizerFiles,
    sample: TokenizerSample,
) -> PreparedIndex:
    """Write the tokenizer, and a journal without shards, in place of our earlier files there.
    Return the index."""
    files = tokenizer.files.items()
    index = PreparedIndex(
        identity=identity,
        text=names,
        text_settings=asdict(text),
        tokenizer=tokenizer.settings,
        tokenizer_fingerprint=tokenizer.fingerprint,
        vocabulary_size=tokenizer.size,
        files={role: FileEntry(role, len(data), digest([data])) for role, data in files},
        sample=sample,
    )
    with writing(folder):
        # The journal first: if nothing can be written, the old files stay. It names no files before
        # they are there.
        write_index(folder, replace(index, files={}), JOURNAL)
        remove(folder)
        for role, data in files:
            replace_file(folder / role, data)
        write_index(folder, index, JOURNAL)
    return index


def add_shard(folder: Path, index: PreparedIndex, shard: FullShard) -> PreparedIndex:
    """Write a shard, then the journal that names it. Return the index with it."""
    counts = TextCounts(
        lines=len(shard.lines),
        documents=len(shard.lines.document_lines),
        oov_tokens=len(shard.lines.oov),
        **shard.lines.totals(),
    )
    name = shard_name(len(index.shards))
    pieces = list(tensors.chunks(shard.lines.to_arrays()))
    with writing(folder):
        size = sum(map(len, pieces))
        entry = Shard(name, size, digest(pieces), shard.lines_hash, counts)
        replace_file(folder / name, pieces)
        index = index.with_shards([*index.shards, entry])
        write_index(folder, index, JOURNAL)
    return index


def finish(folder: Path, index: PreparedIndex) -> None:
    """Put the index in place once all is written."""
    with writing(folder):
        write_index(folder, index)
    remove_unnamed(folder, index)


def remove_unnamed(folder: Path, index: PreparedIndex) -> None:
    """Delete files of ours that the index does not name, such as leftovers of a killed writer."""
    named = {INDEX, *index.files, *(shard.name for shard in index.shards)}
    remove_files(folder, lambda name: is_ours(name) and name not in named)


def is_finished(folder: Path) -> bool:
    """Return whether all of the text is there."""
    return index_name(folder) == INDEX
