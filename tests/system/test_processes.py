"""Runs of several processes: what a person sees of them, and that they end together, however they
end."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from rnnlm.cli import processes
from rnnlm.cli.commands import train
from rnnlm.cli.processes import LAUNCHED, LOST, _Processes
from rnnlm.cli.signals import Signals
from rnnlm.training import run as training

SMALL = (
    "--set", "hidden_size=8", "--set", "embedding_size=8", "--precision", "fp32", "--device", "cpu",
    "--set", "bptt_tokens=12", "--set",
    "validate_every_steps=10", "--set", "patience=none", "--set", "dropout_input=0", "--set",
    "dropout_output=0", "--set",
    "schedule=constant",
)  # fmt: skip
ENDLESS = ("--budget", "1000000steps")


def weights(folder):
    return load_file(next(Path(folder).glob("weights-*.safetensors")))


def children(process) -> dict[int, int]:
    """Return the process ids of the processes that `process` has started, by rank."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            is_child = (
                entry.name.isdigit()
                and f"\nPPid:\t{process.pid}\n" in (entry / "status").read_text()
            )
            name = (entry / "comm").read_text() if is_child else ""
        except OSError:
            continue
        if name.startswith("rank "):  # as support/forked.py names them
            found[int(name[5:])] = int(entry.name)
    return found


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def wait_for(condition, seconds=60):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


def begun(start, models, folder):
    """Start a run of two processes, and wait for its first validation. Return it and their ids by
    rank."""
    process = start(
        "train",
        models.text,
        "--valid",
        models.valid,
        "-o",
        folder,
        *SMALL,
        *ENDLESS,
        "--set",
        "batch_rows=2",
        "--processes",
        "2",
    )
    line = ""
    while "checkpoint" not in line:
        line = process.stderr.readline()
        assert line, process.communicate()
    return process, children(process)


def test_two_processes_make_the_model_of_one(rnnlm, spawn, models):
    texts = (models.text, "--valid", models.valid, *SMALL, "--budget", "20steps")
    shown = spawn(
        "train", *texts, "--set", "batch_rows=2", "-o", "two", "--processes", "2", "--json"
    )
    assert shown.code == 0, shown.err
    record = json.loads(shown.out)
    assert (record["folder"], record["steps"], record["stopped"]) == ("two", 20, "budget")
    assert (
        shown.err.count("training: lstm") == 1
        and "4 streams of 12-token windows in 2 processes" in shown.err
    )
    assert rnnlm("train", *texts, "--set", "batch_rows=4", "-o", "one").code == 0
    one, two = weights("one"), weights("two")
    assert all(abs(one[name] - two[name]).max() < 1e-5 for name in one)
    events = [
        json.loads(line)["event"] for line in Path("two/metrics.jsonl").read_text().splitlines()
    ]
    assert events.count("started") == events.count("finished") == 1
    resumed = rnnlm(
        "train",
        models.text,
        "--valid",
        models.valid,
        "-o",
        "two",
        "--resume",
        "--budget",
        "30steps",
    )
    assert (
        resumed.code == 0
        and "4 streams" in resumed.err
        and "in 1 process instead of 2" in resumed.err
    )


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")
def test_killed_process_ends_all_with_one_clear_message(start, models):
    """The first one, where all meet and which writes."""
    process, ids = begun(start, models, "made")
    os.kill(ids[0], signal.SIGKILL)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    errors = [line for line in err.splitlines() if not line.startswith("step ")]
    assert errors == [
        "error: process 1 of 2 was ended by signal 9 (SIGKILL)",
        "  why: the others cannot go on without it, and have ended",
        "  try: to continue from the last checkpoint, run the same command with --resume",
    ]  # fmt: skip
    assert not any(map(is_running, ids.values()))
    assert not list(Path("made").glob(".*")) and len(list(Path("made").glob("weights-*"))) == 1


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")
def test_stopped_processes_store_state_and_leave_no_orphans(start, models):
    process, ids = begun(start, models, "made")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 143 and err.count("stopped on request") == 1 and "error" not in err
    assert list(Path("made/training").glob("state-*.json")) and not any(
        map(is_running, ids.values())
    )
    process, ids = begun(start, models, "killed")
    process.kill()
    wait_for(lambda: not any(map(is_running, ids.values())), 20)
    assert list(Path("killed/training").glob("state-*.json"))


@pytest.mark.soak
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("busy", [0, 4], ids=["alone", "under load"])
def test_hundred_signalled_shutdowns_crash_no_process(start, models, busy):
    draw, seconds = random.Random(busy), []
    with contextlib.ExitStack() as load:
        for _ in range(busy):
            load.callback(subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]).kill)
        for number in range(100):
            process, ids = begun(start, models, f"made-{number}")
            time.sleep(draw.uniform(0.0, 0.3))
            asked, began = (
                draw.choice([signal.SIGTERM, signal.SIGINT, signal.SIGHUP]),
                time.monotonic(),
            )
            process.send_signal(asked)
            _, err = process.communicate(timeout=60)
            seconds.append(time.monotonic() - began)
            assert (
                process.returncode == 128 + asked
                and "stopped on request" in err
                and "error" not in err
            ), (number, err)
            assert not any(map(is_running, ids.values()))
    print(
        f"{len(seconds)} ends with {busy} busy processes beside; seconds, median: "
        f"{sorted(seconds)[50]:.2f}, most: {max(seconds):.2f}"
    )


