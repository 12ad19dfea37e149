"""`--help`: what is used most first, in sections, on a terminal of 80 columns."""

import itertools
import re
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from rnnlm.cli import main as entry
from rnnlm.cli.declaring import MOST_SHOWN, Command, section

LONG = 15  # more options than this in one list are not found


def commands_below(group: click.Group, name: str) -> dict[str, click.Command]:
    """Return all commands by their full names, including those of groups within `group`."""
    found = {}
    for word in group.list_commands(None):
        command, full = group.get_command(None, word), f"{name}{word}"
        found |= {full: command} | (
            commands_below(command, f"{full} ") if isinstance(command, click.Group) else {}
        )
    return found


COMMANDS = commands_below(entry.cli, "")


def options_of(command: click.Command) -> list[click.Option]:
    return [option for option in command.params if isinstance(option, click.Option)]


def sections_of(shown: str) -> dict[str, list[str]]:
    """Return the first words of the lines below each title."""
    found = re.findall(r"^([A-Z][^\n:]*):\n((?:  .*\n)+)", shown, re.MULTILINE)
    return {title: re.findall(r"^  (\S+)", lines, re.MULTILINE) for title, lines in found}


def shown_options(shown: str) -> list[str]:
    """Return the first name of each option that a help shows."""
    words = itertools.chain.from_iterable(sections_of(shown).values())
    return [word.rstrip(",") for word in words if word.startswith("-")]


@pytest.mark.parametrize("name", COMMANDS)
def test_all_options_read_numbers_in_one_way(name):
    for option in options_of(COMMANDS[name]):
        assert option.type not in (click.INT, click.FLOAT), option.name


def test_commands_are_shown_by_group_each_in_one(rnnlm):
    shown = rnnlm("--help").out
    assert len(shown.splitlines()) <= 24
    groups = entry.groups()
    *listed, more = groups
    sections = sections_of(shown)
    expected = {title: list(groups[title]) for title in listed}
    assert {title: sections[title] for title in listed} == expected
    # A command says the same of itself.
    helps = {name: about for title in listed for name, about in groups[title].items()}
    assert {name: COMMANDS[name].get_short_help_str(100) for name in helps} == helps
    # The others are one paragraph of names, with a phrase each.
    paragraph, options = " ".join(shown[shown.index(f"{more}: ") :].split()).split(" Options: ")
    assert re.findall(r"--\S+(?= \()", options) == ["--version", *sorted(entry.ANYWHERE)]
    assert re.findall(r"(\w+) \([^)]+\)", paragraph) == list(groups[more])
    paths = Path(entry.__file__).parent.glob("*/[a-z]*.py")
    files = [path.stem for path in paths if "\ndef command(" in path.read_text(encoding="utf-8")]
    of_core = sorted(itertools.chain.from_iterable(entry.CORE_COMMANDS.values()))
    named = sorted(itertools.chain.from_iterable(groups.values()))
    assert of_core == sorted({*files} & {*of_core}) and named == entry.cli.list_commands(None)


def test_long_option_lists_have_sections_without_gaps():
    for name, command in COMMANDS.items():
        options = options_of(command)
        sections = command.sections if isinstance(command, Command) else {}
        sectioned = [option for option in options if option.name in sections]
        assert sectioned == options or (len(options) <= LONG and not sectioned), name


def test_options_of_settings_are_described():
    options = [option for command in COMMANDS.values() for option in options_of(command)]
    assert [each.opts for each in options if len(each.help or "") < len("Run.")] == []


@pytest.mark.needs("tasks/labelling", "tasks/seq2seq", "tools/grids")
def test_train_options_are_sectioned_most_used_first(rnnlm):
    shown = sections_of(rnnlm("train", "--help-all").out)
    assert list(shown) == [
        "Text", "Model", "Tokenizer", "N-grams", "Labels", "Pairs", "Run", "Saving",
        "Other options",
    ]  # fmt: skip
    assert [words[0].rstrip(",") for words in shown.values()] == [
        "--valid", "--model", "--tokenizer", "--order", "--label-column", "--target", "--budget",
        "-o", "-h",
    ]  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_help_all_shows_the_options_beyond_the_common(rnnlm, name):
    command = COMMANDS[name]
    every = [option.opts[0] for option in options_of(command)]
    shown, whole = (rnnlm(*name.split(), flag).out for flag in ("--help", "--help-all"))
    count = len(shown_options(shown)) - len(["-h"])
    if len(every) <= MOST_SHOWN:
        assert count == len(every) and "--help-all" not in shown
        assert whole == shown
        return

    count -= len(["--help-all"])
    assert count <= MOST_SHOWN
    assert shown.splitlines()[-1] == f"{len(every) - count} more options: rnnlm {name} --help-all"
    assert sorted(shown_options(whole)) == sorted([*every, "-h", "--help-all"])
    assert "more options" not in whole


