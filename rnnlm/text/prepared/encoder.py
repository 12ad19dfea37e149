"""What a worker makes of a piece of text: its lines as ids, and all that is counted about each."""

from typing import Any

import msgspec
import numpy as np

from rnnlm.interface import Encoded, Tokenizer
from rnnlm.text.encoding import compact_type, words_between_newlines
from rnnlm.text.lines import Block, TextSettings, lines_of, split_words, to_block
from rnnlm.text.prepared.pieces import Piece
from rnnlm.text.prepared.shard import EncodedLines

_NEWLINE = ord("\n")


class EncodedPiece(msgspec.Struct):
    """data: the lines that are kept, each with a newline. bytes_L: of each. document_lines: those that begin a document, which the
    first may do besides if the piece before ended in blank lines; ends_blank: whether this one does. arrays: the rest of
    :class:`EncodedLines`, none where the ids are not asked for.
    """

    data: bytes
    bytes_L: np.ndarray
    document_lines: np.ndarray
    ends_blank: bool
    arrays: dict[str, np.ndarray] | None = None

    def lines(self) -> EncodedLines:
        return EncodedLines(bytes_L=self.bytes_L, document_lines=self.document_lines, **self.arrays)


def encoded_piece(piece: Piece, settings: TextSettings, tokenizer: Tokenizer | None) -> EncodedPiece:
    """`piece` read as `settings` say; without a tokenizer, no ids.

    Raises:
        TextError: it cannot be decoded, or holds a reserved symbol.
    """
    block, ends_blank = block_of(piece, settings)
    data = ("\n".join(block.lines) + "\n").encode("utf-8") if block.lines else b""
    end_L = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == _NEWLINE) + 1
    bytes_L = np.diff(end_L, prepend=0).astype(np.int32)
    arrays = _arrays(block, data, end_L, tokenizer) if tokenizer else None
    return EncodedPiece(data, bytes_L, np.array(block.document_starts, dtype=np.int32), ends_blank, arrays)


def block_of(piece: Piece, settings: TextSettings) -> tuple[Block, bool]:
    """The lines of `piece`, and whether it ends in blank ones that separate documents."""
    lines = lines_of(piece.whole, piece.source, piece.first_line, settings.encoding_errors)
    return to_block(piece.source, piece.first_line, lines, settings, piece.is_first)


def _arrays(block: Block, data: bytes, end_L: np.ndarray, tokenizer: Tokenizer) -> dict[str, np.ndarray]:
    encoded = tokenizer.encode(block.lines)
    tokens_L = np.diff(encoded.offsets).astype(np.int32)
    is_word_a_token = tokenizer.name == "word" and tokenizer.keeps_text
    words_L = tokens_L - 1 if is_word_a_token else words_between_newlines(data).astype(np.int32)
    return {
        "ids_N": encoded.ids.astype(compact_type(tokenizer)),
        "oov": encoded.oov.astype(np.int32),
        "tokens_L": tokens_L,
        "words_L": words_L,
        "oov_words_L": _oov_words(block.lines, words_L, encoded, tokenizer),
        "characters_L": _characters(data, end_L),
    }


def _characters(data: bytes, end_L: np.ndarray) -> np.ndarray:
    """Characters of each line: bytes of UTF-8 that do not continue one."""
    bytes_L = np.diff(end_L, prepend=0).astype(np.int32)
    if data.isascii():
        return bytes_L
    continuing = np.flatnonzero((np.frombuffer(data, dtype=np.uint8) & 0xC0) == 0x80)
    return bytes_L - np.bincount(np.searchsorted(end_L, continuing, side="right"), minlength=len(end_L)).astype(np.int32)


def _oov_words(lines: list[str], words_L: np.ndarray, encoded: Encoded, tokenizer: Tokenizer) -> np.ndarray:
    """How many words of each line hold an unknown token."""
    line_of_oov = np.searchsorted(encoded.offsets, encoded.oov, side="right") - 1
    if not len(encoded.oov) or len(encoded.ids) == int(words_L.sum()) + len(lines):  # then each word is one token
        return np.bincount(line_of_oov, minlength=len(lines)).astype(np.int32)
    touched = np.unique(line_of_oov)
    alone = tokenizer.encode(split_words("\n".join(lines[line] for line in touched)))
    unknown = np.unique(np.searchsorted(alone.offsets, alone.oov, side="right") - 1)
    line_of_word = touched.repeat(words_L[touched])
    return np.bincount(line_of_word[unknown], minlength=len(lines)).astype(np.int32)


def to_message(value: Any) -> Any:
    """An array as msgspec sends it."""
    if isinstance(value, np.ndarray):
        return (value.dtype.str, memoryview(np.ascontiguousarray(value)).cast("B") if value.size else b"")
    raise NotImplementedError(type(value))


def from_message(kind: type, value: Any) -> Any:
    """The inverse of :func:`to_message`."""
    return np.frombuffer(value[1], dtype=np.dtype(value[0])) if kind is np.ndarray else value
