"""`rnnlm recipes`: named settings for `rnnlm train --recipe NAME`."""

from typing import Any

import click

from .. import terminal
from ..options import json_option

MARKS = {"PTB valid": "", "PTB test": "test", "WikiText-2 valid": "WT2", "bundled test": "demo"}  # what a figure is of, in a cell
UNITS = {"bits per character": "bpc", "% accuracy": "%", "F1": "F1", "% words wrong": "WER", "BLEU": "BLEU"}
LEGEND = (
    "perplexities on PTB (the Penn Treebank as prepared by Mikolov), its validation",
    "text unless marked: test, its test text; WT2, WikiText-2; demo, the bundled",
    "test text; bpc, bits per character of PTB's test text",
    "%, accuracy, F1 of spans, WER, share of words wrong in %, BLEU: of taggers,",
    "classifiers and encoder-decoders, on the validation part of the data that the",
    "recipe names",
    "*: with other settings than the recipe's, which rnnlm recipes NAME shows",
    "time to our figure, on one or two CPU cores; ~: estimated, for a whole run",
    "rnnlm recipes NAME tells the rest",
)


@click.command()
@click.argument("name", required=False)
@json_option
def command(name: str | None, as_json: bool) -> None:
    """List the recipes, or show one with all its settings.

    \b
    rnnlm recipes
    rnnlm recipes zaremba-small

    Of one, also what it aims at, what it reached, by which command, and the sources.
    """
    from rnnlm.recipes import recipe as recipes

    if as_json:
        terminal.print_json(*(recipes.load(each).to_dict() for each in ([name] if name else recipes.names())))
    elif name:
        _show(recipes.load(name).to_dict())
    else:
        rows = [_row(recipes.load(each), recipes.time_of) for each in recipes.names()]
        terminal.print_table(["recipe", "kind", "what for", "published", "ours", "time"], rows, dense=True)
        for line in LEGEND:
            terminal.say(line)


def _row(recipe: Any, time_of: Any) -> list[str]:
    time = "-"
    if recipe.measured and recipe.measured.minutes:
        time = time_of(recipe.measured.minutes)
    elif recipe.cpu_minutes:
        time = "~" * recipe.cpu_is_estimated + time_of(recipe.cpu_minutes)
    published = recipe.published[0] if recipe.published else None
    return [recipe.name, recipe.settings["model"], recipe.summary, _figure(published), _figure(recipe.measured), time]


def _figure(figure: Any) -> str:
    if figure is None:
        return "-"
    mark = UNITS.get(figure.unit, MARKS.get(figure.on, figure.on))
    is_of_others = getattr(figure, "settings", {}).keys() - {"budget"}
    return f"{figure.value}{'*' if is_of_others else ''} {mark}".rstrip()


def _show(recipe: dict[str, Any]) -> None:
    names = {
        "description": "about", "published": "published", "source": "source", "measured": "ours",
        "command_of_figure": "measured by" if recipe["measured_figure"] else "on that text", "cpu_time": "time on 2 cores",
        "gpu_time": "time on a GPU", "command": "to run it",
    }  # fmt: skip
    for key, shown in names.items():
        if recipe[key]:
            click.echo(f"{shown}: {recipe[key]}")
    terminal.print_table(["setting", "value"], [[key, str(value)] for key, value in recipe["settings"].items()])
