"""Encode a whole text as one array of token ids, and count words, unknown tokens, characters and
bytes of each line on the way."""

import bisect
import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rnnlm.interface import Encoded, Tokenizer
from rnnlm.parallel import in_threads
from rnnlm.storage.files import tensors
from rnnlm.system import processors
from rnnlm.text.lines import WORD_SPACE, Block, Lines, TextSettings, as_bytes, no_text, split_words
from rnnlm.text.marks import count_marks

# One thread reads, and cannot keep more than these busy. Each holds a block in memory.
MOST_THREADS = 4
_NEWLINE = ord("\n")
_ZERO = np.zeros(1, dtype=np.int64)
_IS_SPACE = np.isin(np.arange(256), list(f"{WORD_SPACE}\n".encode()))


class LinesHash:
    """SHA-256 over decoded lines, which does not depend on file, compression and line ends."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def update(self, lines: Iterable[str]) -> None:
        self.update_data(as_bytes(lines))

    def update_block(self, block: Block, data: bytes) -> None:
        """Add the lines of `block`, whose bytes are `data`. An empty line precedes each document,
        as the borders of documents shape the numbers too."""
        if not block.document_starts:
            self.update_data(data)
            return
        hashed = 0
        for start in block.document_starts:
            self.update([*block.lines[hashed:start], ""])
            hashed = start
        self.update(block.lines[hashed:])

    def update_data(self, data: bytes | memoryview) -> None:
        """Add lines that are bytes already, each with its newline."""
        self._hash.update(data)

    def hexdigest(self) -> str:
        """Return the first 12 hexadecimal digits."""
        return self._hash.hexdigest()[:12]


IntArray = Any  # one-dimensional integers: np.ndarray, or ChunkedArray, which has its methods


def kept(tokens: int) -> None:
    """Delete nothing."""


@dataclass(frozen=True)
class EncodedText:
    """A text, or consecutive lines of one, as ids, with counts of each of its L lines.

    If a text is too large for memory, its arrays of tokens and lines are ChunkedArrays.

    Attributes:
        ids: Token ids, (N,) uint16 or int32 (always int32 from a tokenizer that spells); each line
            ends in the boundary id.
        line_offsets: Where lines begin in `ids`, (L + 1,) int64.
        document_offsets: Where documents begin in `ids`, (documents + 1,) int64; None if the text
            is one stream.
        oov: Positions in `ids` of unknown tokens, ascending.
        words_L: Number of words of each line once it is normalised, split on white space.
        oov_words_L: Number of words of each line that hold an unknown token.
        characters_L: Number of characters of each line, plus one for its end.
        bytes_L: Number of bytes of each line, plus one for its end.
        lines_hash: Hash of the lines.
        blank_lines: How blank lines were read, as in TextSettings.
        unwrap: Whether hard-wrapped lines were joined, as in TextSettings.
        marks: How often each of :mod:`rnnlm.text.marks` occurs; empty for a prepared text, where
            this is not known.
        release: Callback that deletes temporary files of this run. Called with a number of tokens,
            it deletes the files of the first ones, which are no longer needed.
        files: Where the ids lie on disk, for other processes.
        unseen: Hashes of unknown words, as in :class:`rnnlm.interface.Encoded`; None for a prepared
            text, too.
    """

    ids: IntArray
    line_offsets: IntArray
    document_offsets: np.ndarray | None
    oov: IntArray
    words_L: IntArray
    oov_words_L: IntArray
    characters_L: IntArray
    bytes_L: IntArray
    lines_hash: str = ""
    blank_lines: str = "skip"
    unwrap: bool = False
    marks: Mapping[str, int] = field(default_factory=dict, repr=False)
    release: Callable[[int], None] = field(default=kept, repr=False, compare=False)
    files: "IdFiles | None" = field(default=None, repr=False, compare=False)
    unseen: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def oov_types(self) -> int | None:
        """The number of different unknown words; None if it is not known."""
        if not len(self.oov):
            return 0
        return None if self.unseen is None else len(self.unseen)

    @property
    def tokens(self) -> int:
        """The number of tokens, including each line's `</s>`."""
        return len(self.ids)

    @property
    def sentences(self) -> int:
        """The number of lines."""
        return len(self.line_offsets) - 1

    def of_lines(self, lines: np.ndarray) -> "tuple[np.ndarray, EncodedText]":
        """Return the places in `ids` of some lines of a text in memory, and these lines as a text.

        Args:
            lines: Numbers of the lines from 0, ascending.
        """
        # The tokens of each line are as far from their new places as its first one is.
        lengths = np.diff(self.line_offsets)[lines]
        ends = np.append(0, lengths.cumsum())
        places = np.arange(ends[-1]) + np.repeat(self.line_offsets[lines] - ends[:-1], lengths)

        # np.isin would read all unknown tokens of the text for each of many groups of lines.
        before, after = (np.searchsorted(self.oov, places, side) for side in ("left", "right"))
        return places, replace(
            self,
            ids=self.ids[places],
            line_offsets=ends,
            document_offsets=None,
            oov=np.flatnonzero(after > before),
            unseen=None,
            words_L=self.words_L[lines],
            oov_words_L=self.oov_words_L[lines],
            characters_L=self.characters_L[lines],
            bytes_L=self.bytes_L[lines],
        )

    @property
    def unknown_share(self) -> float:
        """The share of its tokens that are unknown."""
        return len(self.oov) / max(1, self.tokens)

    @property
    def words(self) -> int:
        """The number of words, split on white space."""
        return total(self.words_L)

    @property
    def oov_words(self) -> int:
        """The number of words that hold an unknown token."""
        return total(self.oov_words_L)

    @property
    def characters(self) -> int:
        """The number of characters, plus one for the end of each line."""
        return total(self.characters_L)

    @property
    def bytes(self) -> int:
        """The number of bytes in UTF-8, plus one for the end of each line."""
        return total(self.bytes_L)


