"""Runs of several ranks, as torchrun starts them: what is seen of them, and how they end."""

import json
import multiprocessing
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time
import weakref
from dataclasses import dataclass
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from rnnlm.cli import live
from rnnlm.cli.signals import Signals
from rnnlm.training import run as training
from support.commands import environment
from support.forks import FORK, free_port, run_command

pytestmark = [pytest.mark.processes, pytest.mark.system("fork", "signals")]

SETTINGS = [
    "hidden_size=8", "embedding_size=8", "bptt_tokens=12", "validate_every_steps=10", "patience=none",
    "dropout_input=0", "dropout_output=0", "schedule=constant", "bias_rate=1",
]  # fmt: skip
SMALL = ("--precision", "fp32", "--device", "cpu", *(f"--set={each}" for each in SETTINGS))
ENDLESS = ("--budget", "1000000steps")
PAGE = Path(__file__).parents[4] / "docs" / "train.md"


def weights(folder):
    return load_file(next(Path(folder).glob("weights-*.safetensors")))


def assert_same_weights(one, two):
    """Compare by far less than a step of AdamW, some 0.01: rounding may change a weight by 1e-5."""
    one, two = weights(one), weights(two)
    assert all(abs(one[name] - two[name]).max() < 1e-4 for name in one)


@dataclass
class Rank:
    """A process of a run, and the files of what it prints and says."""

    process: multiprocessing.Process
    out: Path
    err: Path


@pytest.fixture
def ranks(here, models):  # the models: their training imports what the forks need
    """Yield a function that starts a command as two ranks, as torchrun does. End them afterwards."""
    started = []

    def command(*arguments) -> list[Rank]:
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
        pair = []
        for number in range(2):
            out, err = here / f"out-{len(started)}", here / f"err-{len(started)}"
            own = {**place, "RANK": str(number), "LOCAL_RANK": str(number)}
            process = FORK.Process(target=run_command, args=(arguments, out, err), kwargs=own)
            process.start()
            pair.append(Rank(process, out, err))
            started.append(process)
        return pair

    yield command
    for process in started:
        process.kill()
        process.join()


def ends(ranks):
    """Wait for the processes. Return their exit codes, what they printed, and what they said."""
    for rank in ranks:
        rank.process.join(60)
    files = [[rank.out.read_text() for rank in ranks], [rank.err.read_text() for rank in ranks]]
    return [rank.process.exitcode for rank in ranks], *files


def begun(ranks, models, folder):
    """Start an endless run of two ranks, and wait for its first checkpoint."""
    given = ("--valid", models.valid, "-o", folder, *SMALL, *ENDLESS, "--set", "batch_rows=2")
    processes = ranks("train", models.text, *given)
    state = Path(folder) / "training"
    deadline = time.monotonic() + 60
    while not list(state.glob("state-*.json")):
        assert processes[0].process.is_alive() and time.monotonic() < deadline, ends(processes)
        time.sleep(0.05)
    return processes


def test_two_ranks_make_the_model_of_one_process(rnnlm, ranks, models):
    texts = (models.text, "--valid", models.valid, *SMALL, "--budget", "20steps")
    started = ranks("train", *texts, "--set", "batch_rows=2", "-o", "two", "--json")
    codes, (out, other), (err, other_err) = ends(started)
    assert codes == [0, 0], (err, other_err)
    record = json.loads(out)
    assert (record["folder"], record["steps"], record["stopped"]) == ("two", 20, "budget")
    # torch may warn the other rank, as the one that it meets has ended.
    assert other == "" and "training" not in other_err and "step" not in other_err
    assert err.count("training: lstm") == 1
    assert "in 2 processes" in err
    assert rnnlm("train", *texts, "--set", "batch_rows=4", "-o", "one").code == 0
    assert_same_weights("one", "two")
    log = Path("two/metrics.jsonl").read_text().splitlines()
    events = [json.loads(line)["event"] for line in log]
    assert events.count("started") == events.count("finished") == 1
    longer = (*texts[:-1], "30steps", "--set", "batch_rows=2", "-o", "two")
    resumed = rnnlm("train", *longer)
    assert resumed.code == 0
    assert "in 1 process instead of 2" in resumed.err

    # Both ranks find what is done.
    codes, (out, other), (err, _) = ends(ranks("train", *longer, "--json"))
    assert codes == [0, 0] and "two is finished" in err
    assert (json.loads(out)["steps"], other) == (30, "")


