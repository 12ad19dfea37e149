"""Labels in lines of text: columns as in the CoNLL shared tasks, `word/TAG`, a label before each
text, labels in a file beside."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from sys import intern

from rnnlm.errors import TextError, shown, visible
from rnnlm.text.labelled.example import (
    LABEL_SEPARATOR,
    Example,
    LabelledSettings,
    LabelledText,
    Task,
    blocks,
    joined_labels,
    no_words,
    unequal,
)
from rnnlm.text.labelled.labelled_tables import several_labels, text_label
from rnnlm.text.lines import (
    WORD_SPACE,
    Line,
    is_blank,
    lines_with_ends,
    side_by_side,
    split_words,
    without_end,
)
from rnnlm.text.named_columns import no_column

# ---- Columns as in the CoNLL shared tasks: one word per line with its labels, and a blank line
# after each sentence.
#
# Tabs separate the columns where the first line has one, else white space. Lines whose first column
# is -DOCSTART- are skipped.

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
            raise TextError(
                f"{self.source}, line {number}: {columns}", f"line {self.line:,} has {self.count:,}"
            )
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
        TextError: lines have different numbers of columns or empty cells, a column does not exist,
            or the last one, which nobody named, has a single value.
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


def _example(
    source: str, line: int, rows: Rows, word_column: int, places: Sequence[int]
) -> Example:
    words = tuple(intern(row[word_column]) for row in rows)
    labels = tuple(tuple(intern(row[place]) for row in rows) for place in places)
    if not all(words) or not all(map(all, labels)):
        place = next(
            index
            for index, row in enumerate(rows)
            if not (row[word_column] and all(row[place] for place in places))
        )
        raise TextError(
            f"{source}, sentence that begins in line {line}: word {place + 1} or its label is empty"
        )
    return Example(words, labels, (), line, source)


def _check_last_column(source: str, found: list[Rows]) -> None:
    first = found[0][0][-1]
    if any(row[-1] != first for rows in found for row in rows):
        return
    columns = range(len(found[0][0]))
    shown = "; ".join(
        f"{column + 1}: {_sample(row[column] for rows in found for row in rows)}"
        for column in columns
    )
    what = f"{source}: each word has {_cut(first)!r} in the last column"
    raise TextError(
        what, f"its columns are {shown}", "name that of the labels by its number: --label-column 2"
    )


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


# ---- Words followed by a slash and their tags, `We/PRP love/VBP beer/NN`: one sentence per line.
#
# The last slash parts word and tag. `\/` is a slash that does not part them; as in most such
# notations, a run of backslashes before a slash stands for half as many.

TAG_COLUMN = "tag"
_ESCAPED = re.compile(r"(?<!\\)(\\*+)/")


def parting_slash(token: str) -> int | None:
    """Where the slash stands between word and tag, None where there is none."""
    end = len(token)
    while (end := token.rfind("/", 0, end)) >= 0:
        start = end
        while start and token[start - 1] == "\\":
            start -= 1
        if (end - start) % 2 == 0:
            return end
        end = start
    return None


def parse(token: str) -> tuple[str, str] | None:
    """Word and tag of a token, None where one of them is missing."""
    place = parting_slash(token)
    if not place or place == len(token) - 1:
        return None
    word = token[:place]
    bare = word.rstrip("\\")
    return _unescaped(bare) + "\\" * ((place - len(bare)) // 2), _unescaped(token[place + 1 :])


def written(word: str, tag: str) -> str:
    """The token of a word and a tag, of which :func:`parse` makes them again."""
    return _escaped(word) + "\\" * (len(word) - len(word.rstrip("\\"))) + "/" + _escaped(tag)


def with_tag(token: str, tag: str) -> str:
    """A token with another tag, its word written as it was."""
    return token[: parting_slash(token)] + "/" + _escaped(tag)


def _escaped(text: str) -> str:
    return _ESCAPED.sub(lambda match: match[1] * 2 + "\\/", text)


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda match: match[1][: len(match[1]) // 2] + "/", text)


def read_slashes(source: str, settings: LabelledSettings) -> LabelledText:
    """A file of lines with `word/TAG`; its one label column is called as the settings say, or
    "tag".

    Raises:
        TextError: a token has no tag or no word.
    """
    names = settings.label_columns[:1] or (TAG_COLUMN,)
    examples = []
    for number, line in lines_with_ends(source, settings.encoding_errors):
        tokens = split_words(line)
        pairs = [parse(token) for token in tokens]
        if None in pairs:
            token = tokens[pairs.index(None)]
            raise TextError(
                f"{source}, line {number}: {shown(token)} is not a word and its tag",
                "they are written word/TAG",
            )
        if pairs:
            words, tags = zip(*pairs, strict=True)
            examples.append(
                Example(tuple(map(intern, words)), (tuple(map(intern, tags)),), (), number, source)
            )
    return LabelledText(tuple(examples), names, (), "slashes")


# ---- Lines that hold a text and its label: `label<TAB>text`, `label text`, and fastText's
# `__label__x text`.

LABEL_COLUMN = "label"
PREFIX = "__label__"


def read_label_first(source: str, settings: LabelledSettings) -> LabelledText:
    """A file whose lines begin with a label: what stands before the tab if the first line has one,
    else the first word.

    Raises:
        TextError: a line has no label or no text.
    """
    names = (*settings.label_columns, *settings.sentence_label_columns, LABEL_COLUMN)[:1]
    examples = []
    has_tabs: bool | None = None
    for number, line in lines_with_ends(source, settings.encoding_errors):
        line, where = without_end(line), f"{source}, line {number}"
        if is_blank(line):
            continue
        has_tabs = "\t" in line if has_tabs is None else has_tabs
        if has_tabs and "\t" not in line:
            raise TextError(f"{where}: no tab", "the first line has one between label and text")
        label, _, text = line.partition("\t") if has_tabs else _first_word(line)
        words = tuple(map(intern, split_words(text)))
        if not words:
            raise no_words(where)
        examples.append(
            Example(
                words,
                (),
                (text_label(label.strip(WORD_SPACE), where, names[0], settings),),
                number,
                source,
            )
        )
    return LabelledText(tuple(examples), (), names, "label-first")


def _first_word(line: str) -> tuple[str, str, str]:
    line = line.lstrip(WORD_SPACE)
    label = line.split(None, 1)[0] if line.isascii() else split_words(line)[0]
    return label, "", line[len(label) :]


def read_fasttext(source: str, settings: LabelledSettings) -> LabelledText:
    """A file of fastText: the words of a line that begin with `__label__` are its labels.

    Raises:
        TextError: a line has no label or no text, or several labels where one is needed.
    """
    names = (*settings.label_columns, *settings.sentence_label_columns, LABEL_COLUMN)[:1]
    examples = []
    for number, line in lines_with_ends(source, settings.encoding_errors):
        tokens, where = split_words(line), f"{source}, line {number}"
        if not tokens:
            continue
        labels = [token.removeprefix(PREFIX) for token in tokens if token.startswith(PREFIX)]
        words = tuple(intern(token) for token in tokens if not token.startswith(PREFIX))
        if not words:
            raise no_words(where)
        examples.append(
            Example(words, (), (_joined(labels, where, settings.multi_label),), number, source)
        )
    return LabelledText(tuple(examples), (), names, "fasttext")


def _joined(labels: Sequence[str], where: str, multi_label: bool) -> str:
    if not all(labels) or (not labels and not multi_label):
        raise TextError(f"{where}: no label", f"labels are words that begin with {PREFIX}")
    if multi_label and any(LABEL_SEPARATOR in label for label in labels):
        raise TextError(
            f"{where}: a label holds {LABEL_SEPARATOR}: {shown(joined_labels(labels))}",
            "that joins labels",
        )
    if len(labels) > 1 and not multi_label:
        raise several_labels(where, labels)
    return intern(joined_labels(labels))


# ---- Parallel files: one text per line in the first, its labels on the same line of the second.


def read_parallel(
    source: str, labels: str, settings: LabelledSettings, task: Task, aligned: bool = True
) -> LabelledText:
    """The text `source` with the labels of the file `labels`. aligned: whether each word has one
    label.

    Raises:
        TextError: one has more lines than the other, or a line lacks words or labels.
    """
    names = settings.label_columns[:1] or (LABEL_COLUMN,)
    examples: list[Example] = []
    for number, (text, label_line) in side_by_side(
        (source, labels), settings.encoding_errors, "labels"
    ):
        words = tuple(map(intern, split_words(text)))
        if not words:
            raise no_words(f"{source}, line {number}")
        where = f"{labels}, line {number}"
        if task == "tagging":
            row = tuple(map(intern, split_words(label_line)))
            if len(row) != len(words) if aligned else not row:
                raise unequal(where, len(row), len(words), names[0])
            examples.append(Example(words, (row,), (), number, source))
        else:
            examples.append(
                Example(
                    words, (), (text_label(label_line, where, names[0], settings),), number, source
                )
            )
    word_columns, text_columns = (names, ()) if task == "tagging" else ((), names)
    return LabelledText(tuple(examples), word_columns, text_columns, "parallel")
