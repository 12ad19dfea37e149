"""Split text into lines, by one rule for every family and tokenizer.

A line ends at a newline alone (one carriage return before it is dropped); words are split on ASCII
space, tab, carriage return and NUL. A line without words is blank: it is skipped, kept as a
sentence without words, or a border between documents. The words `<s>` and `</s>` are refused,
dropped or replaced; `<unk>` is an ordinary symbol. The lines of hard-wrapped prose can be joined,
and divided into sentences.
"""

import codecs
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Annotated, Literal, overload

from rnnlm.amounts import plural
from rnnlm.config import Probability, ValidatedSettings, about, needs
from rnnlm.errors import TextError, keyword
from rnnlm.interface import UNKNOWN
from rnnlm.storage.files.file_types import CHUNK_BYTES
from rnnlm.storage.files.reading import (
    LONGEST_LINE,
    decode,
    opened,
    shown_name,
    text_lines,
    too_long,
)
from rnnlm.text import sources
from rnnlm.text.word_rows import split_sentences

if TYPE_CHECKING:
    import numpy as np

WORD_SPACE = " \t\r\0"
TO_SPACE = dict.fromkeys(map(ord, f"{WORD_SPACE}\n"), " ")
_BLANK_LINE = re.compile(rb"\n[ \t\r\0]*\n")
_BLANK_BEGINNING = re.compile(rb"[ \t\r\0]*\n")
_SPACES = re.compile(r"[ \t\r\0]+")
_RESERVED = re.compile(r"(?<![^ \t\r\0])</?s>(?![^ \t\r\0])")
_RESERVED_WITH_SPACE = re.compile(r"(?:[ \t\r\0]</?s>)+$|(?<![^ \t\r\0])</?s>(?:[ \t\r\0]|$)")


SpecialSymbols = Literal["error", "drop", "replace"]


@dataclass(frozen=True)
class TextSettings(ValidatedSettings):
    """How to read lines."""

    encoding_errors: Annotated[
        Literal["strict", "replace"],
        about("invalid UTF-8 is an error (strict), or becomes U+FFFD (replace)"),
    ] = "strict"
    blank_lines: Annotated[
        Literal["skip", "keep", "documents"],
        about("blank lines are skipped, kept as one </s> each, or read as document boundaries"),
    ] = "skip"
    special_symbols: Annotated[
        SpecialSymbols, about("<s> or </s> in the text is an error, is dropped, or becomes <unk>")
    ] = "error"
    unwrap: Annotated[
        bool,
        about("join the lines of hard-wrapped prose, and divide its paragraphs into sentences"),
    ] = False


@dataclass(frozen=True)
class HoldoutSettings:
    """Settings for a run without a validation text."""

    holdout: Annotated[
        Probability,
        about(
            "share of the text to hold out for validation, such as 0.05 or 5%; 0 holds out nothing",
            title="SHARE",
            extra=needs(valid=(None,)),
        ),
    ] = 0.05


@dataclass(eq=False)
class Lines(Sequence[str]):
    """Lines as one piece of UTF-8, each with its newline. They are made into strings only for those
    who ask for one: reading and counting are faster on bytes."""

    data: bytes

    @cached_property
    def ends(self) -> "np.ndarray":
        """Where each line ends, its newline included."""
        import numpy as np  # options are made of these settings, and help needs none

        return np.flatnonzero(np.frombuffer(self.data, dtype=np.uint8) == ord("\n")) + 1

    @cached_property
    def _strings(self) -> list[str]:
        return self.data.decode("utf-8").split("\n")[:-1]

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> "Lines": ...

    def __getitem__(self, place: int | slice) -> "str | Lines":
        if not isinstance(place, slice):
            return self._strings[place]
        start, stop, step = place.indices(len(self))
        if step != 1:
            return Lines(as_bytes(self._strings[place]))
        before, last = (int(self.ends[line - 1]) if line else 0 for line in (start, stop))
        return Lines(self.data[before:last])

    def __iter__(self) -> Iterator[str]:
        return iter(self._strings)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._strings == list(other)

    __hash__ = None  # type: ignore[assignment]


