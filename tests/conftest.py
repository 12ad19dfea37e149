"""What all tests share.

* Hypothesis runs the same few examples every time, however slow the machine is; with `-m soak` it
  looks for new ones, and for many.
* Each process has one thread; `--workers 4` shares the tests between four.
* Signals arrive, although whoever starts the tests in the background, or with nohup, has some of
  them ignored in every process below.
"""

import gc
import os
import re
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# What a person's environment says of the terminal, of threads and of models, no test and no process
# of a test may see.
UNSEEN = (
    "COLUMNS", "LINES", "TERM", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE",
    "TTY_COMPATIBLE", "TTY_INTERACTIVE",
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "PYTHONHASHSEED", "RNNLM_MODEL", "RNNLM_TOKEN", "RANK",
    "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "PYTHONDONTWRITEBYTECODE",
)  # fmt: skip
# Objects made, then collections, until a generation is looked through. Tests are short and leave
# little in circles; Python's own numbers take them one second of twenty.
SELDOM = (20_000, 20, 20)
CPU_CASES = 1  # of a test that is meant for the GPU
for name in UNSEEN:
    os.environ.pop(name, None)


def reach_no_disk(handle: int) -> None:
    """Do what os.fsync does but for the waiting: no test cuts the power, and a disk takes
    milliseconds for each of many thousand files."""
    os.fstat(handle)


os.fsync = reach_no_disk
gc.disable()  # what is imported and collected is no garbage: it is looked for from the tests on
sys.dont_write_bytecode = False  # compiling the tests takes a worker 8 s: the next run finds them
os.environ["OMP_NUM_THREADS"] = "1"

pytest_plugins = [
    "support.commands",
    "support.devices",
    "support.hostile.there",
    "support.networks",
    "support.tiny_tasks",
    "support.tiny_labellers",
    "support.tiny_translators",
    "support.workers",
]

settings.register_profile(
    "rnnlm",
    deadline=None,
    derandomize=True,
    max_examples=15,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "search", deadline=None, max_examples=3000, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "soak",
    deadline=None,
    max_examples=2000,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("rnnlm")


def is_soak(config: pytest.Config) -> bool:
    """Return whether the long proofs are asked for."""
    return bool(re.search(r"(?<!not )\bsoak\b", config.option.markexpr))


def pytest_configure(config: pytest.Config) -> None:
    if is_soak(config):
        settings.load_profile("soak")


def mark_further_cases(items: list[pytest.Item]) -> None:
    """Leave to the long proofs what a test of the GPU asks of the CPU beyond one case: there it
    shows that the test holds; what the CPU computes has tests of its own."""
    of_gpu = {_function(item) for item in items if item.get_closest_marker("gpu")}
    cases: Counter[tuple[Path, str]] = Counter()
    for item in items:
        function = _function(item)
        if function in of_gpu and not item.get_closest_marker("gpu"):
            cases[function] += 1
            if cases[function] > CPU_CASES:
                item.add_marker("soak")


def pytest_collection_finish() -> None:
    gc.set_threshold(*SELDOM)
    gc.enable()


def _function(item: pytest.Item) -> tuple[Path, str]:
    return item.path, getattr(item, "originalname", item.name)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the long proofs unless they are asked for. With them, fuzzing tests count as long
    proofs, too."""
    mark_further_cases(items)
    for item in items:
        if "system" in item.path.parts:
            item.add_marker("system")
        if is_soak(config) and "fuzzing" in item.path.parts:
            item.add_marker("soak")
        elif not is_soak(config) and item.get_closest_marker("soak"):
            item.add_marker(pytest.mark.skip(reason="long proof; run with -m soak"))


os.getloadavg = lambda: (0.0, 0.0, 0.0)  # what else this machine does, no test may see
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def _little_is_held():
    """Count a worker, which holds torch and what earlier tests have left, as a new process where
    memory is limited. What a real process holds is tested in real ones."""
    from rnnlm import system

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(system, "private_bytes", lambda: 60_000_000)
        yield
