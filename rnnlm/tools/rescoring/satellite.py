"""What rescoring adds to rnnlm."""

from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING

from rnnlm.satellites import Command, Satellite

if TYPE_CHECKING:
    import click


def _rescore() -> "click.Command":
    from rnnlm.tools.rescoring.rescore_command import command

    return command


def _names() -> Sequence[ModuleType]:
    from rnnlm.tools import rescoring

    return (rescoring,)


SATELLITE = Satellite(
    "tools/rescoring",
    commands={"rescore": Command("More", "n-best lists", _rescore, takes=("language-model",))},
    names=_names,
)
