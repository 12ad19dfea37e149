"""Read and write CoNLL-U (Nivre et al. 2020; universaldependencies.org/format): ten columns for
each word, comments above each sentence.

Words are numbered from 1 in each sentence. A multiword form has a line with its range before its
first word (`3-4 don't`); empty nodes (`8.1`) are words of the enhanced graph alone. Neither has
labels: both are kept where a file is written again.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rnnlm.amounts import plural
from rnnlm.errors import TextError, keyword
from rnnlm.tasks.labelling.formats.example import (
    Example,
    LabelledSettings,
    LabelledText,
    chunks,
    column_at,
    no_words,
)
from rnnlm.text.lines import Line, is_blank, lines_with_ends, without_end
from rnnlm.text.named_columns import column_named, no_column

FIELDS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
DEFAULT_LABEL = "upos"
EMPTY = "_"
_NUMBER = "[1-9][0-9]{0,8}"
_OTHER_ID = re.compile(rf"({_NUMBER})-({_NUMBER})|(?:0|{_NUMBER})\.{_NUMBER}")


@dataclass(frozen=True, slots=True)
class ConlluSentence:
    """A sentence.

    comments: its lines before the first word. cells: the ten of each word; places: the number of
    each word's line in the block. line: where it begins. start: how many of the lines that go with
    it are above the block.
    """

    comments: tuple[str, ...]
    cells: list[list[str]]
    places: list[int]
    line: int
    start: int = 0

    def comment(self, key: str) -> str | None:
        """Return the value of a comment `# key = value`."""
        values = (comment_of(comment, key) for comment in self.comments)
        return next((value for value in values if value is not None), None)


def comment_of(line: str, key: str) -> str | None:
    """Return the value of a comment `# key = value`; None where the line is another comment."""
    name, equals, value = line[1:].partition("=")
    return value.strip() if equals and name.strip() == key else None


def sentences(source: str, lines: Iterable[Line]) -> Iterator[tuple[list[Line], ConlluSentence]]:
    """Yield the sentences of the `lines` of a file, each behind all lines that go with it: blank
    ones, and comments alone between these, which are of the file."""
    for chunk in chunks(lines, lambda line: not line.startswith("#")):
        start = 0
        for blank, run in itertools.groupby(chunk, lambda line: is_blank(without_end(line[1]))):
            block = [(number, without_end(line)) for number, line in run]
            if not blank and not all(line.startswith("#") for _, line in block):
                yield chunk, parse_block(source, block, start)
            start += len(block)


def parse_block(source: str, block: Sequence[Line], start: int = 0) -> ConlluSentence:
    """Return the sentence of the lines between two blank ones. A TextError names where they break
    the format. start: as in :class:`ConlluSentence`."""
    comments: list[str] = []
    cells: list[list[str]] = []
    places: list[int] = []
    end_of_range = 0  # of the last multiword form, the number of its last word
    line_of_range = 0
    for place, (number, line) in enumerate(block):
        if line[0] == "#" and not cells:
            comments.append(line)
            continue
        row = line.split("\t")
        if len(row) != len(FIELDS):
            raise TextError(
                f"{source}, line {number}: {plural(len(row), 'column')}, not 10",
                "CoNLL-U has ten, separated by tabs",
            )
        # Words come in order; any other line with a number is a range or an empty node.
        if row[0] == str(len(cells) + 1):
            cells.append(row)
            places.append(place)
            continue
        end_before = end_of_range
        end_of_range = _end_of_other_line(source, number, row[0], len(cells), end_before)
        if end_of_range != end_before:
            line_of_range = number

    where = f"{source}, line {block[0][0]}"
    if not cells:
        raise no_words(where)
    if end_of_range > len(cells):
        raise TextError(
            f"{source}, line {line_of_range}: a multiword form ends with word {end_of_range:,}",
            f"the sentence has {len(cells):,}",
        )
    return ConlluSentence(tuple(comments), cells, places, block[0][0], start)


def _end_of_other_line(source: str, number: int, id: str, words: int, end_before: int) -> int:
    """Return the last word of a multiword form whose line has this id; `end_before`, the last word
    of the form before it, for an empty node."""
    match = _OTHER_ID.fullmatch(id)
    where = f"{source}, line {number}"
    if not match:
        raise TextError(
            f"{where}: {id!r} is not the number of a word",
            f"the next word of the sentence has number {words + 1:,}",
        )
    if not match[1]:
        return end_before
    first, last = int(match[1]), int(match[2])
    if first != words + 1 or last < first or end_before >= first:
        raise TextError(
            f"{where}: {id} is not a range of words that begins here",
            f"the next word has number {words + 1:,}",
        )
    return last


def set_field(row: list[str], name: str, label: str) -> None:
    """Put a label into the cell of that name, else into MISC, in place of the one there."""
    if name in FIELDS[1:]:
        row[FIELDS.index(name)] = label or EMPTY
        return
    # MISC holds pairs, and a number alone would be an odd key.
    key = "Label" if name.isdigit() else name
    pairs = [] if row[-1] == EMPTY else row[-1].split("|")
    others = [pair for pair in pairs if pair.partition("=")[0] != key]
    row[-1] = "|".join([*others, f"{key}={label}"])


def columns_of(source: str, settings: LabelledSettings) -> tuple[int, tuple[int, ...]]:
    """Return the places among FIELDS of the words and of each label column, which have numbers,
    too."""
    names = [settings.column or "form", *(settings.label_columns or (DEFAULT_LABEL,))]
    for name in names:
        if name in ("1", FIELDS[0]):
            raise no_column(source, name, FIELDS[1:])
    words, *labels = (FIELDS.index(column_named(name, FIELDS, source)) for name in names)
    return words, tuple(labels)


def read(source: str, settings: LabelledSettings) -> LabelledText:
    """Return the examples of a CoNLL-U file. A TextError names where it breaks the format, or which
    column or comment it lacks."""
    word_column, label_columns = columns_of(source, settings)
    text_columns = settings.sentence_label_columns
    examples = []
    for _, sentence in sentences(source, lines_with_ends(source, settings.encoding_errors)):
        words = column_at(sentence.cells, word_column)
        labels = tuple(column_at(sentence.cells, place) for place in label_columns)
        text_labels = tuple(_commented(source, sentence, key) for key in text_columns)
        for place, cells in zip(sentence.places, zip(words, *labels, strict=True), strict=True):
            if not all(cells):
                raise TextError(
                    f"{source}, line {sentence.line + place}: an empty cell",
                    f"CoNLL-U writes {EMPTY} for nothing",
                )
        examples.append(Example(words, labels, text_labels, sentence.line, source))

    # An empty column cannot be the one that is meant.
    names = tuple(FIELDS[column] for column in label_columns)
    for place, name in enumerate(names):
        rows = (example.word_labels[place] for example in examples)
        if examples and set(itertools.chain.from_iterable(rows)) == {EMPTY}:
            raise TextError(
                f"{source}: column {name!r} holds {EMPTY} alone",
                "it has no labels",
                "name another one with " + keyword("label_column"),
            )
    return LabelledText(tuple(examples), names, text_columns, "conllu")


def _commented(source: str, sentence: ConlluSentence, key: str) -> str:
    value = sentence.comment(key)
    if not value:
        raise TextError(
            f"{source}, line {sentence.line}: no comment '# {key} = ...' above this sentence"
        )
    return value
