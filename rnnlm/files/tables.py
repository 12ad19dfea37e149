"""Rows of tables: JSON-lines, a JSON array, CSV, TSV, Parquet, the text ones compressed or from
standard input.

A row is a dict from column name to value, with the place it stands at, for messages. CSV is quoted
as RFC 4180 has it; its header says whether commas separate its cells, or semicolons, as
spreadsheets write it in most of Europe. TSV is as :mod:`rnnlm.files.tables` says. What cannot be
read or decoded, or is not the table it is said to be, raises TextError.
"""

import csv
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from rnnlm.errors import TextError
from rnnlm.files.compression import without_suffix
from rnnlm.files.outputs import save_file
from rnnlm.files.reading import opened, text_lines, undecoded

if TYPE_CHECKING:
    import pyarrow

# ---- Tab-separated values, written and read in one way by everything that holds them.
#
# Written by RFC 4180: a cell with a quotation mark, a tab or a line end stands in quotation marks,
# its own doubled, so that the defaults of Python's csv, of pandas and of R's read.delim read back
# what was written. Read with care for text that nobody quoted: a cell is unquoted only if it begins
# and ends with a quotation mark and each one inside is doubled; every other quotation mark is a
# character.

LARGEST_CELL = 1 << 26  # characters
READ_AHEAD = 1 << 20  # characters of the lines in which the end of a quoted cell is looked for
_QUOTED = re.compile('"(?:[^"]|"")*+"')


def line(cells: Iterable[str]) -> str:
    """A row, with its line end."""
    return "\t".join(map(quoted, cells)) + "\n"


def quoted(cell: str) -> str:
    """`cell` as it is written."""
    needs_it = '"' in cell or "\t" in cell or "\n" in cell or "\r" in cell
    return '"' + cell.replace('"', '""') + '"' if needs_it else cell


def unquoted(cell: str) -> str:
    """What was written as `cell`."""
    return cell[1:-1].replace('""', '"') if _QUOTED.fullmatch(cell) else cell


def tsv_rows(lines: Iterable[str], columns: int | None = None) -> Iterator[tuple[int, list[str]]]:
    """The rows of `lines`, each with the number of its first line, from 1; empty lines are none.
    columns: how many cells a row has; None: as many as the first one.

    A quoted cell may hold tabs and line ends. But lines that each have as many cells as there are
    columns are rows of their own, and a quotation mark that is open at the end of one is a
    character: sentences of one speech follow each other like that.
    """
    csv.field_size_limit(LARGEST_CELL)
    stream, number = _Lines(lines), 1
    for first in stream:
        taken, cells = 1, _split(first)
        if '"' in first:
            taken, cells = _spanning(first, stream, columns) or (
                1,
                [unquoted(cell) for cell in cells],
            )
        if first.strip("\r\n"):
            columns = columns or len(cells)
            yield number, cells
        number += taken


