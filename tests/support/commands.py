"""One tiny trained model for all tests of commands, and a way to run commands in process."""

import contextlib
import io
import json
import os
import pickle
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from rnnlm.cli.main import run
from rnnlm.evaluation import plotting
from rnnlm.storage.files import reading
from support.tiny_models import english_lines

TINY = ("--set", "hidden_size=8", "--set", "embedding_size=8", "--set", "batch_rows=4")


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def plain(self) -> str:
        """stdout without bold type."""
        return re.sub(r"\x1b\[[01]m", "", self.out)

    @property
    def json(self) -> Any:
        """The one JSON value on stdout."""
        return json.loads(self.out)

    @property
    def records(self) -> list[dict[str, Any]]:
        """The JSON lines on stdout."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def rows(self) -> list[list[str]]:
        """The cells of a table on stdout."""
        return [line.split("\t") for line in self.out.splitlines()]

    @property
    def facts(self) -> dict[str, str]:
        """The rest of each line on stdout by its first cell."""
        parts = (line.partition("\t") for line in self.out.splitlines())
        return {name: rest for name, _, rest in parts}

    @property
    def errors(self) -> list[str]:
        """The lines of an error message."""
        begins = ("error: ", "  why: ", "  try: ")
        return [line for line in self.err.splitlines() if line.startswith(begins)]


@dataclass(frozen=True)
class Models:
    """Folders of the session's models, trained once; tests must not change them."""

    folder: Path
    text: Path
    valid: Path
    lstm: Path
    unigram: Path
    training_err: str
    training_out: str


@dataclass(frozen=True)
class Trained:
    """The folder of a model of a task, the files it was trained and validated on, and what training
    said. Tests must not change them."""

    folder: Path
    train: Path
    valid: Path
    out: str
    err: str


def train(*arguments) -> Outcome:
    """Run `rnnlm train` in this process, without a word."""
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        code = run(["train", *map(str, arguments)])
    assert code == 0, err.getvalue()
    return Outcome(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """Return a function that gives what `make` returns of a new folder. Workers of xdist share it:
    the first one makes it, and the others wait for it."""

    def made(name: str, make: Callable[[Path], Any]) -> Any:
        if "PYTEST_XDIST_WORKER" not in os.environ:
            return make(tmp_path_factory.mktemp(name))
        folder = tmp_path_factory.getbasetemp().parent / name
        record = folder.with_suffix(".made")
        with FileLock(folder.with_suffix(".lock")):
            if not record.exists():
                folder.mkdir()
                record.write_bytes(pickle.dumps(make(folder)))
        return pickle.loads(record.read_bytes())

    return made


@pytest.fixture(scope="session")
def corpus_lines():
    return english_lines()


@pytest.fixture(scope="session")
def models(made_once, corpus_lines):
    return made_once("models", lambda folder: train_models(folder, corpus_lines))


def train_models(folder: Path, corpus_lines: list[str]) -> Models:
    """Train a tiny network and a unigram model, with a text and a validation text beside them."""
    text, valid = folder / "text.txt", folder / "valid.txt"
    text.write_text("\n".join(corpus_lines[:240]) + "\n", encoding="utf-8")
    valid.write_text("\n".join(corpus_lines[240:280]) + "\n", encoding="utf-8")
    lstm, unigram = folder / "checkpoints" / "tiny", folder / "checkpoints" / "uni"
    small = (*TINY, "--set", "coupled_gates=false", "--budget", "30steps", "--precision", "fp32")
    shown = train(text, "--valid", valid, "--test", valid, *small, "-o", lstm)
    train(text, "--model", "unigram", "--holdout", "0", "-o", unigram)
    return Models(folder, text, valid, lstm, unigram, shown.err, shown.out)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Work in an empty folder, with no model named by the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RNNLM_MODEL", raising=False)
    return tmp_path


@pytest.fixture
def copied(models, here):
    """Copy the trained model, for a test to damage."""
    return shutil.copytree(models.lstm, here / "copied")


@pytest.fixture(scope="session")
def trained(models, tmp_path_factory):
    """Make a folder with three models that share a tokenizer, and some that do not."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copytree(models.lstm, folder / "lstm")
    same = ("--tokenizer-from", str(models.lstm))
    for name, *options in (
        ("kn", "--model", "ngram", "--order", "3", *same), ("uni", "--model", "unigram", *same),
        ("lower", "--model", "unigram", "--lowercase"),
        *((f"{tokenizer}s", "--model", "unigram", "--set",
           f"tokenizer={tokenizer}") for tokenizer in ("char", "byte")),
    ):  # fmt: skip
        asked = ["train", str(models.text), "--holdout", "0", *options]
        assert run([*asked, "-o", str(folder / name)]) == 0
    shutil.copy(models.valid, folder / "valid.txt")
    shutil.copy(models.text, folder / "train.txt")
    return folder


@pytest.fixture
def parts(trained, here):
    """Copy that folder into the working directory, and return it."""
    shutil.copytree(trained, here, dirs_exist_ok=True)
    return here


@pytest.fixture
def rnnlm(here, capsys, monkeypatch):
    """Return a function that runs a command in this process; one argument is a whole line."""

    def command(*arguments, stdin: bytes = b"") -> Outcome:
        if len(arguments) == 1:
            arguments = tuple(words_of(str(arguments[0])))
        reading.standard_input.cache_clear()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err or "--debug" in arguments
        return Outcome(code, captured.out, captured.err)

    return command


@pytest.fixture
def pictures(monkeypatch):
    """Return the figures that commands save, by file name, which are not rendered."""
    saved = {}
    monkeypatch.setattr(plotting, "save", lambda figure, path: saved.update({path.name: figure}))
    return saved


@pytest.fixture
def terminal_of(monkeypatch):
    """Return a function that makes stdout look like a terminal of so many columns."""

    def of(columns: int) -> None:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    return of


def words_of(line: str) -> list[str]:
    """Return the words of a command line, with the backslashes of Windows' paths."""
    return shlex.split(line.replace("\\", r"\\") if os.name == "nt" else line)


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a child process, limited to one thread."""
    return {**os.environ, "OMP_NUM_THREADS": "1", **more}


def program(*arguments, first: str = "") -> list[str]:
    """Return the command of a process that runs `rnnlm ARGUMENTS`. first: Python code that it runs
    before, such as one that lowers a limit."""
    words = [os.fsencode(str(argument)) for argument in arguments]
    if not first:
        return [sys.executable, "-m", "rnnlm", *words]
    return [sys.executable, "-c", f"{first}\nfrom rnnlm.cli.main import main\nmain()", *words]


@pytest.fixture
def spawn(here):
    """Return a function that runs `rnnlm ...` in a process of its own."""

    def command(*arguments, first: str = "") -> Outcome:
        ended = subprocess.run(
            program(*arguments, first=first), capture_output=True, cwd=here, env=environment(),
            timeout=120, encoding="utf-8", errors="replace",
        )  # fmt: skip
        return Outcome(ended.returncode, ended.stdout, ended.stderr)

    return command


@pytest.fixture
def start(here):
    """Yield a function that starts `rnnlm ...` as a process, and end these afterwards."""
    processes = []

    def command(*arguments, first: str = "") -> subprocess.Popen:
        process = subprocess.Popen(
            program(*arguments, first=first), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, cwd=here, env=environment(),
        )  # fmt: skip
        processes.append(process)
        return process

    yield command
    for process in processes:
        process.kill()
        process.communicate()
