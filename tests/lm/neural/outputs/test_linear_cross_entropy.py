"""The chunked softmax cross-entropy against torch's own, in value, gradient and memory."""

import pytest
import torch
from torch.nn import functional as F

from rnnlm.lm.neural.outputs import softmax
from rnnlm.lm.neural.outputs.softmax import LinearCrossEntropy, likelihood_and_hits, log_likelihood
from support.operations import Operations
from support.output_layers import E, N, V, example, in_chunks


def torchs_own(features_NE, weight_VE, bias_V, targets_N):
    return F.cross_entropy(F.linear(features_NE, weight_VE, bias_V), targets_N, ignore_index=-1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("padded", [0, 4, N - 1])
@pytest.mark.parametrize("chunk", [1, 3, 5, N])
def test_loss_and_gradients_equal_torchs_cross_entropy(monkeypatch, chunk, padded, dtype):
    in_chunks(monkeypatch, chunk * V * 8)  # twice as many rows in fp32
    *inputs, targets_N = example(dtype, padded)
    ours, theirs = LinearCrossEntropy.apply(*inputs, targets_N), torchs_own(*inputs, targets_N)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)
    found, expected = (torch.autograd.grad(loss, inputs) for loss in (ours, theirs))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("padded", [0, N - 1])
def test_label_smoothing_equals_torchs(monkeypatch, padded):
    in_chunks(monkeypatch, 3 * V * 8)
    *inputs, targets_N = example(torch.float64, padded)
    ours = LinearCrossEntropy.apply(*inputs, targets_N, 0.3)
    theirs = F.cross_entropy(F.linear(*inputs), targets_N, ignore_index=-1, label_smoothing=0.3)
    torch.testing.assert_close(ours, theirs)
    found, expected = (torch.autograd.grad(loss, inputs) for loss in (ours, theirs))
    torch.testing.assert_close(found, expected)


def test_gradients_scale_with_what_comes_from_above_and_losses_stay_finite():
    *inputs, targets_N = example(torch.float64)
    loss = LinearCrossEntropy.apply(*inputs, targets_N)
    single = torch.autograd.grad(loss, inputs, retain_graph=True)
    tripled = torch.autograd.grad(3 * loss, inputs)
    torch.testing.assert_close([3 * one for one in single], list(tripled))
    features_NE, weight_VE = torch.tensor([[1000.0]], requires_grad=True), torch.eye(2)[:, :1]
    loss = LinearCrossEntropy.apply(features_NE, weight_VE, torch.zeros(2), torch.tensor([1]))
    assert 80 < loss.item() < 1001
    loss.backward()
    assert features_NE.grad.isfinite().all()


def test_autocast_decides_the_type_of_products():
    *inputs, targets_N = example()
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = LinearCrossEntropy.apply(*inputs, targets_N)
    given_in_bf16 = LinearCrossEntropy.apply(inputs[0].bfloat16(), *inputs[1:], targets_N)
    assert torch.equal(under_autocast, given_in_bf16)
    for gradient in torch.autograd.grad(under_autocast, inputs):
        assert gradient.dtype == torch.float32


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_mean_is_not_rounded_to_bf16(smoothing):
    """1 / 700 is 0.13 % off in bf16."""
    features_NE, weight_VE, bias_V = torch.randn(700, E) / 100, torch.randn(V, E), torch.zeros(V)
    targets_N = torch.randint(V, (700,))
    loss = LinearCrossEntropy.apply(features_NE.bfloat16(), weight_VE, bias_V, targets_N, smoothing)
    logits_NV = F.linear(features_NE, weight_VE, bias_V)
    theirs = F.cross_entropy(logits_NV, targets_N, label_smoothing=smoothing)
    torch.testing.assert_close(loss, theirs, atol=0, rtol=0.0005)


@pytest.mark.parametrize("count, most, rows", [
    (700, 1000, 700), (700, 500, 350), (1120, 536, 374), (5, 0, 1), (0, 10, 1),
])  # fmt: skip
def test_chunks_are_of_about_the_same_size(count, most, rows):
    assert softmax._even_rows(count, most) == rows


@pytest.mark.parametrize("size", [301, 304])
def test_logits_in_wide_rows_are_the_same_numbers(size):
    most = softmax.WIDE_BYTES // (4 * 304)  # rows of a part
    features, weight, bias = torch.randn(most + 10, 24), torch.randn(size, 24), torch.randn(size)
    expected = torch.mm(features, weight.t()).add_(bias)
    # parts of a product may be rounded in another order than the whole
    torch.testing.assert_close(softmax.logits_of(features, weight, bias), expected)


