"""What taggers and classifiers add to rnnlm."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rnnlm.satellites import Command, Decorator, Satellite

if TYPE_CHECKING:
    import click

    from rnnlm.interface import ModelHandle, Task
    from rnnlm.registry import Kind


def _tag() -> "click.Command":
    from rnnlm.tasks.labelling.tag_command import command

    return command


def _classify() -> "click.Command":
    from rnnlm.tasks.labelling.classify_command import command

    return command


def _tagging() -> "Task":
    from rnnlm.tasks.labelling.task import TAGGING

    return TAGGING


def _classification() -> "Task":
    from rnnlm.tasks.labelling.task import CLASSIFICATION

    return CLASSIFICATION


def _kinds() -> "Sequence[Kind]":
    from rnnlm.tasks.labelling.kinds import KINDS

    return KINDS


def _options() -> Mapping[str, Decorator]:
    from rnnlm.tasks.labelling.command_options import OPTIONS

    return OPTIONS


def _methods() -> "Sequence[type[ModelHandle]]":
    from rnnlm.tasks.labelling.methods import LabellingMethods

    return (LabellingMethods,)


SATELLITE = Satellite(
    "tasks/labelling",
    needs=("tasks/common",),
    commands={
        "tag": Command("Tasks", "Label words: parts of speech, names, slots, sounds.", _tag),
        "classify": Command(
            "Tasks", "Label whole texts: opinions, topics, intents.", _classify, after="tag"
        ),
    },
    options=_options,
    tasks={"tagging": _tagging, "classification": _classification},
    kinds=_kinds,
    methods=_methods,
)
