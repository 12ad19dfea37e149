"""The code blocks of README.md and docs/ are run; support/shown.py has the marks.

A block marked `<!-- compared -->` runs as it is, and what it prints is compared with what the page
shows. All other commands and programs run page by page, each in a copy of one folder with small
texts and models, with small budgets. What takes long runs in soak: otherwise the trainings of these
pages are planned, and their other commands understood.
"""

import contextlib
import itertools
import json
import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from urllib.request import Request, urlopen
from xml.etree import ElementTree

import click
import pytest

from rnnlm import corpora
from rnnlm.cli.main import run
from rnnlm.lm.neural.training import fitting
from support.arpa_files import save_pieces
from support.served_processes import serving
from support.shown import (
    PAGES,
    ROOT,
    Allowed,
    Block,
    commands,
    differing_line,
    overwriting,
    printed_by,
    renewed,
    runnable_blocks,
    written_files,
)
from support.systems import need

pytestmark = pytest.mark.processes

TEXTS = {page: (ROOT / page).read_text(encoding="utf-8") for page in PAGES}
SOAK = pytest.mark.soak
SMALL = ["--budget", "3steps", "--set", "hidden_size=16", "--set", "embedding_size=16"]
FEW = {"memory": ["--positions", "5"], "probe": ["--most-items", "200"]}
FEW["gradients"] = [*FEW["memory"], "--lags", "3"]
COUNTED = {"unigram", "ngram", "ngram-char", "lesson-ngram", "hmm"}  # models that need no budget
# Pages that train, tune and compare for seconds: soak runs them, other runs plan their trainings
LONG_NAMES = "install train evaluate tasks inspect lectures exercises slides recipes"
LONG = {f"docs/{name}.md" for name in LONG_NAMES.split()}
OTHER_PROGRAMS = {"python", "python3", "pip", ".venv/bin/pip", ".venv/bin/python", "."}

BLOCKS = {page: runnable_blocks(text) for page, text in TEXTS.items()}
ALL = [block for page in PAGES for block in BLOCKS[page]]
CODE = "\n".join(block.code for block in ALL if block.language)


# ---- Pages show the output of their commands.

QUICK = []
for page in PAGES:
    quick = [block for block in BLOCKS[page] if block.is_compared and not block.is_soak]
    QUICK += [pytest.param(each, id=f"{page}-{each.code.splitlines()[0]}") for each in quick]
COMPARED_IN_SOAK = [page for page in PAGES if any(block.is_soak for block in BLOCKS[page])]


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Work beside the bundled corpora, the pages' files, and `demo`, the shipped model."""
    need("links")
    (tmp_path / "corpora").symlink_to(ROOT / "corpora")
    (tmp_path / "docs" / "pictures").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    written_files("".join(TEXTS.values()))
    monkeypatch.delenv("RNNLM_MODEL", raising=False)


def difference_of(block: Block) -> str | None:
    """Run a block. Return a line of the page that was not printed."""
    printed = printed_by(block)
    for shown in block.shown:
        line = differing_line(shown, printed, Allowed.by(block.before))
        if line is not None:
            return f"the page shows\n{line}\n\nprinted was\n{printed}"
    return None


@pytest.mark.parametrize("block", QUICK)
def test_quick_commands_print_what_pages_show(checkout, block):
    assert block.shown
    assert difference_of(block) is None


@SOAK
@pytest.mark.parametrize("page", COMPARED_IN_SOAK)
def test_pages_show_what_their_commands_print(checkout, page):
    """All blocks of a page run in their order: later ones use models that earlier ones made."""
    differences = [difference_of(block) for block in BLOCKS[page] if block.is_run]
    found = [difference for difference in differences if difference]
    assert not found, "\n\n".join(found)


@pytest.mark.system("bash")
def test_the_comparison_finds_wrong_words_numbers_and_columns():
    printed = "model\tseconds\tppl\nrnn\t3.1\t80.25\ngru\t9.7\t70.50\n\nrnn is worse by 9.75"
    block = Block("<!-- compared, within 0.5 -->", "sh", "")
    exact, wide = Allowed(), Allowed.by(block.before)
    assert differing_line("model   ppl\ngru   70.50\nrnn is worse by 9.75", printed, exact) is None
    assert differing_line("model   ppl\ngru   70.80", printed, exact) == "gru   70.80"
    assert differing_line("model   ppl\ngru   70.80", printed, wide) is None
    assert differing_line("model   ppl\ngru   9.70", printed, exact) == "gru   9.70"
    assert differing_line("rnn   80.60\ngru   70.80", printed, wide) is None  # without names
    assert differing_line("model   ppl\nrnn   80.60\n\ngru   70.80", printed, wide) is None
    assert differing_line("rnn   80.60", printed, exact) == "rnn   80.60"
    assert differing_line("model   loss", printed, exact) == "model   loss"
    row = "rnn\t3,100\t79.00"  # of numbers without names, the nearest is meant
    assert renewed("rnn   80.25", row) == "rnn  79.00"
    twice = "measure   gru   lstm\nppl   70.50   70.50"  # one cell is not two
    assert differing_line(twice, "measure\tgru\tlstm\nppl\t80.25\t70.50", exact)
    assert differing_line("rnn is better by 9.75", printed, exact) is not None


