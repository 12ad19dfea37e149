"""metrics.jsonl: whole lines of one run, none of which is told twice when it goes on."""

import json

import pytest

from rnnlm.events import Finished, ModelSaved, Step, Validated
from rnnlm.storage.run_files import MetricsLog, read_events
from support.failing_files import failing


def validated(step):
    return Validated(step, 0.5, {"ppl_token": float("inf")}, float("nan"), False, 1.0, None)


def saved(step):
    return ModelSaved("m", step)


def told(folder):
    """Return (kind, step) of each line, and check that all are whole."""
    lines = (folder / "metrics.jsonl").read_bytes()
    assert lines.endswith(b"\n")
    return [(event["event"], event["step"]) for event in map(json.loads, lines.splitlines())]


@pytest.fixture
def log(tmp_path):
    log = MetricsLog(tmp_path)
    log.write_to_folder()
    return log


def test_infinities_become_null(log, tmp_path):
    log.add(validated(1))
    entry = json.loads((tmp_path / "metrics.jsonl").read_text(), parse_constant=pytest.fail)
    assert entry["ppl_token"] is None and entry["best_ppl_token"] is None and entry["step"] == 1


def test_lines_await_a_model_then_replace_old_ones(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"event": "saved", "step": 99}\n', encoding="utf-8")
    log = MetricsLog(tmp_path)
    log.add(saved(1))
    assert told(tmp_path) == [("saved", 99)]
    log.write_to_folder()
    log.add(saved(2))
    assert told(tmp_path) == [("saved", 1), ("saved", 2)]


def test_steps_are_told_now_and_then(log, tmp_path):
    for number in range(100):
        log.add(Step(number, 0.0, 1, 1.0, 0.1, 1.0, 0.1, seconds=float(number)))
    assert [step for _, step in told(tmp_path)] == [*range(0, 100, 10)]


def test_steps_that_are_taken_again_are_told_once(log, tmp_path):
    for step in (2, 4):
        log.add(validated(step))
    position = log.position
    for event in (saved(4), validated(6), saved(6)):
        log.add(event)
    again = MetricsLog(tmp_path)
    again.add(saved(4))
    again.resume(position, 4, 4)
    again.add(validated(6))
    expected = [("validated", 2), ("validated", 4), ("saved", 4), ("saved", 4), ("validated", 6)]
    assert told(tmp_path) == expected


def test_forgotten_validation_is_logged_once(log, tmp_path):
    """The last one of a run that goes on after it."""
    for event in (validated(4), validated(5), saved(5)):
        log.add(event)
    again = MetricsLog(tmp_path)
    again.resume(log.position, 5, 4)
    again.add(validated(5))
    assert told(tmp_path) == [("validated", 4), ("saved", 5), ("validated", 5)]


@pytest.mark.parametrize("torn", [
    b'{"event": "sav', b'{"event": "saved", "step": 3}', b"\xff\n", b"[]\n", b"3\n",
    b'{"step": []}\n',
])  # fmt: skip
def test_a_line_cut_short_or_damaged_goes(log, tmp_path, torn):
    log.add(saved(1))
    with open(tmp_path / "metrics.jsonl", "ab") as stream:
        stream.write(torn)
    again = MetricsLog(tmp_path)
    again.resume(log.position, 3, 3)
    again.add(saved(4))
    assert told(tmp_path) == [("saved", 1), ("saved", 4)]


def test_missing_or_shortened_log_starts_over(log, tmp_path):
    for step in range(3):
        log.add(saved(step))
    for left in (1, 0):
        lines = (tmp_path / "metrics.jsonl").read_bytes().splitlines(keepends=True)[:left]
        (tmp_path / "metrics.jsonl").write_bytes(b"".join(lines))
        again = MetricsLog(tmp_path)
        again.resume(log.position, 9, 9)
        again.add(saved(9))
        assert told(tmp_path) == [("saved", 0), ("saved", 9)][1 - left :]
    (tmp_path / "metrics.jsonl").unlink()
    MetricsLog(tmp_path).resume(log.position, 9, 9)


def test_partly_written_line_is_rewritten_whole(log, tmp_path):
    log.add(saved(1))
    with failing(tmp_path, ("write",)):  # half of it reaches the file
        log.add(saved(2))
        log.add(saved(3))
    assert len(log.pending) == 2 and read_events(tmp_path)[0]["step"] == 1
    log.add(saved(4))
    assert told(tmp_path) == [("saved", step) for step in (1, 2, 3, 4)] and not log.pending


def test_log_is_complete_once_it_records_the_end(log, tmp_path):
    log.add(saved(1))
    assert not log.is_complete and not MetricsLog(tmp_path / "none").is_complete
    log.add(Finished("m", 1, 1, 1.0, "budget", {}))
    assert log.is_complete
