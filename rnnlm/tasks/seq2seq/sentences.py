"""Read sentences that are targets of sources: from tables of pairs, or from files side by side."""

from collections.abc import Iterator

from rnnlm.errors import TextError, UsageError, keyword
from rnnlm.scoring.sentences import (
    CarriedColumns,
    Columns,
    Sentence,
    check_encoding,
    check_unwrap,
    columns_beside,
    sentences_of_rows,
    without_marks,
)
from rnnlm.scoring.settings import SentenceSettings
from rnnlm.storage.files import tables
from rnnlm.storage.files.reading import shown_name
from rnnlm.tasks.seq2seq.options import ParallelSettings
from rnnlm.tasks.seq2seq.pairs import SOURCE, columns_of, open_pairs, side_by_side
from rnnlm.text.named_columns import InputTable, RowFilter
from rnnlm.text.sources import expand_files

# ---- Files of sources and of their targets, line by line; tables of pairs.


def records(names: tuple[str, ...], settings: SentenceSettings) -> Iterator[Sentence] | None:
    """Return the targets of files, each with its source; None if they are neither in tables of
    pairs nor in files of targets. Refuse settings that contradict each other."""
    if settings.given_source is not None and settings.target_column:
        raise UsageError(
            "the source is given twice",
            "one source for all targets cannot be combined with a column of targets "
            "beside their sources",
            "choose one",
        )
    if settings.are_pairs and settings.sentence_columns:
        raise UsageError(
            keyword("sentence_columns") + " cannot be combined with columns of ids or of given "
            "texts, with regions or pairs",
            "each row holds one word of a sentence",
            "leave the others out",
        )
    # Regions are one text cut into pieces: its pieces cannot come from two places.
    if settings.are_pairs and settings.region_columns:
        raise UsageError(
            "region columns cannot be combined with pairs",
            "a target is one column",
            "mark regions within it: " + keyword("regions", "MARK"),
        )
    if settings.targets:
        return _of_files(names, settings)
    return _of_tables(names, settings) if settings.are_pairs else None


def _of_files(names: tuple[str, ...], settings: SentenceSettings) -> Iterator[Sentence]:
    """Yield the sentences of the files of targets, whose sources are on the same lines of the files
    `names`."""
    if (
        settings.wants_table or settings.target_column or settings.given_source is not None
        or settings.unwrap
    ):  # fmt: skip
        raise UsageError(
            "columns, unwrapping, and one source for all, are for tables and sentences only",
            keyword("target") + " names a file of plain lines, one target for each source",
            "leave one out",
        )
    target_files = expand_files(settings.targets, "targets", ".txt")
    source_files = expand_files(names, "sources", ".txt")
    if len(target_files) != len(source_files):
        raise UsageError(
            f"there are {len(source_files)} source files and {len(target_files)} target files",
            "each source file needs a target file",
            "name as many files with " + keyword("target"),
        )
    both = list(zip(source_files, target_files, strict=True))
    for files in both:
        for name in files:
            check_encoding(name, settings)
    for source, target in both:
        yield from _side_by_side(source, target, settings)


def _side_by_side(source: str, target: str, settings: SentenceSettings) -> Iterator[Sentence]:
    for number, lines in side_by_side((source, target), settings.errors, "targets"):
        before, text = map(settings.spaced, lines)
        where = f"{shown_name(target)}, line {number}"
        text, regions = without_marks(text, settings.region_mark, where)
        columns = {SOURCE: tables.without_halves(before)}
        yield Sentence(text, given=settings.given, columns=columns, regions=regions, source=before)


def _of_tables(names: tuple[str, ...], settings: SentenceSettings) -> Iterator[Sentence]:
    """Yield the targets of tables of pairs, each with its source."""
    carried = CarriedColumns(settings.keep)
    files = expand_files(names, "pairs", ".tsv")
    row_filter = RowFilter(settings.where, len(files))
    for name in files:
        check_encoding(name, settings)
    named = (
        settings.column, settings.target_column, settings.id_column, settings.given_column,
        *(settings.keep or ()),
    )  # fmt: skip
    for name in files:
        check_unwrap(name, settings)
        kind = tables.kind_of(name) or tables.TSV
        table = open_pairs(name, kind, settings.errors, named, unreadable="report")
        yield from sentences_of_rows(row_filter.marked(table), settings, carried, _columns_of)


def _columns_of(table: InputTable, settings: SentenceSettings) -> Columns:
    """Find the columns of sources and targets, and those that the settings ask for."""
    if len(table.names) < 2:
        hint = (
            "name a table with "
            + keyword("input")
            + "; or the files of both sides, with "
            + keyword("input")
            + " and "
            + keyword("target")
            + "; or one source with "
            + keyword("source")
        )
        raise TextError(
            f"{table.where}: not a row of a table of pairs",
            "an encoder-decoder scores targets given their sources",
            hint,
        )
    named = ParallelSettings(column=settings.column, target_column=settings.target_column)
    source, target = columns_of(table, named)
    return columns_beside(table, settings, (target,), source)
