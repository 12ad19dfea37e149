"""What looking into models adds to rnnlm."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rnnlm.satellites import Command, Satellite

if TYPE_CHECKING:
    import click

    from rnnlm.interface import ModelHandle


def _inspect() -> "click.Command":
    from rnnlm.tools.inspection.inspect_command import command

    return command


def _methods() -> "Sequence[type[ModelHandle]]":
    from rnnlm.tools.inspection.methods import InspectionMethods

    return (InspectionMethods,)


SATELLITE = Satellite(
    "tools/inspection",
    needs=("tasks/labelling", "tasks/seq2seq", "tools/vectors"),
    commands={
        "inspect": Command("More", "look inside", _inspect, after="tune", takes=("language-model",))
    },
    methods=_methods,
)
