"""The format of a file with labels, detected from its first lines."""

import re
from itertools import islice

from rnnlm.errors import TextError, shown
from rnnlm.files import tables
from rnnlm.text.file_lines import lines_with_ends, without_end
from rnnlm.text.labelled import conllu, slashes
from rnnlm.text.labelled.columns import is_document_start
from rnnlm.text.labelled.labelled_lines import PREFIX
from rnnlm.text.labelled.labelled_tables import USUAL_LABELS, USUAL_TEXT
from rnnlm.text.labelled.settings import LabelledSettings, Task
from rnnlm.text.lines import is_blank, split_words
from rnnlm.text.table_columns import KINDS

SAMPLE_LINES = 100


def detect_format(source: str, settings: LabelledSettings, task: Task) -> str:
    """The format of a file, as :class:`LabelledSettings` calls it.

    Raises:
        TextError: it cannot be read, or looks like none of them.
    """
    if settings.format != "auto":
        return settings.format
    kind = tables.kind_with(settings.delimiter, tables.kind_of(source))
    if kind in (tables.CSV, tables.JSON_LINES, tables.PARQUET):
        return next(name for name, each in KINDS.items() if each == kind)
    lines = [without_end(line) for _, line in islice(lines_with_ends(source, settings.encoding_errors), SAMPLE_LINES)]
    found = _by_lines(lines, settings, task)
    if not found:
        hint = "name it with --format; --labels names a file that holds only labels"
        hint = "name it with --format; label-first is for lines that begin with their label" if task == "classification" else hint
        first = next((line for line in lines if not is_blank(line)), "")
        raise TextError(f"{source}: cannot tell how its labels are written", f"its first line is {shown(first)}", hint)
    return found


def _by_lines(lines: list[str], settings: LabelledSettings, task: Task) -> str | None:
    """The format of a file that begins with these lines."""
    filled = [line for line in lines if not is_blank(line)]
    if not filled:
        return "label-first" if task == "classification" else "columns"  # an empty file, which whoever asked for it tells
    if tables.is_json(filled[0]):
        return "jsonl"
    if any(is_word_of_conllu(line) for line in filled):
        return "conllu"
    if "\t" in filled[0] and _is_header(filled, settings):
        return "tsv"
    if task == "classification":
        has_prefix = any(word.startswith(PREFIX) for word in split_words(filled[0]))
        return "fasttext" if has_prefix else "label-first" if "\t" in filled[0] else None
    if all(slashes.parse(token) for line in filled for token in split_words(line)):
        return "slashes"
    rows = [split_words(line) for line in filled if not is_document_start(line)]
    is_one_word = len({len(row) for row in rows}) == 1 and len(rows[0]) > 1
    return "columns" if "\t" in filled[0] or is_one_word else None


def is_word_of_conllu(line: str) -> bool:
    """Whether the line is one of a word in CoNLL-U."""
    cells = line.split("\t")
    return len(cells) == len(conllu.FIELDS) and re.fullmatch(r"[0-9]+([-.][0-9]+)?", cells[0]) is not None


def _is_header(lines: list[str], settings: LabelledSettings) -> bool:
    """Whether the first of the lines holds the names of columns. Only then can others than numbers be asked for; where nobody asks, it
    names a text and labels as is usual, or there are texts of several words below it."""
    asked = (settings.column, *settings.label_columns, *settings.sentence_label_columns)
    if any(name and not name.isdigit() for name in asked):
        return True
    names = lines[0].split("\t")
    has_texts = any(" " in cell.strip() for line in lines[1:] for cell in line.split("\t"))
    has_labels = any(name in names for usual in USUAL_LABELS.values() for name in usual)
    return any(name in names for name in USUAL_TEXT) and (has_texts or has_labels)
