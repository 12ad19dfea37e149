"""Where commands run: without a home, a terminal or a language, with streams that are closed, full
or gone, little space and few files.

Each ends with the exit code and message that DESIGN gives it: no traceback, nothing earlier lost,
no unfinished file left behind.
"""

import contextlib
import errno
import os
import select
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from rnnlm import system
from rnnlm.cli.main import run
from rnnlm.parallel import ProcessExecutor, inline_pool
from rnnlm.tools.prepared import preparation
from support.commands import environment
from support.failures import contents, fingerprint
from support.forks import FORK, run_command

pytestmark = [
    pytest.mark.processes,
    pytest.mark.needs("tools/prepared"),
    pytest.mark.system("fork", "terminals"),
]

TEXT, LIST = "t\u00ebxt \u65e5\u672c.txt", "n\u00ef.tsv"
NBEST = (
    "u1\tREF\t\tthe man\nu1\t1\t-1\tthe man\nu1\t2\t-2\ta man\nu2\tREF\t\ta "
    "d\u00e4y\nu2\t1\t-1\tthe day\nu2\t2\t-2\ta d\u00e4y\n"
)
READING = {
    "eval": ["eval", "-m", "kn", TEXT],
    "score": ["score", "-m", "kn", "the m\u00e4n", "the man", "--words", "--json"],
    "generate": ["generate", "-m", "kn", "--num", "9"], "count": ["count", TEXT, "--order", "2", "--keep-punctuation"],
    "compare": ["compare", "kn", "uni", "--on", TEXT], "info": ["info", "kn"],
    "doctor": ["doctor", "kn"],
}  # fmt: skip
WRITING = {
    "train": ["train", TEXT, "--model", "ngram", "--set", "order=2", "-o", "made"],
    "export": ["export", "-m", "kn", "--arpa", "made.arpa"],
    "count -o": ["count", TEXT, "-o", "made.counts"],
    "mix": ["mix", "kn", "uni", "--on", TEXT, "-o", "mixed"],
    "rescore": ["rescore", "--tune", LIST, "--apply", LIST, "-m", "kn", "--output", "best.txt"],
    "score -o": ["score", "-m", "kn", "--input", TEXT, "-o", "s.jsonl"],
    "prepare": ["prepare", TEXT, "-o", "prepared", "--workers", "1"],
    "train, overwrite": ["train", TEXT, "--model", "ngram", "--set", "order=2", "-o", "uni",
                         "--overwrite"],
}  # fmt: skip
COMMANDS = {**READING, **WRITING}
FULL = pytest.mark.skipif(
    not os.path.exists("/dev/full"), reason="needs a device that is always full"
)
NOWHERE = pytest.mark.skipif(
    not os.path.isdir("/proc"), reason="needs a folder nobody can write to, not even root"
)


@dataclass(frozen=True)
class Ended:
    """How a command ended. err: what it said on stderr, where that could be read."""

    code: int
    out: bytes
    err: str


@pytest.fixture(scope="module")
def ground(tmp_path_factory, models):
    """Make a folder with two models of one vocabulary, a text and an n-best list with odd names."""
    folder = tmp_path_factory.mktemp("ground")
    shutil.copytree(models.unigram, folder / "uni")
    (folder / TEXT).write_text(
        models.valid.read_text(encoding="utf-8") + "the m\u00e4n\n", encoding="utf-8"
    )
    (folder / LIST).write_text(NBEST, encoding="utf-8")
    ngram = ["--model", "ngram", "--set", "order=3", "--tokenizer-from", str(folder / "uni")]
    assert run(["train", str(folder / TEXT), *ngram, "-o", str(folder / "kn")]) == 0
    return folder


@pytest.fixture
def place(ground, tmp_path):
    """Copy that folder, to work in."""
    return Path(shutil.copytree(ground, tmp_path / "place"))


def launch(
    place, arguments, *, closed=(), files=None, variables=None, dropped=(),
    program=("-m", "rnnlm"), **streams,
) -> Ended:  # fmt: skip
    """Run a command in a process of its own. closed: the numbers of the streams that it is started
    without. files: how many it may open."""
    names = environment(**(variables or {}))
    own = {name: value for name, value in names.items() if name not in dropped}
    streams = {
        "stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams
    }  # fmt: skip

    def prepare() -> None:
        if files is not None:
            import resource

            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
        for number in closed:
            os.close(number)

    ended = subprocess.run(
        [sys.executable, *program, *map(os.fsencode, arguments)],
        cwd=place, env=own, preexec_fn=prepare, timeout=100, **streams,
    )  # fmt: skip
    err = (ended.stderr or b"").decode("utf-8", "replace")
    for word in ("Traceback", "internal error", "Exception ignored"):
        assert word not in err, err
    assert not [path for path in place.rglob("*") if path.suffix in (".new", ".tmp")]
    return Ended(ended.returncode, ended.stdout or b"", err)


