"""Write labels into files: read them sentence by sentence, with labels or without, and write them
again with everything else they hold."""

import functools
import itertools
import json
import operator
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from rnnlm.amounts import plural
from rnnlm.errors import TextError, UsageError
from rnnlm.storage.files import tables
from rnnlm.storage.files.tables import LINE_OF, Piece
from rnnlm.tasks.common.text_files import LEXICON
from rnnlm.tasks.labelling.formats import conllu
from rnnlm.tasks.labelling.formats.example import LabelledSettings, no_words
from rnnlm.tasks.labelling.formats.labelled_tables import (
    USUAL_SPLIT,
    json_list,
    tokens_of,
    with_starts,
    words_of,
)
from rnnlm.tasks.labelling.formats.line_formats import (
    ColumnLayout,
    ColumnSentence,
    layout_of,
    place_of,
    sentences,
)
from rnnlm.text.lines import WORD_SPACE, is_blank, lines_with_ends, split_words, without_end
from rnnlm.text.named_columns import (
    KINDS,
    InputTable,
    column_named,
    new_names,
    open_table,
    text_column,
    text_or_reason,
)

# ---- A sentence of a file into which labels are written.

WordLabels = Mapping[str, Sequence[str]]  # of each label column, a label of each word
TextLabels = Mapping[str, str]  # of each column of labels of the text, its label
T = TypeVar("T")
_BREAKS = str.maketrans({"\t": "\\t", "\n": "\\n", "\r": "\\r"})


@dataclass(frozen=True)
class DocumentSentence:
    """A sentence of a document; a blank line has no words.

    line: where it begins, from 1 (the row of a table that is not made of lines). text: as in the
    document, where that is known. reason: why it has no words, if its row has a reason.
    """

    words: tuple[str, ...]
    line: int
    write: Callable[[WordLabels, TextLabels], Piece]
    text: str | None = None
    reason: str | None = None

    def with_labels(self, word_labels: WordLabels, text_labels: TextLabels | None = None) -> Piece:
        """Return the sentence as its document holds it, with its line ends, and with these labels
        instead of those it has.

        Raise ValueError where there are more or fewer labels than words, UsageError where the
        format has no place for them.
        """
        for name, labels in word_labels.items():
            if len(labels) != len(self.words):
                raise ValueError(
                    f"{plural(len(labels), 'label')} in {name!r} for "
                    f"{plural(len(self.words), 'word')}"
                )
        return self.write(word_labels, text_labels or {})


def on_one_line(label: str) -> str:
    """Return a label with tabs and line ends written out, so that it stays in its cell."""
    return label.translate(_BREAKS)


def end_of(line: str) -> str:
    """Return the line end of a line."""
    return line[len(without_end(line)) :]


def refuse(text_labels: TextLabels, format: str) -> None:
    """Refuse labels of the whole sentence, which a format has no place for."""
    if text_labels:
        raise UsageError(
            f"format {format} has no place for labels of the whole sentence",
            ", ".join(text_labels),
            "use jsonl or tsv",
        )


# ---- Documents made of lines: CoNLL-U, columns.
#
# In CoNLL-U labels go into the field of that name, else into MISC as `name=label`, and labels of
# the sentence into a comment `# name = label`; in columns, into the column of that number, else
# into one that is added behind the others. Everything else stays as it is, byte by byte.

_CELL = re.compile(f"[^{WORD_SPACE}\n]+")


def read_conllu(source: str, settings: LabelledSettings) -> Iterator[DocumentSentence]:
    """Yield the sentences of a CoNLL-U file; comments, multiword ranges and empty nodes are written
    again as they are."""
    word_column, _ = conllu.columns_of(source, LabelledSettings(column=settings.column))
    lines = lines_with_ends(source, settings.encoding_errors)
    for chunk, sentence in conllu.sentences(source, lines):
        words = tuple(row[word_column] for row in sentence.cells)
        if not all(words):
            raise no_words(f"{source}, line {sentence.line}")
        writer = _ConlluWriter([line for _, line in chunk], sentence)
        filled = (number for number, line in chunk if not is_blank(without_end(line)))
        yield DocumentSentence(words, next(filled), writer, sentence.comment("text"))


