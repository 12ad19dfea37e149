"""Addresses of clusters, and what is said of a cluster that cannot do the work, without one."""

import sys
import time
from concurrent.futures import Future

import pytest

from rnnlm.errors import RnnlmError, SettingsError, UsageError
from rnnlm.tools.counting import workers
from rnnlm.tools.counting.workers import Cluster, check_address

pytest.importorskip("distributed")


@pytest.mark.parametrize("address", ["tcp://h:1", "h:8786", "tls://[::1]:80"])
def test_addresses_are_understood(address):
    check_address(address, "shared")


NONSENSE = [
    "", " ", "local", "local:", "local:1.5", "h", "tcp://h", "/a/b:1", "http://h:1", "h:port",
    "tcp://h:1 ", "local:2\n", "h:123456",
]  # fmt: skip


@pytest.mark.parametrize("address", NONSENSE)
def test_nonsense_is_refused(address):
    with pytest.raises(SettingsError, match="dask = "):
        check_address(address, "shared")


def test_a_cluster_needs_a_shared_folder_and_a_package(monkeypatch):
    with pytest.raises(UsageError, match="need a shared folder") as raised:
        check_address("tcp://h:8786", None)
    assert raised.value.hint == 'add `temp="DIR"`, a folder on a shared file system'
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match="clusters need the package distributed") as raised:
        check_address("tcp://h:8786", "shared")
    assert raised.value.hint == "pip install distributed, or pip install -e '.[dask]' in a checkout"


class Client:
    """A client whose scheduler has two workers, and whose workers answer as they are told."""

    status = "running"

    def __init__(self, answers=None, threads=2):
        self.answers = answers
        self.threads = {f"tcp://w:{number}": 1 for number in range(threads)}

    def nthreads(self):
        return self.threads

    def get_executor(self, **options):
        assert options == {"pure": False, "retries": 3}
        return self

    def submit(self, function, *arguments):
        return Future()

    def run(self, function, *arguments, on_error):
        assert on_error == "return"
        return dict.fromkeys(self.threads, self.answers)


@pytest.fixture
def cluster():
    """Return a function that makes a cluster of such a client."""
    made = []

    def make(*arguments):
        made.append(Cluster(Client(*arguments), "of tcp://h:1"))
        return made[-1]

    yield make
    for each in made:
        each.leave()


@pytest.mark.parametrize(("answer", "what"), [
    (ModuleNotFoundError("No module named 'rnnlm'"), "the worker tcp://w:0 cannot import"),
    ("0.0+1234", "the worker tcp://w:0 has another version of rnnlm"),
    (OSError("gone"), "the worker tcp://w:0 cannot run tasks"),
])  # fmt: skip
def test_workers_that_cannot_do_the_work(cluster, answer, what):
    with pytest.raises(RnnlmError, match=what):
        cluster(answer).check_workers()
    cluster(workers.code_version()).check_workers()


def test_a_scheduler_without_workers(cluster):
    with pytest.raises(RnnlmError, match="has no workers"):
        cluster(None, 0).check_workers()


@pytest.mark.parametrize(("answer", "why"), [
    (PermissionError(13, "Permission denied"), "Permission denied"),
    ("not-there", "the file not-there it wrote there is not visible here"),
])  # fmt: skip
def test_a_folder_that_workers_do_not_share(cluster, tmp_path, answer, why):
    with pytest.raises(RnnlmError, match="does not share the folder") as raised:
        cluster(answer).check_folder(tmp_path, "mark")
    assert why in raised.value.why


def test_a_worker_reads_and_writes_the_folder(tmp_path):
    (tmp_path / "mark").write_text("mark")
    name = workers._seen(str(tmp_path), "mark")
    assert (tmp_path / name).read_text() == "mark" and name.endswith(".new")
    (tmp_path / "mark").write_text("another")
    with pytest.raises(ValueError, match="something else"):
        workers._seen(str(tmp_path), "mark")


def test_a_silent_scheduler_and_work_that_it_drops_are_errors(cluster, monkeypatch):
    found = cluster()
    found.check()
    monkeypatch.setattr(workers, "SILENT_SECONDS", 0.01)
    time.sleep(0.05)
    with pytest.raises(RnnlmError, match="lost the Dask scheduler of tcp://h:1") as raised:
        found.check()
    assert raised.value.why.startswith("it has not answered for")
    found.client.status = "closed"
    with pytest.raises(RnnlmError, match="lost the Dask scheduler") as raised:
        found.check()
    assert raised.value.why == "the connection is closed"
    found = cluster()
    future = found.submit(abs, 1)
    future.cancel()
    with pytest.raises(RnnlmError, match="lost the Dask scheduler") as raised:
        found.outcome(future)
    assert raised.value.why == "it dropped the work"
