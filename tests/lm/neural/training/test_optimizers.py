"""Clipping by definition, optimizers by their update rules, penalties by what autograd says."""

import math

import pytest
import torch
from torch import nn

from rnnlm.errors import SettingsError
from rnnlm.lm.neural.training.optimization import FUSED, Penalty, clip_gradients, make_optimizer
from rnnlm.lm.neural.training.settings import FittingSettings

CPU = torch.device("cpu")


@pytest.fixture
def network():
    """Return a layer with gradients whose norm is 13."""
    network = nn.Linear(2, 2)
    given = ([[1.0, 2.0], [3.0, 4.0]], [[3.0, 0.0], [0.0, 4.0]]), ([0.5, -0.5], [0.0, 12.0])
    for parameter, (values, gradient) in zip(network.parameters(), given, strict=True):
        parameter.data, parameter.grad = torch.tensor(values), torch.tensor(gradient)
    return network


ROOT = math.sqrt(27)


@pytest.mark.parametrize("norm, value, weight, bias", [
    (6.5, None, [[1.5, 0.0], [0.0, 2.0]], [0.0, 6.0]),
    (13.5, None, [[3.0, 0.0], [0.0, 4.0]], [0.0, 12.0]),
    (None, 3.5, [[3.0, 0.0], [0.0, 3.5]], [0.0, 3.5]),
    (None, None, [[3.0, 0.0], [0.0, 4.0]], [0.0, 12.0]),
    # by value first: the norm is sqrt(27) after the cut
    (1.0, 3.0, [[3 / ROOT, 0.0], [0.0, 3 / ROOT]], [0.0, 3 / ROOT]),
])  # fmt: skip
def test_clipping_limits_the_global_norm_and_each_value(network, norm, value, weight, bias):
    # before it
    assert float(clip_gradients(FittingSettings(clip_norm=norm, clip_value=value), network)) == 13.0
    torch.testing.assert_close(network.weight.grad, torch.tensor(weight))
    torch.testing.assert_close(network.bias.grad, torch.tensor(bias))


@pytest.mark.parametrize("norm, is_rewritten", [(13.5, False), (13.0, True), (math.inf, False)])
def test_gradients_within_the_norm_are_not_rewritten(network, norm, is_rewritten):
    written = network.weight.grad._version  # counts how often the array was written to
    clip_gradients(FittingSettings(clip_norm=norm), network)
    assert (network.weight.grad._version > written) == is_rewritten
    network.bias.grad[0] = math.nan
    written = network.weight.grad._version
    clip_gradients(FittingSettings(clip_norm=norm), network)
    assert network.weight.grad._version > written


def steps_of(network, count=3, **settings):
    """Take `count` steps with constant gradients. Return a matrix and its gradient as they were,
    those of the bias, and both after the steps."""
    before = []
    for parameter in (network.weight, network.bias):
        before += [parameter.detach().clone(), parameter.grad.clone()]
    settings = {"learning_rate": 0.1, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.0, **settings}
    optimizer = make_optimizer(FittingSettings(**settings), network, CPU)
    for _ in range(count):
        optimizer.step()
    return *before, network.weight.detach(), network.bias.detach()


def adam_by_hand(w, g, count, decay, decoupled, beta1=0.9, beta2=0.99, rate=0.1, epsilon=1e-8):
    """Follow algorithm 1 of Kingma & Ba (2015), or algorithm 2 of Loshchilov & Hutter (2019)."""
    m = v = torch.zeros_like(w)
    for t in range(1, count + 1):
        gradient = g if decoupled else g + decay * w
        if decoupled:
            w = w - rate * decay * w
        m = beta1 * m + (1 - beta1) * gradient
        v = beta2 * v + (1 - beta2) * gradient**2
        w = w - rate * (m / (1 - beta1**t)) / ((v / (1 - beta2**t)).sqrt() + epsilon)
    return w


@pytest.mark.parametrize("name", ["adam", "adamw"])
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_adam_steps_as_published_decaying_only_matrices(network, name, decay):
    w, g, b, h, weight, bias = steps_of(network, optimizer=name, weight_decay=decay)
    torch.testing.assert_close(weight, adam_by_hand(w, g, 3, decay, name == "adamw"))
    torch.testing.assert_close(bias, adam_by_hand(b, h, 3, 0.0, name == "adamw"))


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("settings, count, sums", [
    ({}, 1, 1), ({"momentum": 0.5}, 3, 1 + 1.5 + 1.75),  # momentum sums past gradients
    # Sutskever et al. (2013), in torch's form: g + 0.5 v
    ({"momentum": 0.5, "nesterov": True}, 3, (1 + 0.5) + (1 + 0.75) + (1 + 0.875)),
], ids=["plain", "momentum", "nesterov"])  # fmt: skip
def test_sgd_decays_only_matrices(network, settings, count, sums, decay):
    settings = {"optimizer": "sgd", "weight_decay": decay, **settings}
    w, g, b, h, weight, bias = steps_of(network, count, **settings)
    torch.testing.assert_close(bias, b - 0.1 * h * sums)
    assert count > 1 or torch.allclose(weight, w - 0.1 * (g + decay * w))


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_adagrad_divides_by_the_root_of_all_squares(network, decay):
    """Duchi et al. (2011)."""
    w, g, _, _, weight, _ = steps_of(network, optimizer="adagrad", weight_decay=decay)
    squares = torch.zeros_like(w)
    for _ in range(3):
        gradient = g + decay * w
        squares += gradient**2
        w = w - 0.1 * gradient / (squares.sqrt() + 1e-10)
    torch.testing.assert_close(weight, w)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_rmsprop_divides_by_the_root_mean_square(network, momentum):
    """Tieleman & Hinton (2012), lecture 6.5."""
    settings = {"optimizer": "rmsprop", "rms_decay": 0.75, "momentum": momentum}
    _, _, b, h, _, bias = steps_of(network, **settings)
    mean, step = torch.zeros_like(b), torch.zeros_like(b)
    for _ in range(3):
        mean = 0.75 * mean + 0.25 * h**2
        step = momentum * step + h / (mean.sqrt() + 1e-8)
        b = b - 0.1 * step
    torch.testing.assert_close(bias, b)


