"""The chunked softmax cross-entropy against torch's own, in value and gradient."""

import pytest
import torch
from torch.nn import functional as F

from rnnlm.neural import output
from rnnlm.neural.output import LinearCrossEntropy, SoftmaxOutput, log_likelihood

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


def torchs_own(features_NE, weight_VE, bias_V, targets_N):
    return F.cross_entropy(F.linear(features_NE, weight_VE, bias_V), targets_N, ignore_index=-1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("padded", [0, 4, N - 1])
@pytest.mark.parametrize("chunk", CHUNKS)
def test_loss_and_gradients_equal_torchs_cross_entropy(monkeypatch, chunk, padded, dtype):
    monkeypatch.setattr(output, "CHUNK_LOGITS", chunk)
    *inputs, targets_N = example(dtype, padded)
    ours, theirs = LinearCrossEntropy.apply(*inputs, targets_N), torchs_own(*inputs, targets_N)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)
    for mine, other in zip(torch.autograd.grad(ours, inputs), torch.autograd.grad(theirs, inputs), strict=True):
        torch.testing.assert_close(mine, other, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("chunk", [V, 1 << 22])
def test_all_padding_costs_nothing_and_moves_nothing(monkeypatch, chunk):
    monkeypatch.setattr(output, "CHUNK_LOGITS", chunk)
    *inputs, targets_N = example(padded=N)
    loss = LinearCrossEntropy.apply(*inputs, targets_N)
    assert loss.item() == 0
    assert not any(gradient.any() for gradient in torch.autograd.grad(loss, inputs))


@pytest.mark.parametrize("chunk", [3 * V, 1 << 22])
def test_gradients_equal_finite_differences(monkeypatch, chunk):
    monkeypatch.setattr(output, "CHUNK_LOGITS", chunk)
    *inputs, targets_N = example(torch.float64)
    assert torch.autograd.gradcheck(lambda *given: LinearCrossEntropy.apply(*given, targets_N), inputs)


def test_gradient_is_scaled_by_what_comes_from_above():
    *inputs, targets_N = example(torch.float64)
    single = torch.autograd.grad(LinearCrossEntropy.apply(*inputs, targets_N), inputs)
    tripled = torch.autograd.grad(3 * LinearCrossEntropy.apply(*inputs, targets_N), inputs)
    for one, three in zip(single, tripled, strict=True):
        torch.testing.assert_close(3 * one, three)


def test_tied_weights_get_the_gradient_of_both_uses():
    torch.manual_seed(6)
    weight_VE = torch.randn(V, E, dtype=torch.float64, requires_grad=True)
    bias_V = torch.zeros(V, dtype=torch.float64)
    inputs_N, targets_N = torch.randint(V, (N,)), torch.randint(V, (N,))

    def gradient(cross_entropy):
        return torch.autograd.grad(cross_entropy(torch.tanh(F.embedding(inputs_N, weight_VE)), weight_VE, bias_V, targets_N), weight_VE)[0]

    torch.testing.assert_close(gradient(LinearCrossEntropy.apply), gradient(torchs_own))


def test_bf16_features_are_close_to_fp32():
    features_NE, weight_VE, bias_V, targets_N = example()
    exact = torchs_own(features_NE, weight_VE, bias_V, targets_N)
    rough = LinearCrossEntropy.apply(features_NE.bfloat16(), weight_VE, bias_V, targets_N)
    assert rough.dtype == torch.float32
    assert abs(rough.item() - exact.item()) < 0.02 * exact.item()
    rough_gradients = torch.autograd.grad(rough, [features_NE, weight_VE, bias_V])
    for mine, other in zip(rough_gradients, torch.autograd.grad(exact, [features_NE, weight_VE, bias_V]), strict=True):
        assert mine.dtype == torch.float32
        assert (mine - other).norm() < 0.02 * other.norm()


def test_a_target_of_vanishing_probability_gives_a_finite_loss():
    features_NE = torch.tensor([[1000.0]], requires_grad=True)
    loss = LinearCrossEntropy.apply(features_NE, torch.tensor([[1.0], [0.0]]), torch.zeros(2), torch.tensor([1]))
    assert 80 < loss.item() < 1001
    loss.backward()
    assert features_NE.grad.isfinite().all()


@pytest.mark.parametrize("chunk", CHUNKS)
def test_log_likelihood_equals_torchs_chunk_by_chunk(monkeypatch, chunk):
    monkeypatch.setattr(output, "CHUNK_LOGITS", chunk)
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
