"""Penalties by definition: what autograd says of l1 |w| + l2/2 |w|^2."""

import pytest
import torch
from torch import nn

from rnnlm.errors import SettingsError
from rnnlm.neural.fitting.penalties import Penalty
from rnnlm.neural.fitting.settings import FittingSettings


@pytest.fixture
def network():
    """A recurrent layer with a softmax, and gradients of some loss."""
    torch.manual_seed(1)
    network = nn.ModuleDict({"stack": nn.LSTM(3, 4, num_layers=2), "output": nn.Linear(4, 5)})
    with torch.no_grad():
        network["stack"].weight_hh_l0[0, :2] = 0.0
    for parameter in network.parameters():
        parameter.grad = torch.randn_like(parameter)
    return network


def gradients_of(network):
    return {name: parameter.grad.clone() for name, parameter in network.named_parameters()}


@pytest.mark.parametrize("l1, l2", [(0.3, 0.0), (0.0, 0.7), (0.3, 0.7)])
@pytest.mark.parametrize("penalised", ["all", "recurrent"])
def test_a_penalty_adds_its_derivative_to_the_gradients(network, l1, l2, penalised):
    before = gradients_of(network)
    Penalty(FittingSettings(l1=l1, l2=l2, penalised=penalised), network).add_gradients()
    after = gradients_of(network)
    for name, parameter in network.named_parameters():
        expected = before[name]
        if "weight_hh" in name or (penalised == "all" and "bias" not in name):
            loss = l1 * parameter.abs().sum() + l2 / 2 * (parameter**2).sum()
            expected = expected + torch.autograd.grad(loss, parameter)[0]
            assert not torch.equal(after[name], before[name])
        torch.testing.assert_close(after[name], expected, msg=name)


def test_no_penalty_changes_nothing(network):
    before = gradients_of(network)
    Penalty(FittingSettings(), network).add_gradients()
    assert all(torch.equal(before[name], gradient) for name, gradient in gradients_of(network).items())


def test_weights_that_are_frozen_or_have_no_gradient_are_passed_over(network):
    network["output"].weight.requires_grad = False
    network["stack"].weight_ih_l0.grad = None
    before = network["output"].weight.grad.clone()
    Penalty(FittingSettings(l2=1.0), network).add_gradients()
    assert torch.equal(network["output"].weight.grad, before) and network["stack"].weight_ih_l0.grad is None


def test_a_penalty_on_recurrent_weights_needs_some():
    with pytest.raises(SettingsError, match="no recurrent weights.*set penalised=all"):
        Penalty(FittingSettings(l1=0.1, penalised="recurrent"), nn.Linear(2, 2))


def test_penalties_come_before_clipping_and_pull_the_weights_towards_zero(make_data, make_trainer, sentences):
    data = make_data(sentences[:20])
    settings = {"batch_rows": 2, "optimizer": "sgd", "learning_rate": 0.1, "schedule": "constant", "warmup": 0.0, "budget": "1steps"}
    plain, clipped, free = (make_trainer(data, **settings, **extra) for extra in
                            ({"clip_norm": None}, {"l2": 5.0, "clip_norm": 0.01}, {"l2": 5.0, "clip_norm": None}))  # fmt: skip
    start = {name: weight.clone() for name, weight in plain.network.named_parameters()}
    for trainer in (plain, clipped, free):
        list(trainer.train(lambda: False))
    moved = sum(((weight.detach() - start[name]) ** 2).sum().item() for name, weight in clipped.network.named_parameters()) ** 0.5
    assert moved == pytest.approx(0.1 * 0.01, rel=1e-2)
    for (name, weight), other in zip(free.network.named_parameters(), plain.network.parameters(), strict=True):
        expected = other - 0.1 * 5.0 * start[name] if weight.dim() > 1 else other
        torch.testing.assert_close(weight, expected, msg=name)
