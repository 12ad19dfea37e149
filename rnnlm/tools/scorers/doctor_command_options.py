"""The options of `rnnlm doctor` for functions of Python."""

import click

from rnnlm.cli.declaring import stacked

doctor_options = stacked(
    click.option(
        "--takes",
        type=click.Choice(["ids", "text"]),
        default="ids",
        show_default=True,
        help="Argument of MODULE:FUNCTION: the token ids of a context, for the "
        "log-probabilities of all next tokens, or a text, for its total.",
    ),
    click.option(
        "--path", metavar="DIR", help="Import MODULE from DIR, too; . is the current folder."
    ),
)