@dataclass(frozen=True)
class _ConlluWriter:
    lines: list[str]
    sentence: conllu.ConlluSentence

    def __call__(self, word_labels: WordLabels, text_labels: TextLabels) -> str:
        lines = list(self.lines)
        start, comments = self.sentence.start, self.sentence.comments

        # Labels of words.
        for index, place in enumerate(self.sentence.places):
            row = list(self.sentence.cells[index])
            for name, labels in word_labels.items():
                conllu.set_field(row, name, on_one_line(labels[index]))
            lines[start + place] = "\t".join(row) + end_of(lines[start + place])

        # A label of the sentence replaces its comment, or becomes a new one above the first word.
        first_word = start + len(comments)
        for name, label in text_labels.items():
            comment = f"# {name} = {on_one_line(label)}"
            of_name = [conllu.comment_of(comment, name) is not None for comment in comments]
            if any(of_name):
                old = start + of_name.index(True)
                lines[old] = comment + end_of(lines[old])
            else:
                lines[first_word] = (
                    comment + (end_of(lines[first_word]) or "\n") + lines[first_word]
                )
        return "".join(lines)


def read_columns(source: str, settings: LabelledSettings) -> Iterator[DocumentSentence]:
    """Yield the sentences of a file with columns; white space and lines with -DOCSTART- are written
    again as they are."""
    layout, lines = layout_of(source, lines_with_ends(source, settings.encoding_errors))

    for sentence in sentences(layout, lines):
        where = f"{source}, line {sentence.line}"
        column = place_of(settings.column or layout.word, layout.count, where)
        words = tuple(row[column] for row in sentence.rows)
        if not all(words):
            empty_line, _ = sentence.lines[sentence.places[words.index("")]]
            raise TextError(f"{source}, line {empty_line}: no word")
        yield DocumentSentence(words, sentence.line, _ColumnsWriter(sentence, layout, column))


@dataclass(frozen=True)
class _ColumnsWriter:
    sentence: ColumnSentence
    layout: ColumnLayout
    word: int  # the place of the column of the words, which stays

    def __call__(self, word_labels: WordLabels, text_labels: TextLabels) -> str:
        refuse(text_labels, "columns")
        lines = [line for _, line in self.sentence.lines]
        rows = zip(self.sentence.places, self.sentence.rows, strict=True)
        for index, (place, row) in enumerate(rows):
            # Labels of a column that exists replace it; others follow behind.
            cells = list(row)
            added = []
            for name, labels in word_labels.items():
                label = on_one_line(labels[index])
                if self._has(name):
                    cells[int(name) - 1] = label
                else:
                    added.append(label)
            lines[place] = self._joined(lines[place], cells, added)
        return "".join(lines)

    def _joined(self, line: str, cells: list[str], added: list[str]) -> str:
        """Return a line with other cells, as far apart as they were, and more of them behind."""
        if self.layout.has_tabs:
            return "\t".join([*cells, *added]) + end_of(line)
        gaps = _CELL.split(without_end(line))
        spaced = "".join(gap + cell for gap, cell in zip(gaps, [*cells, ""], strict=True))
        return " ".join([spaced, *added]) + end_of(line)

    def _has(self, name: str) -> bool:
        is_number = name.isascii() and name.isdigit()
        return (
            is_number and 0 <= int(name[:9]) - 1 < self.layout.count and int(name) - 1 != self.word
        )


# ---- Documents of raw text, a sentence a line: words between white space, written with labels in
# one of the formats.

RAW = "text"
WRITTEN = ("conllu", "columns", "jsonl", *LINE_OF)
_UNWRITTEN = str.maketrans("\t\r\n", "   ")


def read_raw(
    source: str, settings: LabelledSettings, output: str = "conllu"
) -> Iterator[DocumentSentence]:
    """Yield the lines of a file, blank ones without words. output: of WRITTEN."""
    for number, line in lines_with_ends(source, settings.encoding_errors):
        text = without_end(line)
        yield raw_sentence(text, split_words(text), output, number, number == 1)


def raw_sentence(
    text: str, words: Sequence[str], output: str, line: int = 1, is_first: bool = True
) -> DocumentSentence:
    """Return a text and its words as a sentence that is written as `output`; the first one of a
    table brings the header."""
    all_words = tuple(words)
    return DocumentSentence(
        all_words, line, _RawWriter(text, all_words, output, line, is_first), text
    )


