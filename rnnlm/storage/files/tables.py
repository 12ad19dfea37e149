"""Read and write rows of tables: JSON-lines, a JSON array, CSV, TSV, Parquet, the text ones
compressed or from standard input.

A row is a dict from column name to value, with its place in the file, for messages. CSV is quoted
as in RFC 4180; its header says whether commas separate its cells, or semicolons, as spreadsheets
write it in most of Europe. A file that cannot be read or decoded, or is another kind of table than
it should be, raises TextError.
"""

import contextlib
import csv
import io
import itertools
import json
import math
import os
import re
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from rnnlm.amounts import plural
from rnnlm.errors import CONTROL, TextError, did_you_mean, first_of, keyword, notice
from rnnlm.storage.files.file_types import without_suffix
from rnnlm.storage.files.reading import START_BYTES, is_workbook, opened, shown_name, text_lines
from rnnlm.storage.files.writing import is_stream, replacing, writing

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

# ---- Tab-separated values, which everything writes and reads in the same way.
#
# They are written by RFC 4180: a cell with a quotation mark, a tab or a line end is put in
# quotation marks, its own doubled, so that the defaults of Python's csv, of pandas and of R's
# read.delim read back the same cells. Reading takes care of unquoted text: a cell is unquoted only
# if it begins and ends with a quotation mark and each one inside is doubled; every other quotation
# mark is a character.

LARGEST_CELL = 1 << 26  # characters
READ_AHEAD = 1 << 20  # characters of the lines in which the end of a quoted cell is sought
_QUOTED = re.compile('"(?:[^"]|"")*+"')


def tsv_line(cells: Iterable[object]) -> str:
    """Return a row of `cells` as a line of TSV, with its line end."""
    return "\t".join(quoted(cell_text(cell)) for cell in cells) + "\n"


def csv_line(cells: Iterable[object]) -> str:
    """Return a row of `cells` as a line of CSV, with its line end."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(map(cell_text, cells))
    return text.getvalue()


Piece: TypeAlias = str | list[list[Any]]  # lines of text, or rows of a workbook
# Make a piece of the cells of a row. Pieces of one kind can be added.
LINE_OF: dict[str, Callable[[Iterable[object]], Any]] = {
    "tsv": tsv_line, "csv": csv_line, "xlsx": lambda cells: [list(cells)],
}  # fmt: skip


def quoted(cell: str, delimiter: str = "\t") -> str:
    """Return `cell` as it is written."""
    needs_it = '"' in cell or delimiter in cell or "\n" in cell or "\r" in cell
    return '"' + cell.replace('"', '""') + '"' if needs_it else cell


# Making an encoder takes longer than using it.
_JSON_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def unquoted(cell: str) -> str:
    """Return the text that was written as `cell`."""
    return cell[1:-1].replace('""', '"') if _QUOTED.fullmatch(cell) else cell


def json_text(value: Any) -> str:
    """Return one line of JSON, without NaN, Infinity or bare control characters."""
    text = _JSON_ENCODER.encode(value)
    if text.isascii() and text.isprintable():
        return text
    return CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def tsv_rows(lines: Iterable[str], columns: int | None = None) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of `lines`, each with the number of its first line, from 1; empty lines are
    skipped. columns: how many cells a row has; None: as many as the first one.

    A quoted cell may hold tabs and line ends. But if each line alone has as many cells as there are
    columns, each is a row, and a quotation mark that is left open is a character: quoted speech of
    several sentences, one per line, looks like that.
    """
    csv.field_size_limit(LARGEST_CELL)
    stream = _Lines(lines)
    number = 1
    for first in stream:
        # Few lines hold a quotation mark, so all others are split and no more.
        taken, cells = 1, _split(first)
        if '"' in first:
            by_itself = 1, list(map(unquoted, cells))
            taken, cells = _spanning(first, stream, columns) or by_itself
        if first.strip("\r\n"):
            columns = columns or len(cells)
            yield number, cells
        number += taken


