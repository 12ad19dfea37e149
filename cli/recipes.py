"""`rnnlm recipes`: named settings for `rnnlm train --recipe NAME`."""

import click

from . import terminal
from .options import json_option


@click.command()
@click.argument("name", required=False)
@json_option
def command(name: str | None, as_json: bool) -> None:
    """List the recipes, or show the settings of one."""
    from rnnlm import recipes

    if name:
        _, settings = recipes.load(name)
        if as_json:
            terminal.print_json(settings)
        else:
            terminal.print_table(["setting", "value"], [[key, str(value)] for key, value in settings.items()])
        return
    rows = []
    for each in recipes.names():
        about, settings = recipes.load(each)
        rows.append({"recipe": each, "model": settings["model"], "about": about})
    if as_json:
        for row in rows:
            terminal.print_json(row)
        return
    terminal.print_table(["recipe", "model", "about"], [list(row.values()) for row in rows])
