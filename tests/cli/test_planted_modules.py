"""Processes of ours run nothing that lies in the current folder under the name of a module."""

from pathlib import Path

import pytest

from rnnlm.parallel import ProcessExecutor

pytestmark = pytest.mark.processes

PLANTED = "import os\nopen(os.path.join(os.path.dirname(__file__), 'was-run'), 'w').close()\n"


def work() -> int:
    with ProcessExecutor(1) as workers:
        return 0 if workers.submit(len, "abc").result() == 3 else 1


STARTED = {"a worker": work}


@pytest.mark.parametrize("start", STARTED)
def test_nothing_planted_in_the_folder_runs(here, monkeypatch, start):
    """Also where this process finds modules in it, as under `python -m rnnlm`."""
    for name in ("rnnlm", "torch", "numpy", "click", "pickle"):
        Path(f"{name}.py").write_text(PLANTED)
    monkeypatch.syspath_prepend(here)
    assert STARTED[start]() == 0
    assert not Path("was-run").exists()
