"""Read and write labels in lines of text: columns as in the CoNLL shared tasks, and fastText's
`__label__x`."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from sys import intern

from rnnlm.amounts import plural
from rnnlm.errors import TextError, keyword, notice, shown, visible
from rnnlm.tasks.labelling.formats.example import (
    LABEL_SEPARATOR,
    Example,
    LabelledSettings,
    LabelledText,
    chunks,
    column_at,
    joined_labels,
    no_words,
)
from rnnlm.tasks.labelling.formats.labelled_tables import has_tags, several_labels
from rnnlm.text.lines import (
    Line,
    is_blank,
    lines_with_ends,
    place_of_words,
    split_cells,
    split_words,
    without_end,
)
from rnnlm.text.named_columns import no_column

# ---- Columns as in the CoNLL shared tasks: one word per line with its labels, and a blank line
# after each sentence.
#
# Tabs separate the columns where most lines have one, else white space. Lines whose first column
# is -DOCSTART- are skipped, and comments above a sentence.

DOCUMENT_START = "-DOCSTART-"
DOCUMENT_COMMENTS = ("#begin document", "#end document")  # of CoNLL-2012
SAMPLE = 3  # values of a column that messages show
LONGEST_SAMPLE = 30  # characters
FIRST_COLUMN = "1"  # of the words, unless another one numbers them
MANY_WORDS = 50  # that show the content of columns, and are seldom one sentence

Rows = list[list[str]]


def is_document_start(line: str) -> bool:
    """Return whether a line marks where a document begins."""
    return line.lstrip().startswith(DOCUMENT_START)


SAMPLE_LINES = 1000  # that say how the lines of a file are split into columns


@dataclass(frozen=True)
class ColumnLayout:
    """The way the lines of a file are split into columns: as most of its first lines are."""

    source: str
    has_tabs: bool
    count: int
    line: int  # the first that has `count` columns
    word: str  # the column of the words, by its number
    last_cells: frozenset[str]  # of these lines

    def split(self, line: str) -> list[str]:
        """Return the cells of a line."""
        return line.split("\t") if self.has_tabs else split_words(line)

    def cells(self, number: int, line: str) -> list[str]:
        """Return the cells of a line, which must be as many as in most lines."""
        cells = self.split(line)
        if len(cells) != self.count:
            raise TextError(
                f"{self.source}, line {number}: {plural(len(cells), 'column')}",
                f"line {self.line:,} has {self.count:,}",
            )
        return cells

    def is_comment(self, line: str) -> bool:
        """Return whether a line that begins with # is a comment above a sentence, not a word. A
        word has as many columns as all others, and a label that others have."""
        if not line.startswith("#"):
            return False
        cells = self.split(line)
        if len(cells) != self.count or line.startswith(DOCUMENT_COMMENTS):
            return True
        has_label = self.count == 1 or cells[-1] in self.last_cells
        return not has_label and (cells[0] == "#" or "=" in line)


def layout_of(source: str, lines: Iterable[Line]) -> tuple[ColumnLayout, Iterator[Line]]:
    """Return how the lines of a file are split, and all of them, of which the first were read."""
    # Look at the first lines: words without comments, unless all lines look like comments.
    rest = iter(lines)
    sample = list(itertools.islice(rest, SAMPLE_LINES))
    whole = [(number, without_end(line)) for number, line in sample]
    filled = [line for line in whole if not is_blank(line[1]) and not is_document_start(line[1])]
    words = [(number, line) for number, line in filled if not line.startswith("#")] or filled

    has_tabs, count, rows = split_cells([line for _, line in words])
    numbers = [number for (number, _), row in zip(words, rows, strict=True) if len(row) == count]
    rows = [row for row in rows if len(row) == count]
    last = frozenset(row[-1] for row in rows)
    first_line = numbers[0] if numbers else 0
    word = str(place_of_words(rows) + 1)
    layout = ColumnLayout(source, has_tabs, count, first_line, word, last)
    return layout, itertools.chain(sample, rest)


def has_columns(lines: Sequence[str]) -> bool:
    """Return whether most of the first lines of a file are a word and its labels: all but a few
    have the same number of columns."""
    layout, numbered = layout_of("", enumerate(lines, start=1))
    rows = [layout.split(line) for _, line in numbered if not is_blank(line)]
    return layout.count > 1 and [*map(len, rows)].count(layout.count) >= 2 / 3 * len(rows)


@dataclass(frozen=True)
class ColumnSentence:
    """A sentence of a file with columns. lines: all that go with it, with their ends; places: of
    those that hold its words; rows: the cells of these. line: where it begins."""

    lines: list[Line]
    places: list[int]
    rows: Rows

    @property
    def line(self) -> int:
        return self.lines[self.places[0]][0]


def sentences(layout: ColumnLayout, lines: Iterable[Line]) -> Iterator[ColumnSentence]:
    """Yield the sentences of the `lines` of a file; comments are above their words."""

    def is_word(line: str) -> bool:
        return not is_document_start(line) and not layout.is_comment(without_end(line))

    # A sentence is a run of word lines; a line that looks like a comment is one only before the
    # first word.
    for chunk in chunks(lines, is_word):
        places: list[int] = []
        rows: Rows = []
        has_begun = False
        for place, (number, line) in enumerate(chunk):
            text = without_end(line)
            is_word_line = not is_document_start(line) and not is_blank(text)
            if is_word_line and (has_begun or not layout.is_comment(text)):
                has_begun = True
                places.append(place)
                rows.append(layout.cells(number, text))
            elif is_blank(text):
                has_begun = False
        yield ColumnSentence(chunk, places, rows)


def place_of(name: str, count: int, where: str) -> int:
    """Return the place, from 0, of the column that is called by its number, from 1."""
    if not (name.isascii() and name.isdigit() and 1 <= int(name[:9]) <= count):
        raise no_column(where, name, map(str, range(1, count + 1)))
    return int(name) - 1


def read_columns(source: str, settings: LabelledSettings) -> LabelledText:
    """Return the examples of a file with columns: words in the first one, or behind their numbers,
    labels in the last, where no others are named."""
    # A file with one column has no labels.
    layout, lines = layout_of(source, lines_with_ends(source, settings.encoding_errors))
    all_sentences = list(sentences(layout, lines))
    if not all_sentences:
        return LabelledText((), (), (), "columns")
    where = f"{source}, line {all_sentences[0].line}"
    count = layout.count
    if count == 1:
        raise TextError(f"{where}: one column", "words need labels beside them")

    # Too long a sentence means that blank lines are missing.
    rows = list(itertools.chain.from_iterable(sentence.rows for sentence in all_sentences))
    if len(all_sentences) == 1 and len(rows) >= MANY_WORDS:
        notice(
            f"{source}: all {len(rows):,} words are one sentence; separate sentences by blank lines"
        )

    # The columns of words and labels, by name or by their usual places.
    word_column = place_of(settings.column or layout.word, count, where)
    names = settings.label_columns
    if not names:
        _check_last_column(source, rows, word_column, settings.column is None)
        names = (str(count),)
    places = [place_of(name, count, where) for name in names]
    examples = tuple(
        _example(source, sentence.line, sentence.rows, word_column, places)
        for sentence in all_sentences
    )
    detected = layout.word if layout.word != FIRST_COLUMN else None
    return LabelledText(examples, names, (), "columns", column=settings.column or detected)


def _example(
    source: str, line: int, rows: Rows, word_column: int, places: Sequence[int]
) -> Example:
    words = column_at(rows, word_column)
    labels = tuple(column_at(rows, place) for place in places)
    if all(words) and all(map(all, labels)):
        return Example(words, labels, (), line, source, is_of_lines=True)
    # Name the first word that lacks something.
    is_whole = [all(cells) for cells in zip(words, *labels, strict=True)]
    raise TextError(
        f"{source}, line {line + is_whole.index(False)}: the word or its label is empty"
    )


def _check_last_column(source: str, rows: Rows, word: int, may_be_words: bool) -> None:
    """Refuse a last column that holds no labels and was not named: it has a single value, or, if it
    may hold the words, is to the column `word` as these are to labels."""
    columns = list(zip(*rows, strict=True))
    words, last = columns[word], columns[-1]
    # Many words of a text occur once, few labels do.
    of_last = Counter(last)
    once = list(of_last.values()).count(1)
    is_reversed = len(set(words)) <= len(of_last) / 2 and once > len(of_last) / 3
    if has_tags([words]) != has_tags([last]):
        is_reversed = has_tags([words])
    what, way = "", (keyword("column", len(columns)) + " and " + keyword("label_column", word + 1))
    if len(of_last) == 1:
        what = f"each word has {_shortened(last[0])!r} in the last column"
        others = [place for place, column in enumerate(columns) if len(set(column)) > 1]
        way = keyword("label_column", max({*others, 1} - {word}) + 1)
    elif may_be_words and len(rows) >= MANY_WORDS and is_reversed:
        what = "which column holds the words, and which the labels?"
        way += (
            ", or " + keyword("column", word + 1) + " and " + keyword("label_column", len(columns))
        )
    if what:
        samples = [f"{place}: {_sample(cells)}" for place, cells in enumerate(columns, start=1)]
        raise TextError(
            f"{source}: {what}",
            f"its columns are {'; '.join(samples)}",
            "name it by its number: " + way,
        )


def _sample(values: Iterable[str]) -> str:
    """Return the first different values of a column, for a message."""
    different = list(dict.fromkeys(values))
    more = " ..." if len(different) > SAMPLE else ""
    return " ".join(map(_shortened, different[:SAMPLE])) + more


def _shortened(value: str) -> str:
    more = "..." if len(value) > LONGEST_SAMPLE else ""
    return visible(value[:LONGEST_SAMPLE] + more)


# ---- Lines that hold a text and its labels, as fastText has them: `__label__x text`.

LABEL_COLUMN = "label"
PREFIX = "__label__"


def label_column(settings: LabelledSettings) -> tuple[str, ...]:
    """Return the name of the one label column: the first requested one, or the usual one."""
    return (*settings.label_columns, *settings.sentence_label_columns, LABEL_COLUMN)[:1]


def read_fasttext(source: str, settings: LabelledSettings) -> LabelledText:
    """Return the examples of a file of fastText: words of a line that begin with `__label__` are
    its labels."""
    names = label_column(settings)
    examples = []
    for number, line in lines_with_ends(source, settings.encoding_errors):
        tokens, where = split_words(line), f"{source}, line {number}"
        if not tokens:
            continue
        labels = [token.removeprefix(PREFIX) for token in tokens if token.startswith(PREFIX)]
        words = tuple(intern(token) for token in tokens if not token.startswith(PREFIX))
        if not words:
            raise no_words(where)
        text_labels = (_joined(labels, where, settings.multi_label),)
        examples.append(Example(words, (), text_labels, number, source))
    return LabelledText(tuple(examples), (), names, "fasttext")


def _joined(labels: Sequence[str], where: str, multi_label: bool) -> str:
    if not all(labels) or (not labels and not multi_label):
        raise TextError(f"{where}: no label", f"labels are words that begin with {PREFIX}")
    if multi_label and any(LABEL_SEPARATOR in label for label in labels):
        raise TextError(
            f"{where}: a label holds {LABEL_SEPARATOR}: {shown(joined_labels(labels))}",
            "that character joins labels",
        )
    if len(labels) > 1 and not multi_label:
        raise several_labels(where, labels)
    return intern(joined_labels(labels))