def test_no_chunk_holds_more_logits_than_allowed(monkeypatch):
    in_chunks(monkeypatch, 5 * V * 4)
    *inputs, targets_N = example()
    with Operations() as operations:
        LinearCrossEntropy.apply(*inputs, targets_N)
    assert [len(p_nV) for p_nV in operations.results("_softmax")] == [5, 5, 3]


def test_the_weight_gradient_is_not_copied():
    """At 250,000 words a copy of it takes as long as a tenth of the step."""
    *inputs, targets_N = example()
    loss = LinearCrossEntropy.apply(*inputs, targets_N)
    place = loss.grad_fn.saved_tensors[1].data_ptr()
    loss.backward()
    assert inputs[1].grad.data_ptr() == place


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("rows, columns", [(1, 1), (3, 1000), (40, 10007)])
def test_softmax_in_place_equals_torchs(rows, columns, dtype):
    logits = torch.randn(rows, columns).mul(3).to(dtype)
    expected = torch.softmax(logits, dim=1)
    given = logits.data_ptr()
    p = softmax.softmax_over_V(logits)
    assert p.data_ptr() == given
    assert torch.equal(p, expected)


def test_zero_rows_and_equal_logits_have_exact_losses():
    features_NE, weight_VE, bias_V, targets_N = example()
    loss = LinearCrossEntropy.apply(features_NE[:0], weight_VE, bias_V, targets_N[:0])
    assert loss.item() == 0
    assert not any(gradient.any() for gradient in torch.autograd.grad(loss, [weight_VE, bias_V]))
    # Beside 3e38, log V would be rounded off.
    features, weights, bias = torch.zeros(1, 2), torch.zeros(5, 2), torch.full((5,), 3e38)
    logprob = log_likelihood(features, weights, bias, torch.tensor([1]))
    torch.testing.assert_close(logprob, torch.log(torch.tensor([0.2])))


@pytest.mark.parametrize("rows, logits", [(1, 1), (3, 40), (7, 7), (1000, 1 << 20)])
@pytest.mark.parametrize("scale", [1, 40])
def test_scores_by_blocks_of_the_vocabulary_equal_the_plain_formula(
    monkeypatch, rows, logits, scale
):
    monkeypatch.setattr(softmax, "BLOCK_ROWS", rows)
    monkeypatch.setattr(softmax, "BLOCK_LOGITS", logits)
    features_NE, weight_VE, bias_V, targets_N = example(torch.float32, 4)
    features_NE, bias_V = features_NE.detach() * scale, bias_V.detach()
    weight_VE = weight_VE.detach().requires_grad_()
    # The likeliest word once as the target, and a word that is exactly as likely, in another block.
    weight_VE.data[V - 1], bias_V[V - 1] = weight_VE.data[0], bias_V[0]
    exact_NV = torch.log_softmax(F.linear(features_NE, weight_VE, bias_V).double(), dim=1)
    kept_N = targets_N >= 0
    targets_N = torch.where(kept_N & (torch.arange(N) % 2 == 0), exact_NV.argmax(1), targets_N)
    expected_N = exact_NV.gather(1, targets_N.clamp(min=0)[:, None])[:, 0] * kept_N

    logprob_N, is_likeliest_N = likelihood_and_hits(features_NE, weight_VE, bias_V, targets_N)
    torch.testing.assert_close(logprob_N.double(), expected_N, atol=2e-6 * scale, rtol=1e-6)
    is_largest_N = expected_N == exact_NV.max(dim=1).values
    assert is_likeliest_N.tolist() == (is_largest_N & kept_N).tolist()
    found, expected = (torch.autograd.grad(x.sum(), weight_VE) for x in (logprob_N, expected_N))
    torch.testing.assert_close(found, expected, atol=1e-5 * scale, rtol=1e-5)


def test_scores_stand_where_a_whole_part_of_the_vocabulary_is_impossible(monkeypatch):
    monkeypatch.setattr(softmax, "BLOCK_ROWS", 2)
    monkeypatch.setattr(softmax, "BLOCK_LOGITS", 8)  # four words at once
    features, weights = torch.zeros(3, 2), torch.zeros(12, 2)
    bias = torch.zeros(12).index_fill(0, torch.arange(4), -torch.inf)
    logprob, is_likeliest = likelihood_and_hits(features, weights, bias, torch.tensor([0, 4, 11]))
    torch.testing.assert_close(logprob.exp(), torch.tensor([0, 1 / 8, 1 / 8]))
    assert is_likeliest.tolist() == [False, True, True]
