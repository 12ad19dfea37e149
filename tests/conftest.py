"""What all tests share: marks, examples of Hypothesis, fixtures, and a machine that is the same for
all of them."""

import gc
import importlib.util
import os
import re
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# What a person's environment says of the terminal, of threads and of models is no matter of tests.
for name in (
    "COLUMNS", "LINES", "TERM", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE",
    "TTY_COMPATIBLE", "TTY_INTERACTIVE", "MKL_NUM_THREADS", "PYTHONHASHSEED", "RNNLM_MODEL",
    "RNNLM_TOKEN", "RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT",
):  # fmt: skip
    os.environ.pop(name, None)
os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: each worker of xdist has one thread

# Compiling the tests takes seconds: keep compiled ones, whatever the environment says.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

gc.disable()  # until the tests are collected: nothing of them is garbage

# Signals arrive, although nohup and shells in the background have processes ignore some of them.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

PLUGINS = ["commands", "devices", "inputs", "networks", "whole_runs"]
if importlib.util.find_spec("rnnlm.tasks"):  # a copy without satellites is tested, too
    PLUGINS += ["hostile", "tiny_tasks", "tiny_labellers", "tiny_translators"]
pytest_plugins = [f"support.{name}" for name in PLUGINS]

# The same few examples every time; with `-m soak`, new ones, and many.
usual = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("rnnlm", derandomize=True, max_examples=15, **usual)
settings.register_profile("soak", max_examples=2000, print_blob=True, **usual)
settings.load_profile("rnnlm")

CPU_CASES = 1  # of a test that is meant for the GPU


def is_soak(config: pytest.Config) -> bool:
    """Return whether the long proofs are asked for."""
    return bool(re.search(r"(?<!not )\bsoak\b", config.option.markexpr))


def pytest_configure(config: pytest.Config) -> None:
    if is_soak(config):
        settings.load_profile("soak")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Have one worker more than cores: each waits for processes and disks now and then."""
    from rnnlm import system

    return system.processors() + 1


def mark_further_cases(items: list[pytest.Item]) -> None:
    """Leave to the long proofs all cases but one of a test of the GPU on the CPU: there they show
    that the test holds, and results of the CPU have other tests."""
    of_gpu = {_function(item) for item in items if item.get_closest_marker("gpu")}
    cases: Counter[tuple[Path, str]] = Counter()
    for item in items:
        function = _function(item)
        if function in of_gpu and not item.get_closest_marker("gpu"):
            cases[function] += 1
            if cases[function] > CPU_CASES:
                item.add_marker("soak")


def _function(item: pytest.Item) -> tuple[Path, str]:
    return item.path, getattr(item, "originalname", item.name)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the long proofs unless they are asked for.

    What takes longest comes first: a worker of xdist that has nothing left to do takes tests from
    the end of another's list, and makes their fixtures once more.
    """
    mark_further_cases(items)
    items.sort(key=lambda item: item.get_closest_marker("processes") is None)
    if not is_soak(config):
        long_proofs = [item for item in items if item.get_closest_marker("soak")]
        config.hook.pytest_deselected(items=long_proofs)
        items[:] = [item for item in items if not item.get_closest_marker("soak")]


def pytest_collection_finish() -> None:
    gc.freeze()  # the collector need not look at thousands of tests again and again
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _calm_machine():
    """Have an idle machine with a fast disk, and count this process, which holds torch and
    results of earlier tests, as a new one where memory is limited."""
    from rnnlm import system

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
        patch.setattr(os, "fsync", os.fstat)  # no test cuts the power
        patch.setattr(system, "private_bytes", lambda: 60_000_000)
        yield
