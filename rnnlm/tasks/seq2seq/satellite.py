"""What encoder-decoders add to rnnlm."""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING

from rnnlm.satellites import Command, Decorator, Satellite

if TYPE_CHECKING:
    import click

    from rnnlm.interface import ModelHandle, Task
    from rnnlm.registry import Kind


def _translate() -> "click.Command":
    from rnnlm.tasks.seq2seq.commands import command

    return command


def _learning_from_pairs() -> "Task":
    from rnnlm.tasks.seq2seq.task import TASK

    return TASK


def _kinds() -> "Sequence[Kind]":
    from rnnlm.tasks.seq2seq.kinds import KINDS

    return KINDS


def _options() -> Mapping[str, Decorator]:
    from rnnlm.tasks.seq2seq.commands import OPTIONS

    return OPTIONS


def _methods() -> "Sequence[type[ModelHandle]]":
    from rnnlm.tasks.seq2seq.methods import TranslationMethods

    return (TranslationMethods,)


def _names() -> Sequence[ModuleType]:
    from rnnlm.tasks import seq2seq

    return (seq2seq,)


SATELLITE = Satellite(
    "tasks/seq2seq",
    needs=("tasks/common",),
    commands={
        "translate": Command(
            "Tasks", "Map each line to another: translations, spellings, answers.", _translate
        )
    },
    options=_options,
    tasks={"seq2seq": _learning_from_pairs},
    kinds=_kinds,
    methods=_methods,
    names=_names,
)