@dataclass(frozen=True)
class IdFiles:
    """Files of a folder that hold the ids of a text one after the other, as tensors `ids`. starts:
    the position of the first of each, and at last of the end."""

    folder: Path
    names: tuple[str, ...]
    starts: tuple[int, ...]

    def bytes(self) -> int:
        """Return how much disk the files take."""
        return sum((self.folder / name).stat().st_size for name in self.names)

    def around(self, start: int, stop: int) -> "IdFiles":
        """Return the files that hold the ids from `start` to `stop`."""
        first = bisect.bisect_right(self.starts, start) - 1
        last = max(first + 1, bisect.bisect_left(self.starts, stop))
        return IdFiles(self.folder, self.names[first:last], self.starts[first : last + 1])

    def __getitem__(self, at: slice) -> np.ndarray:
        """Read the ids of a range of positions."""
        pieces = []
        for name, start in zip(self.names, self.starts, strict=False):
            ids = tensors.mapped(self.folder / name)["ids"]
            pieces.append(np.array(ids[max(0, at.start - start) : max(0, at.stop - start)]))
        return np.concatenate(pieces)


LINE_COUNTS = ("words_L", "oov_words_L", "characters_L", "bytes_L")


def total(counts: IntArray) -> int:
    """Return the sum of natural numbers."""
    return (
        counts.sum()
        if isinstance(counts, tensors.ChunkedArray)
        else int(counts.sum(dtype=np.int64))
    )


class ReadText(Protocol):
    """A text that is read block by block."""

    @property
    def sources(self) -> tuple[str, ...]:
        """The origin of the text: paths, globs, `-`, data sets; or the folder where it is
        prepared."""

    @property
    def settings(self) -> TextSettings:
        """How its lines are read."""

    def blocks(self) -> Iterator[Block]:
        """Yield the lines in order, in blocks of about a megabyte."""


def encode_parts(
    text: ReadText, parts: Iterable[tuple[Block, bool]], tokenizer: Tokenizer
) -> tuple[EncodedText, EncodedText | None]:
    """Encode and count `text` by its `parts`: blocks, and whether each is held out. Return the part
    for training, and the one that is held out (None: nothing is)."""

    def encode(part: tuple[Block, bool]) -> tuple[Block, bool, bytes, EncodedText]:
        block, is_held_out = part
        data = as_bytes(block.lines)
        return block, is_held_out, data, encode_block(block, data, tokenizer)

    # Unseen words of a tokenizer that spells are numbered in the order of reading.
    threads = 1 if tokenizer.spells else min(processors(), MOST_THREADS)
    encoded: tuple[list[EncodedText], list[EncodedText]] = [], []
    hashes = LinesHash(), LinesHash()
    for block, is_held_out, data, encoded_block in in_threads(encode, parts, threads):
        hashes[is_held_out].update_block(block, data)
        encoded[is_held_out].append(encoded_block)

    return joined_parts(text, encoded, hashes)


