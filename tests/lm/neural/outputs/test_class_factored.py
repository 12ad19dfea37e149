"""Class-factored softmax from its definition: the order of words, how classes are cut."""

import pytest
import torch

from rnnlm.errors import ModelError, SettingsError
from rnnlm.lm.neural.outputs import classes
from rnnlm.lm.neural.outputs.classes import ClassSoftmax, Slices, order_by_count, ranks
from support.operations import Operations
from support.output_layers import counts_of, make, ready


@pytest.mark.parametrize("mass, count, starts", [
    ([4, 2, 1, 1], 2, [0, 1]), ([2, 2, 2, 1, 1], 4, [0, 1, 2, 3]), ([10, 1, 1, 1], 3, [0, 1, 2]),
    ([1, 1, 1, 20], 2, [0, 3]), ([3, 2, 1], 1, [0]), ([3, 2, 1], 3, [0, 1, 2]),
])  # fmt: skip
def test_classes_are_cut_at_equal_mass_never_empty(mass, count, starts):
    assert classes.class_starts(torch.tensor(mass, dtype=torch.float64), count).tolist() == starts


def test_probabilities_are_class_times_within_class():
    layer = make("class", 11)
    order_V, sizes = layer.order_V.long(), layer.sizes
    assert counts_of(11)[order_V].tolist() == sorted(counts_of(11).tolist(), reverse=True)
    features_NE = torch.randn(4, 6)
    p_class = torch.softmax(features_NE @ layer.class_weight.T + layer.class_bias, dim=1)
    expected_NV, start = torch.empty(4, 11), 0
    for k, size in enumerate(sizes):
        words = slice(start, start + size)
        within = torch.softmax(features_NE @ layer.weight[words].T + layer.bias[words], dim=1)
        expected_NV[:, order_V[words]] = p_class[:, k : k + 1] * within
        start += size
    torch.testing.assert_close(layer.predict(features_NE).exp(), expected_NV)


def test_tied_weights_are_those_of_the_same_words():
    own, tied = make("class", 11), make("class", 11, tied=True)
    shared = own.state_dict()
    del shared["weight"]
    tied.load_state_dict(shared)
    word_VE = torch.empty_like(own.weight)
    word_VE[own.order_V.long()] = own.weight.detach()
    features_NE = torch.randn(4, 6)
    torch.testing.assert_close(tied.predict(features_NE, word_VE), own.predict(features_NE))


def test_training_computes_only_slices_of_the_targets_classes():
    layer = make("class", 50)
    rarest, commonest = layer.order_V[-1], layer.order_V[0]
    targets_N = torch.stack([rarest, commonest, rarest, rarest, torch.tensor(-1)]).long()
    features_NE = torch.randn(5, 6, dtype=torch.bfloat16, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16), Operations() as operations:
        layer.loss(features_NE, targets_N).backward()
    of_classes, *within = operations.results("_softmax")
    assert tuple(of_classes.shape) == (5, 7) and of_classes.dtype == torch.bfloat16
    assert [tuple(p_nC.shape) for p_nC in within] == [(1, layer.sizes[0]), (3, layer.sizes[-1])]
    # products of a few rows each, and of ever other shapes, took three times as long in bf16
    assert {p_nC.dtype for p_nC in within} == {torch.float32}
    assert features_NE.grad.dtype == torch.bfloat16
    whole = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: Slices.apply(x, slice(0, 1), slice(3, 5)), whole)


def test_more_classes_than_words_are_an_error():
    with pytest.raises(SettingsError, match="classes = 12 is more than the vocabulary's 11 words"):
        ClassSoftmax(11, 6, 12, False)


@pytest.mark.parametrize("starts", [[1, 4, 8], [0, 4, 4], [0, 8, 4], [0, 4, 11]])
def test_damaged_classes_are_an_error(starts):
    layer = make("class", 11)
    layer.starts_C = torch.tensor(starts, dtype=torch.int32)
    with pytest.raises(ModelError, match="classes are damaged"):
        layer.prepare()


def test_words_descend_by_count_in_classes_of_equal_share():
    order_V = order_by_count(torch.tensor([0, 7, 3, 7, 3]))
    assert order_V.tolist() == [1, 3, 2, 4, 0] and order_V.dtype == torch.int32
    assert ranks(order_V).tolist() == [4, 0, 2, 1, 3]
    order_N, counts = classes.rows_by_group(torch.tensor([3, 0, 1, 3, 0]), 3)
    assert order_N.tolist() == [1, 4, 2, 0, 3] and counts == [2, 1, 0, 2]
    counts_V = 1_000_000 // torch.arange(1, 2001)
    layer = ready(ClassSoftmax(2000, 3, None, False), counts_V)
    assert len(layer.sizes) == 45 and sum(layer.sizes) == 2000
    assert layer.sizes == sorted(layer.sizes) or max(layer.sizes) < 100
    mass = torch.stack([part.sum() for part in (counts_V + 0.5).sqrt().split(layer.sizes)])
    assert ((mass / mass.sum() * 45)[3:] - 1).abs().max() < 0.25


@pytest.mark.parametrize("order", [[0, 0, 2], [0, 1, 3], [-1, 0, 1]])
def test_an_order_not_a_permutation_is_an_error(order):
    with pytest.raises(ModelError, match="order of words is damaged"):
        ranks(torch.tensor(order, dtype=torch.int32))
