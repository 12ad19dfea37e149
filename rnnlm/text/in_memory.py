"""Texts and tables that a program holds, written to temporary files, so that everything that reads
files reads them, too."""

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import cast

from rnnlm.checks import items_of
from rnnlm.errors import ArgumentTypeError, TextError, given, nearest

TEXT = "text"  # what the column of the text is called in the file
_LINE_ENDS = ("\n", "\r")


def write_lines(lines: Iterable[str]) -> Path:
    """Write lines to a new temporary file, one by one. Return its path."""
    return _write("lines.txt", _checked(items_of(lines, str, "lines")))


def _checked(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines; refuse one that is several."""
    for number, line in enumerate(lines):
        if any(end in line for end in _LINE_ENDS):
            raise TextError(f"lines[{number}] holds a line end", hint="split it: text.splitlines()")
        yield line


def write_dataset(dataset: object, column: str | None, columns: Sequence[str]) -> Path:
    """Write columns of a data set as JSON-lines to a new temporary file. Return its path."""
    rows = _with_names_of_classes(dataset, _rows_of(dataset, column, columns))
    return _write("dataset.jsonl", map(json.dumps, rows))


def _write(name: str, lines: Iterable[str]) -> Path:
    """Write lines to a new file of that name as they come; leave nothing where they end in an
    error. Return its path."""
    path = Path(tempfile.mkdtemp(prefix="rnnlm-")) / name
    try:
        with open(path, "w", encoding="utf-8", errors="surrogatepass", newline="\n") as stream:
            stream.writelines(line + "\n" for line in lines)
    except BaseException:
        remove(path)
        raise
    return path


def remove(path: Path) -> None:
    """Remove a file that was written here, and its folder."""
    shutil.rmtree(path.parent, ignore_errors=True)


def _rows_of(
    dataset: object, column: str | None, columns: Sequence[str]
) -> Iterator[dict[str, object]]:
    """Yield the wanted columns of each row; that of the text is called "text"."""
    wanted = {name: name for name in columns}
    if column is not None:
        wanted[column] = TEXT

    # A data frame has columns, which a column does not; anything else is read row by row.
    if hasattr(dataset, "columns"):
        frame = cast(Mapping[str, Iterable[object]], dataset)
        names = wanted or _usual_names(list(frame.columns))  # type: ignore[attr-defined]
        _check_names(names, list(frame.columns))  # type: ignore[attr-defined]
        values = zip(*(frame[name] for name in names), strict=True)
        for cells in values:
            yield _row(dict(zip(names.values(), cells, strict=True)))
        return
    if not isinstance(dataset, Iterable) or isinstance(dataset, (str, bytes)):
        raise ArgumentTypeError(f"a data set is needed, not {given(dataset)}")
    # Its keys would be read as lines.
    if isinstance(dataset, Mapping):
        raise ArgumentTypeError(
            f"a data set is needed, not {given(dataset)}",
            f"it has {', '.join(map(str, list(dataset)[:10]))}",
            'choose a split, such as dataset["train"], or make a data frame of columns',
        )
    rows = iter(dataset)
    first = next(rows, None)
    if first is None:
        return
    if not isinstance(first, Mapping):
        for value in chain([first], rows):
            yield _row({TEXT: value})
        return
    names = wanted or _usual_names(list(first))
    for row in chain([first], rows):
        _check_names(names, list(row))
        yield _row({new: row[old] for old, new in names.items()})


def _with_names_of_classes(
    dataset: object, rows: Iterable[dict[str, object]]
) -> Iterator[dict[str, object]]:
    """Yield rows with the names of their labels, where Hugging Face's `datasets` stores numbers
    and keeps the names beside them (`ClassLabel`)."""
    features = cast(Mapping[str, object], getattr(dataset, "features", None) or {})
    names_of: dict[str, Sequence[str]] = {}
    for name, feature in features.items():
        # A label of each word is a list of such labels.
        names = getattr(getattr(feature, "feature", feature), "names", None)
        if names:
            names_of[name] = names

    for row in rows:
        for name, names in names_of.items():
            value = row.get(name)
            # A negative number stands for a label that is not known.
            if isinstance(value, list):
                row[name] = [names[number] if number >= 0 else None for number in value]
            elif isinstance(value, int):
                row[name] = names[value] if value >= 0 else None
        yield row


def _usual_names(there: Sequence[str]) -> dict[str, str]:
    """Return the column of the text, where none is named: "text", "sentence" or the only one."""
    for name in (TEXT, "sentence"):
        if name in there:
            return {name: TEXT}
    if len(there) == 1:
        return {there[0]: TEXT}
    raise TextError(
        "the data set has no column 'text'",
        f"it has {', '.join(map(str, there))}",
        'name one: Corpus.from_dataset(dataset, "NAME"); for labels or pairs several: '
        'columns=["NAME", "NAME"]',
    )


def _check_names(names: Iterable[str], there: Sequence[str]) -> None:
    for name in names:
        if name not in there:
            raise TextError(f"the data set has no column {name!r}", hint=nearest(name, there))


def _row(values: dict[str, object]) -> dict[str, object]:
    """Return a row in JSON's types: arrays become lists, NaN (a gap of pandas) None."""
    for name, value in values.items():
        if hasattr(value, "tolist"):
            value = values[name] = value.tolist()
        if isinstance(value, float) and value != value:
            values[name] = None
    return values