def joined_parts(
    text: ReadText,
    encoded: tuple[list[EncodedText], list[EncodedText]],
    hashes: tuple[LinesHash, LinesHash],
) -> tuple[EncodedText, EncodedText | None]:
    train_blocks, held_out_blocks = encoded
    if not train_blocks:
        raise no_text(text.sources)
    train = joined(train_blocks, hashes[0].hexdigest(), text.settings)
    if not held_out_blocks:
        return train, None
    return train, joined(held_out_blocks, hashes[1].hexdigest(), text.settings)


def joined(
    parts: Sequence[EncodedText], lines_hash: str, settings: TextSettings = TextSettings()
) -> EncodedText:
    """Join consecutive parts of a text. settings: how its lines were read."""
    # The last offset of each part is the first one of the next.
    starts = [0, *itertools.accumulate(part.tokens for part in parts)]
    lines = [part.line_offsets[:-1] for part in parts]
    document_offsets = None
    if settings.blank_lines == "documents":
        borders = (part.document_offsets for part in parts)
        documents = [offsets[:-1] for offsets in borders if offsets is not None]
        document_offsets = shifted([*documents, _ZERO], starts)

    # np.unique would import numpy.ma, which takes longer than the text of a line.
    unseen = [part.unseen for part in parts if part.unseen is not None]
    unseen_W = np.sort(np.concatenate([_ZERO[:0], *unseen]))
    is_first_W = np.diff(unseen_W, prepend=unseen_W[:1] - 1) != 0
    counts: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in LINE_COUNTS
    }
    return EncodedText(
        ids=np.concatenate([part.ids for part in parts]),
        line_offsets=shifted([*lines, _ZERO], starts),
        document_offsets=document_offsets,
        oov=shifted([part.oov for part in parts], starts),
        **counts,
        lines_hash=lines_hash,
        blank_lines=settings.blank_lines,
        unwrap=settings.unwrap,
        marks=total_marks(parts),
        unseen=unseen_W[is_first_W] if len(unseen) == len(parts) else None,
    )


def total_marks(parts: Iterable[EncodedText]) -> Counter[str]:
    """Return how often each mark occurs in all parts."""
    marks: Counter[str] = Counter()
    for part in parts:
        marks.update(part.marks)
    return marks


def shifted(parts: Sequence[np.ndarray], by: Sequence[int]) -> np.ndarray:
    """Join the offsets of all parts in one int64 array. Add by[i] to the offsets of part i. `by`
    may be longer than `parts`: it may end in the length of the whole."""
    joined_values = np.empty(sum(map(len, parts)), dtype=np.int64)
    end = 0
    for part, shift in zip(parts, by, strict=False):
        start, end = end, end + len(part)
        np.add(part, shift, out=joined_values[start:end])
    return joined_values


def encode_block(block: Block, data: bytes, tokenizer: Tokenizer) -> EncodedText:
    """Return the lines of `block`, whose bytes are `data`, as ids."""
    lines = tokenizer.normalise(block.lines)
    encoded = tokenizer.encode(lines)

    # Count the words. A word tokenizer has done so: each word of a line is one of its tokens.
    if tokenizer.name == "word" and tokenizer.keeps_text:
        words_L = np.diff(encoded.offsets) - 1
    else:
        words_L = words_between_newlines(as_bytes(lines) if tokenizer.rewriting else data)
    oov_words_L = _oov_words(lines, words_L, encoded, tokenizer)
    encoded = replace(encoded, ids=encoded.ids.astype(compact_type(tokenizer)))
    return counted_block(block, data, encoded, words_L, oov_words_L)


