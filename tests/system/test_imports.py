"""What is not needed is not imported: help answers at once, and count-based models never wait for
torch."""

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from setuptools.config.setupcfg import read_configuration

from rnnlm import corpora
from rnnlm.cli.main import COMMANDS
from support.tiny_models import fit, save

ROOT = Path(__file__).parents[2]
HEAVY = {
    "torch",
    "datasets",
    "pyarrow",
    "sentencepiece",
    "numpy",
    "safetensors",
    "rich",
    "matplotlib",
}


def requirement_names(lines: list[str]) -> set[str]:
    return {Requirement(line).name for line in lines if line and not line.startswith("#")}


SMALL = requirement_names((ROOT / "requirements-ngram.txt").read_text("utf-8").splitlines())
OPTIONS = read_configuration(ROOT / "setup.cfg")["options"]
WHOLE = requirement_names(OPTIONS["install_requires"] + OPTIONS["extras_require"]["plots"])
RUN = """
import contextlib, io, json, sys, time
began = time.process_time()
sys.path[:0] = {packages!r}
class Missing:
    def find_spec(name, path=None, target=None):
        if name in {without!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing)
from rnnlm.cli.main import run
for arguments in {commands!r}:
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(said):
        code = run(arguments)
    seconds = time.process_time() - began
    imported = [name for name in {heavy!r} if name in sys.modules]
    print(json.dumps([code, seconds, imported, said.getvalue()]))
"""


class Ended(NamedTuple):
    """A command of several in one process: the CPU seconds and heavy modules imported up to its
    end, and what it said on stdout and stderr."""

    code: int
    seconds: float
    imported: list[str]
    said: str


def run_apart(*commands: list[str], cwd=None, without=(), packages: Path | None = None):
    """Run the commands in one fresh process. without: packages that it cannot import. packages: a
    folder that holds all the packages that it can."""
    isolated = [] if packages is None else ["-I", "-S"]
    code = RUN.format(
        commands=commands,
        heavy=sorted(HEAVY),
        without=sorted(without),
        packages=[] if packages is None else [str(packages)],
    )
    ended = subprocess.run(
        [sys.executable, *isolated, "-c", code],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    return [Ended(*json.loads(line)) for line in ended.stdout.splitlines()]


def test_no_help_imports_anything_heavy():
    results = run_apart(
        ["--help"],
        *([command, "--help"] for command in COMMANDS),
        ["inspect", "gradients", "--help"],
    )
    assert [ended.code for ended in results] == [0] * (len(COMMANDS) + 2)
    assert [ended.imported for ended in results] == [[]] * len(results)
    assert results[-1].seconds < 0.3 * len(results)


@pytest.mark.parametrize(
    "command",
    [["--help"], ["train", "--help"], ["nonsense"], pytest.param(["eval"], marks=pytest.mark.soak)],
)
def test_help_and_wrong_usage_answer_at_once(command):
    (ended,) = run_apart(command)
    assert ended.imported == []
    assert ended.seconds < 0.3


# ---- Wrong names are answered before torch is imported.

WRONG_NAMES = """
train nofile
train https://example.org/a.txt
train text --valid nofile
train text --test no*.txt
train --init-from nomodel
train --tokenizer-from nomodel
train --recipe norecipe
train --model nokind
train --model ngram --counts nocounts
train --counts nocounts
train --embeddings nofile
train --grid model=rnn,gru nofile
train --task tagging nofile
train --task tagging --contextual nomodel
train --task classification --init-from nomodel
train --task seq2seq text --target nofile
train --task seq2seq --init-encoder-from nomodel
eval -m demo nofile
eval -m nomodel text
score --input nofile
score -m nomodel text
compare demo demo --on nofile
compare demo nomodel --on text
count nofile
prepare nofile -o out
vectors nofile -o out.txt
generate -m nomodel
tag -m nomodel text
tag -m demo --input nofile
tag text
classify --input nofile
translate --input nofile
embed --input nofile -o out.npy
embed -m nomodel --input text -o out.npy
rescore --tune nofile -m demo
rescore --tune text -m nomodel
filter nofile -m demo -o out
filter text -m en=nomodel -o out
mix demo nomodel --on text
mix demo demo --on nofile
tune -m demo+cache --on nofile
inspect gates -m nomodel text
inspect gradients --on nofile
inspect probe nofile
info nomodel
doctor nomodel
serve -m nomodel
"""


def test_wrong_names_are_answered_without_torch(tmp_path):
    (tmp_path / "text").write_text("the day is long\n")
    commands = [line.split() for line in WRONG_NAMES.strip().splitlines()]
    results = run_apart(*commands, cwd=tmp_path)
    for command, ended in zip(commands, results, strict=True):
        assert ended.code in (1, 2) and "error: " in ended.said, (command, ended.said)
        assert "torch" not in ended.imported, command
        assert "the model goes to" not in ended.said, command
    assert {path.name for path in tmp_path.iterdir()} == {"text"}


# ---- The small install, of requirements-ngram.txt: all n-gram work, without torch.

NGRAM_WORK = """
--version
train train.txt --valid valid.txt --model ngram --set order=3 -o kn
train train.txt --model unigram --tokenizer-from kn -o uni
tune -m kn+unigram --on valid.txt
eval -m kn+unigram valid.txt
score -m kn --words --tokens the day
score -m kn --input train.txt --json
score -m kn --pairs pairs.tsv
compare kn uni --on valid.txt
mix kn uni --on valid.txt -o both --bundle
eval -m both valid.txt
generate -m both --num 2
rescore --tune list.tsv --apply list.tsv -m kn --output best.txt
export -m kn --arpa kn.arpa.gz
import kn.arpa.gz -o back
prune -m kn --threshold 1e-4 --on valid.txt -o pruned
count train.txt --order 2
count train.txt -o counts
prepare train.txt -o prepared --workers 1
train prepared --model ngram -o again
doctor both
info kn
"""
NEEDS = {
    "train train.txt -o lstm": "torch",
    "eval -m demo valid.txt": "torch",
    "info demo": "torch",
    "vectors train.txt -o words.vec": "scipy",
    "inspect cloze -m kn": "scipy",
    "compare kn uni --on valid.txt --plot bits.svg": "matplotlib",
    "report kn -o run.html": "jinja2",
    "train train.txt --model ngram --tokenizer sentencepiece -o pieces": "sentencepiece",
    "train saved --model ngram -o of-a-data-set": "datasets",
}

# Where an extra brings the package, or more than one.
_PLOTS = "jinja2 matplotlib, or pip install -e '.[plots]' in a checkout"
HINTS = {"jinja2": _PLOTS, "matplotlib": _PLOTS}


@pytest.fixture
def texts(tmp_path):
    """Make a folder with the files that these commands name."""
    lines = corpora.part("english", "valid").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "train.txt").write_text("".join(lines[:80]), encoding="utf-8")
    (tmp_path / "valid.txt").write_text("".join(lines[80:100]), encoding="utf-8")
    (tmp_path / "pairs.tsv").write_text("good\tbad\nthe day\tday the\n", encoding="utf-8")
    nbest = "u1\tREF\t\tthe man\nu1\t1\t-1\tthe man\nu1\t2\t-2\ta man\n"
    (tmp_path / "list.tsv").write_text(nbest, encoding="utf-8")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "state.json").write_text("{}")
    (tmp_path / "saved" / "data.arrow").write_bytes(b"")
    return tmp_path


