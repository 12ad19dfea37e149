"""Parallel files: one text per line in the first, its labels on the same line of the second."""

from itertools import zip_longest
from sys import intern

from rnnlm.errors import TextError
from rnnlm.text.labelled.example import Example, LabelledText
from rnnlm.text.labelled.labelled_tables import text_label
from rnnlm.text.labelled.lines import no_words, numbered_lines, unequal, without_end
from rnnlm.text.labelled.settings import LabelledSettings, Task
from rnnlm.text.lines import split_words

COLUMN = "label"


def read(source: str, labels: str, settings: LabelledSettings, task: Task, aligned: bool = True) -> LabelledText:
    """The text `source` with the labels of the file `labels`. aligned: whether each word has one label.

    Raises:
        TextError: one has more lines than the other, or a line lacks words or labels.
    """
    names = settings.label_columns[:1] or (COLUMN,)
    lines = (numbered_lines(each, settings.encoding_errors) for each in (source, labels))
    examples: list[Example] = []
    for line, label_line in zip_longest(*lines):
        if line is None or label_line is None:
            raise _lengths(source, labels, line is None, len(examples))
        number, text = line
        words = tuple(map(intern, split_words(text)))
        if not words:
            raise no_words(f"{source}, line {number}")
        where = f"{labels}, line {number}"
        if task == "tagging":
            row = tuple(map(intern, split_words(label_line[1])))
            if len(row) != len(words) if aligned else not row:
                raise unequal(where, len(row), len(words), names[0])
            examples.append(Example(words, (row,), (), number, source))
        else:
            examples.append(Example(words, (), (text_label(without_end(label_line[1]), where, names[0], settings),), number, source))
    word_columns, text_columns = (names, ()) if task == "tagging" else ((), names)
    return LabelledText(tuple(examples), word_columns, text_columns, "parallel")


def _lengths(source: str, labels: str, text_is_shorter: bool, lines: int) -> TextError:
    shorter, longer = (source, labels) if text_is_shorter else (labels, source)
    what = f"{shorter} has {lines:,} lines, {longer} has more"
    return TextError(what, "line by line, one file holds the labels of the other", f"look at line {lines + 1:,} of {longer}")
