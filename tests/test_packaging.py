"""The wheel holds every module, recipe and corpus file, and nothing of anybody's runs."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from setuptools.config.setupcfg import read_configuration

import rnnlm

ROOT = Path(__file__).parents[1]
OPTIONS = read_configuration(ROOT / "setup.cfg")["options"]
WITHIN = ("cli", "corpora", "checkpoints")
INSTALLED_AS = {"rnnlm": "rnnlm", **{name: f"rnnlm/{name}" for name in WITHIN}}
# besides .py
DATA = {
    ".toml", ".txt", ".tsv", ".conllu", ".md", ".typed", ".html", ".css", ".js", ".json",
    ".safetensors", ".pyi",
}  # fmt: skip

pytestmark = pytest.mark.skipif(
    shutil.which("git") is None or not (ROOT / ".git").exists(), reason="needs the repository"
)


def tracked_files() -> list[str]:
    """Return the files in git: those of users, in checkpoints/ or corpora/, are not there."""
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
    return sorted(name for name in set(listed.split("\0")) if name and (ROOT / name).is_file())


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
    for name in ("config.json", "README.md", "weights-00000001.safetensors", "code.py"):
        (mine / name).write_text("{}")
    (copy / "corpora" / "english" / "notes.txt").write_text("mine\n")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir"]
    built = subprocess.run([*build, out, copy], capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    (path,) = out.glob("rnnlm_cli-*.whl")
    return path


def test_wheel_holds_exactly_the_trees_modules_and_data(wheel):
    with zipfile.ZipFile(wheel) as archive:
        contents = archive.namelist()
    packaged = {name for name in contents if not name.split("/")[0].endswith(".dist-info")}
    expected = {installed for installed in map(installed_name, tracked_files()) if installed}
    assert packaged == expected


def test_the_metadata_names_project_licences_and_python(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" in name]
        info = {name.split("/", 1)[1]: archive.read(name).decode() for name in names}
    assert "rnnlm = rnnlm.cli.main:main" in info["entry_points.txt"]
    told = info["METADATA"].splitlines()
    assert "Name: rnnlm-cli" in told and f"Version: {rnnlm.__version__}" in told
    assert "License-Expression: Apache-2.0 AND CC0-1.0" in told
    assert "Requires-Python: <3.14,>=3.11" in told
    assert "Author: rnnlm maintainers" in told
    kinds = {line.removeprefix("Classifier: ") for line in told if line.startswith("Classifier: ")}
    assert {"Typing :: Typed", "Operating System :: POSIX :: Linux"} <= kinds
    assert not [line for line in told if line.startswith(("Project-URL", "Home-page"))]
    assert "licenses/LICENSE" in info

    # Each corpus says in its README under which licence it may be used.
    corpora = {name for name in tracked_files() if re.fullmatch(r"corpora/[^/]+/README.md", name)}
    assert {f"licenses/{name}" for name in corpora} < set(info)


def test_git_converts_no_file():
    """A file whose line ends git changes, as it does on Windows by default, has another hash."""
    listed = subprocess.check_output(["git", "ls-files", "--eol"], cwd=ROOT, text=True)
    converted = [line for line in listed.splitlines() if "attr/-text" not in line.split()]
    assert listed and converted == []


def test_citation_and_uv_have_the_same_versions():
    citation = (ROOT / "CITATION.cff").read_text("utf-8").splitlines()
    assert f"version: {rnnlm.__version__}" in citation
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (torch,) = settings["tool"]["uv"]["constraint-dependencies"]
    assert torch in (ROOT / "constraints.txt").read_text("utf-8").splitlines()


def test_the_installed_wheel_works(wheel, tmp_path):
    target, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index"]
    few = ["--no-compile"]  # most modules are never imported here
    subprocess.run([*install, *few, "--target", target, wheel], check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(target), "OMP_NUM_THREADS": "1"}

    def run(program: list[str], *arguments: str) -> str:
        given = {"cwd": elsewhere, "env": environment, "text": True, "timeout": 120}
        return subprocess.check_output([*program, *arguments], **given)

    module = [sys.executable, "-m", "rnnlm"]
    assert "lstm-sentencepiece" in run(module, "list", "recipes")
    assert str(target) in run([str(target / "bin" / "rnnlm")], "list", "corpora")
    text = str(target / "rnnlm/corpora/english/valid.txt")
    assert "unigram" in run(module, "train", text, "--model", "unigram", "--dry-run")


def names_in(lines: list[str]) -> set[str]:
    return {re.split("[>=]", line)[0] for line in lines if line and not line.startswith("#")}


def test_requirements_and_constraints_name_the_same_packages():
    required = names_in([*OPTIONS["install_requires"], *OPTIONS["extras_require"]["test"]])
    assert required <= names_in((ROOT / "constraints.txt").read_text("utf-8").splitlines())


def test_small_install_requires_what_setup_does():
    small = (ROOT / "requirements-ngram.txt").read_text("utf-8").splitlines()
    left_out = names_in([line for line in OPTIONS["install_requires"] if line not in small])
    assert left_out == {"datasets", "sacrebleu", "scipy", "sentencepiece", "torch"}
    assert names_in(small) | left_out == names_in(OPTIONS["install_requires"])


def test_no_page_or_message_installs_by_a_name_of_the_index():
    """On PyPI, rnnlm-cli is nothing yet, and rnnlm is another project."""
    places = [name for name in tracked_files() if Path(name).suffix in {".md", ".py", ".ipynb"}]
    by_name = re.compile(
        r"""(?:pip|pipx|uv tool) install [^\n`]*?(?<=[\s'"])rnnlm(?:-cli)?(?:\[|[\s'"`]|$)"""
    )
    named = [name for name in places if by_name.search((ROOT / name).read_text("utf-8"))]
    assert [name for name in named if name != "tests/test_packaging.py"] == []
    for wrong in ("pip install rnnlm", "pip install -q 'rnnlm-cli[hf]'", "pipx install rnnlm-cli"):
        assert by_name.search(f"`{wrong}`")
