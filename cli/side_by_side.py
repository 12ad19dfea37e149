"""Figures of several models in one table: what is the same for all stands once, and what is a
model's own has its name behind a dot."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import terminal

Cell = Callable[[Any], str]


def own(cells: Mapping[str, Cell], results: Mapping[str, Sequence[Any]]) -> dict[str, list[str]]:
    """The columns `cells` makes of the results of each model, one model after the other."""
    return {
        f"{title}.{name}": list(map(cell, its))
        for name, its in results.items()
        for title, cell in cells.items()
    }


def shared(cells: Mapping[str, Cell], results: Mapping[str, Sequence[Any]]) -> dict[str, list[str]]:
    """The columns that `cells` makes, each once where it is the same for all models, and not at all
    where it is empty."""
    columns: dict[str, list[str]] = {}
    for title, cell in cells.items():
        made = own({title: cell}, results)
        first = next(iter(made.values()))
        columns |= {title: first} if all(each == first for each in made.values()) else made
    return {title: column for title, column in columns.items() if any(column)}


def print_columns(columns: dict[str, list[str]], left: Sequence[str]) -> None:
    """A table of these columns, right-aligned but for those whose titles begin with one of
    `left`."""
    right = [title for title in columns if not title.startswith(tuple(left))]
    terminal.print_table([*columns], list(zip(*columns.values(), strict=True)), right, break_at=".")
