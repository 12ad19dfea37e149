"""Text as lines, by one rule for every family and tokenizer.

A line ends at a newline alone (one carriage return before it is dropped); words are split on ASCII space, tab,
carriage return and NUL. A line without words is blank: skipped, kept as a sentence of its own, or a border between
documents. `<s>` and `</s>` standing as words are refused, dropped or replaced; `<unk>` is an ordinary symbol.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from rnnlm.errors import TextError
from rnnlm.files.reading import LONGEST_LINE, decode, too_long
from rnnlm.interface import UNKNOWN
from rnnlm.text import sources
from rnnlm.text.sources import SourceSettings

WORD_SPACE = " \t\r\0"
_TO_SPACE = dict.fromkeys(map(ord, f"{WORD_SPACE}\n"), " ")
_RESERVED = re.compile(r"(?<![^ \t\r\0])</?s>(?![^ \t\r\0])")
_RESERVED_WITH_SPACE = re.compile(r"(?:[ \t\r\0]</?s>)+$|(?<![^ \t\r\0])</?s>(?:[ \t\r\0]|$)")


@dataclass(frozen=True)
class TextSettings:
    """How lines are read."""

    encoding_errors: Annotated[Literal["strict", "replace"], Meta(description="bad UTF-8 is an error, or becomes U+FFFD")] = "strict"
    blank_lines: Annotated[
        Literal["skip", "keep", "documents"], Meta(description="blank lines: skipped, one </s> each, or document borders")
    ] = "skip"
    special_symbols: Annotated[
        Literal["error", "drop", "replace"], Meta(description="<s> or </s> in the text: error, dropped, or <unk>")
    ] = "error"


@dataclass(frozen=True)
class Block:
    """Consecutive lines, without blank ones unless they are kept.

    `document_starts`: indices into `lines` where a document begins (empty unless blank lines separate documents).
    """

    lines: list[str]
    document_starts: list[int]


@dataclass(frozen=True)
class Corpus:
    """A text: its sources and how to read them. Reading happens in :meth:`blocks`, as often as one likes."""

    sources: tuple[str, ...]
    settings: TextSettings = TextSettings()
    source_settings: SourceSettings = SourceSettings()

    def blocks(self) -> Iterator[Block]:
        """The lines of all sources in order, a megabyte or so at a time.

        Raises:
            TextError: a source cannot be read or decoded, or holds a reserved symbol.
        """
        for source in sources.expand(self.sources):
            starts_document = True
            for first_line, lines in numbered_lines(source, self.settings, self.source_settings):
                block, starts_document = self.block(source, first_line, lines, starts_document)
                if block.lines:
                    yield block

    def block(self, source: str, first_line: int, lines: list[str], starts: bool) -> tuple[Block, bool]:
        """The block of `lines` of `source` from its line `first_line` on, and whether the next line begins a document; `starts`:
        whether the first one does.

        Raises:
            TextError: they hold a reserved symbol, and that is to be an error.
        """
        lines = self._without_reserved(source, first_line, lines)
        if self.settings.blank_lines == "keep":
            return Block(["" if is_blank(line) else line for line in lines], []), False
        if self.settings.blank_lines == "skip":
            return Block([line for line in lines if line.strip(WORD_SPACE)], []), False  # is_blank, without its calls
        kept, document_starts = [], []
        for line in lines:
            if is_blank(line):
                starts = True
                continue
            if starts:
                document_starts.append(len(kept))
            kept.append(line)
            starts = False
        return Block(kept, document_starts), starts

    def _without_reserved(self, source: str, first_line: int, lines: list[str]) -> list[str]:
        text = "\n".join(lines)
        if "<s>" not in text and "</s>" not in text:
            return lines
        return [
            check_reserved(line, f"{source}, line {number}", self.settings.special_symbols)
            for number, line in enumerate(lines, start=first_line)
        ]


@dataclass(frozen=True)
class Part:
    """The kept lines `start` to `stop` (None: to the end) of a corpus, read as a corpus of their own."""

    corpus: Corpus
    start: int
    stop: int | None

    @property
    def sources(self) -> tuple[str, ...]:
        return self.corpus.sources

    @property
    def settings(self) -> TextSettings:
        return self.corpus.settings

    def blocks(self) -> Iterator[Block]:
        seen = 0
        for block in self.corpus.blocks():
            first = max(0, self.start - seen)
            last = len(block.lines) if self.stop is None else min(len(block.lines), self.stop - seen)
            if last > first:
                starts = [at - first for at in block.document_starts if first <= at < last]
                yield Block(block.lines[first:last], starts)
            seen += len(block.lines)
            if self.stop is not None and seen >= self.stop:
                return


Progress = Callable[[str], None]  # hears how far the work is, often


def silent(message: str) -> None:
    """The report of those who do not listen."""


@dataclass(frozen=True)
class Watched:
    """A text that reports how much of it has been read."""

    text: "Text"
    report: Progress

    @property
    def sources(self) -> tuple[str, ...]:
        return self.text.sources

    @property
    def settings(self) -> TextSettings:
        return self.text.settings

    def blocks(self) -> Iterator[Block]:
        lines = 0
        for block in self.text.blocks():
            yield block
            lines += len(block.lines)
            self.report(f"{lines:,} lines read")


@dataclass(frozen=True)
class Held:
    """A text in memory, which is read again without its sources: they may be a pipe."""

    sources: tuple[str, ...]
    settings: TextSettings
    held: tuple[Block, ...]

    @classmethod
    def read(cls, text: "Text") -> "Held":
        """All of `text`.

        Raises:
            TextError: it cannot be read or decoded.
        """
        return cls(text.sources, text.settings, tuple(text.blocks()))

    def blocks(self) -> Iterator[Block]:
        yield from self.held


Text = Corpus | Part | Watched | Held


def no_text(text: Text) -> TextError:
    """The error for a text that holds no line with words."""
    return TextError(f"no text in {', '.join(text.sources)}", "it is empty, or holds blank lines only")


def hold_out(corpus: Corpus, share: float) -> tuple[Part, Part] | None:
    """The corpus in two: its lines but the last `share` of them, and those (whole documents, where it has documents).
    None where it has a single line or document."""
    lines, borders = 0, []
    for block in corpus.blocks():
        borders.extend(lines + at for at in block.document_starts)
        lines += len(block.lines)
    wanted = lines - max(1, round(lines * share))
    if corpus.settings.blank_lines == "documents":
        inner = [border for border in borders if 0 < border]
        wanted = min(inner, key=lambda border: abs(border - wanted)) if inner else 0
    return (Part(corpus, 0, wanted), Part(corpus, wanted, None)) if wanted > 0 else None


def is_blank(line: str) -> bool:
    """Whether the line has no words."""
    return not line.strip(WORD_SPACE)


def split_words(text: str) -> list[str]:
    """The words of `text`: what stands between newlines and ASCII space, tab, carriage return and NUL."""
    return [word for word in text.translate(_TO_SPACE).split(" ") if word]


def check_reserved(line: str, where: str, special_symbols: str, hint: str = "remove it, or use --special-symbols drop or replace") -> str:
    """`line` with `<s>` and `</s>` treated as `special_symbols` says.

    Raises:
        TextError: there is one, and it is to be an error.
    """
    found = _RESERVED.search(line)
    if not found:
        return line
    if special_symbols == "error":
        raise TextError(f"{where}: the text holds {found[0]}", "line ends are marked by the program itself", hint)
    return _RESERVED.sub(UNKNOWN, line) if special_symbols == "replace" else _RESERVED_WITH_SPACE.sub("", line)


def numbered_lines(
    source: str, settings: TextSettings, source_settings: SourceSettings = SourceSettings()
) -> Iterator[tuple[int, list[str]]]:
    """All lines of one source as (number of the first, lines), blank ones too; numbers count from 1.

    Raises:
        TextError: it cannot be read or decoded, or a line is longer than LONGEST_LINE.
    """
    next_line = 1
    for whole in whole_lines(sources.read(source, source_settings, settings.encoding_errors)):
        if whole is None:
            raise too_long(source, next_line)
        lines = lines_of(whole, source, next_line, settings.encoding_errors)
        yield next_line, lines
        next_line += len(lines)


def lines_of(whole: bytes | list[str], source: str, first_line: int, errors: str) -> list[str]:
    """The lines of one of the :func:`whole_lines` of `source`, which begins with line `first_line`.

    Raises:
        TextError: it is not UTF-8, and that is to be an error.
    """
    if isinstance(whole, bytes):
        text = decode(whole, source, first_line, errors)
        if first_line == 1:
            text = text.removeprefix("\ufeff")
    else:
        text = "\n".join(whole) + "\n"
    text = text.replace("\r\n", "\n")
    lines = text.split("\n")
    if text.endswith("\n"):
        lines.pop()
    return lines


def line_count(whole: bytes | list[str]) -> int:
    """How many lines :func:`lines_of` makes of it."""
    if isinstance(whole, bytes):
        return whole.count(b"\n") + (not whole.endswith(b"\n"))
    return len(whole) + sum(record.count("\n") for record in whole)


def whole_lines(chunks: Iterable[bytes | list[str]]) -> Iterator[bytes | list[str] | None]:
    """Byte chunks cut at line ends; records pass as they are. A line without an end is collected, not re-joined; None: it is longer
    than LONGEST_LINE."""
    unfinished: list[bytes] = []
    length = 0
    for chunk in chunks:
        if not isinstance(chunk, bytes):
            yield chunk
            continue
        head, newline, tail = chunk.rpartition(b"\n")
        length = length + len(chunk) if not newline else len(tail)
        if length > LONGEST_LINE:
            yield None
        if not newline:
            unfinished.append(chunk)
            continue
        whole, unfinished = b"".join([*unfinished, head, newline]), [tail] if tail else []
        yield whole
    if unfinished:
        yield b"".join(unfinished)
