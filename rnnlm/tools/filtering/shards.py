"""Read shards, files of documents, chunk by chunk, and write files of the documents that are
chosen.

In JSON-lines and Parquet a row is a document; its columns are kept and others added. A column that
an earlier filter added is called input_NAME in the result. In plain text a line is one, or, where
blank lines separate documents, all lines between them. The output has the format and the
compression of the shard.
"""

import itertools
import json
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

import msgspec
import numpy as np

from rnnlm.errors import TextError, UsageError, joined_message, keyword
from rnnlm.parallel import report_done
from rnnlm.storage.files import tables
from rnnlm.storage.files.file_types import compressor, without_suffix
from rnnlm.storage.files.reading import STANDARD_INPUT, decode, is_pipe, opened, shown_name
from rnnlm.text.lines import WORD_SPACE, TextSettings, as_bytes, lines_of, unwrapped, whole_lines
from rnnlm.text.named_columns import new_names, no_column, text_column, text_or_none
from rnnlm.text.sources import in_lists
from rnnlm.tools.filtering.judging import Documents, Verdicts, lines_of_text, lines_read
from rnnlm.tools.filtering.settings import DIFFERENCE, FilterRule

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

CHUNK_BYTES = 1 << 20  # of text, about: many enough for a model to be fast, few enough for memory
MOST_DOCUMENTS = 1 << 14  # of a chunk

# Columns added to tables: of numbers, or of texts, with a value for each document.
Columns = Mapping[str, Sequence[float | str | None]]


@dataclass(frozen=True)
class ShardReadSettings:
    """Settings for reading shards. added: the columns that are added to tables."""

    column: str | None = None
    text: TextSettings = TextSettings(special_symbols="replace")
    added: tuple[str, ...] = ()


class DocumentChunk(ABC):
    """Some documents of a shard, next to each other."""

    documents: Documents

    @abstractmethod
    def chosen(self, numbers: np.ndarray, columns: Columns) -> "bytes | pyarrow.Table":
        """Return the documents with these numbers as a shard holds them. columns: of all
        documents."""


class ShardOutput(Protocol):
    """A file of chosen documents that is being written."""

    def write(self, piece: Any, /) -> None:
        """Write the chosen documents of a chunk."""

    def finish(self) -> None:
        """Write the end of the file."""


class InputShard(ABC):
    """A file of documents. source: its path. has_columns: whether columns can be added."""

    has_columns = True

    def __init__(self, source: str, reading: ShardReadSettings) -> None:
        self.source = source
        self.reading = reading

    @abstractmethod
    def chunks(self) -> Iterator[DocumentChunk]:
        """Read the documents, chunk by chunk, and report how many bytes of the file were read.
        Raise TextError where they cannot be read."""

    def text_column(self, names: Sequence[str], where: str) -> str:
        """Return the column of the text; refuse one that the result would have twice."""
        column = text_column(names, (), where, self.reading.column)
        if column in self.reading.added:
            raise TextError(
                f"{where}: the text is in column {column!r}",
                "the output would add a column of that name",
                "choose another name: "
                + joined_message(", ", map(keyword, ("perplexity_column", "bucket_column")))
                + " or "
                + keyword("language_column"),
            )
        return column

    def output(self, stream: BinaryIO) -> ShardOutput:
        """Return a writer of chosen documents to a stream, in the format of the shard itself."""
        return _Bytes(stream, self.source)


def open_shard(source: str, reading: ShardReadSettings) -> InputShard:
    """Return the shard in a file, by the name's suffix; refuse sources that cannot be read
    again."""
    if source == STANDARD_INPUT or is_pipe(source):
        raise UsageError(
            f"{shown_name(source)} cannot be filtered",
            "a resumed run reads its files again",
            "write it to a file",
        )
    kind = tables.kind_of(source)
    if kind == tables.CSV or (kind == tables.TSV and reading.column is not None):
        raise UsageError(
            f"{source}: delimited tables cannot be filtered",
            "JSON lines, Parquet and plain text can",
            "write the table as Parquet or JSON lines",
        )
    if kind == tables.PARQUET:
        return ParquetShard(source, reading)
    if kind == tables.JSON_LINES:
        return JsonShard(source, reading)
    return LinesShard(source, reading)


class _Bytes(ShardOutput):
    """Lines, compressed as the name of the shard says."""

    def __init__(self, stream: BinaryIO, source: str) -> None:
        self.stream = stream
        self.compressor = compressor(source.removeprefix(without_suffix(source)))

    def write(self, piece: "bytes | pyarrow.Table") -> None:
        data = cast(bytes, piece)
        self.stream.write(self.compressor.compress(data) if self.compressor else data)

    def finish(self) -> None:
        if self.compressor:
            self.stream.write(self.compressor.flush())


