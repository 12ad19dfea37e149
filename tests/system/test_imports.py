"""What is not needed is not imported: help answers at once, and count-based models never wait for
torch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rnnlm import corpora
from rnnlm.cli.main import COMMANDS
from support.tiny_models import fit, save

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
RUN = """
import os, sys, time
began = time.process_time()
from rnnlm.cli.main import run
for arguments in {commands!r}:
    sys.stdout = open(os.devnull, "w")
    code = run(arguments)
    sys.stdout = sys.__stdout__
    print(code, time.process_time() - began, *sorted({heavy!r} & set(sys.modules)))
"""


def run_apart(*commands: list[str], cwd=None) -> list[list[str]]:
    """Exit code, CPU seconds so far and heavy modules imported so far after each of the commands,
    in one fresh process."""
    code = RUN.format(commands=commands, heavy=HEAVY)
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    return [line.split() for line in ended.stdout.splitlines()]


def test_no_help_imports_anything_heavy():
    results = run_apart(
        ["--help"], *([command, "--help"] for command in COMMANDS), ["bench", "train", "--help"]
    )
    assert [result[0] for result in results] == ["0"] * (len(COMMANDS) + 2)
    assert [result[2:] for result in results] == [[]] * len(results)
    assert float(results[-1][1]) < 0.3 * len(results)


@pytest.mark.parametrize("command", [["--help"], ["train", "--help"], ["nonsense"], ["eval"]])
def test_help_and_wrong_usage_answer_at_once(command):
    (result,) = run_apart(command)
    assert result[2:] == []
    assert float(result[1]) < 0.3


@pytest.mark.parametrize("kind", ["unigram", "ngram"])
def test_n_gram_models_are_trained_evaluated_and_used_without_torch(tmp_path, kind):
    text = str(corpora.part("english", "valid"))
    commands = (
        f"train TEXT --model {kind} -o uni", "eval -m uni TEXT",
        "tune -m uni --adapt unigram --on TEXT",
        "eval -m uni --adapt unigram TEXT",
        "score -m uni --tokens the day", "generate -m uni --num 2", "info uni", "doctor uni",
        "mix uni uni --on TEXT -o both --bundle",
        "generate -m both", "doctor both",
    )  # fmt: skip
    results = run_apart(
        *([text if word == "TEXT" else word for word in each.split()] for each in commands),
        cwd=tmp_path,
    )
    assert [result[0] for result in results] == ["0"] * 11
    assert not {"torch", "datasets", "sentencepiece"} & {
        name for result in results for name in result[2:]
    }


def test_a_networks_tokenizer_is_taken_over_without_torch(tmp_path):
    save(tmp_path / "lstm", fit("lstm"), "lstm")
    text = str(corpora.part("english", "valid"))
    (result,) = run_apart(
        ["train", text, "--model", "ngram", "--tokenizer-from", "lstm", "-o", "kn"], cwd=tmp_path
    )
    assert result[0] == "0"
    assert "torch" not in result[2:]


def test_lists_need_no_numpy(tmp_path):
    results = run_apart(["corpora"], ["corpora", "--json"])
    assert [result[0] for result in results] == ["0", "0"]
    assert not {"torch", "numpy"} & set(results[-1][2:])


def test_importing_the_library_imports_nothing_heavy():
    code = f"import sys, rnnlm; rnnlm.RnnlmError; print(*sorted({HEAVY!r} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ended.stdout.split(), ended.stderr) == ([], "")


def test_modules_that_reached_no_torch_still_do_not():
    """Those of torchless.txt: a new name there is welcome, and one goes only where there is
    need."""
    names = Path(__file__).with_name("torchless.txt").read_text(encoding="utf-8").split()
    code = (
        f"import importlib, sys\nfor name in {names!r}:\n    "
        "importlib.import_module(name)\n    assert 'torch' not in sys.modules, name\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
