"""`rnnlm inspect analogy`: king - man + woman."""

from pathlib import Path
from typing import Any

import click

from ..inspecting import show
from ..inspecting_vectors import vectors_options, vectors_or_model
from ..options import json_option
from ..plots import check_plot, plot_option


@click.command()
@click.argument("words", nargs=3, metavar="A B C")
@vectors_options
@click.option("-n", "--count", type=click.IntRange(1), default=10, show_default=True, metavar="N", help="Answers.")
@plot_option
@json_option
def show_analogy(
    words: tuple[str, ...], model_name: str | None, which: Any, vectors_file: Path | None, count: int, plot: Path | None,
    overwrite: bool, as_json: bool,
) -> None:  # fmt: skip
    """The words that lie nearest to A - B + C.

    \b
    rnnlm inspect analogy king man woman      man is to king as woman is to ...
    rnnlm inspect analogy paris france italy --file vectors.txt

    Each vector has length 1; A, B and C themselves are no answers (Mikolov et al. 2013, Levy & Goldberg 2014: 3CosAdd). The sentence below
    the table tells whether one of them would have come first.
    """
    import rnnlm

    check_plot(plot, overwrite)
    show(rnnlm.inspect_analogy(vectors_or_model(model_name, vectors_file), words, which=which, count=count), as_json, plot)
