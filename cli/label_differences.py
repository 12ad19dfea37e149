"""Models of one task side by side: figures with intervals, and the differences of each pair."""

from typing import Any

import click

from . import terminal
from .label_figures import ERRORS, MAIN

KEYS = (*MAIN, *ERRORS)


def show_label_differences(result: Any) -> None:
    """The figures of a :class:`rnnlm.tasks.evaluation.comparison.TaskComparison` in percent, each with its interval; differences, in
    points; the signatures last."""
    names = [model.name for model in result.models]
    columns = list(result.models[0].intervals)
    rows = [
        [_named(key, column, columns), *(interval(model.intervals[column].get(key), ".2f", scale=100) for model in result.models)]
        for column in columns
        for key in KEYS
        if any(key in model.intervals[column] for model in result.models)
    ]
    terminal.print_table(["measure", *names], rows, right=names)
    click.echo()
    rows = [
        [
            f"{each.second} - {each.first}",
            _named(key, column, columns),
            interval(found[key].interval, "+.2f", scale=100),
            f"{found[key].p:.4f}",
        ]
        for each in result.differences
        for column, found in each.figures.items()
        for key in KEYS
        if key in found
    ]
    terminal.print_table(["difference", "measure", "points", "p"], rows, right=["points", "p"])
    click.echo()
    for model in result.models:
        for column in model.evaluation.columns:
            click.echo(f"signature of {terminal.visible(model.name)}: {column.signature}")


def _named(key: str, column: str, columns: list[str]) -> str:
    return key if columns == [column] else f"{column} {key}"


def interval(found: Any, form: str, shift: float = 0.0, scale: float = 1.0) -> str:
    """A figure with the bounds of its interval; a dash where there is none. shift: is taken off; scale: 100 of percentages."""
    if found is None:
        return "-"
    estimate, low, high = (format(scale * (value - shift), form) for value in (found.estimate, found.low, found.high))
    return f"{estimate} [{low}, {high}]"
