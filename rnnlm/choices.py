"""Choices that the program makes for its user: said before training, stored with the model, and
named as the settings that make them again."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from rnnlm.config import Choice, as_text
from rnnlm.errors import ModelError, joined_message, keyword

# What chooses, beside recipes of small texts and the length of a run
THE_DATA, THE_VOCABULARY = "the data", "the vocabulary"
THE_TIME, THE_MACHINE = "the time of the run", "the machine"
THE_VALIDATIONS = "the cost of validations"  # which have no setting for the share that they read
MOST_LINES, MOST_NAMED = 3, 3


def said(choices: Iterable[Choice], is_whole: bool = False) -> list[str]:
    """Return what is said of choices: a line for each chooser, three at most, with its first
    settings, how many more there are, and the reason. is_whole: all lines, with all settings."""
    # What stays as it was is no change, nor is what the data leave switched off.
    choices_by: dict[str, list[Choice]] = {}
    for choice in choices:
        is_change = choice.value is not False and choice.value != choice.was
        if is_whole or is_change:
            choices_by.setdefault(choice.by, []).append(choice)

    # The choosers beyond the third share its line, first of all the technical ones.
    by_weight = sorted(choices_by, key=lambda name: name in (THE_VOCABULARY, THE_MACHINE))
    choosers = [[name] for name in by_weight]
    if len(choosers) > MOST_LINES and not is_whole:
        last = [name for [name] in choosers[MOST_LINES - 1 :]]
        choosers = [*choosers[: MOST_LINES - 1], last]

    lines = []
    for names in choosers:
        made = [choice for name in names for choice in choices_by[name]]
        named = made if is_whole else made[:MOST_NAMED]
        settings = [_changed(choice) for choice in named]
        listed = [", ".join(names[:-1]), names[-1]]
        line = f"chosen by {' and '.join(filter(None, listed))}"
        if len(names) == 1:
            # A reason that another one begins with is said by that.
            reasons = dict.fromkeys(choice.why for choice in made)
            told = [why for why in reasons if not any(f"{why}," in other for other in reasons)]
            line += f" ({', '.join(told)})"
        line += f": {', '.join(settings)}"
        if len(made) > len(named):
            line += f" and {len(made) - len(named):,} more"
        lines.append(line)
    return lines


def _changed(choice: Choice) -> str:
    """Return a setting with its value, and with the value that it replaces if there was one."""
    replaced = "" if choice.was is None else f" (not {as_text(choice.was)})"
    return f"{choice.name}={as_text(choice.value)}{replaced}"


def repeatable(choices: Iterable[Choice]) -> list[Choice]:
    """Return the choices that another run has to be given to be the same: not those that the data,
    the vocabulary, the machine and validations make again."""
    made_again = (THE_DATA, THE_VOCABULARY, THE_MACHINE, THE_VALIDATIONS)
    return [choice for choice in choices if choice.by not in made_again]


def options_of(choices: Iterable[Choice]) -> str:
    """Return the settings that make these choices again, as they are typed."""
    return joined_message(" ", [keyword(choice.name, choice.value) for choice in choices])


def stored_choices(training: Mapping[str, Any], name: str = "choices") -> tuple[Choice, ...] | None:
    """Return the choices in the manifest of a run, those not taken, too; None where an earlier
    version stored none. name: of the record."""
    if name not in training:
        return None
    try:
        return msgspec.convert(training[name], tuple[Choice, ...])
    except msgspec.ValidationError as error:
        raise ModelError(f"the record of settings ({name}) is damaged", str(error)) from None


def taken_choices(training: Mapping[str, Any]) -> list[Choice]:
    """Return the choices in the manifest of a run that were taken."""
    return [choice for choice in stored_choices(training) or () if choice.is_taken]


def stored_given(training: Mapping[str, Any]) -> tuple[Choice, ...]:
    """Return the settings in the manifest of a run that somebody set, or that came with a text or a
    model."""
    return stored_choices(training, "given") or ()