def tell_unread(
    source: str, names: Iterable[str], known: Collection[str], meant: Mapping[str, str] = {}
) -> None:
    """Send a notice of the fields of a file that its reader leaves out, if there are any. known:
    the fields that it reads. meant: hints, by names that such fields often have."""
    unread = [name for name in dict.fromkeys(names) if name not in known]
    if unread:
        are = plural(len(unread), "field is", "fields are")
        hints = (meant.get(folded(name)) or did_you_mean(name, known) for name in unread)
        hint = next(filter(None, hints), "")
        notice(
            f"{shown_name(source)}: {are} not read: {first_of(list(map(repr, unread)))}"
            + (f" ({hint})" if hint else "")
        )


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
    """Return how many lines the row takes that begins with `first`, and its cells, where one of
    them holds a tab or a line end; else None."""
    if columns is None or not any(map(_begins_quoted, _split(first))):
        return None

    # Read on as csv does, and remember the lines that this takes.
    taken = [first]

    def following() -> Iterator[str]:
        yield first
        room = READ_AHEAD
        for line in stream:
            taken.append(line)
            yield line
            room -= len(line)
            if room <= 0:
                return

    try:
        cells = next(csv.reader(following(), delimiter="\t", strict=True))
    except csv.Error:
        # The quotation mark that begins a cell has no end, or one inside is not doubled
        cells = []
    # Where every line is a whole row by itself, the quotation mark is a character.
    if len(cells) == columns and any(len(_split(line)) != columns for line in taken):
        return len(taken), cells
    stream.give_back(taken[1:])
    return None


def _begins_quoted(cell: str) -> bool:
    """Return whether a quotation mark begins the cell and none ends it."""
    return cell.startswith('"') and not _QUOTED.fullmatch(cell)


# ---- Rows of a table in any of the formats.


SURROGATE = re.compile("[\ud800-\udfff]")  # half a character, which JSON may hold


def has_text(value: object) -> bool:
    """Return whether a cell holds anything: null, an empty or blank text and NaN (of a column of
    numbers, or of pandas) are nothing, and so is a list with such a gap. The words null and NaN
    are text."""
    if isinstance(value, str):
        return value.strip(" \t\r\n") != ""
    if isinstance(value, list):
        return len(value) > 0 and not any(map(is_gap, value))
    return not is_gap(value)


def is_gap(value: object) -> bool:
    """Return whether a cell is null or NaN, whichever library says so."""
    if value is None or type(value).__name__ == "NAType":
        return True
    # NaN and pandas' NaT differ from themselves.
    return (isinstance(value, float) or type(value).__name__ == "NaTType") and value != value


JSON_LINES, CSV, TSV, PARQUET = "json-lines", "csv", "tsv", "parquet"
BLANKS = "blanks"  # between cells; no name of a file says so
SUFFIXES = {
    ".jsonl": JSON_LINES,
    ".ndjson": JSON_LINES,
    ".json": JSON_LINES,
    ".csv": CSV,
    ".tsv": TSV,
    ".parquet": PARQUET,
    ".xlsx": CSV,
}
# So many rows are in memory at once. Keep them few: a Parquet file of 500 bytes may hold the same
# megabyte a thousand times.
ROWS_PER_BATCH = 256
# Characters of one JSON value or cell, which takes many times that in memory.
LARGEST_VALUE = LARGEST_CELL
ROW_GROUP_BYTES = 1 << 26  # of a Parquet file that is written, before compression
# lists and objects within each other: rows are looked through by recursive calls
DEEPEST_VALUE = 200
TOO_LONG = "the row has more cells than columns"
DELIMITERS = ",;\t|"  # that a CSV file's header may have
# The line above the header that gives Excel the delimiter.
_SEPARATOR_LINE = re.compile(r'sep=([^"\0\r\n])\r?\n?')
_JSON = re.compile(r'\s*(?:\[\s*)?\{\s*(?:"[^"\\]*"\s*:|\}|$)')
# Names of the text's column, where none is named, the most usual first.
USUAL_TEXT = (
    "text", "sentence", "review", "content", "comment", "tweet", "message", "utterance",
    "document", "body", "question", "query",
)  # fmt: skip


SAMPLE_ROWS = 100  # rows that show the content of a table
# Whether the first row of a table is a header, by its cells and the cells of the rows that follow.
IsHeader = Callable[[Sequence[str], Sequence[Sequence[str]]], bool]