@dataclass(frozen=True)
class _RawWriter:
    text: str
    words: tuple[str, ...]
    output: str
    line: int
    is_first: bool

    def __call__(self, word_labels: WordLabels, text_labels: TextLabels) -> Piece:
        # Formats that can hold labels of the whole sentence.
        if self.output == "jsonl":
            return self._json(word_labels, text_labels)
        if self.output in LINE_OF:
            return self._table(word_labels, text_labels)
        if self.output == "conllu":
            return self._conllu(word_labels, text_labels)

        # And columns, which have none.
        refuse(text_labels, self.output)
        if not self.words:
            return "\n"
        rows = zip(self.words, *word_labels.values(), strict=True)
        return "".join("\t".join(map(on_one_line, row)) + "\n" for row in rows) + "\n"

    def _json(self, word_labels: WordLabels, text_labels: TextLabels) -> str:
        row = {"text": self.text, "words": self.words, **word_labels, **text_labels}
        return json.dumps(row, ensure_ascii=False) + "\n"

    def _table(self, word_labels: WordLabels, text_labels: TextLabels) -> Piece:
        # Beside labels of words, the text is their words.
        text = joined(self.words) if word_labels else self.text
        return _RowWriter(("text",), {"text": text}, LINE_OF[self.output], self.is_first)(
            word_labels, text_labels
        )

    def _conllu(self, word_labels: WordLabels, text_labels: TextLabels) -> str:
        # CoNLL-U has no sentence without words: a comment takes its place.
        if not self.words:
            return f"# blank = {self.line}\n"
        lines = [f"# text = {self.text.translate(_UNWRITTEN).strip()}"]
        lines += [f"# {name} = {on_one_line(label)}" for name, label in text_labels.items()]
        for place, word in enumerate(self.words):
            row = [str(place + 1), word, *[conllu.EMPTY] * 8]
            for name, labels in word_labels.items():
                conllu.set_field(row, name, on_one_line(labels[place]))
            lines.append("\t".join(row))
        return "\n".join([*lines, "", ""])


# ---- Documents that are tables: TSV and CSV, where the first row brings the header, JSON-lines,
# and Parquet, which is written as one of the others. Labels
# go into the columns of their names, which are added where there are none: labels of words as a
# list in JSON-lines, elsewhere with spaces between them (a list where one holds a space).


def read_table(
    source: str, settings: LabelledSettings, kind: str, output: str
) -> Iterator[DocumentSentence]:
    """Yield the rows of a table. The text is in the column that the settings name, else in one of a
    usual name, or that holds texts. Rows of one word are joined into the sentences that a column
    numbers, or that blank rows end. output: "tsv", "csv", "jsonl"; other formats can hold words and
    text only."""
    columns = (settings.column, settings.sentence_column)
    table = open_table(
        source, KINDS[kind], settings.encoding_errors, columns,
        unreadable="report", line_format=LEXICON,
    )  # fmt: skip
    if not table.sample:
        return

    # Which column holds the text, and whether its rows are words of one sentence.
    column = text_column(table.names, table.sample, table.where, settings.column, USUAL_SPLIT)
    sentence = settings.sentence_column and column_named(
        settings.sentence_column, table.names, table.where
    )
    starts = [is_start for _, is_start in with_starts(table.sample, None)]
    have_one_word = all(len(words) < 2 for words in tokens_of(column, table.sample))
    is_joined = sentence or (have_one_word and any(starts[1:]))

    # Rows are collected until the next sentence starts.
    parts: list[DocumentSentence] = []
    number = 0
    rows = with_starts(table.rows, sentence) if is_joined else ((row, True) for row in table.rows)
    for row, is_start in rows:
        blank = row.number - number - 1 if is_joined and number else 0
        part = _sentence_of_row(row, table, column, output, is_first=not number, blank=blank)
        number = row.number
        if is_start and parts:
            yield _sentence_of_rows(parts, output)
            parts = []
        parts.append(part)
    if parts:
        yield _sentence_of_rows(parts, output)