def as_bytes(lines: Iterable[str]) -> bytes:
    """Return the lines in UTF-8, each with its newline."""
    return lines.data if isinstance(lines, Lines) else "\n".join([*lines, ""]).encode("utf-8")


@dataclass(frozen=True)
class Block:
    """Consecutive lines, without blank ones unless they are kept.

    Attributes:
        lines: The lines, without line breaks.
        document_starts: Indices into `lines` where a document begins; empty unless blank lines
            separate documents.
        groups: The group of each line, if the rows of a table were read by group.
    """

    lines: Sequence[str]
    document_starts: list[int]
    groups: Sequence[str | None] = ()

    def split_at(self, lines: int) -> tuple["Block", "Block"]:
        """Divide the block in two.

        Args:
            lines: Number of lines of the first part.

        Returns:
            The block of the first lines, and the block of the others.
        """
        first = [start for start in self.document_starts if start < lines]
        others = [start - lines for start in self.document_starts[len(first) :]]
        return Block(self.lines[:lines], first), Block(self.lines[lines:], others)


Progress = Callable[[str], None]  # called often, with how far the work is


def silent(message: str) -> None:
    """Ignore progress."""


def prefixed(progress: Progress, what: str) -> Progress:
    """Return the progress of one of several things, which each message names."""
    return lambda message: progress(f"{what}: {message}")


def watched(blocks: Iterable[Block], progress: Progress) -> Iterator[Block]:
    """Yield `blocks`, and report to `progress` how many lines have been read."""
    lines = 0
    for block in blocks:
        yield block
        lines += len(block.lines)
        progress(f"{plural(lines, 'line')} read")


def no_text(names: Iterable[str]) -> TextError:
    """Return the error for sources that hold no line with words."""
    return TextError(f"no text in {', '.join(names)}", "it is empty, or holds blank lines only")


def read_blocks(
    source: str, settings: TextSettings, source_settings: sources.SourceSettings
) -> Iterator[Block]:
    """Yield the lines of one source, a megabyte or so at a time."""
    starts_document = True
    next_line = 1
    has_groups = isinstance(source_settings, sources.GroupedSourceSettings)
    read: Callable[..., tuple[Block, bool]] = _read_groups if has_groups else read_block
    for whole in read_whole_lines(source, settings, source_settings):
        block, starts_document = read(source, next_line, whole, settings, starts_document)
        # A last line without an end is not counted, but nothing follows it.
        next_line += whole.count(b"\n") if isinstance(whole, bytes) else line_count(whole)
        if block.lines:
            yield block


def read_block(
    source: str,
    first_line: int,
    whole: bytes | list[str],
    settings: TextSettings,
    starts_document: bool,
) -> tuple[Block, bool]:
    """Return the block of one of the :func:`whole_lines` of `source`, from its line `first_line`
    on, and whether the next line begins a document. starts_document: whether the first one does."""
    if not isinstance(whole, bytes):
        lines = lines_of(whole, source, first_line, settings.encoding_errors)
        return to_block(source, first_line, lines, settings, starts_document)
    data = whole.removeprefix(codecs.BOM_UTF8) if first_line == 1 else whole
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    if not data.endswith(b"\n"):
        data += b"\n"

    # Lines that are blank, hold `<s>`, `</s>` or NUL, or are not UTF-8 are looked at one by one;
    # others stay as they are.
    is_plain = b"<s>" not in data and b"</s>" not in data and b"\0" not in data
    is_plain = is_plain and not _BLANK_BEGINNING.match(data) and not _BLANK_LINE.search(data)
    if is_plain and not data.isascii():
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            is_plain = False
    if not is_plain:
        lines = lines_of(whole, source, first_line, settings.encoding_errors)
        return to_block(source, first_line, lines, settings, starts_document)
    starts_document = starts_document and settings.blank_lines == "documents"
    return Block(Lines(data), [0] if starts_document else []), False


