"""Scores as text for other programs: JSON-lines, and tables of tab- or comma-separated values.

A table has a line for each sentence, or with surprisals a line for each of its tokens, words or regions (with --next, for each of the
likely next words there). A figure that is not there is an empty cell, and the last column says why.
"""

from collections.abc import Callable
from typing import Any

from . import terminal

Form = tuple[str, Callable[[Any], str]]  # what stands before all scores, and what makes the text of a sentence


def form_of(name: str, settings: Any, layout: Any) -> Form:
    """How `name` (jsonl, tsv, csv) writes the scores of a sentence by model. layout: rows of a table, and records."""
    if name == "jsonl":
        return "", lambda scores: terminal.json_text(layout.record(scores, settings)) + "\n"
    from rnnlm.files.tables import cell_text

    line = terminal.tsv_line if name == "tsv" else terminal.csv_line
    return line(layout.columns), lambda scores: "".join(line(map(cell_text, row.values())) for row in layout.rows(scores))
