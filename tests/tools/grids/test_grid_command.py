"""`rnnlm train --grid`: what it shows before, meanwhile and at the end, and how it ends."""

import csv
import signal
from pathlib import Path

import pytest

from rnnlm.events import Validated
from rnnlm.training import printing

TINY = (
    "--set hidden_size=4 --set embedding_size=4 --set batch_rows=4 --set min_validations=0"
    " --budget 2steps"
).split()


@pytest.fixture
def grid(rnnlm, models):
    def command(asked):
        asked = asked.split()
        return rnnlm("train", models.text, "--valid", models.valid, *TINY, "-o", "lesson", *asked)

    return command


def test_dry_run_shows_runs_and_their_differences(grid, here):
    shown = grid("--grid model=rnn,gru,unigram --dry-run")
    rows = list(csv.DictReader(shown.out.splitlines(), delimiter="\t"))
    states = [(row["model"], row["state"]) for row in rows]
    assert states == [("rnn", "new"), ("gru", "new"), ("unigram", "new")]
    assert "  learning_rate: 0.002 (model=rnn); 0.006 (model=gru)" in shown.err.splitlines()
    assert "setting of the grid: kind unigram has no batch_rows, budget" in shown.err
    assert not (here / "lesson").exists()
    factors = grid("--grid model=rnn,gru --grid decay_factor=0.4,0.5 --dry-run")
    assert factors.err.count("without effect") == 2
    equal = "--set learning_rate=0.001 --set dropout_input=0.3"
    plan = grid(f"--grid model=rnn,gru {equal} --dry-run --json").json
    assert plan["differing"] == {}
    assert plan["runs"][0]["parameters"] < plan["runs"][1]["parameters"]


def test_a_grid_of_n_grams_holds_text_out(rnnlm, models, here):
    asked = ("train", models.text, "--model", "ngram", "--grid", "order=1,2", "-o", "orders")
    assert rnnlm(*asked).code == 0
    with open("orders/grid.tsv") as file:
        assert all(float(row["valid_ppl"]) > 1 for row in csv.DictReader(file, delimiter="\t"))


def test_grid_ends_in_table_and_stops_on_signal(grid, monkeypatch, here):
    plain = printing.PlainDisplay.show

    def show(display, event):
        plain(display, event)
        if isinstance(event, Validated) and event.step == 1:
            signal.raise_signal(signal.SIGTERM)

    asked = "--grid model=rnn,gru --set validate_every_steps=1"
    with monkeypatch.context() as patched:
        patched.setattr(printing.PlainDisplay, "show", show)
        cut = grid(asked)
    assert (cut.code, cut.out) == (143, "")
    assert "to resume, run the same command again" in cut.err
    shown = grid(asked)
    assert shown.code == 0 and "run 2 of 2: model=gru" in shown.err
    assert f"saved in {Path('lesson/grid.tsv')} and {Path('lesson/curves.svg')}" in shown.err
    rows = list(csv.DictReader(shown.out.splitlines(), delimiter="\t"))
    assert [(row["model"], row["steps"]) for row in rows] == [("rnn", "2"), ("gru", "2")]
    assert rows[0]["valid_95%"].startswith("[") and "test_ppl" not in rows[0]
    planned = grid(f"{asked} --dry-run --json").json["runs"]
    assert [run["state"] for run in planned] == ["ended", "ended"]
    assert planned[0]["parameters"] < planned[1]["parameters"]
    assert planned[0]["train_tokens"] == planned[1]["train_tokens"] > 1000
    again = grid(f"{asked} --json")
    assert "run 1 of 2: model=rnn is already finished" in again.err
    assert [run["run"] for run in again.json["runs"]] == ["model=rnn", "model=gru"]
    assert "valid_ppl" in (here / "lesson" / "grid.tsv").read_text(encoding="utf-8").splitlines()[0]


def test_wrong_usage_is_refused_before_anything_is_read(grid):
    twice = grid("--grid hidden_size=3,4").errors[0]
    assert "hidden_size has a value in the grid and another outside it" in twice
    assert "standard input" in grid("--grid seed=1,2 --test -").errors[0]


def test_a_notice_of_each_run_is_shown_once(rnnlm, models, here):
    given = (models.text, "--model", "lstm", "--set", "decay_factor=0.3")
    shown = rnnlm("train", *given, "--grid", "hidden_size=5,6", "-o", "g", "--dry-run")
    assert shown.code == 0
    assert shown.err.count("note: without effect: decay_factor = 0.3 needs schedule = step") == 1