def _read_groups(
    source: str, first_line: int, rows: list[str], settings: TextSettings, starts_document: bool
) -> tuple[Block, bool]:
    """Return the block of some rows of a table with the group of each line, as :func:`read_block`
    does. A row may hold several lines, or blank ones that are left out."""
    lines: list[str] = []
    document_starts: list[int] = []
    groups: list[str | None] = []
    for row in rows:
        block, starts_document = read_block(source, first_line, [row], settings, starts_document)
        document_starts += [len(lines) + start for start in block.document_starts]
        lines += block.lines
        groups += [getattr(row, "group", None)] * len(block.lines)
        first_line += line_count([row])
    return Block(lines, document_starts, groups), starts_document


def to_block(
    source: str, first_line: int, lines: list[str], settings: TextSettings, starts_document: bool
) -> tuple[Block, bool]:
    """Return the block of `lines` of `source`, from its line `first_line` on, and whether the next
    line begins a document. starts_document: whether the first one does."""
    lines = _without_reserved(source, first_line, lines, settings)
    if settings.blank_lines == "keep":
        return Block(["" if is_blank(line) else line for line in lines], []), False
    if settings.blank_lines == "skip":
        # is_blank, without its calls
        return Block([line for line in lines if line.strip(WORD_SPACE)], []), False

    # Blank lines separate documents: several in a row are one border.
    kept: list[str] = []
    document_starts: list[int] = []
    for line in lines:
        if is_blank(line):
            starts_document = True
            continue
        if starts_document:
            document_starts.append(len(kept))
        kept.append(line)
        starts_document = False
    return Block(kept, document_starts), starts_document


def _without_reserved(
    source: str, first_line: int, lines: list[str], settings: TextSettings
) -> list[str]:
    # One search of the whole block is faster than one per line, and finds nothing in most texts.
    text = "\n".join(lines)
    if "<s>" not in text and "</s>" not in text:
        return lines
    unit = "sentence" if settings.unwrap else "line"
    return [
        check_reserved(line, f"{shown_name(source)}, {unit} {number}", settings.special_symbols)
        for number, line in enumerate(lines, start=first_line)
    ]


def is_blank(line: str) -> bool:
    """Return whether the line has no words."""
    return not line.strip(WORD_SPACE)


def split_words(text: str) -> list[str]:
    """Return the words of `text`: the strings between newlines and ASCII space, tab, carriage
    return and NUL."""
    return [word for word in text.translate(TO_SPACE).split(" ") if word]


def split_cells(lines: Sequence[str]) -> tuple[bool, int, list[list[str]]]:
    """Return whether most of the lines of a table have tabs, which then separate its cells, else
    white space; how many cells most of them have; and their cells."""
    has_tabs = sum("\t" in line for line in lines) > len(lines) / 2
    rows = [line.split("\t") if has_tabs else split_words(line) for line in lines]
    [(count, _)] = Counter(map(len, rows)).most_common(1) or [(0, 0)]
    return has_tabs, count, rows


def place_of_words(rows: Sequence[Sequence[str]]) -> int:
    """Return the place, from 0, of the words in a table with a row a word: behind the first column
    that numbers the words of each sentence, else 0."""
    columns = list(zip(*rows, strict=True))
    places = (place for place, cells in enumerate(columns[:-1], start=1) if _counts_words(cells))
    return next(places, 0)


def _counts_words(cells: Sequence[str]) -> bool:
    """Return whether a column numbers the words of each sentence, from 0 or 1 on."""
    # The first cell that is no such number ends the search, so the cell before is always one.
    pairs = pairwise(["0", *cells])
    return "2" in cells and all(cell in ("0", "1", str(int(before) + 1)) for before, cell in pairs)


