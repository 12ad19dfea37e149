"""`rnnlm report`: training runs as one page, or their learning curves as a table or a picture."""

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
@output_option("The page, .html; or the curves alone: .svg, .png or .pdf.")
@click.option(
    "--by",
    type=click.Choice(["steps", "tokens", "epochs", "seconds"]),
    help="The horizontal axis of curves.  [default: steps]",
)
@overwrite_option()
@json_option
def command(
    runs: tuple[str, ...], output: Path | None, by: "By | None", overwrite: bool, as_json: bool
) -> None:
    """Report training runs on one page, with their learning curves.

    \b
    rnnlm report my-lstm -o my-lstm.html
    rnnlm report my-lstm my-gru -o both.html   one plot of both, then each
    rnnlm report lesson -o curves.svg          a grid; the curves alone
    rnnlm report my-lstm > curve.tsv           the points, to plot elsewhere

    RUN: the folder of a training run or of a grid, or the name of a model.

    The page shows what each model is, its metrics with signatures, its settings, and plots of the
    learning curves, the learning rate, gradient norms, spectral radius and saturated units of each
    layer, rollbacks and speed. It also shows a run that is not over, or one that diverged and left
    no model. The page is one file without scripts that loads nothing; a browser in dark mode shows
    it dark.

    A point of a curve is the validation perplexity per token after some steps, as training measured
    it, or, for other tasks, the metric that chooses the model. An n-gram model has no curve, and is
    drawn as a level line.
    """
    refuse_if(output is None and (by or overwrite), "--by and --overwrite need -o FILE.")
    refuse_if(output and as_json, "--json prints the points of the curves: leave -o out.")
    if output is None:
        _print_points(runs, as_json)
        return

    # The suffix says which of the two is wanted.
    from rnnlm.evaluation import plotting
    from rnnlm.training.run_report import report

    if output.suffix.lower() in plotting.SUFFIXES:
        from rnnlm.evaluation.learning_curves import plot_curves

        plotting.check(output, overwrite)
        plot_curves(runs, output, by=by or "steps")
        terminal.say(f"the curves are in {output}")
    else:
        page = report(runs, output, by=by or "steps", overwrite=overwrite)
        terminal.say(f"the report is in {page}")


def _print_points(runs: tuple[str, ...], as_json: bool) -> None:
    """Print the points of the learning curves, as a table or as JSON."""
    from rnnlm.evaluation.learning_curves import curves_of

    curves: list[LearningCurve] = curves_of(runs)
    if as_json:
        terminal.print_json(*(curve.to_dict() for curve in curves))
        return
    rows = []
    for curve in curves:
        for point in curve.points:
            values = [getattr(point, name) for name in _POINT]
            rows.append([curve.name, *(terminal.amount(value, 4, whole="d") for value in values)])

    # The last column has the name of the metric, if all runs have the same one.
    criteria = {curve.criterion for curve in curves if curve.points}
    metric = criteria.pop() if len(criteria) == 1 else "metric"
    columns = ["run", *_POINT[:-1], metric]
    terminal.print_table(terminal.Table(columns, rows, right=columns[1:]))
