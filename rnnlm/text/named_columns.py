"""Tables of named columns: the one reader of texts with labels, of pairs, and of sources.

Whoever reads a table says which columns it asks for and what others are usually called. Rows are
checked, and a cell that is missing or unclear is an error that says what to name.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from rnnlm.errors import TextError, given, nearest
from rnnlm.files import tables

KINDS = {  # by the name of the format in settings
    "tsv": tables.TSV,
    "csv": tables.CSV,
    "jsonl": tables.JSON_LINES,
    "parquet": tables.PARQUET,
}
# In JSON-lines and Parquet, an object of this name may hold the columns of pairs, one text for each
# language, as in data sets of the hub.
TRANSLATION = "translation"

Values = Mapping[Any, Any]


class TableSettings(Protocol):
    """Settings for reading tables, whatever they hold."""

    @property
    def encoding_errors(self) -> str: ...


def format_of(kind: str) -> str:
    """Return what settings call a kind of table."""
    return next(name for name, each in KINDS.items() if each == kind)


def read_rows(
    source: str,
    format: str,
    settings: TableSettings,
    asked: Sequence[str] = (),
    has_header: bool = True,
    only_asked: bool = False,
) -> Iterator[tables.Row]:
    """Yield the rows of a table.

    asked: the columns that are named, by which the delimiter of CSV is found. only_asked: no others
    are needed, so that no others are read from a Parquet file.
    """
    kind = KINDS[format]
    if only_asked and kind == tables.PARQUET and set(asked) <= set(tables.parquet_columns(source)):
        rows = tables.parquet_rows(source, asked)
    else:
        rows = tables.rows(
            source, kind, settings.encoding_errors, columns=asked, has_header=has_header
        )
    for row in rows:
        check_length(row)
        yield row


def languages_of(values: Values, asked: Sequence[str]) -> Values:
    """Return the columns of a row of pairs: its own, or the languages of its `translation`."""
    inner = values.get(TRANSLATION)
    if isinstance(inner, dict) and not any(name in values for name in asked):
        return inner
    return values


def cell(values: Values, column: str, where: str) -> Any:
    """Return the value of a row in a column."""
    if column not in values:
        raise no_column(where, column, map(str, values))
    return values[column]


def are_numbers(names: Iterable[str | None]) -> bool:
    """Return whether all names of columns are numbers, as in a table without a header."""
    return all(name is not None and name.isascii() and name.isdigit() for name in names)


def usual_column(names: Sequence[str], usual: Sequence[str], where: str, what: str, by: str) -> str:
    """Return the column of `names` that is usually called so, or the only one.

    what: its content, for messages. by: what names the column.
    """
    for name in usual:
        if name in names:
            return name
    if len(names) == 1:
        return names[0]
    raise TextError(
        f"{where}: which column holds {what}?",
        "it has " + (", ".join(names) or "no other column"),
        f"name it with {by}",
    )


def check_length(row: tables.Row) -> None:
    """Refuse a row with more cells than columns."""
    if row.is_too_long:
        raise TextError(
            f"{row.where}: {tables.TOO_LONG}",
            hint="a text that holds the delimiter needs quotation marks around it",
        )


def text_of(value: object, where: str, column: str) -> str:
    """Return the value of a cell as text: numbers and truth values as JSON writes them."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, (str, int)):
        raise TextError(
            f"{where}: column {column!r} holds {given(value)}", "a text or a whole number is needed"
        )
    return str(value)


def no_column(where: str, name: str, names: Iterable[str]) -> TextError:
    """Return the error for a column that does not exist, which lists those that do."""
    names = list(names)
    listed = ", ".join(names) or "no columns"
    # The hint need not list the columns once more.
    hint = nearest(name, names)
    if not hint.startswith("did you mean"):
        hint = ""
    return TextError(f"{where}: no column {name!r}", f"it has {listed}", hint)
