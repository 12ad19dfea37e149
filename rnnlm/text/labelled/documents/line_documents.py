"""Documents that are lines: CoNLL-U, columns, words with their tags behind a slash.

In CoNLL-U labels stand in the field of that name, else in MISC as `name=label`, and labels of the sentence in a comment `# name = label`;
in columns, in the column of that number, else in one that is added behind the others. All that is no label stays as it is, byte by byte.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rnnlm.errors import TextError
from rnnlm.text.file_lines import Line, lines_with_ends, without_end
from rnnlm.text.labelled import conllu, slashes
from rnnlm.text.labelled.columns import Layout, is_document_start, place_of
from rnnlm.text.labelled.documents.sentence import Sentence, TextLabels, WordLabels, end_of, on_one_line, only_labels, refuse
from rnnlm.text.labelled.lines import chunks, no_words
from rnnlm.text.labelled.settings import LabelledSettings
from rnnlm.text.lines import WORD_SPACE, is_blank, split_words

_CELL = re.compile(f"[^{WORD_SPACE}\n]+")


def read_conllu(source: str, settings: LabelledSettings) -> Iterator[Sentence]:
    """The sentences of a CoNLL-U file; comments, multiword ranges and empty nodes are written again as they are.

    Raises:
        TextError: it is not as the format has it.
    """
    word_column, _ = conllu.columns_of(source, LabelledSettings(column=settings.column))
    lines = lines_with_ends(source, settings.encoding_errors)
    for chunk in chunks(lines, lambda line: not line.startswith("#")):
        block = [(number, without_end(line)) for number, line in chunk if not is_blank(without_end(line))]
        while block[-1][1].startswith("#"):  # the comments at the end of a file belong to no sentence
            block.pop()
        sentence = conllu.parse_block(source, block)
        words = tuple(row[word_column] for row in sentence.cells)
        if not all(words):
            raise no_words(f"{source}, line {sentence.line}")
        yield Sentence(words, sentence.line, _ConlluWriter(chunk, sentence), sentence.comment("text"), tuple(sentence.ranges))


@dataclass(frozen=True)
class _ConlluWriter:
    lines: list[Line]
    sentence: conllu.ConlluSentence

    def __call__(self, word_labels: WordLabels, text_labels: TextLabels) -> str:
        filled = [place for place, (_, line) in enumerate(self.lines) if not is_blank(without_end(line))]
        lines = [line for _, line in self.lines]
        for index, place in enumerate(self.sentence.places):
            row = list(self.sentence.cells[index])
            for name, labels in word_labels.items():
                conllu.set_field(row, name, on_one_line(labels[index]))
            lines[filled[place]] = "\t".join(row) + end_of(lines[filled[place]])
        first = filled[len(self.sentence.comments)]
        for name, label in text_labels.items():
            comment = f"# {name} = {on_one_line(label)}"
            places = [filled[place] for place, line in enumerate(self.sentence.comments) if conllu.comment_of(line, name) is not None]
            for place in places[:1]:
                lines[place] = comment + end_of(lines[place])
            lines[first] = lines[first] if places else comment + (end_of(lines[first]) or "\n") + lines[first]
        return "".join(lines)


def read_columns(source: str, settings: LabelledSettings) -> Iterator[Sentence]:
    """The sentences of a file with columns; white space and lines with -DOCSTART- are written again as they are.

    Raises:
        TextError: lines have different numbers of columns, or a word is empty.
    """
    layout = Layout(source)
    for chunk in chunks(lines_with_ends(source, settings.encoding_errors), lambda line: not is_document_start(line)):
        rows, places = [], []
        for place, (number, line) in enumerate(chunk):
            if is_blank(without_end(line)) or is_document_start(line):
                continue
            rows.append(layout.cells(number, without_end(line)))
            places.append(place)
        where = f"{source}, line {chunk[places[0]][0]}"
        column = place_of(settings.column or "1", layout.count, where)
        words = tuple(row[column] for row in rows)
        if not all(words):
            raise TextError(f"{source}, line {chunk[places[words.index('')]][0]}: no word")
        yield Sentence(words, chunk[places[0]][0], _ColumnsWriter([line for _, line in chunk], places, rows, layout))


@dataclass(frozen=True)
class _ColumnsWriter:
    lines: list[str]
    places: list[int]
    rows: list[list[str]]
    layout: Layout

    def __call__(self, word_labels: WordLabels, text_labels: TextLabels) -> str:
        refuse(text_labels, "columns")
        lines = list(self.lines)
        for index, (place, row) in enumerate(zip(self.places, self.rows, strict=True)):
            own = {int(name) - 1: on_one_line(labels[index]) for name, labels in word_labels.items() if self._has(name)}
            added = [on_one_line(labels[index]) for name, labels in word_labels.items() if not self._has(name)]
            line, end = without_end(lines[place]), end_of(lines[place])
            cells = [own.get(column, cell) for column, cell in enumerate(row)]
            gaps = ["", *["\t"] * (len(row) - 1), ""] if self.layout.has_tabs else _CELL.split(line)
            line = "".join(gap + cell for gap, cell in zip(gaps, [*cells, ""], strict=True))
            lines[place] = ("\t" if self.layout.has_tabs else " ").join([line, *added]) + end
        return "".join(lines)

    def _has(self, name: str) -> bool:
        return name.isascii() and name.isdigit() and 1 <= int(name[:9]) <= self.layout.count


def read_slashes(source: str, settings: LabelledSettings) -> Iterator[Sentence]:
    """The lines of a file of `word/TAG`, or of words alone: those of a line in which a word has no tag.

    Raises:
        TextError: it cannot be read.
    """
    for chunk in chunks(_line_by_line(lines_with_ends(source, settings.encoding_errors)), lambda line: True):
        number, line = next(each for each in chunk if not is_blank(without_end(each[1])))
        tokens = split_words(line)
        pairs = [slashes.parse(token) for token in tokens]
        words = tuple(pair[0] for pair in pairs if pair) if all(pairs) else tuple(tokens)
        yield Sentence(words, number, _SlashesWriter([each for _, each in chunk], tokens, all(pairs)))


@dataclass(frozen=True)
class _SlashesWriter:
    lines: list[str]
    tokens: list[str]
    have_tags: bool

    def __call__(self, word_labels: WordLabels, text_labels: TextLabels) -> str:
        refuse(text_labels, "slashes")
        tagged = slashes.with_tag if self.have_tags else slashes.written
        tokens = iter([tagged(token, label) for token, label in zip(self.tokens, only_labels(word_labels), strict=True)])
        return "".join(_CELL.sub(lambda _: next(tokens), line) for line in self.lines)


def _line_by_line(lines: Iterator[Line]) -> Iterator[Line]:
    """The lines, an empty one behind each: each is a sentence of its own."""
    for number, line in lines:
        yield number, line
        yield number, ""
