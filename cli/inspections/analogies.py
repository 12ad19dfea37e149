"""`rnnlm inspect analogies`: how many analogies of a test set come out."""

from pathlib import Path
from typing import Any

import click

from ..inspecting import show
from ..inspecting_vectors import vectors_options, vectors_or_model
from ..options import json_option
from ..plots import check_plot, plot_option


@click.command()
@click.argument("file", metavar="FILE")
@vectors_options
@click.option("--columns", metavar="TYPE,A,B,C,D", help="Columns of a table, by name or number; TYPE may be left out.")
@plot_option
@json_option
def show_analogies(
    file: str, model_name: str | None, which: Any, vectors_file: Path | None, columns: str | None, plot: Path | None, overwrite: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """How many analogies of FILE come out right, by type.

    \b
    rnnlm inspect analogies questions-words.txt --file vectors.txt
    rnnlm inspect analogies analogies.csv -m my-lstm --columns type,a,b,c,d

    FILE: four words on each line, A is to B as C is to D, those of a type below a line `: TYPE`, as in Google's test set
    (Mikolov et al. 2013); or a table with a header. Right is where D is the word nearest to B - A + C, these three left out. Questions with
    a word that has no vector are left out and counted.
    """
    import rnnlm

    check_plot(plot, overwrite)
    model = vectors_or_model(model_name, vectors_file)
    show(rnnlm.inspect_analogies(model, file, which=which, columns=columns), as_json, plot)
