"""`rnnlm inspect gradients`: how much of the past a step feels."""

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from .. import inspecting, options, terminal
from ..help import Command
from ..plots import check_plot, plot_option

OF_POSITIONS = ("texts", "lags", "positions", "probes", "exponents", "untrained", "seed")


@click.command(cls=Command)
@options.section("Models", options.models_or_demo_option, options.device_option)
@options.section(
    "Positions of a text",
    click.option("--on", "texts", multiple=True, metavar="TEXT", help="Text; may be repeated.  [default: the bundled English, test part]"),
    click.option("--lags", type=click.IntRange(1), default=100, show_default=True, metavar="N", help="Largest lag, in tokens."),
    click.option("--positions", type=click.IntRange(1), default=1000, show_default=True, metavar="N", help="Positions in the text."),
    click.option("--probes", type=click.IntRange(1), default=4, show_default=True, metavar="N",
                 help="Random vectors for each position, in layers of more than 64 units; smaller ones are exact."),
    click.option("--exponents", type=click.IntRange(0), default=3, show_default=True, metavar="N",
                 help="Lyapunov exponents of each layer."),
    click.option("--untrained", is_flag=True, help="Beside each model, the same network before training."),
    click.option("--seed", type=click.IntRange(0), default=0, show_default=True, metavar="N", help="Seed of positions and random vectors."),
)  # fmt: skip
@options.section("One sentence", click.option("--sentence", metavar="TEXT", help="Instead of that, a map of this sentence."))
@options.section("Output", options.json_option, plot_option)
def show_gradients(
    model_names: tuple[str, ...], device: str, sentence: str | None, as_json: bool, plot: Path | None, overwrite: bool, **given: Any
) -> None:
    """How far gradients flow back through time, by lag.

    \b
    rnnlm inspect gradients
    rnnlm inspect gradients -m my-rnn -m my-lstm --on my.txt --plot gradients.svg
    rnnlm inspect gradients --untrained
    rnnlm inspect gradients --sentence "the man who lost it went home"

    For each lag k: the size of the Jacobian of a layer's state at t with respect to that at t-k (1: all lengths are kept), of that of its
    cell, and of the gradient of the loss at t by the vector of the token read at t-k; Lyapunov exponents; for Elman layers bounds by the
    singular values of W. A size vanishes if it halves within the lags looked at, explodes if it doubles, and holds in between.
    --sentence shows how much the prediction of each token depends on each token before it.
    """
    context = click.get_current_context()
    idle = [name for name in OF_POSITIONS if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    called = ", ".join("--on" if name == "texts" else f"--{name}" for name in idle)
    options.refuse_if(sentence is not None and idle, f"{called}: this is about positions of a text, not about --sentence.")
    check_plot(plot, overwrite)
    models = options.models_or_demo(model_names)
    if sentence is not None:
        from rnnlm import inspect_sensitivity

        found = inspect_sensitivity(models, options.checked_utf8(sentence, "--sentence"), device=device)
    else:
        from rnnlm import inspect_gradients

        texts = list(given.pop("texts")) or None
        with terminal.Progress() as said:
            found = inspect_gradients(models, texts, **given, device=device, progress=said)
    inspecting.show(found, as_json, plot)
