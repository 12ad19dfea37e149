"""`rnnlm info`: describe a model."""

from typing import Any

import click

from .. import terminal
from ..declaring import Command
from ..options import chosen_model, json_option, model_option


@click.command(cls=Command)
@click.argument("model", required=False)
@model_option
@click.option("--all", "wants_all", is_flag=True, help="Show every setting, count and file.")
@json_option
def command(model: str | None, model_name: str | None, wants_all: bool, as_json: bool) -> None:
    """Describe a model: kind, size, tokenizer, training, metrics.

    \b
    rnnlm info my-model
    rnnlm info my-model --all

    Only settings that differ from the recipe's are shown, or from the defaults if there is no
    recipe, in the spelling of --set. The model is not loaded. --json prints everything that --all
    shows.
    """
    from rnnlm.training import card

    name = chosen_model(model_name, argument=model)
    if as_json:
        terminal.print_json(card.describe(name))
    elif wants_all:
        rows = [
            [what, terminal.amount(value, ".6g")]
            for what, value in _flat(card.describe(name))
            if value not in (None, {}, [])
        ]
        terminal.print_table(terminal.Table(["what", "value"], rows))
    else:
        terminal.print_table(terminal.Table(["what", "value"], card.summary(name)), gap=2)


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return the values of nested records, each with its path: training.results.valid."""
    rows: list[tuple[str, Any]] = []
    for name, value in values.items():
        # Records in a list are numbered from 1.
        if isinstance(value, list) and value and isinstance(value[0], dict):
            value = {str(number): element for number, element in enumerate(value, start=1)}
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, value))
    return rows
