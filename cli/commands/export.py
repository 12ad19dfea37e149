"""`rnnlm export`: a model for other programs."""

from pathlib import Path

import click

from .. import terminal
from ..options import load_model, model_option, named


@click.command()
@model_option
@click.option("--arpa", "file", metavar="FILE",
              help="Write an ARPA file; compressed if it ends in .gz, .xz, .bz2 or .zst. - is stdout.")  # fmt: skip
@click.option("--compact", type=click.Path(path_type=Path), metavar="DIR",
              help="Write a model folder with weights in bf16, in files below 15 MB.")  # fmt: skip
@click.option("--bits", type=click.Choice(["16", "8"]), help="With --compact: of a weight; 16 is bf16, 8 half of that.  [default: 16]")
@click.option("--test", metavar="TEXT", help="With --compact: a text to evaluate the compact model on, for its card.")
@click.option("--run", is_flag=True, help="With --compact: the run's last weights, to go on there with --resume, not its best ones.")
@click.option("--overwrite", is_flag=True, help="Replace FILE, or the model in DIR.")
def command(model_name: str | None, file: str | None, compact: Path | None, run: bool, bits: str | None, test: str | None,
            overwrite: bool) -> None:  # fmt: skip
    """Write an ARPA file of n-grams, or a network in compact form.

    KenLM, SRILM and others read ARPA files. The compact form is for carrying a network, or with --run
    its training run, which goes on there with --resume, to another machine.

    \b
    rnnlm export -m my-5gram --arpa my-5gram.arpa.gz
    rnnlm export -m my-5gram --arpa - | build_binary /dev/stdin my-5gram.binary
    rnnlm export -m my-lstm --compact carried
    rnnlm export -m my-lstm --compact carried --run
    rnnlm export -m my-lstm --compact small --bits 8 --test test.txt
    """
    if (file is None) == (compact is None):
        raise click.UsageError("say what to write: --arpa FILE or --compact DIR.")
    if (run or bits or test) and compact is None:
        raise click.UsageError("--run, --bits and --test go with --compact DIR.")
    if compact is not None:
        _compact(named(model_name), compact, overwrite, run, int(bits or 16), test)
        return
    model = load_model(model_name, "cpu")
    from rnnlm.ngram.arpa import exchange

    if file == "-":
        stdout = click.get_binary_stream("stdout")
        for piece in exchange.arpa(model):
            stdout.write(piece)
        stdout.flush()
        return
    exchange.export_arpa(model, Path(file), overwrite, terminal.Progress())
    terminal.say(f"written to {file}")


def _compact(name: str, folder: Path, overwrite: bool, run: bool, bits: int, test: str | None) -> None:
    from rnnlm.conversion.compaction import compact

    sizes = compact(name, folder, overwrite, run, bits, test)
    terminal.say(
        f"written to {folder}: {len(sizes)} files, {sum(sizes.values()) / 1e6:,.1f} MB, the largest {max(sizes.values()) / 1e6:,.1f} MB"
    )
