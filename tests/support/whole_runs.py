"""Texts, and runs that are forked of this process."""

import pytest

from rnnlm import system
from rnnlm.cli.main import run
from rnnlm.lm.ngram.counting import memory_limit, workspace
from rnnlm.parallel import inline_pool
from rnnlm.text.prepared import preparation
from support.killed_runs import Runs, command
from support.tiny_models import english_lines


@pytest.fixture(scope="session")
def texts(tmp_path_factory):
    """Write a text of some 800 tokens, and one to validate on."""
    folder = tmp_path_factory.mktemp("texts")
    lines = english_lines(80)
    for name, some in {"text": lines[:60], "valid": lines[60:]}.items():
        (folder / f"{name}.txt").write_text("\n".join(some) + "\n", encoding="utf-8")
    return folder / "text.txt", folder / "valid.txt"


@pytest.fixture(scope="session")
def warm(tmp_path_factory, texts):
    """Return what starts runs as forks of this process, which has imported all that they need."""
    runs = Runs(tmp_path_factory.mktemp("warm"))
    assert run(command(*texts, runs.folder / "m", {}, budget="1steps")) == 0
    return runs


@pytest.fixture
def runs(warm, tmp_path):
    warm.folder = tmp_path
    return warm


@pytest.fixture(autouse=True)
def no_workers(request, monkeypatch):
    """Prepare texts in this process, but in tests of processes: to start some takes far longer."""
    if not request.node.get_closest_marker("processes"):
        monkeypatch.setattr(preparation, "process_pool", lambda count: inline_pool())


@pytest.fixture
def small(monkeypatch):
    """Let a small text have several shards and ranges, and any memory be enough."""
    limits = {
        workspace: {"ROWS": 10_000},
        memory_limit: {
            "PROGRAM_BYTES": 0, "HELD_PER_WORD": 0, "LEAST_BYTES": 0, "BYTES_PER_WORD": 0,
            "COUNTED_PER_WORD": 0,
        },
        preparation: {
            "LEAST_MEMORY": 0, "LIBRARY_BYTES": 0, "SHARDS_BYTES": 0, "THREAD_SHARE": 1e-3
        },
        system: {"private_bytes": lambda: 0},
    }  # fmt: skip
    for module, names in limits.items():
        for name, value in names.items():
            monkeypatch.setattr(module, name, value)
