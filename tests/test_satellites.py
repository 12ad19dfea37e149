"""Satellites can be taken away: language models are trained, evaluated, scored, sampled, compared
and mixed without them. Packages of others can add some."""

import ast
import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rnnlm import checkpoints, cli, corpora
from rnnlm.satellites import HERE, PLACES
from support import satellite_files

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "tests" / "support" / "example_satellite"
FOLDERS = sorted(
    f"{place}/{path.stem}"
    for place in PLACES
    for path in (HERE / place).iterdir()
    if not path.name.startswith("_")
)
FAST = ("tools/huggingface", "tasks/common")  # the others take long, and differ little
COMMANDS = (
    "--help", "list", "list satellites", "list recipes",
    "train text.txt --valid valid.txt --budget 3steps --set hidden_size=8 -o lstm",
    "train text.txt --valid valid.txt --model ngram --tokenizer-from lstm --order 3 -o ngram",
    "train text.txt --grid model=rnn,gru --set hidden_size=4 --budget 2steps -o grid",
    "train text.txt --dry-run --json", "eval -m lstm valid.txt", "eval -m ngram valid.txt --json",
    "score -m lstm --words --tokens", "generate -m ngram --max-tokens 4",
    "next -m lstm the", "compare lstm ngram --on valid.txt --plot bits.svg", "compare lstm ngram",
    "export -m ngram --arpa ngram.arpa", "import ngram.arpa -o back",
    "mix lstm ngram --on valid.txt -o mixture", "prune -m ngram --threshold 1e-4 -o pruned",
    "tune -m lstm+cache --on valid.txt --tokens 200", "report lstm grid -o report.html",
    "doctor lstm", "info lstm", "info lstm --json", "count text.txt -o counts",
    "prepare text.txt -o prepared --workers 1",
)  # fmt: skip
# A line for each use of a satellite that may be gone, and the one that has it.
USES = {
    "serve": ("rnnlm serve", "tools/serving"),
    "tag a": ("rnnlm tag", "tasks/labelling"),
    "train text.txt --task seq2seq": ("the task seq2seq", "tasks/seq2seq"),
    "score -m hf:some/model a": ("hf:some/model", "tools/huggingface"),
    "eval -m tagger valid.txt": ("the model at tagger", "tasks/labelling"),
}
PROGRAM = """
import contextlib, dataclasses, io, json, sys
from pathlib import Path

# An editable installation would find modules in the checkout that the copy lacks.
sys.meta_path[:] = [finder for finder in sys.meta_path if "ditable" not in repr(finder)]
import rnnlm
from rnnlm.cli.main import run
from rnnlm.storage.manifest import read_manifest, write_manifest

site, commands, uses = sys.argv[1], *map(json.loads, sys.argv[2:])
assert rnnlm.__file__.startswith(site), rnnlm.__file__
for command in commands:
    words = command.split() + ["the dog barked"] * command.startswith("score")
    assert run(words) == 0, command

manifest = read_manifest(Path("lstm"))
tagger = manifest.settings | {"task": "tagging"}
Path("tagger").mkdir()
write_manifest(Path("tagger"), dataclasses.replace(manifest, settings=tagger))
for command, (called, satellite) in uses.items():
    with contextlib.redirect_stderr(io.StringIO()) as said:
        assert run(command.split()) == 2, command
    line = f"error: {called} needs the satellite {satellite}, which is not installed here\\n"
    assert said.getvalue() == line, said.getvalue()
model = rnnlm.load("lstm")
assert "generate" in dir(model) and all(getattr(rnnlm, name) for name in rnnlm.__all__)
"""


def test_files_of_satellites_are_those_that_the_script_writes():
    for name, content in satellite_files.FILES.items():
        assert (HERE / name).read_text(encoding="utf-8") == content(), name


def test_only_commands_of_satellites_parse_options_and_draw():
    for path in itertools.chain.from_iterable((HERE / place).rglob("*.py") for place in PLACES):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [
                alias.name for alias in getattr(node, "names", ()) if isinstance(node, ast.Import)
            ]
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            used = {name.partition(".")[0] for name in names} & {"click", "rich"}
            assert not used or "command" in path.name or path.name == "satellite.py", path


# ---- Taken away.


@pytest.fixture
def copied(tmp_path):
    """Return a copy of the installed package, with texts in the folder above."""
    site = tmp_path / "site"
    own = shutil.ignore_patterns("__pycache__", "cli", "corpora", "checkpoints")
    shutil.copytree(HERE, site / "rnnlm", ignore=own)
    for package in (cli, corpora):
        folder = Path(package.__file__).parent
        shutil.copytree(folder, site / "rnnlm" / package.__name__.rpartition(".")[2])
    shipped = site / "rnnlm" / "checkpoints"
    shutil.copytree(checkpoints.FOLDER / "demo", shipped / "demo")
    shutil.copy(checkpoints.__file__, shipped)

    for part, lines in {"text": 200, "valid": 40}.items():
        source = corpora.part("english", "train" if part == "text" else "valid")
        text = source.read_text(encoding="utf-8").splitlines(keepends=True)[:lines]
        (tmp_path / f"{part}.txt").write_text("".join(text), encoding="utf-8")
    return site


def remove(site, names):
    for name in names:
        path = site / "rnnlm" / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.with_suffix(".py").unlink()


def run_core(site, uses):
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    program = [sys.executable, "-c", PROGRAM, str(site), json.dumps(COMMANDS), json.dumps(uses)]
    given = {"cwd": site.parent, "env": environment, "capture_output": True, "text": True}
    ended = subprocess.run(program, **given)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.processes
@pytest.mark.soak
@pytest.mark.parametrize("gone", FOLDERS)
def test_core_works_without_one_satellite(copied, gone):
    remove(copied, [gone])
    run_core(copied, {use: said for use, said in USES.items() if said[1] == gone})


@pytest.mark.processes
@pytest.mark.soak
def test_core_works_without_satellites(copied):
    remove(copied, PLACES)
    run_core(copied, USES)
