"""Signals in each phase of a run: it ends soon, in order, and can be resumed."""

import contextlib
import itertools
import os
import re
import signal
import time

import pytest

from rnnlm.lm.neural.trained_network import NeuralLanguageModel
from rnnlm.lm.neural.training.trainer import Trainer
from rnnlm.training import run as training_run
from rnnlm.training.language_model import LanguageModelling
from support.killed_runs import checked, command, newest_step, outcome

pytestmark = [pytest.mark.processes, pytest.mark.system("fork", "signals")]

SETTINGS = {"validate_every_steps": 5, "dropout_output": 0.2, "schedule": "constant"}
SETTINGS["learning_rate"] = 0.01
STEPS = {"budget": "12steps"}


@pytest.fixture(scope="module")
def long_texts(texts):
    """Return a text, and validation text of several windows."""
    text, valid = texts
    longer = valid.with_name("longer.txt")
    longer.write_text(valid.read_text(encoding="utf-8") * 5, encoding="utf-8")
    return text, longer


@pytest.fixture(scope="module")
def expected(warm, long_texts, tmp_path_factory):
    warm.folder = tmp_path_factory.mktemp("whole")
    ended = warm.run(command(*long_texts, warm.folder / "m", SETTINGS, **STEPS))
    assert ended.code == 0, ended.said
    return outcome(warm.folder / "m")


# ---- Runs that stop themselves, so that a signal finds them there on the busiest machine, too.


@contextlib.contextmanager
def started(runs, arguments, *places):
    """Start a run that stops itself before these calls of functions."""
    with contextlib.ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patched:
            for owner, name, call in places:
                patched.setattr(owner, name, stopping_at(call, getattr(owner, name)))
            process, steps = stack.enter_context(runs.started(arguments))
        yield process, steps


def stopping_at(call, function):
    """Return the function such that its process stops itself before that call of it."""
    calls = itertools.count(1)

    def called(*arguments, **options):
        if next(calls) == call:
            os.kill(os.getpid(), signal.SIGSTOP)
        return function(*arguments, **options)

    return called


def wait_until_stopped(process):
    """Wait until the process has stopped itself once more, and see that it does."""
    until = time.monotonic() + 60
    while os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOHANG) is None:
        assert process.is_alive() and time.monotonic() < until
        time.sleep(0.001)


def go_on(process, number):
    """Let the process go on when it has stopped itself, with a signal that it finds at once."""
    wait_until_stopped(process)
    os.kill(process.pid, number)
    os.kill(process.pid, signal.SIGCONT)


def assert_ends_by(process, number):
    process.join(60)
    assert process.exitcode == 128 + number


PHASES = {  # where, and after how many steps
    "steps": ((Trainer, "train_step", 7), 7),
    "validation": ((NeuralLanguageModel, "score", 2), 5),
    "exact evaluation": ((LanguageModelling, "evaluate_encoded", 1), 12),
}


@pytest.mark.parametrize("phase, number", [
    ("steps", getattr(signal, "SIGHUP", None)),
    pytest.param("steps", signal.SIGTERM, marks=pytest.mark.soak),
    pytest.param("steps", signal.SIGINT, marks=pytest.mark.soak),
    ("validation", signal.SIGTERM), ("exact evaluation", signal.SIGINT),
    pytest.param("exact evaluation", signal.SIGTERM, marks=pytest.mark.soak),
])  # fmt: skip
def test_signal_ends_the_run_cleanly_at_any_point(runs, long_texts, expected, phase, number):
    arguments = command(*long_texts, runs.folder / "m", SETTINGS, **STEPS)
    place, done = PHASES[phase]
    with started(runs, arguments, place) as (process, steps):
        go_on(process, number)
        assert_ends_by(process, number)
        assert steps.value == done
    said = runs.said
    assert "Traceback" not in said
    if phase == "steps":
        assert re.search(r"stopped on request; the best model \(step \d+\) is saved in ", said)
        assert "to resume, run the same command again" in said
    if phase == "exact evaluation":
        assert f"the model in {runs.folder / 'm'} is complete; the same command evaluates" in said
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
        os.kill(process.pid, number)
        assert_ends_by(process, number)
        os.close(writer)
    assert not (runs.folder / "m").exists()


def assert_same_training(folder, expected):
    found = outcome(folder)
    for part in ("fingerprint", "arrays", "log"):
        assert getattr(found, part) == getattr(expected, part)


def test_usr1_stores_a_checkpoint_and_training_goes_on(runs, long_texts, expected):
    folder = runs.folder / "m"
    places = [(Trainer, "train_step", call) for call in (3, 4, 8, 9)]
    arguments = command(*long_texts, folder, SETTINGS, **STEPS)
    with started(runs, arguments, *places) as (process, _):
        for step in (3, 8):
            go_on(process, signal.SIGUSR1)
            wait_until_stopped(process)
            assert newest_step(folder) == step
            os.kill(process.pid, signal.SIGCONT)
        process.join(60)
    assert process.exitcode == 0
    assert_same_training(folder, expected)


def test_second_signal_stops_at_once_keeping_earlier_checkpoint(runs, expected, long_texts):
    """Here while the first one's state is being written."""
    folder = runs.folder / "m"
    arguments = command(*long_texts, folder, SETTINGS, save_every="3steps", **STEPS)
    places = (Trainer, "train_step", 5), (training_run, "save_checkpoint", 2)
    with started(runs, arguments, *places) as (process, _):
        go_on(process, signal.SIGINT)
        go_on(process, signal.SIGINT)
        assert_ends_by(process, signal.SIGINT)
    assert checked(folder) and newest_step(folder) == 3 and not list(folder.rglob("*.new"))
    assert runs.run(arguments).code == 0
    assert_same_training(folder, expected)


def test_second_training_is_refused_unless_lock_is_stale(runs, long_texts):
    folder = runs.folder / "m"
    arguments = command(*long_texts, folder, SETTINGS, save_every="3steps", **STEPS)
    place = Trainer, "train_step", 5
    with started(runs, arguments, place) as (process, _):
        wait_until_stopped(process)
        refused = runs.run(arguments)
        assert refused.code == 1 and f"error: another process is writing {folder}" in refused.said
        assert f"why: process {process.pid} on {os.uname().nodename}, since " in refused.said
        process.kill()
        process.join()
    ended = runs.run(arguments)
    assert ended.code == 0, ended.said