# ---- All else runs, made small.


def is_rnnlm(words: list[str]) -> bool:
    return words[0] in ("rnnlm", ".venv/bin/rnnlm")


def made_small(arguments: list[str]) -> list[str]:
    """Make a command small: few steps, few points of a grid and one process for training, few
    resamples for a comparison, few tokens for tuning, few positions for an inspection. Leave other
    commands as they are."""
    if arguments[0] == "compare" and "--on" in arguments:
        return [*arguments, "--resamples", "50"]
    if arguments[0] == "tune":
        return [*arguments, "--tokens", "200"]
    if arguments[0] == "inspect":
        return [*arguments, *FEW.get(arguments[1], ())]
    if arguments[0] != "train":
        return arguments
    axes = [word for before, word in itertools.pairwise(arguments) if before == "--grid"]
    few = {axis: of_few(axis, is_first=axis == axes[0]) for axis in axes}
    arguments = [few.get(word, word) for word in arguments]
    if COUNTED & set(arguments):
        return arguments
    in_grid = {axis.partition("=")[0] for axis in axes}
    small = [f"{name}=16" for name in ("hidden_size", "embedding_size") if name not in in_grid]
    if any(word.startswith("layer_sizes=") for word in arguments):
        small.append("layer_sizes=16,16")
    return [*arguments, *SMALL[:2], *(word for setting in small for word in ("--set", setting))]


def of_few(axis: str, is_first: bool) -> str:
    """Return an axis of a grid without values that no page names again: all but the first one and,
    of the grid's first axis, the last one."""
    name, _, values = axis.partition("=")
    first, *others = values.split(",")
    last = others[-1:] if is_first else []
    kept = [value for value in others if value in last or names_run(f"{name}={value}")]
    return f"{name}={','.join([first, *kept])}"


def names_run(point: str) -> bool:
    """Return whether a page names a run of this point of a grid."""
    return f"/{point}" in CODE or f",{point}" in CODE


def nbest_record(number: int, line: str) -> str:
    """Return an utterance of an n-best list whose second hypothesis is the best."""
    texts = (" ".join(line.split()[::-1]), line)
    hypotheses = [{"text": text, "score": -rank} for rank, text in enumerate(texts)]
    return json.dumps({"utt": f"u{number}", "ref": line, "hypotheses": hypotheses}) + "\n"


ENDS_OF_ROWS = {".tsv": "\n", ".conllu": "\n\n"}


def shorten(table: Path) -> None:
    """Leave the first rows of a table, or sentences, of what is translated or labelled."""
    end = ENDS_OF_ROWS.get(table.suffix)
    if end is not None:
        most = 100 if "train" in table.stem else 20
        rows = table.read_text(encoding="utf-8").rstrip().split(end)
        table.write_text("".join(row + end for row in rows[:most]), encoding="utf-8")


# Words that pages look up in the shipped model, and that the tiny one called demo has to know, too
LOOKED_UP = "winter summer spring autumn mother father sister brother two three four five "
LOOKED_UP += "walked ran went"
# Models that one page trains and others use
N_GRAMS = ["checkpoints/kn", "checkpoints/kn-demo"]
TRANSLATOR = "checkpoints/dates"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def folder(made_once):
    return made_once("docs", make_folder)


