"""What tests of counting by workers share: limits for small texts, and a model as hashes of its
files."""

import hashlib
from pathlib import Path

from rnnlm import system
from rnnlm.ngram.counting import crew, room
from rnnlm.text.prepared import preparation


def lower_limits(monkeypatch) -> None:
    """Let a small text have several shards and ranges, and any memory be enough."""
    monkeypatch.setattr(crew, "LEAST_SHARD", 5000)
    monkeypatch.setattr(crew, "LEAST_ENTRIES", 20_000)
    monkeypatch.setattr(system, "private_bytes", lambda: 0)
    for name in ("LEAST_BYTES", "BYTES_PER_WORD", "COUNTED_PER_WORD"):
        monkeypatch.setattr(room, name, 0)
    for name in ("LEAST_MEMORY", "LIBRARY_BYTES", "SHARDS_BYTES"):
        monkeypatch.setattr(preparation, name, 0)
    monkeypatch.setattr(preparation, "THREAD_SHARE", 1e-3)


def model_files(folder: Path) -> dict[str, str]:
    """Return the hashes of the files that make up a model."""
    found = {}
    for path in sorted(folder.glob("weights-*")) + [folder / "vocab.txt"]:
        found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found
