"""The same command again starts, resumes, does nothing or refuses."""

import itertools
import json
import os
import shutil

import pytest

import rnnlm
from rnnlm.config import Budget
from rnnlm.errors import ModelError, OutputError, RnnlmWarning, UsageError
from rnnlm.events import Checkpoint, Evaluating, Finished, ModelSaved, Started
from rnnlm.runs import train
from rnnlm.storage import model_folder
from rnnlm.text.corpus import Corpus
from rnnlm.training.request import TrainingRequest
from rnnlm.training.resolution import resolve_request
from rnnlm.training.run_folder import identity_of
from support.killed_runs import TINY, cut_off, cut_off_after, outcome
from support.small_runs import assert_equal, numbers
from support.tiny_models import english_lines

pytestmark = pytest.mark.long

SOAK = pytest.mark.soak
RUN = {
    **TINY, "bptt_tokens": 8, "validate_every_steps": 4, "budget": "9steps",
    "save_every": "3steps", "dropout_output": 0.2, "schedule": "constant", "warmup": 0.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder, lines = tmp_path_factory.mktemp("texts"), english_lines()
    for name, some in {"text": lines[:60], "valid": lines[60:80], "other": lines[80:120]}.items():
        (folder / name).write_text("\n".join(some) + "\n", encoding="utf-8")
    return folder


def run(texts, folder, text="text", valid="valid", **changes):
    return train(texts / text, valid=texts / valid, output=folder, **{**RUN, **changes})


def cut_run(texts, folder, **changes):
    cut_off_after(run(texts, folder, **changes), step=6)
    return folder


@pytest.fixture(scope="module")
def made(texts, place):
    """Make the runs that are copied below, and a longer one."""
    list(run(texts, place / "whole"))
    cut_run(texts, place / "m")
    list(run(texts, place / "longer", budget="14steps"))
    return place


@pytest.fixture
def whole(made, tmp_path):
    """Return the folder of a finished run."""
    return shutil.copytree(made / "whole", tmp_path / "whole")


@pytest.fixture
def cut(made, tmp_path):
    """Return the folder of a run that was cut off after its second checkpoint."""
    return shutil.copytree(made / "m", tmp_path / "m")


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_run_that_was_cut_off_goes_on(texts, cut, whole):
    with pytest.warns(RnnlmWarning, match="the run in .*m resumes after step 6 .*overwrite=True"):
        started, *_, finished = run(texts, cut)
    assert isinstance(started, Started) and (started.step, finished.steps) == (6, 9)
    assert outcome(cut) == outcome(whole)


def test_with_nothing_to_resume_it_starts_afresh(texts, tmp_path, whole):
    events = run(texts, tmp_path / "m")
    assert next(events).step == 0
    cut_off(events)
    assert not (tmp_path / "m").exists()
    events = run(texts, tmp_path / "m", save_every="1h")
    # it stops at the first one: the model is there, no checkpoint is
    assert any(isinstance(event, ModelSaved) for event in events)
    cut_off(events)
    with pytest.warns(RnnlmWarning, match="interrupted before its first checkpoint: it starts ove"):
        started, *_ = run(texts, tmp_path / "m")
    assert started.step == 0 and outcome(tmp_path / "m") == outcome(whole)


def test_a_finished_run_is_left_unchanged(texts, whole, monkeypatch):
    before = times(whole)
    with pytest.warns(RnnlmWarning, match="whole is finished: .* step 9 of 9; .*overwrite=True"):
        (finished,) = run(texts, whole)
    assert (finished.steps, finished.stopped, set(finished.results)) == (9, "budget", {"valid"})
    assert times(whole) == before

    # It reads no text, and needs no checkpoint.
    monkeypatch.setattr("rnnlm.training.plan._with_texts", None)
    shutil.rmtree(whole / "training")
    assert run(texts, whole).wait(progress=False).finished.steps == 9


def test_a_run_from_other_weights_resumes_as_begun(texts, whole, tmp_path):
    begun = {"init_from": str(whole)}
    cut_off_after(run(texts, tmp_path / "m", **begun), step=6)
    started, *_ = run(texts, tmp_path / "m", **begun)
    assert started.step == 6
    list(run(texts, tmp_path / "n", **begun))
    assert outcome(tmp_path / "m") == outcome(tmp_path / "n") != outcome(whole)


def test_finished_counts_are_tested_on_their_own_text(texts, tmp_path):
    def counted(**changes):
        asked = {"output": tmp_path / "m", "model": "ngram", "holdout": 0.0, **changes}
        *_, finished = train(texts / "text", **asked)
        return finished.results

    first = counted(test=texts / "valid")
    assert counted(test=texts / "valid") == first
    match = "another result; (the test text has changed|validation text was not given)"
    for others in ({"test": texts / "other"}, {"test": texts / "valid", "valid": texts / "other"}):
        with pytest.raises(OutputError, match=match):
            counted(**others)


def test_a_log_that_lacks_its_end_gets_it(texts, whole):
    log = whole / "metrics.jsonl"
    log.write_bytes(log.read_bytes().rpartition(b'{"event": "finished"')[0] + b'{"event": "fin')
    assert [type(event) for event in run(texts, whole)] == [Finished]
    assert json.loads(log.read_bytes().splitlines()[-1])["results"].keys() == {"valid"}


def test_a_run_cut_off_in_its_evaluation_is_evaluated(texts, tmp_path, whole):
    events = run(texts, tmp_path / "m")
    assert any(isinstance(event, Evaluating) for event in events)
    cut_off(events)
    assert [type(event) for event in run(texts, tmp_path / "m")] == [Evaluating, Finished]
    assert outcome(tmp_path / "m") == outcome(whole)


@pytest.mark.parametrize("change, words", [
    ({"hidden_size": 9}, "`hidden_size` was 8 and is now 9"),
    ({"learning_rate": 0.5}, "`learning_rate` was .* and is now 0.5"),
    ({"seed": 3}, "`seed` was .* and is now 3"), ({"text": "other"}, "the training text has changed: "),
    ({"valid": "other"}, "the validation text has changed: "), ({"model": "gru"}, "`model` was lstm and is now gru"),
    ({"lowercase": True}, "`lowercase` differs"),
    ({"budget": "8steps"}, "`budget` was 9steps and is now 8steps"),
    ({"tokenizer_from": "demo"}, "`tokenizer_from` was unset and is now [0-9a-f]{12}"),
    ({"test": "text"}, "test text was not given and is now 4,"),
])  # fmt: skip
@pytest.mark.parametrize("is_done", [False, True])
def test_another_run_is_refused_naming_the_differences(texts, whole, change, words, is_done):
    if not is_done:
        manifest = model_folder.read_manifest(whole)
        model_folder.save_results(whole, manifest, {}, {**manifest.training, "stopped": "request"})
    if "test" in change:
        change = {"test": texts / change["test"]}
    before = times(whole)
    with pytest.raises(OutputError, match=words) as caught:
        list(run(texts, whole, **change))
    assert caught.value.hint == "choose another `output`, or replace it with `overwrite=True`"
    assert times(whole) == before


def test_another_kind_of_model_is_another_run(texts, whole, tmp_path):
    counted = {"model": "unigram", "valid": texts / "valid"}
    with pytest.raises(OutputError, match="`model` was lstm and is now unigram"):
        list(train(texts / "text", output=whole, **counted))
    list(train(texts / "text", output=tmp_path / "counted", **counted))
    with pytest.raises(OutputError, match="`model` was unigram and is now lstm"):
        list(run(texts, tmp_path / "counted"))


def test_numbers_and_texts_may_be_written_in_another_way(texts, whole, monkeypatch):
    (finished,) = run(texts, whole, warmup=0, dropout_output=0.20)
    assert finished.steps == 9
    monkeypatch.chdir(texts)
    (_,) = train("text", valid="./val*d", output=whole, **RUN)


def test_a_model_without_checkpoint_is_not_replaced(texts, tmp_path):
    list(run(texts, tmp_path / "m", keep_checkpoints=0))
    with pytest.raises(OutputError, match="already holds another.*hidden_size.*overwrite=True"):
        list(run(texts, tmp_path / "m", keep_checkpoints=0, hidden_size=9))


def test_what_may_change_may(texts, cut):
    *_, finished = run(texts, cut, save_every="2steps", keep_checkpoints=3)
    assert finished.steps == 9
    assert len(list((cut / "training").glob("state-*.json"))) == 3


@pytest.mark.parametrize("value", ["0steps", "soon", "-3s", "nan", "", "1e999s", "5", "1epochs"])
def test_an_interval_must_be_one(texts, tmp_path, value):
    with pytest.raises(UsageError, match="save_every"):
        list(run(texts, tmp_path / "m", save_every=value))
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    "value", ["2steps", "1s", *(pytest.param(each, marks=SOAK) for each in ("0.5m", "2h"))]
)
def test_an_interval_is_of_steps_or_time(texts, tmp_path, value):
    *events, finished = run(texts, tmp_path / "m", save_every=value)
    kept = [event.step for event in events if isinstance(event, Checkpoint)]
    # by time: the first need not wait
    assert (kept == [2, 4, 6, 8] if value == "2steps" else len(kept) == 1) and finished.steps == 9


