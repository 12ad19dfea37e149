"""--resume auto: start where there is nothing, go on where there is a run, do nothing where it is
done; refuse what is another run."""

import json
import shutil

import pytest

from rnnlm import corpora
from rnnlm.errors import OutputError, UsageError
from rnnlm.events import Checkpoint, Finished, ModelSaved, Started
from rnnlm.models import model_folder
from rnnlm.runs import train
from support.killed_runs import cut_off, cut_off_after, outcome

RUN = {
    "hidden_size": 8, "embedding_size": 8, "batch_rows": 4, "bptt_tokens": 8, "precision": "fp32",
    "device": "cpu", "threads": 1,
    "validate_every_steps": 4, "budget": "9steps", "save_every": "3steps", "dropout_output": 0.2,
    "schedule": "constant", "warmup": 0.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    lines = [
        line
        for line in corpora.part("english", "valid").read_text(encoding="utf-8").splitlines()
        if line.strip()
    ]
    for name, some in {"text": lines[:60], "valid": lines[60:80], "other": lines[80:120]}.items():
        (folder / name).write_text("\n".join(some) + "\n", encoding="utf-8")
    return folder


def auto(texts, folder, text="text", valid="valid", **changes):
    return train(
        texts / text, valid=texts / valid, output=folder, **{"resume": "auto", **RUN, **changes}
    )


def cut_run(texts, folder, **changes):
    events = auto(texts, folder, **changes)
    cut_off_after(events, step=6)
    return folder


@pytest.fixture(scope="module")
def whole_folder(texts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "m"
    list(auto(texts, folder))
    return folder


@pytest.fixture
def whole(whole_folder, tmp_path):
    """Return the folder of a finished run."""
    return shutil.copytree(whole_folder, tmp_path / "whole")


@pytest.fixture
def cut(texts, tmp_path):
    """Return the folder of a run that was cut off after its second checkpoint."""
    return cut_run(texts, tmp_path / "m")


def test_a_run_that_was_cut_off_goes_on(texts, cut, whole):
    started, *_, finished = auto(texts, cut)
    assert isinstance(started, Started) and (started.step, finished.steps) == (6, 9)
    assert outcome(cut) == outcome(whole)


def test_with_nothing_to_resume_it_starts_afresh(texts, tmp_path, whole):
    events = auto(texts, tmp_path / "m")
    assert next(events).step == 0
    cut_off(events)
    assert not (tmp_path / "m").exists()
    events = auto(texts, tmp_path / "m", save_every="1h")
    # it stops at the first one: the model is there, no checkpoint is
    assert any(isinstance(event, ModelSaved) for event in events)
    cut_off(events)
    started, *_ = auto(texts, tmp_path / "m")
    assert started.step == 0 and outcome(tmp_path / "m") == outcome(whole)


def test_a_finished_run_is_left_unchanged(texts, whole):
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    (finished,) = auto(texts, whole)
    assert (finished.steps, finished.stopped, set(finished.results)) == (9, "budget", {"valid"})
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == before


def test_a_run_that_is_done_needs_no_checkpoint(texts, whole):
    for path in (whole / "training").iterdir():
        path.unlink()
    (finished,) = auto(texts, whole)
    assert finished.steps == 9


def test_a_run_from_other_weights_resumes_as_begun(texts, whole, tmp_path):
    begun = {"init_from": str(whole), "tokenizer_from": str(whole)}
    cut_off_after(auto(texts, tmp_path / "m", **begun), step=6)
    started, *_ = auto(texts, tmp_path / "m", **begun)
    assert started.step == 6
    list(auto(texts, tmp_path / "n", **begun))
    assert outcome(tmp_path / "m") == outcome(tmp_path / "n") != outcome(whole)


def test_finished_counts_can_be_tested_on_other_text(texts, tmp_path):
    def counted(**changes):
        *_, finished = train(
            texts / "text",
            output=tmp_path / "m",
            model="ngram",
            resume="auto",
            holdout=0.0,
            **changes,
        )
        return finished.results

    first, other = counted(test=texts / "valid"), counted(test=texts / "other")
    assert first["test"]["tokens"] != other["test"]["tokens"]
    assert counted(test=texts / "other") == other
    counted(valid=texts / "valid")
    with pytest.raises(OutputError, match="another run") as caught:
        counted(valid=texts / "other")
    assert "validation text" in caught.value.why


def test_a_log_that_lacks_its_end_gets_it(texts, whole):
    log = whole / "metrics.jsonl"
    log.write_bytes(log.read_bytes().rpartition(b'{"event": "finished"')[0] + b'{"event": "fin')
    assert [type(event) for event in auto(texts, whole)] == [Finished]
    assert json.loads(log.read_bytes().splitlines()[-1])["results"].keys() == {"valid"}


@pytest.mark.parametrize("change, words", [
    ({"hidden_size": 9}, "hidden_size differs|hidden_size is 8 there, 9 was asked for"),
    ({"learning_rate": 0.5}, "learning_rate"),
    ({"seed": 3}, "seed"), ({"text": "other"}, "training text"), ({"valid": "other"},
        "its validation text differs|not the same: validation text"),
    ({"model": "gru"}, "recipe|model"),
    ({"lowercase": True}, "lowercase = False; True was asked for"),
])  # fmt: skip
@pytest.mark.parametrize("is_done, resume", [(False, "auto"), (True, "auto"), (True, True)])
def test_another_run_is_refused_naming_the_differences(
    texts, whole, tmp_path, change, words, is_done, resume
):
    folder = whole
    if not is_done:
        manifest = model_folder.read_manifest(folder)
        model_folder.save_results(folder, manifest, {}, {**manifest.training, "stopped": "request"})
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with pytest.raises((UsageError, OutputError), match=words):
        list(auto(texts, folder, **change, resume=resume))
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_model_without_checkpoint_is_not_replaced(texts, tmp_path):
    list(auto(texts, tmp_path / "m", resumable=False))
    with pytest.raises(
        OutputError, match="already holds a model of another run.*hidden_size.*overwrite=True"
    ):
        list(auto(texts, tmp_path / "m", resumable=False, hidden_size=9))


def test_what_may_change_may(texts, cut):
    *_, finished = auto(texts, cut, save_every="2steps", keep_checkpoints=3)
    assert finished.steps == 9
    assert len(list((cut / "training").glob("state-*.json"))) == 3


@pytest.mark.parametrize("value", ["0steps", "soon", "-3s", "nan", "", "1e999s", "5"])
def test_an_interval_must_be_one(texts, tmp_path, value):
    with pytest.raises(UsageError):
        list(auto(texts, tmp_path / "m", save_every=value))
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("value", ["2steps", "1s", "0.5m", "2h", "1epochs"])
def test_an_interval_is_of_steps_or_time(texts, tmp_path, value):
    if value.endswith("epochs"):
        with pytest.raises(UsageError, match="save_every"):
            list(auto(texts, tmp_path / "m", save_every=value))
        return
    *events, finished = auto(texts, tmp_path / "m", save_every=value)
    kept = [event.step for event in events if isinstance(event, Checkpoint)]
    # by time: the first need not wait
    assert (kept == [2, 4, 6, 8] if value == "2steps" else len(kept) == 1) and finished.steps == 9
