"""Training on noise words: how they are drawn, and both losses against transcriptions."""

import numpy as np
import pytest
import torch

from rnnlm.errors import ModelError
from rnnlm.lm.neural.outputs import sampled
from rnnlm.lm.neural.outputs.sampled import NoiseContrastiveSoftmax, SampledSoftmax
from rnnlm.lm.neural.outputs.softmax import unigram
from support.operations import Operations
from support.output_layers import LAYERS, counts_of, gradients, plain_loss, ready, window

V = 11


def make(kind, samples, dtype=torch.float64):
    return ready(kind(V, 6, False, samples), counts_of(V), dtype)


@pytest.mark.parametrize("p", [
    [1.0], [0.5, 0.5], [0.1, 0.2, 0.7], [0.0, 0.25, 0.75], [1e-9, 1 - 2e-9, 1e-9],
])  # fmt: skip
def test_columns_hold_each_words_probability(p):
    keep, alias = sampled.alias_table(p)
    mass = list(keep)
    for share, other in zip(keep, alias, strict=True):
        mass[other] += 1 - share
    assert [each / len(p) for each in mass] == pytest.approx(p, abs=1e-12)
    assert all(0 <= share <= 1 for share in keep)


def test_contrastive_noise_follows_the_unigram_and_starts_normalised():
    counts_V = counts_of(11)
    layer = ready(NoiseContrastiveSoftmax(11, 6, False, 200_000), counts_V)
    p_V = unigram(counts_V)
    expected_V = (200_000 * p_V).log().float()
    torch.testing.assert_close(layer.expected_V.log(), expected_V, atol=1e-5, rtol=1e-5)
    drawn_V = torch.bincount(layer.draw(), minlength=11) / 200_000
    assert ((drawn_V - p_V).abs() < 5 * (p_V * (1 - p_V) / 200_000).sqrt()).all()
    layer = NoiseContrastiveSoftmax(V, 6, False, 8)
    layer.arrange(counts_of(V))
    torch.testing.assert_close(layer.bias.exp().sum(), torch.tensor(1.0))


@pytest.mark.parametrize(
    "samples", [1, 49, *(pytest.param(few, marks=pytest.mark.soak) for few in (4, 40, 48))]
)
def test_sampled_words_are_distinct_with_expected_frequency(samples):
    layer = ready(SampledSoftmax(50, 6, False, samples), counts_of(50))
    with Operations() as operations:
        draws = torch.stack([layer.draw() for _ in range(300)])
    # running sums are integers, as deterministic CUDA needs
    assert {given[0].dtype for given in operations.arguments("cumsum")} == {torch.int64}
    assert all(len(row.unique()) == samples for row in draws)
    expected_V = layer.expected_V
    drawn_V = torch.bincount(draws.flatten(), minlength=50) / 300
    deviation_V = (expected_V * (1 - expected_V) / 300).sqrt()
    assert ((drawn_V - expected_V).abs() <= 5 * deviation_V + 1e-12).all()


@pytest.mark.parametrize("size, count", [
    (3, 1), (50, 4), (50, 49), (50, 50), (10_000, 1024), (10_000, 9999),
])  # fmt: skip
def test_inclusion_below_one_is_proportional_to_frequency(size, count):
    p_V = unigram(counts_of(size))
    pi_V = sampled.inclusion(p_V, count)
    assert pi_V.sum().item() == pytest.approx(count, rel=1e-12)
    below = pi_V < 1
    factor = (pi_V / p_V)[below]
    assert count == size or (factor - factor[0]).abs().max() <= 1e-9 * factor[0]
    assert (factor.max() * p_V[~below] >= 1 - 1e-9).all() if below.any() else count == size