@pytest.mark.parametrize("killed", [0, 1])
def test_a_killed_rank_ends_the_other(ranks, models, killed):
    """Rank 0 is where all meet, and writes."""
    processes = begun(ranks, models, "made")
    processes[killed].process.kill()
    codes, _, said = ends(processes)
    assert (codes[killed], codes[1 - killed]) == (-signal.SIGKILL, 1)
    lines = said[1 - killed].splitlines()
    errors = lines[lines.index("error: another process of the run is lost") :]
    assert errors[0] == "error: another process of the run is lost"
    assert errors[-1].endswith("run the same command again")
    assert len(list(Path("made").glob("weights-*"))) == 1


def test_stopped_ranks_store_their_state(ranks, models):
    processes = begun(ranks, models, "made")
    for rank in processes:
        os.kill(rank.process.pid, signal.SIGTERM)
    codes, _, said = ends(processes)
    assert codes == [143, 143]
    assert "".join(said).count("stopped on request") == 1 and "error" not in "".join(said)
    assert list(Path("made/training").glob("state-*.json"))


@pytest.mark.soak
@pytest.mark.parametrize("busy", [0, 4], ids=["alone", "under load"])
def test_hundred_signalled_shutdowns_crash_no_rank(ranks, models, busy):
    draw, load = random.Random(busy), []
    for _ in range(busy):
        load.append(subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]))
    try:
        for number in range(100):
            processes = begun(ranks, models, f"made-{number}")
            time.sleep(draw.uniform(0.0, 0.3))
            asked = draw.choice([signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
            for rank in processes:
                os.kill(rank.process.pid, asked)
            codes, _, said = ends(processes)
            assert codes == [128 + asked] * 2, (number, said)
            assert "stopped on request" in said[0] and "error" not in "".join(said), (number, said)
    finally:
        for process in load:
            process.kill()


def test_errors_and_plans_are_shown_once(ranks, models):
    codes, _, said = ends(ranks("train", "--model", "ngram", "-o", "made"))
    assert codes == [2, 2]
    errors = [line for line in "".join(said).splitlines() if line.startswith("error")]
    assert errors == ["error: a model of kind ngram is trained in a single process"]
    codes, (out, other), _ = ends(ranks("train", models.text, "--dry-run", "--json"))
    assert codes == [0, 0] and other == ""
    assert json.loads(out)["settings"]["accumulation"]["value"] == 1


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
    assert live.follow(None, Signals(), speaks=False) is events[-1]() is None


# ---- The examples of the page, by torchrun itself.

TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]


def examples(nodes: int) -> list[list[str]]:
    """Return the arguments of the page's commands for so many machines."""
    command = re.compile(r"^(?:machine\d\$ )?torchrun (.*)$", re.MULTILINE)
    lines = command.findall(PAGE.read_text("utf-8"))
    found = [shlex.split(line, comments=True) for line in lines]
    return [each for each in found if ("--nnodes" in each) == (nodes > 1)]


def test_the_example_of_the_page_can_be_planned(rnnlm, models):
    ((*_, module, name, _, text, output, folder),) = examples(1)
    assert (module, name, text) == ("-m", "rnnlm", "my.txt")
    assert rnnlm("train", models.text, output, folder, "--dry-run").code == 0


@pytest.mark.soak
@pytest.mark.parametrize("nodes", [1, 2])
def test_the_examples_of_the_page_run(rnnlm, here, models, nodes):
    """On one machine, which stands for both, by CPU and gloo."""
    commands, port = examples(nodes), str(free_port())
    assert len(commands) == nodes
    texts = (models.text, "--valid", models.valid, *SMALL, "--budget", "20steps")
    started = []
    for command in commands:
        its = [{"machine1": "127.0.0.1", "29500": port}.get(word, word) for word in command]
        folder = its[its.index("-o") + 1]
        its[its.index("my.txt")] = str(models.text)
        per_node = its[its.index("--nproc-per-node") + 1]
        ranks = nodes * int(per_node)
        its += [*map(str, texts[1:]), "--set", f"batch_rows={4 // ranks}"]
        own = {"cwd": here, "env": environment(), "stderr": subprocess.PIPE}
        started.append(subprocess.Popen([*TORCHRUN, *its], **own))
    said = [process.communicate(timeout=300)[1].decode() for process in started]
    assert [process.returncode for process in started] == [0] * nodes, said
    assert f"in {ranks} processes" in said[0]
    assert rnnlm("train", *texts, "--set", "batch_rows=4", "-o", "one").code == 0
    assert_same_weights("one", here / os.fsdecode(folder))
