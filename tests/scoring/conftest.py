"""Set-up of the tests of scoring."""

import functools

import pytest

from rnnlm.scoring import scorer


@pytest.fixture
def lines_per_chunk(monkeypatch):
    """Return a function that sets how many sentences are scored together."""
    monkeypatch.setattr(scorer, "LOOKED_UP", 1)
    return functools.partial(monkeypatch.setattr, scorer, "LINES_PER_CHUNK")
