"""Mixture of softmaxes: its formula in numpy, latent dropout, what a chunk holds."""

import numpy as np
import pytest
import torch

from rnnlm.lm.neural.outputs import softmax
from rnnlm.lm.neural.outputs.softmax import MixtureOfSoftmaxes
from support.operations import Operations
from support.output_layers import E, V, counts_of, gradients, in_chunks, ready, window

F = 9  # width of what the layer reads, other than that of the word vectors


def make(components, tied=False, dtype=torch.float64, dropout_latent=0.0, locked=False):
    layer = MixtureOfSoftmaxes(V, F, tied, E, components, dropout_latent, locked)
    return ready(layer, counts_of(V), dtype)


def transcribed(layer, features_NF):
    """Return the probabilities (N, V), place by place and component by component in numpy."""
    values = {name: value.detach().numpy() for name, value in layer.state_dict().items()}
    latent_KEF = values["latent_weight"].reshape(-1, E, F)
    latent_KE = values["latent_bias"].reshape(-1, E)
    rows = []
    for g in features_NF.detach().numpy():
        odds = np.exp(values["prior_weight"] @ g)
        p_V = np.zeros(V)
        for k, odd in enumerate(odds):
            latent_E = np.tanh(latent_KEF[k] @ g + latent_KE[k])
            scores = np.exp(values["weight"] @ latent_E + values["bias"])
            p_V += odd / odds.sum() * scores / scores.sum()
        rows.append(p_V)
    return np.stack(rows)


@pytest.mark.parametrize("components", [1, 2, 5])
def test_probabilities_are_those_of_the_formula(components):
    layer, (features_NF, targets_N) = make(components), window(V, dtype=torch.float64, width=F)
    expected_NV = transcribed(layer, features_NF)
    predicted_NV = layer.predict(features_NF).exp().detach().numpy()
    np.testing.assert_allclose(predicted_NV, expected_NV, rtol=1e-10)
    kept = (targets_N >= 0).numpy()
    chosen = np.log(expected_NV[np.arange(len(kept)), targets_N.clamp(min=0).numpy()])
    scores_N = layer.score(features_NF, targets_N).detach().numpy()
    np.testing.assert_allclose(scores_N, chosen * kept, rtol=1e-10)
    loss = layer.loss(features_NF, targets_N).item()
    assert loss == pytest.approx(-chosen[kept].mean(), rel=1e-10)


@pytest.mark.parametrize("rows", [1, 3, 4, 100])
def test_chunk_size_changes_neither_loss_nor_gradients(monkeypatch, rows):
    layer, (features_NF, targets_N) = make(4), window(V, dtype=torch.float64, width=F)
    whole = layer.loss(features_NF, targets_N)
    expected = gradients(whole, layer, features_NF)
    in_chunks(monkeypatch, rows * 4 * V * 8)
    chunked = layer.loss(features_NF, targets_N)
    torch.testing.assert_close(chunked, whole)
    torch.testing.assert_close(gradients(chunked, layer, features_NF), expected)


def test_only_one_chunks_logits_exist_at_once(monkeypatch):
    in_chunks(monkeypatch, 5 * 3 * V * 8)
    layer, (features_NF, targets_N) = make(3), window(V, dtype=torch.float64, width=F)
    with Operations() as operations:
        layer.loss(features_NF, targets_N)
    chunks = [p for p in operations.results("_softmax") if p.shape[-1] == V]
    assert len(chunks) == 4 and max(p.numel() for p in chunks) <= 5 * 3 * V


def test_a_word_ruled_out_everywhere_stays_finite():
    layer, (features_NF, targets_N) = make(3, dtype=torch.float32), window(V, width=F, padded=0)
    with torch.no_grad():
        layer.bias[targets_N[0]] = -500.0
    loss = layer.loss(features_NF, targets_N)
    assert loss.isfinite()
    for gradient in gradients(loss, layer, features_NF).values():
        assert gradient.isfinite().all()


@pytest.mark.parametrize("locked", [False, True])
def test_latent_dropout_acts_in_training_locked_per_row(monkeypatch, locked):
    T, B, K = 6, 4, 3
    layer = make(K, dropout_latent=0.5, locked=locked).train()
    seen, cross_entropy = [], softmax.MixtureCrossEntropy
    original = cross_entropy.apply
    monkeypatch.setattr(
        cross_entropy, "apply", lambda *given: seen.append(given[0]) or original(*given)
    )
    features_TBF, targets_TB = torch.randn(T, B, F, dtype=torch.float64), torch.randint(V, (T, B))
    layer.window_loss(features_TBF, targets_TB)
    layer.eval().window_loss(features_TBF, targets_TB)
    dropped, whole = (part.detach().view(T, B, K, E) for part in seen)
    kept = dropped != 0
    assert 0.2 < kept.double().mean() < 0.8
    torch.testing.assert_close(dropped, 2 * whole * kept)
    assert (kept == kept[:1]).all().item() == locked  # the same at all places
    # and different over rows and components
    assert not (kept == kept[:, :1]).all() and not (kept == kept[:, :, :1]).all()
