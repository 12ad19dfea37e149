"""--resume: a run goes on where it stood, as if it had not ended; its budget may grow, its settings
may not."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

import rnnlm
from rnnlm.errors import RnnlmWarning, UsageError
from rnnlm.events import ModelSaved
from rnnlm.models import model_folder
from rnnlm.runs import train
from support.small_runs import numbers

RUN = {
    "model": "lstm",
    "hidden_size": 8,
    "embedding_size": 8,
    "batch_rows": 4,
    "device": "cpu",
    "schedule": "constant",
    "warmup": 0.0,
}


@pytest.fixture
def cut(tmp_path):
    """Return a text, and the folder of a run of five steps over it."""
    text = tmp_path / "t.txt"
    text.write_text(
        "\n".join(f"the cat number {number % 17} sat on mat {number % 5}" for number in range(200)),
        encoding="utf-8",
    )
    list(train(text, output=tmp_path / "run", budget="5steps", validate_every_steps=2, **RUN))
    return text, tmp_path / "run"


def test_a_resumed_run_saves_like_an_unbroken_one(cut, tmp_path):
    text, folder = cut
    *_, finished = train(text, output=folder, resume=True, budget="12steps")
    output = tmp_path / "whole"
    *_, whole = train(text, output=output, budget="12steps", validate_every_steps=2, **RUN)
    assert finished.steps == whole.steps == 12
    expected = {name: result["ppl_token"] for name, result in whole.results.items()}
    assert {name: result["ppl_token"] for name, result in finished.results.items()} == expected
    events = [
        json.loads(line)
        for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert [event["event"] for event in events].count("started") == 2  # one log of both pieces
    assert (events[-1]["event"], events[-1]["steps"]) == ("finished", 12)
    first_piece = itertools.takewhile(lambda event: event["event"] != "finished", events)
    broken_off = max(event["seconds"] for event in first_piece if event["event"] == "validated")
    assert finished.seconds == events[-1]["seconds"] > broken_off  # of the run, like its steps
    assert not list(model_folder.damaged_files(folder, model_folder.read_manifest(folder)))


def test_a_spent_budget_is_reported_without_model_changes(cut):
    text, folder = cut
    before = numbers(folder)
    with pytest.warns(
        rnnlm.RnnlmWarning, match="budget, which counts from its start: raise `budget`"
    ):
        *_, finished = train(text, output=folder, resume=True)
    assert finished.steps == 5
    assert all(np.array_equal(before[name], array) for name, array in numbers(folder).items())


def test_there_may_be_nothing_to_go_on_with(cut, tmp_path):
    text, folder = cut
    with pytest.raises(UsageError, match="nothing to resume"):
        list(train(text, output=tmp_path / "none", resume=True))
    with pytest.raises(UsageError, match="cannot be combined"):
        list(train(text, output=folder, resume=True, overwrite=True))
    list(train(text, output=folder, overwrite=True, budget="2steps", resumable=False, **RUN))
    with pytest.raises(UsageError, match="nothing to resume"):
        list(train(text, output=folder, resume=True))


def test_without_validation_the_last_weights_are_saved(cut, tmp_path):
    text, _ = cut
    saved = []
    for event in train(
        text, output=tmp_path / "m", budget="5steps", holdout=0.0, save_every="2steps", **RUN
    ):
        if isinstance(event, ModelSaved):
            saved.append((event.step, model_folder.read_manifest(tmp_path / "m").step))
    assert saved == [(2, 2), (4, 4), (5, 5)]
    *_, whole = train(text, output=tmp_path / "whole", budget="5steps", holdout=0.0, **RUN)
    expected = numbers(tmp_path / "whole")
    for name, array in numbers(tmp_path / "m").items():
        assert np.array_equal(expected[name], array)


def test_a_changed_budget_is_reported_where_it_matters(text):
    list(train(text, output="m", budget="3steps", **{**RUN, "schedule": "cosine"}))
    with pytest.warns(
        RnnlmWarning, match="depends on the budget: the steps so far used the rates of 3steps"
    ):
        list(train(text, output="m", resume=True, budget="5steps"))


def test_a_new_model_drops_the_old_adaptation_cache(text):
    list(train(text, output="m", budget="3steps", **RUN))
    (Path("m") / "adapt-cache.json").write_text("{}", encoding="utf-8")
    list(train(text, output="m", resume=True, budget="4steps"))
    assert (Path("m") / "adapt-cache.json").exists()
    list(train(text, output="m", overwrite=True, budget="3steps", **RUN))
    assert not (Path("m") / "adapt-cache.json").exists()
