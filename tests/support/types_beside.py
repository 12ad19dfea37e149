"""mypy looks at the code while the tests are collected, which keeps one core busy: with several
workers, and where all tests run. The test of its findings waits for it; alone, it runs mypy itself.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WRONG = """from rnnlm.interface import LanguageModel
from rnnlm.ngram.tables import BackoffLevel


def of(level: BackoffLevel) -> LanguageModel:
    return level
"""
MOST_SECONDS = 300


class TypeCheck:
    """One run of mypy over what pyproject.toml names, and over a module with a mistake in it."""

    def __init__(self) -> None:
        self.folder = folder = Path(tempfile.mkdtemp(prefix="rnnlm-types-"))
        self.said, self.code = folder / "said", folder / "code"
        (folder / "wrong.py").write_text(WRONG)
        asked = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mypy"]
        self.checked = [
            *asked["packages"],
            *(f"tests/{name.replace('.', '/')}.py" for name in asked["modules"]),
        ]
        command = [sys.executable, "-m", "mypy", *self.checked, str(folder / "wrong.py")]
        # The code comes last, and is what a worker, whose child this is not, can wait for.
        script = '"$@" > "$0" 2>&1; echo $? > "$0.new"; mv "$0.new" "$(dirname "$0")/code"'
        nowhere = subprocess.DEVNULL
        self.process = subprocess.Popen(
            ["sh", "-c", script, str(self.said), *command],
            cwd=ROOT, stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=True,
        )  # fmt: skip

    def findings(self) -> list[str]:
        """Wait for mypy, and return the lines that it said."""
        begun = time.monotonic()
        while not self.code.exists():
            assert time.monotonic() - begun < MOST_SECONDS, "mypy has not come to its end"
            time.sleep(0.05)
        return self.said.read_text(encoding="utf-8").splitlines()

    def end(self) -> None:
        """End mypy, where it has not ended, and remove what it left."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def is_there() -> bool:
    return find_spec("mypy") is not None


BEGUN = pytest.StashKey[TypeCheck]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    config, asked = session.config, session.config.option
    are_all = config.args_source == pytest.Config.ArgsSource.TESTPATHS
    are_some = asked.keyword or asked.markexpr or asked.collectonly
    if are_all and not are_some and asked.workers > 1 and is_there():
        config.stash[BEGUN] = TypeCheck()


def pytest_unconfigure(config: pytest.Config) -> None:
    begun = config.stash.get(BEGUN, None)
    if begun:
        begun.end()


@pytest.fixture
def type_check(pytestconfig: pytest.Config) -> Iterator[TypeCheck]:
    """Yield the type check that began beside the collection, or a new one."""
    if not is_there():
        pytest.skip("mypy is not installed: pip install -e '.[test]'")
    if BEGUN in pytestconfig.stash:
        yield pytestconfig.stash[BEGUN]
        return
    new = TypeCheck()
    yield new
    new.end()
