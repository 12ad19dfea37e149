"""Read parallel text, a source and its targets, from tables or from files side by side, to train,
evaluate and score."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, islice, permutations, zip_longest
from os import PathLike
from typing import Any

import msgspec

from rnnlm.amounts import plural
from rnnlm.errors import TextError, UsageError, keyword, notice, shown
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
from rnnlm.storage.files import tables, writing
from rnnlm.storage.files.reading import shown_name
from rnnlm.tasks.common.text_files import LEXICON, are_pronounced
from rnnlm.tasks.seq2seq.options import ParallelSettings
from rnnlm.text import named_columns, sources
from rnnlm.text.lines import WORD_SPACE, check_reserved, is_blank, lines_with_ends, without_end
from rnnlm.text.named_columns import (
    KINDS,
    USUAL_PAIRS,
    InputTable,
    RowFilter,
    Values,
    cell,
    column_named,
    likely_texts,
    open_table,
    table_of,
    text_of,
    unclear,
    usual_among,
)

# ---- Texts become pairs: special symbols are treated as the settings say, and sides without words
# are an error or left out.


class PairCollector:
    """Collects pairs, and counts the empty ones that are left out."""

    def __init__(self, settings: ParallelSettings) -> None:
        self.settings = settings
        self.pairs: list[ParallelPair] = []
        self.pairs_left_out = 0
        self.references_left_out = 0  # from pairs that have others

    def add(
        self, texts: Sequence[str], places: Sequence[str], line: int, file: str, skips: bool
    ) -> None:
        """Add the pair in that line of a file. texts: its source and its references; places: where
        each of them comes from, for messages. skips: whether it is left out where it is empty."""
        # Most texts are plain, which is quickly seen.
        for text in texts:
            if "s>" in text or "\n" in text or not text.strip(WORD_SPACE):
                texts = list(map(self._as_line, texts, places))
                break
        if len(texts) < 2 or not all(texts):
            texts = self._filled(texts, places, skips)
        if texts:
            self.pairs.append(ParallelPair(texts[0], tuple(texts[1:]), line, file))

    def notify_empty(self) -> None:
        """Send a notice of pairs that were left out, if there are any."""
        if self.pairs_left_out:
            read = len(self.pairs) + self.pairs_left_out
            notice(
                "pairs left out because their source or target is empty: "
                f"{self.pairs_left_out:,} of {read:,}"
            )
        if self.references_left_out:
            notice(
                f"empty references left out of pairs that have others: {self.references_left_out:,}"
            )

    def _as_line(self, text: str, place: str) -> str:
        """Return a text as one line, also where a cell holds several; "" where it has no words."""
        text = on_one_line(check_reserved(text, place, self.settings.special_symbols))
        return "" if is_blank(text) else text

    def _filled(self, texts: Sequence[str], places: Sequence[str], skips: bool) -> Sequence[str]:
        """Return the source and the references that are not empty; nothing where there is not one
        of each."""
        source, *references = texts
        if not skips:
            place = places[texts.index("")] if "" in texts else places[0]
            side = "target" if source else "source"
            raise TextError(
                f"{place}: the {side} is empty",
                "a pair needs words on both sides",
                keyword("skip_empty", True) + " leaves such pairs out",
            )
        filled = list(filter(None, references))
        if not (source and filled):
            self.pairs_left_out += 1
            return ()
        self.references_left_out += len(references) - len(filled)
        return (source, *filled)


def on_one_line(text: str) -> str:
    """Return a text as one line, also where a cell holds several."""
    if "\n" not in text:
        return text
    return text.strip("\r\n").replace("\r\n", " ").replace("\n", " ")


# ---- The format of a file of pairs, inferred from its name, else from its first line.


def detect_format(source: str, settings: ParallelSettings) -> str:
    """Return the format of a file that holds both sides, as :class:`ParallelSettings` calls it."""

    def by_lines(lines: Iterator[str]) -> str:
        # For an empty file any format will do: reading it reports that it is empty.
        start = list(islice(lines, tables.SAMPLE_ROWS)) or ["\t"]
        first = start[0]
        if "\t" in first or are_pronounced(start):
            return "tsv"
        raise TextError(
            f"{source}: its pair format is not recognised",
            f"its first line is {shown(first)}",
            "name its format with "
            + keyword("format")
            + ", or the file of the targets with "
            + keyword("target"),
        )

    errors = settings.encoding_errors
    return named_columns.detect_format(source, errors, by_lines, said=settings.format)


# ---- Pairs: a source, and its translation, spelling or answer.


@dataclass(frozen=True, slots=True)
class ParallelPair:
    """A source and its references, the targets that are right: one or more. Each is a line without
    its end, and holds at least one word.

    line: its place in its file, from 1 (the row of a Parquet file, the element of a JSON array).
    file: the file of the source.
    """

    source: str
    references: tuple[str, ...]
    line: int
    file: str

    @property
    def where(self) -> str:
        """Its file and line, for messages."""
        return f"{self.file}, line {self.line}"


@dataclass(frozen=True)
class ParallelText:
    """Pairs, in the order of their files.

    source_name, target_name: the names of their columns, or "source" and "target". format: of
    :class:`ParallelSettings`, never "auto".
    """

    pairs: tuple[ParallelPair, ...]
    source_name: str
    target_name: str
    format: str

    @cached_property
    def content_hash(self) -> str:
        """The first 12 hexadecimal digits of SHA-256 over sources and references, which do not
        depend on file, format and compression."""
        rows = ((pair.source, pair.references) for pair in self.pairs)
        return writing.digest(msgspec.json.encode(row) + b"\n" for row in rows)[:12]

    def grouped(self) -> "ParallelText":
        """Return the same with each source once, at its first place: with its references there, and
        the references of its other pairs that differ from these."""
        groups: dict[str, list[ParallelPair]] = {}
        for pair in self.pairs:
            groups.setdefault(pair.source, []).append(pair)
        return replace(self, pairs=tuple(map(_merged, groups.values())))


def _merged(pairs: Sequence[ParallelPair]) -> ParallelPair:
    """Return the first of several pairs with the other references of all.

    Its own are kept even if two of them are equal: as many as there are files of targets, so that a
    signature gives the number of references of a line.
    """
    first, *others = pairs
    of_others = chain.from_iterable(pair.references for pair in others)
    more = dict.fromkeys(text for text in of_others if text not in first.references)
    return replace(first, references=(*first.references, *more))


# ---- Tables of pairs: TSV, CSV, JSON-lines, Parquet. One column holds the sources, another the
# targets; a list is several references.

SOURCE, TARGET = "source", "target"  # in place of names of columns
PairColumns = tuple[str, str]  # of the sources, of the targets


def columns_of(table: InputTable, settings: ParallelSettings) -> PairColumns:
    """Return the columns of sources and targets of a table: those that are named, else those that
    are usually called so, else the only two in their order."""
    names, where = table.names, table.where
    source = settings.column and column_named(settings.column, names, where)
    target = settings.target_column and column_named(settings.target_column, names, where)
    if source and target:
        return source, target

    candidates = [usual_among(names, usual) for usual in USUAL_PAIRS]
    candidates.append([*names])
    # Where one of two columns is named, the other one is the other side.
    if source is not None or target is not None:
        candidates.append([*reversed(names)])
    for columns in candidates:
        sides = zip((source, target), columns, strict=False)
        if len(columns) == 2 and all(side in (None, column) for side, column in sides):
            return columns[0], columns[1]
    unnamed = [name for name in names if name not in (source, target)]
    others = likely_texts(unnamed, table.sample)
    ways = [
        (keyword("column", source or first) + " and " + keyword("target_column", target or second))
        for first, second in permutations(others[:2], 2)
    ]
    raise unclear(where, names, "the sources, and which the targets", ways)


# In JSON-lines and Parquet, an object of this name may hold the columns of pairs, one text for each
# language, as in data sets of the hub.
TRANSLATION = "translation"


def open_pairs(
    source: str, kind: str, errors: str | None, requested: Sequence[str | None], **how: Any
) -> InputTable:
    """Open a table whose columns may be in an object TRANSLATION, as :func:`open_table` does."""
    table = open_table(source, kind, errors, requested, **how)
    named = list(filter(None, requested))
    rows = (row._replace(values=dict(languages_of(row.values, named))) for row in table.rows)
    return table_of(source, rows)


def languages_of(values: Values, requested: Sequence[str]) -> Values:
    """Return the columns of a row of pairs: its own, or the languages of its `translation`."""
    inner = values.get(TRANSLATION)
    if isinstance(inner, dict) and not any(name in values for name in requested):
        return inner
    return values


def read_pair_table(source: str, format: str, collector: PairCollector) -> PairColumns | None:
    """Collect the pairs of a table. Return the names of their columns; None: it has no rows."""
    settings = collector.settings
    wanted_columns = (settings.column, settings.target_column)
    table = open_pairs(
        source,
        KINDS[format],
        settings.encoding_errors,
        wanted_columns,
        only_asked=all(wanted_columns),
        line_format=LEXICON,
    )
    if not table.sample:
        return None
    columns = columns_of(table, settings)
    for row in table.rows:
        texts = _texts(row.values, columns, row.where, settings)
        collector.add(texts, [row.where] * len(texts), row.number, source, skips=True)
    return columns


def _texts(
    values: Mapping[Any, Any], columns: PairColumns, where: str, settings: ParallelSettings
) -> list[str]:
    """Return the source and the references of a row; "" for a cell that is empty."""
    texts: list[str] = []
    for name in columns:
        value = values.get(name) if settings.skip_empty else cell(values, name, where)
        # A list of texts is several references; a source is one.
        of_column = value if isinstance(value, list) and texts else [value]
        texts += [text_of(text, where, name) if tables.has_text(text) else "" for text in of_column]
    return texts


# ---- Parallel files: a source in each line of one, its target in the same line of another, or of
# several.


def side_by_side(
    files: Sequence[str], errors: str, what: str
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield the lines that have the same number in files of the same length, without their ends.

    Raise TextError if one file has fewer lines than another. what: content of the other files, for
    messages.
    """
    streams = [(without_end(line) for _, line in lines_with_ends(file, errors)) for file in files]
    for number, lines in enumerate(zip_longest(*streams), start=1):
        if None in lines:
            shorter = files[lines.index(None)]
            longer = next(name for name, line in zip(files, lines, strict=True) if line is not None)
            raise TextError(
                f"{shorter} has {plural(number - 1, 'line')}, {longer} has more",
                f"line by line, one file holds the {what} of the other",
                f"look at line {number:,} of {longer}",
            )
        yield number, lines


