"""Threads, memory and sizes: parts come back in order; sizes are read as people write."""

import importlib
import math
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from rnnlm import system
from rnnlm.errors import SettingsError
from rnnlm.lm.neural.spectrum import RecurrentMatrix
from rnnlm.parallel import in_threads
from rnnlm.system import parse_size
from rnnlm.text.vectors import svd_vectors
from rnnlm.tools.inspection.spectrum import spectrum_of
from support import tiny_models

WAIT = 20  # seconds until a test gives up


@pytest.fixture(params=[1, 2, 5])
def number(request):
    return request.param


def test_results_come_in_the_order_of_the_parts(number):
    def slow_at_first(part: int) -> int:
        time.sleep(0.01 if part % 4 == 0 else 0)
        return part * part

    for parts in (range(23), [], [3]):
        found = list(in_threads(slow_at_first, iter(parts), number))
        assert found == [part * part for part in parts]


def test_threads_leave_processors_to_each_other():
    before = system.free_processors()
    assert before == system.processors()
    assert list(in_threads(lambda _: system.free_processors(), range(4), 2)) == [1] * 4
    assert list(in_threads(lambda _: system.free_processors(), [0], 2)) == [before]
    assert system.free_processors() == before


def test_as_many_parts_as_threads_run_at_once():
    meeting = threading.Barrier(3, timeout=WAIT)  # breaks unless three come
    assert len(list(in_threads(lambda _: meeting.wait(), range(6), 3))) == 6


def test_parts_running_or_waiting_never_exceed_the_threads(number):
    lock, begun, running, most = threading.Lock(), [], 0, 0

    def counted(part: int) -> int:
        nonlocal running, most
        with lock:
            begun.append(part)
            running += 1
            most = max(most, running)
        time.sleep(0.001)
        with lock:
            running -= 1
        return part

    drawn = []
    parts = (drawn.append(part) or part for part in range(40))
    for received, _ in enumerate(in_threads(counted, parts, number), start=1):
        time.sleep(0.002)  # long enough for all that may begin
        assert len(begun) < received + number and len(drawn) <= received + number
    assert sorted(begun) == list(range(40)) and most <= number


def test_default_thread_count_is_the_processor_count():
    threads = system.processors()
    meeting = threading.Barrier(threads, timeout=WAIT)
    assert len(list(in_threads(lambda _: meeting.wait(), range(2 * threads)))) == 2 * threads
    found = in_threads(lambda _: threading.current_thread(), range(4), 1)
    assert set(found) == {threading.current_thread()}


SQUARE = RecurrentMatrix("layer 1", "gate", np.eye(2))
DECOMPOSITIONS = [
    ("scipy.sparse.linalg.svds", lambda: svd_vectors(np.arange(9) % 3, np.array([0, 4, 9]), 3, 1)),
    ("numpy.linalg.eigvals", lambda: tiny_models.run("lstm", valid=tiny_models.HELD_OUT)),
    ("numpy.linalg.eigvals", lambda: spectrum_of(SQUARE, "m")),
    ("numpy.linalg.svd", lambda: spectrum_of(SQUARE, "m")),
]


@pytest.mark.parametrize("function, work", DECOMPOSITIONS)
def test_eigenvalues_and_singular_values_are_found_by_one_thread(function, work, monkeypatch):
    """Threads of OpenBLAS wait for each other: two have taken a hundred times as long."""
    threads = set()
    module, name = function.rsplit(".", 1)
    real = getattr(importlib.import_module(module), name)

    def watched(*arguments, **options):
        pools = (pool for pool in threadpool_info() if pool["user_api"] == "blas")
        threads.update(pool["num_threads"] for pool in pools)
        return real(*arguments, **options)

    monkeypatch.setattr(function, watched)
    with threadpool_limits(limits=2, user_api="blas"):
        work()
    assert threads == {1}


V1 = "33 30 0:29 {0} /groups rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct"
V2 = "30 23 0:26 {0} /groups rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"


