"""The script for machines with a GPU: what it calls, in which order, and what it does when something fails."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "gpu"
RECORDER = """#!/bin/sh
[ "$1" = -c ] && exit 0
echo "$@" >> "$CALLS"
case "$2 $3" in
"pytest -q") exit "${PYTEST:-0}" ;;
"rnnlm train") exit "${TRAIN:-0}" ;;
esac
"""


@pytest.fixture
def run(tmp_path):
    """Runs the script with a `python` that only writes down what it is asked: the exit status, and what was asked."""
    python, calls = tmp_path / "python", tmp_path / "calls"
    python.write_text(RECORDER)
    python.chmod(0o755)
    for name in ("train.txt", "valid.txt"):
        (tmp_path / name).touch()

    def run(*arguments, **environment):
        calls.write_text("")
        given = {**os.environ, "PYTHON": str(python), "CALLS": str(calls), **environment}
        ended = subprocess.run([SCRIPT, *arguments], cwd=tmp_path, env=given, capture_output=True, text=True)
        return ended.returncode, [call.replace(f"{tmp_path}/", "") for call in calls.read_text().splitlines()]

    return run


def test_it_checks_then_times_then_trains(run):
    code, calls = run("train.txt", "valid.txt", "out", "gru", "8m", "--set", "layers=2", STEPS="7")
    assert code == 0
    assert calls == [
        "-m rnnlm --version",
        "-m pytest -q -m gpu tests/unit/neural tests/unit/tasks",
        "-m rnnlm bench train train.txt --recipe gru --set layers=2 --rounds 3 --steps 7",
        "-m rnnlm train train.txt --valid valid.txt -o out --recipe gru --set layers=2 --budget 8m",
    ]


def test_a_run_that_is_there_is_resumed(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.json").touch()
    assert run("train.txt", "valid.txt", "out", "gru", "8m")[1][-1].endswith("--budget 8m --resume")


def test_without_recipe_and_budget_it_is_the_fast_one_of_its_own_length(run):
    assert run("train.txt", "valid.txt", "out")[1][-1].endswith("-o out --recipe awd-lstm-fast")


@pytest.mark.parametrize("checks, code, last", [("stop", 1, "pytest"), ("go-on", 0, "rnnlm train"), ("skip", 0, "rnnlm train")])
def test_a_failing_check_ends_it_unless_told_otherwise(run, checks, code, last):
    ended, calls = run("train.txt", "valid.txt", "out", CHECKS=checks, PYTEST="1")
    assert ended == code and last in calls[-1]
    assert any("pytest" in call for call in calls) == (checks != "skip")


@pytest.mark.parametrize("status, code", [("1", 1), ("124", 0)])
def test_a_failing_training_is_a_failure_and_one_whose_time_is_over_is_none(run, status, code):
    assert run("train.txt", "valid.txt", "out", TRAIN=status)[0] == code


def test_without_arguments_it_says_how_it_is_called():
    ended = subprocess.run([SCRIPT], capture_output=True, text=True)
    assert ended.returncode == 2 and ".ci/gpu TRAIN VALID OUTPUT" in ended.stderr and "MINUTES=9" in ended.stderr


def test_what_it_calls_times_and_trains(run, rnnlm, models, monkeypatch):
    tiny = [part for setting in ("hidden_size=8", "embedding_size=8", "precision=fp32") for part in ("--set", setting)]
    *_, timing, training = (shlex.split(call) for call in run("train.txt", "valid.txt", "out", "lstm", "2steps", *tiny, STEPS="1")[1])
    texts = {"train.txt": models.text, "valid.txt": models.valid}
    timed, trained = (rnnlm(*(texts.get(part, part) for part in call[2:])) for call in (timing, training))
    assert timed.code == trained.code == 0, (timed.err, trained.err)
    assert "median\t" in timed.out and "ppl_token" in trained.out
