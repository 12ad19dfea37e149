"""The columns of tables and the texts in their cells: what tables with labels and tables of pairs share."""

from collections.abc import Iterable
from typing import Any

from rnnlm.errors import TextError, given, nearest
from rnnlm.files import tables

KINDS = {"tsv": tables.TSV, "csv": tables.CSV, "jsonl": tables.JSON_LINES, "parquet": tables.PARQUET}  # by format


def no_column(where: str, name: str, names: Iterable[str]) -> TextError:
    """The error for a column that does not exist, which lists those that do."""
    names = list(names)
    hint = nearest(name, names)
    listed = ", ".join(names) or "no columns"
    return TextError(f"{where}: no column {name!r}", f"it has {listed}", hint if hint.startswith("did you mean") else "")


def check_length(row: tables.Row) -> None:
    """Whether a row has no more cells than columns.

    Raises:
        TextError: it has more.
    """
    if row.is_too_long:
        hint = "a text that holds the delimiter needs quotation marks around it; --delimiter names another one"
        raise TextError(f"{row.where}: {tables.TOO_LONG}", hint=hint)


def text_of(value: Any, where: str, column: str) -> str:
    """What a cell holds, as text: numbers and truth values as JSON writes them.

    Raises:
        TextError: it holds something else.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, (str, int)):
        raise TextError(f"{where}: column {column!r} holds {given(value)}", "a text or a whole number is needed")
    return str(value)