@pytest.mark.parametrize("kind", [SampledSoftmax, NoiseContrastiveSoftmax])
def test_the_rarest_words_keep_their_probability(kind):
    counts_V = torch.cat([torch.tensor([10**9]), torch.zeros(9999, dtype=torch.int64)])
    layer = ready(kind(10_000, 2, False, 1), counts_V)
    expected_V = unigram(counts_V).log().float()
    torch.testing.assert_close(layer.expected_V.log(), expected_V, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("name, value", [
    ("alias_V", 11), ("alias_V", -1), ("keep_V", 1.5), ("keep_V", float("nan")),
])  # fmt: skip
def test_a_damaged_table_is_an_error(name, value):
    layer = ready(LAYERS["nce"](11, False, 6), counts_of(11))
    getattr(layer, name)[3] = value
    with pytest.raises(ModelError, match="noise distribution is damaged"):
        layer.prepare()


@pytest.mark.parametrize("kind", ["sampled", "nce"])
def test_each_window_draws_noise_from_torchs_generator(kind):
    layer = ready(LAYERS[kind](50, False, 6), counts_of(50))
    features_NE, targets_N = torch.randn(4, 6), torch.randint(50, (4,))
    losses = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        losses.append(layer.loss(features_NE, targets_N).item())
    assert losses[0] == losses[1] != losses[2]


def test_the_sampled_loss_equals_a_transcription():
    layer, (features_NE, targets_N) = make(SampledSoftmax, 4), window(V, dtype=torch.float64)
    noise = [4, 1, 7, 0]
    layer.draw = lambda: torch.tensor(noise)
    h, W, b = (each.detach().numpy() for each in (features_NE, layer.weight, layer.bias))
    expected = layer.expected_V.numpy()
    losses = []
    for row, target in zip(h, targets_N.tolist(), strict=True):
        if target >= 0:
            words = [target, *(set(noise) - {target})]
            corrected = W[words] @ row + b[words] - np.log(expected[words])
            losses.append(np.log(np.exp(corrected).sum()) - corrected[0])
    found = layer.loss(features_NE, targets_N).item()
    np.testing.assert_allclose(found, np.mean(losses), rtol=1e-5)


@pytest.mark.parametrize("samples", [V, 100_000])
def test_sampling_all_words_gives_the_full_softmax(samples):
    layer, (features_NE, targets_N) = make(SampledSoftmax, samples), window(V, dtype=torch.float64)
    ours, full = layer.loss(features_NE, targets_N), plain_loss(layer, features_NE, targets_N)
    torch.testing.assert_close(ours, full, atol=1e-12, rtol=1e-12)
    found, expected = (gradients(each, layer, features_NE) for each in (ours, full))
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)


def test_sampled_softmax_is_optimal_at_the_texts_distribution():
    """The correction: with noise words, the gradient still vanishes where the model is right."""
    layer, p_V = make(SampledSoftmax, 3), torch.softmax(torch.randn(V, dtype=torch.float64), dim=0)
    targets_N = torch.arange(V).repeat_interleave((400 * p_V).round().long() + 1)
    p_V = torch.bincount(targets_N).double() / len(targets_N)
    features_NE = torch.zeros(len(targets_N), 6, dtype=torch.float64)

    def mean_gradient(bias_V):
        with torch.no_grad():
            layer.weight.zero_()
            layer.bias.copy_(bias_V)
        losses = (layer.loss(features_NE, targets_N) for _ in range(300))
        return torch.stack([gradients(loss, layer)["bias"] for loss in losses]).mean(dim=0)

    assert mean_gradient(p_V.log()).abs().max() < 0.02
    assert mean_gradient(torch.zeros(V)).abs().max() > 0.05


def test_the_contrastive_loss_equals_a_transcription():
    layer = make(NoiseContrastiveSoftmax, 6)
    features_NE, targets_N = window(V, dtype=torch.float64)
    noise = [4, 1, 4, 7, 0, 1]
    layer.draw = lambda: torch.tensor(noise)
    h, W, b = (each.detach().numpy() for each in (features_NE, layer.weight, layer.bias))
    q = unigram(counts_of(V)).numpy()

    def p_true(row, word):
        model = np.exp(W[word] @ row + b[word])
        return model / (model + 6 * q[word])

    losses = []
    for row, target in zip(h, targets_N.tolist(), strict=True):
        if target >= 0:
            of_noise = sum(np.log(1 - p_true(row, word)) for word in noise)
            losses.append(-np.log(p_true(row, target)) - of_noise)
    found = layer.loss(features_NE, targets_N).item()
    np.testing.assert_allclose(found, np.mean(losses), rtol=1e-6)


def test_much_noise_approaches_the_maximum_likelihood_gradient():
    layer = make(NoiseContrastiveSoftmax, 200_000)
    features_NE, targets_N = window(V, dtype=torch.float64)
    p_V = torch.softmax(torch.randn(V, dtype=torch.float64), dim=0)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.copy_(p_V.log())
    ours = gradients(layer.loss(features_NE, targets_N), layer)
    for name, gradient in gradients(plain_loss(layer, features_NE, targets_N), layer).items():
        assert (ours[name] - gradient).norm() < 0.03 * gradient.norm(), name
