"""Options that several commands share."""

from dataclasses import fields

import pytest

from rnnlm.cli import main as entry
from support.failures import checked_error

ONE_MODEL = [
    name for name in entry.cli.list_commands(None) if "model_name" in {parameter.name for parameter in entry.cli.get_command(None, name).params}
]  # fmt: skip


@pytest.mark.needs(
    "tasks/labelling",
    "tasks/seq2seq",
    "tools/compression",
    "tools/counting",
    "tools/inspection",
    "tools/mixtures",
    "tools/pruning",
    "tools/vectors",
)
def test_the_commands_that_take_one_model():
    named = """classify compress count decompress doctor embed eval export generate info prune tag
    translate tune"""
    assert named.split() == ONE_MODEL


@pytest.mark.parametrize("command", ONE_MODEL)
def test_commands_taking_one_model_refuse_a_second(rnnlm, command):
    ended = rnnlm(f"{command} -m first --model second")
    named = f"rnnlm {command} takes one model, but was given first, second; "
    what, hint = checked_error(ended, 2, named)
    assert "some commands, such as rnnlm compare, take several" in what
    assert f"rnnlm {command} --help" in hint


@pytest.mark.parametrize("command", ["doctor", "info"])
def test_argument_and_option_count_as_two_models(rnnlm, models, monkeypatch, command):
    both = rnnlm(command, models.unigram, "-m", models.lstm)
    checked_error(both, 2, f"rnnlm {command} takes one model")
    monkeypatch.setenv("RNNLM_MODEL", "elsewhere")  # a default, which the argument replaces
    assert rnnlm(command, models.unigram).code == 0


@pytest.mark.system("links")
def test_model_path_in_environment_may_contain_spaces(rnnlm, models, here, monkeypatch):
    (here / "my model").symlink_to(models.unigram)
    monkeypatch.setenv("RNNLM_MODEL", "my model")
    assert rnnlm("info", "--json").json["folder"] == "my model"


@pytest.mark.parametrize(("given", "instead"), [
    ("--lr 1e-3", "--set learning_rate=1e-3"), ("--lr=1e-3", "--set learning_rate=1e-3"),
    ("--epochs 5", "--budget 5epochs"), ("--hidden-size 300", "--set hidden_size=300"),
    ("--batch-size --seed 3", "--set batch_rows=N"), ("--hidden 300", "--set hidden_size=300"),
])  # fmt: skip
def test_a_setting_taken_for_an_option_is_spelled_out(rnnlm, given, instead):
    option = given.replace("=", " ").split()[0]
    lines = checked_error(rnnlm(f"train {given}"), 2, f"no option {option}")
    assert lines[1:] == [f"  try: to change this setting, write {instead}"]


def test_settings_that_begin_like_an_unknown_option_are_named(rnnlm):
    lines = checked_error(rnnlm("train --dropout 0.3"), 2, "no option --dropout")
    assert lines[1].startswith("  try: to change one of the settings dropout_between, ")
    assert lines[1].endswith(", write --set NAME=0.3") and "dropout_output" in lines[1]


@pytest.mark.parametrize(("given", "instead"), [
    ("bptt=35", "--set bptt_tokens=35"), ("lr=1e-3", "--set learning_rate=1e-3"),
    ("epochs=5", "--budget 5epochs"),
])  # fmt: skip
def test_a_setting_called_as_elsewhere_is_spelled_out(rnnlm, given, instead):
    name, _, _ = given.partition("=")
    lines = checked_error(rnnlm(f"train --set {given}"), 2, f"unknown setting '{name}'")
    assert lines[1:] == [f"  try: write {instead}"]


def test_other_commands_have_no_settings_of_training(rnnlm):
    checked_error(rnnlm("score", "--lr", 3), 2, "No such option '--lr'")


@pytest.mark.needs("tools/serving")
def test_every_setting_is_an_option():
    from rnnlm.tools.serving.serve_command import command
    from rnnlm.tools.serving.settings import ServingSettings

    options = {parameter.name for parameter in command.params}
    assert {field.name for field in fields(ServingSettings)} <= options