@pytest.mark.parametrize("groups, mount, files, quota", [
    ("0::/a/b", V2.format("/"), {"a/cpu.max": "150000 100000", "a/b/cpu.max": "max 100000"}, 1.5),
    ("0::/a/b", V2.format("/"), {"a/cpu.max": "400000 100000", "a/b/cpu.max": "5000 10000"}, 0.5),
    ("0::/", V2.format("/"), {}, math.inf),  # the topmost group has no files
    ("0::/../other", V2.format("/"), {"cpu.max": "max 100000"}, math.inf),
    ("4:cpu,cpuacct:/box/x\n0::/", V1.format("/box/x"),
     {"cpu.cfs_quota_us": "200000\n", "cpu.cfs_period_us": "100000\n"}, 2),
    ("4:memory:/m\n3:cpuacct,cpu:/a/b", V1.format("/"),
     {"a/b/cpu.cfs_quota_us": "-1", "a/cpu.cfs_quota_us": "30000", "a/cpu.cfs_period_us": "10000"}, 3),
    ("2:memory:/m", V1.format("/"), {"m/cpu.cfs_quota_us": "1", "m/cpu.cfs_period_us": "1"}, math.inf),
])  # fmt: skip
def test_quotas_of_all_groups_around_a_process_limit_it(tmp_path, groups, mount, files, quota):
    mounts = f"21 1 8:1 / / rw - ext4 /dev/root rw\n{mount}\n"
    own = {"proc/self/cgroup": groups, "proc/self/mountinfo": mounts}
    for name, content in (own | {f"groups/{name}": text for name, text in files.items()}).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert system.cpu_quota(tmp_path) == quota


def test_processors_are_those_of_the_affinity_unless_the_user_says_otherwise(monkeypatch):
    assert system.cpu_quota(Path("/nowhere")) == math.inf
    monkeypatch.setenv("PYTHON_CPU_COUNT", "default")  # as Python says it
    usual = system.processors()
    assert 1 <= usual <= os.cpu_count()
    monkeypatch.setenv("PYTHON_CPU_COUNT", "11")
    assert system.processors() == 11


def test_error_is_raised_in_order_ending_the_work(number):
    begun = []

    def fails_at_seven(part: int) -> int:
        begun.append(part)
        if part == 7:
            raise KeyError("seven")
        return part

    received = []
    with pytest.raises(KeyError, match="seven"):
        for part in in_threads(fails_at_seven, range(100), number):
            received.append(part)  # noqa: PERF402  those before the error count
    assert received == list(range(7)) and max(begun) < 7 + number


def test_an_error_of_the_parts_comes_through_too(number):
    def parts():
        yield 1
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        list(in_threads(abs, parts(), number))


def test_no_thread_stays_when_nobody_asks_for_more(number):
    before = threading.active_count()
    results = in_threads(abs, range(100), number)
    assert next(results) == 0
    results.close()
    assert threading.active_count() == before


SIZES = {
    "1b": 1, "10000": 10_000, "1000000": 10**6, "500M": 500 * 10**6, "2G": 2 * 10**9,
    "1.5G": 1_500_000_000, "800MiB": 800 * 2**20, "1.5GiB": 3 * 2**29, "10k": 10_000, "10KB": 10_000,
    "1Ki": 1024, "1TB": 10**12, "1TiB": 2**40, " 5 g ": 5 * 10**9, "12b": 12, "0.5k": 500,
    "+1G": 10**9, "1e9": 10**9, "1.G": 10**9, ".5G": 500_000_000,
}  # fmt: skip
NO_SIZES = [
    "", " ", "M", "0", "0.0G", "0.0001", "-1G", "1,5G", "1 0G", "2X",
    "2GG", "2 i", "2iB", "nan", "inf", "1.5.5G", "9" * 400, "9" * 400 + "G", "½G", "2G\x00",
]  # fmt: skip


@pytest.mark.parametrize("text", SIZES)
def test_sizes_are_read_in_every_unit(text):
    assert parse_size(text) == SIZES[text]


def test_small_number_without_a_unit_is_an_error_that_suggests_units():
    with pytest.raises(SettingsError, match="memory = '10' has no unit") as raised:
        parse_size("10")
    assert raised.value.hint == "write 10M for megabytes or 10G for gigabytes"


@pytest.mark.parametrize("text", NO_SIZES)
def test_invalid_size_error_shows_the_accepted_forms(text):
    with pytest.raises(SettingsError, match="500M, 2G or 1.5GiB") as raised:
        parse_size(text)
    assert raised.value.what == f"memory = {text!r} is not understood"


MEMORY = """
import mmap
from rnnlm.system import held_bytes, peak_bytes

before = held_bytes()
with mmap.mmap(-1, 128 << 20) as pages:
    for _ in range(128):
        pages.write(bytes(1 << 20))
    held, peak = held_bytes(), peak_bytes()
print(held - before, peak - held, held_bytes() - before, peak_bytes() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="what a process holds now is told by Linux")
def test_current_and_peak_memory_are_reported():
    # a process that holds nothing else
    told = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, check=True).stdout
    more, above, left, most = (int(each) / (1 << 20) for each in told.split())
    assert more > 96 and above > -8 and left < 32 and most > 96
