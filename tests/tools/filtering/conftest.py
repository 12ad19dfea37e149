"""Shards of which little is read at a time."""

import functools

import pytest

from rnnlm.tools.filtering import shards


@pytest.fixture
def small_chunks(monkeypatch):
    """Return a function that sets how many bytes of a shard are read at a time."""
    return functools.partial(monkeypatch.setattr, shards, "CHUNK_BYTES")
