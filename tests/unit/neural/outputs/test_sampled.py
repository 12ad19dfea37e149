"""Sampled softmax against a transcription, and against the full softmax as samples grow."""

import numpy as np
import torch

from rnnlm.neural.outputs.base import unigram
from rnnlm.neural.outputs.sampled import SampledSoftmax
from support.output_layers import counts_of, gradients, plain_loss, ready, window

V = 11


def make(samples, dtype=torch.float64):
    return ready(SampledSoftmax(V, 6, False, samples), counts_of(V), dtype)


def test_loss_equals_a_transcription(monkeypatch):
    layer, (features_NE, targets_N) = make(6), window(V, dtype=torch.float64)
    noise = [4, 1, 4, 7, 0, 1]
    monkeypatch.setattr(layer, "draw", lambda: torch.tensor(noise))
    h, W, b = features_NE.detach().numpy(), layer.weight.detach().numpy(), layer.bias.detach().numpy()
    expected = 1 - (1 - unigram(counts_of(V)).numpy()) ** 6  # chance to be among six
    losses = []
    for row, target in zip(h, targets_N.tolist(), strict=True):
        if target >= 0:
            words = [target, *(set(noise) - {target})]
            corrected = W[words] @ row + b[words] - np.log(expected[words])
            losses.append(np.log(np.exp(corrected).sum()) - corrected[0])
    np.testing.assert_allclose(layer.loss(features_NE, targets_N).item(), np.mean(losses), rtol=1e-5)


def test_with_all_words_drawn_it_is_the_full_softmax():
    layer, (features_NE, targets_N) = make(100_000), window(V, dtype=torch.float64)
    assert set(layer.draw().tolist()) == set(range(V))
    ours, full = layer.loss(features_NE, targets_N), plain_loss(layer, features_NE, targets_N)
    torch.testing.assert_close(ours, full, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(gradients(ours, layer, features_NE), gradients(full, layer, features_NE), atol=1e-6, rtol=1e-6)


def test_its_optimum_is_the_distribution_of_the_text_whatever_the_samples():
    """The correction's purpose: with three noise words in eleven, the gradient still vanishes where the model is right."""
    layer, p_V = make(3), torch.softmax(torch.randn(V, dtype=torch.float64), dim=0)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.copy_(p_V.log())
    targets_N = torch.multinomial(p_V, 4000, replacement=True)
    features_NE = torch.zeros(4000, 6, dtype=torch.float64)
    mean = torch.stack([gradients(layer.loss(features_NE, targets_N), layer)["bias"] for _ in range(300)]).mean(dim=0)
    assert mean.abs().max() < 0.015
    with torch.no_grad():
        layer.bias.zero_()
    off = torch.stack([gradients(layer.loss(features_NE, targets_N), layer)["bias"] for _ in range(300)]).mean(dim=0)
    assert off.abs().max() > 0.05
