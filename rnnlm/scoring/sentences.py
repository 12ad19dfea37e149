"""Read sentences to be scored: lines of texts, rows of tables and data sets, one record each, in
their order.

Nothing is left out: a blank line is a record, and so is a line that is not UTF-8 or not JSON, or a
cell that holds no text, which says why it has no score. A damaged table is an error.
"""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from rnnlm.checks import several
from rnnlm.errors import TextError, UsageError, keyword, notice, shown
from rnnlm.scoring.settings import SentenceSettings, check_mark
from rnnlm.scoring.word_scores import Region, joined, split_regions
from rnnlm.storage.files import tables
from rnnlm.storage.files.reading import (
    STANDARD_INPUT,
    check_mostly_utf8,
    opened,
    shown_name,
    text_lines,
)
from rnnlm.text import sources
from rnnlm.text.lines import WORD_SPACE, is_blank, unwrapped, without_end
from rnnlm.text.named_columns import (
    LEFT_OUT,
    InputTable,
    RowFilter,
    column_named,
    detect_format,
    new_names,
    open_table,
    tell_of_guess,
    text_column,
    why_no_text,
)
from rnnlm.text.sources import warn_of_repeats
from rnnlm.text.word_rows import sentences_of, tell_of_word_rows, word_column

# ---- Columns of a table of sentences that go with them into the table of their scores, such as an
# item and its condition.

OWN = frozenset({
    "id", "text", "logprob_nats", "tokens", "words", "oov", "ppl_word", "reason", "surprisals",
    "word_surprisals", "regions", "position",
    "token", "word", "word_index", "start", "end", "surprisal_bits", "next_surprisal_bits",
    "entropy_bits", "log10_frequency", "rank", "order", "region",
    "region_index", "next", "probability", "model", "word_length",
    "previous_surprisal_bits", "previous_word_length", "previous_log10_frequency", "previous_oov",
    "previous2_surprisal_bits", "previous2_word_length", "previous2_log10_frequency",
    "previous2_oov",
})  # fmt: skip


class CarriedColumns:
    """The columns that are carried through: the columns of the first table, so that all rows have
    the same. `keep` are their names; with None, :meth:`begin_table` leaves out some."""

    def __init__(self, keep: Sequence[str] | None) -> None:
        self._keep = keep
        self._shown: dict[str, str] | None = None  # name -> name in the result
        self._known: set[str] = set()
        self._rules_noticed: set[str] = set()

    def begin_table(
        self, source: str, names: Sequence[str], left_out: set[str], always: Sequence[str]
    ) -> None:
        """Begin a table with columns of these names, of which those in `always` are carried in any
        case.

        Raises:
            TextError: one of the columns to keep is not among them.
        """
        keep = [column_named(name, names, source) for name in self._keep or ()]
        self._known = {*names, *left_out}
        if self._shown is None:
            if self._keep is None:
                kept = [name for name in names if name not in left_out]
            else:
                kept = list(dict.fromkeys([*always, *keep]))
            self._shown = _renamed(kept)
            return

        # Later tables give the columns of the first one that they have.
        missing = [name for name in self._shown if name not in names]
        if missing:
            self.notify_once(
                f"{source} lacks the columns {', '.join(missing)} of the first table",
                "their cells are left empty",
            )
        others = self._known - self._shown.keys() - left_out
        if self._keep is None and others:
            self.notify_once(
                f"{source} has columns that the first table lacks ({', '.join(sorted(others))})",
                "these columns are left out",
            )

    def notify_once(self, place: str, rule: str) -> None:
        """Send a notice of the first place where the rule applies; it holds for those that
        follow."""
        if rule not in self._rules_noticed:
            self._rules_noticed.add(rule)
            notice(f"{place}: {rule}")

    def of(self, row: tables.Row) -> dict[str, Any]:
        """Return the columns that a row carries, by the names in the result."""
        # A JSON object may have any names.
        others = row.values.keys() - self._known - {None}
        if self._keep is None and others:
            self._known |= set(map(str, others))
            names = ", ".join(sorted(map(str, others)))
            self.notify_once(
                f"{row.where} has columns that the first row lacks ({names})",
                "these columns are left out",
            )
        shown = self._shown or {}
        return {
            name: tables.without_halves(row.values.get(column)) for column, name in shown.items()
        }


