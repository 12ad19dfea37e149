"""What vectors of words and lines add to rnnlm."""

from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING

from rnnlm.satellites import Command, Export, Satellite

if TYPE_CHECKING:
    import click

    from rnnlm.interface import ModelHandle


def _vectors() -> "click.Command":
    from rnnlm.tools.vectors.vectors_command import command

    return command


def _embed() -> "click.Command":
    from rnnlm.tools.vectors.embed_command import command

    return command


def _exports() -> Sequence[Export]:
    from rnnlm.tools.vectors.vectors_command import VECTORS

    return (VECTORS,)


def _methods() -> "Sequence[type[ModelHandle]]":
    from rnnlm.tools.vectors.methods import VectorMethods

    return (VectorMethods,)


def _names() -> Sequence[ModuleType]:
    from rnnlm.tools import vectors

    return (vectors,)


SATELLITE = Satellite(
    "tools/vectors",
    commands={
        "vectors": Command("More", "word vectors", _vectors, after="report"),
        "embed": Command(
            "More", "line vectors", _embed, after="vectors", takes=("language-model",)
        ),
    },
    exports=_exports,
    methods=_methods,
    names=_names,
)
