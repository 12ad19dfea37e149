"""Translated lines as they are printed: lines alone, rows of a table, or JSON."""

from typing import Any

from . import terminal


def as_text(line: Any) -> str:
    """The best line for a source, as a line."""
    return f"{line.text}\n"


def as_json(line: Any) -> str:
    """All that is known of a source's lines."""
    return terminal.json_text(line.to_dict()) + "\n"
