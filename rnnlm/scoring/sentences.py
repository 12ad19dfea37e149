"""Sentences on their way to a score: lines of texts, rows of tables and data sets, one record each, in their order.

Nothing is left out: a blank line is a record, and so is a line that is not UTF-8 or not JSON, or a cell that holds no text, which says
why it has no score. What is damaged as a table is an error.
"""

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rnnlm.errors import TextError, UsageError, nearest, notice, shown
from rnnlm.files import tables
from rnnlm.files.reading import opened, text_lines
from rnnlm.scoring.carried_columns import CarriedColumns
from rnnlm.scoring.regions import Region, check_mark, joined, split_regions
from rnnlm.text import sources
from rnnlm.text.lines import WORD_SPACE, is_blank
from rnnlm.text.repeats import warn_of_repeats
from rnnlm.text.sources import SourceSettings

ID = "id"


@dataclass(frozen=True, slots=True)
class Sentence:
    """One input record. given: what comes before it in the same line and is not scored. reason: why it has no score, where that
    is known from reading it. columns: the others of its table, by name. regions: those that make up the text, if it has any.
    """

    text: str
    id: int | str
    given: str = ""
    reason: str | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    regions: tuple[Region, ...] = ()


class _Record(NamedTuple):
    """A sentence as it is read; id None: it has none of its own."""

    text: str
    id: int | str | None
    given: str = ""
    reason: str | None = None
    columns: Mapping[str, Any] = {}
    regions: tuple[Region, ...] = ()


@dataclass(frozen=True)
class SentenceSettings:
    """How sentences are read.

    column, id_column, given_column: of tables. id_column None: the column `id` where there is one, else the number of the record,
    over all sources, from 1. given: what comes before each sentence in its line, where no column says it.
    encoding_errors: "strict" makes a line that is not UTF-8 a record without a score, "replace" puts U+FFFD.
    keep: the columns of tables that sentences carry with them; None: all but those of the text and of ids.
    region_mark: what separates regions in a text. region_columns: the columns that hold them, instead of `column`.
    """

    column: str | None = None
    id_column: str | None = None
    given_column: str | None = None
    given: str = ""
    split: str = "train"
    encoding_errors: str = "strict"
    delimiter: str | None = None
    keep: tuple[str, ...] | None = None
    region_mark: str | None = None
    region_columns: tuple[str, ...] = ()

    @property
    def wants_table(self) -> bool:
        """Whether a column or its separator is named, which only tables have."""
        return bool(self.column or self.id_column or self.given_column or self.delimiter or self.keep or self.region_columns)

    @property
    def source(self) -> SourceSettings:
        """How its texts are taken out of tables and data sets."""
        return SourceSettings(self.column, self.split, self.delimiter)

    def check(self) -> None:
        """Make sure that the settings do not contradict each other.

        Raises:
            UsageError: they do, or what is to separate regions is white space.
        """
        if self.given and self.given_column:
            raise UsageError("a given text for all, and a column of given texts", hint="choose one")
        if self.region_columns and (self.column or self.region_mark is not None):
            other = "a text column" if self.column else "a mark between regions"
            raise UsageError(f"columns of regions, and {other}", "the columns of regions, joined, are the text", hint="choose one of them")
        if self.region_mark is not None:
            check_mark(self.region_mark)

    @property
    def errors(self) -> str:
        """How bytes that are not UTF-8 are decoded: Python's name of the error handler."""
        return "replace" if self.encoding_errors == "replace" else "surrogateescape"


def read_sentences(names: tuple[str, ...], settings: SentenceSettings = SentenceSettings()) -> Iterator[Sentence]:
    """The sentences of all sources (files, globs, `-`, data sets), numbered from 1 over all of them. Notices name ids that are the
    same, and tell of `|` as a word, which may be meant to separate regions.

    Raises:
        TextError: a source is not there or cannot be read, or a column is not there; the mark of a region stands inside a word.
        UsageError: the settings contradict each other.
    """
    settings.check()
    warn_of_repeats(names)
    number, has_warned, carried, with_bars = 0, False, CarriedColumns(settings.keep), 0
    seen: set[int | str] = set()
    for source in sources.expand(names):
        for sentence in _read(source, settings, carried):
            number += 1
            with_bars += settings.region_mark is None and "|" in sentence.text and "|" in sentence.text.split()
            if sentence.id in seen and not has_warned:
                notice(f"several sentences have the id {sentence.id}: it does not identify their records")
                has_warned = True
            if sentence.id is not None:
                seen.add(sentence.id)
            id = number if sentence.id is None else sentence.id
            yield Sentence(sentence.text, id, sentence.given, sentence.reason, sentence.columns, sentence.regions)
    if with_bars:
        which = "1 sentence has" if with_bars == 1 else f"{with_bars:,} sentences have"
        notice(f'{which} "|" as a word: if it separates regions, --regions "|" (region_mark="|" from Python) takes it out')


def first_columns(sentences: Iterable[Sentence]) -> tuple[list[str], Iterator[Sentence]]:
    """The names of the columns that the sentences carry, and all the sentences, of which those up to the first readable one were read."""
    sentences, read = iter(sentences), []
    for sentence in sentences:
        read.append(sentence)
        if sentence.columns or not sentence.reason:
            break
    return list(read[-1].columns) if read else [], itertools.chain(read, sentences)


