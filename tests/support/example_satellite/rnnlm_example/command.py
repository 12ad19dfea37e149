"""`rnnlm longest`: the longest line of a text."""

import click

from rnnlm.cli.declaring import Command


@click.command(cls=Command)
@click.argument("text", type=click.File())
def command(text):
    """Print the longest line of TEXT."""
    click.echo(max(text, key=len), nl=False)