class _Lines:
    """Lines that can be given back, to be read again."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._again: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        return self._again.pop() if self._again else next(self._lines)

    def give_back(self, lines: list[str]) -> None:
        self._again.extend(reversed(lines))


def _split(line: str) -> list[str]:
    return line.removesuffix("\n").removesuffix("\r").split("\t")


def _spanning(first: str, stream: _Lines, columns: int | None) -> tuple[int, list[str]] | None:
    """How many lines the row takes that begins with `first`, and its cells, where one of them holds
    a tab or a line end; else None."""
    if columns is None or not any(
        cell.startswith('"') and not _QUOTED.fullmatch(cell) for cell in _split(first)
    ):
        return None
    taken = [first]

    def following() -> Iterator[str]:
        yield first
        room = READ_AHEAD
        while room > 0 and (line := next(stream, None)) is not None:
            room -= len(line)
            taken.append(line)
            yield line

    try:
        cells = next(csv.reader(following(), delimiter="\t", strict=True))
    except csv.Error:
        # the quotation mark that begins a cell has no end, or one inside is not doubled
        cells = []
    if len(cells) == columns and any(len(_split(line)) != columns for line in taken):
        return len(taken), cells
    stream.give_back(taken[1:])
    return None


# ---- tables

JSON_LINES, CSV, TSV, PARQUET = "json-lines", "csv", "tsv", "parquet"
SUFFIXES = {
    ".jsonl": JSON_LINES,
    ".ndjson": JSON_LINES,
    ".json": JSON_LINES,
    ".csv": CSV,
    ".tsv": TSV,
    ".parquet": PARQUET,
}
# all in memory, however long they are: a file of 500 bytes may hold the same megabyte a thousand
# times
ROWS_PER_BATCH = 256
# characters of one JSON value or cell, which takes many times that in memory
LARGEST_VALUE = LARGEST_CELL
TOO_LONG = "the row has more cells than columns"
DELIMITERS = ",;\t|"  # that a CSV file's header may have
# above the header, by which programs tell Excel the delimiter
_SEPARATOR_LINE = re.compile(r'sep=([^"\0\r\n])\r?\n?')
_JSON = re.compile(r'\s*(?:\[\s*)?\{\s*(?:"[^"\\]*"\s*:|\}|$)')
USUAL_COLUMNS = ("text", "sentence")  # of the text, where none is named


class Row(NamedTuple):
    """One row of a table. where: "FILE, line 3", for messages; number: that 3 (of the line, the row
    of a Parquet file, the element of a JSON array). reason: why it cannot be read, where that is
    reported instead of raised."""

    where: str
    values: dict[str | None, Any]  # None: cells beyond the columns, where they hold anything
    number: int = 0
    reason: str | None = None

    @property
    def is_too_long(self) -> bool:
        """Whether it has more cells than columns: a comma or tab in a text, perhaps, and the text
        is none of its cells."""
        return None in self.values


def kind_of(source: str) -> str | None:
    """What table the name of `source` says it is, below any suffix of compression; None: none."""
    return SUFFIXES.get(Path(without_suffix(source)).suffix)


def is_json(line: str) -> bool:
    """Whether the first line of a file begins an object of JSON, or an array of them."""
    return _JSON.match(line) is not None


def rows(
    source: str, kind: str | None = None, errors: str | None = None,
    unreadable: Literal["raise", "report"] = "raise",
    delimiter: str | None = None, columns: Sequence[str] = (), has_header: bool = True,
) -> Iterator[Row]:  # fmt: skip
    """The rows of a table, as they come. kind: one of those above; None: as the name says. errors:
    bad UTF-8, "strict" or "replace", or "surrogateescape", as Python has it; None: "strict", where
    nothing else can be asked for. unreadable: with "report", a line that is not JSON becomes a row
    with its `reason`. delimiter: what stands between the cells of CSV; None: the one whose header
    has the `columns` that are asked for, else the most columns. has_header: whether CSV and TSV
    have one; columns are else called "1", "2" and so on.
    """
    kind = kind_with(delimiter, kind or kind_of(source))
    if kind == PARQUET:
        yield from parquet_rows(source)
        return
    with opened(source) as stream:
        if kind == CSV:
            cells = _csv(
                source, text_lines(source, stream, errors), delimiter, columns if has_header else ()
            )
            yield from _named(source, cells, has_header)
        elif kind == TSV:
            yield from _named(source, tsv_rows(text_lines(source, stream, errors)), has_header)
        elif kind == JSON_LINES:
            yield from _json(source, text_lines(source, stream, errors), unreadable == "report")
        else:
            raise TextError(
                f"{source} does not have a table suffix",
                "tables are " + ", ".join(SUFFIXES),
                "rename it",
            )


def kind_with(delimiter: str | None, kind: str | None) -> str | None:
    """The kind of a table whose cells a `delimiter` is said to separate: CSV, where the name says
    nothing else, or TSV."""
    if delimiter is None or kind in (JSON_LINES, PARQUET):
        return kind
    return TSV if kind == TSV and delimiter == "\t" else CSV


def parquet_rows(source: str, columns: Sequence[str] | None = None) -> Iterator[Row]:
    """The rows of a Parquet file, of those `columns` alone."""
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        for batch in pyarrow.parquet.ParquetFile(source).iter_batches(
            batch_size=ROWS_PER_BATCH, columns=columns
        ):
            for values in batch.to_pylist():
                number += 1
                yield Row(f"{source}, row {number}", values, number)
    except UnicodeDecodeError as error:
        raise TextError(f"{source}, after row {number}: not UTF-8", error.reason) from None
    except (pyarrow.ArrowException, OSError) as error:
        raise TextError(
            f"cannot read {source}", f"not a readable Parquet file: {error}".splitlines()[0]
        ) from None


def parquet_columns(source: str) -> list[str]:
    """The names of the columns of a Parquet file."""
    import pyarrow
    import pyarrow.parquet

    try:
        return list(pyarrow.parquet.read_schema(source).names)
    except (pyarrow.ArrowException, OSError) as error:
        raise TextError(
            f"cannot read {source}", f"not a readable Parquet file: {error}".splitlines()[0]
        ) from None


def save_parquet(
    path: Path, types: Mapping[str, str | None], batches: Iterable[Sequence[Mapping[str, Any]]]
) -> None:
    """Write rows to a Parquet file, whole or not at all, when all `batches` of them have come.

    types: of the columns (int64, double, bool, string); None: that of the values, or text where
    they differ or are lists or objects.

    Raises:
        OutputError: it cannot be written.
    """
    import pyarrow
    import pyarrow.parquet

    held: dict[str, list[object]] = {name: [] for name in types}
    for rows in batches:
        for name, kind in types.items():
            values = [row[name] for row in rows]
            held[name] += values if kind is None else [pyarrow.array(values, kind)]
    columns = [
        _column(held[name]) if kind is None else pyarrow.chunked_array(held[name], kind)
        for name, kind in types.items()
    ]
    file = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table(columns, list(types)), file)
    save_file(path, [memoryview(file.getvalue())])


def _column(values: list[object]) -> "pyarrow.Array":
    import pyarrow

    values = [cell_text(value) if isinstance(value, (dict, list)) else value for value in values]
    try:
        return pyarrow.array(values)
    except (pyarrow.ArrowException, OverflowError):
        # numbers and texts, or numbers that are too large
        return pyarrow.array(
            [None if value is None else cell_text(value) for value in values], "string"
        )


def cell_text(value: object) -> str:
    """A value as the text of a cell: nothing is empty, true and false are 1 and 0, lists and
    objects are JSON."""
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, bool):
        return str(int(value))
    return "" if value is None else str(value)


def _json(source: str, lines: Iterator[str], reports: bool) -> Iterator[Row]:
    """JSON-lines; or one array of objects, which may be spread over lines as one likes."""
    first = True
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if first and line.lstrip().startswith("["):
            yield from _json_array(source, number, itertools.chain([line], lines))
            return
        first = False
        yield _json_row(source, number, line, reports)


def _json_row(source: str, number: int, line: str, reports: bool) -> Row:
    where = f"{source}, line {number}"
    try:
        value = _json_value(line, where, "one JSON object a line")
        if not isinstance(value, dict):
            raise TextError(f"{where}: not a JSON object")
        return Row(where, value, number)
    except TextError as error:
        if not reports:
            raise
        return Row(
            where,
            {},
            number,
            error.what.removeprefix(f"{source}, ") + (error.why and f" ({error.why})"),
        )


def _json_array(source: str, first_line: int, lines: Iterable[str]) -> Iterator[Row]:
    parts, room = [], LARGEST_VALUE + 1  # no more is read of an array without end
    for line in lines:
        parts.append(line)
        room -= len(line)
        if room <= 0:
            break
    values = _json_value(
        "".join(parts),
        f"{source}, line {first_line}",
        "one JSON object a line, or one array of objects",
    )
    for number, value in enumerate(values, start=1):
        if not isinstance(value, dict):
            raise TextError(f"{source}, element {number}: not a JSON object")
        yield Row(f"{source}, element {number}", value, number)


def _json_value(text: str, where: str, hint: str) -> Any:
    import msgspec

    if len(text) > LARGEST_VALUE:
        raise TextError(
            f"{where}: longer than {LARGEST_VALUE:,} characters",
            "a JSON value must fit in memory",
            "one JSON object a line",
        )
    try:
        return msgspec.json.decode(text)
    except UnicodeEncodeError as error:
        byte = undecoded(text, error.start)
        raise TextError(
            f"{where}: not UTF-8", byte, "convert it to UTF-8, or use --encoding-errors replace"
        ) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise TextError(f"{where}: not JSON", str(error), hint) from None


def _csv(
    source: str, lines: Iterator[str], delimiter: str | None, columns: Sequence[str]
) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file that are not empty, each with the number of its last line."""
    csv.field_size_limit(LARGEST_VALUE)
    first, above = next(lines, ""), 0
    if named := _SEPARATOR_LINE.fullmatch(first):
        delimiter, first, above = delimiter or named[1], next(lines, ""), 1
    table = csv.reader(
        itertools.chain([first], lines),
        strict=True,
        delimiter=delimiter or delimiter_of(first, columns),
    )
    try:
        for cells in table:
            if cells:
                yield above + table.line_num, cells
    except csv.Error as error:
        raise TextError(
            f"{source}, line {above + table.line_num}: not readable as a table", str(error)
        ) from None