def of_texts(texts: Iterable[str], given: str | Iterable[str] = "", region_mark: str | None = None) -> Iterator[Sentence]:
    """The sentences of texts at hand. given: one for all, or one for each. region_mark: what separates regions in a text.

    Raises:
        TextError: it stands inside a word. UsageError: it cannot separate regions.
    """
    if region_mark is not None:
        check_mark(region_mark)
    before = itertools.repeat(given) if isinstance(given, str) else given
    for number, (text, its) in enumerate(zip(texts, before, strict=False), start=1):
        text, regions = _regions(text, region_mark, f"sentence {number}") if region_mark else (text, ())
        yield Sentence(text, number, its, regions=regions)


def _regions(text: str, mark: str, where: str) -> tuple[str, tuple[Region, ...]]:
    regions = split_regions(text, mark, where)
    return joined(regions), regions


def _read(source: str, settings: SentenceSettings, carried: CarriedColumns) -> Iterator[_Record]:
    """The sentences of one source."""
    if source.startswith(sources.HUB) or os.path.isdir(source):
        return _dataset(source, settings)
    kind = settings.source.table_kind(source)
    if kind and (kind != tables.TSV or settings.wants_table):
        return _table(source, kind, settings, carried)
    if kind:
        notice(f"{source} is read line by line, as no column is named; --column names the one to read of a table")
    if settings.wants_table:
        raise TextError(f"{source} does not have a table suffix", "a column is named", "tables are " + ", ".join(tables.SUFFIXES))
    return _lines(source, settings)


def _lines(source: str, settings: SentenceSettings) -> Iterator[_Record]:
    with opened(source) as stream:
        for number, line in enumerate(text_lines(source, stream, settings.errors), start=1):
            text = line.removesuffix("\n").removesuffix("\r")
            if settings.region_mark:
                text, regions = _regions(text, settings.region_mark, f"{source}, line {number}")
                yield _Record(text, None, settings.given, regions=regions)
            else:
                yield _Record(text, None, settings.given)


def _dataset(source: str, settings: SentenceSettings) -> Iterator[_Record]:
    if settings.id_column or settings.given_column or settings.keep or settings.region_columns:
        raise UsageError("columns beside the text are those of tables", f"{source} is a data set", "name its files")
    texts = itertools.chain.from_iterable(sources.dataset_records(source, settings.source))
    for number, text in enumerate(texts, start=1):
        regions: tuple[Region, ...] = ()
        if settings.region_mark:
            text, regions = _regions(text, settings.region_mark, f"{source}, row {number}")
        yield _Record(text, None, settings.given, regions=regions)


def _table(source: str, kind: str, settings: SentenceSettings, carried: CarriedColumns) -> Iterator[_Record]:
    """Columns are those of the first row that can be read; what a later one lacks is its own matter."""
    texts: tuple[str, ...] = ()
    id_column = None
    named = (settings.column, settings.id_column, settings.given_column, *settings.region_columns, *(settings.keep or ()))
    asked, delimiter = [name for name in named if name], settings.source.delimiter
    for row in tables.rows(source, kind, settings.errors, unreadable="report", delimiter=delimiter, columns=asked):
        if row.reason:
            yield _Record("", None, reason=row.reason)
            continue
        if not texts:
            names = [str(name) for name in row.values if name is not None]
            texts = settings.region_columns or (sources.column_of(names, row.where, settings.source),)
            id_column = settings.id_column or (ID if ID in names and ID not in texts else None)
            for name in (settings.id_column, settings.given_column, *settings.region_columns):
                if name and name not in names:
                    raise TextError(f"{row.where}: no column {name!r}", hint=nearest(name, names))
            carried.begin_table(source, names, {*texts, *([ID] if id_column == ID else [])})
        yield _sentence(row, texts, id_column, settings, carried.of(row))


def _sentence(
    row: tables.Row, texts: tuple[str, ...], id_column: str | None, settings: SentenceSettings, columns: Mapping[str, Any]
) -> _Record:
    text, regions, reason = _text_of(row, texts, settings)
    given = row.values.get(settings.given_column) if settings.given_column else settings.given
    reason = reason or (_why_no_text(settings.given_column, given) if settings.given_column else None)
    reason = tables.TOO_LONG if row.is_too_long else reason
    id = row.values.get(id_column) if id_column else None
    if isinstance(id, (list, dict)):
        id = shown(id)
    id = id if id is None or (isinstance(id, (int, str)) and not isinstance(id, bool)) else str(id)
    return _Record(text, id, given if isinstance(given, str) and not reason else "", reason, columns, regions)


def _text_of(row: tables.Row, texts: tuple[str, ...], settings: SentenceSettings) -> tuple[str, tuple[Region, ...], str | None]:
    """The text of a row, its regions, and why it has none."""
    values = row.values
    if settings.region_columns:
        cells = [(name, "" if values.get(name) is None else values[name]) for name in texts]
        if reason := next((why for name, cell in cells if (why := _why_no_text(name, cell))), None):
            return "", (), reason
        regions = tuple(Region(cell.strip(WORD_SPACE), index, name) for index, (name, cell) in enumerate(cells, start=1))
        return joined(regions), regions, None
    text = values.get(texts[0])
    if not isinstance(text, str):
        return "", (), _why_no_text(texts[0], text)
    if settings.region_mark and not row.is_too_long:
        return *_regions(text, settings.region_mark, row.where), None
    return text, (), None


def _why_no_text(column: str | None, value: Any) -> str | None:
    return None if isinstance(value, str) else f"column {column!r} holds {'nothing' if value is None else type(value).__name__}, not text"


def line_of(sentence: Sentence) -> str:
    """The line that is read: the given text, its last white space dropped, a space, the sentence."""
    given = sentence.given.rstrip(WORD_SPACE)
    if is_blank(given):
        return sentence.text
    return f"{given} {sentence.text}" if sentence.text else given
