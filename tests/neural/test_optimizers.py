"""Learning rates at points worked out by hand, clipping by definition, and optimizers against their update rules."""

import math

import pytest
import torch
from torch import nn

from rnnlm.errors import SettingsError
from rnnlm.neural.optimizers import LearningRate, clip_gradients, make_optimizer
from rnnlm.neural.fitting_settings import FittingSettings

CPU = torch.device("cpu")


def rate(progress, **settings):
    return LearningRate(FittingSettings(**{"learning_rate": 2.0, "final_rate": 0.0, **settings})).at(progress)


def network_of(matrix, bias, matrix_gradient, bias_gradient):
    network = nn.Linear(2, 2)
    with torch.no_grad():
        network.weight.copy_(torch.tensor(matrix))
        network.bias.copy_(torch.tensor(bias))
    network.weight.grad = torch.tensor(matrix_gradient)
    network.bias.grad = torch.tensor(bias_gradient)
    return network


@pytest.fixture
def network():
    return network_of([[1.0, 2.0], [3.0, 4.0]], [0.5, -0.5], [[3.0, 0.0], [0.0, 4.0]], [0.0, 12.0])  # norm 13


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear", "plateau"])
def test_warm_up_rises_linearly_to_the_peak(schedule):
    assert rate(0.05, schedule=schedule, warmup=0.2) == pytest.approx(0.5)
    assert rate(0.1, schedule=schedule, warmup=0.2) == pytest.approx(1.0)
    assert rate(0.2, schedule=schedule, warmup=0.2) == pytest.approx(2.0)


def test_warm_up_does_not_begin_at_zero():
    assert rate(0.0, schedule="constant", warmup=0.2) > 0


@pytest.mark.parametrize(
    "progress, expected", [(0.2, 2.0), (0.4, 0.2 + 1.8 * (1 + math.cos(math.pi / 4)) / 2), (0.6, 1.1), (1.0, 0.2), (1.5, 0.2)]
)
def test_cosine_falls_to_the_final_share(progress, expected):
    assert rate(progress, schedule="cosine", warmup=0.2, final_rate=0.1) == pytest.approx(expected)


@pytest.mark.parametrize("progress, expected", [(0.0, 2.0), (0.25, 1.5), (0.5, 1.0), (1.0, 0.0)])
def test_linear_falls_in_a_line(progress, expected):
    assert rate(progress, schedule="linear", warmup=0.0) == pytest.approx(expected)


@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
def test_constant_stays(progress):
    assert rate(progress, schedule="constant", warmup=0.0) == 2.0


def test_plateau_lowers_the_rate_after_more_bad_validations_than_its_patience():
    learning_rate = LearningRate(
        FittingSettings(learning_rate=2.0, schedule="plateau", warmup=0.0, plateau_factor=0.25, plateau_patience=1)
    )
    rates = []
    for improved in (False, True, False, False, False, False, True, False):
        learning_rate.after_validation(improved)
        rates.append(learning_rate.at(0.5))
    assert rates == [2.0, 2.0, 2.0, 0.5, 0.5, 0.125, 0.125, 0.125]


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear"])
def test_other_schedules_do_not_care_about_validations(schedule):
    learning_rate = LearningRate(FittingSettings(learning_rate=2.0, schedule=schedule, warmup=0.0))
    before = learning_rate.at(0.3)
    learning_rate.after_validation(False)
    assert learning_rate.at(0.3) == before


def test_clipping_by_norm_scales_all_gradients_to_the_global_norm(network):
    clip_gradients(FittingSettings(clip_norm=6.5, clip_value=None), network)
    torch.testing.assert_close(network.weight.grad, torch.tensor([[1.5, 0.0], [0.0, 2.0]]))
    torch.testing.assert_close(network.bias.grad, torch.tensor([0.0, 6.0]))


def test_clipping_by_norm_leaves_small_gradients(network):
    clip_gradients(FittingSettings(clip_norm=13.5, clip_value=None), network)
    assert network.bias.grad.tolist() == [0.0, 12.0]


def test_clipping_by_value_cuts_each_gradient(network):
    clip_gradients(FittingSettings(clip_norm=None, clip_value=3.5), network)
    assert network.weight.grad.tolist() == [[3.0, 0.0], [0.0, 3.5]]
    assert network.bias.grad.tolist() == [0.0, 3.5]


def test_clipping_by_value_comes_before_clipping_by_norm(network):
    clip_gradients(FittingSettings(clip_norm=1.0, clip_value=3.0), network)  # norm sqrt(27) after the cut
    torch.testing.assert_close(network.weight.grad, torch.tensor([[3.0, 0.0], [0.0, 3.0]]) / math.sqrt(27))


def test_no_clipping_leaves_gradients(network):
    clip_gradients(FittingSettings(clip_norm=None, clip_value=None), network)
    assert network.weight.grad.tolist() == [[3.0, 0.0], [0.0, 4.0]]


def steps_of(network, count=3, **settings):
    """Weights and biases after `count` steps with constant gradients."""
    settings = {"learning_rate": 0.1, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.0, **settings}
    optimizer = make_optimizer(FittingSettings(**settings), network, CPU)
    for _ in range(count):
        optimizer.step()
    return network.weight.detach(), network.bias.detach()


def adam_by_hand(w, g, count, decay, decoupled, beta1=0.9, beta2=0.99, rate=0.1, epsilon=1e-8):
    """Kingma & Ba (2015), algorithm 1; `decoupled`: Loshchilov & Hutter (2019), algorithm 2."""
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
def test_adam_takes_the_published_steps_with_decay_on_matrices_only(network, name, decay):
    w, g = network.weight.detach().clone(), network.weight.grad.clone()
    b, h = network.bias.detach().clone(), network.bias.grad.clone()
    weight, bias = steps_of(network, optimizer=name, weight_decay=decay)
    torch.testing.assert_close(weight, adam_by_hand(w, g, 3, decay, name == "adamw"))
    torch.testing.assert_close(bias, adam_by_hand(b, h, 3, 0.0, name == "adamw"))


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_sgd_takes_plain_steps_with_decay_on_matrices_only(network, decay):
    w, g = network.weight.detach().clone(), network.weight.grad.clone()
    b, h = network.bias.detach().clone(), network.bias.grad.clone()
    weight, bias = steps_of(network, count=1, optimizer="sgd", weight_decay=decay)
    torch.testing.assert_close(weight, w - 0.1 * (g + decay * w))
    torch.testing.assert_close(bias, b - 0.1 * h)


def test_momentum_sums_past_gradients(network):
    b, h = network.bias.detach().clone(), network.bias.grad.clone()
    _, bias = steps_of(network, count=3, optimizer="sgd", momentum=0.5)
    torch.testing.assert_close(bias, b - 0.1 * h * (1 + 1.5 + 1.75))


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_momentum_without_sgd_is_refused(name):
    with pytest.raises(SettingsError, match="momentum"):
        FittingSettings(optimizer=name, momentum=0.9)
