"""The tables of tests/hostile/: whatever is wrong with what a person gives, the command ends soon,
with its exit code and a line each for what, why and the way out; it shows no control character,
takes no memory that a file merely claims, and leaves the folder as it was."""

import hashlib
import re
import shlex
from pathlib import Path

import pytest

from rnnlm.cli.main import COMMANDS
from rnnlm.evaluation import plotting
from support.failures import checked_error
from support.hostile import (
    arpa,
    escapes,
    filters,
    labelled,
    lists,
    looks,
    outputs,
    pairs,
    prepared,
    settings,
    tables,
    texts,
)
from support.hostile import models as model_folders
from support.hostile.watching import watched

FAMILIES = {"text": texts, "table": tables, "setting": settings, "arpa": arpa, "list": lists,
            "model": model_folders, "output": outputs,
            "prepared": prepared, "escape": escapes, "labelled": labelled, "pairs": pairs,
            "look": looks, "filter": filters}  # fmt: skip
ROWS = {f"{family}: {row.name}": row for family, module in FAMILIES.items() for row in module.ROWS}
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
BOLD = re.compile("\x1b\\[[01]m")  # our own


# These unpack much, and another command or another format meets the same reader in the suite.
LONG = re.compile(
    "text: a line without end: (train|count|.*(bz2|xz|zst))|score: a line without end"
    "|prepared: (doctor|info): (a list of 20,000 shards|index.json of 65 MB)"
)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=ascii(name), marks=pytest.mark.soak if LONG.search(name) else ())
        for name, row in ROWS.items()
    ],
)
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
        assert {
            name: what for name, what in before.items() if name.startswith("mine")
        }.items() <= after.items()
        return
    checked_error(ended, row.code, row.what)
    assert contents(here) == before or not row.keeps


@pytest.mark.parametrize("row", escapes.ROWS, ids=[ascii(row.name) for row in escapes.ROWS])
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


def contents(folder: Path) -> dict[str, str]:
    """Return the content of each file, folder and link below `folder`, by name."""
    found = {}
    for path in sorted(folder.rglob("*")):
        what = (
            f"-> {path.readlink()}"
            if path.is_symlink()
            else "folder"
            if path.is_dir()
            else hashlib.sha256(path.read_bytes()).hexdigest()
        )
        found[str(path.relative_to(folder))] = what
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