class Row(NamedTuple):
    """One row of a table.

    where: "FILE, line 3", for messages; number: that 3 (of the line, the row of a Parquet file, the
    element of a JSON array). reason: why it cannot be read, where that is reported instead of
    raised.
    """

    where: str
    values: dict[str | None, Any]  # None: cells beyond the columns, where they hold anything
    number: int = 0
    reason: str | None = None

    @property
    def is_too_long(self) -> bool:
        """Whether it has more cells than columns: a comma or tab in a text, perhaps, so that no
        cell holds the text."""
        return None in self.values

    @property
    def why_unread(self) -> str | None:
        """Why none of its cells can be read; None: they can."""
        return TOO_LONG if self.is_too_long else self.reason


class LineFormat(NamedTuple):
    """A format whose lines can be read as TSV: its columns, whether the first line of a file is in
    it, and a line of it as one of TSV."""

    columns: list[str]
    fits: Callable[[Sequence[str]], bool]
    as_tsv: Callable[[str], str]


def kind_of(source: str) -> str | None:
    """Return the kind of table that the name of `source` says, below any suffix of compression;
    None: none."""
    return CSV if is_workbook(source) else SUFFIXES.get(Path(without_suffix(source)).suffix)


def is_json(line: str) -> bool:
    """Return whether the first line of a file begins an object of JSON, or an array of them."""
    return _JSON.match(line) is not None


def tell_read_as_text(source: str, stream: IO[bytes]) -> None:
    """Send a notice where a file that is about to be read as text is TSV or holds JSON-lines."""
    start = stream.peek(START_BYTES).partition(b"\n")[0]  # type: ignore[attr-defined]
    if kind_of(source) == TSV:
        notice(
            f"{source} is read line by line, since no column is named; "
            + keyword("column")
            + " reads it as a table"
        )
    elif is_json(start.decode("utf-8", "replace").removeprefix("\ufeff")):
        notice(
            f"{shown_name(source)}: JSON lines are read as text; rename the file to FILE.jsonl to "
            "read a column"
        )


def rows(
    source: str, kind: str | None = None, errors: str | None = None,
    unreadable: Literal["raise", "report"] = "raise",
    columns: Sequence[str] = (), has_header: IsHeader | None = None,
    on_read: Callable[[int], None] | None = None, line_format: LineFormat | None = None,
) -> Iterator[Row]:  # fmt: skip
    """Yield the rows of a table as they are read.

    kind: one of those above; None: as the name says. errors: treatment of bad UTF-8: "strict",
    "replace" or Python's "surrogateescape"; None: "strict", if no other can be requested.
    unreadable: with "report", a line that is not JSON becomes a row with its `reason`. columns:
    requested columns: the delimiter of CSV is the one whose header has them, else the most columns.
    has_header: says of the first row of CSV, TSV and BLANKS, and of some that follow, whether it is
    a header; None: it is. Without one, columns are called "1", "2" and so on. on_read: called with
    how many bytes have been read from the file; of Parquet, the share of the rows. line_format: of
    a file of TSV whose name does not say so, where its first line fits.
    """
    kind = kind or kind_of(source)
    if kind == PARQUET:
        yield from parquet_rows(source, errors=errors, on_read=on_read)
        return

    # The other kinds are lines of text.
    with opened(source, on_read, errors=errors) as stream:
        lines = text_lines(source, stream, errors)
        if kind == CSV:
            yield from _named(source, _csv(source, lines, columns), has_header)
        elif kind == TSV:
            start = list(itertools.islice(lines, 1))
            lines = itertools.chain(start, lines)
            form = None if kind_of(source) else line_format
            if form and form.fits([line.strip("\r\n") for line in start]):
                table = tsv_rows(map(form.as_tsv, lines), len(form.columns))
                yield from _named(source, itertools.chain([(0, form.columns)], table), None)
            else:
                yield from _named(source, tsv_rows(lines), has_header)
        elif kind == BLANKS:
            cells = ((number, line.split()) for number, line in enumerate(lines, start=1))
            yield from _named(source, filter(lambda row: row[1], cells), has_header)
        elif kind == JSON_LINES:
            yield from _json(source, lines, unreadable == "report", errors)
        else:
            raise TextError(
                f"{source} does not have a table suffix",
                "tables are " + ", ".join(SUFFIXES),
                "rename it",
            )


