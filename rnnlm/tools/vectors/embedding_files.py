"""Write vectors of lines or words to a file chunk by chunk, whole or not at all.

.npy:     an array (N, H) of float32, the format of numpy; the words of its rows are in
          FILE.words.tsv beside it
.parquet: a row each: line and text, or line, word_index, word, start and end; and the vector, a
          list of H numbers
          A line without text, or with too much, has a row of NaN in .npy, a null vector and its
          reason in the others, and no words.
.jsonl:   the same columns, one JSON object a line; compressed by a further suffix (.jsonl.gz);
          `-` is standard output

line counts from 1, word_index from 1 within the line; start and end are characters of the line,
first and one past the last.
"""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec
import numpy as np

from rnnlm.amounts import plural
from rnnlm.errors import UsageError, nearest
from rnnlm.storage.files import tables
from rnnlm.storage.files.file_types import without_suffix
from rnnlm.storage.files.outputs import check_file, save_file
from rnnlm.storage.files.writing import STANDARD_OUTPUT, replacing, writing
from rnnlm.text.lines import Progress, silent

if TYPE_CHECKING:
    from rnnlm.tools.vectors.embedding import EmbeddedLines, Embedder

NPY, PARQUET, JSON_LINES = ".npy", ".parquet", ".jsonl"
SUFFIXES = (NPY, PARQUET, JSON_LINES)
WORDS = ".words.tsv"
_NUMBERS = ("line", "word_index", "start", "end")
_WORD_COLUMNS = ("line", "word_index", "word", "start", "end")


def save_vectors(
    path: Path,
    embedder: "Embedder",
    lines: "Iterable[str]",
    overwrite: bool = False,
    progress: Progress = silent,
) -> int:
    """Write the vectors of `lines` to a file, in the format of its suffix. Return how many lines
    there were. progress: called with how far it is.

    UsageError: no such format. OutputError: the file, or the file of its words, is there, or cannot
    be written.
    """
    kind = check_path(path, embedder.settings.words, overwrite)
    count = 0

    def counted() -> "Iterator[EmbeddedLines]":
        nonlocal count
        for chunk in embedder.chunks(lines):
            yield chunk
            count += len(chunk.lines)
            progress(f"{plural(count, 'line')} embedded")

    if kind == JSON_LINES:
        save_file(path, map(_json_lines, counted()))
        return count
    # For an array of words, a second file names the word of each row.
    with writing(path), replacing(path) as stream:
        if kind == PARQUET:
            _write_parquet(stream, counted(), embedder)
        elif embedder.settings.words:
            with replacing(words_path(path)) as words:
                _write_npy(stream, _with_words(words, counted()), embedder.width)
        else:
            _write_npy(stream, counted(), embedder.width)
    return count


def check_path(path: Path, words: bool, overwrite: bool) -> str:
    """Return the format that the suffix of a file names; make sure that it may be written."""
    if path == STANDARD_OUTPUT:
        return JSON_LINES
    is_of_json = Path(without_suffix(path.name)).suffix.lower() == JSON_LINES
    suffix = JSON_LINES if is_of_json else path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(
            f"{path} does not have the suffix of a vectors file",
            hint=nearest(path.suffix, SUFFIXES),
        )
    check_file(path, overwrite)
    if words and suffix == NPY:
        check_file(words_path(path), overwrite)
    return suffix


def words_path(path: Path) -> Path:
    """Return the path of the table of the words whose vectors are the rows of the .npy file
    `path`."""
    return path.with_name(path.name + WORDS)


def rows(chunk: "EmbeddedLines") -> Iterator[dict[str, Any]]:
    """Yield the origin of each vector: line and text; or line, word_index, word, start and end."""
    if not chunk.words:
        pairs = zip(chunk.lines, chunk.reasons, strict=True)
        for number, (line, reason) in enumerate(pairs, start=chunk.first):
            yield {"line": number, "text": line, "reason": reason}
    for number, of in enumerate(chunk.words, start=chunk.first):
        for index, (word, (start, end)) in enumerate(zip(of.words, of.spans, strict=True), start=1):
            yield dict(zip(_WORD_COLUMNS, (number, index, word, start, end), strict=True))


def _json_lines(chunk: "EmbeddedLines") -> bytes:
    encode = msgspec.json.Encoder().encode
    written = []
    for row, vector in zip(rows(chunk), chunk.vectors_NH.tolist(), strict=True):
        reason = row.pop("reason", None)
        row |= {"vector": None, "reason": reason} if reason else {"vector": vector}
        written.append(encode(row) + b"\n")
    return b"".join(written)


def _write_npy(stream: BinaryIO, chunks: "Iterable[EmbeddedLines]", width: int) -> None:
    """Write the rows of vectors. The header, which numpy pads so that the number of rows may grow,
    is written again when that is known."""
    stream.write(_npy_header(0, width))
    count = 0
    for chunk in chunks:
        count += len(chunk.vectors_NH)
        stream.write(chunk.vectors_NH.astype("<f4", copy=False).data)
    stream.seek(0)
    stream.write(_npy_header(count, width))


def _npy_header(count: int, width: int) -> bytes:
    header = io.BytesIO()
    facts = {"descr": "<f4", "fortran_order": False, "shape": (count, width)}
    np.lib.format.write_array_header_1_0(header, facts)
    return header.getvalue()


def _with_words(stream: BinaryIO, chunks: "Iterable[EmbeddedLines]") -> "Iterator[EmbeddedLines]":
    stream.write(tables.tsv_line(_WORD_COLUMNS).encode("utf-8"))
    for chunk in chunks:
        lines = [tables.tsv_line(map(str, row.values())) for row in rows(chunk)]
        stream.write("".join(lines).encode("utf-8"))
        yield chunk


def _write_parquet(
    stream: BinaryIO, chunks: "Iterable[EmbeddedLines]", embedder: "Embedder"
) -> None:
    import pyarrow
    import pyarrow.parquet

    # The columns of the rows, and then the vector, which has the same length in all.
    width, of_words = embedder.width, embedder.settings.words
    names = _WORD_COLUMNS if of_words else ("line", "text", "reason")
    columns = {name: pyarrow.int64() if name in _NUMBERS else pyarrow.string() for name in names}
    schema = pyarrow.schema(columns | {"vector": pyarrow.list_(pyarrow.float32(), width)})

    # Vectors are arrays already: they do not go through lists of Python as the other columns do.
    with pyarrow.parquet.ParquetWriter(stream, schema) as writer:
        for chunk in chunks:
            table = pyarrow.Table.from_pylist(list(rows(chunk)), schema=schema.remove(len(names)))
            numbers = pyarrow.array(chunk.vectors_NH.ravel())
            is_missing = None
            if not of_words and any(chunk.reasons):
                is_missing = pyarrow.array([reason is not None for reason in chunk.reasons])
            vectors = pyarrow.FixedSizeListArray.from_arrays(numbers, width, mask=is_missing)
            writer.write_table(table.append_column(schema.field("vector"), vectors))
