"""The files that a host of the project would run are ones that it can read: no host has run them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOW = ROOT / ".github" / "workflows" / "tests.yml"
SCRIPTS = sorted(
    path
    for path in (ROOT / ".ci").iterdir()
    if path.read_bytes().startswith(b"#!/usr/bin/env bash")
)


@pytest.fixture(scope="module")
def workflow():
    return yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))


def in_bash(script: str) -> str:
    """Return what bash finds wrong with a script that it only reads."""
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
    return done.stderr


def test_the_workflow_is_short():
    assert len(WORKFLOW.read_text(encoding="utf-8").splitlines()) <= 60


def test_linux_runs_what_the_project_runs_on_each_python(workflow):
    linux = workflow["jobs"]["linux"]
    assert [step["run"] for step in linux["steps"] if "run" in step] == [".ci/run"]

    # The versions of the matrix are those that the package admits.
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lowest, beyond = map(int, re.search(r'">=3\.(\d+),<3\.(\d+)"', settings).groups())
    assert linux["strategy"]["matrix"]["python"] == [f"3.{n}" for n in range(lowest, beyond)]


def test_systems_that_nobody_tried_may_fail(workflow):
    others = workflow["jobs"]["others"]
    assert others["continue-on-error"] is True
    assert {name.split("-")[0] for name in others["strategy"]["matrix"]["system"]} == {
        "macos",
        "windows",
    }


def test_doors_open_once_a_week(workflow):
    [when] = workflow[True]["schedule"]  # YAML 1.1 reads the key `on` as true
    minute, hour, day, month, weekday = when["cron"].split()
    assert (day, month) == ("*", "*") and weekday.isdigit()
    assert workflow["jobs"]["doors"]["steps"][-1]["run"] == ".ci/doors"


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_reads_every_command(workflow):
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    commands = [step["run"] for step in steps if "run" in step]
    assert len(commands) == 4
    assert [in_bash(command) for command in commands] == [""] * 4
    assert {path.name for path in SCRIPTS} >= {"run", "doors"}
    assert [in_bash(path.read_text(encoding="utf-8")) for path in SCRIPTS] == [""] * len(SCRIPTS)
    assert in_bash("if true; then")  # bash does find faults


def test_scripts_that_run_are_there_and_executable(workflow):
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    named = {step["run"] for step in steps if step.get("run", "").startswith(".ci/")}
    assert named == {".ci/run", ".ci/doors"}
    assert all((ROOT / name).stat().st_mode & 0o111 for name in named)
