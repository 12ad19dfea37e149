"""Counting on a Dask cluster: the same bytes as here, or one clear error and nothing left."""

import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import lazy_loader
import pytest

import rnnlm
from rnnlm.errors import RnnlmError
from rnnlm.events import Counting
from rnnlm.tools.counting import workers
from support.killed_runs import cut_off, left_in, model_files

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(not find_spec("distributed"), reason="distributed is not installed"),
]

distributed = lazy_loader.load("distributed")  # it takes a while, in each worker
SOAK = pytest.mark.soak


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Start two workers of this machine, once for all tests."""
    import dask

    folder = str(tmp_path_factory.mktemp("dask"))
    given = {"n_workers": 2, "threads_per_worker": 1, "memory_limit": 0, "dashboard_address": None}
    given |= {"host": "127.0.0.1", "silence_logs": 50, "local_directory": folder}
    own = {"temporary-directory": folder}
    with dask.config.set(own), distributed.LocalCluster(**given) as started:
        yield started


@pytest.fixture
def asked(tmp_path):
    """Return what a model in ./model is trained with, in little memory, by way of ./shared."""
    own = {"output": tmp_path / "model", "memory": "2M", "temp": str(tmp_path / "shared")}
    return {"model": "ngram", "order": 4, **own}


def trained(text: Path, folder: Path, **settings) -> dict[str, str]:
    """Train a model, and return the hashes of the files that make it up."""
    rnnlm.train(text, **{"model": "ngram", "order": 4, **settings, "output": folder}).wait()
    return model_files(folder)


def content(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder by name, without the random part of counts' names."""
    return {path.name.split("-", 2)[2]: path.read_bytes() for path in folder.glob("*.safetensors")}


def test_workers_make_the_same_bytes(text, cluster, small, tmp_path, monkeypatch, asked):
    # A signal that comes while the main thread lets go of a future would be lost.
    release, finalize = [], distributed.Future.__del__

    def watched(future):
        release.append(threading.current_thread())
        finalize(future)

    monkeypatch.setattr(distributed.Future, "__del__", watched)
    expected = trained(text, tmp_path / "local")
    address = cluster.scheduler_address
    run = rnnlm.train(text, **asked, dask=address)
    steps = [event.phase for event in run if isinstance(event, Counting)]
    assert steps.count("counting") > 3 and steps.count("merging") > 3
    found = {path.name: path for path in (tmp_path / "model").iterdir()}
    for name, sha256 in expected.items():
        assert hashlib.sha256(found[name].read_bytes()).hexdigest() == sha256
    # Nothing is left in the shared folder, nor of the address in the model.
    assert not (tmp_path / "shared").exists()
    assert address not in found["config.json"].read_text()
    assert release and threading.main_thread() not in release


def test_workers_count_as_this_process_does(text, cluster, small, tmp_path, request):
    command = request.getfixturevalue("rnnlm")
    given = ("count", str(text), "--order", "3", "--memory", "2M")
    assert command(*given, "-o", str(tmp_path / "local")).code == 0
    shared = ("--dask", cluster.scheduler_address, "--temp", str(tmp_path / "shared"))
    outcome = command(*given, *shared, "-o", str(tmp_path / "elsewhere"))
    assert outcome.code == 0, outcome.err
    assert content(tmp_path / "elsewhere") == content(tmp_path / "local")
    assert not (tmp_path / "shared").exists()


def test_an_interrupted_count_goes_on_elsewhere(text, cluster, small, tmp_path, asked):
    expected = trained(text, tmp_path / "local")
    run = rnnlm.train(text, **asked, dask=cluster.scheduler_address)
    for event in run:
        if isinstance(event, Counting) and event.phase == "merging":
            break
    cut_off(run)
    left = left_in(tmp_path / "shared")
    assert any(name.startswith("run-") for name in left)
    assert trained(text, tmp_path / "model", **asked) == expected
    assert not (tmp_path / "shared").exists()


@pytest.mark.soak
def test_a_folder_that_is_read_only_is_said(text, cluster, small, tmp_path, monkeypatch):
    (tmp_path / "shared").mkdir()

    def refusing(folder, mark):
        raise PermissionError(13, "Permission denied", folder)

    monkeypatch.setattr(workers, "_seen", refusing)
    shared = {"temp": str(tmp_path / "shared"), "dask": cluster.scheduler_address}
    with pytest.raises(RnnlmError, match="does not share the folder") as raised:
        trained(text, tmp_path / "model", **shared)
    assert "Permission denied" in raised.value.why
    assert not list((tmp_path / "shared").rglob("*"))


