"""A whole text as one array of token ids, with all that is counted about it on the way."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from rnnlm.files.chunked_array import PartedArray
from rnnlm.interface import Encoded, Tokenizer
from rnnlm.system import in_threads, processors
from rnnlm.text.corpus import WORD_SPACE, Block, Text, TextSettings, no_text, split_words

MOST_THREADS = 4  # reading itself, by one thread, feeds no more; and each holds a block
_NEWLINE = ord("\n")
_IS_SPACE = np.isin(np.arange(256), list(f"{WORD_SPACE}\n".encode()))


class LinesHash:
    """SHA-256 over decoded lines, whatever file, compression or line end they came in."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def update(self, lines: Iterable[str]) -> None:
        self.update_data("".join(f"{line}\n" for line in lines).encode("utf-8"))

    def update_data(self, data: bytes) -> None:
        """The same, of lines that are bytes already, each with its newline."""
        self._hash.update(data)

    def hexdigest(self) -> str:
        """The first 12 hexadecimal digits."""
        return self._hash.hexdigest()[:12]


@dataclass(frozen=True)
class EncodedText:
    """ids: (N,) uint16 or int32 (always int32 of a tokenizer that spells), each line ends in the boundary id. Lines and
    documents as offsets into `ids`.

    line_offsets: (lines + 1,) int64. document_offsets: (documents + 1,) int64, or None where the text is one stream.
    oov: ascending positions of unknown tokens. words: the text's words, split on white space. characters and bytes
    count each line plus one for its end. What a text too large for memory has of each token or line is a PartedArray.
    """

    ids: np.ndarray | PartedArray
    line_offsets: np.ndarray | PartedArray
    document_offsets: np.ndarray | None
    oov: np.ndarray | PartedArray
    words: int
    oov_words: int
    characters: int
    bytes: int
    lines_hash: str

    @property
    def tokens(self) -> int:
        return len(self.ids)

    @property
    def sentences(self) -> int:
        return len(self.line_offsets) - 1


@runtime_checkable
class PreEncoded(Protocol):
    """A text whose ids are there already."""

    sources: tuple[str, ...]
    settings: TextSettings

    def encoded_by(self, tokenizer: Tokenizer) -> EncodedText:
        """The text, if it is that tokenizer which encoded it.

        Raises:
            UsageError: it is another one.
        """
        ...


def encode_text(corpus: Text | PreEncoded, tokenizer: Tokenizer) -> EncodedText:
    """Read, encode and count `corpus`.

    Raises:
        TextError: it cannot be read, or holds no line with words. UsageError: it is encoded already, by another tokenizer.
    """
    if isinstance(corpus, PreEncoded):
        return corpus.encoded_by(tokenizer)
    collector = _Collector(tokenizer, corpus.settings.blank_lines == "documents")
    threads = 1 if tokenizer.spells else min(processors(), MOST_THREADS)  # unseen words are numbered in the order of reading
    for block, encoded in in_threads(lambda block: (block, tokenizer.encode(block.lines)), corpus.blocks(), threads):
        collector.add(block, encoded)
    if not collector.parts:
        raise no_text(corpus)
    return collector.result()


def compact_type(tokenizer: Tokenizer) -> type[np.integer]:
    """The type that the ids of a text are kept in."""
    return np.uint16 if tokenizer.size <= 1 << 16 and not tokenizer.spells else np.int32


