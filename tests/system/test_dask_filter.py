"""A filter on a Dask cluster: the same bytes as locally, whatever happens to the workers."""

import os
import random
import signal
import threading

import pytest

from rnnlm.errors import RnnlmError, TextError
from rnnlm.filtering import run as running
from rnnlm.filtering.run import Request, run
from rnnlm.filtering.settings import FilterSettings
from rnnlm.work import dask_cluster
from support.tiny_models import fit, save

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def folder(tmp_path_factory, corpus_lines):
    """Make a model, a reference and ten shards, and what a filter of this machine writes."""
    folder = tmp_path_factory.mktemp("filter")
    lines = [line for line in corpus_lines if line.strip()]
    save(folder / "m", fit("ngram", lines[:300], order=3), "ngram", order=3)
    (folder / "reference.txt").write_text("\n".join(lines[:500]) + "\n", encoding="utf-8")
    chance = random.Random(3)
    for number in range(10):
        rows = chance.choices(lines, k=chance.randint(300, 6000))
        (folder / f"{number}.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    list(run(request(folder, "local", workers=1)))
    return folder


def request(folder, output, **more):
    shards = tuple(str(path) for path in folder.glob("[0-9].txt"))
    reference = (str(folder / "reference.txt"),)
    models = {"": str(folder / "m")}
    return Request(
        shards, folder / output, models, FilterSettings(), reference=reference, **more
    )  # fmt: skip


def contents(folder):
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_of_a_cluster_write_the_same_bytes(folder, workers):
    *_, result = run(request(folder, f"dask-{workers}", dask=f"local:{workers}"))
    assert result.shards == 10
    assert contents(folder / f"dask-{workers}") == contents(folder / "local")


@pytest.fixture
def cluster(tmp_path):
    import dask

    with (
        dask.config.set({
            "temporary-directory": str(tmp_path), "distributed.scheduler.allowed-failures": 10,
        }),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, memory_limit=0, dashboard_address=None,
            host="127.0.0.1", silence_logs=50,
        ) as started,
    ):  # fmt: skip
        yield started


def test_killed_workers_change_nothing(folder, cluster):
    chance = random.Random(5)
    with distributed.Client(cluster.scheduler_address, set_as_default=False) as client:

        def kill_one():
            pids = list(client.run(os.getpid, on_error="ignore").values())
            os.kill(chance.choice(pids), signal.SIGKILL)

        for number in range(8):
            client.wait_for_workers(2)
            killer = threading.Timer(chance.uniform(0.1, 1.2), kill_one)
            killer.start()
            output = f"killed-{number}"
            *_, result = run(request(folder, output, dask=cluster.scheduler_address))
            killer.join()
            assert result.shards == 10
            assert contents(folder / output) == contents(folder / "local")


def test_errors_leave_what_can_be_gone_on_with(folder, cluster, monkeypatch):
    (folder / "x.jsonl").write_text('{"text": "a"}\n{"body": "b"}\n')
    given = request(folder, "errors", dask=cluster.scheduler_address)
    bad = running.replace(given, shards=(*given.shards, str(folder / "x.jsonl")))
    with pytest.raises(TextError, match="x.jsonl, line 2: no column 'text'"):
        list(run(bad))
    assert not [name for name in contents(folder / "errors") if ".new" in name or "running" in name]
    list(run(running.replace(given, resume=True)))
    found, whole = contents(folder / "errors"), contents(folder / "local")
    assert {name: found[name] for name in whole if name.endswith(".txt")} == {
        name: data for name, data in whole.items() if name.endswith(".txt")
    }


def test_workers_that_read_another_model_are_refused(folder, cluster, monkeypatch):
    monkeypatch.setattr(running, "sha256", lambda path: "0" * 64)
    with pytest.raises(RnnlmError, match="does not share the folder"):
        list(run(request(folder, "other", dask=cluster.scheduler_address)))
    assert not (folder / "other").exists() or contents(folder / "other") == {}


def test_an_address_where_nobody_answers(folder, monkeypatch):
    monkeypatch.setattr(dask_cluster, "CONNECT_SECONDS", 1.0)
    with pytest.raises(RnnlmError, match="cannot connect to the Dask scheduler"):
        list(run(request(folder, "nobody", dask="tcp://127.0.0.1:9")))
    assert not (folder / "nobody").exists()