# ---- A larger budget.


@pytest.mark.parametrize("is_done", [False, True])
def test_a_longer_run_ends_like_an_unbroken_one(texts, cut, whole, made, is_done):
    folder = whole if is_done else cut
    started, *_, finished = run(texts, folder, budget="14steps")
    assert (started.step, finished.steps) == (9 if is_done else 6, 14)
    found, expected = outcome(folder), outcome(made / "longer")
    assert finished.results["valid"]["ppl_token"] == expected.results["valid"]["ppl_token"]
    assert (found.fingerprint, found.arrays) == (expected.fingerprint, expected.arrays)

    # One log of both pieces, with the seconds of the whole run.
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["event"] for event in events].count("started") == 2
    assert (events[-1]["event"], events[-1]["steps"]) == ("finished", 14)
    first_piece = itertools.takewhile(lambda event: event["event"] != "finished", events[:-1])
    broken_off = max(event["seconds"] for event in first_piece if event["event"] == "validated")
    assert finished.seconds == events[-1]["seconds"] >= broken_off
    assert not model_folder.file_faults(folder, model_folder.read_manifest(folder))

    # Now it is this run that is finished.
    (again,) = run(texts, folder, budget="14steps")
    assert again.steps == 14


def test_a_longer_run_that_is_cut_off_goes_on(texts, whole, made):
    cut_off_after(run(texts, whole, budget="14steps"), step=12)
    started, *_ = run(texts, whole, budget="14steps")
    assert started.step == 12
    found, expected = outcome(whole), outcome(made / "longer")
    assert (found.fingerprint, found.arrays) == (expected.fingerprint, expected.arrays)


