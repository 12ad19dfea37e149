"""The figures of labels as tables."""

from typing import Any

import click

from . import terminal

MAIN = ("f1", "precision", "recall", "accuracy", "accuracy_known", "accuracy_unknown", "macro_f1", "exact_match", "ece")
ERRORS = ("word_error_rate", "symbol_error_rate")


def show(results: dict[str, dict[str, Any]]) -> None:
    """A row for each text and column of labels, figures in percent; then the signatures."""
    columns = [(name, each) for name, result in results.items() for each in result["columns"]]
    keys = [key for key in (*MAIN, *ERRORS) if any(each[key] is not None for _, each in columns)]
    rows = [[name, each["column"], *(percent(each[key]) for key in keys)] for name, each in columns]
    terminal.print_table(["text", "labels", *keys], rows, right=keys)
    for name, each in columns:
        click.echo(f"{name}, {each['column']} signature: {each['signature']}")


def percent(value: float | None) -> str:
    """A share in percent; a dash where there is none."""
    return "-" if value is None else f"{100 * value:.2f}"
