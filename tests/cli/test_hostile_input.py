"""The tables of tests/hostile/: whatever is wrong with what a person gives, the command ends soon, with its exit code and a line each for
what, why and the way out; it shows no control character, takes no memory that a file merely claims, and leaves the folder as it was."""

import contextlib
import hashlib
import re
import resource
import shlex
import signal
from pathlib import Path

import pytest

from rnnlm.cli.main import COMMANDS
from rnnlm.models.loading import load_tokenizer
from rnnlm.text.prepared import encoder
from rnnlm.text.prepared.preparation import prepare
from support.failures import checked_error
from support.hostile import arpa, escapes, lists, outputs, prepared, settings, tables, texts
from support.hostile import models as model_folders

FAMILIES = {"text": texts, "table": tables, "setting": settings, "arpa": arpa, "list": lists, "model": model_folders, "output": outputs,
            "prepared": prepared, "escape": escapes}  # fmt: skip
ROWS = {f"{family}: {row.name}": row for family, module in FAMILIES.items() for row in module.ROWS}
SECONDS = 30  # a watchdog, no measurement
MOST_BYTES = 700 << 20  # of memory above what was there before
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
BOLD = re.compile("\x1b\\[[01]m")  # our own


@pytest.fixture(scope="session")
def there(models, tmp_path_factory):
    """What rows name in braces: models of every kind, a text, lists; no test changes them."""
    from rnnlm.cli.main import run

    folder = tmp_path_factory.mktemp("hostile")
    names = {name: folder / name for name in ("ngram", "mixture", "subwords")}
    (folder / "arpa").write_bytes(arpa.SMALL)
    (folder / "nbest.tsv").write_bytes(lists.GOOD)
    (folder / "pairs.tsv").write_bytes(b"good\tbad\nthe man\tman the\n")
    for command in (
        ["train", models.text, "--model", "ngram", "--order", "2", "--tokenizer-from", models.lstm, "-o", names["ngram"]],
        ["train", models.text, "--model", "unigram", "--tokenizer", "sentencepiece", "--set", "vocab_size=600", "-o", names["subwords"]],
        ["mix", models.lstm, names["ngram"], "--weights", "0.5,0.5", "--bundle", "-o", names["mixture"]],
    ):
        assert run([str(argument) for argument in command]) == 0
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(encoder, "SHARD_BYTES", 4_000)
        list(prepare(models.text, folder / "prepared", tokenizer=load_tokenizer(models.unigram), workers=0))
    return names | {"lstm": models.lstm, "unigram": models.unigram, "text": models.text, "valid": models.valid, "arpa": folder / "arpa",
                    "nbest": folder / "nbest.tsv", "pairs": folder / "pairs.tsv", "prepared": folder / "prepared"}  # fmt: skip


@pytest.mark.parametrize("row", ROWS.values(), ids=list(map(ascii, ROWS)))
def test_hostile_input(rnnlm, there, here, row):
    row.make(here, there)
    before = contents(here)
    arguments = [part.format(**there) if "{" in part else part for part in shlex.split(row.command)]
    with watched():
        ended = rnnlm(*arguments, stdin=row.stdin)
    assert not CONTROL.search(BOLD.sub("", ended.out)) and not CONTROL.search(ended.err), ended
    if row.what is None:
        assert ended.code == row.code and "error: " not in ended.err, ended
        after = contents(here)
        check_written(here)
        assert not [name for name in after if name.endswith((".new", ".run"))]
        assert {name: what for name, what in before.items() if name.startswith("mine")}.items() <= after.items()
        return
    checked_error(ended, row.code, row.what)
    assert contents(here) == before or not row.keeps


@pytest.mark.parametrize("row", escapes.ROWS, ids=[ascii(row.name) for row in escapes.ROWS])
def test_on_a_terminal_no_escape_is_shown_either(rnnlm, there, here, row, terminal_of):
    row.make(here, there)
    terminal_of(80)
    ended = rnnlm(*(part.format(**there) if "{" in part else part for part in shlex.split(row.command)))
    shown = ended.out + ended.err
    assert ended.code == row.code and not any(evil in shown for evil in ("\x1b]", "\x1b[31m", "\x07", "\x9b", "\x7f", "\u202e")), shown


def test_every_command_meets_hostile_input():
    assert {row.command.split()[0] for row in ROWS.values()} >= set(COMMANDS)
    assert len(ROWS) >= 150


def contents(folder: Path) -> dict[str, str]:
    """Each file, folder and link below `folder`, by name."""
    found = {}
    for path in sorted(folder.rglob("*")):
        what = (
            f"-> {path.readlink()}" if path.is_symlink() else "folder" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
        )
        found[str(path.relative_to(folder))] = what
    return found


def check_written(folder: Path) -> None:
    """What is written to be read by people is as harmless as what is shown."""
    for path in [path for name in ("README.md", "*.html") for path in folder.rglob(name) if not path.is_symlink()]:
        text = path.read_text(encoding="utf-8")
        assert not CONTROL.search(text) and "<script>alert" not in text, path


class Watchdog(BaseException):
    """The command did not end."""


@contextlib.contextmanager
def watched():
    """Stops what takes too long; sees, where Linux tells it, that no more memory is taken than a command may, and refuses far more."""

    def bark(*_):
        raise Watchdog

    handler = signal.signal(signal.SIGALRM, bark)
    signal.alarm(SECONDS)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    before = status("VmRSS")
    if before:
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        resource.setrlimit(resource.RLIMIT_AS, (status("VmSize") + (2 << 30), limits[1]))
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, limits)
    assert status("VmHWM") - before < MOST_BYTES, f"{(status('VmHWM') - before) >> 20} MB"


def status(name: str) -> int:
    """A figure of this process in bytes; 0 where there is none."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) << 10
    return 0