class _Collector:
    """Gathers encoded blocks and their counts."""

    def __init__(self, tokenizer: Tokenizer, has_documents: bool) -> None:
        self.tokenizer = tokenizer
        self.has_documents = has_documents
        self.compact = compact_type(tokenizer)
        self.hash = LinesHash()
        self.parts: list[np.ndarray] = []
        self.line_ends: list[np.ndarray] = []
        self.document_starts: list[np.ndarray] = []
        self.oov: list[np.ndarray] = []
        self.tokens = self.words = self.oov_words = self.characters = self.bytes = 0

    def add(self, block: Block, encoded: Encoded) -> None:
        text = "\n".join(block.lines) + "\n"
        data = text.encode("utf-8")
        self._hash(block, data)
        self.parts.append(encoded.ids.astype(self.compact))
        self.line_ends.append(encoded.offsets[1:] + self.tokens)
        self.document_starts.append(encoded.offsets[:-1][block.document_starts] + self.tokens)
        self.oov.append(encoded.oov + self.tokens)
        self.tokens += len(encoded.ids)
        words = _count_words(data)
        self.words += words
        self.oov_words += count_oov_words(block.lines, words, encoded, self.tokenizer)
        self.characters += len(text)
        self.bytes += len(data)

    def _hash(self, block: Block, data: bytes) -> None:
        """The lines; an empty one before each document, whose borders shape the numbers too."""
        if not block.document_starts:
            self.hash.update_data(data)
            return
        hashed = 0
        for start in block.document_starts:
            self.hash.update([*block.lines[hashed:start], ""])
            hashed = start
        self.hash.update(block.lines[hashed:])

    def result(self) -> EncodedText:
        documents = None
        if self.has_documents:
            documents = np.concatenate([*self.document_starts, [self.tokens]]).astype(np.int64)
        return EncodedText(
            ids=np.concatenate(self.parts),
            line_offsets=np.concatenate([[0], *self.line_ends]).astype(np.int64),
            document_offsets=documents,
            oov=np.concatenate(self.oov),
            words=self.words,
            oov_words=self.oov_words,
            characters=self.characters,
            bytes=self.bytes,
            lines_hash=self.hash.hexdigest(),
        )


def _count_words(data: bytes) -> int:
    """How many words `data` holds, which ends in a newline: a word ends where white space follows."""
    is_space = _IS_SPACE[np.frombuffer(data, dtype=np.uint8)]
    return int(np.count_nonzero(is_space[1:] & ~is_space[:-1]))


def words_between_newlines(data: bytes) -> np.ndarray:
    """How many words each line holds, (lines,) int64. data: the lines, each with its newline."""
    bytes_N = np.frombuffer(data, dtype=np.uint8)
    is_space_N = _IS_SPACE[bytes_N]
    word_ends = np.flatnonzero(is_space_N[1:] & ~is_space_N[:-1]) + 1
    return np.diff(np.searchsorted(word_ends, np.flatnonzero(bytes_N == _NEWLINE), side="right"), prepend=0)


def count_oov_words(lines: Sequence[str], words: int, encoded: Encoded, tokenizer: Tokenizer) -> int:
    """How many of the `words` of `lines` hold an unknown token."""
    if not len(encoded.oov) or len(encoded.ids) == words + len(lines):  # then each word is one token
        return len(encoded.oov)
    touched = np.unique(np.searchsorted(encoded.offsets, encoded.oov, side="right") - 1)
    alone = tokenizer.encode(split_words("\n".join(lines[index] for index in touched)))
    return len(np.unique(np.searchsorted(alone.offsets, alone.oov, side="right")))


def known_ids(ids: np.ndarray, tokenizer: Tokenizer) -> np.ndarray:
    """`ids` as a model reads them that knows no characters, in memory: unseen words (ids from V on) are unk_id, whatever their spelling.

    They may come from the spelling tokenizer of another part of a mixture; `ids` itself where there are none.
    """
    ids = np.asarray(ids)
    if tokenizer.unk_id is None or ids.max(initial=0) < tokenizer.size:
        return ids
    return np.where(ids < tokenizer.size, ids, ids.dtype.type(tokenizer.unk_id))


@dataclass(frozen=True)
class TrainingData:
    """What a family is fitted on. `valid` is None where nothing is held out."""

    tokenizer: Tokenizer
    train: EncodedText
    valid: EncodedText | None
