"""`rnnlm import`: a model of another program."""

from pathlib import Path

import click

from . import terminal


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.arpa")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Model folder.")
@click.option("--overwrite", is_flag=True, help="Replace the model in DIR.")
def command(file: Path, output: Path, overwrite: bool) -> None:
    """Make a model of an ARPA file (.gz, .xz, .bz2, .zst too), as KenLM, SRILM and others write it.

    \b
    rnnlm import my.arpa.gz -o my-model
    rnnlm eval -m my-model TEXT

    Its probabilities are taken as they are; whether they sum to one is not known, so results are marked.
    """
    from rnnlm import exchange

    model = exchange.import_arpa(file, output, overwrite)
    ngrams = ", ".join(f"{len(values):,}" for values in model.values)
    terminal.say(f"an n-gram model of order {model.order}, V = {model.size:,}; n-grams by order: {ngrams}")
    terminal.say(f"saved in {output}")
