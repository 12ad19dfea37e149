"""Parallel files: one text per line in the first, its labels on the same line of the second."""

from sys import intern

from rnnlm.text.file_lines import side_by_side
from rnnlm.text.labelled.example import Example, LabelledText
from rnnlm.text.labelled.labelled_tables import text_label
from rnnlm.text.labelled.lines import no_words, unequal
from rnnlm.text.labelled.settings import LabelledSettings, Task
from rnnlm.text.lines import split_words

LABEL_COLUMN = "label"


def read_parallel(source: str, labels: str, settings: LabelledSettings, task: Task, aligned: bool = True) -> LabelledText:
    """The text `source` with the labels of the file `labels`. aligned: whether each word has one label.

    Raises:
        TextError: one has more lines than the other, or a line lacks words or labels.
    """
    names = settings.label_columns[:1] or (LABEL_COLUMN,)
    examples: list[Example] = []
    for number, (text, label_line) in side_by_side((source, labels), settings.encoding_errors, "labels"):
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
            examples.append(Example(words, (), (text_label(label_line, where, names[0], settings),), number, source))
    word_columns, text_columns = (names, ()) if task == "tagging" else ((), names)
    return LabelledText(tuple(examples), word_columns, text_columns, "parallel")
