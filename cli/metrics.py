"""Show metrics: the metrics of one model on a text, and the differences between models."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options, terminal

if TYPE_CHECKING:
    from rnnlm.evaluation.metrics import Evaluation, Part

# ---- Results as their own text has them (`str(evaluation)`), with the tables of a terminal.


def show(parts: "Iterable[Part]") -> None:
    """Print the parts of a result: tables and lines on stdout, notes on stderr."""
    from rnnlm.evaluation.metrics import Remark
    from rnnlm.tabular import Table

    for part in parts:
        if isinstance(part, Table):
            terminal.print_table(part)
        elif isinstance(part, Remark):
            terminal.say(part.text)
        else:
            click.echo(terminal.visible(part))


def show_results(evaluations: "Mapping[str, Evaluation]") -> None:
    """Print a row for each text, and column of labels, that a model was measured on after its
    training; then the signatures."""
    from rnnlm.evaluation.metrics import Evaluation

    terminal.print_table(Evaluation.summary_table(evaluations))
    for text, evaluation in evaluations.items():
        # Columns of labels with the same signature need no names.
        for metric in evaluation.mains:
            of = "" if metric.signature == evaluation.signature else f" {metric.label}"
            click.echo(f"{text}{of} signature: {metric.signature}")


def draw(evaluation: Any, path: Path, overwrite: bool) -> None:
    """Draw the confusion matrix of each column; where there are several, the name of the column
    becomes part of the file's."""
    plots = evaluation.plots()
    if not plots:
        terminal.say(f"{path} is not drawn: sounds have no confusion matrix")
    for column, plot in plots.items():
        file = path
        if len(evaluation.columns) > 1:
            file = path.with_stem(f"{path.stem}-{column.replace('/', '_')}")
        # The command cannot check it earlier: only the results have the names of the columns.
        if file != path:
            options.own_file(file, overwrite)
        options.save_plot(plot, file)
