"""`rnnlm report`: training runs as one page, or their learning curves as a table or a picture."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rnnlm.cli import terminal
from rnnlm.cli.declaring import Command
from rnnlm.cli.options import json_option, output_option, overwrite_option, own_file, refuse_if

if TYPE_CHECKING:
    from rnnlm.evaluation.learning_curves import LearningCurve
    from rnnlm.tools.reports.curve_plots import By

_POINT = ("steps", "tokens", "epochs", "seconds", "value")


@click.command(cls=Command, needs={"by": ["output"], "overwrite": ["output"]})
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@output_option("Write the page to FILE.html, or only the curves to FILE.svg, .png or .pdf.")
@click.option(
    "--by",
    type=click.Choice(["steps", "tokens", "epochs", "seconds"]),
    help="Horizontal axis of the curves.  [default: steps]",
)
@overwrite_option()
@json_option
def command(
    runs: tuple[str, ...], output: Path | None, by: "By | None", overwrite: bool, as_json: bool
) -> None:
    """Show training runs and their learning curves on one page.

    \b
    rnnlm report my-lstm -o my-lstm.html
    rnnlm report my-lstm my-gru -o both.html   one plot of both, then each
    rnnlm report lesson -o curves.svg          only the curves, of a grid
    rnnlm report my-lstm > curve.tsv           the points, to plot elsewhere

    RUN: the folder of a training run or of a grid, or the name of a model.

    The page describes each model with its metrics, signatures and settings. It plots learning
    curves, learning rate, gradient norms, spectral radius and saturated units of each layer,
    rollbacks and speed. It also shows unfinished runs, and runs that diverged and left no model.
    The page is one file that needs no scripts or other files, and it follows the browser's dark
    mode.

    Each point of a curve is a validation perplexity per token that training measured; for other
    tasks, it is the metric that selects the model. A ring is around the step that was kept. The
    plot of a single run also shows the training text. An n-gram model is a horizontal line.
    """
    refuse_if(output and as_json, "--json prints the points of the curves: leave out -o.")
    if output is None:
        _print_points(runs, as_json)
        return

    # The suffix says which of the two is wanted.
    from rnnlm.evaluation import plotting
    from rnnlm.tools.reports.run_report import report

    if output.suffix.lower() in plotting.SUFFIXES:
        from rnnlm.tools.reports.curve_plots import curves_figure, curves_of

        plotting.check_path(output)
        own_file(output, overwrite)
        curves = curves_of(runs)
        figure = curves_figure(curves, by or "steps", training=len(curves) == 1)
        plotting.save(figure, output)
        terminal.say(f"the curves are saved in {output}")
    else:
        own_file(output, overwrite)
        page = report(runs, output, by=by or "steps", overwrite=overwrite)
        terminal.say(f"the report is saved in {page}")


def _print_points(runs: tuple[str, ...], as_json: bool) -> None:
    """Print the points of the learning curves, as a table or as JSON."""
    from rnnlm.tools.reports.curve_plots import curves_of

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
    columns = ["run", *_POINT[:-1], criteria.pop() if len(criteria) == 1 else "metric"]
    terminal.print_table(terminal.Table(columns, rows, right=columns[1:]))
