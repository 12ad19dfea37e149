"""`rnnlm inspect map`: word vectors on a plane."""

from pathlib import Path
from typing import Any

import click

from ..inspecting import show
from ..inspecting_vectors import vectors_options, vectors_or_model
from ..options import json_option
from ..plots import check_plot, plot_option


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="WORD...|FILE")
@vectors_options
@plot_option
@json_option
def show_map(
    words: tuple[str, ...], model_name: str | None, which: Any, vectors_file: Path | None, plot: Path | None, overwrite: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Draw words on the plane of their two principal components.

    \b
    rnnlm inspect map cat dog horse table chair lamp --plot map.svg
    rnnlm inspect map words.txt --file vectors.txt --plot map.pdf

    FILE lists words, one or more on a line. Only the words that are drawn shape the plane. Table: their coordinates.
    """
    import rnnlm

    check_plot(plot, overwrite)
    path = Path(words[0])
    names_file = len(words) == 1 and (path.exists() or path.suffix or path.name != words[0])
    show(rnnlm.inspect_map(vectors_or_model(model_name, vectors_file), path if names_file else words, which=which), as_json, plot)
