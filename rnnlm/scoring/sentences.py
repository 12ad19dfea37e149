"""Sentences on their way to a score: lines of texts, rows of tables and data sets, one record each, in their order.

Nothing is left out: a blank line is a record, and so is a line that is not UTF-8 or not JSON, or a cell that holds no text, which says
why it has no score. What is damaged as a table is an error.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rnnlm.errors import TextError, UsageError, nearest, notice, shown
from rnnlm.files import tables
from rnnlm.files.reading import opened, text_lines, undecoded
from rnnlm.text import sources
from rnnlm.text.lines import WORD_SPACE, check_reserved, is_blank
from rnnlm.text.repeats import warn_of_repeats
from rnnlm.text.sources import SourceSettings

ID = "id"
_SURROGATE = re.compile("[\ud800-\udfff]")
_BYTES = range(0xDC80, 0xDD00)  # what stands for a byte that is not UTF-8 ("surrogateescape")


@dataclass(frozen=True, slots=True)
class Sentence:
    """One input record. given: what comes before it in the same line and is not scored. reason: why it has no score, where that
    is known from reading it.
    """

    text: str
    id: int | str
    given: str = ""
    reason: str | None = None


class _Record(NamedTuple):
    """A sentence as it is read; id None: it has none of its own."""

    text: str
    id: int | str | None
    given: str = ""
    reason: str | None = None


@dataclass(frozen=True)
class SentenceSettings:
    """How sentences are read.

    column, id_column, given_column: of tables. id_column None: the column `id` where there is one, else the number of the record,
    over all sources, from 1. given: what comes before each sentence in its line, where no column says it.
    encoding_errors: "strict" makes a line that is not UTF-8 a record without a score, "replace" puts U+FFFD.
    """

    column: str | None = None
    id_column: str | None = None
    given_column: str | None = None
    given: str = ""
    split: str = "train"
    encoding_errors: str = "strict"
    delimiter: str | None = None

    @property
    def wants_table(self) -> bool:
        """Whether a column or its separator is named, which only tables have."""
        return bool(self.column or self.id_column or self.given_column or self.delimiter)

    @property
    def source(self) -> SourceSettings:
        """How its texts are taken out of tables and data sets."""
        return SourceSettings(self.column, self.split, self.delimiter)

    @property
    def errors(self) -> str:
        """How bytes that are not UTF-8 are decoded: Python's name of the error handler."""
        return "replace" if self.encoding_errors == "replace" else "surrogateescape"


def read_sentences(names: tuple[str, ...], settings: SentenceSettings = SentenceSettings()) -> Iterator[Sentence]:
    """The sentences of all sources (files, globs, `-`, data sets), numbered from 1 over all of them. A notice names any that are the same.

    Raises:
        TextError: a source is not there or cannot be read, or a column is not there. UsageError: both a given text and a column for it.
    """
    if settings.given and settings.given_column:
        raise UsageError("a given text for all, and a column of given texts", hint="choose one")
    warn_of_repeats(names)
    number, has_warned = 0, False
    seen: set[int | str] = set()
    for source in sources.expand(names):
        for sentence in _read(source, settings):
            number += 1
            if sentence.id in seen and not has_warned:
                notice(f"several sentences have the id {sentence.id}: it does not identify their records")
                has_warned = True
            if sentence.id is not None:
                seen.add(sentence.id)
            yield Sentence(sentence.text, number if sentence.id is None else sentence.id, sentence.given, sentence.reason)


def of_texts(texts: Iterable[str], given: str = "") -> Iterator[Sentence]:
    """The sentences of texts at hand."""
    for number, text in enumerate(texts, start=1):
        yield Sentence(text, number, given)


def _read(source: str, settings: SentenceSettings) -> Iterator[_Record]:
    """The sentences of one source."""
    if source.startswith(sources.HUB) or os.path.isdir(source):
        return _dataset(source, settings)
    kind = settings.source.table_kind(source)
    if kind and (kind != tables.TSV or settings.wants_table):
        return _table(source, kind, settings)
    if kind:
        notice(f"{source} is read line by line, as no column is named; --column names the one to read of a table")
    if settings.wants_table:
        raise TextError(f"{source} does not have a table suffix", "a column is named", "tables are " + ", ".join(tables.SUFFIXES))
    return _lines(source, settings)


def _lines(source: str, settings: SentenceSettings) -> Iterator[_Record]:
    with opened(source) as stream:
        for line in text_lines(source, stream, settings.errors):
            yield _Record(line.removesuffix("\n").removesuffix("\r"), None, settings.given)


