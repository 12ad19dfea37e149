"""`rnnlm inspect gradcheck`: gradients beside difference quotients."""

from pathlib import Path
from typing import Any

import click

from ..inspecting import show
from ..options import device_option, json_option, model_or_demo_option, or_demo
from ..plots import check_plot, plot_option


@click.command()
@model_or_demo_option
@click.option("--on", "text", metavar="TEXT", multiple=True, help="Text or data; may be repeated.  [default: a bundled test part]")
@click.option("--weights", type=int, default=6, show_default=True, metavar="N", help="Weights drawn from each matrix.")
@click.option("--step", type=float, default=1e-5, show_default=True, metavar="H", help="Step h of the difference quotients.")
@click.option("--tokens", type=int, default=40, show_default=True, metavar="N", help="Tokens of the text whose loss is f.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Seed of the draws.")
@device_option
@plot_option
@json_option
def show_gradcheck(model_name: str | None, text: tuple[str, ...], plot: Path | None, overwrite: bool, as_json: bool, **given: Any) -> None:
    """Gradients checked against (f(w + h) - f(w - h)) / 2h.

    \b
    rnnlm inspect gradcheck
    rnnlm inspect gradcheck -m my-model --on my.txt --weights 20

    f is the training loss on the first tokens of TEXT, in float64, without dropout; sampled losses draw the same noise words each time.
    Half of the weights drawn have a gradient that is not zero. With the largest relative difference of each matrix, and the numbers of one
    weight step by step.
    """
    check_plot(plot, overwrite)
    from rnnlm.inspection.lessons.gradcheck import inspect_gradcheck

    show(inspect_gradcheck(or_demo(model_name), list(text) or None, **given), as_json, plot)
