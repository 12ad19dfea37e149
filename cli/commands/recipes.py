"""`rnnlm recipes`: named settings for `rnnlm train --recipe NAME`."""

from dataclasses import asdict

import click

from .. import terminal
from ..options import json_option

SHOWN = ("model", "about", "published", "measured", "time on 2 cores", "time on a GPU")


@click.command()
@click.argument("name", required=False)
@json_option
def command(name: str | None, as_json: bool) -> None:
    """List the recipes, or show one with all its settings.

    \b
    rnnlm recipes
    rnnlm recipes zaremba-small

    Figures are perplexities unless they say otherwise; PTB is the Penn Treebank as prepared by Mikolov (not part of this
    project). `rnnlm recipes NAME` names the source of a published figure.
    """
    from rnnlm.recipes import recipe as recipes

    chosen = [recipes.load(each) for each in ([name] if name else recipes.names())]
    if as_json:
        terminal.print_json(*map(asdict, chosen))
        return
    if name:
        about = {key.replace("_", " "): value for key, value in asdict(chosen[0]).items() if key not in ("name", "settings")}
        terminal.print_table(["setting", "value"], [[key, str(value)] for key, value in chosen[0].settings.items()])
        for key, value in about.items():
            click.echo(f"{key}: {value}")
        return
    rows = [[r.name, str(r.settings["model"]), r.description, r.published, r.measured, r.cpu_time, r.gpu_time] for r in chosen]
    terminal.print_table(["recipe", *SHOWN], rows)
