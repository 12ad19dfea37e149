"""Writing that fails: training goes on, and earlier saves are whole."""

import errno
import shutil
import warnings
from dataclasses import replace

import pytest

from rnnlm.errors import OutputError, RnnlmWarning
from rnnlm.events import Checkpoint, Fitted, ModelSaved, SaveFailed
from rnnlm.runs import train
from rnnlm.training import printing, run
from support.failing_files import failing
from support.killed_runs import TINY, checked, outcome
from support.tiny_models import english_lines

pytestmark = pytest.mark.processes

RUN = {
    **TINY, "bptt_tokens": 8, "validate_every_steps": 4, "budget": "9steps",
    "save_every": "3steps", "dropout_output": 0.2, "schedule": "constant", "warmup": 0.0,
    "unknown_words": 0.0,
}  # fmt: skip
FULL, QUOTA, BROKEN, READ_ONLY = errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("\n".join(english_lines(60)) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def expected(text, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "m"
    list(train(text, output=folder, **RUN))
    return outcome(folder)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    for pause in ("RETRY_SECONDS", "LAST_PAUSE_SECONDS", "PAUSE_SECONDS"):
        monkeypatch.setattr(run, pause, 0.0)


FAILURES = [
    ("write", FULL, "weights"), ("fsync", BROKEN, "weights"), ("replace", READ_ONLY, "weights"),
    ("replace", FULL, "config.json"), ("write", QUOTA, "vocab"), ("write", FULL, "README"),
    ("write", QUOTA, "safetensors"), ("fsync", BROKEN, "state"), ("write", FULL, "state"),
    ("replace", BROKEN, ".json"), ("open", READ_ONLY, "state"), ("unlink", BROKEN, "state"),
    ("unlink", BROKEN, "weights"),
]  # fmt: skip
CALLS = {"for a while": range(5), "once": range(1), "later on": range(2, 4)}


def failures():
    """Yield each failure for a while, once, or later on, in turn; with -m soak, all three."""
    for number, failure in enumerate(FAILURES):
        for place, (when, calls) in enumerate(CALLS.items()):
            marks = () if place == number % len(CALLS) else pytest.mark.soak
            name = "-".join([*map(str, failure), when])
            yield pytest.param(*failure, calls, id=name, marks=marks)


@pytest.mark.parametrize("kind, number, part, calls", [*failures()])
def test_what_cannot_be_written_now_is_written_later(
    text, tmp_path, expected, monkeypatch, kind, number, part, calls
):
    monkeypatch.setattr(run, "PAUSE_SECONDS", 60.0)
    with failing(tmp_path / "m", (kind,), number, part, calls) as failed:
        events = list(train(text, output=tmp_path / "m", **RUN))
    assert failed or calls.start
    unsaved = [event for event in events if isinstance(event, SaveFailed)]
    # later on: it may be the end, where it is tried a few times
    assert bool(unsaved) == (kind != "unlink") or calls.start, events
    assert all(event.why.startswith("cannot write to ") for event in unsaved)
    assert outcome(tmp_path / "m") == expected


@pytest.mark.parametrize("kind", ["open", "write"])
def test_temporarily_unwritable_log_is_written_later(text, tmp_path, expected, kind):
    with failing(tmp_path / "m", (kind,), FULL, "metrics", range(5)) as failed:
        list(train(text, output=tmp_path / "m", **RUN))
    assert len(failed) == 5
    assert outcome(tmp_path / "m") == expected


def test_permanently_unwritable_log_is_reported_at_the_end(text, tmp_path):
    unwritable = failing(tmp_path / "m", ("open",), FULL, "metrics")
    with unwritable, pytest.warns(RnnlmWarning, match="metrics.jsonl cannot be written: it lacks"):
        list(train(text, output=tmp_path / "m", **RUN))
    assert checked(tmp_path / "m").training["stopped"] == "budget"


@pytest.mark.parametrize("part", ["m", "weights", "state", "config.json"])
def test_full_disk_is_an_error_leaving_saves_whole(text, tmp_path, expected, part):
    """And the run goes on once there is space again."""
    events = train(text, output=tmp_path / "m", **RUN)
    seen = [next(event for event in events if isinstance(event, Checkpoint)), next(events)]
    assert isinstance(seen[-1], ModelSaved)
    full, why = failing(tmp_path / "m", ("write",), FULL, part), "not saved|cannot write"
    with full, pytest.raises(OutputError, match=why) as caught:
        seen += events
    assert "No space left on device" in str(caught.value) and "free some space" in caught.value.hint
    assert {SaveFailed, Fitted} <= set(map(type, seen))
    assert checked(tmp_path / "m").step in (3, 4, 8) and not list(tmp_path.rglob("*.new"))
    list(train(text, output=tmp_path / "m", **RUN))
    assert outcome(tmp_path / "m") == expected


def test_a_run_that_cannot_save_pauses_and_does_not_go_on_to_lose_steps(text, tmp_path):
    """Nothing is computed after the second failure; the run ends with the model it has."""
    seen = []
    events = train(text, output=tmp_path / "m", **{**RUN, "budget": "900steps"})
    with failing(tmp_path / "m", ("write",), FULL, "weights"), pytest.raises(OutputError):
        for event in events:
            seen.append(event)  # noqa: PERF402 (those before the error count)
    failed = [event for event in seen if isinstance(event, SaveFailed)]
    assert [(event.failures, event.is_pausing) for event in failed] == [(1, False), (2, True)]
    assert failed[-1].step < 20
    shown = (*failed, replace(failed[-1], failures=3))
    lines = ["".join(printing.rare_event_lines(event)) for event in shown]
    assert "training continues" in lines[0] and "training pauses" in lines[1] and not lines[2]


def test_a_paused_run_ends_when_asked(text, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "PAUSE_SECONDS", 3600.0)
    failed = []
    with failing(tmp_path / "m", ("write",), FULL, "weights"), pytest.raises(OutputError):
        events = train(text, output=tmp_path / "m", stop=lambda: len(failed) > 1, **RUN)
        failed.extend(event for event in events if isinstance(event, SaveFailed))
    assert len(failed) == 2


def test_little_space_is_noticed_before_the_first_step(tmp_path):
    with pytest.warns(RnnlmWarning, match="is free on the disk of .*m, and the run writes about"):
        run.notice_little_space(tmp_path / "not" / "m", 1 << 60)
    with warnings.catch_warnings(action="error"):
        run.notice_little_space(tmp_path / "not" / "m", 1)


def test_disk_full_from_the_start_is_an_error(text, tmp_path):
    full, match = failing(tmp_path / "m", ("write",), FULL, "weights"), "has no model of this run"
    with full, pytest.raises(OutputError, match=match):
        list(train(text, output=tmp_path / "m", **RUN))
    assert not (tmp_path / "m").exists()


def test_slow_failing_saves_are_not_retried_at_end(text, tmp_path, monkeypatch):
    """Each try takes its time with a large model, and who sent a signal waits."""
    tries, folder = [], tmp_path / "m"
    for seconds in (60.0, -1.0):
        monkeypatch.setattr(run, "LAST_SECONDS", seconds)
        asked = {**RUN, "budget": "2steps", "save_every": "9steps"}
        with failing(folder, ("write",), FULL, "weights") as failed, pytest.raises(OutputError):
            list(train(text, output=folder, **asked))
        tries.append(len(failed))
    assert tries == [tries[1] + run.LAST_TRIES - 1, tries[1]]


@pytest.mark.parametrize("after", [Checkpoint, ModelSaved, Fitted])
def test_a_folder_that_vanishes_is_an_error(text, tmp_path, after):
    seen = []
    with pytest.raises(OutputError):
        for event in train(text, output=tmp_path / "m", **RUN):
            seen.append(event)
            if isinstance(event, after):
                shutil.rmtree(tmp_path / "m")
                after = ()
    if not isinstance(seen[-1], Fitted):
        assert any(isinstance(event, SaveFailed) for event in seen)
    assert not (tmp_path / "m").exists()


def test_a_folder_that_comes_back_is_saved_in(text, tmp_path, expected):
    seen = []
    for event in train(text, output=tmp_path / "m", **RUN):
        seen.append(type(event))
        if isinstance(event, ModelSaved) and SaveFailed not in seen:
            (tmp_path / "m").rename(tmp_path / "away")
        if isinstance(event, SaveFailed):
            (tmp_path / "away").rename(tmp_path / "m")
    assert SaveFailed in seen
    assert checked(tmp_path / "m").fingerprint == expected.fingerprint


def test_file_replacing_the_folder_is_reported_and_kept(text, tmp_path):
    seen = []
    with pytest.raises(OutputError, match="the end of the run is not saved"):
        for event in train(text, output=tmp_path / "m", **RUN):
            seen.append(event)
            if isinstance(event, Checkpoint) and event.step == 3:
                shutil.rmtree(tmp_path / "m")
                (tmp_path / "m").write_text("mine", encoding="utf-8")
    assert any(isinstance(event, SaveFailed) for event in seen)
    assert (tmp_path / "m").read_text(encoding="utf-8") == "mine"