def _renamed(names: Sequence[str]) -> dict[str, str]:
    """Return the names in the result for these names, with a notice of those that differ."""
    shown = new_names(names, OWN)
    changed = [f"{name} to {new_name}" for name, new_name in shown.items() if new_name != name]
    if changed:
        notice(f"columns named like a score are renamed in the result: {', '.join(changed)}")
    return shown


# ---- The sentences of files, globs, standard input and data sets.

ID = "id"


@dataclass(slots=True)
class Sentence:
    """One input record.

    Attributes:
        text: The text to score.
        id: Id in its table, or number of the record over all sources, from 1.
        given: Text before it in the same line, which is not scored.
        reason: Reason why it has no score, if reading found one.
        columns: Other columns of its table, by name.
        by_word: Whether its table has a row for each word, so that each of its columns is a tuple
            with a value for each word.
        kept: Of each word, whether the result has its row. Empty: all of them.
        regions: Regions that make up the text, if any.
        source: Condition of its score besides the text before it. Only models that read conditions
            understand it; language models score only the text.
    """

    text: str
    id: int | str | None = None
    given: str = ""
    reason: str | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    regions: tuple[Region, ...] = ()
    source: Any = None
    by_word: bool = False
    kept: tuple[bool, ...] = ()


def read_sentences(
    names: str | Path | Sequence[str | Path],
    settings: SentenceSettings = SentenceSettings(),
    **changes: Any,
) -> Iterator[Sentence]:
    """Read sentences, numbered from 1 throughout. Notices report duplicate ids, and `|` as a word,
    which may be meant to separate regions.

    Args:
        names: One or more files, globs, data sets or `-`.
        settings: How to read them.
        **changes: Fields of the settings with other values.

    Returns:
        An iterator over the sentences.

    Raises:
        UsageError: The settings contradict each other.
        TextError: With the first sentence, a source or a column does not exist, a source cannot be
            read, the mark of a region is inside a word, or the lengths of files differ.
    """
    settings = replace(settings, **changes) if changes else settings
    settings.check()
    given = [names] if isinstance(names, (str, os.PathLike)) else several(names, "names")
    files = tuple(os.fspath(name) for name in given)
    warn_of_repeats(files)
    return _numbered(settings.records(files) or _records(files, settings), settings)


def _numbered(records: Iterator[Sentence], settings: SentenceSettings) -> Iterator[Sentence]:
    """Yield the sentences of records, with defaults for missing fields."""
    has_warned, with_bars = False, 0
    seen: set[int | str] = set()
    for number, sentence in enumerate(records, start=1):
        if sentence.reason == LEFT_OUT:  # its number is no other sentence's
            continue
        # Texts that may have been meant in another way.
        if settings.region_mark is None and "|" in sentence.text:
            with_bars += "|" in sentence.text.split()
        if sentence.id in seen and not has_warned:
            notice(
                f"several sentences have the id {sentence.id}, so it does not identify "
                "their records"
            )
            has_warned = True
        if sentence.id is not None:
            seen.add(sentence.id)

        # Fields that a sentence does not have itself.
        if sentence.id is None:
            sentence.id = number
        if sentence.source is None:
            sentence.source = settings.condition
        yield sentence
    if with_bars:
        which = "1 sentence has" if with_bars == 1 else f"{with_bars:,} sentences have"
        notice(
            f'{which} "|" as a word: if it separates regions, '
            + keyword("region_mark", "|")
            + " takes it out"
        )


def read_texts(
    names: tuple[str, ...], settings: SentenceSettings = SentenceSettings()
) -> Iterator[tuple[str, str, str | None]]:
    """Yield the texts of all files, globs, `-` and data sets, each with its place before it, `FILE,
    line 3`, in a table `FILE, row 3`, and behind it the reason why a row has none. Bytes that are
    not UTF-8 are in them as :func:`rnnlm.scoring.scorer.checked_text` finds them.

    TextError: a source is not there or cannot be read, or a column is not there.
    """
    warn_of_repeats(names)
    carried = CarriedColumns(())
    files = sources.expand(names)
    row_filter = RowFilter(settings.where, len(files))
    for name in files:
        check_encoding(name, settings)
    for name in files:
        has_rows = _is_dataset(name) or _is_table(tables.kind_of(name), settings)
        unit = "row" if has_rows else "line"
        for number, record in enumerate(_read(name, settings, carried, row_filter), start=1):
            yield f"{shown_name(name)}, {unit} {number}", record.text, record.reason


