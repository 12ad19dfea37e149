"""Choose the part of a text that its vocabulary is made from, and make the tokenizer.

Plain files give stretches of whole lines at even distances. Other sources (compressed files,
tables, data sets, a pipe) give their start, since reading cannot begin in the middle. A text no
larger than the sample is the sample.
"""

import itertools
import warnings
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from rnnlm.errors import RnnlmWarning, TextError
from rnnlm.interface import Tokenizer
from rnnlm.text import sources, tokenizers
from rnnlm.text.line_forms import BETWEEN, tell_form, tell_unspaced_words
from rnnlm.text.lines import Block, TextSettings, as_bytes, whole_lines
from rnnlm.text.marks import watch_forms
from rnnlm.text.prepared.shards import (
    Position,
    RawPiece,
    TokenizerFiles,
    block_of,
    pieces,
    shown,
    unwrapped_piece,
)
from rnnlm.text.punctuation import tell_glued_in
from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.text.tokenizers.vocabulary import MemoryLimit

STRETCHES = 64
LONGEST_LINE = 1 << 20  # bytes searched for the line end that a stretch begins after


def sampling_method(names: Sequence[str], settings: sources.SourceSettings, wanted: int) -> str:
    """Return how the sample is taken: "all", "even" or "start"."""
    total = Position(names).total
    if total is None or not all(sources.is_plain(name, settings) for name in names):
        return "start"
    return "all" if total <= wanted else "even"


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


def even_stretches(names: Sequence[str], wanted: int) -> Iterator[RawPiece]:
    """Yield stretches of whole lines at even distances over all these files, together about
    `wanted` bytes."""
    sizes = Position(names).sizes
    starts = list(itertools.accumulate((size or 0 for size in sizes), initial=0))
    total = starts.pop()
    length = max(1, wanted // STRETCHES)
    for number in range(STRETCHES):
        # A stretch begins in the last file that begins before it, and may reach into the next ones.
        at = total * number // STRETCHES
        file = bisect_right(starts, at) - 1
        left = length
        while left > 0 and file < len(names):
            data = _lines_from(names[file], max(0, at - starts[file]), left)
            if data:
                yield RawPiece(shown(names[file]), 2, True, data)  # its lines are not numbered
            left -= max(1, len(data))
            file += 1


def _lines_from(name: str, start: int, length: int) -> bytes:
    """Return whole lines from about `start` on: `length` bytes and the rest of the last line."""
    try:
        with open(name, "rb") as stream:
            stream.seek(max(0, start - 1))
            if start:
                stream.readline(LONGEST_LINE)
            return stream.read(length) + stream.readline(LONGEST_LINE)
    except OSError as error:
        raise TextError(f"cannot read {name}", error.strerror or str(error)) from None


LOOKED_AT = 1 << 18  # bytes of a text that show whether it is raw, or wrapped


def lines_looked_at(
    names: Sequence[str], settings: sources.SourceSettings, errors: str
) -> list[str]:
    """Return about LOOKED_AT bytes of lines, blank ones too, from all over these sources where they
    are plain files; else from the beginnings of some of them. BETWEEN follows each part. errors: as
    in TextSettings."""
    how = sampling_method(names, settings, LOOKED_AT)
    if how == "even":
        stretches = [piece.whole for piece in even_stretches(names, LOOKED_AT)]
    else:
        # Of very many files some are enough.
        chosen = names if how == "all" else names[:: len(names) // STRETCHES + 1]
        read = (whole_lines(sources.read(name, settings, errors), name) for name in chosen)
        stretches = [next(wholes, b"") for wholes in read]

    # A stretch may be one long line.
    most = LOOKED_AT if how == "all" else LOOKED_AT // min(len(stretches), 16)
    lines: list[str] = []
    for whole in stretches:
        records = [whole.decode("utf-8-sig", "replace")] if isinstance(whole, bytes) else whole
        text = "\n".join(records)
        lines += [*text[:most].removesuffix("\n").split("\n"), BETWEEN]
    return lines


def judged(
    lines: Sequence[str], text: TextSettings, tokenizer: Tokenizer | TokenizerSettings, name: str
) -> Tokenizer | TokenizerSettings:
    """Return the tokenizer of a text, or the settings of a new one as some lines of the text decide
    them. Notices tell of lines that are no sentences, of words that blanks do not separate, and of
    words that the tokenizer of that name knows without their marks alone."""
    tell_form(lines, text.unwrap)
    if isinstance(tokenizer, TokenizerSettings):
        tell_unspaced_words(lines, tokenizer.tokenizer)
        return tokenizers.decided(tokenizer, lines)
    tell_glued_in(lines, tokenizer, name)
    return tokenizer


@dataclass(frozen=True)
class FileSample:
    """The sample of a text that can be read again. Its pieces are read where they are asked for,
    perhaps in another process.

    how: as :func:`sampling_method` decides. wanted: bytes of text.
    """

    names: Sequence[str]
    source: sources.SourceSettings
    text: TextSettings
    how: str
    wanted: int

    def __iter__(self) -> Iterator[RawPiece]:
        if self.how == "even":
            stretches = even_stretches(self.names, self.wanted)
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
