"""Tables with labels: TSV, CSV, JSON-lines, Parquet. A row is a sentence with a label for each
word, or a text with its labels, or a word of a sentence.

Labels of words are split at white space, or a list. In TSV and CSV such a list is JSON; the words
beside it may be one, too.
"""

import ast
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, permutations
from numbers import Number
from sys import intern
from typing import Any

from rnnlm.errors import TextError, given, keyword, notice
from rnnlm.storage.files import tables
from rnnlm.tasks.common.text_files import LEXICON
from rnnlm.tasks.labelling.formats.example import (
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
from rnnlm.text.named_columns import (
    KINDS,
    USUAL_LABELS,
    USUAL_WORDS,
    InputTable,
    cell,
    column_named,
    content_of,
    likely_texts,
    open_table,
    tell_of_empty,
    text_among,
    text_column,
    text_of,
    unclear,
    usual_among,
)

# Of texts, rather of those that are split into words.
USUAL_SPLIT = (*USUAL_WORDS, *tables.USUAL_TEXT)
_TAG = re.compile("O|[BIELSU]-.+")


@dataclass(frozen=True)
class Columns:
    """The columns of a table: the column of the text, columns of labels of words, and columns of
    labels of the whole text."""

    text: str
    words: tuple[str, ...]
    texts: tuple[str, ...]


def read(
    source: str, settings: LabelledSettings, level: Level, kind: str, aligned: bool = True
) -> LabelledText:
    """Return the examples of a table of one of the KINDS. aligned: whether each word has one
    label."""
    is_all = bool(settings.column and settings.label_columns)
    table = open_table(
        source, KINDS[kind], settings.encoding_errors, settings.named_columns, is_all,
        line_format=LEXICON,
    )  # fmt: skip
    if not table.sample:
        return LabelledText((), (), (), kind)
    # A lexicon without a header has its words first.
    if not aligned and table.names == ["1", "2"] and not settings.named_columns:
        settings = replace(settings, column="1", label_column="2")
    columns = columns_of(table, settings, level)
    sentence = settings.sentence_column and column_named(
        settings.sentence_column, table.names, table.where
    )

    # Lexica have whole words, where an alignment reads letters.
    spells = not aligned and all(
        len(split_words(tables.cell_text(row.values.get(columns.text)))) < 2 for row in table.sample
    )
    if spells:
        notice(f"{source}: the words of column {columns.text} are read as letters")

    # A row is an example, or the next word of one.
    examples, begins = [], []
    of_texts = () if settings.multi_label else columns.texts
    needed = [columns.text, *columns.words, *of_texts]
    rows = list(table.rows)
    is_next = False  # whether a sentence begins with a row that is left out
    filled = 0
    for row, is_first in with_starts(rows, sentence):
        filled += 1
        is_next = is_next or is_first
        if not all(tables.has_text(cell(row.values, name, row.where)) for name in needed):
            continue
        example = _example(row, columns, settings, source, aligned)
        if spells:
            example = replace(example, words=tuple(example.words[0]))
        examples.append(example)
        begins.append(is_next)
        is_next = False
    sentences = examples
    if level == "word" and aligned:
        sentences = _sentences(source, examples, begins, bool(sentence))
    # Empty rows between sentences lack nothing.
    count = len(rows) if sentences is examples else filled
    empty = count - len(examples)
    tell_of_empty(source, empty, count, "lack the text or a label and are left out")
    return LabelledText(tuple(sentences), columns.words, columns.texts, kind, column=columns.text)


def with_starts(
    rows: Iterable[tables.Row], sentence: str | None
) -> Iterator[tuple[tables.Row, bool]]:
    """Yield the rows that hold anything, each with whether a sentence begins with it where a row is
    a word: its column `sentence` has another value, or without such a column a blank row is above
    it."""
    is_below_blank, of_sentence, number = True, None, 0
    for row in rows:
        is_below_blank = is_below_blank or row.number > number + 1
        number = row.number
        if not any(map(tables.has_text, row.values.values())):
            is_below_blank = True
            continue
        if sentence is None:
            begins = is_below_blank
        else:
            # Often only the first word of a sentence has its number.
            sentence_number = row.values.get(sentence)
            begins = sentence_number not in (None, "", of_sentence)
            of_sentence = sentence_number if begins else of_sentence
        yield row, begins
        is_below_blank = False


def _sentences(
    source: str, examples: list[Example], begins: Sequence[bool], names_column: bool
) -> list[Example]:
    """Return the sentences of a table with one word a row: those that are asked for, or that blank
    rows end. Other tables have a sentence in each row."""
    if not names_column:
        if len(examples) < 2 or any(len(example.words) > 1 for example in examples):
            return examples
        if not any(begins[1:]):
            notice(
                f"{source}: each text has one word; if each row is a word of a sentence, name "
                "the column that numbers the sentences: " + keyword("sentence_column")
            )
            return examples

    rows: list[list[Example]] = []
    for example, is_first in zip(examples, begins, strict=True):
        if is_first or not rows:
            rows.append([])
        rows[-1].append(example)
    return list(map(_one_sentence, rows))


def _one_sentence(rows: Sequence[Example]) -> Example:
    words = tuple(chain.from_iterable(row.words for row in rows))
    labels = zip(*(row.word_labels for row in rows), strict=True)
    joined = tuple(tuple(chain.from_iterable(of_column)) for of_column in labels)
    return replace(rows[0], words=words, word_labels=joined, is_of_lines=True)


def columns_of(table: InputTable, settings: LabelledSettings, level: Level) -> Columns:
    """Return which columns to read from a table: the named ones, those of usual names, else those
    with the wanted content. A guess that the cells contradict is an error."""
    names, where = table.names, table.where
    labels = [column_named(name, names, where) for name in settings.label_columns]
    sentence_labels = [column_named(name, names, where) for name in settings.sentence_label_columns]
    taken = {*labels, *sentence_labels}
    if settings.sentence_column:
        taken.add(column_named(settings.sentence_column, names, where))
    free = [name for name in names if name not in taken]

    # To classification both kinds of label are one.
    needs_labels = not labels and not (level == "text" and sentence_labels)
    text = settings.column and column_named(settings.column, names, where)
    if not needs_labels:
        usual = USUAL_SPLIT if level == "word" else tables.USUAL_TEXT + USUAL_WORDS
        text = text_column(names, table.sample, where, text, usual, others=list(taken))
    else:
        find = _words_and_tags if level == "word" else _text_and_label
        text, *labels = find(table, free, text)
    if level == "word":
        return Columns(text, tuple(labels), tuple(sentence_labels))
    return Columns(text, (), (*labels, *sentence_labels))


def _text_and_label(
    table: InputTable, free: Sequence[str], given_column: str | None
) -> tuple[str, str]:
    """Return the columns of the text and of its label. free: those that may be either."""
    # The text is requested, called so, or holds texts where the others do not.
    contents = {name: content_of(name, table.sample) for name in free}
    usual_labels = usual_among(
        [name for name in free if name != given_column], USUAL_LABELS["text"]
    )
    text = given_column or next(iter(usual_among(free, tables.USUAL_TEXT + USUAL_WORDS)), None)
    if text is None:
        candidates = [name for name in free if name not in usual_labels[:1]]
        text = text_among({name: contents[name] for name in candidates})

    # The label is called so, is the only other column, or alone has few different values.
    others = [name for name in free if name != text]
    label = next((name for name in usual_labels if name != text), None)
    if label is None and len(others) == 1:
        label = others[0]
    elif label is None:
        likely = [name for name in others if contents[name].may_be_labels]
        label = likely[0] if len(likely) == 1 else None
    if text is None or label is None:
        raise _unclear(table, free, text, label)

    # A column that the cells contradict was guessed wrong.
    content = contents[label]
    is_reversed = (
        text != given_column and content.filled > 4 and content.is_text_beside(contents[text])
    )
    is_text = (
        content.filled >= 10 and content.different > 0.9 * content.filled and content.words >= 3
    )
    if is_reversed or is_text:
        raise _unclear(table, free)
    return text, label


def _words_and_tags(
    table: InputTable, free: Sequence[str], given_column: str | None
) -> tuple[str, str]:
    """Return the columns of the words and of their labels: as many in each row of both, of which
    those are labels that are fewer."""
    # Both are asked for, or called so.
    tokens = {name: tokens_of(name, table.sample) for name in free}
    usual_labels = usual_among(
        [name for name in free if name != given_column], USUAL_LABELS["word"]
    )
    words = given_column or next(iter(usual_among(free, USUAL_SPLIT)), None)
    label = next((name for name in usual_labels if name != words), None)

    # Else there is one pair of columns with as many words as labels.
    if words is None or label is None:
        pairs = [
            (first, second)
            for first, second in permutations(free, 2)
            if words in (None, first)
            and label in (None, second)
            and are_tags(tokens, first, second)
        ]
        others = [name for name in free if name != words]
        if len(pairs) == 1:
            words, label = pairs[0]
        elif words is not None and len(others) == 1:
            label = others[0]
        else:
            raise _unclear(table, free, words, label)

    # Labels in the column of the words contradict the guess.
    if words != given_column and has_tags(tokens[words]) and not has_tags(tokens[label]):
        raise _unclear(table, free)
    return words, label


def tokens_of(column: str, sample: Iterable[tables.Row]) -> list[list[str]]:
    """Return the words or labels in the first cells of a column; none where it holds no text."""
    rows = []
    for row in sample:
        value = row.values.get(column)
        if isinstance(value, str):
            value = json_list(value) or split_words(value)
        rows.append(list(map(str, value)) if isinstance(value, list) else [])
    return rows


def are_tags(tokens: dict[str, list[list[str]]], words: str, labels: str) -> bool:
    """Return whether one column holds a label for each word of another one."""
    if not any(tokens[words]) or list(map(len, tokens[words])) != list(map(len, tokens[labels])):
        return False
    if has_tags(tokens[words]) != has_tags(tokens[labels]):
        return has_tags(tokens[labels])
    of_words, of_labels = (set(chain.from_iterable(tokens[name])) for name in (words, labels))
    return len(of_labels) < len(of_words)


def has_tags(rows: Iterable[Sequence[str]]) -> bool:
    """Return whether nearly all of these are labels that write spans."""
    tokens = list(chain.from_iterable(rows))
    tags = sum(_TAG.fullmatch(token) is not None for token in tokens)
    return tags > 0 and tags >= 0.9 * len(tokens)


def _unclear(
    table: InputTable, free: Sequence[str], text: str | None = None, label: str | None = None
) -> TextError:
    """Return the error for columns that are not named and whose content is unclear. text, label:
    those that are known."""
    others = [name for name in free if name not in (text, label)]
    others = likely_texts(others, table.sample) if label is None else others
    if text is not None:
        ways = [keyword("label_column", name) for name in others[:2]]
        return unclear(table.where, table.names, "the labels", ways)
    if label is not None:
        ways = [keyword("column", name) for name in others[:2]]
        return unclear(table.where, table.names, "the text", ways)
    ways = [
        (keyword("column", first) + " and " + keyword("label_column", second))
        for first, second in permutations(others[:2], 2)
    ]
    return unclear(table.where, table.names, "the text, and which the labels", ways)


def words_of(value: object, where: str, column: str, lists: bool = False) -> list[str]:
    """Return the words or labels of a cell: of a list, or of a text. lists: whether the text may be
    a list in JSON."""
    if isinstance(value, str):
        as_list = json_list(value) if lists else None
        if as_list is None:
            return split_words(text_of(value, where, column))
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
    """Return the list that a cell holds as JSON, or as Python and pandas print it; None where it
    holds text."""
    if not (text.startswith("[") and text.endswith("]")):
        return None
    load = ast.literal_eval if text.startswith("['") else json.loads
    try:
        value = load(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    is_list = isinstance(value, list) and all(isinstance(word, str) for word in value)
    return value if is_list else None


def _example(
    row: tables.Row, columns: Columns, settings: LabelledSettings, source: str, aligned: bool
) -> Example:
    where, label_cells = row.where, [row.values[name] for name in columns.words]

    # A text in brackets is a list of words only beside a list of labels.
    lists = any(isinstance(cell, str) and json_list(cell) is not None for cell in label_cells)
    words = words_of(row.values[columns.text], where, columns.text, lists)
    if not words:
        raise no_words(where)

    word_labels = []
    for name, label_cell in zip(columns.words, label_cells, strict=True):
        labels = words_of(label_cell, where, name, lists=True)
        if aligned and len(labels) != len(words):
            raise unequal(where, len(labels), len(words), name)
        word_labels.append(tuple(map(intern, labels)))
    text_labels = tuple(
        text_label(cell(row.values, name, where), where, name, settings) for name in columns.texts
    )
    return Example(tuple(map(intern, words)), tuple(word_labels), text_labels, row.number, source)


def text_label(value: object, where: str, column: str, settings: LabelledSettings) -> str:
    """Return the label of a text, or its labels, joined."""
    # A list, from JSON or Parquet: each of its texts is a label.
    if isinstance(value, list):
        labels = [_label_of(label, where, column) for label in value]
        if not settings.multi_label and len(labels) == 1:
            return intern(labels[0])
        if not settings.multi_label:
            raise several_labels(where, labels)
        if any(not label or LABEL_SEPARATOR in label for label in labels):
            raise TextError(f"{where}: a label in {column!r} is empty or holds {LABEL_SEPARATOR}")
        return intern(joined_labels(labels))
    if settings.multi_label and not tables.has_text(value):
        return ""

    # A text holds one label, or several with the separator between them.
    label = _label_of(value, where, column)
    if settings.multi_label:
        return intern(joined_labels(filter(None, map(str.strip, label.split(LABEL_SEPARATOR)))))
    if not label:
        raise TextError(f"{where}: no label in {column!r}")
    return intern(label)


def _label_of(value: object, where: str, column: str) -> str:
    """Return the label of a cell: a number in one form, whichever type holds it, and text as it is
    written."""
    number: Any = value
    is_fraction = isinstance(value, Number) and not isinstance(value, int)
    if is_fraction and math.isfinite(number) and number != int(number):
        return str(float(number))
    return text_of(value, where, column).strip()


def several_labels(where: str, labels: Sequence[str]) -> TextError:
    """Return the error for a text with a list of labels where one is needed."""
    return TextError(
        f"{where}: {len(labels):,} labels of one text",
        "it needs one",
        keyword("multi_label", True) + " learns any number of them",
    )
