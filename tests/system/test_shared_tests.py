"""`pytest --workers 4` (tests/support/workers.py) says of a suite what `pytest` says of it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
MIXED = """
import os, warnings, pytest

@pytest.fixture(scope="module")
def made():
    return [os.getpid()]

@pytest.mark.parametrize("i", range(5))
def test_models_are_made_once(made, i, tmp_path):
    made.append(i)
    assert made == [os.getpid(), *range(i + 1)]

def test_what_fails():
    print("seen")
    assert 1 + 1 == 3

@pytest.mark.skip(reason="nothing to do")
def test_what_is_skipped():
    raise AssertionError

def test_what_warns():
    warnings.warn("mind the gap")
"""


def run(folder, *options):
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-ra", "-p", "support.workers", "--rootdir", folder,
         "-c", os.devnull, "-p", "no:cacheprovider", *options, folder],
        env=os.environ | {"PYTHONPATH": str(TESTS)}, capture_output=True, text=True,
    )  # fmt: skip


@pytest.fixture
def suite(tmp_path):
    for name in "abc":
        (tmp_path / f"test_{name}.py").write_text(MIXED)
    return tmp_path


def test_reports_are_those_of_one_process(suite):
    alone, shared = run(suite), run(suite, "--workers", "2")
    assert (alone.returncode, shared.returncode) == (1, 1)

    def outcomes(output):
        return re.findall(
            r"^(?:FAILED|SKIPPED|E  |\d+ failed).*(?= in )|^FAILED.*", output, re.MULTILINE
        )

    assert sorted(outcomes(alone.stdout)) == sorted(outcomes(shared.stdout))
    assert "3 failed, 18 passed, 3 skipped, 3 warnings" in shared.stdout
    assert shared.stdout.count("mind the gap") == alone.stdout.count("mind the gap")
    assert shared.stdout.count("Captured stdout call") == 3


def test_a_worker_that_ends_fails_its_tests(suite):
    end = "import os\ndef test_it(): pass\ndef test_end(): os._exit(7)\ndef test_left(): pass\n"
    (suite / "test_end.py").write_text(end)
    found = run(suite, "--workers", "2").stdout
    assert re.search(r"_ test_end _+\nthe worker ended in it, with code 7\n", found)
    assert re.search(r"_ test_left _+\ndid not run: the worker that had it has ended\n", found)
    assert "5 failed, 19 passed" in found


def test_the_first_failure_ends_it(suite):
    found = run(suite, "--workers", "2", "-x")
    assert found.returncode == 1 and "stopping after 1 failures" in found.stdout