def read_parallel_files(
    source: str, targets: Sequence[str], collector: PairCollector
) -> tuple[str, str]:
    """Collect the pairs of a file of sources and one file of targets for each reference. Return the
    names of both sides."""
    files = (source, *targets)
    for line, texts in side_by_side(files, collector.settings.encoding_errors, "targets"):
        places = [f"{file}, line {line}" for file in files]
        collector.add(texts, places, line, source, collector.settings.skip_empty)
    return SOURCE, TARGET


# ---- Reading files of pairs, of any format.

PARALLEL = "parallel"
Paths = Iterable[str | PathLike[str]]


def read_pairs(
    paths: Paths, settings: ParallelSettings = ParallelSettings(), targets: Iterable[Paths] = ()
) -> ParallelText:
    """Return the pairs of some files, in order. A notice gives the number of empty ones left out,
    if requested.

    paths: files, globs, `-`. targets: where these hold the sources alone, the files of the targets,
    line by line: for each reference as many files as `paths`.
    """
    files = _expanded(paths)
    target_files = list(map(_expanded, targets))
    _check(files, target_files, settings)
    sources.warn_of_repeats(files, target_files)

    # Targets are in separate files, or in the tables of the sources.
    collector = PairCollector(settings)
    if target_files:
        for name, *of_name in zip(files, *target_files, strict=True):
            read_parallel_files(name, of_name, collector)
        names, format = (SOURCE, TARGET), PARALLEL
    else:
        names, format = _read_tables(files, collector)
    collector.notify_empty()
    if not collector.pairs:
        why = "it is empty, or has no words"
        if collector.pairs_left_out:
            why = "all of them are empty"
        raise TextError(f"no pairs in {', '.join(files)}", why)
    return ParallelText(tuple(collector.pairs), *names, format)


