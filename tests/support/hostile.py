"""What every hostile input meets: a command that ends soon, with its exit code and a line each for
what, why and the way out; that shows no control character, takes no memory that a file merely
claims, and leaves the folder as it was."""

import contextlib
import os
import re
import shlex
import shutil
import signal
from pathlib import Path

import pytest

from rnnlm.cli.main import run
from rnnlm.lm.base.loading import load_tokenizer
from rnnlm.tools.prepared import shards
from rnnlm.tools.prepared.preparation import prepare
from support import tiny_seq2seq
from support.arpa_files import SMALL
from support.commands import Models, Trained
from support.failures import checked_error
from support.systems import has

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
BOLD = re.compile("\x1b\\[[01]m")  # our own
SECONDS = 30  # a watchdog, no measurement
MOST_BYTES = 700 << 20  # of memory above what was there before
NBEST = b"u1\tREF\t\tthe man\nu1\t1\t-3.0\tthe man\nu1\t2\t-4.0\tthe men\n"
MADE = (
    "train {text} --model ngram --order 2 --tokenizer-from {lstm} -o {ngram}",
    "train {text} --model unigram --tokenizer sentencepiece --set vocab_size=600 -o {subwords}",
    "mix {lstm} {ngram} --weights 0.5,0.5 --bundle -o {mixture}",
)


@pytest.fixture(scope="session")
def there(models, tagger, classifier, made_once):
    """Make what commands name in braces: models of every kind, texts, lists."""
    return made_once("hostile", lambda folder: make_all(folder, models, tagger, classifier))


def make_all(folder: Path, models: Models, tagger: Trained, classifier: Trained) -> dict[str, Path]:
    """Return what commands name in braces, most of it in `folder`."""
    made = ("ngram", "subwords", "mixture", "arpa", "nbest.tsv", "pairs.tsv", "prepared")
    names = {name.partition(".")[0]: folder / name for name in made}
    names |= {"text": models.text, "valid": models.valid}
    for name in ("lstm", "unigram"):  # copies, since `tune` writes into what it tunes
        names[name] = shutil.copytree(getattr(models, name), folder / name)
    names["translator"] = tiny_seq2seq.saved(folder / "translator")
    names |= {"tagger": tagger.folder, "classifier": classifier.folder}
    names["arpa"].write_text(SMALL)
    names["nbest"].write_bytes(NBEST)
    names["pairs"].write_bytes(b"good\tbad\nthe man\tman the\n")
    for command in MADE:
        assert run(command.format(**names).split()) == 0
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(shards, "SHARD_BYTES", 4_000)  # several shards
        tokenizer = load_tokenizer(models.unigram)
        list(prepare(models.text, names["prepared"], tokenizer=tokenizer, workers=0))
    return names


class Watchdog(BaseException):
    """The command did not end."""


@pytest.fixture
def watched():
    """Stop a test that takes too long, or far more memory than was there before."""

    if not has("signals"):  # nor limits of memory
        yield
        return
    import resource

    def bark(*_):
        raise Watchdog

    handler = signal.signal(signal.SIGALRM, bark)
    signal.alarm(SECONDS)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    before = kilobytes("VmRSS")
    if before:
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        most = (kilobytes("VmSize") << 10) + (2 << 30)
        resource.setrlimit(resource.RLIMIT_AS, (most, limits[1]))
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, handler)
    resource.setrlimit(resource.RLIMIT_AS, limits)
    assert (kilobytes("VmHWM") - before) << 10 < MOST_BYTES


def kilobytes(name: str) -> int:
    """Return a number of this process from /proc; 0 where there is none."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
    return 0


@pytest.fixture
def typed(rnnlm, there, watched):
    """Return a function that runs a command as typed; {NAME} stands for what is there."""

    def command(line, stdin=b""):
        words = [part.format(**there) if "{" in part else part for part in shlex.split(line)]
        ended = rnnlm(*words, stdin=stdin)
        assert not CONTROL.search(BOLD.sub("", ended.out)) and not CONTROL.search(ended.err), ended
        return ended

    return command


@pytest.fixture
def refused(typed, here):
    """Return a function that runs a command, which must fail with `what`."""

    def check(line, what, code=1, stdin=b"", keeps=True):
        before = contents(here)
        checked_error(typed(line, stdin), code, what)
        assert contents(here) == before or not keeps

    return check


@pytest.fixture
def harmless(typed, here):
    """Return a function that runs a command, which must succeed and write no escapes."""

    def check(line, code=0):
        before = contents(here)
        ended = typed(line)
        assert ended.code == code and "error: " not in ended.err, ended
        after = contents(here)
        mine = {path: status for path, status in before.items() if "mine" in path}
        assert mine.items() <= after.items()
        for path in after:
            assert not path.endswith(".new")
            is_record = path.endswith(".run") and not path.endswith("/.filter.run")
            assert not is_record or '"finished"' in Path(path).read_text()
            if path.endswith(("README.md", ".html")) and "mine" not in path:
                text = Path(path).read_text(encoding="utf-8")
                assert not CONTROL.search(text) and "<script>alert" not in text, path

    return check


def contents(folder):
    """Return what tells of each file, folder and link below `folder` whether it was written."""
    statuses = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        is_folder = path.is_dir() and not path.is_symlink()
        changed = () if is_folder else (status.st_size, status.st_mtime_ns)
        statuses[os.fspath(path)] = (status.st_ino, *changed)
    return statuses
