"""The products of a step are recorded as they are done, forward and backward, and can be
repeated."""

import pytest
import torch

from rnnlm.benchmarks.textbook import BareProducts


def test_products_are_recorded_with_shapes_and_types():
    x, weight = torch.randn(5, 3), torch.randn(4, 3, requires_grad=True)
    bias = torch.randn(4)
    with BareProducts() as recorded:
        torch.addmm(bias, x, weight.t()).sum().backward()
    shapes = [(product.left.size, product.right.size) for product in recorded.products]
    assert shapes == [((5, 3), (3, 4)), ((3, 5), (5, 4))] or shapes == [
        ((5, 3), (3, 4)),
        ((4, 5), (5, 3)),
    ]
    assert all(
        product.left.dtype == torch.float32 and not product.batched for product in recorded.products
    )


@pytest.mark.parametrize("layer", [torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM])
@pytest.mark.parametrize("bf16", [False, True])
def test_torchs_recurrent_layers_are_taken_apart(layer, bf16):
    """Forward one product for all inputs and one a step; backward at least as many."""
    before = torch._C._get_mkldnn_enabled(), torch.backends.cudnn.enabled
    with BareProducts() as recorded, torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        y_TBH, _ = layer(3, 4)(torch.randn(5, 2, 3))
        y_TBH.sum().backward()
    rows = [product.left.size[0] for product in recorded.products]
    forward = 1 + 5
    assert rows[:forward] == [10, 2, 2, 2, 2, 2] and len(rows) >= 2 * forward
    assert before == (torch._C._get_mkldnn_enabled(), torch.backends.cudnn.enabled)


def test_what_is_no_product_is_not_recorded():
    with BareProducts() as recorded:
        torch.randn(3, 3).tanh().sum()
    assert recorded.products == []


def test_recorded_products_are_repeated_in_their_layout():
    left, right = torch.randn(2, 6).t(), torch.randn(2, 4).to(torch.bfloat16)
    with BareProducts() as recorded:
        torch.mm(left, right.float())
        torch.mm(left.to(torch.bfloat16), right)
        torch.bmm(torch.randn(3, 2, 2), torch.randn(3, 2, 2))
    with BareProducts() as again:
        recorded.repeat()()
    assert again.products == recorded.products
    assert (
        again.products[0].left.stride == (1, 6) and again.products[1].right.dtype == torch.bfloat16
    )


def test_what_a_fused_layer_multiplies_inside_is_recorded():
    T, B, E, H = 5, 3, 4, 6
    layer = torch.nn.LSTM(E, H)
    with BareProducts() as recorded, torch.autocast("cpu", torch.bfloat16):
        layer(torch.randn(T, B, E, requires_grad=True))[0].float().sum().backward()
    flops = sum(
        2 * product.left.size[0] * product.left.size[1] * product.right.size[1]
        for product in recorded.products
    )
    assert flops == 3 * 2 * T * B * 4 * H * (E + H)