def check_small_install(texts: Path, **environment) -> None:
    """See that n-gram work is done, and that the rest names the package it needs."""
    work = NGRAM_WORK.strip().splitlines()
    before = {path.name for path in texts.iterdir()}
    results = run_apart(*(line.split() for line in [*work, *NEEDS]), cwd=texts, **environment)

    # All of the work is done ...
    for command, ended in zip(work, results, strict=False):
        assert ended.code == 0 and "error:" not in ended.said, (command, ended.said)
    assert "torch not installed" in results[0].said

    # ... and everything else ends with what to install, leaving nothing behind.
    for (command, package), ended in zip(NEEDS.items(), results[len(work) :], strict=True):
        message = f"this needs the package {package}\n  why: it is not installed\n"
        hint = HINTS.get(package, package)
        assert f"error: {message}  try: pip install {hint}\n" in ended.said, command
        assert (ended.code, "internal error" in ended.said) == (1, False), command
    made = {path.name for path in texts.iterdir()} - before
    outputs = "kn uni both best.txt kn.arpa.gz back pruned counts prepared again".split()
    assert made == set(outputs)


def test_ngram_work_needs_the_small_install_alone(texts):
    check_small_install(texts, without=WHOLE - SMALL)


@pytest.mark.soak
def test_small_install_in_an_environment_of_its_own(texts, tmp_path_factory):
    """Where nothing else is installed: not what torch or scipy bring along, either."""
    packages = tmp_path_factory.mktemp("packages")
    for name in with_requirements(SMALL):
        files = importlib.metadata.distribution(name).files or []
        for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
            (packages / top).symlink_to(importlib.metadata.distribution(name).locate_file(top))
    (packages / "rnnlm").mkdir()
    inside = [*(ROOT / "rnnlm").iterdir(), ROOT / "cli", ROOT / "corpora", ROOT / "checkpoints"]
    for path in inside:
        (packages / "rnnlm" / path.name).symlink_to(path)
    check_small_install(texts, packages=packages)


def with_requirements(names: set[str]) -> set[str]:
    """Return the names of the packages and of all that they require."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        found.add(name)
        for line in importlib.metadata.requires(name) or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found


# ---- What else is not imported.


def test_a_networks_tokenizer_is_taken_over_without_torch(tmp_path):
    save(tmp_path / "lstm", fit("lstm"), "lstm")
    text = str(corpora.part("english", "valid"))
    (ended,) = run_apart(
        ["train", text, "--model", "ngram", "--tokenizer-from", "lstm", "-o", "kn"], cwd=tmp_path
    )
    assert ended.code == 0
    assert "torch" not in ended.imported


def test_lists_need_no_numpy(tmp_path):
    results = run_apart(["list", "corpora"], ["list", "corpora", "--json"])
    assert [ended.code for ended in results] == [0, 0]
    assert not {"torch", "numpy"} & set(results[-1].imported)


def test_importing_the_library_imports_nothing_heavy():
    code = f"import sys, rnnlm; rnnlm.RnnlmError; print(*sorted({HEAVY!r} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ended.stdout.split(), ended.stderr) == ([], "")
