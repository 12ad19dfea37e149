"""Write texts and tables that a program holds to temporary files, so that everything that reads
files reads them, too."""

import contextlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from rnnlm.checks import items_of
from rnnlm.config import plain
from rnnlm.errors import ArgumentTypeError, RnnlmError, TextError, given, nearest
from rnnlm.storage.files import private, tables
from rnnlm.storage.files.reading import names_in_memory
from rnnlm.storage.files.resuming import signed_by_content
from rnnlm.text.named_columns import table_of, tell_of_guess, text_column, usual_among, why_no_text
from rnnlm.text.word_rows import sentences_of

if TYPE_CHECKING:
    import pyarrow

Record: TypeAlias = dict[str, object]

_folders: dict[Path, "tempfile.TemporaryDirectory[str]"] = {}  # of files that are in use
TEXT = "text"  # name of the text's column in the file
_LINE_ENDS = ("\n", "\r")


def write_lines(lines: Iterable[str]) -> Path:
    """Write lines to a new temporary file, one by one. Return its path."""
    return _write("lines.txt", "the given lines", _checked(items_of(lines, str, "lines")))


def _checked(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines; refuse one that is several."""
    for number, line in enumerate(lines):
        if any(end in line for end in _LINE_ENDS):
            raise TextError(f"lines[{number}] holds a line end", hint="split it: text.splitlines()")
        yield line


def write_dataset(
    dataset: object,
    column: str | None,
    columns: Sequence[str],
    sentence_columns: Sequence[str] = (),
) -> Path:
    """Write columns of a data set as JSON-lines to a new temporary file, those of the first word
    of each sentence if there are `sentence_columns`. Return its path."""
    # A format of `datasets` would turn each row into a frame or table of its own.
    if hasattr(dataset, "with_format") and hasattr(dataset, "features"):
        dataset = dataset.with_format(None)
    wanted = tuple(dict.fromkeys((*columns, *sentence_columns)))
    rows = _read(_wanted_rows(dataset, column, wanted))
    if sentence_columns:
        rows = _sentences(rows, sentence_columns)
    if not columns:
        rows = _checked_texts(rows)
    return _write("dataset.jsonl", "the data set", (json.dumps(row, default=str) for row in rows))


def _sentences(rows: Iterable[Record], sentence_columns: Sequence[str]) -> Iterator[Record]:
    """Yield a row for each sentence of a data set with a row a word."""
    numbered = (
        tables.Row(f"dataset[{number}]", cast(dict[str | None, object], row))
        for number, row in enumerate(rows)
    )
    for sentence in sentences_of(table_of("the data set", numbered), TEXT, sentence_columns):
        if not sentence.is_repeated:
            yield {**cast(Record, sentence.rows[0].values), TEXT: " ".join(sentence.words)}


def _checked_texts(rows: Iterable[Record]) -> Iterator[Record]:
    """Yield rows whose text is one. (Labelled rows may have lists of words.)"""
    for number, row in enumerate(rows):
        if row[TEXT] is not None and not isinstance(row[TEXT], str):
            raise TextError(f"dataset[{number}]: {why_no_text(row[TEXT], TEXT)}")
        yield row


def _read(rows: Iterable[Record]) -> Iterator[Record]:
    """Yield rows. An error of the library that holds them is turned into a TextError."""
    try:
        yield from rows
    except Exception as error:
        # Python's own may come from a generator that the caller wrote.
        if isinstance(error, RnnlmError) or type(error).__module__ == "builtins":
            raise
        reason = str(error).strip() or type(error).__name__
        raise TextError("cannot read the data set", reason.splitlines()[0]) from error


def _write(name: str, called: str, lines: Iterable[str]) -> Path:
    """Write lines to a new file of that name as they come; leave nothing if they end in an error.
    called: its name in messages. Return its path."""
    folder = private.temporary()
    path = Path(folder.name) / name
    _folders[path] = folder
    try:
        with open(path, "w", encoding="utf-8", errors="surrogatepass", newline="\n") as stream:
            stream.writelines(line + "\n" for line in lines)
    except BaseException:
        remove(path)
        raise
    signed_by_content.add(str(path))
    names_in_memory[str(path)] = called
    return path


def remove(path: Path) -> None:
    """Remove a file that was written here, and its folder."""
    signed_by_content.discard(str(path))
    names_in_memory.pop(str(path), None)
    folder = _folders.pop(path, None)
    if folder is not None:
        folder.cleanup()


def _wanted_rows(dataset: object, column: str | None, columns: Sequence[str]) -> Iterator[Record]:
    """Yield the wanted columns of each row; the column of the text is called "text"."""
    wanted: Mapping[str, str] = {name: name for name in columns}
    if column is not None:
        wanted = {**wanted, column: TEXT}

    # Columns are read by Arrow's interface, or by name from the frames of pandas, which adds an
    # index to the former; anything else is read row by row.
    if hasattr(dataset, "columns") and hasattr(dataset, "iloc"):
        frame = cast(Mapping[str, Iterable[object]], dataset)
        names = _names_of(list(frame.columns), wanted)  # type: ignore[attr-defined]
        for cells in zip(*(frame[name] for name in names), strict=True):
            yield _row(dict(zip(names.values(), cells, strict=True)))
        return
    batches = _arrow_batches(dataset)
    if batches is not None:
        for batch in batches:
            wanted = _names_of(batch.schema.names, wanted)
            for arrow_row in tables.arrow_rows(batch.select(list(wanted)), "surrogateescape"):
                yield _row({new: arrow_row[old] for old, new in wanted.items()})
        return

    names = wanted
    features: Any = getattr(getattr(dataset, "features", None), "to_dict", dict)()
    for value in _items(dataset):
        row = _as_mapping(value)
        if row is None:
            yield _row({TEXT: value})
            continue
        # The first row decides on the columns.
        names = _names_of(list(row), names)
        renamed = {new: features.get(old) for old, new in names.items()}
        plain_row = _row({new: row[old] for old, new in names.items()})
        yield tables.with_class_names(plain_row, renamed)


def _arrow_batches(dataset: object) -> "Iterable[pyarrow.RecordBatch] | None":
    """Return the rows of an object that has columns and shares them by Arrow's C interface; None:
    it does not."""
    if not (hasattr(dataset, "__arrow_c_stream__") or hasattr(dataset, "__arrow_c_array__")):
        return None
    import pyarrow

    try:
        if hasattr(dataset, "__arrow_c_stream__"):
            return pyarrow.RecordBatchReader.from_stream(dataset)
        return [pyarrow.record_batch(dataset)]
    except pyarrow.ArrowInvalid:  # a column by itself
        return None


def _items(dataset: object) -> Iterable[object]:
    """Return an iterable over the rows of a data set, or over one of its columns, in order."""
    # Its keys would be read as lines.
    if isinstance(dataset, Mapping):
        raise ArgumentTypeError(
            f"a data set is needed, not {given(dataset)}",
            f"it has {', '.join(map(str, list(dataset)[:10]))}",
            'choose a split, such as dataset["train"], or make a data frame of columns',
        )
    if isinstance(dataset, (str, bytes)):
        raise ArgumentTypeError(f"a data set is needed, not {given(dataset)}")
    # An object that only looks like rows, such as a query of Polars, has no length.
    if hasattr(dataset, "__iter__") or hasattr(dataset, "__len__"):
        with contextlib.suppress(TypeError):
            return iter(cast(Iterable[object], dataset))
    hint = "call its collect() first" if hasattr(dataset, "collect") else ""
    raise ArgumentTypeError(f"a data set is needed, not {given(dataset)}", hint=hint)


def _as_mapping(row: object) -> Mapping[str, object] | None:
    """Return a row that names its columns: a dict, a named tuple, a row of sqlite3; None: it is a
    value by itself."""
    if isinstance(row, Mapping):
        return row
    if hasattr(row, "_asdict"):
        return cast(Mapping[str, object], row._asdict())
    if hasattr(row, "keys") and hasattr(row, "__getitem__"):
        return {name: row[name] for name in row.keys()}  # noqa: SIM118
    return None


def _names_of(columns: Sequence[str], wanted: Mapping[str, str]) -> Mapping[str, str]:
    """Return the wanted columns, all of which must be there, each with its name in the file; if
    none is named, the column of the text: one of a usual name, or the only one."""
    twice = [name for name in wanted or columns if columns.count(name) > 1]
    if twice:
        raise TextError(f"the data set has several columns called {twice[0]!r}", hint="rename them")
    for name in wanted:
        if name not in columns:
            raise TextError(f"the data set has no column {name!r}", hint=nearest(name, columns))
    if wanted:
        return wanted
    by_name = {str(name): name for name in columns}  # pandas may number them
    if len(columns) == 1 or usual_among(list(by_name), tables.USUAL_TEXT):
        column = text_column(list(by_name), (), "the data set")
        tell_of_guess("the data set", list(by_name), column, None)
        return {by_name[column]: TEXT}
    raise TextError(
        "the data set has no column 'text'",
        f"it has {', '.join(by_name)}",
        'name one: Corpus.from_dataset(dataset, "NAME"); for labels or pairs several: '
        'columns=["NAME", "NAME"]',
    )


def _row(values: dict[str, object]) -> Record:
    """Return a row in JSON's types: arrays become lists, bytes text, and gaps of any library
    None."""
    row: Record = {}
    for name, value in values.items():
        value = plain(value)
        if isinstance(value, bytes):
            value = value.decode("utf-8", "surrogateescape")
        row[name] = value if tables.has_text(value) else None
    return row
