"""What the HTTP server adds to rnnlm."""

from typing import TYPE_CHECKING

from rnnlm.satellites import EVERY_TASK, Command, Satellite

if TYPE_CHECKING:
    import click


def _serve() -> "click.Command":
    from rnnlm.tools.serving.serve_command import command

    return command


SATELLITE = Satellite(
    "tools/serving",
    needs=("tasks/labelling", "tasks/seq2seq", "tools/inspection", "tools/rescoring"),
    commands={"serve": Command("More", "over HTTP", _serve, takes=(EVERY_TASK,))},
)