BARE = {
    "LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "TERM": "nonsense",
    "COLUMNS": "20", "LINES": "-1", "TMPDIR": "/nonexistent/folder", "PYTHONWARNINGS": "error",
    "XDG_CACHE_HOME": "/nonexistent/cache", "HF_HOME": "/nonexistent/hf",
}  # fmt: skip
UNCOMPILED = {"PYTHONPYCACHEPREFIX": "/proc/nowhere"}  # nothing is read or written there
ONE_AFTER_THE_OTHER = """
import sys
from rnnlm import system
from rnnlm.cli.main import run
names = sys.argv[1:]
while names:
    count = int(names.pop(0))
    arguments, names = names[:count], names[count:]
    if code := run(arguments):
        sys.exit(f"{arguments} ended with {code}")
"""


@pytest.mark.soak
@pytest.mark.parametrize("more", [{}, UNCOMPILED], ids=["", "nothing compiled"])
def test_a_bare_environment(place, more):
    """No home, a terminal of no known kind, a language that is not UTF-8, nowhere for temporary or
    compiled files, warnings that are errors, no standard input, twenty open files: every command
    works, whatever names and text it is given."""
    given = [part for arguments in COMMANDS.values() for part in (str(len(arguments)), *arguments)]
    ended = launch(
        place, given, variables={**BARE, **more}, dropped=("HOME", "LANG", "USER", "LOGNAME"), closed=(0,),
        files=20, program=("-c", ONE_AFTER_THE_OTHER),
    )  # fmt: skip
    assert ended.code == 0, ended.err
    ended.out.decode("utf-8")


def test_names_and_typed_texts_are_utf8_without_a_locale(place):
    bare = {"LC_ALL": "C", "PYTHONUTF8": "0"}
    shutil.copy(place / TEXT, place / "café.txt")
    trained = launch(place, ["train", "café.txt", "--model", "unigram", "-o", "né"], variables=bare)
    assert "next: rnnlm score -m 'né' " in trained.err, trained.err
    scored = launch(place, ["score", "-m", "né", "café"], variables=bare)
    assert scored.code == 0 and "\tcafé\t" in scored.out.decode("utf-8"), scored.err


def test_nothing_is_written_into_the_package(place, rnnlm, monkeypatch):
    """A read-only install is enough."""
    monkeypatch.chdir(place)
    package = Path(system.__file__).parent

    def times() -> dict[Path, int]:
        paths = [path for path in package.rglob("*") if "__pycache__" not in path.parts]
        return {path: path.stat().st_mtime_ns for path in paths}

    before = times()
    assert rnnlm(*READING["doctor"]).code == 0
    assert times() == before


@NOWHERE
def test_a_working_folder_that_nobody_can_write_to(place, rnnlm, monkeypatch):
    monkeypatch.chdir("/proc")
    text, model = place / TEXT, place / "kn"
    assert rnnlm("eval", "-m", model, text).code == 0
    for command in (
        ("train", text, "--model", "ngram"),
        ("export", "-m", model, "--arpa", "a.arpa"),
        ("count", text, "-o", "a"),
    ):
        ended = rnnlm(*command)
        assert ended.code == 1 and "error: cannot write" in ended.err, ended.err


@FULL
@pytest.mark.parametrize("name", [
    "eval", *(pytest.param(name, marks=pytest.mark.soak) for name in ("generate", "count")),
])  # fmt: skip
def test_standard_output_that_is_full(place, name):
    with open("/dev/full", "wb") as full:
        ended = launch(place, COMMANDS[name], stdout=full)
    assert ended.code == 1
    shown = ended.err
    assert "error: cannot read or write standard output\n  why: No space left on device" in shown


@pytest.mark.parametrize("arguments", [
    READING["generate"], ["--help"], pytest.param(READING["count"], marks=pytest.mark.soak),
    pytest.param(["eval", "--help"], marks=pytest.mark.soak),
], ids=" ".join)  # fmt: skip
def test_standard_output_that_nobody_reads_ends_silently(place, arguments):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as stream:
        ended = launch(place, arguments, stdout=stream)
    assert (ended.code, ended.err) == (141, "")


@pytest.mark.parametrize("name", ["train", "prepare", pytest.param("eval", marks=pytest.mark.soak)])
def test_streams_that_are_closed(place, name):
    """Whatever is opened then must not take their numbers: what a library prints would go into a
    model's file."""
    assert launch(place, COMMANDS[name], closed=(0, 1, 2)).code == 0
    if name == "train":
        assert fingerprint(place / "made")