def of_arguments(texts: Iterable[str], settings: SentenceSettings) -> Iterator[Sentence]:
    """Yield the sentences of texts at hand, read as the settings say."""
    spaced = map(settings.spaced, texts)
    return of_texts(spaced, settings.given, settings.region_mark, settings.condition)


def first_columns(sentences: Iterable[Sentence]) -> tuple[list[str], Iterator[Sentence]]:
    """Return the names of the columns that the sentences carry, and all the sentences, of which
    those up to the first readable one were read."""
    sentences, read = iter(sentences), []
    for sentence in sentences:
        read.append(sentence)
        if sentence.columns or not sentence.reason:
            break
    return (list(read[-1].columns) if read else []), itertools.chain(read, sentences)


def of_texts(
    texts: Iterable[str],
    given: str | Iterable[str] = "",
    region_mark: str | None = None,
    conditions: Any = None,
) -> Iterator[Sentence]:
    """Yield the sentences of texts at hand. All may have one given text and one condition, or each
    its own.

    Raises:
        TextError: `region_mark`, which separates regions in a text, is inside a word.
        UsageError: it cannot separate regions.
    """
    if region_mark is not None:
        check_mark(region_mark)
    rows = zip(texts, _for_each(given), _for_each(conditions), strict=False)
    for number, (text, before, condition) in enumerate(rows, start=1):
        text, regions = without_marks(text, region_mark, f"sentence {number}")
        yield Sentence(text, number, before or "", regions=regions, source=condition)


def _for_each(texts: str | Iterable[str] | None) -> Iterable[str | None]:
    """Return one text for each sentence, where `texts` may be one for all."""
    return itertools.repeat(texts) if texts is None or isinstance(texts, str) else texts


def without_marks(text: str, mark: str | None, where: str) -> tuple[str, tuple[Region, ...]]:
    """Return the text without the marks, and its regions; none where there is no mark."""
    if not mark:
        return text, ()
    regions = split_regions(text, mark, where)
    return joined(regions), regions


def _records(names: tuple[str, ...], settings: SentenceSettings) -> Iterator[Sentence]:
    """Yield the sentences of all sources, one after the other."""
    carried = CarriedColumns(settings.keep)
    files = sources.expand(names)
    row_filter = RowFilter(settings.where, len(files))
    for name in files:
        check_encoding(name, settings)
    for name in files:
        yield from _read(name, settings, carried, row_filter)


def _read(
    name: str, settings: SentenceSettings, carried: CarriedColumns, row_filter: RowFilter
) -> Iterator[Sentence]:
    """Return the sentences of one source: a data set, a table, or lines."""
    kind = tables.kind_of(name)
    has_rows = _is_dataset(name) or settings.wants_table or _is_table(kind, settings)
    if has_rows:
        check_unwrap(name, settings)
    if _is_dataset(name):
        return _dataset(name, settings)

    # A table, where it is one by its name and columns are asked for; else lines.
    if not kind and settings.wants_table:
        lines_are_json = detect_format(name, settings.errors, lambda lines: "") == "jsonl"
        kind = tables.JSON_LINES if lines_are_json else None
    if kind and _is_table(kind, settings):
        return _table(name, kind, settings, carried, row_filter)
    if settings.wants_table:
        raise TextError(
            f"{shown_name(name)} does not have a table suffix",
            "a column is named",
            "tables are " + ", ".join(tables.SUFFIXES),
        )
    return _lines(name, settings)


def check_unwrap(name: str, settings: SentenceSettings) -> None:
    """Make sure that the rows of a table are not to be joined like lines."""
    if settings.unwrap:
        raise UsageError(
            f"{shown_name(name)} is a table: its rows are the sentences",
            keyword("unwrap") + " joins the lines of text files",
            "leave it out",
        )


def check_encoding(source: str, settings: SentenceSettings) -> None:
    """Make sure that no more than a few lines of a file are not UTF-8, before any of them is read.
    Standard input and pipes are read once, and the texts of Parquet files are within."""
    is_read_again = source != STANDARD_INPUT and os.path.isfile(source)
    if settings.errors != "replace" and is_read_again and tables.kind_of(source) != tables.PARQUET:
        check_mostly_utf8(source)


def _is_dataset(source: str) -> bool:
    return source.startswith(sources.HUB) or os.path.isdir(source)


def _is_table(kind: str | None, settings: SentenceSettings) -> bool:
    return kind is not None and (kind != tables.TSV or settings.wants_table)


