"""The option of `rnnlm train` for grids."""

import click

from rnnlm.cli.declaring import section, stacked, taking_over
from rnnlm.satellites import on_use

train_options = stacked(
    section(
        "Model",
        click.option("--grid", multiple=True, metavar="NAME=V,V",
                     help="Train one run for each value of a setting, of model or of recipe. "
                          "Repeat for all combinations."),
    ),
    taking_over("grid", on_use(__package__, "grid_command:command")),
)  # fmt: skip
