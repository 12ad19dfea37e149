"""The recurrent stack: connections between layers, widths, dropout, how each kind starts."""

import numpy as np
import pytest
import torch

from reference import recurrent_network
from rnnlm.lm.neural.layers.layers import RecurrentStack
from support.networks import network_settings

VARIANTS = [
    ("rnn", {"activation": "tanh"}), ("rnn", {"activation": "relu"}),
    ("rnn", {"activation": "sigmoid"}), ("rnn", {"activation": "elu"}),
    ("rnn", {"activation": "leaky_relu"}), ("gru", {}), ("gru", {"reset_gate": "before"}),
    ("gru", {"update_gate": "renew"}), ("lstm", {}), ("lstm", {"peepholes": True}),
    ("lstm", {"coupled_gates": True}), ("lstm", {"peepholes": True, "coupled_gates": True}),
    ("lstm", {"mogrifier_rounds": 3}),
    ("lstm", {"mogrifier_rounds": 2, "mogrifier_rank": 2, "coupled_gates": True}), ("qrnn", {}),
    ("qrnn", {"convolution_words": 1, "pooling": "f"}),
    ("qrnn", {"convolution_words": 3, "pooling": "ifo"}),
]  # fmt: skip
SHAPES = [
    {"layers": 1}, {"layers": 3}, {"layers": 3, "layer_sizes": "7,4,6"},
    {"layers": 2, "connections": "residual"}, {"layers": 3, "connections": "highway"},
    {"layers": 3, "connections": "dense", "layer_sizes": "4,6,3"},
]  # fmt: skip
CASES = [(*each, SHAPES[2]) for each in VARIANTS]
CASES += [(model, {}, shape) for model in ("lstm", "qrnn") for shape in SHAPES]


def make_stack(model, dtype=torch.float32, **settings):
    torch.manual_seed(3)
    settings = {"embedding_size": 5, "hidden_size": 7, "dropout_between": 0.0, **settings}
    stack = RecurrentStack(network_settings(model, **settings)).to(dtype)
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.uniform_(-0.6, 0.6)
    return stack


def random_state(stack, rows, dtype=torch.float32):
    shapes = stack.state_shapes()
    return tuple(torch.randn(places, rows, width, dtype=dtype) for places, width in shapes)


@pytest.mark.parametrize("model, variant, shape", CASES, ids=str)
def test_outputs_and_states_equal_the_equations(model, variant, shape):
    stack = make_stack(model, **variant, **shape)
    x_TBE, state = torch.randn(6, 3, 5), random_state(stack, 3)
    y_TBH, after = stack(x_TBE, state)
    weights = {f"body.{name}": value.detach().numpy() for name, value in stack.state_dict().items()}
    given = x_TBE.numpy(), [part.numpy() for part in state]
    expected, expected_after = recurrent_network.stack(stack.settings, weights, *given)
    np.testing.assert_allclose(y_TBH.detach().numpy(), expected, atol=1e-5)
    assert y_TBH.shape[2] == stack.settings.output_width
    for ours, theirs, shape in zip(after, expected_after, stack.state_shapes(), strict=True):
        assert tuple(ours.shape) == (shape[0], 3, shape[1])
        np.testing.assert_allclose(ours.detach().numpy(), theirs, atol=1e-5)


@pytest.mark.parametrize("coupled", [False, True])
def test_forget_gate_biases_start_as_asked_others_zero(coupled):
    settings = {"hidden_size": 7, "forget_bias": 1.5, "coupled_gates": coupled}
    stack = RecurrentStack(network_settings("lstm", layers=2, connections="highway", **settings))
    for layer in stack.layers:
        blocks = list(layer.bias_ih.detach().split(7))
        assert torch.equal(blocks.pop(0 if coupled else 1), torch.full((7,), 1.5))
        assert not any(block.any() for block in blocks)
    assert (stack.highways[0].bias < 0).all()  # a highway starts by carrying its input


def test_only_the_first_qrnn_layer_reads_several_words():
    stack = make_stack("qrnn", layers=3, convolution_words=3, layer_sizes="7,4,6")
    assert [layer.weight_ih.shape for layer in stack.layers] == [(21, 15), (12, 7), (18, 4)]
    assert stack.state_shapes() == [(1, 7), (2, 5), (1, 4), (1, 6)]


@pytest.mark.parametrize("model, settings, weight", [
    ("qrnn", {}, "weight_ih"), ("lstm", {"mogrifier_rounds": 2}, "weight_hh"),
])  # fmt: skip
def test_weight_drop_acts_only_in_training(model, settings, weight):
    stack = make_stack(model, weight_drop=0.5, dropout_between=0.5, **settings)
    x_TBE, state = torch.randn(4, 2, 5), random_state(stack, 2)
    stack.train()
    first, second = stack(x_TBE, state)[0], stack(x_TBE, state)[0]
    assert not torch.equal(first, second)
    gradient = torch.autograd.grad(first.sum(), getattr(stack.layers[0], weight))[0]
    assert 0.2 < (gradient == 0).double().mean() < 0.8  # those that were dropped
    stack.eval()
    # and a single layer has nothing to drop between
    assert torch.equal(stack(x_TBE, state)[0], stack(x_TBE, state)[0])


@pytest.mark.parametrize("rank, shapes", [
    (None, [(5, 7), (7, 5), (5, 7)]), (2, [(2, 7), (5, 2), (2, 5), (7, 2), (2, 7), (5, 2)]),
])  # fmt: skip
def test_a_mogrifiers_matrices_are_thin_at_low_rank(rank, shapes):
    stack = make_stack("lstm", mogrifier_rounds=3, mogrifier_rank=rank)
    assert [tuple(factor.shape) for factor in stack.layers[0].mogrifier] == shapes
    # and start by what they read
    each = len(shapes) // 3
    expected = ["recurrent"] * each + ["input"] * each + ["recurrent"] * each
    assert [kind for _, kind, _ in stack.matrices()] == ["input", "recurrent", *expected]
    weights = {id(each) for each in stack.parameters() if each.dim() > 1}
    assert {id(each) for each, _, _ in stack.matrices()} == weights