def counted_block(
    block: Block, data: bytes, encoded: Encoded, words_L: np.ndarray, oov_words_L: np.ndarray
) -> EncodedText:
    """Return the lines of `block`, whose bytes are `data`, with all that is counted about them."""
    documents = np.append(encoded.offsets[block.document_starts], len(encoded.ids))
    # Characters and bytes of the text itself, for any tokenizer.
    end_L = block.lines.ends if isinstance(block.lines, Lines) else Lines(data).ends
    bytes_L = np.diff(end_L, prepend=0)
    characters_L = bytes_L if data.isascii() else bytes_L - _continuing_bytes(data, end_L)
    return EncodedText(
        ids=encoded.ids,
        line_offsets=encoded.offsets,
        document_offsets=documents.astype(np.int64),
        oov=encoded.oov,
        unseen=encoded.unseen,
        words_L=smallest(words_L),
        oov_words_L=smallest(oov_words_L),
        characters_L=smallest(characters_L),
        bytes_L=smallest(bytes_L),
        marks=count_marks(block.lines),
    )


def compact_type(tokenizer: Tokenizer) -> type[np.integer]:
    """Return the type that the ids of a text are kept in."""
    return np.uint16 if tokenizer.size <= 1 << 16 and not tokenizer.spells else np.int32


def smallest(counts: np.ndarray) -> np.ndarray:
    """Return natural numbers in the smallest type that holds them."""
    return counts.astype(np.min_scalar_type(int(counts.max(initial=0))))


def words_between_newlines(data: bytes) -> np.ndarray:
    """Return how many words each line holds, (lines,) int64. data: the lines, each with its
    newline."""
    bytes_N = np.frombuffer(data, dtype=np.uint8)
    is_space_N = _IS_SPACE[bytes_N]
    word_ends = np.flatnonzero(is_space_N[1:] & ~is_space_N[:-1]) + 1
    words_before = np.searchsorted(word_ends, np.flatnonzero(bytes_N == _NEWLINE), side="right")
    return np.diff(words_before, prepend=0)


def _oov_words(
    lines: Sequence[str], words_L: np.ndarray, encoded: Encoded, tokenizer: Tokenizer
) -> np.ndarray:
    """Return how many words of each line hold an unknown token."""
    line_of_oov = np.searchsorted(encoded.offsets, encoded.oov, side="right") - 1
    # As many tokens as words and line ends: each word is one token.
    are_words_tokens = len(encoded.ids) == int(words_L.sum()) + len(lines)
    if are_words_tokens or not len(encoded.oov):
        return np.bincount(line_of_oov, minlength=len(lines))

    # Otherwise encode each word of the lines with unknown tokens as a separate line.
    touched = np.unique(line_of_oov)
    alone = tokenizer.encode(split_words("\n".join(lines[line] for line in touched)))
    unknown = np.unique(np.searchsorted(alone.offsets, alone.oov, side="right") - 1)
    line_of_word = touched.repeat(words_L[touched])
    return np.bincount(line_of_word[unknown], minlength=len(lines))


def _continuing_bytes(data: bytes, end_L: np.ndarray) -> np.ndarray:
    """Return how many bytes of each line are not the first of a character in UTF-8."""
    continuing = np.flatnonzero((np.frombuffer(data, dtype=np.uint8) & 0xC0) == 0x80)
    return np.bincount(np.searchsorted(end_L, continuing, side="right"), minlength=len(end_L))


def known_ids(ids: np.ndarray, tokenizer: Tokenizer) -> np.ndarray:
    """Return `ids` as a model without characters reads them, in memory: unseen words (ids from V
    on) are unk_id, regardless of their spelling.

    Such ids come from the spelling tokenizer of another part of a mixture. Where there are none,
    the result is `ids` itself.
    """
    ids = np.asarray(ids)
    if tokenizer.unk_id is None or ids.max(initial=0) < tokenizer.size:
        return ids
    return np.where(ids < tokenizer.size, ids, ids.dtype.type(tokenizer.unk_id))


@dataclass(frozen=True)
class TrainingData:
    """The data that a language model is fitted on. `valid` is None where nothing is held out."""

    tokenizer: Tokenizer
    train: EncodedText
    valid: EncodedText | None
