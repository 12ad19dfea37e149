"""Lines that hold a text and its label: `label<TAB>text`, `label text`, and fastText's `__label__x text`."""

from collections.abc import Sequence
from sys import intern

from rnnlm.errors import TextError, shown
from rnnlm.text.file_lines import lines_with_ends, without_end
from rnnlm.text.labelled.example import LABEL_SEPARATOR, Example, LabelledText, joined_labels
from rnnlm.text.labelled.labelled_tables import several_labels, text_label
from rnnlm.text.labelled.lines import no_words
from rnnlm.text.labelled.settings import LabelledSettings
from rnnlm.text.lines import WORD_SPACE, is_blank, split_words

LABEL_COLUMN = "label"
PREFIX = "__label__"


def read_label_first(source: str, settings: LabelledSettings) -> LabelledText:
    """A file whose lines begin with a label: what stands before the tab if the first line has one, else the first word.

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
        examples.append(Example(words, (), (text_label(label.strip(WORD_SPACE), where, names[0], settings),), number, source))
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
        examples.append(Example(words, (), (_joined(labels, where, settings.multi_label),), number, source))
    return LabelledText(tuple(examples), (), names, "fasttext")


def _joined(labels: Sequence[str], where: str, multi_label: bool) -> str:
    if not all(labels) or (not labels and not multi_label):
        raise TextError(f"{where}: no label", f"labels are words that begin with {PREFIX}")
    if multi_label and any(LABEL_SEPARATOR in label for label in labels):
        raise TextError(f"{where}: a label holds {LABEL_SEPARATOR}: {shown(joined_labels(labels))}", "that joins labels")
    if len(labels) > 1 and not multi_label:
        raise several_labels(where, labels)
    return intern(joined_labels(labels))
