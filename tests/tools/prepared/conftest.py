"""Text that makes many pieces and several shards, and a way to prepare it."""

import pytest

import rnnlm
from rnnlm import corpora
from rnnlm.tools.prepared import preparation, shards

SHARD_BYTES = 20_000


@pytest.fixture
def small_shards(monkeypatch, chunk_bytes):
    """Limit shards and pieces to a few thousand bytes."""
    chunk_bytes(7_000)
    monkeypatch.setattr(shards, "SHARD_BYTES", SHARD_BYTES)
    monkeypatch.setattr(preparation, "SHARD_BYTES", SHARD_BYTES)
    monkeypatch.setattr(shards, "PIECE_BYTES", 3_000)


@pytest.fixture(scope="session")
def corpus_text():
    return corpora.part("english", "valid").read_text(encoding="utf-8")


@pytest.fixture
def text(tmp_path, corpus_text):
    path = tmp_path / "text.txt"
    path.write_text(corpus_text, encoding="utf-8")
    return path


@pytest.fixture
def prepared(tmp_path, text, small_shards):
    """Return a function that prepares `text` in a folder and returns the last event."""

    def prepare(name="prepared", source=text, **request):
        return list(rnnlm.prepare(source, tmp_path / name, **{"workers": 0, **request}))[-1]

    return prepare
