"""The full softmax: score and predict agree, a chunk at a time or at once."""

import pytest
import torch
from torch.nn import functional as F

from rnnlm.neural.outputs import softmax
from rnnlm.neural.outputs.softmax import SoftmaxOutput, log_likelihood
from support.output_layers import E, V, example

CHUNKS = [1, V, 3 * V, 5 * V + 3, 1 << 22]  # logits at once: a row, three rows, five, all


@pytest.mark.parametrize("chunk", CHUNKS)
def test_log_likelihood_equals_torchs_chunk_by_chunk(monkeypatch, chunk):
    monkeypatch.setattr(softmax, "CHUNK_LOGITS", chunk)
    *inputs, targets_N = example()
    expected_N = -F.cross_entropy(F.linear(*inputs), targets_N, ignore_index=-1, reduction="none")
    torch.testing.assert_close(log_likelihood(*inputs, targets_N), expected_N)


def test_a_tied_layer_has_no_weight_and_computes_with_the_word_vectors():
    features_NE, weight_VE, bias_V, targets_N = example()
    tied, own = SoftmaxOutput(V, E, tied=True), SoftmaxOutput(V, E, tied=False)
    assert tied.weight is None and list(tied.state_dict()) == ["bias"] and tied.matrices() == []
    with torch.no_grad():
        own.weight.copy_(weight_VE)
        for layer in (tied, own):
            layer.bias.copy_(bias_V)
    assert torch.equal(tied.predict(features_NE, weight_VE), own.predict(features_NE))
    assert torch.equal(tied.loss(features_NE, targets_N, weight_VE), own.loss(features_NE, targets_N))
