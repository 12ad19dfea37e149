"""Items of a cloze test, read from a table: a text with a gap, the word that belongs there, and what is known about it."""

import re
from dataclasses import dataclass
from pathlib import Path

from rnnlm.errors import TextError
from rnnlm.files import tables
from rnnlm.text.lines import WORD_SPACE, check_reserved
from rnnlm.text.table_columns import check_length, no_column, text_of

TEXT, ANSWER, DISTANCE, KIND = "text", "answer", "distance", "kind"
_GAP = re.compile("__+")


@dataclass(frozen=True)
class ClozeItem:
    """One item. context: what stands before the gap. distance: the number of words between the gap and the cue, the word that says what
    belongs there. distance and kind are None where the table does not say."""

    context: str
    answer: str
    distance: int | None = None
    kind: str | None = None


def read_items(source: str | Path) -> list[ClozeItem]:
    """The items of a table with the columns `text`, in which underscores mark the gap (`___`), and `answer`; those of `distance` and
    `kind` are read where there are any. Tab-separated, unless the file's name says that it is CSV, JSON-lines or Parquet.

    Raises:
        TextError: the file cannot be read, lacks a column, or holds no items; or an item has no gap or more than one, an answer that is
            not one word, `<s>` or `</s>`, or a distance that is no natural number.
    """
    name = str(source)
    items = [_item(row) for row in tables.rows(name, tables.kind_of(name) or tables.TSV)]
    if not items:
        raise TextError(f"{name} holds no items", hint="one a line, below a header with the columns text and answer")
    return items


def _item(row: tables.Row) -> ClozeItem:
    check_length(row)
    columns = {column: value for column, value in row.values.items() if column is not None}
    for column in (TEXT, ANSWER):
        if column not in columns:
            raise no_column(row.where, column, columns)
    text, answer = (text_of(columns[column], row.where, column) for column in (TEXT, ANSWER))
    gaps = list(_GAP.finditer(text))
    if len(gaps) != 1:
        raise TextError(f"{row.where}: {len(gaps) or 'no'} gap{'s' if len(gaps) > 1 else ''} in the text", hint="mark one by ___")
    if len(answer.split()) != 1:
        raise TextError(f"{row.where}: the answer {answer!r} is not one word")
    for value in (text, answer):
        check_reserved(value, row.where, "error", hint="remove it: a text begins at a boundary by itself")
    kind = columns.get(KIND)
    return ClozeItem(text[: gaps[0].start()].strip(WORD_SPACE), answer.strip(), _distance(row, columns.get(DISTANCE)),
                     text_of(kind, row.where, KIND) if kind not in (None, "") else None)  # fmt: skip


def _distance(row: tables.Row, value: object) -> int | None:
    if value in (None, ""):
        return None
    text = str(value).strip()
    if not (text.isascii() and text.isdigit()):
        raise TextError(f"{row.where}: the distance {text!r} is not a number of words")
    return int(text)
