"""What the README shows is run: every `rnnlm` command of its sh blocks, every python block, with a budget of a few steps."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from rnnlm import checkpoints, corpora
from rnnlm.benchmarks import growth
from rnnlm.cli.main import COMMANDS, run
from rnnlm.models import model_folder

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def blocks(text: str) -> list[tuple[str, str, str]]:
    """(the line before, language, code) of each fenced block."""
    found, before, fence = [], "", None
    for line in text.splitlines():
        if fence is None and line.startswith("```"):
            fence, code = line[3:].strip(), []
        elif fence is not None and line.startswith("```"):
            found.append((before, fence, "\n".join(code)))
            fence = None
        elif fence is not None:
            code.append(line)
        elif line.strip():
            before = line.strip()
    return found


BLOCKS = blocks(README)
SMALL = ["--budget", "3steps", "--set", "hidden_size=16", "--set", "embedding_size=16"]
OTHER_PROGRAMS = {"python3", ".venv/bin/pip", ".venv/bin/python", ".", "git", "cd", "cat", "head"}


def marked(comment: str) -> str:
    """The sh block that follows an HTML comment."""
    (code,) = [code for before, language, code in BLOCKS if before == f"<!-- {comment} -->" and language == "sh"]
    return code.strip()


def shown_after(comment: str) -> str:
    """What the first block without a language after that sh block shows."""
    at = next(number for number, (before, _, _) in enumerate(BLOCKS) if before == f"<!-- {comment} -->")
    return next(code for _, language, code in BLOCKS[at:] if not language)


def commands(code: str) -> list[list[str]]:
    """The simple commands of a sh block, as words."""
    words = [shlex.split(line, comments=True) for line in code.replace("\\\n", " ").splitlines()]
    parts: list[list[str]] = []
    for line in words:
        parts.append([])
        for word in line:
            if word in ("&&", ";"):
                parts.append([])
            else:
                parts[-1].append(word)
    return [part for part in parts if part]


def is_rnnlm(words: list[str]) -> bool:
    return words[0] in ("rnnlm", ".venv/bin/rnnlm")


def made_small(arguments: list[str]) -> list[str]:
    """A train command with a budget of a few steps, a benchmark of a small network; others as they are."""
    if arguments[:2] == ["bench", "train"] and "--growth" not in arguments:
        return [*arguments, *SMALL[2:]]
    counted = {"unigram", "ngram", "ngram-char"}  # models that need no budget
    if arguments[0] != "train" or counted & set(arguments):
        return arguments
    at = arguments.index("|") if "|" in arguments else len(arguments)
    return [*arguments[:at], *SMALL, *arguments[at:]]


def nbest_record(number: int, line: str) -> str:
    """An utterance of an n-best list, whose best hypothesis is the second."""
    hypotheses = [{"text": text, "score": -rank} for rank, text in enumerate((" ".join(line.split()[::-1]), line))]
    return json.dumps({"utt": f"u{number}", "ref": line, "hypotheses": hypotheses}) + "\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the files the README speaks of, and a model called demo."""
    folder = tmp_path_factory.mktemp("readme")
    lines = [line for line in corpora.part("english", "valid").read_text(encoding="utf-8").splitlines() if line]
    pairs = corpora.part("english", "homophones.tsv").read_text(encoding="utf-8").splitlines()
    for name in set(re.findall(r"[\w./-]+\.(?:txt|tsv)\b", "".join(code for _, _, code in BLOCKS))) - {"constraints.txt"}:
        if not name.startswith("/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("\n".join(pairs[:20] if name.endswith(".tsv") else lines[:150]) + "\n", encoding="utf-8")
    vectors = (f"{word} {' '.join(['0.1'] * 16)}" for word in sorted(set(" ".join(lines[:50]).split())))
    (folder / "vectors.vec").write_text("\n".join(vectors) + "\n", encoding="utf-8")
    for name in set(re.findall(r"[\w.-]+\.toml\b", "".join(code for _, _, code in BLOCKS))):
        (folder / name).write_text("layers = 1\n")
    for name, some in (("dev-nbest.jsonl", lines[:20]), ("test-nbest.jsonl", lines[20:30])):
        (folder / name).write_text("".join(nbest_record(number, line) for number, line in enumerate(some)), encoding="utf-8")
    (folder / "demo.txt").write_text("\n".join(lines[:150]) + "\n", encoding="utf-8")
    assert run(["train", str(folder / "demo.txt"), *SMALL, "-o", str(folder / "checkpoints" / "demo")]) == 0
    return folder


@pytest.mark.parametrize("words", [words for _, language, code in BLOCKS if language == "sh" for words in commands(code)], ids=" ".join)
def test_the_commands_of_the_readme_run(folder, monkeypatch, capsys, words):
    monkeypatch.chdir(folder)
    monkeypatch.delenv("RNNLM_MODEL", raising=False)
    monkeypatch.setattr(growth, "VALUES", {"hidden_size": (8,), "vocabulary": (50,)})
    monkeypatch.setattr(growth, "TOKENS", 2_000)
    if any(word in ("|", "<", ">") for word in words):
        _run_in_shell(words)
    elif is_rnnlm(words):
        assert run(made_small(words[1:])) == 0, capsys.readouterr().err
        assert "internal error" not in capsys.readouterr().err
    else:
        assert words[0] in OTHER_PROGRAMS


def _run_in_shell(words: list[str]) -> None:
    """A command with pipes or redirections, by bash."""
    shell = [word if word in ("|", "<", ">") else shlex.quote(word) for word in words]
    line = " ".join(shell).replace(".venv/bin/rnnlm", "rnnlm")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    ended = subprocess.run(["bash", "-o", "pipefail", "-c", line], env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode in (0, 141), ended.stderr


@pytest.mark.parametrize("code", [code for _, language, code in BLOCKS if language == "bash"], ids=lambda code: code.splitlines()[0])
def test_the_loops_of_the_readme_come_to_their_end(folder, code):
    small = f'rnnlm() {{ {shlex.quote(sys.executable)} -m rnnlm "$@" {" ".join(SMALL)}; }}\n{code}'
    ended = subprocess.run(["bash", "-c", small], cwd=folder, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0 and ended.stderr.count("all is saved") == 1, ended.stderr


@pytest.mark.parametrize("code", [code for _, language, code in BLOCKS if language == "python"], ids=lambda code: code.splitlines()[0])
def test_the_python_of_the_readme_runs(folder, monkeypatch, code):
    monkeypatch.chdir(folder)
    small = re.sub(r'budget="[^"]*"', 'budget="3steps", embedding_size=16', code)
    exec(compile(small, "README.md", "exec"), {"__name__": "readme"})


@pytest.mark.parametrize("comment", ["demo", "tests"])
def test_the_two_main_commands_are_one_line_each_that_a_fresh_clone_can_run(comment):
    line = marked(comment)
    assert "\n" not in line
    assert line.startswith("python3 -m venv .venv && .venv/bin/pip install -q -c constraints.txt -e ")
    programs = {words[0] for words in commands(line)}
    assert programs <= {"python3", ".venv/bin/pip", ".venv/bin/python", ".venv/bin/rnnlm"}


def test_the_demo_trains_and_compares_the_two_sentences():
    ours = [words[1:] for words in commands(marked("demo")) if is_rnnlm(words)]
    assert ours == [["train"], ["score", "-m", "english", "it is hard to recognize speech", "it is hard to wreck a nice beach"]]


def test_the_shipped_model_prints_what_the_readme_shows(tmp_path, monkeypatch, capsys):
    """The examples that the project is named by, bare and inside a sentence."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RNNLM_MODEL", raising=False)
    for words in commands(marked("shipped")):
        if words[1] == "score":
            assert run(words[1:]) == 0
    printed, stated = capsys.readouterr().out.split(), shown_after("shipped").split()
    assert len(printed) == len(stated) > 20
    for found, wanted in zip(printed, stated, strict=True):
        if re.fullmatch(r"-?\d+\.\d+", wanted):
            assert float(found) == pytest.approx(float(wanted), abs=0.02)
        else:
            assert found == wanted


def test_the_figures_of_the_shipped_model_in_the_readme_are_those_of_its_card():
    results = model_folder.read_manifest(checkpoints.FOLDER / "demo").results["test"]
    (row,) = [line for line in README.splitlines() if line.startswith("| the shipped model")]
    assert f"| {results['ppl_token_no_oov']:.1f} |" in row


def test_ci_runs_the_readmes_test_command():
    text = (Path(__file__).parents[2] / ".ci" / "run").read_text()
    assert "README.md" in text and "<!-- tests -->" in text
    assert "git ls-files" in text and "checkpoints/english" in text  # tracked files alone, and a run of the demo
    assert marked("tests").endswith(".venv/bin/python -m pytest -q -n 2 --dist loadgroup")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_shown(command):
    assert f"rnnlm {command}" in README
