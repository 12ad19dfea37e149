"""GloVe against its equations."""

import numpy as np
import pytest
import torch

from rnnlm.text.tokenizer_settings import TokenizerSettings
from rnnlm.text.vectors import cooccurrences
from rnnlm.tools.vectors import gradient_methods
from rnnlm.tools.vectors.gradient_methods import Adagrad, Cells, glove_vectors, weights
from rnnlm.tools.vectors.word_vectors import word_stream
from support.tiny_models import Lines


def test_weights_are_equation_nine():
    found = weights(np.array([0.5, 5.0, 10.0, 25.0]))
    assert found == pytest.approx([0.05**0.75, 0.5**0.75, 1.0, 1.0])


def test_pairs_count_by_their_distance():
    stream = word_stream(Lines(["a b c", "a b"]), TokenizerSettings(), 1)
    counts = cooccurrences(
        stream.ids_N, stream.line_offsets, len(stream.words), 2, by_distance=True
    ).toarray()
    a, b, c = (stream.words.index(word) for word in "abc")
    assert counts[a, b] == counts[b, a] == 2 and counts[b, c] == 1 and counts[a, c] == 0.5


def test_one_step_is_adagrad_on_equation_eight(monkeypatch):
    """The first step from the vectors drawn by the seed, written out with autograd."""
    monkeypatch.setattr(gradient_methods, "LEAST_GLOVE_STEPS", 1)
    cells = Cells(np.array([0, 1, 1]), np.array([1, 0, 2]), np.array([3.0, 3.0, 200.0]))
    rate, size, width = 0.05, 3, 4
    found = glove_vectors(cells, size, width=width, epochs=1, learning_rate=rate, seed=2)
    draw = torch.Generator().manual_seed(2)
    values = ((torch.rand(2 * size, width, generator=draw) - 0.5) / width).requires_grad_()
    squares = torch.full_like(values, 1 / rate**2)
    total = torch.zeros_like(values)
    for i, j, x in zip(cells.words_N, cells.contexts_N, cells.counts_N, strict=True):
        error = values[i] @ values[size + j] - np.log(x)
        half = 0.5 * float(weights(np.array([x]))[0]) * error**2
        (gradient,) = torch.autograd.grad(half, values)
        squares += gradient**2
        total += gradient
    after = (values - total / squares.sqrt()).detach()
    np.testing.assert_allclose(found, (after[:size] + after[size:]).numpy(), rtol=1e-4, atol=1e-6)


def test_products_come_to_equal_log_counts(monkeypatch):
    """Counts of rank one are fitted exactly: a pair's product and biases are its log count."""
    factor = np.random.default_rng(1).uniform(1, 8, 6)
    i, j = np.nonzero(np.ones((6, 6)))
    cells = Cells(i, j, factor[i] * factor[j])
    kept = []
    real = Adagrad.__init__

    def watched(self, values, rate):
        real(self, values, rate)
        kept.append(self)

    monkeypatch.setattr(Adagrad, "__init__", watched)
    glove_vectors(cells, 6, width=4, epochs=30, learning_rate=0.1, seed=1)
    vectors, biases = kept[0].values, kept[1].values
    product = (vectors[i] * vectors[6 + j]).sum(1) + biases[i] + biases[6 + j]
    np.testing.assert_allclose(product.numpy(), np.log(cells.counts_N), atol=0.02)
