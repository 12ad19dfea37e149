"""Set-up of the tests of counting."""

import pytest

from rnnlm import system
from rnnlm.lm.ngram.counting import workspace
from rnnlm.tools.prepared import preparation
from support.random_texts import write_common_words


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """Write a text of a few shards, whose frequent words come again."""
    return write_common_words(tmp_path_factory.mktemp("text") / "text.txt", seed=7)


@pytest.fixture
def little_memory(monkeypatch):
    """Make a limit leave its whole size for buffers, whatever this process and the text take."""
    for name in ("PROGRAM", "LEAST"):
        monkeypatch.setattr(workspace, f"{name}_BYTES", 0)
    for name in ("HELD", "BYTES", "COUNTED"):
        monkeypatch.setattr(workspace, f"{name}_PER_WORD", 0)
    for name in ("LEAST_MEMORY", "LIBRARY_BYTES", "SHARDS_BYTES"):
        monkeypatch.setattr(preparation, name, 0)
    monkeypatch.setattr(preparation, "THREAD_SHARE", 1e-3)
    monkeypatch.setattr(system, "private_bytes", lambda: 0)
