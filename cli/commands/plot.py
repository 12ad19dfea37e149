"""`rnnlm plot`: the learning curves of runs."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import terminal
from ..options import json_option, output_option, overwrite_option, refuse_if

if TYPE_CHECKING:
    from rnnlm.evaluation.learning_curves import By

_POINT = ("steps", "tokens", "epochs", "seconds", "value")


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@output_option("Draw the curves: .svg, .png or .pdf.", "FILE.svg")
@click.option(
    "--by",
    type=click.Choice(["steps", "tokens", "epochs", "seconds"]),
    help="The horizontal axis.  [default: steps]",
)
@click.option(
    "--training",
    is_flag=True,
    help="Draw the perplexity of the training text, too, as a thin line.",
)
@overwrite_option()
@json_option
def command(
    runs: tuple[str, ...],
    output: Path | None,
    by: "By | None",
    training: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Draw the learning curves of training runs.

    \b
    rnnlm plot checkpoints/rnn checkpoints/lstm -o curves.svg
    rnnlm plot lesson -o curves.pdf --by seconds   all runs of a grid
    rnnlm plot checkpoints/lstm > curve.tsv        the points, to plot elsewhere

    RUN: the folder of a training run or of a grid, or the name of a model.

    A point is the validation perplexity per token after so many steps, as training measured it, or
    of models of other tasks the figure that chooses the model; a run has 20 or more, evenly over
    its budget (rnnlm train --set min_validations=N), unless that is some seconds. Those between the
    ends of epochs do not choose the model that is kept: their column `chooses` is false. An n-gram
    model has no curve, and is drawn as a level line.
    """
    refuse_if(
        output is None and (by or training or overwrite),
        "--by, --training and --overwrite are for a picture: name it with -o.",
    )
    from rnnlm.evaluation import plotting
    from rnnlm.evaluation.learning_curves import curves_figure, learning_curve, runs_of

    if output:
        plotting.check(output, overwrite)
    curves = [learning_curve(run) for name in runs for run in runs_of(name)]
    if output:
        plotting.save(curves_figure(curves, by or "steps", training), output)
        terminal.say(f"saved in {output}")
    if as_json:
        terminal.print_json(*(curve.to_dict() for curve in curves))
    elif not output:
        points = [
            (curve.name, [getattr(point, name) for name in _POINT])
            for curve in curves
            for point in curve.points
        ]
        rows = [
            [name, *(terminal.cell(value, 4, "d") for value in values)] for name, values in points
        ]
        measured = dict.fromkeys(curve.criterion for curve in curves if curve.points)
        columns = ["run", *_POINT[:-1], next(iter(measured)) if len(measured) == 1 else "figure"]
        terminal.print_table(columns, rows, right=columns[1:])