def single_spaced(text: str) -> str:
    """Return `text` without white space at its ends, and with one space between words. Line ends
    stay."""
    return _SPACES.sub(" ", text).strip(" ")


REMOVE_OR_TREAT = "remove it, or use " + keyword("special_symbols") + " drop or replace"


def check_reserved(line: str, where: str, special_symbols: str, hint: str = REMOVE_OR_TREAT) -> str:
    """Return `line` with `<s>` and `</s>` dropped or replaced, or raise a TextError, as
    `special_symbols` says."""
    reserved = _RESERVED.search(line)
    if not reserved:
        return line
    if special_symbols == "error":
        raise TextError(
            f"{where}: the text holds {reserved[0]}", "rnnlm marks line ends itself", hint
        )
    if special_symbols == "replace":
        return _RESERVED.sub(UNKNOWN, line)
    return _RESERVED_WITH_SPACE.sub("", line)


def numbered_lines(source: str, errors: str | None = None) -> Iterator[tuple[int, list[str]]]:
    """Yield all lines of one source, blank ones too, as (number of the first, lines); numbers count
    from 1. errors: as in :func:`rnnlm.storage.files.reading.decode`."""
    next_line = 1
    settings = TextSettings("replace" if errors == "replace" else "strict")
    for whole in read_whole_lines(source, settings, sources.SourceSettings()):
        lines = lines_of(whole, source, next_line, errors)
        yield next_line, lines
        next_line += len(lines)


def lines_of(
    whole: bytes | list[str], source: str, first_line: int, errors: str | None
) -> list[str]:
    """Return the lines of one of the :func:`whole_lines` of `source`, which begins with line
    `first_line`."""
    # Records are texts already, and may hold several lines.
    if isinstance(whole, bytes):
        text = decode(whole, source, first_line, errors)
        if first_line == 1:
            text = text.removeprefix("\ufeff")
    else:
        text = "\n".join(whole) + "\n"
    lines = text.replace("\r\n", "\n").split("\n")
    if text.endswith("\n"):
        lines.pop()
    return lines


def line_count(whole: bytes | list[str]) -> int:
    """Return how many lines :func:`lines_of` makes of it."""
    if isinstance(whole, bytes):
        return whole.count(b"\n") + (not whole.endswith(b"\n"))
    return len(whole) + sum(record.count("\n") for record in whole)


def read_whole_lines(
    source: str,
    settings: TextSettings,
    source_settings: sources.SourceSettings,
    on_read: Callable[[int], None] | None = None,
    is_kept: bool = True,
) -> Iterator[bytes | list[str]]:
    """Yield the text of one source as :func:`rnnlm.text.sources.read` does, cut at line ends.
    Unwrapped sentences are records, and so are the blank lines between them."""
    errors = settings.encoding_errors
    wholes = whole_lines(sources.read(source, source_settings, errors, on_read, is_kept), source)
    if not settings.unwrap:
        return wholes

    def lines() -> Iterator[str | None]:
        next_line = 1
        for whole in wholes:
            # A paragraph ends with its record.
            if isinstance(whole, list):
                for record in whole:
                    yield from [*record.split("\n"), None]
            else:
                yield from lines_of(whole, source, next_line, errors)
            next_line += line_count(whole)

    sentences = unwrapped(lines(), shown_name(source))
    return sources.in_lists(sentences, sources.RECORDS_PER_CHUNK, CHUNK_BYTES, len)


