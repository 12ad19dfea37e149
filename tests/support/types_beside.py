"""mypy looks at the code while the tests are collected, which keeps one core busy: with several
workers, and where all tests run. The test of its findings waits for it; alone, it runs mypy itself.
"""

import subprocess
import sys
import tempfile
import time
import tomllib
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
        folder = Path(tempfile.mkdtemp(prefix="rnnlm-types-"))
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
        subprocess.Popen(["sh", "-c", script, str(self.said), *command], cwd=ROOT)

    def findings(self) -> list[str]:
        """Wait for mypy, and return the lines that it said."""
        begun = time.monotonic()
        while not self.code.exists():
            assert time.monotonic() - begun < MOST_SECONDS, "mypy has not come to its end"
            time.sleep(0.05)
        return self.said.read_text(encoding="utf-8").splitlines()


def is_there() -> bool:
    return find_spec("mypy") is not None


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    asked = session.config
    is_whole = asked.args_source == pytest.Config.ArgsSource.TESTPATHS
    if is_whole and asked.option.workers > 1 and not asked.option.collectonly and is_there():
        asked.stash[BEGUN] = TypeCheck()


BEGUN = pytest.StashKey[TypeCheck]()


@pytest.fixture
def type_check(pytestconfig: pytest.Config) -> TypeCheck:
    """The run that has begun beside the collection, or a new one."""
    if not is_there():
        pytest.skip("mypy is not installed: pip install 'rnnlm[test]'")
    return pytestconfig.stash.get(BEGUN, None) or TypeCheck()
