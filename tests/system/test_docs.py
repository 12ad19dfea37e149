"""What README.md and docs/ show is run, page by page in the order of the index, in one
folder with small texts and budgets.

Every command of an sh block and every python block runs, but for blocks marked `<!-- compared -->`
without `soak`, which test_shown_numbers.py runs as they are. Pages that train and compare many
models run in soak; otherwise their trainings are planned, and their other commands understood.
`<!-- file: NAME -->` stands before the content of a file that the commands of the page read.
"""

import contextlib
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen
from xml.etree import ElementTree

import click
import pytest

import rnnlm
from rnnlm import checkpoints, corpora
from rnnlm.cli.main import COMMANDS, run
from rnnlm.models import model_folder
from support.forked import command, door
from support.served_processes import serving
from support.shown import FILES, INDEX, PAGES, ROOT, Block, blocks_of, commands, overwriting

TEXTS = {page: (ROOT / page).read_text(encoding="utf-8") for page in PAGES}
SOAK = pytest.mark.soak
SMALL = ["--budget", "3steps", "--set", "hidden_size=16", "--set", "embedding_size=16"]
FEW = {
    "gradients": ["--positions", "5", "--lags", "3"],
    "memory": ["--positions", "5"],
    "probe": ["--most-items", "200"],
}
COUNTED = {"unigram", "ngram", "ngram-char"}  # models that need no budget
LONG = {  # pages that train, tune and compare for seconds
    f"docs/{name}.md"
    for name in ("combining", "comparing-networks", "evaluating", "insight", "install", "lectures",
                 "networks", "recipes", "translating")
}  # fmt: skip
OTHER_PROGRAMS = {"python3", ".venv/bin/pip", ".venv/bin/python", "."}


BLOCKS = {page: blocks_of(text) for page, text in TEXTS.items()}
ALL = [block for page in PAGES for block in BLOCKS[page]]
CODE = "\n".join(block.code for block in ALL if block.language)


def marked(comment: str) -> str:
    """Return the sh block of the README that follows an HTML comment."""
    (block,) = [block for block in BLOCKS["README.md"] if block.before == f"<!-- {comment} -->"]
    return block.code


def is_rnnlm(words: list[str]) -> bool:
    return words[0] in ("rnnlm", ".venv/bin/rnnlm")


def made_small(arguments: list[str]) -> list[str]:
    """Make a command small: few steps, few points of a grid and one process for training, few
    resamples for a comparison, few tokens for tuning, few positions for a look. Leave other
    commands as they are."""
    if arguments[0] == "compare":
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
    kept = [value for value in others if value in last or f"/{name}={value}" in CODE]
    return f"{name}={','.join([first, *kept])}"


def nbest_record(number: int, line: str) -> str:
    """Return an utterance of an n-best list whose second hypothesis is the best."""
    hypotheses = [
        {"text": text, "score": -rank}
        for rank, text in enumerate((" ".join(line.split()[::-1]), line))
    ]
    return json.dumps({"utt": f"u{number}", "ref": line, "hypotheses": hypotheses}) + "\n"


ENDS_OF_ROWS = {".tsv": "\n", ".conllu": "\n\n"}


def shorten(table: Path) -> None:
    """Leave the first rows of a table, or sentences. What is translated, labelled and measured at
    the end of a training takes longest."""
    end = ENDS_OF_ROWS.get(table.suffix)
    if end is not None:
        most = 100 if "train" in table.stem else 20
        rows = table.read_text(encoding="utf-8").rstrip().split(end)
        table.write_text("".join(row + end for row in rows[:most]), encoding="utf-8")


