"""Adaptive softmax against torch's own; its cut-offs."""

import math
from itertools import pairwise

import pytest
import torch

from rnnlm.errors import SettingsError
from rnnlm.lm.neural.outputs.classes import AdaptiveSoftmax
from rnnlm.lm.neural.shapes import cluster_width, default_cutoffs
from support.output_layers import ready

V, E = 50, 64


@pytest.fixture
def both():
    """Return our layer and torch's with the same weights. torch's ids are our ranks."""
    theirs = torch.nn.AdaptiveLogSoftmaxWithLoss(E, V, [10, 25], div_value=2.0, head_bias=True)
    counts_V = torch.randperm(V, generator=torch.Generator().manual_seed(1))
    ours = ready(AdaptiveSoftmax(V, E, (10, 25), 2.0), counts_V)
    with torch.no_grad():
        ours.head_weight.copy_(theirs.head.weight)
        ours.head_bias.copy_(theirs.head.bias)
        for i, (project, out) in enumerate(theirs.tail):
            ours.projections[i].copy_(project.weight)
            ours.weights[i].copy_(out.weight)
            ours.biases[i].zero_()
    return ours, theirs, V - 1 - counts_V  # each word's rank


def test_loss_scores_and_predictions_equal_torchs(both):
    ours, theirs, rank_V = both
    features_NE, targets_N = torch.randn(40, E), torch.randint(V, (40,))
    scored_N, loss = theirs(features_NE, rank_V[targets_N])
    torch.testing.assert_close(ours.loss(features_NE, targets_N), loss)
    torch.testing.assert_close(ours.score(features_NE, targets_N), scored_N)
    torch.testing.assert_close(ours.predict(features_NE), theirs.log_prob(features_NE)[:, rank_V])


def test_tails_get_narrower_within_bounds():
    layer = AdaptiveSoftmax(100, 256, (10, 20, 50), 4.0)
    assert [tuple(weight.shape) for weight in layer.weights] == [(10, 64), (30, 16), (50, 16)]
    assert layer.head_weight.shape == (13, 256)
    assert cluster_width(8, 4.0, 2) == 8 and cluster_width(256, 1.0, 3) == 256


@pytest.mark.parametrize("cutoffs", [(0, 10), (10, 10), (20, 10), (10, 50), (60,)])
def test_cutoffs_not_ascending_within_the_vocabulary_are_errors(cutoffs):
    message = f"cutoffs = {cutoffs[0]}.*below the vocabulary's 50 words.*leave cutoffs out"
    with pytest.raises(SettingsError, match=message):
        AdaptiveSoftmax(V, E, cutoffs, 4.0)


def zipf_columns(size, cutoffs, shrink):
    """Return how many columns of full width a token costs on average, with Zipf's counts."""
    p = [1 / rank for rank in range(1, size + 1)]
    cost = cutoffs[0]
    for i, (start, end) in enumerate(pairwise((*cutoffs, size)), start=1):
        cost += sum(p[start:end]) / sum(p) * (end - start) / shrink**i
    return cost


@pytest.mark.parametrize("size, cutoffs", [
    (2, ()), (11, ()), (4096, ()), (10_000, (2048, 4525)), (250_000, (5028, 35454)),
])  # fmt: skip
def test_default_cutoffs(size, cutoffs):
    assert default_cutoffs(size, 4.0) == cutoffs


def test_default_cutoffs_are_near_what_costs_least():
    head, second = default_cutoffs(250_000, 4.0)
    cost = zipf_columns(250_000, (head, second), 4.0)
    assert cost < 250_000 / 25
    assert cost < 0.5 * zipf_columns(250_000, (head,), 4.0)
    third = (head, round(math.sqrt(head * second)), second)
    assert head > 0.5 * cost > 0.5 * zipf_columns(250_000, third, 4.0) > 0.35 * cost
    single = zipf_columns(250_000, (head,), 4.0)
    assert single < min(zipf_columns(250_000, (other,), 4.0) for other in (head // 3, 3 * head))


@pytest.mark.parametrize("shrink", [1.0, 4.0, 100.0])
@pytest.mark.parametrize("size", [4097, 5000, 30_000, 1_000_000])
def test_default_cutoffs_are_valid_for_every_vocabulary(size, shrink):
    assert all(start < end for start, end in pairwise((0, *default_cutoffs(size, shrink), size)))