@pytest.mark.parametrize("group", [(), ("inspect",)])
def test_groups_of_commands_take_help_all(rnnlm, group):
    assert rnnlm(*group, "--help-all").out == rnnlm(*group, "--help").out


@pytest.mark.needs("tasks/labelling", "tasks/seq2seq")
def test_options_of_a_task_are_shown_beside_it(rnnlm):
    common = shown_options(rnnlm("train", "--help").out)
    labels = {"--label-column", "--scheme", "--contextual"}
    pairs = {"--target", "--valid-target", "--init-encoder-from"}
    counts = {"--prune", "--discounts", "--counts"}
    assert not (labels | pairs | counts) & {*common}
    for given, expected in (
        (["--task", "tagging", "--help"], labels),
        (["--help", "--task=classification"], labels),
        (["my.txt", "--task", "seq2seq", "--budget", "1h", "--help"], pairs),
        (["--model", "ngram", "--help"], counts),
    ):
        shown = {*shown_options(rnnlm("train", *given).out)}
        assert {*common} < shown
        assert shown & (labels | pairs | counts) == expected

    # The last lines name the others.
    last = " ".join(rnnlm("train", "--task", "seq2seq", "--help").out.split("\n\n")[-1].split())
    assert "the options of --model ngram, --model unigram, --task tagging or --task" in last
    assert "--task seq2seq" not in last


def test_explanations_are_in_help_all(rnnlm):
    detail = "returns to its last good state"
    shown, whole = (" ".join(rnnlm("train", flag).out.split()) for flag in ("--help", "--help-all"))
    assert detail in whole and detail not in shown


@pytest.mark.needs("tasks/labelling", "tasks/seq2seq")
def test_options_that_help_leaves_out_are_known(rnnlm):
    assert "--encoding-errors" in rnnlm("train", "--encoding-error", "x").err
    completion = ShellComplete(entry.cli, {}, "rnnlm", "_RNNLM_COMPLETE")
    offered = [each.value for each in completion.get_completions(["train"], "--")]
    assert {"--encoding-errors", "--target", "--help-all"} < {*offered}


def test_options_are_grouped_by_title_with_untitled_last(capsys):
    @click.command(cls=Command)
    @section("Text", click.option("--valid"), section("Tokenizer", click.option("--lowercase")))
    @click.option("--loose")
    @section("Text", click.option("--test"))
    def command() -> None:
        pass

    command.main(["--help"], standalone_mode=False)
    expected = {
        "Text": ["--valid", "--test"],
        "Tokenizer": ["--lowercase"],
        "Other options": ["--loose", "--help"],
    }
    assert sections_of(capsys.readouterr().out) == expected
    with click.Context(command) as context:
        assert [option.name for option in command.params] == ["valid", "lowercase", "loose", "test"]
        assert "Options:" not in command.get_help(context)


@pytest.mark.parametrize("flag", ["--help", "--help-all"])
@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_fits_80_columns(rnnlm, name, flag):
    lines = rnnlm(*name.split(), flag).out.splitlines()
    assert [line for line in lines if len(line) > 80] == []


def test_command_help_starts_with_a_one_line_summary(rnnlm):
    lines = rnnlm("--help").out.splitlines()
    assert [line for line in lines if line.endswith("...") and "Usage:" not in line] == []


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "list"])
def test_help_has_an_example_before_anything_is_explained(rnnlm, name):
    usage, first, example, *_ = rnnlm(*name.split(), "--help").out.split("\n\n")
    assert example.startswith(f"  rnnlm {name}")