def run_there(place, arguments, err, limit=None):
    """Run a command in this process, which was forked for it, with files of a limited size."""
    os.chdir(place)
    if limit is not None:
        # Python would cut off the compiled files of what it imports now, for all that come later.
        sys.dont_write_bytecode = True
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    run_command(arguments, Path(os.devnull), err)


@FULL
@pytest.mark.parametrize("arguments, code", [
    (WRITING["train"], 0), (WRITING["mix"], 0), (["eval", "-m", "nothing", TEXT], 1),
    (["eval", "--nonsense"], 2),
])  # fmt: skip
def test_messages_that_cannot_be_written_cost_no_work(place, arguments, code):
    process = FORK.Process(target=run_there, args=(place, arguments, Path("/dev/full")))
    process.start()
    process.join(60)
    assert process.exitcode == code
    if code == 0:
        assert fingerprint(place / arguments[-1])


def train_for_a_while(arguments, place, reader, stderr):
    """Train in this process, a fork, as `nohup rnnlm train ...` in another session does."""
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.close(reader)
    os.chdir(place)
    run_command(arguments, place / "out", Path(f"/dev/fd/{stderr}"), TERM="xterm")


@NOWHERE
@pytest.mark.parametrize("kind", ["pipe", "terminal"])
def test_training_continues_after_its_output_reader_leaves(place, kind):
    """A `| tee log` that ended, or a terminal that was closed while nohup kept the signal away."""
    import pty

    reader, writer = os.pipe() if kind == "pipe" else pty.openpty()
    small = "--set hidden_size=8 --set embedding_size=8 --precision fp32 --budget 9steps".split()
    lstm = ["train", TEXT, "--valid", TEXT, *small, "-o", "made"]
    arguments = lstm if kind == "terminal" else WRITING["train"]
    process = FORK.Process(target=train_for_a_while, args=(arguments, place, reader, writer))
    process.start()
    os.close(writer)
    select.select([reader], [], [], 60)  # it has said something: now nobody listens any longer
    os.close(reader)
    process.join(60)
    assert process.exitcode == 0
    assert fingerprint(place / "made")


OUTPUT = {
    "train": "made", "export": "made.arpa", "count -o": "made.counts", "mix": "mixed",
    "rescore": "best.txt", "prepare": "prepared",
}  # fmt: skip


@pytest.mark.parametrize("name", OUTPUT)
def test_no_space_keeps_what_was_there(place, rnnlm, monkeypatch, name):
    """fsync fails as on a disk that is full, broken or read-only; then all is well again."""
    monkeypatch.chdir(place)
    monkeypatch.setattr(preparation, "process_pool", lambda count: inline_pool())
    output, arguments = OUTPUT[name], COMMANDS[name]
    assert rnnlm(*arguments).code == 0
    before = contents(place)
    for number in (
        (errno.EDQUOT, errno.EIO, errno.EROFS, errno.ENOSPC) if name == "train" else (errno.ENOSPC,)
    ):
        with failing_disk(number):
            ended = rnnlm(*arguments, "--overwrite")
        assert ended.code == 1 and ended.errors[0].startswith("error: cannot write"), ended.err
        assert os.strerror(number) in ended.errors[1]
        assert number in (errno.EIO, errno.EROFS) or "free some space" in ended.errors[2]
        assert contents(place) == before
    assert rnnlm(*arguments, "--overwrite").code == 0 and (place / output).exists()


@contextlib.contextmanager
def failing_disk(number: int):
    """Make fsync fail with that error inside this context."""

    def fail(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        yield


@pytest.mark.parametrize(
    "name", ["train", "train, overwrite", "export", "mix", "score -o", "prepare"]
)
def test_a_limit_to_the_size_of_files(place, tmp_path, name):
    """As a quota is, whose error a write tells, not fsync."""
    before, said = contents(place), tmp_path / "said"
    process = FORK.Process(target=run_there, args=(place, WRITING[name], said, 2000))
    process.start()
    process.join(60)
    assert process.exitcode == 1
    assert "error: cannot write" in said.read_text() and "File too large" in said.read_text()
    after = contents(place)
    assert {name: after.get(name) for name in before} == before
    # scores that are there stay, to be gone on with
    assert name == "score -o" or after.keys() <= before.keys()


def test_nothing_planted_in_the_folder_runs(here, monkeypatch):
    """A worker runs no file in the current folder that has the name of a module, even where this
    process finds modules in it, as under `python -m rnnlm`."""
    for name in ("rnnlm", "torch", "numpy", "click", "pickle"):
        Path(f"{name}.py").write_text("open(__file__ + '-was-run', 'w').close()\n")
    monkeypatch.syspath_prepend(here)
    with ProcessExecutor(1) as workers:
        assert workers.submit(len, "abc").result() == 3
    assert not list(here.glob("*-was-run"))
