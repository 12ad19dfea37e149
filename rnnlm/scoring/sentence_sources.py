"""Where sentences to score come from: lines of texts, rows of tables and data sets, one record each, in their order.

Nothing is left out: a blank line is a record, and so is a line that is not UTF-8 or not JSON, or a cell that holds no text, which says
why it has no score. What is damaged as a table is an error.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from rnnlm.errors import TextError, UsageError, nearest, notice, shown
from rnnlm.files import tables
from rnnlm.files.reading import opened, text_lines
from rnnlm.scoring.sentences import Sentence
from rnnlm.text import sources
from rnnlm.text.sources import SourceSettings

ID = "id"


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

    @property
    def wants_table(self) -> bool:
        return bool(self.column or self.id_column or self.given_column)

    @property
    def errors(self) -> str:
        return "replace" if self.encoding_errors == "replace" else "surrogateescape"


def read_sentences(names: tuple[str, ...], settings: SentenceSettings = SentenceSettings()) -> Iterator[Sentence]:
    """The sentences of all sources (files, globs, `-`, data sets), numbered from 1 over all of them.

    Raises:
        TextError: a source is not there or cannot be read, or a column is not there. UsageError: both a given text and a column for it.
    """
    if settings.given and settings.given_column:
        raise UsageError("a given text for all, and a column of given texts", hint="choose one")
    number, seen, is_told = 0, set(), False
    for source in sources.expand(names):
        for number, sentence in enumerate(_read(source, settings), start=number + 1):
            if sentence.id is None:
                yield replace(sentence, id=number)
                continue
            if sentence.id in seen and not is_told:
                notice(f"several sentences have the id {sentence.id}: their records cannot be told apart by it")
                is_told = True
            seen.add(sentence.id)
            yield sentence


def of_texts(texts: Iterable[str], given: str = "") -> Iterator[Sentence]:
    """The sentences of texts at hand."""
    for number, text in enumerate(texts, start=1):
        yield Sentence(text, number, given)


def _read(source: str, settings: SentenceSettings) -> Iterator[Sentence]:
    """The sentences of one source; id None: they have none of their own."""
    if source.startswith(sources.HUB) or os.path.isdir(source):
        return _dataset(source, settings)
    kind = tables.kind_of(source)
    if kind and (kind != tables.TSV or settings.wants_table):
        return _table(source, kind, settings)
    if kind:
        notice(f"{source} is read line by line, as no column is named; --column names the one to read of a table")
    if settings.wants_table:
        raise TextError(f"{source} does not have a table suffix", "a column is named", "tables are " + ", ".join(tables.SUFFIXES))
    return _lines(source, settings)


def _lines(source: str, settings: SentenceSettings) -> Iterator[Sentence]:
    with opened(source) as stream:
        for line in text_lines(source, stream, settings.errors):
            yield Sentence(line.removesuffix("\n").removesuffix("\r"), None, settings.given)


def _dataset(source: str, settings: SentenceSettings) -> Iterator[Sentence]:
    if settings.id_column or settings.given_column:
        raise UsageError("columns for ids and given texts are those of tables", f"{source} is a data set", "name its files")
    for records in sources.read(source, SourceSettings(settings.column, settings.split)):
        for text in records:
            yield Sentence(text, None, settings.given)


def _table(source: str, kind: str, settings: SentenceSettings) -> Iterator[Sentence]:
    """Columns are those of the first row that can be read; what a later one lacks is its own matter."""
    column = id_column = None
    for row in tables.rows(source, kind, settings.errors, unreadable="report"):
        if row.reason:
            yield Sentence("", None, reason=row.reason)
            continue
        if column is None:
            names = [str(name) for name in row.values if name is not None]
            column = sources.column_of(names, row.where, SourceSettings(settings.column))
            id_column = settings.id_column or (ID if ID in names and column != ID else None)
            for name in (settings.id_column, settings.given_column):
                if name and name not in names:
                    raise TextError(f"{row.where}: no column {name!r}", hint=nearest(name, names))
        yield _sentence(row, column, id_column, settings)


def _sentence(row: tables.Row, column: str, id_column: str | None, settings: SentenceSettings) -> Sentence:
    values = row.values
    text, given = values.get(column), values.get(settings.given_column) if settings.given_column else settings.given
    reason = _why_no_text(column, text) or (_why_no_text(settings.given_column, given) if settings.given_column else None)
    reason = tables.TOO_LONG if row.is_too_long else reason
    id = values.get(id_column) if id_column else None
    if isinstance(id, (list, dict)):
        id = shown(id)
    id = id if id is None or isinstance(id, (int, str)) and not isinstance(id, bool) else str(id)
    return Sentence(text if isinstance(text, str) else "", id, "" if reason else given, reason)


def _why_no_text(column: str | None, value: Any) -> str | None:
    return None if isinstance(value, str) else f"column {column!r} holds {'nothing' if value is None else type(value).__name__}, not text"