@pytest.mark.parametrize("budget, steps", [("1m", 0), ("0.001s", 9), ("50epochs", 0)])
def test_budgets_in_other_units_compare_with_what_was_done(texts, whole, budget, steps):
    """steps: that the run stays with; 0: it goes on."""
    if steps:
        with pytest.raises(OutputError, match="`budget` was 9steps and is now 0.001s"):
            list(run(texts, whole, budget=budget))
        return
    stop = itertools.chain(itertools.repeat(False, 3), itertools.repeat(True)).__next__
    started, *_ = run(texts, whole, budget=budget, stop=stop)
    assert started.step == 9


@pytest.mark.parametrize("is_done", [False, True])
def test_a_longer_run_needs_a_checkpoint(texts, cut, whole, is_done):
    folder = whole if is_done else cut
    if not is_done:
        list(run(texts, cut, stop=lambda: True))
    before = numbers(folder)
    for path in (folder / "training").iterdir():
        path.unlink()
    with pytest.raises(OutputError, match="no checkpoint to resume from") as caught:
        list(run(texts, folder, budget="14steps"))
    assert caught.value.hint == "choose another `output`, or replace it with `overwrite=True`"
    assert_equal(before, numbers(folder))


def test_a_changed_budget_is_reported_where_it_matters(texts, tmp_path):
    list(run(texts, tmp_path / "m", budget="3steps", schedule="cosine"))
    match = "depends on the budget: earlier steps used the rates of 3steps"
    with pytest.warns(RnnlmWarning, match=match):
        list(run(texts, tmp_path / "m", budget="5steps", schedule="cosine"))