# Words that pages look up in the shipped model, and that the tiny one called demo has to know, too
LOOKED_UP = (
    "winter summer spring autumn mother father sister brother two three four five walked ran went"
)
N_GRAMS = ["checkpoints/kn", "checkpoints/kn-demo"]  # models that one page trains and others use


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Make a folder with small files of the names in the pages and in the corpus, and tiny models
    called demo, kn and kn-demo."""
    folder = tmp_path_factory.mktemp("docs")
    lines = [
        line
        for line in corpora.part("english", "valid").read_text(encoding="utf-8").splitlines()
        if line
    ]
    pairs = corpora.part("english", "homophones.tsv").read_text(encoding="utf-8").splitlines()
    bundled = {f"corpora/english/{name}" for name in corpora.FILES["english"]}
    for name in {*re.findall(r"[\w./-]+\.(?:txt|tsv)\b", CODE), *bundled, "demo.txt"} - {
        "constraints.txt"
    }:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(
            "\n".join(pairs[:20] if name.endswith(".tsv") else lines[:80]) + "\n", encoding="utf-8"
        )
    text = folder / "demo.txt"  # the last lines of it are held out
    text.write_text(LOOKED_UP + "\n" + text.read_text(encoding="utf-8"), encoding="utf-8")
    for name in ("cloze.tsv", "lessons.tsv"):
        items = corpora.part("english", name).read_text(encoding="utf-8").splitlines(True)
        (folder / "corpora" / "english" / name).write_text("".join(items[:40]), "utf-8")
    for name, content in FILES.findall("".join(TEXTS.values())):
        (folder / name).write_text(content, encoding="utf-8")
    for name in {*corpora.COLUMNS, *corpora.PAIRS}:
        shutil.copytree(corpora.FOLDER / name, folder / "corpora" / name, dirs_exist_ok=True)
    for name in {*corpora.COLUMNS, *corpora.PAIRS}:
        for table in (folder / "corpora" / name).iterdir():
            shorten(table)
    (folder / "docs" / "pictures").mkdir(parents=True)
    (folder / "mine.toml").write_text("layers = 1\n")
    vectors = (
        f"{word} {' '.join(['0.1'] * 16)}" for word in sorted(set(" ".join(lines[:50]).split()))
    )
    (folder / "vectors.vec").write_text("\n".join(vectors) + "\n", encoding="utf-8")
    for name, some in (("dev-nbest.jsonl", lines[:20]), ("test-nbest.jsonl", lines[20:30])):
        (folder / name).write_text(
            "".join(nbest_record(number, line) for number, line in enumerate(some)),
            encoding="utf-8",
        )
    assert (
        run(["train", str(folder / "demo.txt"), *SMALL, "-o", str(folder / "checkpoints" / "demo")])
        == 0
    )
    beside = ["--model", "ngram", "--tokenizer-from", str(folder / "checkpoints" / "demo")]
    for name in N_GRAMS:
        assert run(["train", str(folder / "demo.txt"), *beside, "-o", str(folder / name)]) == 0
    shutil.copytree(folder, untouched(folder))
    return folder


def untouched(folder: Path) -> Path:
    """Return the name of the copy of that folder in which no page has made anything."""
    return folder.with_name(f"{folder.name}-untouched")


@pytest.fixture
def there(folder, monkeypatch):
    """Work in that folder, in which the bundled corpora are."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("RNNLM_MODEL", raising=False)
    monkeypatch.setattr(corpora, "FOLDER", folder / "corpora")


def is_run_here(block: Block) -> bool:
    """Return whether the commands of a block are run by the tests of this file."""
    is_run_elsewhere = block.is_compared and not block.is_soak
    is_main = re.match("<!-- (demo|tests) -->", block.before)
    return block.language == "sh" and not is_run_elsewhere and not is_main


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=[SOAK] if page in LONG else []) for page in PAGES]
)
def test_the_examples_of_a_page_run(there, capsys, shell, server, page):
    looks: list[list[str]] = []
    for block in BLOCKS[page]:
        if is_run_here(block):
            for words in commands(block.code):
                if block.is_run:
                    words = [words[0], *overwriting(words[1:])]
                # What a page only looks at a second time, it sees again.
                if words[1:2] != ["inspect"] or words not in looks:
                    run_command(words, capsys, shell, server)
                looks.append(words)
        elif block.language == "python":
            code = block.code.replace(SERVED_AT, server.at)
            small = re.sub(r'budget="[^"]*"', 'budget="3steps", embedding_size=16', code)
            exec(compile(small, page, "exec"), {"__name__": "page"})
            for table in Path().glob("*.tsv"):
                shorten(table)
    for picture in Path("docs/pictures").glob("*.svg"):
        assert ElementTree.parse(picture).getroot().tag.endswith("svg")
        picture.unlink()


TAKES_MODEL = {"-m", "--tokenizer-from", "--init-decoder-from", "--resume"}


