"""A typed program of a user, as a second type checker sees it."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.soak
def test_pyright_accepts_a_program_of_a_user():
    """At its standard strictness; `pip install -e '.[types]'` brings it."""
    assert find_spec("pyright"), "pyright is not installed: pip install -e '.[types]'"
    program = "tests/support/typed_program.py"
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, program],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
