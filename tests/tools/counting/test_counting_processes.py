"""Counting in processes of this machine, also when they are killed: the same bytes or model."""

import os
import random
import time
from pathlib import Path

import pytest

import rnnlm
from rnnlm.errors import RnnlmError
from rnnlm.events import Counting
from rnnlm.parallel import ProcessPool
from rnnlm.storage.files import lock
from support.forks import killed_after
from support.killed_runs import cut_off, left_in, model_files

pytestmark = pytest.mark.processes


ASKED = {"model": "ngram", "order": 4}


@pytest.fixture(scope="module")
def expected(text, tmp_path_factory):
    """Train a model in this process."""
    folder = tmp_path_factory.mktemp("local") / "model"
    rnnlm.train(text, output=folder, **ASKED).wait()
    return model_files(folder)


@pytest.fixture
def shared(tmp_path):
    """Return settings of a run in little memory, whose files lie in ./shared."""
    return {**ASKED, "output": tmp_path / "model", "memory": "2M", "temp": str(tmp_path / "shared")}


@pytest.mark.parametrize("workers", [1, 3])
def test_processes_make_the_same_bytes(text, expected, small, tmp_path, workers):
    folder = tmp_path / "model"
    run = rnnlm.train(text, output=folder, **ASKED, memory="2M", workers=workers)
    steps = [event.phase for event in run if isinstance(event, Counting)]
    assert steps.count("counting") > 3 and steps.count("merging") > 3
    assert model_files(folder) == expected
    assert "workers" not in (folder / "config.json").read_text()


def test_processes_count_as_this_one_does(text, small, tmp_path, rnnlm):
    given = ("count", str(text), "--order", "3", "--memory", "2M")
    contents = []
    for name, more in (("local", ()), ("two", ("--workers", "2", "--temp", str(tmp_path / "t")))):
        outcome = rnnlm(*given, *more, "-o", str(tmp_path / name))
        assert outcome.code == 0, outcome.err
        # The names of files have a random part.
        paths = (tmp_path / name).glob("*.safetensors")
        contents.append({path.name.split("-", 2)[2]: path.read_bytes() for path in paths})
    assert contents[0] == contents[1] and contents[0]
    assert not (tmp_path / "t").exists()


@pytest.mark.system("signals")
@pytest.mark.usefixtures("small")
def test_a_count_outlives_a_killed_process(text, expected, tmp_path, monkeypatch, shared):
    made, initialise = [], ProcessPool.__init__

    def noted(self, processes, *sizes):
        made.extend(processes.processes)
        initialise(self, processes, *sizes)

    monkeypatch.setattr(ProcessPool, "__init__", noted)
    with pytest.raises(RnnlmError, match="a worker process died; it was killed by SIGKILL"):
        for event in rnnlm.train(text, workers=2, **shared):
            if isinstance(event, Counting) and event.phase == "counting" and event.share:
                made[0].process.kill()  # again at each report of the phase
    left_in(tmp_path / "shared")
    assert all(process.process.poll() is not None for process in made)
    rnnlm.train(text, **shared).wait()
    assert model_files(tmp_path / "model") == expected
    assert not (tmp_path / "shared").exists()


def test_an_interrupted_count_leaves_no_process(text, expected, small, tmp_path, shared):
    run = rnnlm.train(text, workers=2, **shared)
    for event in run:
        if isinstance(event, Counting) and event.phase == "merging":
            break
    cut_off(run)
    assert any(name.startswith("run-") for name in left_in(tmp_path / "shared"))
    rnnlm.train(text, workers=3, **shared).wait()
    assert model_files(tmp_path / "model") == expected


def test_a_text_in_memory_counts_as_a_file(text, expected, small, tmp_path):
    held = rnnlm.Corpus.from_lines(text.read_text(encoding="utf-8").splitlines())
    rnnlm.train(held, output=tmp_path / "model", **ASKED, workers=2).wait()
    assert model_files(tmp_path / "model") == expected


def train(text: Path, folder: Path, temp: Path | None, memory: str | None) -> None:
    """Train a model in as little memory as asked for."""
    temporary = str(temp) if temp else None
    rnnlm.train(text, output=folder, model="ngram", order=4, memory=memory, temp=temporary).wait()


@pytest.mark.system("fork")
@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.soak)])
@pytest.mark.filterwarnings("ignore")
def test_a_killed_count_ends_in_the_same_model(text, tmp_path, small, kills):
    assert killed_after(600, train, text, tmp_path / "whole", None, None)
    expected = model_files(tmp_path / "whole")
    began = time.perf_counter()
    assert killed_after(600, train, text, tmp_path / "unbroken", tmp_path / "temp", "2M")
    seconds = time.perf_counter() - began
    assert model_files(tmp_path / "unbroken") == expected
    assert not (tmp_path / "temp").exists()

    chance = random.Random(kills)
    done = number = 0
    while done < kills:
        folder = tmp_path / f"{number}"
        memory = chance.choice(["2M", "4M", "9M"])
        if killed_after(chance.uniform(0, seconds), train, text, folder, tmp_path / "temp", memory):
            assert model_files(folder) == expected
            number += 1
        else:
            done += 1
    assert killed_after(600, train, text, tmp_path / f"{number}", tmp_path / "temp", "2M")
    assert model_files(tmp_path / f"{number}") == expected
    assert not (tmp_path / "temp").exists()


@pytest.mark.filterwarnings("ignore")
def test_a_count_resumed_in_more_memory_deletes_the_text_on_disk(text, tmp_path, small):
    settings = {"output": tmp_path / "m", "model": "ngram", "temp": str(tmp_path / "temp")}
    run = rnnlm.train(text, memory="2M", **settings)
    next(event for event in run if isinstance(event, Counting))
    cut_off(run)
    assert list((tmp_path / "temp").glob("*-text-*"))
    # What a kill leaves at any moment goes, too.
    next((tmp_path / "temp").glob("*-text-*/text")).joinpath(lock.OWNER).touch()
    [counts] = (tmp_path / "temp").glob("*-counts-*")
    for name in ("plan.json", "finished.jsonl"):
        (counts / f"{name}.{'0' * 16}.new").touch()
    rnnlm.train(text, memory="9M", **settings).wait()
    assert os.name == "nt" or not (tmp_path / "temp").exists()  # it goes as the process ends
