"""Training runs of a few steps, and what they leave."""

from pathlib import Path

import numpy as np

from rnnlm.lm.base import stored_model

SMALL = {
    "hidden_size": 8, "embedding_size": 6, "batch_rows": 4, "bptt_tokens": 10, "budget": "6steps",
    "device": "cpu", "precision": "fp32",
}  # fmt: skip


def write(path, content):
    path.write_text(content, encoding="utf-8")
    return path


def numbers(folder):
    """Return the weights of the model in that folder."""
    model, _ = stored_model.load(Path(folder), "cpu")
    return model.to_arrays()


def assert_equal(one, other):
    """Check that weights have the same names and values."""
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)