def _lines(source: str, settings: SentenceSettings) -> Iterator[Sentence]:
    with opened(source, errors=settings.encoding_errors) as stream:
        tables.tell_read_as_text(source, stream)
        lines: Iterator[str] = map(without_end, text_lines(source, stream, settings.errors))
        # The blank lines between paragraphs are no sentences.
        if settings.unwrap:
            lines = filter(None, unwrapped(lines, shown_name(source)))
        for number, text in enumerate(lines, start=1):
            reason = _why_unreadable(text, settings) if "\0" in text else None
            text = settings.spaced(text)
            regions: tuple[Region, ...] = ()
            if settings.region_mark and not reason:
                where = f"{shown_name(source)}, line {number}"
                text, regions = without_marks(text, settings.region_mark, where)
            yield Sentence(text, None, settings.given, reason, regions=regions)


def _dataset(source: str, settings: SentenceSettings) -> Iterator[Sentence]:
    if (
        settings.id_column or settings.given_column or settings.keep or settings.region_columns
        or settings.sentence_columns or settings.where
    ):  # fmt: skip
        raise UsageError(
            "only tables have columns besides the text", f"{source} is a data set", "name its files"
        )
    texts = itertools.chain.from_iterable(sources.dataset_records(source, settings.source))
    for number, text in enumerate(texts, start=1):
        if not tables.has_text(text):
            yield Sentence("", None, reason="the row holds no text")
            continue
        text = settings.spaced(text)
        text, regions = without_marks(text, settings.region_mark, f"{source}, row {number}")
        yield Sentence(text, None, settings.given, regions=regions)


def _table(
    source: str,
    kind: str,
    settings: SentenceSettings,
    carried: CarriedColumns,
    row_filter: RowFilter,
) -> Iterator[Sentence]:
    """Yield the rows of a table. Columns are the columns of the first row that can be read; cells
    that a later one lacks concern that row alone."""
    named = (
        settings.column, settings.id_column, settings.given_column,
        *settings.region_columns, *(settings.keep or ()), *settings.sentence_columns,
    )  # fmt: skip
    table = open_table(source, kind, settings.errors, named, unreadable="report")
    table = row_filter.marked(table)
    if settings.sentence_columns:
        yield from _sentences_of_words(table, settings, carried)
        return
    yield from sentences_of_rows(table, settings, carried, _columns_of)


def sentences_of_rows(
    table: InputTable,
    settings: SentenceSettings,
    carried: CarriedColumns,
    find: "Callable[[InputTable, SentenceSettings], Columns]",
) -> Iterator[Sentence]:
    """Yield a sentence for each row of a table. find: finds the columns of the table."""
    columns = None
    if table.names:
        columns = find(table, settings)
        if len(columns.texts) == 1 and not columns.condition:
            [text] = columns.texts
            of_text = settings.column or settings.region_columns
            tell_of_guess(table.source, table.names, text, of_text)
            tell_of_word_rows(table, text)
        left_out = set(columns.texts)
        if columns.id == ID:
            left_out.add(ID)
        always = [columns.condition] if columns.condition else []
        carried.begin_table(table.source, table.names, left_out, always)
    for row in table.rows:
        if row.reason:
            yield Sentence("", None, reason=row.reason)
            continue
        # The first rows have no columns at all: an error says so.
        columns = columns or find(table, settings)
        yield _sentence(row, columns, settings, carried.of(row))


def _sentences_of_words(
    table: InputTable, settings: SentenceSettings, carried: CarriedColumns
) -> Iterator[Sentence]:
    """Yield the sentences of a table with a row a word, with the columns of all its rows."""
    if not table.sample:
        return
    column = word_column(table, settings.column, settings.sentence_columns)
    tell_of_guess(table.source, table.names, column, settings.column)
    # The result has the words anyway: they are carried only under a name that it does not have.
    carried.begin_table(table.source, table.names, {column} & OWN, ())
    for sentence in sentences_of(table, column, settings.sentence_columns):
        if not sentence.rows:
            yield Sentence("", reason=LEFT_OUT)
            continue
        rows = list(map(carried.of, sentence.rows))
        columns = {name: tuple(row[name] for row in rows) for name in rows[0]}
        text = " ".join(sentence.words)
        kept = tuple(row.reason != LEFT_OUT for row in sentence.rows)
        yield Sentence(text, given=settings.given, columns=columns, by_word=True, kept=kept)