def _named(source: str, table: Iterator[tuple[int, list[str]]], has_header: bool) -> Iterator[Row]:
    """The rows of a table, below its header; where it has none, columns are called by their numbers
    from 1 on."""
    line, names = next(table, (0, []))
    if has_header:
        _check_columns(source, names)
    else:
        table = itertools.chain([(line, names)] if line else [], table)
        names = [str(number) for number in range(1, len(names) + 1)]
    for number, cells in table:
        if len(cells) == len(names):
            values: dict[str | None, Any] = dict(zip(names, cells, strict=True))
        else:
            values = {**dict.fromkeys(names), **dict(zip(names, cells, strict=False))}
            if any(beyond := cells[len(names) :]):
                values[None] = beyond
        yield Row(f"{source}, line {number}", values, number)


def delimiter_of(header: str, columns: Sequence[str] = ()) -> str:
    """The delimiter of a CSV file by its first line: the first of DELIMITERS by which it has all
    `columns`, or where none are asked for, one of USUAL_COLUMNS; else that by which it has the
    most."""
    cells = {delimiter: _cells(header, delimiter) for delimiter in DELIMITERS}
    for delimiter, names in cells.items():
        if (
            all(name in names for name in columns)
            if columns
            else any(name in names for name in USUAL_COLUMNS)
        ):
            return delimiter
    return max(DELIMITERS, key=lambda delimiter: len(cells[delimiter]))


def _cells(header: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([header], strict=True, delimiter=delimiter), [])
    except csv.Error:
        # something else stands behind a quotation mark; or it has its end in another line, with any
        # delimiter
        return []


def _check_columns(source: str, names: Sequence[str]) -> None:
    if twice := next(
        (name for index, name in enumerate(names) if name and name in names[:index]), None
    ):
        raise TextError(
            f"{source}, line 1: column {twice!r} appears twice", hint="rename one of them"
        )
