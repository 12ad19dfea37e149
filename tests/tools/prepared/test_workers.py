"""Workers of `rnnlm.prepare` under scripts without a main guard, or killed."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.processes

SEVERAL_SHARDS = (
    "from rnnlm.tools.prepared import shards; shards.SHARD_BYTES = 5_000; "
    "shards.PIECE_BYTES = 1_000\n"
)


@pytest.fixture
def start(tmp_path):
    """Return a function that starts a script in a folder with a text."""
    (tmp_path / "text.txt").write_text("the man and the boy\nthe boy was there\n" * 500)

    def start(script: str) -> subprocess.Popen:
        (tmp_path / "script.py").write_text(script)
        path = os.pathsep.join(filter(None, sys.path))
        return subprocess.Popen(
            [sys.executable, "script.py"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": path},
            text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    return start


def test_a_script_without_a_main_guard_runs_once(start):
    script = start(
        "import rnnlm\nprint('begins')\nprint([*rnnlm.prepare('text.txt', 'prepared', "
        "workers=2)][-1].lines)\n"
    )
    out, err = script.communicate(timeout=100)
    assert (script.returncode, out, err) == (0, "begins\n1000\n", "")


def test_workers_end_when_their_parent_is_killed(start):
    script = start(
        "import time\nfrom rnnlm.parallel import ProcessExecutor\nexecutor = ProcessExecutor(2)\n"
        "[executor.submit(len, '').result() for _ in range(4)]\n[executor.submit(time.sleep, 600) "
        "for _ in range(4)]\n"
        "print('ready', flush=True)\n"
    )
    assert script.stdout.readline() == "ready\n"
    script.kill()
    script.communicate(timeout=60)  # ends when nobody holds stderr any longer


def test_work_that_was_killed_goes_on(start, tmp_path):
    more = "import rnnlm, sys\nfor event in rnnlm.prepare('text.txt', 'prepared', workers=2):\n"
    script = start(
        SEVERAL_SHARDS
        + more
        + "    if getattr(event, 'shards', 0) > 2: print('ready', flush=True); sys.stdin.read()\n"
    )
    assert script.stdout.readline() == "ready\n"
    script.kill()
    script.communicate(timeout=60)
    assert (tmp_path / "prepared" / "unfinished.json").exists()
    assert (tmp_path / "prepared" / "shard-00000.safetensors").exists()
    script = start(SEVERAL_SHARDS + more + "    print(event)\n")
    out, err = script.communicate(timeout=100)
    assert script.returncode == 0 and "is_skipping=True" in out and "lines=1000" in out, err