def _pieces(source: str, errors: str) -> Iterator[tuple[int, bytes]]:
    """Yield whole lines of a file, about a chunk at a time, with the number of the first one."""
    next_line = 1
    size, done = os.path.getsize(source), 0

    def on_read(count: int) -> None:
        nonlocal done
        done += count

    with opened(source, on_read, errors=errors) as stream:
        for whole in whole_lines(iter(lambda: stream.read(CHUNK_BYTES), b""), source):
            data = cast(bytes, whole)
            yield next_line, data
            report_done(min(done, size))  # it is judged when more is asked for
            next_line += data.count(b"\n")


def _unwrapped_pieces(
    pieces: Iterator[tuple[int, bytes]], source: str, errors: str
) -> Iterator[tuple[int, bytes]]:
    """Yield the sentences of hard-wrapped pieces, each as a line, with the number of the first."""
    lines = (line for first, data in pieces for line in lines_of(data, source, first, errors))
    next_line = 1
    for sentences in in_lists(unwrapped(lines, source), MOST_DOCUMENTS, CHUNK_BYTES, len):
        yield next_line, as_bytes(sentences)
        next_line += len(sentences)


# ---- Plain text.


@dataclass(frozen=True)
class LinesChunk(DocumentChunk):
    """texts: texts of the documents, as they are written; end: the string after each."""

    documents: Documents
    texts: Sequence[str]
    end: str

    def chosen(self, numbers: np.ndarray, columns: Columns) -> bytes:
        texts = [self.texts[number] for number in numbers.tolist()]
        return self.end.join([*texts, ""]).encode("utf-8")


class LinesShard(InputShard):
    """Lines of text. A document is a line, or the lines between blank lines, which it is written
    with. Line ends become newlines, and blank lines are skipped. Unwrapped sentences are lines."""

    has_columns = False

    def chunks(self) -> Iterator[LinesChunk]:
        settings = self.reading.text
        has_documents = settings.blank_lines == "documents"
        held: list[str] = []  # of a document that continues in the next piece
        pieces = _pieces(self.source, settings.encoding_errors)
        if settings.unwrap:
            pieces = _unwrapped_pieces(pieces, self.source, settings.encoding_errors)
        for first_line, data in pieces:
            lines = lines_of(data, self.source, first_line, settings.encoding_errors)
            where = f"{self.source}, from line {first_line}"

            # Each line is a document.
            if not has_documents:
                kept = [line for line in lines if line.strip(WORD_SPACE)]
                may_be_reserved = b"<s>" in data or b"</s>" in data
                read = (
                    lines_read(kept, settings.special_symbols, where) if may_be_reserved else kept
                )
                yield LinesChunk(Documents(read, np.arange(len(kept) + 1)), kept, "\n")
                continue

            # Blank lines separate documents; the last one may continue in the next piece.
            *whole, held = _documents([*held, *lines])
            if sum(map(len, held)) > tables.LARGEST_VALUE:
                raise TextError(
                    f"{where}: a document is longer than {tables.LARGEST_VALUE:,} characters",
                    "a document must fit in memory",
                    "separate documents by blank lines",
                )
            if whole:
                yield self._chunk(whole, where)
        if held:
            yield self._chunk([held], self.source)

    def _chunk(self, documents: list[list[str]], where: str) -> LinesChunk:
        lines = list(itertools.chain.from_iterable(documents))
        read = lines_read(lines, self.reading.text.special_symbols, where)
        starts_D = np.cumsum([0, *map(len, documents)])
        return LinesChunk(Documents(read, starts_D), list(map("\n".join, documents)), "\n\n")


def _documents(lines: Sequence[str]) -> list[list[str]]:
    """Return the documents that blank lines separate; the last one may be incomplete or empty."""
    documents: list[list[str]] = [[]]
    for line in lines:
        if line.strip(WORD_SPACE):
            documents[-1].append(line)
        elif documents[-1]:
            documents.append([])
    return documents


# ---- JSON-lines.


@dataclass(frozen=True)
class JsonChunk(DocumentChunk):
    """rows: JSON objects of one line each, as they are in the shard."""

    documents: Documents
    rows: Sequence[str]

    def chosen(self, numbers: np.ndarray, columns: Columns) -> bytes:
        # The row's own cells stay as they are written: numbers of any size, the order of the
        # columns.
        keys = [f", {json.dumps(name, ensure_ascii=False)}: " for name in columns]
        written = []
        for number in numbers.tolist():
            row = self.rows[number].rstrip()
            added = [
                key + json.dumps(values[number], ensure_ascii=False)
                for key, values in zip(keys, columns.values(), strict=True)
            ]
            if added:
                row = "".join([row[:-1].rstrip(), *added, "}"])
            written.append(row + "\n")
        return "".join(written).encode("utf-8")