class Processes:
    """A scheduler and workers, started as `dask scheduler` and `dask worker` start them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "scheduler.json"
        self.started: list[subprocess.Popen] = []
        self.scheduler = self.start("scheduler", "--scheduler-file", str(self.file), "--no-show")
        until = time.monotonic() + 60
        while not self.file.exists() and time.monotonic() < until:
            time.sleep(0.1)
        self.address = distributed.Client(scheduler_file=str(self.file)).scheduler.address

    def start(self, what: str, *arguments: str, setup: str = "") -> subprocess.Popen:
        program = f"{setup}\nfrom distributed.cli.dask_{what} import main\nmain()"
        command = [sys.executable, "-c", program, *arguments, "--no-dashboard"]
        if what == "scheduler":
            command += ["--host", "127.0.0.1", "--port", "0"]
        own = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        options = {"cwd": self.folder, "env": own, "start_new_session": True}
        with open(self.folder / f"{what}-{len(self.started)}.log", "wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, **options)
        self.started.append(process)
        return process

    def worker(self, setup: str = "") -> subprocess.Popen:
        return self.start("worker", self.address, "--nthreads", "1", "--no-nanny", setup=setup)

    def await_workers(self, count: int) -> None:
        with distributed.Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(count, timeout=60)

    def end(self, *ended: subprocess.Popen) -> None:
        for process in ended or self.started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def processes(tmp_path):
    folder = tmp_path / "processes"
    folder.mkdir()
    started = Processes(folder)
    yield started
    started.end()


@pytest.mark.system("signals")
@SOAK
def test_workers_killed_at_random_moments(text, small, tmp_path, processes, asked):
    expected = trained(text, tmp_path / "local")
    chance = random.Random(3)
    workers = [processes.worker() for _ in range(3)]
    killed = number = 0
    while killed < 20:
        processes.await_workers(2)
        asked["output"] = tmp_path / f"model-{number}"
        for event in rnnlm.train(text, **asked, dask=processes.address):
            if isinstance(event, Counting) and chance.random() < 0.1 and killed < 20:
                processes.end(workers.pop(chance.randrange(len(workers))))
                killed += 1
                workers.append(processes.worker())
        (path,) = (tmp_path / f"model-{number}").glob("weights-*")
        assert hashlib.sha256(path.read_bytes()).hexdigest() == expected[path.name]
        assert not (tmp_path / "shared").exists()
        number += 1


@pytest.mark.system("signals")
@SOAK
@pytest.mark.parametrize("way", ["killed", "stopped"])
def test_a_lost_scheduler_is_an_error(text, small, tmp_path, processes, way, monkeypatch, asked):
    expected = trained(text, tmp_path / "local")
    monkeypatch.setattr(workers, "SILENT_SECONDS", 5.0)
    monkeypatch.setattr(workers, "SETTLE_SECONDS", 2.0)
    processes.worker()
    processes.await_workers(1)
    with pytest.raises(RnnlmError, match="lost the Dask scheduler"):
        for event in rnnlm.train(text, **asked, dask=processes.address):
            if isinstance(event, Counting) and event.phase == "counting" and event.share > 0.1:
                number = signal.SIGKILL if way == "killed" else signal.SIGSTOP
                processes.scheduler.send_signal(number)
    assert trained(text, tmp_path / "model", **asked) == expected
    assert not (tmp_path / "shared").exists()


@SOAK
def test_a_worker_without_rnnlm_or_another_version(text, small, tmp_path, processes, asked):
    asked["dask"] = processes.address
    lacking = processes.worker("import sys; sys.modules['rnnlm'] = None")
    processes.await_workers(1)
    with pytest.raises(RnnlmError, match="cannot import rnnlm"):
        trained(text, tmp_path / "model", **asked)
    processes.end(lacking)
    other = processes.worker("import rnnlm; rnnlm.__version__ = '0.0'")
    processes.await_workers(1)
    with pytest.raises(RnnlmError, match="has another version of rnnlm") as raised:
        trained(text, tmp_path / "model", **asked)
    assert raised.value.why.startswith("0.0+")

    # One that comes later is noticed by its first task; or the other one did all of them.
    processes.worker()
    processes.end(other)
    processes.await_workers(1)
    with contextlib.suppress(RnnlmError):
        for event in rnnlm.train(text, **{**asked, "output": tmp_path / "late"}):
            if isinstance(event, Counting) and event.phase == "counting":
                processes.worker("import rnnlm; rnnlm.__version__ = '0.0'")
    assert not list((tmp_path / "shared").rglob("*.new"))


@SOAK
def test_workers_whose_folder_is_full_or_missing(text, small, tmp_path, processes, asked):
    asked["dask"] = processes.address
    opening = (
        "import builtins, errno, io\nreal = builtins.open\n"
        "def failing(file, mode='r', *rest, **options):\n    if {}: raise OSError(errno.{}, '{}')\n"
        "    return real(file, mode, *rest, **options)\nbuiltins.open = io.open = failing"
    )
    wrong = "'x' in mode and 'run-' in str(file)", "ENOSPC", "No space"
    worker = processes.worker(opening.format(*wrong))
    processes.await_workers(1)
    with pytest.raises(RnnlmError, match="cannot write to") as raised:
        trained(text, tmp_path / "model", **asked)
    assert raised.value.why == "No space"
    left_in(tmp_path / "shared")
    processes.end(worker)
    processes.worker(opening.format("'/shared/' in str(file)", "ENOENT", "No such file"))
    processes.await_workers(1)
    with pytest.raises(RnnlmError, match="does not share the folder"):
        trained(text, tmp_path / "other", **asked)
