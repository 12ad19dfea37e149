"""NCE against a transcription, and its gradient against maximum likelihood's."""

import numpy as np
import torch

from rnnlm.neural.outputs.base import unigram
from rnnlm.neural.outputs.noise_contrastive import NoiseContrastiveSoftmax
from support.output_layers import counts_of, gradients, plain_loss, ready, window

V = 11


def make(samples):
    return ready(NoiseContrastiveSoftmax(V, 6, False, samples), counts_of(V), torch.float64)


def test_loss_equals_a_transcription(monkeypatch):
    layer, (features_NE, targets_N) = make(6), window(V, dtype=torch.float64)
    noise = [4, 1, 4, 7, 0, 1]
    monkeypatch.setattr(layer, "draw", lambda: torch.tensor(noise))
    h, W, b = features_NE.detach().numpy(), layer.weight.detach().numpy(), layer.bias.detach().numpy()
    q = unigram(counts_of(V)).numpy()

    def p_true(row, word):
        model = np.exp(W[word] @ row + b[word])
        return model / (model + 6 * q[word])

    kept = [(row, target) for row, target in zip(h, targets_N.tolist(), strict=True) if target >= 0]
    losses = [-np.log(p_true(row, target)) - sum(np.log(1 - p_true(row, word)) for word in noise) for row, target in kept]
    np.testing.assert_allclose(layer.loss(features_NE, targets_N).item(), np.mean(losses), rtol=1e-6)


def test_with_much_noise_the_gradient_of_a_normalised_model_is_maximum_likelihoods():
    layer, (features_NE, targets_N) = make(200_000), window(V, dtype=torch.float64)
    p_V = torch.softmax(torch.randn(V, dtype=torch.float64), dim=0)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.copy_(p_V.log())
    ours = gradients(layer.loss(features_NE, targets_N), layer)
    full = gradients(plain_loss(layer, features_NE, targets_N), layer)
    for name, gradient in full.items():
        assert (ours[name] - gradient).norm() < 0.03 * gradient.norm(), name


def test_it_starts_normalised():
    layer = NoiseContrastiveSoftmax(V, 6, False, 8)
    layer.arrange(counts_of(V))
    torch.testing.assert_close(layer.bias.exp().sum(), torch.tensor(1.0))