def test_what_is_wrong_is_said_once(spawn):
    shown = spawn("train", "--model", "ngram", "--processes", "2", "-o", "made")
    assert (shown.code, shown.errors[0]) == (
        2,
        "error: a model of kind ngram is trained by one process",
    )
    assert sum(line.startswith("error") for line in shown.err.splitlines()) == 1


def test_processes_are_not_started_twice(rnnlm, monkeypatch):
    for name, value in {
        "RANK": "0",
        "WORLD_SIZE": "2",
        "LOCAL_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    shown = rnnlm("train", "my.txt", "--processes", "2")
    assert (
        shown.code == 2
        and shown.errors[0] == "error: --processes and torchrun both start processes"
    )


def test_a_plan_is_shown_by_one_process(rnnlm, models):
    shown = rnnlm("train", models.text, "--dry-run", "--json", "--processes", "2")
    assert shown.code == 0 and json.loads(shown.out)["settings"]["accumulation"]["value"] == 1


class Ended:
    """Processes that do what short programs say."""

    def __init__(self, capsys, tmp_path):
        self.capsys, self.folder = capsys, tmp_path

    def __call__(self, *programs: str, meanwhile=lambda group: None):
        # read, too
        said = [None, *(open(self.folder / str(rank), "w+b") for rank in range(1, len(programs)))]  # noqa: SIM115
        with _Processes(len(programs)) as group:
            for program, errors in zip(programs, said, strict=True):
                group.start([sys.executable, "-S", "-c", program], dict(os.environ), errors)
            meanwhile(group)
            group.wait()
        code = group.report(said)
        for errors in said[1:]:
            errors.close()
        return code, self.capsys.readouterr().err


@pytest.fixture
def ended(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "GRACE_SECONDS", 0.5)
    monkeypatch.setattr(processes, "TERM_SECONDS", 0.5)
    return Ended(capsys, tmp_path)


HANGS = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
LOSES = f"raise SystemExit({LOST})"


def test_exit_code_is_that_of_the_failing_process(ended):
    assert ended("", "") == (0, "")
    assert ended(
        LOSES, "import sys; sys.stderr.write('error: of the second\\n  why: x\\n'); sys.exit(2)"
    ) == (2, "error: of the second\n  why: x\n")
    assert ended("import sys; sys.exit(1)", LOSES)[0] == 1  # the first one has said it
    assert ended("raise SystemExit(143)", "") == (143, "")
    # the run has come to its end: that was in leaving
    assert ended("", "import os; os.abort()") == (0, "")
    code, err = ended(LOSES, "import os; os.abort()", LOSES)
    assert code == 1 and err.startswith("error: process 2 of 3 was ended by signal 6 (SIGABRT)")


def test_hung_process_is_ended_once_others_give_up(ended):
    began = time.monotonic()
    code, err = ended(LOSES, HANGS)
    assert (
        code == 1
        and "error: the 2 processes lost each other\n  why: process 2 did not answer" in err
    )
    assert time.monotonic() - began < 10


def test_requested_exit_leaves_other_processes_time_to_finish(ended):
    """The first process may still be writing when the second one has left."""
    assert ended("import time; time.sleep(1.5)", "raise SystemExit(143)") == (143, "")


def test_process_killed_by_requested_signal_counts_as_ended(ended):
    """As it does one that was leaving already when the signal came; any other signal is a
    failure."""
    waits = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_DFL); time.sleep(60)"

    def asked(group):
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    assert ended("raise SystemExit(143)", waits, meanwhile=asked) == (143, "")
    code, err = ended(
        "raise SystemExit(143)",
        "import os, signal; os.kill(os.getpid(), signal.SIGABRT)",
        meanwhile=asked,
    )
    assert code == 143 and err.startswith("error: process 2 of 2 was ended by signal 6 (SIGABRT)")


def test_a_second_signal_leaves_little_time(ended):
    def twice(group):
        time.sleep(0.5)
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)

    code, _ = ended(HANGS, HANGS, meanwhile=twice)
    assert code == 143


def test_threads_are_shared_unless_they_are_told(monkeypatch):
    monkeypatch.setattr(processes, "processors", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert processes._environment(3, None)["OMP_NUM_THREADS"] == "2"
    assert "OMP_NUM_THREADS" not in processes._environment(3, 4)
    assert processes._environment(3, None)[LAUNCHED] == "1"


def test_one_that_writes_nothing_keeps_no_event(monkeypatch):
    """Each Kept holds a whole checkpoint."""
    events = []

    def run(*_):
        for _ in range(4):
            event = Event()
            events.append(weakref.ref(event))
            yield event
            del event
            assert all(earlier() is None for earlier in events[:-1])

    class Event:
        pass

    monkeypatch.setattr(training, "run", run)
    assert train._train(None, Signals(), speaks=False) is events[-1]()