class Columns(NamedTuple):
    """The names of the columns that hold the text (one, or its regions), the ids, the conditions,
    and the given texts; None where there are none."""

    texts: tuple[str, ...]
    id: str | None
    condition: str | None = None
    given: str | None = None


def _columns_of(table: InputTable, settings: SentenceSettings) -> Columns:
    """Find the columns that the settings ask for in a table."""
    names, where = table.names, table.where
    texts = tuple(column_named(name, names, where) for name in settings.region_columns)
    texts = texts or (text_column(names, table.sample, where, settings.column),)
    return columns_beside(table, settings, texts)


def columns_beside(
    table: InputTable,
    settings: SentenceSettings,
    texts: tuple[str, ...],
    condition: str | None = None,
) -> Columns:
    """Find the columns of ids and given texts beside those of the texts and of their conditions."""
    names, where = table.names, table.where

    # A column "id" holds the ids, unless it is the text.
    id, before = (
        name and column_named(name, names, where)
        for name in (settings.id_column, settings.given_column)
    )
    if not id and ID in names and ID not in (*texts, condition):
        id = ID
    return Columns(texts, id or None, condition, before or None)


def _sentence(
    row: tables.Row, of: Columns, settings: SentenceSettings, columns: Mapping[str, Any]
) -> Sentence:
    """Make a sentence of a row, or say why it has no text."""
    # A reason not to score it: the first cell that is no text, or a row that is too long.
    text, regions, reason = _text_of(row, of.texts, settings)
    given: Any = settings.given
    if of.given:
        # An empty cell gives nothing.
        given = _cell(row, of.given, settings)
        if not tables.has_text(given):
            given = ""
        reason = reason or (why_no_text(given, of.given) if given else None)
    condition: Any = None
    if of.condition:
        condition = _cell(row, of.condition, settings)
        reason = reason or why_no_text(condition, of.condition)
    reason = reason or _why_unreadable(text, settings)
    if row.is_too_long:
        reason = tables.TOO_LONG

    # Ids are numbers or texts; other JSON types are shown.
    id = tables.without_halves(row.values.get(of.id)) if of.id else None
    if isinstance(id, (list, dict)):
        id = shown(id)
    elif id is not None and (isinstance(id, bool) or not isinstance(id, (int, str))):
        id = str(id)
    if reason:
        given, condition = "", None
    given, condition = settings.spaced(given), condition and settings.spaced(condition)
    return Sentence(
        text=text,
        id=id,
        given=given,
        reason=reason,
        columns=columns,
        regions=regions,
        source=condition,
    )


def _cell(row: tables.Row, name: str, settings: SentenceSettings) -> Any:
    """Return a cell of a row. Bytes become text, whose faults are those of lines."""
    value: Any = row.values.get(name)
    return value.decode("utf-8", settings.errors) if isinstance(value, bytes) else value


def _text_of(
    row: tables.Row, texts: tuple[str, ...], settings: SentenceSettings
) -> tuple[str, tuple[Region, ...], str | None]:
    """Return the text of a row, its regions, and why it has none."""
    if not settings.region_columns:
        text: Any = _cell(row, texts[0], settings)
        reason = why_no_text(text, texts[0])
        if reason:
            return "", (), reason
        mark = None if row.is_too_long else settings.region_mark
        return *without_marks(settings.spaced(text), mark, row.where), None

    # An empty cell is a region without words.
    regions = []
    for index, name in enumerate(texts, start=1):
        cell: Any = _cell(row, name, settings)
        if not tables.has_text(cell):
            cell = ""
        reason = why_no_text(cell, name) if cell else None
        if reason:
            return "", (), reason
        regions.append(Region(settings.spaced(cell.strip(WORD_SPACE)), index, name))
    if not any(region.text for region in regions):
        return "", (), f"columns {', '.join(texts)} hold no text"
    return joined(regions), tuple(regions), None


def _why_unreadable(text: str, settings: SentenceSettings) -> str | None:
    nuls = text.count("\0")
    if not nuls or settings.encoding_errors == "replace":
        return None
    return "it holds a NUL byte" if nuls == 1 else f"it holds {nuls:,} NUL bytes"


def line_of(sentence: Sentence) -> str:
    """Return the line that is read: the given text, its last white space dropped, a space, the
    sentence."""
    given = sentence.given.rstrip(WORD_SPACE)
    if is_blank(given):
        return sentence.text
    return f"{given} {sentence.text}" if sentence.text else given
