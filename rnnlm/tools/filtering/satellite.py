"""What the cleaning of texts adds to rnnlm."""

from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING

from rnnlm.satellites import Command, Satellite

if TYPE_CHECKING:
    import click


def _filter() -> "click.Command":
    from rnnlm.tools.filtering.filter_command import command

    return command


def _names() -> Sequence[ModuleType]:
    from rnnlm.tools import filtering

    return (filtering,)


SATELLITE = Satellite(
    "tools/filtering",
    commands={
        "filter": Command("More", "clean text", _filter, after="prepare", takes=("language-model",))
    },
    names=_names,
)
