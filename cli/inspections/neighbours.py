"""`rnnlm inspect neighbours`: the words whose vectors lie nearest to a word's."""

from pathlib import Path
from typing import Any

import click

from ..inspecting import show
from ..inspecting_vectors import vectors_options, vectors_or_model
from ..options import json_option
from ..plots import check_plot, plot_option


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="WORD...")
@vectors_options
@click.option("-n", "--count", type=click.IntRange(1), default=10, show_default=True, metavar="N", help="Neighbours of each word.")
@plot_option
@json_option
def show_neighbours(
    words: tuple[str, ...], model_name: str | None, which: Any, vectors_file: Path | None, count: int, plot: Path | None,
    overwrite: bool, as_json: bool,
) -> None:  # fmt: skip
    """The words that lie nearest to WORD.

    \b
    rnnlm inspect neighbours winter
    rnnlm inspect neighbours king queen -m my-lstm --plot near.svg
    rnnlm inspect neighbours king --file vectors.txt -n 20

    Nearness is the cosine of the angle between two vectors: 1 in the same direction, 0 at right angles.
    """
    import rnnlm

    check_plot(plot, overwrite)
    found = rnnlm.inspect_neighbours(vectors_or_model(model_name, vectors_file), words, which=which, count=count)
    show(found, as_json, plot)
