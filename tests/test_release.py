"""The scripts that cut a release and hold its size; files that a host of the project would run."""

import importlib.machinery
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
CHANGELOG = """# Changelog

## Unreleased

* Something new.

## 0.1 (2026-01-01)

* The first thing.
"""


def load(name):
    """Load a script of .ci, whose name has no suffix."""
    path = str(ROOT / ".ci" / name)
    loader = importlib.machinery.SourceFileLoader(f"ci_{name}", path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # nothing beside the scripts
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


@pytest.fixture(scope="module")
def release():
    return load("release")


@pytest.fixture(scope="module")
def budget():
    return load("budget")


# ---- Dated parts of the changelog.


def test_the_dated_parts_of_the_changelog_are_as_they_were_released(release, monkeypatch):
    monkeypatch.chdir(ROOT)
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "\n## Unreleased\n" in changelog
    assert release.changed_parts(changelog, release.versions()) == []


def test_a_change_of_a_dated_part_is_noticed(release):
    released = {v: {"changelog": told} for v, told in release.hashes_of(CHANGELOG).items()}
    assert list(released) == ["0.1"]
    assert release.changed_parts(CHANGELOG, released) == []
    newer = CHANGELOG.replace("* Something new.", "* Something else.")
    assert release.changed_parts(newer, released) == []

    [fault] = release.changed_parts(CHANGELOG.replace("first", "best"), released)
    assert "0.1 of CHANGELOG.md was changed after its release" in fault
    [fault] = release.changed_parts(CHANGELOG.partition("## 0.1")[0], released)
    assert "has no part 0.1" in fault
    [fault] = release.changed_parts(CHANGELOG, {})
    assert "no hash of 0.1" in fault


def test_what_was_unreleased_gets_the_version_and_its_date(release):
    dated = release.with_date(CHANGELOG, "0.2.0", "2026-02-03")
    headings = re.findall("^## .*$", dated, re.MULTILINE)
    assert headings == ["## Unreleased", "## 0.2.0 (2026-02-03)", "## 0.1 (2026-01-01)"]
    assert "## 0.2.0 (2026-02-03)\n\n* Something new.\n" in dated
    assert release.hashes_of(dated)["0.1"] == release.hashes_of(CHANGELOG)["0.1"]
    with pytest.raises(SystemExit, match="nothing under ## Unreleased"):
        release.with_date(dated, "0.3.0", "2026-02-04")


# ---- The version.


@pytest.mark.parametrize(("version", "why"), [
    ("0.2", "write MAJOR.MINOR.PATCH"), ("v0.2.0", "write MAJOR"), ("0.02.0", "write MAJOR"),
    ("0.1.9", "below 0.2.0"), ("0.3.0", "tagged already"),
])  # fmt: skip
def test_versions_that_cannot_be_are_refused(release, version, why):
    with pytest.raises(SystemExit, match=why):
        release.check_version(version, "0.2.0", ["v0.3.0"])


def test_a_version_goes_into_all_places_and_on_record(release, budget, tmp_path, monkeypatch):
    for name in (".ci/budget", ".ci/released.toml", "CITATION.cff", "rnnlm/version.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text("Three words here.\n")
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    (tmp_path / "CHANGELOG.md").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    last = re.search(r'__version__ = "(.+)"', Path("rnnlm/version.py").read_text())[1]
    release.prepare("9.0.0", last, "2026-02-03")

    assert '__version__ = "9.0.0"' in Path("rnnlm/version.py").read_text()
    assert "\nversion: 9.0.0\n" in Path("CITATION.cff").read_text()
    released = release.versions()
    assert list(released)[-1] == "9.0.0"
    assert released["9.0.0"]["words_of_docs"] == 3 and released["9.0.0"]["modules"] == 1
    changelog = Path("CHANGELOG.md").read_text(encoding="utf-8")
    assert release.changed_parts(changelog, released) == []


def test_scores_that_readme_does_not_show_are_named(release):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert release.missing_scores("logprob_nats  words\n -19.37  2\n -20.70  4\n", readme) == []
    assert release.missing_scores("-19.38 -20.70", readme) == ["-19.38"]
    assert release.missing_scores("", readme) == ["none at all"]


def test_without_an_index_packages_come_from_the_doors_wheels(release, tmp_path, monkeypatch):
    monkeypatch.delenv("RNNLM_WHEELS", raising=False)
    assert release.sources() == []
    monkeypatch.setenv("RNNLM_WHEELS", str(tmp_path))

    def answer(code):
        done = subprocess.CompletedProcess([], code)
        monkeypatch.setattr(release.subprocess, "run", lambda *args, **options: done)
        return release.sources()

    assert answer(0) == []
    assert answer(1) == ["--no-index", "--find-links", str(tmp_path)]


# ---- Sizes.


def test_the_core_alone_has_a_limit_of_one_per_cent_above_main(budget):
    assert budget.fault(core=1010, main=1000) == ""
    assert budget.fault(core=1011, main=1000).startswith(
        "statements_of_core is 1,011, more than 1 %"
    )


def test_a_commit_and_a_folder_are_counted_alike(budget, here):
    for name in ("rnnlm/a.py", "rnnlm/tools/b/__init__.py", "cli/c.py", "tests/d.py", "docs/e.md"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text('"""Say what it does."""\n\nx = 1\n')
    for command in ("init -q", "add .", "-c user.name=a -c user.email=b commit -q -m c"):
        subprocess.run(["git", *command.split()], check=True)
    [commit] = budget.last_commits()
    assert list(budget.count().values()) == [2, 1, 2, 3, 7]
    assert budget.count(budget.files_in(commit)) == budget.count()


# ---- All of it.


@pytest.mark.soak
def test_a_release_is_cut_in_a_copy(tmp_path):
    """Needs an index, or wheels in $RNNLM_WHEELS; installs torch."""
    copy = tmp_path / "copy"
    subprocess.run(["git", "clone", "-q", ROOT, copy], check=True)
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, ".ci/release", "9.0.0"]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "git tag -a v9.0.0" in done.stdout and "recognize speech" in done.stdout
    assert done.stdout.count("PASSED") == 2  # by twine: the wheel, the source distribution
    changed = subprocess.check_output(["git", "diff", "--name-only"], cwd=copy, text=True)
    assert set(changed.split()) == {
        ".ci/released.toml", "CHANGELOG.md", "CITATION.cff", "rnnlm/version.py",
    }  # fmt: skip


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
    systems = others["strategy"]["matrix"]["system"]
    assert {name.split("-")[0] for name in systems} == {"macos", "windows"}


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
