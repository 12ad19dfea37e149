"""The tables of tests/support/hostile/: whatever is wrong with what a person gives, the command ends
soon, with its exit code and a line each for what, why and the way out; it shows no control
character, takes no memory that a file merely claims, and leaves the folder as it was."""

import os
import re
import shlex
from pathlib import Path

import pytest

from rnnlm.cli.main import COMMANDS
from rnnlm.evaluation import plotting
from rnnlm.files import reading
from rnnlm.text import lines
from rnnlm.text.prepared import preparation
from rnnlm.work.executors import Inline
from support.failures import checked_error
from support.hostile import arpa, outputs, prepared, requests, settings, tables, texts
from support.hostile import models as model_folders
from support.hostile.watching import watched

FAMILIES = {"text": texts, "table": tables, "setting": settings, "arpa": arpa,
            "model": model_folders, "output": outputs, "prepared": prepared,
            "request": requests}  # fmt: skip
ROWS = {f"{family}: {row.name}": row for family, module in FAMILIES.items() for row in module.ROWS}
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
BOLD = re.compile("\x1b\\[[01]m")  # our own


# The reader that meets these is met in the suite by another command, or with another format.
LONG = re.compile(
    "text: a line without end: (train|count|.*(bz2|xz|zst))|score: a line without end"
    "|text: <s> within: (?!eval$|train$)"
    "|prepared: (doctor|info): (" + "|".join(map(re.escape, [*prepared.INDEXES][1:])) + ")"
)
# These meet a lower limit in the suite, or no process that prepares, and the true one with -m soak;
# "text: a line without end: eval, .gz" and "prepared: prepare: bad text, not UTF-8" always do.
LOWERED = re.compile(
    "table: .*a line without end|text: (a gigabyte of zeros|no end)"
    "|prepared: (prepare|resume): (?!bad text, not UTF-8)"
)
LONGEST_LINE = 1 << 23
LARGE_BYTES = 1 << 20


def cases():
    """Yield each row, and whether its limits are the true ones."""
    for name, row in ROWS.items():
        is_true = not LOWERED.match(name)
        marks = pytest.mark.soak if LONG.search(name) else ()
        yield pytest.param(row, is_true, id=ascii(name), marks=marks)
        if not is_true:
            yield pytest.param(row, True, id=ascii(f"true: {name}"), marks=pytest.mark.soak)


@pytest.mark.parametrize(("row", "is_true"), [*cases()])
def test_hostile_input(rnnlm, there, here, row, is_true, monkeypatch):
    if not is_true:
        monkeypatch.setattr(reading, "LONGEST_LINE", LONGEST_LINE)
        monkeypatch.setattr(lines, "LONGEST_LINE", LONGEST_LINE)
        monkeypatch.setattr(preparation, "Processes", lambda count: Inline())
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
        assert {
            name: what for name, what in before.items() if name.startswith("mine")
        }.items() <= after.items()
        return
    checked_error(ended, row.code, row.what)
    assert contents(here) == before or not row.keeps


@pytest.mark.parametrize("row", requests.ESCAPES, ids=[ascii(row.name) for row in requests.ESCAPES])
def test_on_a_terminal_no_escape_is_shown_either(rnnlm, there, here, row, terminal_of, monkeypatch):
    # What is drawn for a page is not shown on the terminal.
    monkeypatch.setattr(plotting, "as_svg", lambda figure: "")
    row.make(here, there)
    terminal_of(80)
    ended = rnnlm(
        *(part.format(**there) if "{" in part else part for part in shlex.split(row.command))
    )
    shown = ended.out + ended.err
    assert ended.code == row.code and not any(
        evil in shown for evil in ("\x1b]", "\x1b[31m", "\x07", "\x9b", "\x7f", "\u202e")
    ), shown


def test_every_command_meets_hostile_input():
    assert {row.command.split()[0] for row in ROWS.values()} >= set(COMMANDS)
    assert len(ROWS) >= 150


def contents(folder: Path) -> dict[str, object]:
    """Return the content of each file, folder and link below `folder`, by name; of a large file,
    what tells whether it was written."""
    found: dict[str, object] = {}
    waiting = [folder]
    while waiting:
        for entry in os.scandir(waiting.pop()):
            name = os.path.relpath(entry.path, folder)
            if entry.is_symlink():
                found[name] = f"-> {os.readlink(entry.path)}"
            elif entry.is_dir():
                found[name] = "folder"
                waiting.append(Path(entry.path))
            elif entry.stat().st_size > LARGE_BYTES:
                status = entry.stat()
                found[name] = (status.st_size, status.st_mtime_ns, status.st_ino)
            else:
                found[name] = Path(entry.path).read_bytes()
    return found


def check_written(folder: Path) -> None:
    """Check that files written for people are as harmless as terminal output."""
    for path in [
        path
        for name in ("README.md", "*.html")
        for path in folder.rglob(name)
        if not path.is_symlink()
    ]:
        text = path.read_text(encoding="utf-8")
        assert not CONTROL.search(text) and "<script>alert" not in text, path
