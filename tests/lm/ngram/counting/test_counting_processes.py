"""Counting in processes of this machine: the same bytes as in this one, and nothing left behind."""

import pytest

import rnnlm
from rnnlm.errors import RnnlmError
from rnnlm.events import Counting
from rnnlm.parallel import ProcessPool
from support.killed_runs import cut_off, model_files

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


def left_in(folder):
    """Return the names of files, none of which is half written or of a process that still runs."""
    names = [path.name for path in folder.rglob("*") if path.is_file()]
    assert not [name for name in names if name.endswith(".new") or name.startswith("running-")]
    return names


@pytest.mark.parametrize("workers", [1, 3])
def test_processes_make_the_same_bytes(text, expected, small, tmp_path, workers):
    folder = tmp_path / "model"
    run = rnnlm.train(text, output=folder, **ASKED, memory="2M", workers=workers)
    steps = [event.phase for event in run if isinstance(event, Counting)]
    assert steps.count("counting") > 3 and steps.count("merging order 4") > 1
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


@pytest.mark.usefixtures("small")
def test_a_count_outlives_a_killed_process(text, expected, tmp_path, monkeypatch, shared):
    made, initialise = [], ProcessPool.__init__

    def noted(self, processes, *sizes):
        made.extend(processes.processes)
        initialise(self, processes, *sizes)

    monkeypatch.setattr(ProcessPool, "__init__", noted)
    with pytest.raises(RnnlmError, match="a worker process died; it was killed by SIGKILL"):
        for event in rnnlm.train(text, workers=2, **shared):
            if isinstance(event, Counting) and event.phase == "merging order 2":
                made[0].process.kill()  # again at each report of the phase
    left_in(tmp_path / "shared")
    assert all(process.process.poll() is not None for process in made)
    rnnlm.train(text, **shared).wait()
    assert model_files(tmp_path / "model") == expected
    assert not (tmp_path / "shared").exists()


def test_an_interrupted_count_leaves_no_process(text, expected, small, tmp_path, shared):
    run = rnnlm.train(text, workers=2, **shared)
    for event in run:
        if isinstance(event, Counting) and event.phase == "merging order 3":
            break
    cut_off(run)
    assert any(name.startswith("merged-") for name in left_in(tmp_path / "shared"))
    rnnlm.train(text, workers=3, **shared).wait()
    assert model_files(tmp_path / "model") == expected


def test_a_text_in_memory_counts_as_a_file(text, expected, small, tmp_path):
    held = rnnlm.Corpus.from_lines(text.read_text(encoding="utf-8").splitlines())
    rnnlm.train(held, output=tmp_path / "model", **ASKED, workers=2).wait()
    assert model_files(tmp_path / "model") == expected
