"""Documents that are tables: TSV, of which the first row brings its header, and JSON-lines. Labels stand in the columns of their names,
which are added where there are none: labels of words as a list in JSON-lines, elsewhere split by spaces (a list where one holds a space).
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rnnlm.errors import TextError
from rnnlm.files import tables, tsv
from rnnlm.text.labelled.documents.sentence import Sentence, TextLabels, WordLabels
from rnnlm.text.labelled.labelled_tables import json_list, text_column, words_of
from rnnlm.text.labelled.lines import no_words
from rnnlm.text.labelled.settings import LabelledSettings
from rnnlm.text.lines import split_words
from rnnlm.text.table_columns import KINDS, no_column


def read_table(source: str, settings: LabelledSettings, kind: str) -> Iterator[Sentence]:
    """The rows of a table, "tsv" or "jsonl"; the text stands in the column that the settings name, else in one of a usual name.

    Raises:
        TextError: it cannot be read, lacks the column, or a row lacks words.
    """
    column = None
    names: list[str] = []
    rows = tables.rows(source, KINDS[kind], settings.encoding_errors, columns=[settings.column] if settings.column else ())
    for row in rows:
        if row.is_too_long:
            raise TextError(f"{row.where}: {tables.TOO_LONG}", hint="a text that holds a tab needs quotation marks around it")
        is_first, names = column is None, names or [str(name) for name in row.values]
        column = column or text_column(names, row.where, settings)
        if column not in row.values:
            raise no_column(row.where, column, map(str, row.values))
        cell = row.values[column]
        words = words_of(cell, row.where, column, lists=is_list(cell))
        if not words:
            raise no_words(row.where)
        write = _JsonWriter(row.values) if kind == "jsonl" else _TsvWriter(names, row.values, is_first)
        yield Sentence(tuple(words), row.number, write, cell if isinstance(cell, str) and not is_list(cell) else None)


def is_list(cell: Any) -> bool:
    """Whether a cell holds a JSON list of words: one that begins with a bracket which is no word of its own."""
    return isinstance(cell, str) and cell.startswith('["') and json_list(cell) is not None


def joined(labels: Sequence[str]) -> str:
    """The labels of words in a cell."""
    return " ".join(labels) if all(split_words(label) == [label] for label in labels) else json.dumps(list(labels), ensure_ascii=False)


@dataclass(frozen=True)
class _JsonWriter:
    row: dict[str | None, Any]

    def __call__(self, word_labels: WordLabels, text_labels: TextLabels) -> str:
        row = dict(self.row)
        for name, labels in word_labels.items():
            row[name] = joined(labels) if isinstance(row.get(name), str) else list(labels)
        row.update(text_labels)
        return json.dumps(row, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class _TsvWriter:
    names: list[str]
    row: dict[str | None, Any]
    is_first: bool

    def __call__(self, word_labels: WordLabels, text_labels: TextLabels) -> str:
        row = dict(self.row)
        row.update({name: joined(labels) for name, labels in word_labels.items()})
        row.update(text_labels)
        names = list(dict.fromkeys([*self.names, *word_labels, *text_labels]))
        header = tsv.line(names) if self.is_first else ""
        return header + tsv.line(tables.cell_text(row.get(name)) for name in names)
