"""Counting and preparing in tests: in this process, and in little memory."""

import pytest

from rnnlm import system
from rnnlm.lm.ngram.counting import workspace
from rnnlm.parallel import inline_pool
from rnnlm.tools.prepared import preparation


@pytest.fixture(autouse=True)
def no_workers(request, monkeypatch):
    """Prepare texts in this process, but in tests of processes: to start some takes far longer."""
    if not request.node.get_closest_marker("processes"):
        monkeypatch.setattr(preparation, "process_pool", lambda count: inline_pool())


@pytest.fixture
def small(monkeypatch):
    """Let a small text have several shards and ranges, and any memory be enough."""
    limits = {
        workspace: {
            "ROWS": 10_000, "PROGRAM_BYTES": 0, "HELD_PER_WORD": 0, "LEAST_BYTES": 0,
            "BYTES_PER_WORD": 0, "COUNTED_PER_WORD": 0,
        },
        preparation: {
            "LEAST_MEMORY": 0, "LIBRARY_BYTES": 0, "SHARDS_BYTES": 0, "THREAD_SHARE": 1e-3
        },
        system: {"private_bytes": lambda: 0},
    }  # fmt: skip
    for module, names in limits.items():
        for name, value in names.items():
            monkeypatch.setattr(module, name, value)
