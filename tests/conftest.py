"""What all tests share: marks, examples of Hypothesis, fixtures, and a machine alike for all."""

import functools
import gc
import itertools
import os
import re
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from rnnlm.satellites import HERE

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
if hasattr(signal, "SIGHUP"):  # Windows has none
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Files that tests write are the same everywhere: UTF-8, with line ends as they are.
if os.name == "nt":
    write, read = Path.write_text, Path.read_text
    Path.write_text = lambda path, text, encoding="utf-8", errors=None, newline="\n": write(
        path, text, encoding, errors, newline
    )
    Path.read_text = lambda path, encoding="utf-8", errors=None: read(path, encoding, errors)

PLUGINS = ("commands", "devices", "inputs", "networks", "whole_runs")
pytest_plugins = [f"support.{name}" for name in PLUGINS]
PLUGINS_OF_SATELLITES = (
    "counting_runs",
    "hostile",
    "tiny_tasks",
    "tiny_labellers",
    "tiny_translators",
)

# `-m fast` runs tests in these places, but for those that say that they need a satellite or are long.
TESTS = Path(__file__).parent
CORE = {
    "cli", "evaluation", "lm", "scoring", "storage", "text", "training",
    "test_arrays.py", "test_choices.py", "test_config.py", "test_errors.py", "test_parallel.py",
    "test_progress.py",
}  # fmt: skip
FILE_MARKS = re.compile(r"^pytestmark = (\[[^\]]*)?pytest\.mark\.(needs|long)\b", re.MULTILINE)
SLOW = ("soak", "processes", "gpu", "long", "needs")
PROCESSES = {"spawn", "start", "warm"}  # fixtures that start some

# The same few examples every time; with `-m soak`, new ones, and many; with `-m fast`, fewer.
usual = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("rnnlm", derandomize=True, max_examples=15, **usual)
settings.register_profile("fast", derandomize=True, max_examples=5, **usual)
settings.register_profile("soak", max_examples=2000, print_blob=True, **usual)
settings.load_profile("rnnlm")


class DeletedSatellites:
    """The last finder of modules: skips tests that import a satellite which is not here."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if re.fullmatch(r"rnnlm\.(tasks|tools)(\.\w+)?", name):
            pytest.skip(f"{name} is deleted", allow_module_level=True)


sys.meta_path.append(DeletedSatellites)


def is_soak(config: pytest.Config) -> bool:
    """Return whether the long proofs are asked for."""
    return bool(re.search(r"(?<!not )\bsoak\b", config.option.markexpr))


def is_fast(config: pytest.Config) -> bool:
    """Return whether nothing but the core is asked for."""
    return config.option.markexpr == "fast"


@functools.cache
def is_core(path: Path) -> bool:
    """Return whether a folder or file of tests is about the core alone, and quick."""
    if path == TESTS or not path.is_relative_to(TESTS):
        return True
    if path.relative_to(TESTS).parts[0] not in CORE:
        return False
    is_test = path.name.startswith("test_")
    return not (is_test and FILE_MARKS.search(path.read_text(encoding="utf-8")))


def missing_satellites(item: pytest.Item) -> list[str]:
    """Return the satellites that a test needs and that are not here."""
    needed = itertools.chain.from_iterable(mark.args for mark in item.iter_markers("needs"))
    paths = {name: HERE / name for name in needed}
    return [
        name
        for name, path in paths.items()
        if not (path.is_dir() or path.with_suffix(".py").exists())
    ]


def is_slow(item: pytest.Item) -> bool:
    """Return whether a test takes long, needs a GPU or a satellite, or starts processes."""
    values = item.callspec.params if hasattr(item, "callspec") else {}
    fixtures = {*item.fixturenames} - {*values}
    return bool(fixtures & PROCESSES) or any(map(item.get_closest_marker, SLOW))


def pytest_configure(config: pytest.Config) -> None:
    if is_soak(config):
        settings.load_profile("soak")
    if is_fast(config):
        settings.load_profile("fast")
    else:
        for name in PLUGINS_OF_SATELLITES:
            config.pluginmanager.import_plugin(f"support.{name}")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import no file of a satellite where only the core is asked for: it may be deleted."""
    return True if is_fast(config) and not is_core(collection_path) else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Have one worker more than cores: each waits for processes and disks now and then."""
    from rnnlm import system

    return system.processors() + 1


def mark_stand_ins(items: list[pytest.Item]) -> None:
    """Leave the CPU's cases of tests of a GPU to the long proofs where there is no GPU: they show
    that the test holds, and results of the CPU have other tests."""
    import torch

    if torch.cuda.is_available():
        return
    of_gpu = {_function(item) for item in items if item.get_closest_marker("gpu")}
    for item in items:
        if _function(item) in of_gpu and not item.get_closest_marker("gpu"):
            item.add_marker("soak")


def _function(item: pytest.Item) -> tuple[Path, str]:
    return item.path, getattr(item, "originalname", item.name)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the long proofs unless they are asked for.

    What takes longest comes first: a worker of xdist that has nothing left to do takes tests from
    the end of another's list, and makes their fixtures once more.
    """
    mark_stand_ins(items)
    for item in items:
        missing = missing_satellites(item)
        if missing:
            item.add_marker(pytest.mark.skip(f"{', '.join(missing)} is deleted"))
    if "fast" in config.option.markexpr:
        for item in items:
            if is_core(item.path) and not is_slow(item):
                item.add_marker("fast")
    items.sort(key=lambda item: item.get_closest_marker("processes") is None)
    if not is_soak(config):
        long_proofs = [item for item in items if item.get_closest_marker("soak")]
        config.hook.pytest_deselected(items=long_proofs)
        items[:] = [item for item in items if not item.get_closest_marker("soak")]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that needs what this system lacks."""
    from support import systems

    for mark in item.iter_markers("system"):
        systems.need(*mark.args)


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
        patch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0), raising=False)
        patch.setattr(os, "fsync", os.fstat)  # no test cuts the power
        patch.setattr(system, "private_bytes", lambda: 60_000_000)
        yield