def _dataset(source: str, settings: SentenceSettings) -> Iterator[_Record]:
    if settings.id_column or settings.given_column:
        raise UsageError("columns for ids and given texts are those of tables", f"{source} is a data set", "name its files")
    for records in sources.dataset_records(source, settings.source):
        for text in records:
            yield _Record(text, None, settings.given)


def _table(source: str, kind: str, settings: SentenceSettings) -> Iterator[_Record]:
    """Columns are those of the first row that can be read; what a later one lacks is its own matter."""
    column = id_column = None
    asked = [name for name in (settings.column, settings.id_column, settings.given_column) if name]
    delimiter = settings.source.delimiter
    for row in tables.rows(source, kind, settings.errors, unreadable="report", delimiter=delimiter, columns=asked):
        if row.reason:
            yield _Record("", None, reason=row.reason)
            continue
        if column is None:
            names = [str(name) for name in row.values if name is not None]
            column = sources.column_of(names, row.where, settings.source)
            id_column = settings.id_column or (ID if ID in names and column != ID else None)
            for name in (settings.id_column, settings.given_column):
                if name and name not in names:
                    raise TextError(f"{row.where}: no column {name!r}", hint=nearest(name, names))
        yield _sentence(row, column, id_column, settings)


def _sentence(row: tables.Row, column: str, id_column: str | None, settings: SentenceSettings) -> _Record:
    values = row.values
    text, given = values.get(column), values.get(settings.given_column) if settings.given_column else settings.given
    reason = _why_no_text(column, text) or (_why_no_text(settings.given_column, given) if settings.given_column else None)
    reason = tables.TOO_LONG if row.is_too_long else reason
    id = values.get(id_column) if id_column else None
    if isinstance(id, (list, dict)):
        id = shown(id)
    id = id if id is None or (isinstance(id, (int, str)) and not isinstance(id, bool)) else str(id)
    return _Record(text if isinstance(text, str) else "", id, given if isinstance(given, str) and not reason else "", reason)


def _why_no_text(column: str | None, value: Any) -> str | None:
    return None if isinstance(value, str) else f"column {column!r} holds {'nothing' if value is None else type(value).__name__}, not text"


def check(sentences: Sequence[Sentence], special_symbols: str, nulls: bool) -> tuple[list[Sentence], list[str | None]]:
    """The sentences as they are scored (`special_symbols` treated, a blank one empty), and why each has no score, or None.

    Raises:
        TextError: one cannot be scored, unless there are to be `nulls`.
    """
    if _is_plain(sentences):
        return [each if each.text.strip(WORD_SPACE) else Sentence("", each.id, each.given) for each in sentences], [None] * len(sentences)
    checked: list[Sentence] = []
    reasons: list[str | None] = []
    for sentence in sentences:
        try:
            if sentence.reason:
                raise TextError(f"sentence {sentence.id}: {sentence.reason}")
            text, given = (_checked(part, sentence.id, special_symbols) for part in (sentence.text, sentence.given))
            checked.append(Sentence("" if is_blank(text) else text, sentence.id, given))
            reasons.append(None)
        except TextError as error:
            if not nulls:
                raise
            checked.append(Sentence(_SURROGATE.sub("\ufffd", sentence.text), sentence.id))
            reasons.append(error.what.removeprefix(f"sentence {sentence.id}: "))
    return checked, reasons


def _is_plain(sentences: Sequence[Sentence]) -> bool:
    """Whether no sentence has anything to find fault with: found out for all at once."""
    text = "\n".join([f"{each.given}{each.text}" if each.given else each.text for each in sentences])
    if "<s>" in text or "</s>" in text or text.count("\n") != len(sentences) - 1 or any(each.reason for each in sentences):
        return False
    return text.isascii() or not _SURROGATE.search(text)


def _checked(text: str, id: int | str, special_symbols: str) -> str:
    where = f"sentence {id}"
    if found := _SURROGATE.search(text):
        why = undecoded(text, found.start()) if ord(found[0]) in _BYTES else f"it holds U+{ord(found[0]):04X}"
        raise TextError(f"{where}: not UTF-8 ({why})", hint="convert it to UTF-8, or use --encoding-errors replace")
    if "\n" in text:
        raise TextError(f"{where}: a line holds a newline", hint="give each line on its own")
    return check_reserved(text, where, special_symbols)


def line_of(sentence: Sentence) -> str:
    """The line that is read: the given text, its last white space dropped, a space, the sentence."""
    given = sentence.given.rstrip(WORD_SPACE)
    if is_blank(given):
        return sentence.text
    return f"{given} {sentence.text}" if sentence.text else given
