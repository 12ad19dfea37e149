"""`rnnlm report`: a training run as one page."""

from pathlib import Path

import click

from .. import terminal
from ..options import output_option, overwrite_option


@click.command()
@click.argument("run", metavar="RUN")
@output_option("Page to write.", "FILE.html", required=True)
@overwrite_option()
def command(run: str, output: Path, overwrite: bool) -> None:
    """Report a training run on one page.

    \b
    rnnlm report checkpoints/lstm -o lstm.html

    RUN: the folder of a training run, or the name of a model.

    The page shows what the model is, its metrics with signatures, its settings, and plots of the
    learning curves, the learning rate, gradient norms, spectral radius and saturated units of
    each layer, rollbacks and speed. It also shows a run that is not over, or one that diverged
    and left no model. The page is one file without scripts that loads nothing; a browser in dark
    mode shows it dark.
    """
    from rnnlm.evaluation.run_report import report

    terminal.say(f"the report is in {report(run, output, overwrite=overwrite)}")
