"""`rnnlm inspect surface`: the error surface of one recurrent unit, and gradient descent on it."""

from pathlib import Path
from typing import Any

import click

from ..inspecting import show
from ..options import json_option
from ..plots import check_plot, plot_option

PAIR = {"nargs": 2, "type": float, "show_default": True}


@click.command()
@click.option("--weights", **PAIR, metavar="LOW HIGH", default=(4.0, 7.0), help="Range of the weight w.")
@click.option("--biases", **PAIR, metavar="LOW HIGH", default=(-3.0, 1.0), help="Range of the bias b.")
@click.option("--grid", type=int, default=200, show_default=True, metavar="N", help="Grid lines in each direction.")
@click.option("--steps", type=int, default=50, show_default=True, metavar="N", help="Steps of the unit.")
@click.option("--target", type=float, default=0.7, show_default=True, help="Output it is to give after these steps.")
@click.option("--initial", type=float, default=0.5, show_default=True, help="State before them.")
@click.option("--start", **PAIR, metavar="W B", default=(5.0, -2.4), help="Where gradient descent starts.")
@click.option("--rate", type=float, default=0.1, show_default=True, help="Learning rate.")
@click.option("--clip", type=float, default=0.5, show_default=True, help="Norm that longer gradients of the clipped path get.")
@click.option("--updates", type=int, default=200, show_default=True, metavar="N", help="Updates of gradient descent.")
@plot_option
@json_option
def show_surface(plot: Path | None, overwrite: bool, as_json: bool, **given: Any) -> None:
    """The error surface of one recurrent unit, with its walls.

    \b
    rnnlm inspect surface --plot surface.svg
    rnnlm inspect surface --start 5.5 -2.2 --rate 0.3 --clip 1

    One unit without input, x = w s(x) + b, is to give the target after some steps; the error is squared. Over w and b it has walls at
    which gradients explode. Two paths of gradient descent start at the same point; on one, long gradients are scaled down (Pascanu,
    Mikolov & Bengio 2013, figure 6). No model is needed. --json holds the whole grid.
    """
    check_plot(plot, overwrite)
    from rnnlm.inspection.lessons.surface import inspect_surface

    show(inspect_surface(**given), as_json, plot)