class JsonShard(InputShard):
    """One JSON object a line. Blank lines are skipped."""

    def chunks(self) -> Iterator[JsonChunk]:
        settings = self.reading.text
        decoder: Callable[[str, str], tuple[str | None, str]] | None = None
        for first_line, data in _pieces(self.source, settings.encoding_errors):
            text = decode(data, self.source, first_line, settings.encoding_errors)
            if first_line == 1:
                text = text.removeprefix("\ufeff")

            # Each row is a document. The first row of all decides how they are decoded.
            rows: list[str] = []
            lines: list[str] = []
            starts = [0]
            for number, row in enumerate(text.split("\n"), start=first_line):
                if not row.strip(" \t\r"):
                    continue
                where = f"{self.source}, line {number}"
                if decoder is None:
                    decoder = self._decoder(row, where)
                value, kept_row = decoder(row, where)
                if value is not None:
                    lines += lines_of_text(value, settings.special_symbols, where)
                rows.append(kept_row)
                starts.append(len(lines))
            yield JsonChunk(Documents(lines, np.array(starts)), rows)

    def _decoder(self, first_row: str, where: str) -> Callable[[str, str], tuple[str | None, str]]:
        """Return a function that takes the text out of a row, and returns the row as it is written.
        The first row decides on the column."""
        column = self.text_column(list(_json_object(first_row, where)), where)

        # The text, and columns that the result would have twice, which are renamed.
        names = (column, *self.reading.added)
        columns_of = _decoder_of(names)

        def text_in_row(row: str, where: str) -> tuple[str | None, str]:
            try:
                text, *added = columns_of(row)
            except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
                # The error may be in a column that is not needed.
                values = _json_object(row, where)
                text, *added = [values.get(name, msgspec.UNSET) for name in names]
            if text is msgspec.UNSET:
                raise no_column(where, column, _json_object(row, where))
            if any(value is not msgspec.UNSET for value in added):
                row = _renamed_row(row, self.reading.added)
            return _text_in(text, where, column, self.reading.text), row

        return text_in_row


def _decoder_of(names: Sequence[str]) -> Callable[[str], Sequence[object]]:
    """Return a function that takes the columns of these names out of a row of JSON; UNSET where
    there is none. Others are not decoded, which takes most of the time where rows are large."""
    fields = [(f"column_{place}", object, msgspec.UNSET) for place in range(len(names))]
    keys = dict(zip((field for field, _, _ in fields), names, strict=True))
    try:
        row_type = msgspec.defstruct("Row", fields, rename=keys)
    except ValueError:  # a name that is written with escapes
        whole = msgspec.json.Decoder(dict[str, object])

        def taken(row: str) -> Sequence[object]:
            decoded = whole.decode(row)
            return [decoded.get(name, msgspec.UNSET) for name in names]

        return taken
    decoder = msgspec.json.Decoder(row_type)
    return lambda row: msgspec.structs.astuple(decoder.decode(row))


def _renamed_row(row: str, added: Sequence[str]) -> str:
    """Return a row of JSON in which no column has a name that is added."""
    try:
        # The values stay as they are written: numbers of any size.
        raw_values = msgspec.json.decode(row, type=dict[str, msgspec.Raw])
        values = {name: str(bytes(raw), "utf-8") for name, raw in raw_values.items()}
    except (msgspec.MsgspecError, UnicodeEncodeError):
        values = {name: json.dumps(value) for name, value in tables.json_value(row).items()}
    renamed = new_names(list(values), added, keeps_halves=True)
    pairs = [f"{json.dumps(renamed[name])}: {value}" for name, value in values.items()]
    return "{" + ", ".join(pairs) + "}"


def _json_object(row: str, where: str) -> dict[str, object]:
    """Return the columns of a row. Raise TextError where it is no JSON object."""
    try:
        row_object = tables.json_value(row)
    except (ValueError, RecursionError) as error:
        raise TextError(
            f"{where}: not JSON", str(error), "write one JSON object per line"
        ) from None
    if not isinstance(row_object, dict):
        raise TextError(f"{where}: not a JSON object", hint="write one JSON object per line")
    return row_object


