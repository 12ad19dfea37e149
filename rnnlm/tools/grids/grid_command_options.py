"""The option of `rnnlm train` for grids."""

import click

from rnnlm.cli.declaring import explained, section, stacked, taking_over
from rnnlm.satellites import on_use

train_options = stacked(
    section(
        "Model",
        click.option("--grid", multiple=True, metavar="NAME=V,V",
                     help="Train one run for each value of a setting, of model or of recipe. "
                          "Repeat for all combinations."),
    ),
    explained(
        "rnnlm train my.txt --grid model=rnn,gru,lstm  compare networks, in a table",
        more="With --grid, runs are saved in DIR/model=gru and so on. They share the text, "
             "tokenizer, budget and seed. DIR/grid.tsv and DIR/curves.svg have the results. Run "
             "the same command again to train only the missing runs.",
    ),
    taking_over("grid", on_use(__package__, "grid_command:command")),
)  # fmt: skip
