"""Noise words come from the unigram distribution, the rarest too."""

import pytest
import torch

from rnnlm.errors import ModelError
from rnnlm.neural.outputs.base import unigram
from rnnlm.neural.outputs.noise import alias_table
from rnnlm.neural.outputs.sampled import SampledSoftmax
from support.output_layers import LAYERS, counts_of, ready


@pytest.mark.parametrize("p", [[1.0], [0.5, 0.5], [0.1, 0.2, 0.7], [0.0, 0.25, 0.75], [1e-9, 1 - 2e-9, 1e-9]])
def test_columns_hold_each_words_probability(p):
    keep, alias = alias_table(p)
    mass = [share for share in keep]
    for share, other in zip(keep, alias, strict=True):
        mass[other] += 1 - share
    assert [each / len(p) for each in mass] == pytest.approx(p, abs=1e-12)
    assert all(0 <= share <= 1 for share in keep)


def test_noise_follows_the_unigram_distribution():
    counts_V = counts_of(11)
    layer = ready(SampledSoftmax(11, 6, False, 200_000), counts_V)
    p_V = unigram(counts_V)
    torch.testing.assert_close(layer.log_noise_V, p_V.log().float(), atol=1e-5, rtol=1e-5)
    drawn_V = torch.bincount(layer.draw(), minlength=11) / 200_000
    assert ((drawn_V - p_V).abs() < 5 * (p_V * (1 - p_V) / 200_000).sqrt()).all()


def test_the_rarest_words_of_a_large_vocabulary_keep_their_probability():
    counts_V = torch.cat([torch.tensor([10**9]), torch.zeros(9999, dtype=torch.int64)])
    layer = ready(SampledSoftmax(10_000, 2, False, 1), counts_V)
    torch.testing.assert_close(layer.log_noise_V, unigram(counts_V).log().float(), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("name, value", [("alias_V", 11), ("alias_V", -1), ("keep_V", 1.5), ("keep_V", float("nan"))])
def test_a_damaged_table_is_an_error(name, value):
    layer = ready(LAYERS["nce"](11, False, 6), counts_of(11))
    getattr(layer, name)[3] = value
    with pytest.raises(ModelError, match="noise distribution is damaged"):
        layer.prepare()


@pytest.mark.parametrize("kind", ["sampled", "nce"])
def test_each_window_has_noise_of_its_own_from_torchs_generator(kind):
    layer = ready(LAYERS[kind](50, False, 6), counts_of(50))
    features_NE, targets_N = torch.randn(4, 6), torch.randint(50, (4,))
    losses = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        losses.append(layer.loss(features_NE, targets_N).item())
    assert losses[0] == losses[1] != losses[2]
