import io
import os
import re
import select
import subprocess
import sys
import time

import pytest
from rich.console import Console

from rnnlm.cli.interactive import Desk, screen_of, work
from rnnlm.generation.settings import SamplingSettings
from rnnlm.models import loading


@pytest.fixture
def desk(models):
    return Desk(loading.load(str(models.unigram)), SamplingSettings())


def lines_of(desk: Desk, width: int = 80, height: int = 30) -> list[str]:
    console = Console(
        width=width, height=height, force_terminal=True, no_color=True, file=io.StringIO()
    )
    console.print(screen_of(desk, width, height))
    return [
        line.rstrip()
        for line in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", console.file.getvalue()).splitlines()
    ]


def thought(desk: Desk) -> Desk:
    while desk.think():
        pass
    return desk


def test_words_come_first_then_continuations(desk):
    desk.press("the ")
    assert desk.think() and desk.words and desk.continuations is None
    assert desk.think() and len(desk.continuations) == 3
    assert not desk.think()
    lines = lines_of(desk)
    assert lines[0].startswith("> the ") and "%" in lines[1] and lines[-1].startswith("Tab:")
    assert sum(line.startswith("the ") for line in lines) == 3


def test_keys_edit_the_text(desk):
    desk.press("the olx\x7fd man\x17")
    assert desk.text == "the old"
    desk.press("\x15th")
    assert desk.text == "th"
    desk.press("\t")
    assert desk.text == "the "
    before = thought(desk).continuations
    desk.press("\r")
    assert desk.text == "the " and thought(desk).continuations != before
    desk.press("\x01\x0b")
    assert desk.text == "the " and not desk.is_ended
    desk.press("\x04")
    assert desk.is_ended


def test_unknown_words_are_reported_and_empty_text_works(desk):
    desk.press("the zorp man ")
    assert any("zorp" in line for line in lines_of(thought(desk)))
    desk.press("\x15zorpzorp")
    assert any("no word begins" in line for line in lines_of(thought(desk)))
    desk.press("\x15the </s> ")
    assert any("</s>" in line for line in lines_of(thought(desk)))
    desk.press("\x15\x7f\x17")
    assert desk.text == "" and thought(desk).words


@pytest.mark.parametrize(("width", "height"), [(20, 10), (5, 4), (200, 60)])
def test_what_is_drawn_fits_the_terminal(desk, width, height):
    desk.press("the man who was there " * 5)
    lines = lines_of(thought(desk), width, height)
    assert max(map(len, lines)) <= width and len(lines) < height
    assert "█" in lines[0]


def test_pending_keys_are_read_before_more_work(desk):
    seen = []
    keys = iter(["t", "h", "e", "", "", "", " ", "", "", "", "\x04"])

    def read_keys(seconds):
        key = next(keys)
        seen.append((key, desk.words is not None))
        return key

    work(desk, Console(file=io.StringIO(), force_terminal=True, width=40), read_keys)
    assert desk.text == "the "
    assert [words for _, words in seen[:4]] == [False] * 4


@pytest.fixture
def terminal(models, here):
    """Yield `rnnlm generate --interactive` on a pseudo-terminal, and a function that reads what it
    shows until a given text comes."""
    pty = pytest.importorskip("pty")
    try:
        master, slave = pty.openpty()
    except OSError:
        pytest.skip("no pseudo-terminals here")
    process = subprocess.Popen(
        [sys.executable, "-m", "rnnlm", "generate", "-m", str(models.unigram), "--interactive",
         "the"],
        stdin=slave, stdout=slave, stderr=slave, cwd=here, start_new_session=True,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "60", "LINES": "20", "NO_COLOR": "1"},
        preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
    )  # fmt: skip
    shown = b""

    def until(wanted: bytes) -> bytes:
        nonlocal shown
        deadline = time.monotonic() + 60
        while wanted not in shown:
            assert time.monotonic() < deadline, shown
            if select.select([master], [], [], 0.2)[0]:
                shown += os.read(master, 4096)
        found, _, shown = shown.partition(wanted)
        return found

    yield process, master, slave, until
    if process.poll() is None:
        process.kill()
    process.wait()
    os.close(master)
    os.close(slave)


def is_cooked(slave: int) -> bool:
    import termios

    return bool(termios.tcgetattr(slave)[3] & termios.ECHO)


def test_terminal_updates_words_and_keeps_text_at_end(terminal):
    process, master, slave, until = terminal
    until("> the█".encode())
    assert not is_cooked(slave)
    os.write(master, b"\x1b[A")  # an arrow does nothing
    os.write(master, b" m")
    until(b"> the m")
    until(b"%")
    os.write(master, b"\x04")
    until(b"the m\r\n")
    assert process.wait(20) == 0 and is_cooked(slave)


@pytest.mark.parametrize(
    "ends_it, code",
    [
        (lambda process, master: os.write(master, b"\x03"), 130),
        (lambda process, _: process.terminate(), 143),
    ],
)
def test_a_signal_leaves_the_terminal_as_it_was(terminal, ends_it, code):
    process, master, slave, until = terminal
    until(b"%")
    ends_it(process, master)
    assert process.wait(20) == code and is_cooked(slave)
