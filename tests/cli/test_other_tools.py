"""What people type first who come from other tools: its name here, never a traceback."""

import re
import shlex
from pathlib import Path

import click
import pytest

from rnnlm import satellites
from rnnlm.cli import other_tools
from rnnlm.cli.main import run
from support.failures import checked_error

PAGE = Path(__file__).parents[2] / "docs/other-tools.md"
ROWS = re.findall(r"^\| (.+) \| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)[1:]
HERE = [line for _, here in ROWS for line in re.findall(r"`rnnlm ([^`]+)`", here)]
OF_SATELLITES = {entry.name: entry.here for entry in satellites.entries("elsewhere")}
HINTS = {**other_tools.COMMANDS, **other_tools.OPTIONS, **OF_SATELLITES}
OPTIONS = {name for name in HINTS if name.startswith("-")}


@pytest.mark.parametrize("name", sorted(HINTS.keys() - OPTIONS))
def test_a_command_of_another_tool_is_named_as_here(rnnlm, name):
    lines = checked_error(rnnlm(name, "-text", "x"), 2, f"no such command {name!r}")
    assert lines[1:] == [f"  try: {HINTS[name]}"]


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_an_option_of_another_tool_is_named_as_here(rnnlm, name):
    for command in ("train", "eval"):
        lines = checked_error(rnnlm(command, name, "x"), 2, f"no option {name}")
        assert lines[1:] == [f"  try: {HINTS[name]}"]


@pytest.mark.parametrize(("line", "what"), [
    ("train -foo 3", "No such option '-foo'"), ("train -layers 3", "no option -layers"),
    ("score -words", "No such option '-words'. Did you mean '--words'"),
    ("score -output", "No such option '-output'. Did you mean '--output'"),
])  # fmt: skip
def test_a_long_name_after_one_dash_is_no_value_of_a_short_option(rnnlm, line, what):
    checked_error(rnnlm(line), 2, what)


def test_a_value_may_follow_a_short_option_at_once(rnnlm, here):
    checked_error(rnnlm("train nosuch -order-like"), 1, "no such file: nosuch")


def test_the_value_of_an_option_may_look_like_an_option_of_another_tool(rnnlm, models, here):
    assert rnnlm("score", "-m", models.unigram, "the man", "--given", "-text").code == 0


@pytest.mark.parametrize("line", sorted({*HERE, *(
    hint for text in HINTS.values() for hint in re.findall(r"rnnlm (.+)", text)
)}))  # fmt: skip
def test_each_command_that_is_named_is_understood(monkeypatch, capsys, line):
    monkeypatch.setattr(click.Command, "invoke", lambda command, context: None)
    assert run(shlex.split(line)) == 0, capsys.readouterr().err


def test_the_page_has_a_name_for_each_command():
    on_page = set(re.findall(r"[\w.-]+", " ".join(there for there, _ in ROWS)))
    of_commands = {name: hint for name, hint in HINTS.items() if name not in OPTIONS}
    shown = {hint for name, hint in of_commands.items() if name in on_page}
    assert shown == set(of_commands.values())


def test_the_page_is_short():
    assert len(PAGE.read_text(encoding="utf-8").split()) <= 350
