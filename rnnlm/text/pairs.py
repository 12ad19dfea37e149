"""Parallel text, a source and its targets: read from tables or from files side by side."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from os import PathLike
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from rnnlm.errors import TextError, UsageError, notice, shown
from rnnlm.files import tables
from rnnlm.text import sources
from rnnlm.text.lines import (
    WORD_SPACE,
    check_reserved,
    is_blank,
    lines_with_ends,
    side_by_side,
    without_end,
)
from rnnlm.text.named_columns import (
    KINDS,
    cell,
    format_of,
    languages_of,
    no_column,
    read_rows,
    text_of,
)
from rnnlm.text.sources import kind_with, parse_delimiter

# ---- The settings with which pairs are read.

Format = Literal["auto", "tsv", "csv", "jsonl", "parquet", "parallel"]


@dataclass(frozen=True)
class ParallelSettings:
    """How pairs are read. Columns are named by the header of a table; numbers, from 1 on, are those
    of a table without a header."""

    format: Annotated[
        Format,
        Meta(description="how pairs are written; auto: told by the name and content of the file"),
    ] = "auto"
    column: Annotated[str | None, Meta(description="column of the sources")] = None
    target_column: Annotated[str | None, Meta(description="column of the targets")] = None
    skip_empty: Annotated[
        bool, Meta(description="pairs whose source or target is empty are left out")
    ] = False
    encoding_errors: Annotated[
        Literal["strict", "replace"], Meta(description="bad UTF-8 is an error, or becomes U+FFFD")
    ] = "strict"
    delimiter: Annotated[
        str | None,
        Meta(description="what separates the cells of a table; none: as its header has it"),
    ] = None
    special_symbols: Annotated[
        Literal["error", "drop", "replace"],
        Meta(description="<s> or </s> in the text: error, dropped, or <unk>"),
    ] = "error"

    def __post_init__(self) -> None:
        object.__setattr__(self, "delimiter", parse_delimiter(self.delimiter))

    @property
    def has_header(self) -> bool:
        """Whether tables have one: columns that are called by numbers alone are those of a table
        without."""
        named = [name for name in (self.column, self.target_column) if name]
        return not named or not all(name.isascii() and name.isdigit() for name in named)


# ---- What is read becomes pairs: special symbols are treated as asked for, and sides without words
# are an error or left out.


class PairCollector:
    """Collects pairs, and counts what is left out as it is empty."""

    def __init__(self, settings: ParallelSettings) -> None:
        self.settings = settings
        self.pairs: list[Pair] = []
        self.pairs_left_out = 0
        self.references_left_out = 0  # of pairs that have others

    def add(self, texts: Sequence[str], places: Sequence[str], line: int, file: str) -> None:
        """Add the pair that stands in that line of a file. texts: its source and its references;
        places: where each of them stands."""
        for text in texts:
            if "s>" in text or "\n" in text or not text.strip(WORD_SPACE):
                texts = list(map(self._as_line, texts, places))
                break
        if not (all(texts) and texts[1:]):
            texts = self._filled(texts, places)
        if texts:
            self.pairs.append(Pair(texts[0], tuple(texts[1:]), line, file))

    def tell_of_empty(self) -> None:
        """A notice of what was left out, if anything was."""
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
        """A text as one line, also where a cell holds several; "" where it has no words."""
        text = check_reserved(text, place, self.settings.special_symbols)
        if "\n" in text:
            text = text.strip("\r\n").replace("\r\n", " ").replace("\n", " ")
        return "" if is_blank(text) else text

    def _filled(self, texts: Sequence[str], places: Sequence[str]) -> Sequence[str]:
        """The source and those references that are not empty; nothing where there is not one of
        each."""
        source, *references = texts
        if not self.settings.skip_empty:
            place, side = (
                (places[texts.index("")] if "" in texts else places[0]),
                "target" if source else "source",
            )
            raise TextError(
                f"{place}: the {side} is empty",
                "a pair needs words on both sides",
                "--skip-empty leaves such pairs out",
            )
        references = [reference for reference in references if reference]
        if not (source and references):
            self.pairs_left_out += 1
            return ()
        self.references_left_out += len(texts) - 1 - len(references)
        return (source, *references)


# ---- The format of a file of pairs, told by its name, else by its first line.


def detect_format(source: str, settings: ParallelSettings) -> str:
    """The format of a file that holds both sides, as :class:`ParallelSettings` calls it."""
    kind = KINDS[settings.format] if settings.format != "auto" else tables.kind_of(source)
    kind = kind_with(settings.delimiter, kind, source)
    if kind is None:
        lines = (without_end(line) for _, line in lines_with_ends(source, settings.encoding_errors))
        first = next((line for line in lines if not is_blank(line)), None)
        # an empty file is for whoever asked for it to tell
        kind = tables.TSV if first is None else _by_line(first)
        if kind is None:
            hint = "name its format with --input-format, or the file of the targets with --target"
            raise TextError(
                f"{source}: cannot tell how its pairs are written",
                f"its first line is {shown(first)}",
                hint,
            )
    return format_of(kind)


def _by_line(first: str) -> str | None:
    if tables.is_json(first) or first.strip() == "[":  # an array that begins on a line of its own
        return tables.JSON_LINES
    return tables.TSV if "\t" in first else None


# ---- Pairs: a source, and what it is translated, spelled or answered by.


@dataclass(frozen=True, slots=True)
class Pair:
    """A source and its references, the targets that are right: one or more. Each is a line without
    its end, and holds a word at least.

    line: where it stands in its file, from 1 (the row of a Parquet file, the element of a JSON
    array). file: the file of the source.
    """

    source: str
    references: tuple[str, ...]
    line: int
    file: str

    @property
    def where(self) -> str:
        """Where it stands, for messages."""
        return f"{self.file}, line {self.line}"


@dataclass(frozen=True)
class ParallelText:
    """Pairs, in the order of their files.

    source_name, target_name: what their columns are called, or "source" and "target". format: of
    :class:`ParallelSettings`, never "auto".
    """

    pairs: tuple[Pair, ...]
    source_name: str
    target_name: str
    format: str

    @cached_property
    def content_hash(self) -> str:
        """The first 12 hexadecimal digits of SHA-256 over sources and references, whatever file,
        format or compression they came in."""
        digest = hashlib.sha256()
        encode = msgspec.json.Encoder().encode
        for pair in self.pairs:
            digest.update(encode((pair.source, pair.references)) + b"\n")
        return digest.hexdigest()[:12]

    def grouped(self) -> "ParallelText":
        """The same with each source once, where it stands first, with the references that stand
        beside it there, and those of its other pairs that differ from these."""
        groups: dict[str, list[Pair]] = {}
        for pair in self.pairs:
            groups.setdefault(pair.source, []).append(pair)
        return replace(self, pairs=tuple(map(_merged, groups.values())))


def _merged(pairs: Sequence[Pair]) -> Pair:
    """The first of several pairs, with the other references of all. Its own are kept even if two of
    them are equal: as many as there are files of targets, so that a signature says how many
    references lines have."""
    first, *others = pairs
    if not others:
        return first
    found = dict.fromkeys(
        reference
        for pair in others
        for reference in pair.references
        if reference not in first.references
    )
    return replace(first, references=(*first.references, *found))


# ---- Tables of pairs: TSV, CSV, JSON-lines, Parquet. One column holds the sources, another the
# targets; a list is several references.

USUAL = (
    ("source", "target"),
    ("src", "tgt"),
    ("input", "output"),
    ("question", "answer"),
    ("prompt", "response"),
)
_SENTENCE_ENDS = tuple(".!?…。！？")
_OPTIONS = "name them with --column and --target-column, by number where there is no header"

Columns = tuple[str, str]  # of the sources, of the targets


def read_pair_table(source: str, format: str, collector: PairCollector) -> Columns | None:
    """Collect the pairs of a table. Returns the names of their columns; None: it has no rows."""
    settings = collector.settings
    columns: Columns | None = None
    asked = [name for name in (settings.column, settings.target_column) if name]
    rows = read_rows(
        source, format, settings, asked, settings.has_header, only_asked=len(asked) == 2
    )
    for row in rows:
        values, where = languages_of(row.values, asked), row.where
        if columns is None:
            columns = columns_of([str(name) for name in values], where, settings)
            _check_header(columns, asked, source, format)
        texts = _texts(values, columns, where, settings)
        collector.add(texts, [where] * len(texts), row.number, source)
    return columns


def _check_header(columns: Columns, asked: Sequence[str], source: str, format: str) -> None:
    """Refuse texts of a table without a header that would pass for the names of its columns."""
    text = next(
        (name for name in columns if " " in name.strip() or name.strip().endswith(_SENTENCE_ENDS)),
        None,
    )
    if text is not None and not asked and format in ("tsv", "csv"):
        why = (
            f"its first line is read as the names of its columns, and {shown(text)} looks "
            "like a text"
        )
        raise TextError(
            f"{source}: is there a header?",
            why,
            "name the columns: --column 1 --target-column 2 if there is none",
        )


def columns_of(names: Sequence[str], where: str, settings: ParallelSettings) -> Columns:
    """The columns of sources and targets of a table that has columns of those `names`: those that
    are named, else those that are usually called so, else the only two in their order."""
    source, target = settings.column, settings.target_column
    for name in (source, target):
        if name is not None and name not in names:
            raise no_column(where, name, names)
    if source and target:
        return source, target
    candidates = [pair for pair in USUAL if set(pair) <= set(names)]
    if len(names) == 2:
        candidates += (
            [(names[0], names[1])]
            if source is target is None
            else [(names[0], names[1]), (names[1], names[0])]
        )
    for first, second in candidates:
        if source in (None, first) and target in (None, second):
            return first, second
    raise TextError(
        f"{where}: which columns hold the sources and the targets?",
        "it has " + (", ".join(names) or "none"),
        _OPTIONS,
    )


def _texts(
    values: Mapping[Any, Any], columns: Columns, where: str, settings: ParallelSettings
) -> list[str]:
    """The source and the references of a row; "" where there is nothing in a cell."""
    texts: list[str] = []
    for name in columns:
        value = values.get(name) if settings.skip_empty else cell(values, name, where)
        if isinstance(value, str):
            texts.append(value)
        else:
            several = value if isinstance(value, list) and texts else [value]
            texts += ["" if each is None else text_of(each, where, name) for each in several]
    return texts


# ---- Parallel files: a source on each line of one, its target on the same line of another, or of
# several.

SOURCE, TARGET = "source", "target"  # the names of their columns, so to say


def read_parallel_files(
    source: str, targets: Sequence[str], collector: PairCollector
) -> tuple[str, str]:
    """Collect the pairs of a file of sources and one file of targets for each reference. Returns
    the names of both sides."""
    files = (source, *targets)
    for line, texts in side_by_side(files, collector.settings.encoding_errors, "targets"):
        collector.add(texts, [f"{file}, line {line}" for file in files], line, source)
    return SOURCE, TARGET


# ---- Files of pairs read, whatever their format.

PARALLEL = "parallel"
Paths = Iterable[str | PathLike[str]]


def read_pairs(
    paths: Paths, settings: ParallelSettings = ParallelSettings(), targets: Iterable[Paths] = ()
) -> ParallelText:
    """The pairs of some files, in order. A notice says how many empty ones are left out, where that
    is asked for.

    paths: files, globs, `-`. targets: where those hold the sources alone, the files of the targets,
    line by line: for each reference as many files as `paths`.

    Raises:
        TextError: a file cannot be read, its format cannot be told, it lacks a column, or there are
            no pairs; files are not equally long; a source or target is empty. UsageError: what is
            asked for does not go together.
    """
    files = _expanded(paths)
    target_files = [_expanded(each) for each in targets]
    _check(files, target_files, settings)
    collector = PairCollector(settings)
    if target_files:
        for name, *of_name in zip(files, *target_files, strict=True):
            read_parallel_files(name, of_name, collector)
        names, format = (SOURCE, TARGET), PARALLEL
    else:
        names, format = _read_tables(files, collector)
    collector.tell_of_empty()
    if not collector.pairs:
        raise TextError(
            f"no pairs in {', '.join(files)}",
            "all of them are empty" if collector.pairs_left_out else "nothing stands in it",
        )
    return ParallelText(tuple(collector.pairs), *names, format)


def _expanded(paths: Paths) -> list[str]:
    return sources.expand_files(paths, "pairs", ".tsv")


def _check(
    files: Sequence[str], targets: Sequence[Sequence[str]], settings: ParallelSettings
) -> None:
    if unequal := next((each for each in targets if len(each) != len(files)), None):
        raise UsageError(
            f"{len(files)} files of sources and {len(unequal)} of targets",
            "each needs one",
            "name as many with --target",
        )
    if (settings.format == PARALLEL and not targets) or (
        targets and settings.format not in ("auto", PARALLEL)
    ):
        why = "targets are in files of their own" if targets else "there is no file with targets"
        raise UsageError(
            f"format {settings.format}: {why}",
            hint="--input-format parallel and --target go together",
        )
    if not targets:
        return
    if settings.format == "auto" and (
        table := next(filter(tables.kind_of, (*files, *chain(*targets))), None)
    ):
        why = "targets are in files of their own, line by line"
        raise UsageError(
            f"{table} is a table, {why}",
            hint="--input-format parallel reads each of its lines as a text",
        )
    if settings.column or settings.target_column or settings.delimiter:
        notice(
            f"{', '.join(files)}: read line by line as text, without regard to --column, "
            "--target-column and --delimiter"
        )


def _read_tables(files: Sequence[str], collector: PairCollector) -> tuple[Columns, str]:
    """Collect the pairs of tables. Returns the names of the columns, which are the same in all of
    them, and the format of the first."""
    found: list[tuple[str, Columns, str]] = []
    for name in files:
        format = detect_format(name, collector.settings)
        columns = read_pair_table(name, format, collector)
        if columns is None:
            continue
        found.append((name, columns, format))
        first, of_first, _ = found[0]
        if columns != of_first:
            what = (
                f"{name}: pairs of {' and '.join(columns)}, but those of {first} are "
                f"{' and '.join(of_first)}"
            )
            raise TextError(what, hint="name them with --column and --target-column")
    return found[0][1:] if found else ((SOURCE, TARGET), "tsv")
