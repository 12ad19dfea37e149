"""Options of `rnnlm eval` and `rnnlm compare` that only some tasks have: refuse them for models of
other tasks, and make the task's options of them."""

import itertools
from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from rnnlm import registry
from rnnlm.config import names_of

from . import options, terminal
from .text_options import text_flags

if TYPE_CHECKING:
    from rnnlm.interface import Task
    from rnnlm.text.corpus import Text


def check(task: "Task", name: str, comparing: bool = False, common: Collection[str] = ()) -> None:
    """Make sure that no option of another task is on the command line.

    name: of a model. common: parameters that all tasks take.
    """

    taken_by = {
        known_task.singular: _taken_by(known_task, comparing) for known_task in registry.all_tasks()
    }
    taken_here = {*_taken_by(task, comparing), *common}

    # Options of the same tasks are refused in one message.
    foreign: dict[str, list[str]] = {}
    for option in click.get_current_context().command.params:
        takers = [singular for singular, taken in taken_by.items() if option.name in taken]
        if takers and option.name not in taken_here:
            foreign.setdefault(" or ".join(takers), []).append(str(option.name))
    for takers_in_words, names in foreign.items():
        given = options.flags_given(names)
        needs = "needs" if len(given) == 1 else "need"
        options.refuse_if(
            given, f"{', '.join(given)} {needs} {takers_in_words}, and {name} is {task.singular}."
        )


def _taken_by(task: "Task", comparing: bool) -> set[str]:
    """Return the parameters that a task takes for its models and their data."""

    taken = names_of([task.options, *task.reading, *task.option_parts.values()]) | task.offers
    return taken | task.compares_by if comparing else taken


def data_of(
    task: "Task", names: tuple[str, ...], given: Mapping[str, Any]
) -> "tuple[str, ...] | Text":
    """Return the data with these names: lines opened as a text, others as names, which the task
    reads as it read the training data. The name of a bundled corpus means its test split."""
    if not task.reads_lines:
        options.check_texts(*files_of(task, names, given))
        return names
    import rnnlm.corpora as corpora

    names = corpora.sources(names, "test", corpora.of_plain_text())
    return options.corpus_of(names, text_flags(dict(given)))


def files_of(task: "Task", names: tuple[str, ...], given: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the files that are read: those of these names, and those that options name."""
    beside = (given.get(name, ()) for name in task.file_options)
    return (*names, *itertools.chain.from_iterable(beside))


def options_of(task: "Task", given: Mapping[str, Any]) -> object:
    """Make the options of a task from the parameters of a command."""

    values: dict[str, Any] = {}
    for field in fields(task.options):
        # Some are made of several parameters.
        if field.name == "reading":
            # Settings that were given replace those of the training data.
            reading = {name: given.get(name) for name in names_of(task.reading)}
            values["reading"] = options.without_none(reading)
        elif field.name in task.option_parts:
            part = task.option_parts[field.name]
            values[field.name] = options.settings_of(part, given)
        elif field.name == "progress":
            values[field.name] = terminal.Progress()
        elif field.name in given:
            values[field.name] = given[field.name]
    return task.options(**values)
