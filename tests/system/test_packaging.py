"""The wheel holds what the tree holds: every module, recipe and corpus file, nothing of anybody's
runs or tests."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import rnnlm

ROOT = Path(__file__).parents[2]
INSTALLED_AS = {
    "rnnlm": "rnnlm",
    "cli": "rnnlm/cli",
    "corpora": "rnnlm/corpora",
    "checkpoints": "rnnlm/checkpoints",
}
# besides .py
DATA = {
    ".toml", ".txt", ".tsv", ".conllu", ".md", ".typed", ".html", ".css", ".js", ".json",
    ".safetensors",
}  # fmt: skip

pytestmark = pytest.mark.skipif(
    shutil.which("git") is None or not (ROOT / ".git").exists(), reason="needs the repository"
)


def tracked_files() -> list[str]:
    """Return the files in git. A user's own files, in checkpoints/ or corpora/, are not among
    them."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return sorted(
        name for name in set(listed.stdout.split("\0")) if name and (ROOT / name).is_file()
    )


def installed_name(name: str) -> str | None:
    """Return where a file of the tree is in the wheel; None if it is not installed."""
    top, _, rest = name.partition("/")
    if top not in INSTALLED_AS or Path(name).suffix not in {".py", *DATA}:
        return None
    return f"{INSTALLED_AS[top]}/{rest}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build a wheel from a copy of the tree that also contains a user's models and texts."""
    copy, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    for name in tracked_files():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy / name)
    mine = copy / "checkpoints" / "mine"
    mine.mkdir()
    for name in (
        "config.json",
        "README.md",
        "vocab.txt",
        "weights-00000001.safetensors",
        "code.py",
    ):
        (mine / name).write_text("{}")
    (copy / "corpora" / "english" / "notes.txt").write_text("mine\n")
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(out),
        str(copy),
    ]
    built = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    (path,) = out.glob("rnnlm_cli-*.whl")
    return path


@pytest.fixture(scope="module")
def contents(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_wheel_holds_exactly_the_trees_modules_and_data(contents):
    packaged = {name for name in contents if not name.split("/")[0].endswith(".dist-info")}
    assert packaged == {
        installed for installed in map(installed_name, tracked_files()) if installed
    }


def test_the_metadata_names_project_licences_and_python(wheel):
    with zipfile.ZipFile(wheel) as archive:
        info = {
            name.split("/", 1)[1]: archive.read(name).decode()
            for name in archive.namelist()
            if ".dist-info/" in name
        }
    assert "rnnlm = rnnlm.cli.main:main" in info["entry_points.txt"]
    told = info["METADATA"].splitlines()
    assert "Name: rnnlm-cli" in told and f"Version: {rnnlm.__version__}" in told
    assert "License-Expression: Apache-2.0 AND CC0-1.0" in told
    assert "Requires-Python: <3.14,>=3.11" in told
    assert "licenses/LICENSE" in info

    # Each corpus says in its README under which licence it may be used.
    corpora = {name for name in tracked_files() if re.fullmatch(r"corpora/[^/]+/README.md", name)}
    assert {f"licenses/{name}" for name in corpora} < set(info)


def test_citation_and_uv_have_the_same_versions():
    citation = (ROOT / "CITATION.cff").read_text("utf-8").splitlines()
    assert f"version: {rnnlm.__version__}" in citation
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (torch,) = settings["tool"]["uv"]["constraint-dependencies"]
    assert torch in (ROOT / "constraints.txt").read_text("utf-8").splitlines()


def test_no_hint_installs_the_other_rnnlm():
    """PyPI's rnnlm is another project."""
    bare = re.compile(
        r"""\b(pip|pipx|tool|uv) (install|inject|add)( -\S+)* ['"]?rnnlm(?![\w-])|\brnnlm\["""
    )
    pages = [name for name in tracked_files() if Path(name).suffix in {".py", ".md", ".ipynb"}]
    assert [name for name in pages if bare.search((ROOT / name).read_text("utf-8"))] == []


def test_the_extra_of_readmes_command_brings_what_plots_need(wheel):
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(
            archive.read(name).decode() for name in archive.namelist() if name.endswith("/METADATA")
        ).splitlines()
    for package in ("jinja2>=3.1", "matplotlib>=3.8"):
        assert f'Requires-Dist: {package}; extra == "plots"' in metadata
    assert "-e '.[plots]'" in (ROOT / "README.md").read_text("utf-8")


def test_the_installed_wheel_works(wheel, tmp_path):
    target, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-index",
        "--no-compile",  # most modules are never imported here
        "--target",
        str(target),
        str(wheel),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    environment = {**os.environ, "PYTHONPATH": str(target), "OMP_NUM_THREADS": "1"}

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "rnnlm", *arguments]
        ended = subprocess.run(
            command, cwd=elsewhere, env=environment, capture_output=True, text=True, timeout=120
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    assert "lstm-sentencepiece" in run("list", "recipes")
    assert str(target) in run("list", "corpora")
    script = subprocess.run(
        [target / "bin" / "rnnlm", "list", "corpora"],
        cwd=elsewhere,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert str(target) in script.stdout
    assert "unigram" in run(
        "train", str(target / "rnnlm/corpora/english/valid.txt"), "--model", "unigram", "--dry-run"
    )


def test_every_package_of_the_tree_is_listed():
    from setuptools.config.setupcfg import read_configuration

    listed = set(read_configuration(ROOT / "setup.cfg")["options"]["packages"])
    folders = {
        str(Path(name).parent)
        for name in map(installed_name, tracked_files())
        if name and name.endswith("/__init__.py")
    }
    assert listed == {folder.replace("/", ".") for folder in folders}


def test_requirements_and_constraints_name_the_same_packages():
    from setuptools.config.setupcfg import read_configuration

    options = read_configuration(ROOT / "setup.cfg")["options"]
    required = {
        line.split(">=")[0]
        for line in [*options["install_requires"], *options["extras_require"]["test"]]
    }
    constrained = {
        line.split("==")[0]
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    assert required <= constrained


def test_small_install_requires_what_setup_does():
    from setuptools.config.setupcfg import read_configuration

    whole = set(read_configuration(ROOT / "setup.cfg")["options"]["install_requires"])
    lines = (ROOT / "requirements-ngram.txt").read_text("utf-8").splitlines()
    small = {line for line in lines if not line.startswith("#")}
    left_out = {line.split(">=")[0] for line in whole - small}
    assert small < whole
    assert left_out == {"datasets", "sacrebleu", "scipy", "sentencepiece", "torch"}
