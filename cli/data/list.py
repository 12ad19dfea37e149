"""`rnnlm list`: the models, recipes, corpora and satellites that are here."""

import contextlib
import sys
from typing import Any

import click

from rnnlm import satellites

from .. import terminal
from ..declaring import Command
from ..options import json_option, latex_option, refuse_if

LEGEND = (
    "Perplexities are for the validation text of PTB (the Penn Treebank as prepared",
    "by Mikolov) unless marked: test, PTB's test text; WT2, the validation text of",
    "WikiText-2; demo, the bundled corpus. Bits per character (bpc), accuracy (%), F1",
    "of spans, WER (% of words wrong) and BLEU are for the data that a recipe names.",
    "*: other settings than the recipe's; …: a shorter run than the recipe's",
    "off by: difference from the published result; ~: estimated from a test result",
    "time: to our result on two CPU cores (/1: on one); ~: estimated for a full run",
    "rnnlm list recipes NAME shows settings, sources and commands",
)


@click.command(cls=Command)
@click.argument(
    "what",
    type=click.Choice(["models", "recipes", "corpora", "satellites"]),
    default="models",
    required=False,
)
@click.argument("name", required=False)
@json_option
@latex_option
def command(what: str, name: str | None, as_json: bool, as_latex: bool) -> None:
    """List models, recipes, corpora or satellites.

    \b
    rnnlm list                        models in ./checkpoints, and the shipped one
    rnnlm list recipes                named settings: rnnlm train --recipe NAME
    rnnlm list recipes zaremba-small  one of them, with all its settings
    rnnlm list corpora                bundled texts: tasks, licences, files
    rnnlm list satellites             parts that can be added or taken away

    For one recipe, this also shows the published result, ours, the command that measured it, and
    the sources; lines, page, pages and chapter are those of small texts. Word counts of corpora
    leave out labels, ids and tags.
    """
    satellites.look_for_others()
    refuse_if(name and what != "recipes", f"only recipes can be listed by name: leave out {name}.")
    refuse_if(
        as_latex and (what != "recipes" or bool(name) or as_json),
        "--latex is for the table of all recipes: rnnlm list recipes --latex.",
    )
    if what == "models":
        _list_models(as_json)
    elif what == "recipes":
        _list_recipes(name, as_json, as_latex)
    elif what == "corpora":
        _list_corpora(as_json)
    else:
        _list_satellites(as_json)


def _list_models(as_json: bool) -> None:
    from rnnlm.errors import ModelError
    from rnnlm.lm.base import loading
    from rnnlm.storage.manifest import read_manifest

    # A checkout has the shipped models in ./checkpoints, too.
    shipped = [folder.resolve() for folder in loading.shipped()]
    saved = [folder for folder in sorted(loading.saved_here()) if folder.resolve() not in shipped]
    rows = []
    for folder in [*loading.shipped(), *saved]:
        row = {"model": folder.name, "kind": "-", "task": "-", "state": "damaged"}
        with contextlib.suppress(ModelError):
            manifest = read_manifest(folder)
            state = "unfinished" if manifest.is_unfinished else "whole"
            row |= {"kind": manifest.model, "task": manifest.task, "state": state}
        rows.append(row | {"path": str(folder)})
    if as_json:
        terminal.print_json(*rows)
    else:
        terminal.print_table(terminal.Table.of_records(rows, left=list(rows[0])))


def _list_recipes(name: str | None, as_json: bool, as_latex: bool) -> None:
    from rnnlm.lm.neural.training import choosing
    from rnnlm.training.recipes import recipe

    # A recipe for a size of text, then a recipe by name, then all of them.
    if name in choosing.SMALL_TEXTS and as_json:
        terminal.print_json({"name": name, **choosing.small_text_recipes()[name]})
    elif name in choosing.SMALL_TEXTS:
        click.echo(choosing.recipe_file(name), nl=False)
    elif as_json:
        names = (name,) if name else recipe.names()
        terminal.print_json(*(recipe.record(recipe.load(recipe_name)) for recipe_name in names))
    elif name:
        _show_recipe(recipe.record(recipe.load(name)))
    else:
        lines = recipe.recipe_rows()
        columns = ["recipe", "purpose", "published", "ours", "off by", "time"]
        table = terminal.Table(columns, [line.cells() for line in lines])
        if as_latex:
            click.echo(table.to_latex())
            return
        terminal.print_table(table, gap=1)
        for line in LEGEND:
            terminal.say(line)


def _show_recipe(recipe: dict[str, Any]) -> None:
    names = {
        "description": "about", "published": "published", "source": "source", "measured": "ours",
        "off_by": "off by",
        "differs": "differences",
        "command_of_figure": "measured with" if recipe["measured_figure"] else "on the same text",
        "cpu_time": "full run",
        "command": "on your text",
    }  # fmt: skip
    # A recipe has been measured, or names only published results.
    for key, shown in names.items():
        if recipe[key]:
            click.echo(f"{shown}: {recipe[key]}")
    terminal.print_table(
        terminal.Table(
            ["setting", "value"], [[key, str(value)] for key, value in recipe["settings"].items()]
        )
    )


def _list_satellites(as_json: bool) -> None:
    rows = []
    for satellite in satellites.known():
        added = {sort: names for sort, names in satellites.names_in(satellite).items() if names}
        rows.append({"satellite": satellite.name, **added})
    if as_json:
        terminal.print_json(*rows)
        return
    cells = [
        [row.pop("satellite"), "; ".join(f"{sort}: {', '.join(row[sort])}" for sort in row)]
        for row in rows[1:]  # without the core
    ]
    terminal.print_table(terminal.Table(["satellite", "adds"], cells))


def _list_corpora(as_json: bool) -> None:
    import rnnlm.corpora as corpora

    rows = []
    for name in corpora.names():
        for file in corpora.FILES[name]:
            path = corpora.part(name, file)
            data = path.read_bytes()
            rows.append(
                {
                    "corpus": name,
                    "file": file,
                    "lines": data.count(b"\n"),
                    "words": corpora.words_of_text(name, file),
                    "bytes": len(data),
                    "path": str(path),
                    "task": ", ".join(corpora.TASKS[name]),
                    "licence": corpora.LICENCE,
                }
            )
    if as_json:
        terminal.print_json(*rows)
        return
    records = [{name: terminal.amount(value) for name, value in row.items()} for row in rows]
    if not sys.stdout.isatty():
        terminal.print_table(terminal.Table.of_records(records, ["corpus", "file", "path"]))
        return

    # On a terminal, details that would not fit into the table are said once for each corpus below
    # it.
    for record in records:
        del record["path"], record["task"], record["licence"]
    terminal.print_table(terminal.Table.of_records(records, left=["corpus", "file"]))
    for name in corpora.names():
        purpose = f"{' and '.join(corpora.TASKS[name])}, {corpora.LICENCE}"
        click.echo(f"{name} ({purpose}) is in {terminal.visible(str(corpora.FOLDER / name))}")