def _sentence_of_row(
    row: tables.Row, table: InputTable, column: str, output: str, is_first: bool, blank: int
) -> DocumentSentence:
    """Return the sentence in a row. blank: how many blank lines are above it."""
    # Its words, or why there are none.
    value = row.values.get(column)
    cells = {name: tables.in_json(value) for name, value in row.values.items() if name is not None}
    words: list[str] = []
    reason = None
    if not (isinstance(value, list) and tables.has_text(value)):
        _, reason = text_or_reason(row, column)
    if not reason:
        words = words_of(value, row.where, column, lists=is_list(value))

    # How it is written again, with the other cells of the row.
    text = value if isinstance(value, str) and not is_list(value) else None
    if output not in ("jsonl", *LINE_OF):
        return raw_sentence(text or " ".join(words), words, output, row.number, is_first)
    write: Callable[[WordLabels, TextLabels], Piece] = _JsonWriter(cells)
    if output in LINE_OF:
        write = _RowWriter(table.names, cells, LINE_OF[output], is_first, blank)
    write = _PredictedNames(column, {*table.names, *cells}, write)
    return DocumentSentence(tuple(words), row.number, write, text, reason)


def _sentence_of_rows(parts: Sequence[DocumentSentence], output: str) -> DocumentSentence:
    """Return the sentence whose words are in several rows."""
    first = parts[0]
    if len(parts) == 1:
        return first
    words = tuple(itertools.chain.from_iterable(part.words for part in parts))
    text = " ".join(words)
    if output not in ("jsonl", *LINE_OF):
        return raw_sentence(text, words, output, first.line)
    return DocumentSentence(words, first.line, _RowsWriter(tuple(parts)), text)


@dataclass(frozen=True)
class _RowsWriter:
    parts: tuple[DocumentSentence, ...]

    def __call__(self, word_labels: WordLabels, text_labels: TextLabels) -> Piece:
        written = []
        start = 0
        for part in self.parts:
            end = start + len(part.words)
            of_row = {name: labels[start:end] for name, labels in word_labels.items()}
            written.append(part.with_labels(of_row, text_labels))
            start = end
        whole: Piece = functools.reduce(operator.add, written)
        return whole


def is_list(cell: object) -> bool:
    """Return whether a cell holds a list of words, written as text: one that begins with a bracket
    which is no word itself."""
    if not isinstance(cell, str) or not cell.startswith(('["', "['")):
        return False
    return json_list(cell) is not None


def joined(labels: Sequence[str | float]) -> str | float:
    """Return the labels of words as one cell; a single number stays one."""
    if len(labels) == 1 and isinstance(labels[0], float):
        return labels[0]
    texts = list(map(str, labels))
    if all(split_words(text) == [text] for text in texts):
        return " ".join(texts)
    return json.dumps(texts, ensure_ascii=False)


REASON = "reason"  # the column that says why a row has no labels
PREDICTED = "predicted_"  # before the name of a new column that the row has already


@dataclass(frozen=True)
class _PredictedNames:
    """Writes labels into a row with columns `names`. They replace those of an earlier run, but
    neither the text nor a column called like the reason."""

    text: str
    names: Collection[str]
    write: Callable[[WordLabels, TextLabels], Piece]

    def __call__(self, word_labels: WordLabels, text_labels: TextLabels) -> Piece:
        stay = {self.text, REASON}.intersection(self.names)
        taken = {*self.names, *word_labels, *text_labels}
        predicted = new_names(sorted(stay), taken, PREDICTED)

        def renamed(labels: Mapping[str, T]) -> dict[str, T]:
            return {predicted.get(name, name): value for name, value in labels.items()}

        return self.write(renamed(word_labels), renamed(text_labels))


@dataclass(frozen=True)
class _JsonWriter:
    row: dict[str, object]

    def __call__(self, word_labels: WordLabels, text_labels: TextLabels) -> str:
        # A column of texts stays one.
        added = {
            name: joined(labels) if isinstance(self.row.get(name), str) else labels
            for name, labels in word_labels.items()
        }
        return json.dumps({**self.row, **added, **text_labels}, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class _RowWriter:
    names: Sequence[str]
    row: dict[str, object]
    line: Callable[[Iterable[object]], Any]
    is_first: bool
    blank: int = 0  # lines above it

    def __call__(self, word_labels: WordLabels, text_labels: TextLabels) -> Piece:
        added = {name: joined(labels) for name, labels in word_labels.items()}
        row = {**self.row, **added, **text_labels}
        names = list(dict.fromkeys([*self.names, *word_labels, *text_labels]))
        above = self.line(names) if self.is_first else self.line(()) * self.blank
        return above + self.line(map(row.get, names))