def make_folder(folder: Path) -> Path:
    """Write files of the names in the pages, and train tiny models."""
    english = corpora.part("english", "valid").read_text(encoding="utf-8").splitlines()
    lines = [line for line in english if line]
    pairs = corpora.part("english", "homophones.tsv").read_text(encoding="utf-8").splitlines()

    # Texts and tables.
    bundled = {f"corpora/english/{name}" for name in corpora.FILES["english"]}
    named = {*re.findall(r"[\w./-]+\.(?:txt|tsv)\b", CODE), *bundled} - {"constraints.txt"}
    for name in named:
        write(folder / name, "\n".join(pairs[:20] if name.endswith(".tsv") else lines[:80]) + "\n")
    write(folder / "demo.txt", "\n".join([LOOKED_UP, *lines[:80]]) + "\n")
    for name in ("cloze.tsv", "lessons.tsv"):
        items = corpora.part("english", name).read_text(encoding="utf-8").splitlines(True)
        write(folder / "corpora" / "english" / name, "".join(items[:40]))
    for name in ("ratings.tsv", "recency.tsv", "simulated.tsv"):
        shutil.copy(corpora.part("english", name), folder / "corpora" / "english")
    for name in {*corpora.names()} - {"english"}:
        shutil.copytree(corpora.FOLDER / name, folder / "corpora" / name, dirs_exist_ok=True)
        for table in (folder / "corpora" / name).iterdir():
            shorten(table)

    # What else commands read, and a place for pictures.
    with contextlib.chdir(folder):
        written_files("".join(TEXTS.values()))
    (folder / "docs" / "pictures").mkdir(parents=True)
    write(folder / "mine.toml", "layers = 1\n")
    words = sorted(set(" ".join(lines[:50]).split()))
    write(folder / "vectors.vec", "".join(f"{word}{' 0.1' * 16}\n" for word in words))
    for name, some in (("dev-nbest.jsonl", lines[:20]), ("test-nbest.jsonl", lines[20:30])):
        records = [nbest_record(number, line) for number, line in enumerate(some)]
        write(folder / name, "".join(records))

    # Models; the last lines of the text are held out.
    save_pieces(folder, [line.lower() for line in lines])
    train, demo = ["train", str(folder / "demo.txt")], str(folder / "checkpoints" / "demo")
    assert run([*train, *SMALL, "-o", demo]) == 0
    for name in N_GRAMS:
        kn = ["--model", "ngram", "--tokenizer-from", demo, "-o", str(folder / name)]
        assert run([*train, *kn]) == 0
    columns = ["--column", "phrase", "--target-column", "iso", "--task", "seq2seq", *SMALL]
    dates = str(folder / "corpora" / "dates" / "train.tsv")
    assert run(["train", dates, *columns, "-o", str(folder / TRANSLATOR)]) == 0
    if find_spec("transformers"):
        from support import foreign_models

        for name in ("gpt2", "small-gpt2"):
            foreign_models.save(folder / "models" / name, "gpt2")
    return folder


@pytest.fixture
def there(folder, tmp_path, monkeypatch):
    """Work in a copy of that folder, in which the bundled corpora are."""
    there = shutil.copytree(folder, tmp_path / "page")
    monkeypatch.chdir(there)
    monkeypatch.delenv("RNNLM_MODEL", raising=False)
    monkeypatch.setattr(corpora, "FOLDER", there / "corpora")


def is_run_here(block: Block) -> bool:
    """Return whether the commands of a block are run by the tests of this file."""
    is_run_elsewhere = block.is_compared and not block.is_soak
    is_main = re.match("<!-- (demo|tests) -->", block.before)
    return block.language == "sh" and not is_run_elsewhere and not is_main


EACH = [pytest.param(page, marks=[SOAK] if page in LONG else []) for page in PAGES]


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
@pytest.mark.parametrize("page", EACH)
def test_the_examples_of_a_page_run(there, capsys, server, page):
    inspected: list[list[str]] = []
    for block in BLOCKS[page]:
        if is_run_here(block):
            for words in commands(block.code):
                if block.is_run:
                    words = [words[0], *overwriting(words[1:])]
                # What a page only looks at a second time, it sees again.
                if words[1:2] != ["inspect"] or words not in inspected:
                    run_command(words, capsys, server)
                inspected.append(words)
        elif block.language == "python":
            small = re.sub(r'budget="[^"]*"', 'budget="3steps", embedding_size=16', block.code)
            exec(compile(small, page, "exec"), {"__name__": "page"})
            for table in Path().glob("*.tsv"):
                shorten(table)
    for picture in Path("docs/pictures").glob("*.svg"):
        assert ElementTree.parse(picture).getroot().tag.endswith("svg")
        picture.unlink()


TAKES_MODEL = {"-m", "--tokenizer-from", "--init-from", "--init-decoder-from", "--contextual"}