def test_asgd_takes_the_steps_of_torchs(network):
    """Its average is held against torch's in test_averaging."""
    w, g, b, h, weight, bias = steps_of(network, optimizer="asgd")
    theirs = [nn.Parameter(w), nn.Parameter(b)]
    theirs[0].grad, theirs[1].grad = g, h
    optimizer = torch.optim.ASGD(theirs, lr=0.1, lambd=0.0)
    for _ in range(3):
        optimizer.step()
    torch.testing.assert_close([weight, bias], [each.detach() for each in theirs])


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd", "asgd", "adagrad", "rmsprop"])
def test_frozen_weights_stay_and_kernels_are_fused(network, name):
    network.weight.requires_grad = False
    before = network.weight.clone()
    settings = FittingSettings(optimizer=name, learning_rate=0.1, weight_decay=0.1)
    optimizer = make_optimizer(settings, network, CPU)
    assert bool(optimizer.defaults.get("fused")) == (name in FUSED)
    optimizer.step()
    assert torch.equal(network.weight, before) and network.bias.tolist() != [0.5, -0.5]


@pytest.mark.parametrize("settings, message", [
    ({"optimizer": "asgd", "ema_decay": 0.9}, "two averages"),
    ({"schedule": "plateau", "return_to_best": True, "ema_decay": 0.9},
     "return_to_best and ema_decay cannot be combined"),
    ({"schedule": "halving", "optimizer": "asgd"},
     "schedule = halving and optimizer = asgd cannot be combined"),
    ({"nonmonotone_interval": 5, "optimizer": "asgd", "asgd_start": 3}, "both say"),
])  # fmt: skip
def test_contradictory_settings_are_refused_with_a_hint(settings, message):
    with pytest.raises(SettingsError, match=message) as caught:
        FittingSettings(**settings)
    assert caught.value.hint


@pytest.fixture
def recurrent():
    """Return a recurrent layer with a softmax, and with gradients of some loss."""
    torch.manual_seed(1)
    recurrent = nn.ModuleDict({"stack": nn.LSTM(3, 4, num_layers=2), "output": nn.Linear(4, 5)})
    with torch.no_grad():
        recurrent["stack"].weight_hh_l0[0, :2] = 0.0
    for parameter in recurrent.parameters():
        parameter.grad = torch.randn_like(parameter)
    return recurrent


def gradients_of(network):
    return {name: parameter.grad.clone() for name, parameter in network.named_parameters()}


@pytest.mark.parametrize("l1, l2", [(0.3, 0.0), (0.0, 0.7), (0.3, 0.7), (0.0, 0.0)])
@pytest.mark.parametrize("penalised", ["all", "recurrent"])
def test_a_penalty_adds_its_derivative_to_the_gradients(recurrent, l1, l2, penalised):
    before = gradients_of(recurrent)
    Penalty(FittingSettings(l1=l1, l2=l2, penalised=penalised), recurrent).add_gradients()
    after = gradients_of(recurrent)
    for name, parameter in recurrent.named_parameters():
        expected = before[name]
        if "weight_hh" in name or (penalised == "all" and "bias" not in name):
            loss = l1 * parameter.abs().sum() + l2 / 2 * (parameter**2).sum()
            expected = expected + torch.autograd.grad(loss, parameter)[0]
            assert torch.equal(after[name], before[name]) == (l1 == l2)
        torch.testing.assert_close(after[name], expected, msg=name)


def test_penalties_skip_frozen_weights_and_need_some(recurrent):
    recurrent["output"].weight.requires_grad = False
    recurrent["stack"].weight_ih_l0.grad = None
    before = recurrent["output"].weight.grad.clone()
    Penalty(FittingSettings(l2=1.0), recurrent).add_gradients()
    assert torch.equal(recurrent["output"].weight.grad, before)
    assert recurrent["stack"].weight_ih_l0.grad is None
    with pytest.raises(SettingsError, match="no recurrent weights.*set penalised=all"):
        Penalty(FittingSettings(l1=0.1, penalised="recurrent"), nn.Linear(2, 2))


def test_penalties_precede_clipping_and_shrink_the_weights(make_data, make_trainer, sentences):
    data = make_data(sentences[:20])
    settings = {"batch_rows": 2, "optimizer": "sgd", "learning_rate": 0.1, "warmup": 0.0}
    settings |= {"schedule": "constant", "budget": "1steps"}

    def after_a_step(**more):
        trainer = make_trainer(data, **settings, **more)
        start = {name: weight.clone() for name, weight in trainer.network.named_parameters()}
        list(trainer.train(lambda: False))
        return start, dict(trainer.network.named_parameters())

    start, clipped = after_a_step(l2=5.0, clip_norm=0.01)
    squares = sum(((clipped[name] - start[name]) ** 2).sum().item() for name in start)
    assert squares**0.5 == pytest.approx(0.1 * 0.01, rel=1e-2)
    _, plain = after_a_step(clip_norm=None)
    _, free = after_a_step(l2=5.0, clip_norm=None)
    for name, weight in free.items():
        shrunk = 0.1 * 5.0 * start[name] if weight.dim() > 1 else 0.0
        torch.testing.assert_close(weight, plain[name] - shrunk, msg=name)
