"""How torch's layers are called on CUDA, shown on the CPU: they give the same numbers."""

import itertools

import pytest
import torch
from torch import nn

from rnnlm.lm.neural.device import training_products
from rnnlm.lm.neural.layers.kernels import choice
from rnnlm.lm.neural.layers.kernels.choice import cudnns_layer, flat_weights, whole_width

T, B = 4, 3
LAYERS = {
    "lstm": (torch.lstm, 4, 2), "gru": (torch.gru, 3, 1), "tanh": (torch.rnn_tanh, 1, 1),
    "relu": (torch.rnn_relu, 1, 1),
}  # fmt: skip
CPU = torch.device("cpu")


def drawn(kind, E, H, dtype=torch.float64):
    """Return x_TBE, states and weights, all of which require gradients."""
    torch.manual_seed(1)
    gates, states = LAYERS[kind][1:]
    rows = gates * H
    shapes = [(T, B, E), *[(B, H)] * states, (rows, E), (rows, H), (rows,), (rows,)]
    x_TBE, *rest = (torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes)
    return x_TBE, rest[:states], rest[states:]


def gradients_of(outputs, leaves):
    weighted = [(output * torch.linspace(-1, 1, output.shape[-1])).sum() for output in outputs]
    return torch.autograd.grad(sum(weighted), leaves)


@pytest.mark.parametrize("E, H", [(8, 16), (5, 7), (8, 6), (3, 8)])
@pytest.mark.parametrize("kind", LAYERS)
def test_outputs_and_gradients_equal_torchs_module(kind, E, H):
    kinds = {"lstm": nn.LSTM, "gru": nn.GRU}
    module = kinds[kind](E, H) if kind in kinds else nn.RNN(E, H, nonlinearity=kind)
    x_TBE, states, weights = drawn(kind, E, H)
    outputs = cudnns_layer(LAYERS[kind][0], x_TBE, states, weights)
    before = tuple(state_BH[None] for state_BH in states)
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    given = (x_TBE, before if kind == "lstm" else before[0])
    named = dict(zip(names, weights, strict=True))
    y_TBH, after = torch.func.functional_call(module.double(), named, given)
    expected = (y_TBH, after[1][0]) if kind == "lstm" else (y_TBH,)
    torch.testing.assert_close(outputs, expected)
    leaves = [x_TBE, *states, *weights]
    torch.testing.assert_close(gradients_of(outputs, leaves), gradients_of(expected, leaves))


def test_weights_lie_gapless_in_cudnns_order():
    weights = drawn("lstm", 8, 16, torch.float32)[2]
    flat = flat_weights(weights, 16, 8, 16, torch.float32)
    storage = flat[0].untyped_storage()
    for each, weight in zip(flat, weights, strict=True):
        assert torch.equal(each, weight) and each.is_contiguous()
        assert each.untyped_storage().data_ptr() == storage.data_ptr()
    starts = [0, *itertools.accumulate(each.numel() for each in weights)]
    assert [each.storage_offset() for each in flat] == starts[:-1]
    assert storage.nbytes() == 4 * starts[-1]


def test_blocks_are_widened_per_gate():
    # two gates, one unit, one input
    weight_ih, weight_hh = torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [4.0]])
    weights = (weight_ih, weight_hh, torch.tensor([5.0, 6.0]), torch.tensor([7.0, 8.0]))
    ih, hh, bias_ih, bias_hh = flat_weights(weights, 1, 3, 2, torch.float32)
    assert ih.tolist() == [[1, 0, 0], [0, 0, 0], [2, 0, 0], [0, 0, 0]]
    assert hh.tolist() == [[3, 0], [0, 0], [4, 0], [0, 0]]
    assert (bias_ih.tolist(), bias_hh.tolist()) == ([5, 0, 6, 0], [7, 0, 8, 0])


@pytest.mark.parametrize("width, expected", [(1, 8), (8, 8), (400, 400), (650, 656), (1150, 1152)])
def test_widths_fill_whole_loads(width, expected):
    assert whole_width(width) == expected


@pytest.mark.parametrize("kind", LAYERS)
def test_added_units_stay_zero(kind):
    seen = []

    def layer(*given):
        seen.append(LAYERS[kind][0](*given))
        return seen[-1]

    cudnns_layer(layer, *drawn(kind, 5, 6))
    for output in seen[0]:
        assert output.shape[-1] == 8 and output[..., :6].any() and not output[..., 6:].any()


@pytest.mark.parametrize("cudnn, needed_torch, dtype", [
    (91300, "2.10", torch.bfloat16), (91200, "2.10", torch.float32), (None, "2.10", torch.float32),
    (91300, "99.0", torch.float32),
])  # fmt: skip
def test_the_kernel_gets_one_type_and_returns_fp32(monkeypatch, cudnn, needed_torch, dtype):
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: cudnn)
    monkeypatch.setattr(choice, "TORCH_WITH_BF16", needed_torch)
    seen = []

    def layer(x_TBE, states, weights, *settings):
        seen.extend([x_TBE, *states, *weights])
        assert not torch.is_autocast_enabled("cpu")
        return torch.lstm(x_TBE, states, weights, *settings)

    x_TBE, states, weights = drawn("lstm", 8, 8, torch.float32)
    with training_products("bf16", CPU):
        y_TBH, c_BH = cudnns_layer(layer, x_TBE.bfloat16(), states, weights)
    assert {each.dtype for each in seen} == {dtype} and all(each.is_contiguous() for each in seen)
    assert y_TBH.dtype == c_BH.dtype == torch.float32
    exact, _ = cudnns_layer(torch.lstm, x_TBE, states, weights)
    torch.testing.assert_close(y_TBH, exact, atol=0.05, rtol=0)
    assert all(gradient.dtype == torch.float32 for gradient in gradients_of([y_TBH], weights))
