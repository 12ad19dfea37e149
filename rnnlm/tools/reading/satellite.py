"""What the analysis of reading times adds to rnnlm."""

from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING

from rnnlm.satellites import Command, Satellite

if TYPE_CHECKING:
    import click


def _reading() -> "click.Command":
    from rnnlm.tools.reading.reading_command import command

    return command


def _names() -> Sequence[ModuleType]:
    from rnnlm.tools import reading

    return (reading,)


SATELLITE = Satellite(
    "tools/reading",
    commands={
        "reading": Command(
            "More", "reading times", _reading, after="embed", takes=("language-model",)
        )
    },
    names=_names,
)