def _expanded(paths: Paths) -> list[str]:
    return sources.expand_files(paths, "pairs", ".tsv")


def _check_as_many(files: Sequence[str], targets: Sequence[str]) -> None:
    if len(targets) != len(files):
        raise UsageError(
            f"there are {len(files)} source files and {len(targets)} target files",
            "each source file needs a target file",
            "name as many files with " + keyword("target"),
        )


def _check(
    files: Sequence[str], targets: Sequence[Sequence[str]], settings: ParallelSettings
) -> None:
    """Make sure that files of sources and of targets go together, and with the settings."""
    for of_reference in targets:
        _check_as_many(files, of_reference)
    why = ""
    if targets and settings.format not in ("auto", PARALLEL):
        why = "targets are in separate files"
    if settings.format == PARALLEL and not targets:
        why = "there is no file with targets"
    if why:
        raise UsageError(
            f"format {settings.format}: {why}",
            hint=keyword("format", "parallel") + " and " + keyword("target") + " go together",
        )
    if not targets:
        return

    # A caller who names tables, or columns, may not want them read line by line.
    tables_given = filter(tables.kind_of, (*files, *chain(*targets)))
    table = next(tables_given, None) if settings.format == "auto" else None
    if table is not None:
        raise UsageError(
            f"{table} is a table, but " + keyword("target") + " needs files of lines",
            hint=keyword("format", "parallel") + " reads each of its lines as a text",
        )
    if settings.column or settings.target_column:
        notice(
            f"{', '.join(files)}: read line by line as text, ignoring "
            + keyword("column")
            + " and "
            + keyword("target_column")
        )