@pytest.mark.parametrize("page", sorted(LONG))
def test_commands_of_a_long_page_are_understood(there, folder, capsys, monkeypatch, page):
    """Trainings are planned, unless they need a model that the page makes. Other commands are read
    as far as their options go."""
    monkeypatch.chdir(untouched(folder))
    outputs = [name for block in BLOCKS[page] for name in re.findall(r"-o (\S+)", block.code)]
    made = {"auto", *outputs, *(name.removeprefix("checkpoints/") for name in outputs)}
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
            of_models = {
                name for option, name in itertools.pairwise(words) if option in TAKES_MODEL
            }
            with monkeypatch.context() as patched:
                if words[1] == "train" and not made & of_models:
                    arguments = [*overwriting(arguments), "--dry-run"]
                    planned += 1
                else:
                    patched.setattr(click.Command, "invoke", lambda command, context: None)
                code, printed = run(arguments), capsys.readouterr()
            assert code == 0, f"{shlex.join(arguments)}\n{printed.err}"
    assert planned


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """Return a function that runs a line of bash, in which `rnnlm` is this checkout's and starts at
    once."""
    programs = tmp_path_factory.mktemp("bin")
    command(programs)
    path = f"{programs}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"PATH": path, **door()}

    def run(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
        called = ["bash", "-o", "pipefail", "-c", line]
        environment = {**os.environ, **own}
        return subprocess.run(
            called, cwd=folder, env=environment, capture_output=True, text=True, timeout=120
        )

    return run


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
        """Return what curl would print for these words."""
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


def run_command(words: list[str], capsys, shell, server) -> None:
    # "|" of --regions is no pipe
    if {"|", ">"} & {word for before, word in itertools.pairwise(words) if before != "--regions"}:
        line = " ".join(word if word in ("|", ">") else shlex.quote(word) for word in words)
        ended = shell(line, Path.cwd())
        assert ended.returncode in (0, 141), ended.stderr
    elif is_rnnlm(words) and words[1] == "serve":
        server.start(words[2:])
    elif words[0] == "curl":
        printed = server.ask(words)
        assert printed.startswith(b"data: ") or json.loads(printed)
    elif is_rnnlm(words):
        if words[1] == "train":
            for name in {*words} & {*N_GRAMS, "checkpoints/dates"}:
                shutil.rmtree(name, ignore_errors=True)  # a page that makes it makes it anew
        code, printed = run(made_small(words[1:])), capsys.readouterr()
        assert code == 0 and "internal error" not in printed.err, (
            f"{shlex.join(words)}\n{printed.err}"
        )
    else:
        assert words[0] in OTHER_PROGRAMS, words


@pytest.mark.parametrize(
    "code",
    [block.code for block in ALL if block.language == "bash"],
    ids=lambda code: code.splitlines()[0],
)
def test_loops_on_the_pages_finish(folder, shell, code):
    ended = shell(f'rnnlm() {{ command rnnlm "$@" {" ".join(SMALL)}; }}\n{code}', folder)
    assert ended.returncode == 0 and ended.stderr.count("all is saved") == 1, ended.stderr


@pytest.mark.parametrize("comment", ["demo", "tests"])
def test_main_commands_are_single_lines_for_fresh_clones(comment):
    line = marked(comment)
    assert "\n" not in line
    assert line.startswith(
        "python3 -m venv .venv && .venv/bin/pip install -q -c constraints.txt -e "
    )
    programs = {words[0] for words in commands(line)}
    assert programs <= {"python3", ".venv/bin/pip", ".venv/bin/python", ".venv/bin/rnnlm"}


def test_the_demo_trains_and_compares_the_two_sentences():
    ours = [words[1:] for words in commands(marked("demo")) if is_rnnlm(words)]
    sentences = ["it is hard to recognize speech", "it is hard to wreck a nice beach"]
    assert ours == [["train"], ["score", *sentences]]


def test_figures_of_the_index_match_the_shipped_models_card():
    results = model_folder.read_manifest(checkpoints.FOLDER / "demo").results["test"]
    (row,) = [line for line in INDEX.splitlines() if line.startswith("| the shipped model")]
    assert f"| {results['ppl_token']:.1f} |" in row


def test_ci_runs_the_readmes_test_command():
    text = (ROOT / ".ci" / "run").read_text()
    assert "README.md" in text and "<!-- tests -->" in text
    # tracked files alone, and a run of the demo
    assert "git ls-files" in text and "checkpoints/english-lstm" in text
    assert marked("tests").endswith(".venv/bin/python -m pytest -q --workers 4")


def test_every_command_is_shown():
    assert [command for command in COMMANDS if f"rnnlm {command}" not in CODE] == []


def test_library_names_on_pages_are_public():
    named = set(re.findall(r"\brnnlm\.(\w+)", "".join(TEXTS.values())))
    modules = {"events", "inspection", "kenlm", "pyctcdecode", "lm_eval"}
    assert named - {*rnnlm.__all__} - modules == set()


def test_the_index_names_every_page():
    assert sorted(PAGES[1:]) == sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))


def test_every_link_leads_somewhere():
    """To a file that is there and, after a #, to a heading of it."""
    broken = []
    of_the_site = [str(path.relative_to(ROOT)) for path in (ROOT / "docs" / "site").rglob("*.md")]
    for page in [*PAGES, "CONTRIBUTING.md", "CHANGELOG.md", *of_the_site]:
        for link in re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text(encoding="utf-8")):
            name, _, heading = link.partition("#")
            target = (ROOT / page).parent / name if name else ROOT / page
            if "://" not in link and not (
                target.exists() and (not heading or heading in headings(target))
            ):
                broken.append(f"{page}: {link}")
    assert broken == []


def headings(page: Path) -> set[str]:
    """Return the anchors of a page's headings."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
