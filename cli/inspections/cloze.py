"""`rnnlm inspect cloze`: the word that belongs into a gap."""

from pathlib import Path

import click

from .. import options
from ..help import Command
from ..inspecting import show
from ..plots import check_plot, plot_option


@click.command(cls=Command)
@click.argument("file", required=False, metavar="[FILE]")
@options.section("Model", options.models_or_demo_option, options.device_option)
@options.section("Output", plot_option, options.json_option)
def show_cloze(file: str | None, model_names: tuple[str, ...], device: str, plot: Path | None, overwrite: bool, as_json: bool) -> None:
    """How well language models fill the gaps of FILE.

    \b
    rnnlm inspect cloze
    rnnlm inspect cloze my-items.tsv -m my-lstm -m my-5gram --plot cloze.svg

    FILE is a table with the columns text (___ marks the gap) and answer, and perhaps distance (words between the gap and the word that
    decides) and kind. Without FILE: 200 items in the vocabulary of the bundled English.

    Models read only what stands before the gap, each text from the initial state. Accuracy is the share of answers that are among the 1, 5
    and 10 likeliest next words, with 95 % intervals (Wilson), by distance and kind; surprisals are in bits. Words made of pieces are
    ranked as whole words. Answers that are not in a model's vocabulary count as missed, and are named.
    """
    from rnnlm.inspection.cloze.cloze import inspect_cloze

    check_plot(plot, overwrite)
    names = options.models_or_demo(model_names)
    show(inspect_cloze(names, file, device=device), as_json, plot)
