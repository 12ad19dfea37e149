"""Options that are made of the fields of settings."""

from dataclasses import dataclass
from typing import Annotated, Literal

import click
import pytest
from msgspec import Meta

from rnnlm.cli.declaring import Command, options_of
from rnnlm.config import ValidatedSettings


@dataclass(frozen=True)
class Brew(ValidatedSettings):
    """How tea is made."""

    minutes: Annotated[
        Annotated[float, Meta(gt=0, le=10)], Meta(description="how long it draws")
    ] = 3.0
    cups: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="cups; none: one")] = None
    leaf: Annotated[Literal["green", "black"], Meta(description="which leaf")] = "green"
    milk: Annotated[bool, Meta(description="with milk")] = False
    sweet: Annotated[bool, Meta(description="with sugar")] = True
    seed: Annotated[Annotated[int, Meta(ge=0, lt=1 << 40)], Meta(description="of the weather")] = 1


def command_of(*decorators):
    def brew(**given):
        return given

    for decorator in reversed(decorators):
        brew = decorator(brew)
    return click.command(cls=Command)(brew)


ALL = options_of(Brew, "minutes", "cups", "leaf", "milk", "seed")


def given(command, *arguments):
    return command.main(list(arguments), standalone_mode=False)


def test_an_option_has_what_its_field_says_and_is_none_if_not_given():
    command = command_of(ALL)
    minutes, cups, leaf, milk, seed = command.params
    assert [each.opts for each in command.params] == [
        ["--minutes"], ["--cups"], ["--leaf"], ["--milk"], ["--seed"],
    ]  # fmt: skip
    assert minutes.help == "How long it draws.  [default: 3]"
    assert cups.help == "Cups.  [default: one]"
    assert leaf.help == "Which leaf.  [default: green]"
    assert milk.help == "With milk."
    assert (minutes.type.min, minutes.type.min_open, minutes.type.max) == (0, True, 10)
    assert (cups.type.min, cups.type.max) == (1, None)
    assert leaf.type.choices == ("green", "black")
    assert (seed.type.min, seed.type.max) == (0, None)  # a bound that tells nobody anything
    names = ("minutes", "cups", "leaf", "milk", "seed")
    assert given(command) == dict.fromkeys(names)
    assert given(command, "--milk", "--cups", "2") == {
        **dict.fromkeys(names), "milk": True, "cups": 2,
    }  # fmt: skip


def test_values_out_of_range_are_wrong_usage():
    with pytest.raises(click.UsageError, match="it must be above 0 and at most 10, not 11"):
        given(command_of(ALL), "--minutes", "11")
    with pytest.raises(click.UsageError, match="'red' is not one of 'green', 'black'"):
        given(command_of(ALL), "--leaf", "red")


def test_a_command_may_differ_from_the_field():
    command = command_of(
        options_of(Brew, "sweet", declared=["--bitter"], flag_value=False, help="No sugar."),
        options_of(Brew, "minutes", before="With --leaf: ", metavar="M", default_is="it depends"),
        options_of(Brew, "cups", default=2, default_is=""),
    )
    sweet, minutes, cups = command.params
    assert (sweet.opts, sweet.help) == (["--bitter"], "No sugar.")
    assert minutes.help == "With --leaf: how long it draws.  [default: it depends]"
    assert (minutes.metavar, cups.help) == ("M", "Cups.")
    assert given(command, "--bitter") == {"sweet": False, "minutes": None, "cups": 2}
    assert given(command)["sweet"] is None
