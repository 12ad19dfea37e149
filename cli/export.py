"""`rnnlm export`: a model for other programs."""

from pathlib import Path

import click

from . import terminal
from .options import load_model, model_option


@click.command()
@model_option
@click.option("--arpa", "file", required=True, metavar="FILE",
              help="Write an ARPA file; compressed if it ends in .gz, .xz, .bz2 or .zst. - is stdout.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace FILE.")
def command(model_name: str | None, file: str, overwrite: bool) -> None:
    """Write an n-gram model as an ARPA file, which KenLM, SRILM and others read.

    \b
    rnnlm export -m my-5gram --arpa my-5gram.arpa.gz
    rnnlm export -m my-5gram --arpa - | build_binary /dev/stdin my-5gram.binary
    """
    model = load_model(model_name, "cpu")
    from rnnlm import exchange

    if file == "-":
        stdout = click.get_binary_stream("stdout")
        for piece in exchange.arpa(model):
            stdout.write(piece)
        stdout.flush()
        return
    exchange.export_arpa(model, Path(file), overwrite, terminal.Progress())
    terminal.say(f"written to {file}")
