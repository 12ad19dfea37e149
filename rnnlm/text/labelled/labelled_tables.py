"""Tables with labels: TSV, CSV, JSON-lines, Parquet. A row is a sentence with a label for each
word, or a text with its labels.

Labels of words are split at white space, or a list. In TSV and CSV such a list is JSON; the words
beside it may be one, too.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from sys import intern

from rnnlm.errors import TextError, given
from rnnlm.files import tables
from rnnlm.text.labelled.example import (
    LABEL_SEPARATOR,
    Example,
    LabelledSettings,
    LabelledText,
    Level,
    joined_labels,
    no_words,
    unequal,
)
from rnnlm.text.lines import split_words
from rnnlm.text.named_columns import cell, no_column, read_rows, text_of, usual_column

USUAL_WORDS = ("words", "tokens")  # columns that are read where none are named
USUAL_TEXT = (*USUAL_WORDS, *tables.USUAL_COLUMNS)
USUAL_LABELS = {
    "word": ("labels", "tags", "slots", "upos", "ner_tags", "pos_tags"),
    "text": ("label", "labels", "class", "intent"),
}

# How to name the columns, for messages
_WITHOUT_HEADER = "without a header, by number: `column=2` and `label_column=1`"
BY_TEXT = f"`column`; {_WITHOUT_HEADER}"
BY_LABELS = f"`label_column`; {_WITHOUT_HEADER}"


@dataclass(frozen=True)
class Columns:
    """The columns of a table: that of the text, those of labels of words, and those of labels of
    the whole text."""

    text: str
    words: tuple[str, ...]
    texts: tuple[str, ...]


def read(
    source: str, settings: LabelledSettings, level: Level, kind: str, aligned: bool = True
) -> LabelledText:
    """Return the examples of a table of one of the KINDS. aligned: whether each word has one
    label."""
    named = (settings.column, *settings.label_columns, *settings.sentence_label_columns)
    asked = [name for name in named if name]
    is_all = bool(settings.column and settings.label_columns)
    columns: Columns | None = None
    examples = []
    for row in read_rows(source, kind, settings, asked, settings.has_header, is_all):
        # The first row decides on the columns.
        if columns is None:
            columns = columns_of(list(map(str, row.values)), row.where, settings, level)
        examples.append(_example(row, columns, settings, source, aligned))
    columns = columns or Columns("", (), ())
    return LabelledText(tuple(examples), columns.words, columns.texts, kind)


def columns_of(
    names: Sequence[str], where: str, settings: LabelledSettings, level: Level
) -> Columns:
    """Return which columns to read from a table that has those `names`."""
    text = text_column(names, where, settings, level)
    labels = settings.label_columns
    sentence_labels = settings.sentence_label_columns

    # Without a named column, the usual one; but to classification both kinds of label are one.
    if not labels and not (level == "text" and sentence_labels):
        others = [name for name in names if name not in (text, *sentence_labels)]
        labels = (usual_column(others, USUAL_LABELS[level], where, "the labels", BY_LABELS),)
    for name in (*labels, *sentence_labels):
        if name not in names:
            raise no_column(where, name, names)
    if level == "word":
        return Columns(text, labels, sentence_labels)
    return Columns(text, (), (*labels, *sentence_labels))


def text_column(
    names: Sequence[str], where: str, settings: LabelledSettings, level: Level = "word"
) -> str:
    """Return the column of the text; for tagging rather one in which it is split into words."""
    if settings.column:
        if settings.column not in names:
            raise no_column(where, settings.column, names)
        return settings.column
    usual = USUAL_TEXT if level == "word" else USUAL_TEXT[::-1]
    return usual_column(names, usual, where, "the text", BY_TEXT)


def words_of(value: object, where: str, column: str, lists: bool = False) -> list[str]:
    """Return the words or labels of a cell: of a list, or of a text. lists: whether the text may be
    a list in JSON."""
    if isinstance(value, str):
        as_list = json_list(value) if lists else None
        if as_list is None:
            return split_words(value)
        value = as_list
    if not isinstance(value, list):
        raise TextError(
            f"{where}: column {column!r} holds {given(value)}",
            "a text or a list of texts is needed",
        )
    words = [text_of(word, where, column) for word in value]
    if not all(words):
        raise TextError(f"{where}: column {column!r} holds an empty text in its list")
    return words


def json_list(text: str) -> list[object] | None:
    """Return the list that a cell holds as JSON, None where it holds text."""
    if not (text.startswith("[") and text.endswith("]")):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    is_list = isinstance(value, list) and all(isinstance(word, str) for word in value)
    return value if is_list else None


def _example(
    row: tables.Row, columns: Columns, settings: LabelledSettings, source: str, aligned: bool
) -> Example:
    where = row.where
    text = cell(row.values, columns.text, where)
    label_cells = [cell(row.values, name, where) for name in columns.words]

    # A text in brackets is a list of words only beside a list of labels.
    lists = any(isinstance(each, str) and json_list(each) is not None for each in label_cells)
    words = words_of(text, where, columns.text, lists)
    if not words:
        raise no_words(where)

    word_labels = []
    for name, each in zip(columns.words, label_cells, strict=True):
        labels = words_of(each, where, name, lists=True)
        if aligned and len(labels) != len(words):
            raise unequal(where, len(labels), len(words), name)
        word_labels.append(tuple(map(intern, labels)))
    text_labels = []
    for name in columns.texts:
        value = cell(row.values, name, where)
        text_labels.append(text_label(value, where, name, settings))
    return Example(
        tuple(map(intern, words)), tuple(word_labels), tuple(text_labels), row.number, source
    )


def text_label(value: object, where: str, column: str, settings: LabelledSettings) -> str:
    """Return the label of a text, or its labels, joined."""
    # A list, from JSON or Parquet: each of its texts is a label.
    if isinstance(value, list):
        labels = [text_of(label, where, column) for label in value]
        if not settings.multi_label:
            raise several_labels(where, labels)
        if any(not label or LABEL_SEPARATOR in label for label in labels):
            raise TextError(f"{where}: a label in {column!r} is empty or holds {LABEL_SEPARATOR}")
        return intern(joined_labels(labels))
    if value is None and settings.multi_label:
        return ""

    # A text holds one label, or several with the separator between them.
    label = text_of(value, where, column).strip()
    if settings.multi_label:
        parts = map(str.strip, label.split(LABEL_SEPARATOR))
        return intern(joined_labels(filter(None, parts)))
    if not label:
        raise TextError(f"{where}: no label in {column!r}")
    return intern(label)


def several_labels(where: str, labels: Sequence[str]) -> TextError:
    """Return the error for a text with a list of labels where one is needed."""
    return TextError(
        f"{where}: {len(labels):,} labels of one text",
        "it needs one",
        "`multi_label=True` learns any number of them",
    )
