"""Tasks and tools can be taken away: language models are trained, evaluated, scored, sampled,
compared and mixed without them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rnnlm import checkpoints, cli, corpora, registry

pytestmark = [pytest.mark.processes, pytest.mark.soak]

LIBRARY = Path(registry.__file__).parent
FOLDERS = ("tools", "tasks")
SATELLITES = sorted(
    path.relative_to(LIBRARY).as_posix()
    for folder in FOLDERS
    for path in (LIBRARY / folder).iterdir()
    if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").exists()
)
COMMANDS = (
    "train text.txt --valid valid.txt --budget 3steps --set hidden_size=8 -o lstm",
    "train text.txt --model ngram --tokenizer-from lstm -o ngram", "eval -m lstm valid.txt",
    "score -m lstm --words", "generate -m ngram --max-tokens 4",
    "compare lstm ngram --on valid.txt", "mix lstm ngram --on valid.txt -o mixture",
)  # fmt: skip
PROGRAM = f"""
import sys

# An editable installation would find modules in the checkout that the copy lacks.
sys.meta_path[:] = [finder for finder in sys.meta_path if "ditable" not in repr(finder)]
import rnnlm
from rnnlm.cli.main import run

assert rnnlm.__file__.startswith(sys.argv[1]), rnnlm.__file__
for command in {COMMANDS}:
    words = command.split() + ["the dog barked"] * command.startswith("score")
    assert run(words) == 0, command
"""


@pytest.fixture
def copied(tmp_path):
    """Return a copy of the installed package, with texts in the folder above."""
    site = tmp_path / "site"
    own = shutil.ignore_patterns("__pycache__", "cli", "corpora", "checkpoints")
    shutil.copytree(LIBRARY, site / "rnnlm", ignore=own)
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


@pytest.mark.parametrize("gone", [*SATELLITES, " ".join(FOLDERS)])
def test_the_core_goes_on_without(copied, gone):
    for name in gone.split():
        path = copied / "rnnlm" / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    environment = {**os.environ, "PYTHONPATH": str(copied)}
    program = [sys.executable, "-c", PROGRAM, str(copied)]
    given = {"cwd": copied.parent, "env": environment, "capture_output": True, "text": True}
    ended = subprocess.run(program, **given)
    assert ended.returncode == 0, ended.stderr
