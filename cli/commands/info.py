"""`rnnlm info`: what a model is."""

from typing import Any

import click

from .. import terminal
from ..options import argument_or_option, json_option, model_or_demo_option, or_demo


@click.command()
@click.argument("model", required=False)
@model_or_demo_option
@json_option
def command(model: str | None, model_name: str | None, as_json: bool) -> None:
    """Show what a model is: kind, size, tokenizer, training, numbers.

    \b
    rnnlm info my-model
    rnnlm info my-model --json

    Nothing is loaded.
    """
    from rnnlm.models import info

    description = info.describe(or_demo(argument_or_option(model, model_name)))
    if as_json:
        terminal.print_json(description)
        return
    rows = [[name, terminal.cell(value, ".6g")] for name, value in _flat(description) if value not in (None, {}, [])]
    terminal.print_table(["what", "value"], rows)


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            value = {str(number): each for number, each in enumerate(value, start=1)}
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, value))
    return rows
