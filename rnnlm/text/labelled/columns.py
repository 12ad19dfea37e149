"""Columns as in the CoNLL shared tasks: one word per line with its labels, and a blank line after each sentence.

Tabs separate the columns where the first line has one, else white space. Lines whose first column is -DOCSTART- are skipped.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from sys import intern

from rnnlm.errors import TextError, visible
from rnnlm.text.file_lines import Line, lines_with_ends
from rnnlm.text.labelled.example import Example, LabelledText
from rnnlm.text.labelled.lines import blocks
from rnnlm.text.labelled.settings import LabelledSettings
from rnnlm.text.lines import split_words
from rnnlm.text.table_columns import no_column

DOCUMENT_START = "-DOCSTART-"
SAMPLE = 3  # values of a column that messages show
LONGEST_SAMPLE = 30  # characters

Rows = list[list[str]]


def is_document_start(line: str) -> bool:
    """Whether a line marks where a document begins."""
    return line.lstrip().startswith(DOCUMENT_START)


@dataclass
class Layout:
    """How the lines of a file are cut into columns, as its first line has it."""

    source: str
    has_tabs: bool = False
    count: int = 0
    line: int = 0  # which has so many columns

    def cells(self, number: int, line: str) -> list[str]:
        """The cells of a line.

        Raises:
            TextError: there are fewer or more than in the first one.
        """
        if not self.count:
            self.has_tabs = "\t" in line
        cells = line.split("\t") if self.has_tabs else split_words(line)
        if not self.count:
            self.count, self.line = len(cells), number
        if len(cells) != self.count:
            columns = f"{len(cells):,} column{'' if len(cells) == 1 else 's'}"
            raise TextError(f"{self.source}, line {number}: {columns}", f"line {self.line:,} has {self.count:,}")
        return cells


def sentences(source: str, lines: Iterable[Line]) -> Iterator[tuple[int, Rows]]:
    """The sentences of the `lines` of a file: where each begins, and the cells of its words.

    Raises:
        TextError: lines have different numbers of columns.
    """
    layout = Layout(source)
    for block in blocks(lines):
        block = [line for line in block if not is_document_start(line[1])]
        if block:
            yield block[0][0], [layout.cells(number, line) for number, line in block]


def place_of(name: str, count: int, where: str) -> int:
    """The place, from 0, of the column that is called by its number, from 1.

    Raises:
        TextError: there is no such column.
    """
    if not (name.isascii() and name.isdigit() and 1 <= int(name[:9]) <= count):
        raise no_column(where, name, map(str, range(1, count + 1)))
    return int(name) - 1


def read_columns(source: str, settings: LabelledSettings) -> LabelledText:
    """A file with columns: words in the first one, labels in the last, where no others are named.

    Raises:
        TextError: lines have different numbers of columns or empty cells, a column does not exist, or the last one, which nobody named,
            has a single value.
    """
    found = list(sentences(source, lines_with_ends(source, settings.encoding_errors)))
    if not found:
        return LabelledText((), (), (), "columns")
    where, count = f"{source}, line {found[0][0]}", len(found[0][1][0])
    if count == 1:
        raise TextError(f"{where}: one column", "words need labels beside them")
    word_column = place_of(settings.column or "1", count, where)
    if not settings.label_columns:
        _check_last_column(source, [rows for _, rows in found])
    names = settings.label_columns or (str(count),)
    places = [place_of(name, count, where) for name in names]
    examples = tuple(_example(source, line, rows, word_column, places) for line, rows in found)
    return LabelledText(examples, names, (), "columns")


def _example(source: str, line: int, rows: Rows, word_column: int, places: Sequence[int]) -> Example:
    words = tuple(intern(row[word_column]) for row in rows)
    labels = tuple(tuple(intern(row[place]) for row in rows) for place in places)
    if not all(words) or not all(map(all, labels)):
        place = next(index for index, row in enumerate(rows) if not (row[word_column] and all(row[place] for place in places)))
        raise TextError(f"{source}, sentence that begins in line {line}: word {place + 1} or its label is empty")
    return Example(words, labels, (), line, source)


def _check_last_column(source: str, found: list[Rows]) -> None:
    first = found[0][0][-1]
    if any(row[-1] != first for rows in found for row in rows):
        return
    columns = range(len(found[0][0]))
    shown = "; ".join(f"{column + 1}: {_sample(row[column] for rows in found for row in rows)}" for column in columns)
    what = f"{source}: each word has {_cut(first)!r} in the last column"
    raise TextError(what, f"its columns are {shown}", "name that of the labels by its number: --label-column 2")


def _sample(values: Iterable[str]) -> str:
    """The first different values of a column."""
    different: dict[str, None] = {}
    for value in values:
        different[value] = None
        if len(different) > SAMPLE:
            return " ".join(map(_cut, list(different)[:SAMPLE])) + " ..."
    return " ".join(map(_cut, different))


def _cut(value: str) -> str:
    return visible(value if len(value) <= LONGEST_SAMPLE else value[:LONGEST_SAMPLE] + "...")
