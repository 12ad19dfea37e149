"""The options of a picture beside what a command prints: --plot FILE and --overwrite."""

from pathlib import Path

import click

from .options import PATH, refuse_if, stacked

plot_option = stacked(
    click.option("--plot", type=PATH, metavar="FILE", help="Save a plot: .svg, .png or .pdf."),
    click.option("--overwrite", is_flag=True, help="Replace FILE."),
)


def check_plot(plot: Path | None, overwrite: bool) -> None:
    """Make sure that the picture of --plot can be written, before time goes into it.

    Raises:
        UsageError: its suffix is another one, or --overwrite stands alone. OutputError: it cannot be written.
    """
    refuse_if(overwrite and plot is None, "--overwrite is for a picture: name it with --plot.")
    if plot is not None:
        from rnnlm.evaluation import plotting

        plotting.check(plot, overwrite)
