"""The recurrent stack against the equations, by hand and in numpy, and its gradients against finite differences."""

import numpy as np
import pytest
import torch
from reference import recurrent

from rnnlm.neural.cells import RecurrentStack
from rnnlm.neural.network_settings import KINDS as SETTINGS

KINDS = [("rnn", "tanh"), ("rnn", "relu"), ("rnn", "sigmoid"), ("gru", "tanh"), ("lstm", "tanh")]


def make_stack(model, activation="tanh", layers=1, sizes=(5, 7), dtype=torch.float32, **more):
    torch.manual_seed(3)
    if model == "rnn":
        more["activation"] = activation
    settings = SETTINGS[model](
        model=model, layers=layers, embedding_size=sizes[0], hidden_size=sizes[1],
        dropout_between=more.pop("dropout_between", 0.0), **more,
    )  # fmt: skip
    return RecurrentStack(settings).to(dtype)


def random_state(stack, rows):
    return tuple(torch.randn_like(part) for part in stack.initial_state(rows))


def weights_of(stack):
    return {name: value.detach().numpy() for name, value in stack.kernel.state_dict().items()}


def test_worked_example_of_a_relu_elman_network():
    stack = make_stack("rnn", "relu", sizes=(3, 2))
    U = torch.tensor([[1.0, 1], [2, 0], [0.5, 1]])  # row vectors: h = ReLU(x U + h W)
    W = torch.tensor([[0.0, 1], [1, 0]])
    with torch.no_grad():
        stack.kernel.weight_ih_l0.copy_(U.t())
        stack.kernel.weight_hh_l0.copy_(W.t())
        stack.kernel.bias_ih_l0.zero_()
        stack.kernel.bias_hh_l0.zero_()
    x_TBE = torch.tensor([[1.0, 0, 0], [1, 1, 2], [1, -1, 1]]).unsqueeze(1)
    y_TBH, (h_LBH,) = stack(x_TBE, stack.initial_state(1))
    assert y_TBH[:, 0].tolist() == [[1, 1], [5, 4], [3.5, 7]]
    assert h_LBH[0, 0].tolist() == [3.5, 7]


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("model, activation", KINDS)
def test_forward_pass_equals_the_equations(model, activation, layers):
    stack = make_stack(model, activation, layers)
    x_TBE, state = torch.randn(6, 3, 5), random_state(stack, 3)
    y_TBH, after = stack(x_TBE, state)
    expected, expected_after = recurrent.stack(
        model, weights_of(stack), x_TBE.numpy(), [part.numpy() for part in state], layers, activation
    )
    np.testing.assert_allclose(y_TBH.detach().numpy(), expected, atol=1e-5)
    assert len(after) == len(expected_after) == (2 if model == "lstm" else 1)
    for ours, theirs in zip(after, expected_after, strict=True):
        np.testing.assert_allclose(ours.detach().numpy(), theirs, atol=1e-5)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("model, activation", KINDS)
def test_gradients_equal_finite_differences(model, activation, layers):
    stack = make_stack(model, activation, layers, sizes=(3, 4), dtype=torch.float64)
    x_TBE = torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True)
    state = tuple(part.requires_grad_() for part in random_state(stack, 2))
    names, parameters = zip(*stack.named_parameters(), strict=True)

    def run(x, *rest):
        values = dict(zip(names, rest[len(state) :], strict=True))
        y, after = torch.func.functional_call(stack, values, (x, tuple(rest[: len(state)])))
        return (y, *after)

    assert torch.autograd.gradcheck(run, (x_TBE, *state, *parameters))


@pytest.mark.parametrize("model, activation", KINDS)
def test_a_window_cut_in_two_gives_the_same_outputs(model, activation):
    stack = make_stack(model, activation, layers=2)
    x_TBE, state = torch.randn(7, 2, 5), random_state(stack, 2)
    whole, after = stack(x_TBE, state)
    head, between = stack(x_TBE[:3], state)
    tail, end = stack(x_TBE[3:], between)
    torch.testing.assert_close(torch.cat([head, tail]), whole)
    for ours, theirs in zip(end, after, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("model, activation", KINDS)
def test_dropout_between_layers_is_active_in_training_only(model, activation):
    stack = make_stack(model, activation, layers=2, dropout_between=0.5)
    x_TBE, state = torch.randn(4, 2, 5), stack.initial_state(2)
    stack.train()
    assert not torch.equal(stack(x_TBE, state)[0], stack(x_TBE, state)[0])
    stack.eval()
    assert torch.equal(stack(x_TBE, state)[0], stack(x_TBE, state)[0])


@pytest.mark.parametrize("layers", [1, 2])
def test_forget_gates_start_at_the_bias_asked_for_and_the_others_at_zero(layers):
    stack = make_stack("lstm", layers=layers, forget_bias=1.5)
    for layer in range(layers):
        total = getattr(stack.kernel, f"bias_ih_l{layer}") + getattr(stack.kernel, f"bias_hh_l{layer}")
        i, f, g, o = total.detach().split(7)
        assert torch.equal(f, torch.full((7,), 1.5))
        assert not any(part.any() for part in (i, g, o))


def test_an_open_forget_gate_keeps_the_cell():
    """What the bias is for: with it large and nothing coming in, the cell stays."""
    stack = make_stack("lstm", forget_bias=50.0)
    with torch.no_grad():
        stack.kernel.weight_ih_l0.zero_()
        stack.kernel.weight_hh_l0.zero_()
    h, c = torch.zeros(1, 1, 7), torch.randn(1, 1, 7)
    _, (_, after) = stack(torch.randn(20, 1, 5), (h, c))
    torch.testing.assert_close(after, c)


def test_sigmoid_elman_has_the_names_and_shapes_of_torchs_own():
    ours = make_stack("rnn", "sigmoid", layers=2).kernel.state_dict()
    theirs = make_stack("rnn", "tanh", layers=2).kernel.state_dict()
    assert {name: value.shape for name, value in ours.items()} == {name: value.shape for name, value in theirs.items()}
