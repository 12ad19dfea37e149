"""What all `rnnlm inspect WHAT` share: how figures are shown."""

from pathlib import Path
from typing import Any

import click

from . import terminal


def show(inspection: Any, as_json: bool, plot: Path | None) -> None:
    """Print tables and the verdict, or one JSON object with both; save the picture if one is asked for."""
    if plot is not None:
        from rnnlm.evaluation import plotting

        plotting.save(inspection.figure(), plot)
        terminal.say(f"saved in {plot}")
    if as_json:
        terminal.print_json(inspection.to_dict() | {"verdict": inspection.verdict})
        return
    for number, table in enumerate(inspection.tables()):
        if number:
            click.echo()
        if table.title:
            click.echo(table.title)
        numeric = [name for place, name in enumerate(table.columns) if _is_numeric(row[place] for row in table.rows)]
        terminal.print_blocks(table.columns, [[_cell(value) for value in row] for row in table.rows], right=numeric)
    click.echo(f"\n{inspection.verdict}")


def _is_numeric(values: Any) -> bool:
    found = [value for value in values if value is not None]
    return bool(found) and all(isinstance(value, int | float) for value in found)


def _cell(value: Any) -> str:
    """Text as it is; numbers with four figures that count."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value and not 0.001 <= abs(value) < 1e6:
        return f"{value:.3g}"
    digits = 4 if isinstance(value, float) and abs(value) < 1 else 3 if isinstance(value, float) and abs(value) < 100 else 1
    return terminal.cell(value, digits)