@SOAK
def test_settings_that_follow_from_the_size_stay_as_they_were(texts, tmp_path):
    small = {"output": tmp_path / "m", "model": "gru", "hidden_size": 8, "threads": 1}
    with pytest.warns(RnnlmWarning):
        list(train(texts / "valid", **small))
    usual = model_folder.read_manifest(tmp_path / "m").settings
    steps = Budget.parse(usual["budget"]).steps
    with pytest.warns(RnnlmWarning, match="resumes after step"):
        started, *_ = train(texts / "valid", **small, budget=f"{steps + 2}steps", patience=None)
    assert started.step > 0
    longer = model_folder.read_manifest(tmp_path / "m").settings
    assert longer == {**usual, "budget": f"{steps + 2}steps", "patience": None}


def test_more_patience_continues_a_run_that_ended_early(texts, tmp_path):
    impatient = {"learning_rate": 0.3, "validate_every_steps": 1, "budget": "300steps"}
    *_, first = run(texts, tmp_path / "m", patience=2, **impatient)
    assert first.stopped == "early"
    assert len(list(run(texts, tmp_path / "m", patience=2, **impatient))) == 1
    *_, longer = run(texts, tmp_path / "m", patience=4, **impatient)
    assert longer.steps > first.steps


# ---- The same texts, and damaged ones.


def test_a_text_is_told_by_its_time(texts, whole):
    """Lengths and ends are the same."""
    time = (texts / "text").stat().st_mtime_ns
    try:
        os.utime(texts / "text", ns=(time, time + 1))
        match = "the training text has changed: changed .* before, changed"
        with pytest.raises(OutputError, match=match):
            list(run(texts, whole))
    finally:
        os.utime(texts / "text", ns=(time, time))
    assert len(list(run(texts, whole))) == 1


def test_a_text_in_memory_is_told_by_its_lines(texts, tmp_path):
    lines = (texts / "text").read_text(encoding="utf-8").splitlines()
    valid = texts / "valid"
    for expected in (True, False):
        text = Corpus.from_lines(lines)
        started, *_ = train(text, valid=valid, output=tmp_path / "m", **RUN)
        assert isinstance(started, Started) == expected
    with pytest.raises(OutputError, match="the training text has changed: hash .* before"):
        list(train(Corpus.from_lines(lines[1:]), valid=valid, output=tmp_path / "m", **RUN))


@pytest.mark.needs("tasks/labelling")
def test_all_that_is_read_beside_the_text_counts(texts, tmp_path, monkeypatch):
    def identity(**asked):
        text = () if "counts" in asked else (str(texts / "text"),)
        request = TrainingRequest(text=text, **asked)
        return identity_of(request, resolve_request(request).resolved)

    vectors, counts = tmp_path / "vectors.txt", tmp_path / "counts"
    counts.mkdir()
    read = {"counts": {"model": "ngram", "counts": str(counts)}}
    read["vectors"] = {"model": "lstm", "flags": {"embeddings": str(vectors)}}
    seen = []
    for content in ("a 1", "a 2"):
        vectors.write_text(content)
        (counts / "part").write_text(content)
        seen.append([identity(**asked)[name] for name, asked in read.items()])
    assert all(first != second for first, second in zip(*seen, strict=True))

    two = identity(task="tagging", contextual=("demo", "demo"))
    assert two["contextual 1"] == two["contextual 2"] == rnnlm.load("demo").fingerprint
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}.items():
        monkeypatch.setenv(name, value)
    other_rank = identity(task="tagging", contextual=("demo", "demo"))
    assert two.keys() - other_rank.keys() == {"training text", "contextual 1", "contextual 2"}


