"""Make the tokenizer of a text that is prepared from a part of it (:mod:`rnnlm.text.samples`)."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from rnnlm.errors import RnnlmWarning
from rnnlm.text import sources, tokenizers
from rnnlm.text.lines import Block, TextSettings, as_bytes
from rnnlm.text.marks import watch_forms
from rnnlm.text.samples import even_stretches
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.text.tokenizers.vocabulary import MemoryLimit
from rnnlm.tools.prepared.shards import (
    Position,
    RawPiece,
    TokenizerFiles,
    block_of,
    pieces,
    shown,
    unwrapped_piece,
)


def lenient(settings: TextSettings) -> TextSettings:
    """Return settings to read stretches with: an error is reported with its line when all of the
    text is read."""
    return replace(settings, encoding_errors="replace", special_symbols="drop")


def start_of(every: Iterator[RawPiece], wanted: int) -> Iterator[RawPiece]:
    """Yield the first pieces of a text, as many as hold `wanted` bytes; the last is cut at a line
    end."""
    left = wanted
    for piece in every:
        # Of the last piece a part is enough, if a line ends in it.
        if isinstance(piece.whole, bytes) and len(piece.whole) > left:
            end = piece.whole.rfind(b"\n", 0, left) + 1
            if end:
                yield RawPiece(piece.source, piece.first_line, piece.is_first, piece.whole[:end])
                return
        yield piece
        left -= len(piece)
        if left <= 0:
            return


@dataclass(frozen=True)
class FileSample:
    """The sample of a text that can be read again. Its pieces are read where they are asked for,
    perhaps in another process.

    how: as :func:`rnnlm.text.samples.sampling_method` decides. wanted: bytes of text.
    """

    names: Sequence[str]
    source: sources.SourceSettings
    text: TextSettings
    how: str
    wanted: int

    def __iter__(self) -> Iterator[RawPiece]:
        if self.how == "even":
            # The lines of stretches are not numbered.
            stretches = (
                RawPiece(shown(name), 2, True, data)
                for name, data in even_stretches(self.names, self.wanted)
            )
            return map(unwrapped_piece, stretches) if self.text.unwrap else stretches
        every = pieces(self.names, self.source, self.text, Position(self.names))
        return every if self.how == "all" else start_of(every, self.wanted)


def learn(
    sample: Iterable[RawPiece],
    text: TextSettings,
    settings: TokenizerSettings,
    limit: MemoryLimit | None = None,
    lines: int | None = None,
) -> TokenizerFiles:
    """Make the tokenizer that `settings` describe from a sample, or from its first `lines` alone,
    within a limit."""
    bytes_read = 0

    def blocks() -> Iterator[Block]:
        nonlocal bytes_read
        left = lines
        for piece in sample:
            block, _ = block_of(piece, text)
            bytes_read += len(piece)
            if left is not None:
                if left < len(block.lines):
                    block, rest = block.split_at(left)
                    bytes_read -= len(as_bytes(rest.lines))
                left -= len(block.lines)
            if block.lines:
                yield block
            if left == 0:
                return

    # Warnings in a worker are not shown, so they are returned.
    with warnings.catch_warnings(record=True, action="always", category=RnnlmWarning) as caught:
        tokenizer = tokenizers.train(settings, watch_forms(blocks(), settings), limit)
    notices = [
        str(warning.message) for warning in caught if issubclass(warning.category, RnnlmWarning)
    ]
    return TokenizerFiles.of(tokenizer, notices, bytes_read)
