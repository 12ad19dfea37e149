"""The full softmax: score and predict agree, a chunk at a time or at once."""

import pytest
import torch

from rnnlm.neural import output
from rnnlm.neural.output import SoftmaxOutput

N, E, V = 13, 6, 17
CHUNKS = [1, V, 3 * V, 5 * V + 3, 1 << 22]  # logits at once: a row, three rows, five, all


def example(dtype=torch.float32, padded=4):
    torch.manual_seed(5)
    features_NE = torch.randn(N, E, dtype=dtype, requires_grad=True)
    weight_VE = torch.randn(V, E, dtype=dtype, requires_grad=True)
    bias_V = torch.randn(V, dtype=dtype, requires_grad=True)
    targets_N = torch.randint(V, (N,))
    targets_N[torch.randperm(N)[:padded]] = -1
    return features_NE, weight_VE, bias_V, targets_N


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("tied", [True, False])
def test_score_equals_predict_at_the_target(monkeypatch, chunk, tied):
    monkeypatch.setattr(output, "CHUNK_LOGITS", chunk)
    features_NE, weight_VE, bias_V, targets_N = example()
    layer = SoftmaxOutput(V, E, tied)
    with torch.no_grad():
        layer.bias.copy_(bias_V)
        predicted_NV = layer.predict(features_NE, weight_VE)
        scored_N = layer.score(features_NE, weight_VE, targets_N)
    expected_N = predicted_NV.gather(1, targets_N.clamp(min=0)[:, None])[:, 0]
    kept_N = targets_N >= 0
    torch.testing.assert_close(scored_N[kept_N], expected_N[kept_N], atol=1e-6, rtol=1e-6)
    assert not scored_N[~kept_N].any()
    torch.testing.assert_close(predicted_NV.exp().sum(dim=1), torch.ones(N))


def test_mean_of_scores_is_minus_the_loss():
    features_NE, weight_VE, bias_V, targets_N = example(torch.float64)
    layer = SoftmaxOutput(V, E, tied=True).double()
    with torch.no_grad():
        layer.bias.copy_(bias_V)
    loss = layer.loss(features_NE, weight_VE, targets_N)
    torch.testing.assert_close(-layer.score(features_NE, weight_VE, targets_N).sum() / (targets_N >= 0).sum(), loss)
