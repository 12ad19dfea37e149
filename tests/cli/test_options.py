import pytest

from rnnlm.cli import main as entry
from support.failures import checked_error

ONE_MODEL = [
    name for name in entry.COMMANDS if "model_name" in {parameter.name for parameter in entry.cli.get_command(None, name).params}
]  # fmt: skip


def test_the_commands_that_take_one_model():
    named = "classify count doctor embed eval export generate info prune tag translate tune"
    assert named.split() == ONE_MODEL


@pytest.mark.parametrize("command", ONE_MODEL)
def test_commands_taking_one_model_refuse_a_second(rnnlm, command):
    ended = rnnlm(f"{command} -m first --model second")
    named = f"rnnlm {command} takes one model, but was given first, second; "
    what, hint = checked_error(ended, 2, named)
    assert "rnnlm compare, mix, rescore and score take several" in what
    assert f"rnnlm {command} --help" in hint


@pytest.mark.parametrize("command", ["doctor", "info"])
def test_argument_and_option_count_as_two_models(rnnlm, models, monkeypatch, command):
    both = rnnlm(command, models.unigram, "-m", models.lstm)
    checked_error(both, 2, f"rnnlm {command} takes one model")
    monkeypatch.setenv("RNNLM_MODEL", "elsewhere")  # a default, which the argument replaces
    assert rnnlm(command, models.unigram).code == 0


def test_model_path_in_environment_may_contain_spaces(rnnlm, models, here, monkeypatch):
    (here / "my model").symlink_to(models.unigram)
    monkeypatch.setenv("RNNLM_MODEL", "my model")
    assert rnnlm("info", "--json").json["folder"] == "my model"


@pytest.mark.parametrize(("option", "instead"), [
    ("--lr", "--set learning_rate=VALUE"), ("--epochs", "--budget 3epochs"),
    ("--hidden-size", "--set hidden_size=VALUE"), ("--batch-size", "--set batch_rows=VALUE"),
])  # fmt: skip
def test_a_setting_taken_for_an_option_is_named(rnnlm, option, instead):
    lines = checked_error(rnnlm("train", option, 3), 2, f"no option {option}")
    assert lines[1:] == [f"  try: it is a setting: {instead}"]


def test_other_commands_have_no_settings_of_training(rnnlm):
    checked_error(rnnlm("score", "--lr", 3), 2, "No such option '--lr'")