def whole_lines(chunks: Iterable[bytes | list[str]], source: str) -> Iterator[bytes | list[str]]:
    """Yield chunks of `source`, cut at line ends; records pass as they are. Raise TextError where a
    line is longer than LONGEST_LINE."""
    # Join the pieces of a long line once, at its end: joining at each chunk would take time
    # quadratic in its length.
    unfinished: list[bytes] = []
    length = ended_lines = 0
    for chunk in chunks:
        if not isinstance(chunk, bytes):
            yield chunk
            continue

        ended_lines += chunk.count(b"\n")
        head, newline, tail = chunk.rpartition(b"\n")
        length = len(tail) if newline else length + len(chunk)
        if length > LONGEST_LINE:
            raise too_long(source, ended_lines + 1)

        if not newline:
            unfinished.append(chunk)
            continue
        whole = b"".join([*unfinished, head, newline])
        unfinished = [tail] if tail else []
        yield whole
    if unfinished:
        yield b"".join(unfinished)


# ---- Hard-wrapped prose.

# A line end behind a hyphen that is not a dash between blanks
_HYPHENATED = re.compile(r"([^ \t\r\0\n-]-+)\n")
DIVIDED_AT_ONCE = 1 << 16  # characters of a paragraph


def unwrapped(lines: Iterable[str | None], source: str = "the text") -> Iterator[str]:
    """Yield the sentences of hard-wrapped lines, and an empty line for each blank one. A paragraph
    ends at a blank line, at None, and before an indented line after one that is not.

    Only an unfinished sentence is held. source: the name of the text for messages.
    """
    held: list[str] = []  # the beginning of a sentence, before the lines that wait
    waiting: list[str] = []
    size = 0
    was_indented = True
    for line in chain(lines, [None]):
        text = (line or "").strip(WORD_SPACE)
        is_indented = bool(text) and line is not None and line[0] in WORD_SPACE
        is_end = not text or (is_indented and not was_indented)
        was_indented = is_indented
        if waiting and (is_end or size >= DIVIDED_AT_ONCE):
            # A hyphen at a line end stays, without a blank. Most lines have nothing to replace.
            paragraph = "\n".join(waiting)
            if "-\n" in paragraph:
                paragraph = _HYPHENATED.sub(r"\1", paragraph)
            paragraph = paragraph.translate(TO_SPACE)
            if "  " in paragraph:
                paragraph = single_spaced(paragraph)
            *sentences, rest = split_sentences(paragraph)
            if is_end:
                sentences.append(rest)
            if sentences:
                yield "".join([*held, sentences[0]])
                yield from sentences[1:]
                held = []
            # The last word waits for the next line, which may let its mark end the sentence.
            before, blank, word = rest.rpartition(" ")
            if not is_end:
                held.append(before + blank)
            waiting = [] if is_end else [word]
            size = 0
            if sum(map(len, held)) > LONGEST_LINE:
                raise TextError(
                    f"{source}: an unwrapped sentence is longer than {LONGEST_LINE:,} characters",
                    "no mark ends it",
                    "leave " + keyword("unwrap") + " out",
                )
        if text:
            waiting.append(text)
            size += len(text)
        elif line is not None:
            yield ""


# ---- Lines of a file one by one, numbered, and of several files side by side.

Line = tuple[int, str]  # its number, from 1, and its text


def lines_with_ends(source: str, errors: str | None = None) -> Iterator[Line]:
    """Yield the lines of a file with their ends, without a byte order mark. errors: as in
    :func:`rnnlm.storage.files.reading.decode`."""
    with opened(source, errors=errors) as stream:
        yield from enumerate(text_lines(source, stream, errors), start=1)


class MissingLine(str):
    """An empty line in the place of a row without text. reason: why it has none."""

    reason: str

    def __new__(cls, reason: str) -> "MissingLine":
        line = super().__new__(cls)
        line.reason = reason
        return line


def by_kind(reasons: Counter[str]) -> Counter[str]:
    """Add up reasons that differ in numbers and details alone, each kind under its first one."""
    first: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for reason, count in reasons.items():
        kind = re.sub(r"\d", "", reason.partition(" (")[0])
        counts[first.setdefault(kind, reason)] += count
    return counts


def without_end(line: str) -> str:
    """Return a line without its line end."""
    return line.removesuffix("\n").removesuffix("\r")
