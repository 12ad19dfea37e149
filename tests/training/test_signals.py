"""Signals in each phase of a run: it ends in order, soon, with its exit code, and stores a state to
go on from; it ends like an unbroken one."""

import os
import re
import signal
import time

import pytest

from support.killed_runs import checked, command, newest_step, outcome

pytestmark = pytest.mark.processes

SETTINGS = {"validate_every_steps": 10, "dropout_output": 0.2, "schedule": "constant"}
SETTINGS["learning_rate"] = 0.01
STEPS = {"budget": "30steps"}


@pytest.fixture(scope="module")
def long_texts(texts):
    """Return a text, and validation text that takes a while to read."""
    text, valid = texts
    longer = valid.with_name("longer.txt")
    longer.write_text(valid.read_text(encoding="utf-8") * 60, encoding="utf-8")
    return text, longer


@pytest.fixture(scope="module")
def expected(warm, long_texts, tmp_path_factory):
    warm.folder = tmp_path_factory.mktemp("whole")
    ended = warm.run(command(*long_texts, warm.folder / "m", SETTINGS, **STEPS))
    assert ended.code == 0, ended.said
    return outcome(warm.folder / "m")


def wait(condition, process):
    until = time.monotonic() + 60
    while not condition():
        assert process.is_alive() and time.monotonic() < until
        time.sleep(0.001)


def ended_by(process, number):
    """Signal the process, and see that it ends by that."""
    os.kill(process.pid, number)
    process.join(60)
    assert process.exitcode == 128 + number


PHASES = {
    "steps": lambda runs, steps: steps.value > 5,
    "validation": lambda runs, steps: steps.value == 10,
    "exact evaluation": lambda runs, steps: "now evaluating" in runs.said,
}


@pytest.mark.parametrize("phase, number", [
    ("steps", signal.SIGTERM), ("steps", signal.SIGHUP),
    pytest.param("steps", signal.SIGINT, marks=pytest.mark.soak),
    ("validation", signal.SIGTERM), ("exact evaluation", signal.SIGTERM),
    pytest.param("exact evaluation", signal.SIGINT, marks=pytest.mark.soak),
])  # fmt: skip
def test_signal_ends_the_run_cleanly_at_any_point(runs, long_texts, expected, phase, number):
    arguments = command(*long_texts, runs.folder / "m", SETTINGS, **STEPS)
    with runs.started(arguments) as (process, steps):
        wait(lambda: PHASES[phase](runs, steps), process)
        time.sleep(0.02 if phase == "validation" else 0.0)
        ended_by(process, number)
        done = steps.value
    said = runs.said
    assert "Traceback" not in said
    if phase == "steps":
        assert re.search(r"stopped on request; the best model \(step \d+\) is saved in ", said)
        assert "to resume, run the same command again" in said
    assert checked(runs.folder / "m") and newest_step(runs.folder / "m") == done
    assert not (runs.folder / "m" / "owner.json").exists()
    ended = runs.run(arguments)
    assert ended.code == 0 and "no longer responds" not in ended.said, ended.said
    assert outcome(runs.folder / "m") == expected


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_while_reading_text_leaves_nothing(runs, texts, number):
    os.mkfifo(runs.folder / "text")
    arguments = command(runs.folder / "text", texts[1], runs.folder / "m", SETTINGS, **STEPS)
    with runs.started(arguments) as (process, _):
        writer = os.open(runs.folder / "text", os.O_WRONLY)  # which waits until it is read
        os.kill(process.pid, signal.SIGUSR1)
        time.sleep(0.05)
        assert process.is_alive()
        ended_by(process, number)
        os.close(writer)
    assert not (runs.folder / "m").exists()


def assert_same_training(folder, expected):
    found = outcome(folder)
    for part in ("fingerprint", "arrays", "log"):
        assert getattr(found, part) == getattr(expected, part)


def test_usr1_stores_a_checkpoint_and_training_goes_on(runs, long_texts, expected):
    folder = runs.folder / "m"
    with runs.started(command(*long_texts, folder, SETTINGS, **STEPS)) as (process, steps):
        for at in (2, 12):
            wait(lambda at=at: steps.value >= at, process)
            os.kill(process.pid, signal.SIGUSR1)
            wait(lambda at=at: newest_step(folder) >= at, process)
        process.join(60)
    assert process.exitcode == 0
    assert_same_training(folder, expected)


def test_second_signal_stops_at_once_keeping_earlier_checkpoint(runs, texts, expected, long_texts):
    """Here while the first one's state is being written."""
    folder = runs.folder / "m"
    arguments = command(*long_texts, folder, SETTINGS, save_every="3steps", **STEPS)
    with runs.started(arguments) as (process, steps):
        wait(lambda: newest_step(folder) >= 3, process)
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.001)
        ended_by(process, signal.SIGINT)
    assert checked(folder) and newest_step(folder) >= 3 and not list(folder.rglob("*.new"))
    assert runs.run(arguments).code == 0
    assert_same_training(folder, expected)


def test_second_training_is_refused_unless_lock_is_stale(runs, long_texts):
    folder = runs.folder / "m"
    arguments = command(*long_texts, folder, SETTINGS, save_every="3steps", **STEPS)
    with runs.started(arguments) as (process, steps):
        wait(lambda: newest_step(folder) >= 3, process)
        os.kill(process.pid, signal.SIGSTOP)
        refused = runs.run(arguments)
        assert refused.code == 1 and f"error: another process is writing {folder}" in refused.said
        assert f"why: process {process.pid} on {os.uname().nodename}, since " in refused.said
        process.kill()
        process.join()
    ended = runs.run(arguments)
    assert ended.code == 0, ended.said