def _text_in(value: object, where: str, column: str, settings: TextSettings) -> str | None:
    """Return the text of a row as models read it; None: it has none."""
    if settings.encoding_errors == "replace" and isinstance(value, str):
        value = tables.without_halves(value)
    text = text_or_none(value, where, column)
    return "\n".join(unwrapped(text.split("\n"))) if text and settings.unwrap else text


# ---- Parquet.


@dataclass(frozen=True)
class TableChunk(DocumentChunk):
    """table: the rows, with all of their columns."""

    documents: Documents
    table: "pyarrow.Table"

    def chosen(self, numbers: np.ndarray, columns: Columns) -> "pyarrow.Table":
        import pyarrow

        try:
            chosen_rows = self.table.take(pyarrow.array(numbers))
        except pyarrow.ArrowNotImplementedError:
            # Arrow takes rows of some types as slices alone.
            runs = np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1)
            slices = [self.table.slice(run[0], len(run)) for run in runs]
            chosen_rows = pyarrow.concat_tables(slices)
        for name, values in columns.items():
            taken = [values[number] for number in numbers.tolist()]
            kind = "string" if any(isinstance(value, str) for value in values) else "double"
            chosen_rows = chosen_rows.append_column(name, pyarrow.array(taken, kind))
        return chosen_rows


class ParquetShard(InputShard):
    """Rows of a Parquet file."""

    def chunks(self) -> Iterator[TableChunk]:
        import pyarrow

        with tables.reading_parquet(self.source):
            file = self._file()
            column = self.text_column(file.schema_arrow.names, self.source)

            row_bytes = os.path.getsize(self.source) / max(1, file.metadata.num_rows)

            # Batches are collected until their text is worth a call of the model.
            batches: list[pyarrow.RecordBatch] = []
            texts: list[str | None] = []
            size = first = 0
            errors = self.reading.text.encoding_errors
            for batch in file.iter_batches(batch_size=tables.ROWS_PER_BATCH):
                batches.append(batch)
                report_done((first + len(texts) + batch.num_rows) * row_bytes)
                for value in tables.arrow_values(batch.column(column), errors):
                    where = f"{self.source}, row {first + len(texts) + 1}"
                    text = _text_in(value, where, column, self.reading.text)
                    texts.append(text)
                    size += len(text or "")
                if size >= CHUNK_BYTES or len(texts) >= MOST_DOCUMENTS:
                    yield self._chunk(batches, texts, first)
                    first += len(texts)
                    batches, texts, size = [], [], 0
            if texts:
                yield self._chunk(batches, texts, first)

    def _file(self) -> "pyarrow.parquet.ParquetFile":
        import pyarrow.parquet

        return pyarrow.parquet.ParquetFile(self.source)

    def _chunk(
        self, batches: "list[pyarrow.RecordBatch]", texts: list[str | None], first: int
    ) -> TableChunk:
        import pyarrow

        documents = Documents.of_texts(
            texts, self.reading.text.special_symbols, f"{self.source}, row", first + 1
        )
        table = pyarrow.Table.from_batches(batches)
        renamed = new_names(table.column_names, self.reading.added)
        columns = table.rename_columns([renamed[name] for name in table.column_names])
        return TableChunk(documents, columns.replace_schema_metadata(table.schema.metadata))

    def output(self, stream: BinaryIO) -> ShardOutput:
        with tables.reading_parquet(self.source):
            metadata = self._file().metadata
        codec = "snappy"
        if metadata.num_row_groups and metadata.num_columns:
            codec = metadata.row_group(0).column(0).compression.lower()
        return tables.RowGroups(stream, "none" if codec == "uncompressed" else codec)


# ---- Columns added to tables.

DIGITS = 6


def added_columns(verdicts: Verdicts, rule: FilterRule, perplexity_column: str) -> Columns:
    """Return the columns that are added to tables: the perplexities, the differences if there are
    any, and the groups where the rule has several."""
    columns: dict[str, Sequence[float | str | None]] = {
        perplexity_column: shown_numbers(verdicts.perplexity_D)
    }
    if verdicts.difference_D is not None:
        columns[DIFFERENCE] = shown_numbers(verdicts.difference_D)
    if rule.column is not None:
        names = [*rule.groups, None, None]  # None: outside, or empty
        columns[rule.column] = [names[group] for group in verdicts.group_D.tolist()]
    return columns


def shown_numbers(values_D: np.ndarray) -> list[float | None]:
    """Return numbers to six digits, as columns of tables have them; None where there is none or it
    is infinite, which JSON cannot say."""
    return [
        float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
        for value in values_D.tolist()
    ]