@pytest.mark.parametrize("page", sorted(LONG))
def test_commands_of_a_long_page_are_understood(there, capsys, monkeypatch, page):
    """Trainings are planned, unless they need a model that the page makes. Other commands are read
    as far as their options go."""
    outputs = [name for block in BLOCKS[page] for name in re.findall(r"-o (\S+)", block.code)]
    made = {*outputs, *(name.removeprefix("checkpoints/") for name in outputs)}
    planned = 0
    for block in BLOCKS[page]:
        if block.language == "python" and "rnnlm" not in block.code:
            exec(compile(block.code, page, "exec"), {"__name__": "page"})
        if not is_run_here(block):
            continue
        for words in filter(is_rnnlm, commands(block.code)):
            if {"|", ">"} & {*words}:
                continue
            arguments = made_small(words[1:])
            pairs = itertools.pairwise(words)
            of_models = {name for option, name in pairs if option in TAKES_MODEL}
            with monkeypatch.context() as patched:
                if words[1] == "train" and not made & of_models:
                    arguments = [*overwriting(arguments), "--dry-run"]
                    planned += 1
                else:
                    patched.setattr(click.Command, "invoke", lambda command, context: None)
                code, printed = run(arguments), capsys.readouterr()
            assert code == 0, f"{shlex.join(arguments)}\n{printed.err}"
    assert planned


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which `python` is this one, and `rnnlm` this checkout's."""
    need("bash")
    python = f'python() {{ {shlex.quote(sys.executable)} "$@"; }}'
    rnnlm = 'rnnlm() { python -m rnnlm "$@"; }'
    called = ["bash", "-o", "pipefail", "-c", f"{python}\n{rnnlm}\n{line}"]
    return subprocess.run(called, capture_output=True, text=True, timeout=120)


SERVED_AT = "localhost:8000"  # on the pages


class Server:
    """What `rnnlm serve` on a page starts, at a port that is free."""

    def __init__(self):
        self.running = contextlib.ExitStack()
        self.at = SERVED_AT

    def start(self, arguments):
        self.running.close()
        started = self.running.enter_context(serving(*arguments))
        self.at = f"localhost:{started.port}"

    def ask(self, words):
        """Return the output of curl for these words."""
        data, headers, url = None, {}, ""
        arguments = iter(words[1:])
        for word in arguments:
            if word == "-d":
                data = next(arguments).encode()
            elif word == "-H":
                name, _, value = next(arguments).partition(": ")
                headers[name] = value
            elif not word.startswith("-"):
                url = f"http://{word.replace(SERVED_AT, self.at)}"
        with urlopen(Request(url, data, headers), timeout=60) as answer:
            return answer.read()


@pytest.fixture
def server():
    server = Server()
    with server.running:
        yield server


def run_command(words: list[str], capsys, server) -> None:
    # "|" of --regions is no pipe
    if {"|", ">"} & {word for before, word in itertools.pairwise(words) if before != "--regions"}:
        line = " ".join(word if word in ("|", ">") else shlex.quote(word) for word in words)
        ended = shell(line)
        assert ended.returncode in (0, 141), ended.stderr
    elif is_rnnlm(words) and words[1] == "serve":
        server.start(words[2:])
    elif words[0] == "curl":
        printed = server.ask(words)
        assert printed.startswith(b"data: ") or json.loads(printed)
    elif is_rnnlm(words):
        if words[1] == "train":
            for name in {*words} & {*N_GRAMS, TRANSLATOR}:
                shutil.rmtree(name, ignore_errors=True)  # a page that makes it makes it anew
        code, printed = run(made_small(words[1:])), capsys.readouterr()
        told = f"{shlex.join(words)}\n{printed.err}"
        assert code == 0 and "internal error" not in printed.err, told
    else:
        assert words[0] in OTHER_PROGRAMS, words


LOOPS = [block.code for block in ALL if block.language == "bash"]


@pytest.mark.system("bash")
@pytest.mark.parametrize("code", LOOPS, ids=lambda code: code.splitlines()[0])
def test_loops_on_the_pages_finish(tmp_path, monkeypatch, code):
    """They go on after an error, but end with the run or at a signal; and the run can be planned."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fitting, "tokens_per_second", lambda *_: 300.0)  # measured for long
    write(tmp_path / "my.txt", "the dog barked\n" * 20)
    for ends, tries in (("1 1 0 0", 3), ("1 143 0", 2), ("1 1 1 1 1 0", 5)):
        command = f"ends=({ends}); tried=0; rnnlm() {{ return ${{ends[tried++]}}; }}"
        command += "; sleep() { :; }"
        ended = subprocess.run(["bash", "-c", f"{command}\n{code}\nexit $tried"])
        assert ended.returncode == tries
    (line,) = re.findall(r"rnnlm (train .*) && break", code)
    assert run([*shlex.split(line), "--dry-run"]) == 0
