"""`rnnlm inspect gates`: gates, cells and hidden states at each word of a sentence."""

from pathlib import Path

import click

from ..inspecting import show
from ..options import device_option, json_option, model_or_demo_option, or_demo
from ..plots import check_plot, plot_option


def _units(context: click.Context, option: click.Parameter, given: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(each) for each in given.split(",")) if given else ()
    except ValueError:
        raise click.BadParameter(f"{given!r} is not a list of numbers, such as 3,17.") from None


@click.command()
@click.argument("sentence")
@model_or_demo_option
@click.option("--units", metavar="N,...", callback=_units, help="Units to draw, numbered from 0.  [default: those that vary most]")
@click.option("--unit-count", type=click.IntRange(1), default=16, show_default=True, metavar="N", help="How many of these to draw.")
@plot_option
@json_option
@device_option
def show_gates(
    sentence: str, model_name: str | None, units: tuple[int, ...], unit_count: int, plot: Path | None, overwrite: bool, as_json: bool,
    device: str,
) -> None:  # fmt: skip
    """What the gates of a model do at each token of SENTENCE.

    \b
    rnnlm inspect gates "the old man had no money"
    rnnlm inspect gates "the old man had no money" --units 3,17 --plot gates.svg

    The share of the state that each token rewrites, and by how much the state changes (0: not at all, 1: altogether); how often each gate
    is saturated (within 0.1 of an end of its range: below 0.1 or above 0.9 for a sigmoid); the derivatives of the activations. The plot
    shows hidden states, cells and gates as heat maps. Models of any task with recurrent layers; of encoder-decoders, the encoder.
    """
    from rnnlm.inspection.gates.gates import inspect_gates

    check_plot(plot, overwrite)
    show(inspect_gates(or_demo(model_name), sentence, units=units, unit_count=unit_count, device=device), as_json, plot)