def parquet_rows(
    source: str, columns: Sequence[str] | None = None, errors: str | None = None,
    on_read: Callable[[int], None] | None = None,
) -> Iterator[Row]:  # fmt: skip
    """Yield the rows of a Parquet file, with these `columns` alone. errors, on_read: as for
    :func:`rows`."""
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        file = pyarrow.parquet.ParquetFile(source)
        # Columns are compressed apart, so the bytes behind a batch are its share of the rows.
        row_bytes = os.path.getsize(source) / max(1, file.metadata.num_rows)
        for batch in file.iter_batches(batch_size=ROWS_PER_BATCH, columns=columns):
            if on_read is not None:
                on_read(int(batch.num_rows * row_bytes))
            for values in arrow_rows(batch, errors):
                number += 1
                yield Row(f"{source}, row {number}", values, number)
    except UnicodeDecodeError as error:
        raise TextError(f"{source}, after row {number}: not UTF-8", error.reason) from None
    except (pyarrow.ArrowException, OSError) as error:
        raise _unreadable_parquet(source, error) from None


def arrow_rows(
    batch: "pyarrow.RecordBatch", errors: str | None = None
) -> Iterator[dict[str | None, Any]]:
    """Yield the rows of some Arrow columns in Python's types, with the names of classes. errors:
    treatment of texts that are not UTF-8, as in :func:`rows`."""
    names = batch.schema.names
    columns = [arrow_values(column, errors) for column in batch.columns]

    # Hugging Face's `datasets` describes the columns of what it writes.
    features = None
    described = (batch.schema.metadata or {}).get(b"huggingface", b"")
    if b"ClassLabel" in described:
        with contextlib.suppress(KeyError, TypeError, ValueError):
            features = json.loads(described)["info"]["features"]
    for values in zip(*columns, strict=True):
        yield with_class_names(dict(zip(names, values, strict=True)), features)


def with_class_names(value: Any, feature: Any) -> Any:
    """Return a value with the names of its classes, for which `datasets` stores numbers (its
    `ClassLabel`): a negative one means an unknown class. feature: from its `Features.to_dict`."""
    # Lists have the feature of their items, in several spellings.
    while feature and (isinstance(feature, list) or {"_type", "feature"} <= set(feature)):
        feature = feature[0] if isinstance(feature, list) else feature["feature"]
    if not isinstance(feature, dict):
        return value
    if isinstance(value, list):
        return [with_class_names(item, feature) for item in value]
    if isinstance(value, dict):
        return {name: with_class_names(item, feature.get(name)) for name, item in value.items()}
    if feature.get("_type") != "ClassLabel" or not isinstance(value, int):
        return value
    names = feature.get("names")
    if not isinstance(names, list):
        return value
    return names[value] if 0 <= value < len(names) else None


def arrow_values(column: "pyarrow.Array", errors: str | None = None) -> list[Any]:
    """Return the values of an Arrow column. Bytes that are UTF-8 are text: Arrow has many types
    that hold it. errors: as for :func:`rows`."""
    import pyarrow

    try:
        values = column.to_pylist()
    except UnicodeDecodeError:
        if errors in (None, "strict"):
            raise
        if pyarrow.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        values = column.cast(pyarrow.large_binary()).to_pylist()
        return [None if value is None else value.decode("utf-8", errors) for value in values]
    except ValueError:
        # Times that Python has no type for, such as nanoseconds
        return column.cast(pyarrow.string()).to_pylist()
    if pyarrow.types.is_floating(column.type) and column.type.bit_width < 64:
        # 0.1 of fewer bits is 0.1, not 0.10000000149011612.
        narrow = column.type.to_pandas_dtype()
        return [value if value is None else float(str(narrow(value))) for value in values]
    if "binary" not in str(column.type):
        return values
    return [_decoded(value, errors) for value in values]


def _decoded(value: object, errors: str | None) -> object:
    """Return bytes as text where they are UTF-8, or bad bytes are to be replaced."""
    if isinstance(value, bytes):
        with contextlib.suppress(UnicodeDecodeError):
            return value.decode("utf-8", "replace" if errors == "replace" else "strict")
    return value


def parquet_columns(source: str) -> list[str]:
    """Return the names of the columns of a Parquet file."""
    import pyarrow.parquet

    with reading_parquet(source):
        return list(pyarrow.parquet.read_schema(source).names)


@contextlib.contextmanager
def reading_parquet(source: str) -> Iterator[None]:
    """Raise TextError where a Parquet file cannot be read in this context."""
    import pyarrow

    try:
        yield
    except UnicodeDecodeError as error:
        raise TextError(f"{source}: not UTF-8", error.reason) from None
    except (pyarrow.ArrowException, OSError) as error:
        raise _unreadable_parquet(source, error) from None


