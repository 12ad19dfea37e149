"""Scores as text for other programs: JSON-lines, and tables of tab- or comma-separated values.

A table has a line for each sentence, or with surprisals a line for each of its tokens, words or regions (with --next, for each of the
likely next words there). A figure that is not there is an empty cell, and the last column says why.
"""

import csv
import io
from collections.abc import Callable, Iterable
from typing import Any

from rnnlm.errors import visible
from rnnlm.files import tsv
from rnnlm.files.tables import cell_text

from . import terminal

Form = tuple[str, Callable[[Any], str]]  # what stands before all scores, and what makes the text of a sentence


def form_of(name: str, settings: Any, layout: Any) -> Form:
    """How `name` (jsonl, tsv, csv) writes the scores of a sentence by model. layout: rows of a table, and records."""
    if name == "jsonl":
        return "", lambda scores: terminal.json_text(layout.record(scores, settings)) + "\n"
    lines = _tsv_lines if name == "tsv" else _csv_lines
    return lines([layout.columns]), lambda scores: lines(row.values() for row in layout.rows(scores))


def _tsv_lines(rows: Iterable[Iterable[Any]]) -> str:
    return "".join(["\t".join(map(tsv.quoted, map(_cell, row))) + "\n" for row in rows])


def _csv_lines(rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(map(_cell, row) for row in rows)
    return text.getvalue()


def _cell(value: Any) -> str:
    """A value as a cell, control characters but tabs and line ends written out, as it may end on a terminal."""
    if type(value) is float or type(value) is int:
        return repr(value)
    text = value if type(value) is str else cell_text(value)
    return text if text.isascii() and text.isprintable() else visible(text, kept="\t\n")