def test_a_text_that_changed_unseen_is_refused(texts, cut, monkeypatch):
    def same_signature(request, resolved):
        return model_folder.read_manifest(cut).training["identity"]

    monkeypatch.setattr("rnnlm.training.run_folder.identity_of", same_signature)
    with pytest.raises(OutputError, match="it was trained on another text"):
        list(run(texts, cut, text="other"))


def test_a_finished_model_that_is_damaged_is_refused(texts, whole):
    weights = next(whole.glob("weights-*"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(OutputError, match=f"{weights.name} has changed: .*overwrite"):
        list(run(texts, whole))
    (whole / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(OutputError, match="is damaged.*overwrite=True"):
        list(run(texts, whole))


def test_of_damaged_checkpoints_the_one_before_is_taken(texts, tmp_path, whole):
    folder = cut_run(texts, tmp_path / "m", keep_checkpoints=2)
    arrays = sorted((folder / "training").glob("*.safetensors"))
    assert len(arrays) == 2
    arrays[1].write_bytes(b"")
    with pytest.warns(RnnlmWarning, match="is damaged; trying the one before it: state-00000006"):
        started, *_ = run(texts, folder)
    assert started.step == 3 and outcome(folder) == outcome(whole)


def test_where_all_checkpoints_are_damaged_the_ways_out_are_named(texts, cut):
    for path in (cut / "training").glob("*.safetensors"):
        path.write_bytes(b"")
    refused = pytest.raises(ModelError, match="missing or damaged: state-.*overwrite=True")
    with pytest.warns(RnnlmWarning, match="is damaged"), refused:
        list(run(texts, cut))


def test_a_checkpoint_of_the_run_before_is_no_part_of_this_one(texts, tmp_path, whole):
    """As a kill leaves it after config.json is replaced."""
    other = cut_run(texts, tmp_path / "other", hidden_size=9)
    events = run(texts, tmp_path / "m", save_every="1h")
    assert any(isinstance(event, ModelSaved) for event in events)
    cut_off(events)
    shutil.copytree(other / "training", tmp_path / "m" / "training")
    with pytest.warns(RnnlmWarning, match="interrupted before its first checkpoint"):
        started, *_ = run(texts, tmp_path / "m")
    assert started.step == 0 and outcome(tmp_path / "m") == outcome(whole)


def test_a_model_that_was_not_trained_here_is_refused(texts, whole):
    manifest = model_folder.read_manifest(whole)
    model_folder.save_results(whole, manifest, {}, {"imported_from": "x"})
    with pytest.raises(OutputError, match="already exists; there is no record of how it was made"):
        list(run(texts, whole))


# ---- What is saved on the way.


def test_without_validation_the_last_weights_are_saved(texts, tmp_path):
    asked = {**RUN, "budget": "5steps", "holdout": 0.0}
    asked |= {"validate_every_steps": None, "save_every": "2steps"}
    saved = []
    for event in train(texts / "text", output=tmp_path / "m", **asked):
        if isinstance(event, ModelSaved):
            saved.append((event.step, model_folder.read_manifest(tmp_path / "m").step))
    assert saved == [(2, 2), (4, 4), (5, 5)]
    list(train(texts / "text", output=tmp_path / "whole", **{**asked, "save_every": "1h"}))
    assert_equal(numbers(tmp_path / "whole"), numbers(tmp_path / "m"))


def test_a_new_model_drops_the_old_adaptation_cache(texts, whole):
    (whole / "adapt-cache.json").write_text("{}", encoding="utf-8")
    list(run(texts, whole, budget="10steps"))
    assert (whole / "adapt-cache.json").exists()
    list(run(texts, whole, overwrite=True, budget="3steps"))
    assert not (whole / "adapt-cache.json").exists()
