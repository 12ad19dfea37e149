"""The options of `rnnlm doctor` for functions of Python."""

import click

from rnnlm.cli.declaring import explained, stacked

doctor_options = stacked(
    explained(
        "rnnlm doctor mymodule:next_logprobs --path .",
        "rnnlm doctor mymodule:total --takes text --path .",
        "rnnlm doctor http://localhost:8000/v1",
    ),
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