def _unreadable_parquet(source: str, error: Exception) -> TextError:
    first_line = f"not a readable Parquet file: {error}".splitlines()[0]
    return TextError(f"cannot read {source}", first_line)


def save_parquet(
    path: Path, types: Mapping[str, str | None], batches: Iterable[Mapping[str, Sequence[Any]]]
) -> None:
    """Write rows, as columns by name, to a Parquet file, whole or not at all, when all `batches` of
    them have come.

    types: types of the columns (int64, double, bool, string); None: the type of the values, or text
    if they differ or are lists or objects.
    """
    import pyarrow

    # The types of some columns show only in all of their values, so all batches are kept, on disk
    # where they are long.
    with tempfile.SpooledTemporaryFile(ROW_GROUP_BYTES) as kept:
        schemas = []
        for batch in batches:
            columns = [
                pyarrow.array(batch[name], type_name) if type_name else _column(batch[name])
                for name, type_name in types.items()
            ]
            table = pyarrow.table(columns, list(types))
            schemas.append(table.schema)
            with pyarrow.ipc.new_stream(kept, table.schema) as writer:
                writer.write_table(table)
        shared = {}
        for name, type_name in types.items():
            if type_name is None:
                shared[name] = _shared_type(schema.field(name).type for schema in schemas)
            else:
                shared[name] = pyarrow.type_for_alias(type_name)
        schema = pyarrow.schema(list(shared.items()))

        kept.seek(0)
        with writing(path), open(path, "wb") if is_stream(path) else replacing(path) as stream:
            groups = RowGroups(stream)
            groups.write(schema.empty_table())
            for _ in schemas:
                table = pyarrow.ipc.open_stream(kept).read_all()
                columns = [_in_type(table[name], kind) for name, kind in shared.items()]
                groups.write(pyarrow.table(columns, schema=schema))
            groups.finish()


def _shared_type(types: Iterable["pyarrow.DataType"]) -> "pyarrow.DataType":
    """Return the type of a column whose parts have these types: text if none fits them all."""
    import pyarrow

    schemas = [pyarrow.schema([("", type)]) for type in dict.fromkeys(types)]
    if not schemas:
        return pyarrow.null()
    try:
        return pyarrow.unify_schemas(schemas, promote_options="permissive").field(0).type
    except pyarrow.ArrowException:
        return pyarrow.string()


def _in_type(column: "pyarrow.ChunkedArray", type: "pyarrow.DataType") -> "pyarrow.ChunkedArray":
    import pyarrow

    if type == pyarrow.string() != column.type:
        texts = [None if value is None else cell_text(value) for value in column.to_pylist()]
        return pyarrow.chunked_array([texts], type)
    return column.cast(type)


class RowGroups:
    """Writes tables to a stream as Parquet, in groups of some size."""

    def __init__(self, stream: IO[bytes], codec: str = "snappy") -> None:
        self.stream = stream
        self.codec = codec
        self.writer: pyarrow.parquet.ParquetWriter | None = None
        self.waiting: list[pyarrow.Table] = []
        self.bytes = 0

    def write(self, table: Any) -> None:
        """Write the next rows, sooner or later."""
        self.waiting.append(table)
        self.bytes += table.nbytes
        if self.bytes >= ROW_GROUP_BYTES:
            self._write_group()

    def _write_group(self) -> None:
        import pyarrow
        import pyarrow.parquet

        table = pyarrow.concat_tables(self.waiting)
        if self.writer is None:
            self.writer = pyarrow.parquet.ParquetWriter(
                self.stream, table.schema, compression=self.codec
            )
        self.writer.write_table(table)
        self.waiting, self.bytes = [], 0

    def finish(self) -> None:
        """Write the end of the file."""
        if self.waiting:
            self._write_group()
        if self.writer is not None:
            self.writer.close()


def _column(values: Sequence[object]) -> "pyarrow.Array":
    import pyarrow

    values = [cell_text(value) if isinstance(value, (dict, list)) else value for value in values]
    try:
        return pyarrow.array(values)
    except (pyarrow.ArrowException, OverflowError):
        # There are numbers and texts, or numbers that are too large.
        return pyarrow.array(
            [None if value is None else cell_text(value) for value in values], "string"
        )


