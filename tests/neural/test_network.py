"""The whole network: its parameters, its unigram start, dropout, and its loss against a numpy transcription."""

import numpy as np
import pytest
import torch
from reference import recurrent

from rnnlm.neural.network import RecurrentNetwork
from rnnlm.neural.network_settings import KINDS

V, T, B = 11, 5, 3
PLAIN = {"embedding_size": 4, "hidden_size": 6, "dropout_input": 0.0, "dropout_between": 0.0, "dropout_output": 0.0}


def make_network(dtype=torch.float32, **settings):
    torch.manual_seed(8)
    shape = KINDS[settings.get("model", "lstm")]
    settings = {name: value for name, value in settings.items() if name in shape.__dataclass_fields__}
    network = RecurrentNetwork(shape(**{**PLAIN, **settings}), V).to(dtype)
    with torch.no_grad():
        network.output.bias.uniform_(-1, 1)
    return network


def text(seed=1):
    generator = torch.Generator().manual_seed(seed)
    inputs_TB = torch.randint(V, (T, B), generator=generator)
    targets_TB = torch.randint(V, (T, B), generator=generator)
    targets_TB[3:, 1] = -1
    return inputs_TB, targets_TB


def lstm_parameters(E, H):
    return 4 * H * (E + H + 2)


@pytest.mark.parametrize(
    "settings, parts, count",
    [
        ({"tied": True, "hidden_size": 4}, set(), V * 4 + lstm_parameters(4, 4) + V),
        ({"tied": True}, {"projection.weight", "projection.bias"}, V * 4 + lstm_parameters(4, 6) + (6 * 4 + 4) + V),
        ({"tied": False}, {"output.weight"}, V * 4 + lstm_parameters(4, 6) + V * 6 + V),
    ],
    ids=["tied", "tied and projected", "untied"],
)
def test_parameters_are_those_of_the_shape_asked_for(settings, parts, count):
    network = make_network(**settings)
    kernel = {f"stack.kernel.{kind}_{what}_l0" for kind in ("weight", "bias") for what in ("ih", "hh")}
    assert set(network.state_dict()) == {"embedding.weight", "output.bias", *kernel, *parts}
    assert sum(parameter.numel() for parameter in network.parameters()) == count
    assert (network.output_weight is network.embedding.weight) == settings["tied"]


def test_word_vectors_start_within_the_range_asked_for():
    weight = make_network(init_range=0.25, tied=False).embedding.weight
    assert 0.2 < weight.abs().max() <= 0.25


@pytest.mark.parametrize("model, activation", [("rnn", "tanh"), ("rnn", "relu"), ("rnn", "sigmoid"), ("gru", "tanh"), ("lstm", "tanh")])
@pytest.mark.parametrize("settings", [{"tied": True, "hidden_size": 4}, {"tied": True, "layers": 2}, {"tied": False}])
def test_loss_and_state_equal_the_numpy_transcription(model, activation, settings):
    network = make_network(model=model, activation=activation, **settings)
    inputs_TB, targets_TB = text()
    state = tuple(torch.randn_like(part) for part in network.initial_state(B))
    loss, after = network.loss(inputs_TB, targets_TB, state)
    weights = {name: value.detach().numpy().astype(np.float64) for name, value in network.state_dict().items()}
    expected, expected_after = recurrent.network_loss(
        network.settings, weights, inputs_TB.numpy(), targets_TB.numpy(), [part.double().numpy() for part in state]
    )
    assert loss.item() == pytest.approx(expected, abs=1e-5)
    for ours, theirs in zip(after, expected_after, strict=True):
        np.testing.assert_allclose(ours.detach().numpy(), theirs, atol=1e-5)


@pytest.mark.parametrize("model", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("tied", [True, False])
def test_gradients_of_the_loss_equal_central_differences(model, tied):
    network = make_network(torch.float64, model=model, tied=tied, layers=2)
    inputs_TB, targets_TB = text()
    state = network.initial_state(B)
    network.loss(inputs_TB, targets_TB, state)[0].backward()
    generator, step = torch.Generator().manual_seed(2), 1e-5
    for name, parameter in network.named_parameters():
        direction = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        losses = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter.add_(direction, alpha=sign * step)
                losses.append(network.loss(inputs_TB, targets_TB, state)[0].item())
                parameter.add_(direction, alpha=-sign * step)
        slope = (losses[0] - losses[1]) / (2 * step)
        assert slope == pytest.approx((parameter.grad * direction).sum().item(), rel=1e-5, abs=1e-8), name


def test_output_bias_from_counts_makes_the_network_a_unigram():
    network = make_network()
    counts_V = torch.arange(V) * 10
    network.set_output_bias(counts_V)
    features_NE = torch.zeros(1, 4)
    logprob_V = network.output.predict(features_NE, network.output_weight)[0]
    expected = (counts_V + 0.5) / (counts_V + 0.5).sum()
    torch.testing.assert_close(logprob_V.exp(), expected)


@pytest.mark.parametrize("where", ["dropout_input", "dropout_between", "dropout_output"])
def test_dropout_acts_in_training_and_not_in_evaluation(where):
    network = make_network(**{where: 0.5}, layers=2)
    inputs_TB, targets_TB = text()
    state = network.initial_state(B)

    def loss():
        return network.loss(inputs_TB, targets_TB, state)[0].item()

    network.train()
    assert loss() != loss()
    network.eval()
    without = make_network(layers=2)
    without.load_state_dict(network.state_dict())
    assert loss() == loss() == without.loss(inputs_TB, targets_TB, state)[0].item()


def test_padding_neither_counts_nor_costs():
    network = make_network()
    inputs_TB, targets_TB = text()
    state = network.initial_state(B)
    changed = inputs_TB.clone()
    changed[4, 1] = (changed[4, 1] + 1) % V  # an input whose target, and all later ones of the row, are padding
    assert network.loss(changed, targets_TB, state)[0].item() == network.loss(inputs_TB, targets_TB, state)[0].item()