def _read_tables(files: Sequence[str], collector: PairCollector) -> tuple[PairColumns, str]:
    """Collect the pairs of tables. Return the names of the columns, which are the same in all of
    them, and the format of the first."""
    read_tables: list[tuple[str, PairColumns, str]] = []
    for name in files:
        format = detect_format(name, collector.settings)
        columns = read_pair_table(name, format, collector)
        if columns is None:
            continue
        read_tables.append((name, columns, format))
        first, columns_of_first, _ = read_tables[0]
        if columns != columns_of_first:
            raise TextError(
                f"{name}: pairs of {' and '.join(columns)}, but those of {first} are "
                f"{' and '.join(columns_of_first)}",
                hint="name them with " + keyword("column") + " and " + keyword("target_column"),
            )
    if not read_tables:
        return (SOURCE, TARGET), "tsv"
    _, columns, format = read_tables[0]
    return columns, format


# ---- Targets as sentences to score: files of sources and of their targets, or tables of pairs.


def sentences_of_pairs(
    names: tuple[str, ...], settings: SentenceSettings
) -> Iterator[Sentence] | None:
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
    target_files = sources.expand_files(settings.targets, "targets", ".txt")
    source_files = sources.expand_files(names, "sources", ".txt")
    _check_as_many(source_files, target_files)
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
    files = sources.expand_files(names, "pairs", ".tsv")
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
        yield from sentences_of_rows(row_filter.marked(table), settings, carried, _columns_to_score)


def _columns_to_score(table: InputTable, settings: SentenceSettings) -> Columns:
    """Find the columns of sources and targets, and those that the settings ask for."""
    if len(table.names) < 2:
        raise TextError(
            f"{table.where}: not a row of a table of pairs",
            "an encoder-decoder scores targets given their sources",
            "name a table with "
            + keyword("input")
            + "; or the files of both sides, with "
            + keyword("input")
            + " and "
            + keyword("target")
            + "; or one source with "
            + keyword("source"),
        )
    named = ParallelSettings(column=settings.column, target_column=settings.target_column)
    source, target = columns_of(table, named)
    return columns_beside(table, settings, (target,), source)