def cell_text(value: object) -> str:
    """Return a value as the text of a cell: None is empty, true and false are 1 and 0, lists and
    objects are JSON."""
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, bool):
        return str(int(value))
    return "" if value is None else str(value)


def _json(source: str, lines: Iterator[str], reports: bool, errors: str | None) -> Iterator[Row]:
    """Yield the rows of JSON-lines, or of one array of objects, however it is spread over lines."""
    is_first = True
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if is_first and line.lstrip().startswith("["):
            yield from _json_array(source, number, itertools.chain([line], lines), errors)
            return
        is_first = False
        yield _json_row(source, number, line, reports, errors)


def _json_row(source: str, number: int, line: str, reports: bool, errors: str | None) -> Row:
    where = f"{shown_name(source)}, line {number}"
    try:
        value = _json_value(line, where, "write one JSON object per line", errors)
        if not isinstance(value, dict):
            raise TextError(f"{where}: not a JSON object")
    except TextError as error:
        if not reports:
            raise
        # The row names its place itself.
        reason = error.what.removeprefix(f"{source}, ")
        if error.why:
            reason += f" ({error.why})"
        return Row(where, {}, number, reason)
    return Row(where, value, number)


def _json_array(
    source: str, first_line: int, lines: Iterable[str], errors: str | None
) -> Iterator[Row]:
    # Stop reading once the array is too long to be allowed: a file may have no end.
    parts = []
    room = LARGEST_VALUE + 1
    for line in lines:
        parts.append(line)
        room -= len(line)
        if room <= 0:
            break

    where = f"{shown_name(source)}, line {first_line}"
    hint = "write one JSON object per line, or one array of objects"
    values = _json_value("".join(parts), where, hint, errors)
    for number, value in enumerate(values, start=1):
        where = f"{source}, element {number}"
        if not isinstance(value, dict):
            raise TextError(f"{where}: not a JSON object")
        yield Row(where, value, number)


def _json_value(text: str, where: str, hint: str, errors: str | None) -> Any:
    if len(text) > LARGEST_VALUE:
        raise TextError(
            f"{where}: longer than {LARGEST_VALUE:,} characters",
            "a JSON value must fit in memory",
            "write one JSON object per line",
        )
    try:
        value = json_value(text)
    except (ValueError, RecursionError) as error:
        raise TextError(f"{where}: not JSON", str(error), hint) from None
    return without_halves(value) if errors == "replace" else value


def json_value(text: str) -> Any:
    """Return a value of JSON, or of the variants that other programs write: NaN, Infinity, and
    halves of a character. The reader of the text checks it; other columns may hold them."""
    import msgspec

    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        try:
            value = json.loads(text)
        except ValueError:
            raise ValueError(str(error)) from None

    # Few values have so many brackets that they could be nested too deep.
    if text.count("[") + text.count("{") > DEEPEST_VALUE:
        inner = [value]
        for _ in range(DEEPEST_VALUE):
            inner = [part for part_of_inner in inner for part in _parts_of(part_of_inner)]
        if inner:
            raise ValueError(f"its values are nested more than {DEEPEST_VALUE} levels deep")
    return value


def _parts_of(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def without_halves(value: Any) -> Any:
    """Return a value of JSON with U+FFFD for halves of characters."""
    if isinstance(value, str):
        return value if value.isascii() else SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {without_halves(name): without_halves(item) for name, item in value.items()}
    if isinstance(value, list):
        return list(map(without_halves, value))
    return value


def in_json(value: object) -> Any:
    """Return `value`, which a table may hold, in JSON types: other numbers than finite ones are
    null; dates and the like are texts, in which halves of characters are U+FFFD."""
    if isinstance(value, str):
        return without_halves(value)
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (list, tuple)):
        return list(map(in_json, value))
    if isinstance(value, Mapping):
        return {without_halves(str(name)): in_json(item) for name, item in value.items()}
    return str(value)


def check_halves(text: str, where: str) -> None:
    """Make sure that a text holds no half of a character, which UTF-8 cannot write. `where` names
    its cell."""
    half = None if text.isascii() else SURROGATE.search(text)
    if half is not None:
        raise TextError(
            f"{where}: not UTF-8",
            f"character {half.start() + 1} is {ord(half[0]):#06x}, half a character",
            "use " + keyword("encoding_errors", "replace"),
        )


