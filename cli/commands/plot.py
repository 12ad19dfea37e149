"""`rnnlm plot`: the learning curves of runs."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import terminal
from ..options import json_option, output_option, overwrite_option, refuse_if

if TYPE_CHECKING:
    from rnnlm.evaluation.learning_curves import By, LearningCurve

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

    A point is the validation perplexity per token after some steps, as training measured it, or,
    for other tasks, the metric that chooses the model. A run has 20 points or more, evenly over its
    budget (rnnlm train --set min_validations=N), unless it takes only seconds. Points between the
    ends of epochs do not choose the model that is kept: their column `chooses` is false. An n-gram
    model has no curve, and is drawn as a level line.
    """
    refuse_if(
        output is None and (by or training or overwrite),
        "--by, --training and --overwrite need -o FILE.",
    )
    from rnnlm.evaluation import plotting
    from rnnlm.evaluation.learning_curves import curves_figure, learning_curve, runs_of

    if output:
        plotting.check(output, overwrite)
    curves: list[LearningCurve] = []
    for name in runs:
        curves += map(learning_curve, runs_of(name))
    if output:
        plotting.save(curves_figure(curves, by or "steps", training), output)
        terminal.say(f"saved in {output}")
    if as_json:
        terminal.print_json(*(curve.to_dict() for curve in curves))
    elif not output:
        rows = []
        for curve in curves:
            for point in curve.points:
                values = [getattr(point, name) for name in _POINT]
                rows.append([curve.name, *(terminal.cell(value, 4, "d") for value in values)])

        # The last column has the name of the metric, if all runs have the same one.
        criteria = {curve.criterion for curve in curves if curve.points}
        metric = criteria.pop() if len(criteria) == 1 else "figure"
        columns = ["run", *_POINT[:-1], metric]
        terminal.print_table(columns, rows, right=columns[1:])
