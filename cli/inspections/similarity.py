"""`rnnlm inspect similarity`: do word vectors rank pairs of words as people do?"""

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
@click.option(
    "--columns",
    metavar="WORD1,WORD2,SCORE",
    help="Columns of FILE by name or number.  [default: the first two of words, and the first of numbers behind them]",
)
@click.option("--strip-tags", is_flag=True, help="Cut off tags of parts of speech at the end of words: -n, _NN, /VBZ.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, metavar="N", help="Seed of the interval's resamples.")
@plot_option
@json_option
def show_similarity(
    file: str, model_name: str | None, which: Any, vectors_file: Path | None, columns: str | None, strip_tags: bool, seed: int,
    plot: Path | None, overwrite: bool, as_json: bool,
) -> None:  # fmt: skip
    """Whether vectors rank pairs of words as people do.

    \b
    rnnlm inspect similarity SimLex-999.txt --columns word1,word2,SimLex999
    rnnlm inspect similarity men.txt --file vectors.txt
    rnnlm inspect similarity men-tagged.txt --strip-tags --file vectors.txt

    FILE: two words and a judgment on each line, between tabs, commas, semicolons or spaces, with a header or without; or JSON-lines,
    or Parquet. Pairs with a word that has no vector are left out and counted. The interval is a bootstrap over pairs, 95 %.
    """
    import rnnlm

    check_plot(plot, overwrite)
    model = vectors_or_model(model_name, vectors_file)
    found = rnnlm.inspect_similarity(model, file, which=which, columns=columns, strip_tags=strip_tags, seed=seed)
    show(found, as_json, plot)
