"""Options of `rnnlm eval` and `rnnlm compare` that only some tasks have: refused where that of the
models lacks them, else made into what the task takes."""

from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from . import options, terminal
from .options import refuse_given, refuse_if

if TYPE_CHECKING:
    from rnnlm.tasks.seq2seq.settings import DecodingSettings
    from rnnlm.tasks.task import AnyTask
    from rnnlm.text.corpus import Text

# what several parameters of a command say together, or one of another name
_SAID_BY = {
    "adaptation": ("kind", "settings"),
    "blank_lines": ("keep_blank_lines", "documents"),
    "confusions": ("confusions", "plot", "overwrite"),
    "decode": ("no_decode",),
    "decoding": ("beam", "length_power", "max_length", "copy_unknown"),
    "output": ("output", "overwrite"),
}


def check(
    task: "AnyTask", name: str, comparing: bool = False, common: Collection[str] = ()
) -> None:
    """Make sure that no option of other tasks stands on the command line.

    name: of a model. common: parameters that mean something for models of all tasks.
    """
    from rnnlm.models import registry

    taken_by = {each.plural: _taken_by(each, comparing) for each in registry.all_tasks()}
    own = {*_taken_by(task, comparing), *common}
    foreign: dict[str, list[str]] = {}
    for option in click.get_current_context().command.params:
        takers = [plural for plural, taken in taken_by.items() if option.name in taken]
        if takers and option.name not in own:
            foreign.setdefault(" and ".join(takers), []).append(str(option.name))
    for whom, names in foreign.items():
        refuse_given(names, f"{name} is {task.what}, and this is for {whom}.")


def _taken_by(task: "AnyTask", comparing: bool) -> set[str]:
    """The parameters that say something about models of a task, or about their data."""
    said = {each.name for each in fields(_class_of(task, comparing))}
    said |= {each.name for cls in task.reading for each in fields(cls)}
    said |= task.offers
    if comparing:
        said |= task.compares_by
    return {name for each in said for name in _SAID_BY.get(each, (each,))}


def _class_of(task: "AnyTask", comparing: bool) -> type:
    of_comparison = task.options_of_comparison if comparing else None
    return of_comparison or task.options


def data_of(
    task: "AnyTask", names: tuple[str, ...], given: Mapping[str, Any]
) -> "tuple[str, ...] | Text":
    """The data of these names: lines are opened, others are read as the model's training data."""
    if not task.reads_lines:
        return names
    return options.corpus_of(names, options.text_flags(dict(given)))


def options_of(task: "AnyTask", given: Mapping[str, Any], comparing: bool = False) -> object:
    """The options of a task, as the parameters of a command say them."""
    cls = _class_of(task, comparing)
    said: dict[str, Any] = {}
    for each in fields(cls):
        if each.name == "reading":
            said["reading"] = _reading(task, given)
        elif each.name == "decode":
            said["decode"] = not given["no_decode"]
        elif each.name == "decoding":
            said["decoding"] = _decoding(given)
        elif each.name in ("progress", "report"):
            said[each.name] = terminal.Progress()
        elif each.name in given:
            said[each.name] = given[each.name]
    return cls(**said)


def _reading(task: "AnyTask", given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of reading that are to differ from those of the training data."""
    names = [each.name for cls in task.reading for each in fields(cls)]
    return {name: given[name] for name in names if given.get(name) is not None}


def _decoding(given: Mapping[str, Any]) -> "DecodingSettings":
    """How an encoder-decoder decodes its sources."""
    from rnnlm.tasks.seq2seq.settings import DecodingSettings

    names = _SAID_BY["decoding"]
    stands = [name for name in names if given[name] is not None]
    refuse_if(
        given["no_decode"] and stands,
        "--no-decode: nothing is written, and "
        f"--{next(iter(stands), '').replace('_', '-')} is about how.",
    )
    return options.settings_of(DecodingSettings, names, given)
