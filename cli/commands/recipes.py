"""`rnnlm recipes`: named settings for `rnnlm train --recipe NAME`."""

from typing import Any

import click

from .. import terminal
from ..options import json_option

LEGEND = (
    "Perplexities are for PTB (the Penn Treebank as prepared by Mikolov), validation",
    "text unless marked: test, its test text; WT2, validation text of WikiText-2;",
    "demo, the bundled corpus. Bits per character (bpc), accuracy (%), F1 of",
    "spans, WER (words wrong in %) and BLEU are for the data that the recipe names.",
    "*: with other settings than the recipe's; …: a run shorter than the recipe's",
    "off by: difference from the published result; ~: estimated from a test result",
    "time to our result on two CPU cores (/1: on one); ~: estimated for a whole run",
    "rnnlm recipes NAME shows settings, sources and commands",
)


@click.command()
@click.argument("name", required=False)
@json_option
def command(name: str | None, as_json: bool) -> None:
    """List the recipes, or show one with all its settings.

    \b
    rnnlm recipes
    rnnlm recipes zaremba-small

    Of one recipe, also what it aims at, what it reached, by which command, and the sources.
    """
    from rnnlm.recipes import recipe

    if as_json:
        names = [name] if name else recipe.names()
        terminal.print_json(*(recipe.record(recipe.load(each)) for each in names))
    elif name:
        _show(recipe.record(recipe.load(name)))
    else:
        lines = recipe.lines()
        columns = ["recipe", "what for", "published", "ours", "off by", "time"]
        terminal.print_table(columns, [line.cells() for line in lines], gap=1)
        for line in LEGEND:
            terminal.say(line)


def _show(recipe: dict[str, Any]) -> None:
    names = {
        "description": "about", "published": "published", "source": "source", "measured": "ours",
        "off_by": "off by",
        "differs": "what differs",
        "command_of_figure": "measured by" if recipe["measured_figure"] else "on that text",
        "cpu_time": "whole run",
        "command": "to run it",
    }  # fmt: skip
    # A recipe has been measured, or names only what others published.
    for key, shown in names.items():
        if recipe[key]:
            click.echo(f"{shown}: {recipe[key]}")
    terminal.print_table(
        ["setting", "value"], [[key, str(value)] for key, value in recipe["settings"].items()]
    )