def _csv(
    source: str, lines: Iterator[str], columns: Sequence[str]
) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a CSV file that are not empty, each with the number of its last line."""
    csv.field_size_limit(LARGEST_VALUE)

    # The line for Excel names the delimiter; it is no row.
    first = next(lines, "")
    above = 0
    named = _SEPARATOR_LINE.fullmatch(first)
    if is_workbook(source):
        delimiter = ","
    elif named:
        delimiter = named[1]
        first = next(lines, "")
        above = 1
    else:
        delimiter = delimiter_of(first, columns)

    table = csv.reader(itertools.chain([first], lines), strict=True, delimiter=delimiter)
    begins = above + 1
    try:
        for row_number, cells in enumerate(table, start=1):
            begins = above + table.line_num + 1
            if cells:
                # A row of a sheet is one, whatever lines its cells hold.
                yield row_number if is_workbook(source) else begins - 1, cells
    except csv.Error as error:
        # A quotation mark that is left open takes in all lines that follow: its row is the wrong
        # one.
        why = str(error)
        if above + table.line_num > begins:
            why = "a quotation mark opened here is not closed before a delimiter"
        raise TextError(
            f"{shown_name(source)}, line {begins}: not readable as a table", why
        ) from None


def _named(
    source: str, table: Iterator[tuple[int, list[str]]], has_header: IsHeader | None
) -> Iterator[Row]:
    """Yield the rows of a table below its header; where it has none, columns are called by their
    numbers from 1 on."""
    # Blank rows above all others say nothing. Without a header, the first row is one like the
    # others.
    first = next((row for row in table if any(map(str.strip, row[1]))), None)
    if first is None:
        return
    number, names = first
    sample = list(itertools.islice(table, SAMPLE_ROWS if has_header else 0))
    table = itertools.chain(sample, table)
    numbers = [str(place) for place in range(1, len(names) + 1)]
    if has_header is None or has_header(names, [cells for _, cells in sample]):
        _check_columns(source, names)
        if is_workbook(source) and "" in names:
            raise TextError(
                f"{shown_name(source)}, row {number}: column {names.index('') + 1} has no name",
                "this row is the header",
                "write a name into the empty cell",
            )
        # Several columns without a name would be one. Most are columns that a spreadsheet leaves
        # empty.
        if names.count("") > 1:
            names = list(names)
            for place, column_number in enumerate(numbers):
                if not names[place] and any(cells[place : place + 1] > [""] for _, cells in sample):
                    names[place] = column_number
    else:
        table = itertools.chain([first], table)
        names = numbers

    for number, cells in table:
        if len(cells) == len(names):
            values: dict[str | None, Any] = dict(zip(names, cells, strict=True))
        else:
            # Columns without a cell have None; cells beyond the columns are kept under None.
            values = {**dict.fromkeys(names), **dict(zip(names, cells, strict=False))}
            beyond = cells[len(names) :]
            if any(beyond):
                values[None] = beyond
        unit = "row" if is_workbook(source) else "line"
        yield Row(f"{shown_name(source)}, {unit} {number}", values, number)


def folded(name: str) -> str:
    """Return the name of a column as it is compared with others."""
    return name.strip().casefold()


def delimiter_of(header: str, columns: Sequence[str] = ()) -> str:
    """Return the delimiter of a CSV file by its first line.

    It is the first of DELIMITERS that gives the header all `columns`, or where none are asked for,
    one of USUAL_TEXT; else the one that gives it the most.
    """
    cells = {delimiter: _cells(header, delimiter) for delimiter in DELIMITERS}
    columns = list(map(folded, columns))
    for delimiter, names_of_delimiter in cells.items():
        names = list(map(folded, names_of_delimiter))
        has_usual = not columns and not {*names}.isdisjoint(USUAL_TEXT)
        if has_usual or (columns and {*columns} <= {*names}):
            return delimiter
    return max(DELIMITERS, key=lambda delimiter: len(cells[delimiter]))


def _cells(header: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([header], strict=True, delimiter=delimiter), [])
    except csv.Error:
        # A quotation mark closes before the cell does, or only in another line: no delimiter helps.
        return []


def _check_columns(source: str, names: Sequence[str]) -> None:
    for index, name in enumerate(names):
        if name and name in names[:index]:
            raise TextError(
                f"{source}, line 1: column {name!r} appears twice", hint="rename one of them"
            )
