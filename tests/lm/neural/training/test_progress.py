import math

import pytest
import torch
from torch import nn

from rnnlm.lm.neural.training import progress
from rnnlm.lm.neural.training.progress import Meter
from support.output_layers import LAYERS, E, V, ready

NORM = torch.tensor(1.0)


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

    monkeypatch.setattr(progress.time, "perf_counter", lambda: Clock.now)
    return Clock


def test_a_report_averages_over_tokens_since_the_last(clock):
    meter = Meter(torch.device("cpu"))
    meter.add(torch.tensor(2.0), NORM, 10)
    meter.add(torch.tensor(5.0), NORM, 40)
    assert not meter.due() and progress.REPORT_SECONDS <= 2
    clock.now += 2
    assert meter.due()
    figures = meter.read()
    assert figures["loss_nats"] == pytest.approx((2 * 10 + 5 * 30) / 40)
    assert (figures["tokens"], figures["tokens_per_second"]) == (40, 20.0)
    meter.add(torch.tensor(7.0), NORM, 50)
    assert meter.read()["loss_nats"] == pytest.approx(7.0)


def test_steps_during_a_transfer_join_the_next_report(clock):
    meter = Meter(torch.device("cpu"))
    meter.add(torch.tensor(1.0), NORM, 10)
    clock.now += 1
    assert meter.due()
    meter.add(torch.tensor(3.0), NORM, 20)
    assert meter.read()["loss_nats"] == pytest.approx(1.0)
    assert meter.pending and meter.read()["loss_nats"] == pytest.approx(3.0)


def test_what_happens_in_a_pause_does_not_count(clock):
    meter = Meter(torch.device("cpu"))
    meter.add(torch.tensor(math.pi), NORM, 10)
    clock.now += 50
    meter.restart(10)
    meter.add(torch.tensor(1.0), NORM, 20)
    clock.now += 1
    assert meter.due()
    figures = meter.read()
    assert (figures["loss_nats"], figures["tokens_per_second"]) == (1.0, 10.0)


def test_reports_give_mean_and_largest_gradient_norms(clock):
    network = nn.Linear(3, 3)
    for weight, value in ((network.weight, 2.0), (network.bias, 8 / math.sqrt(3))):
        nn.init.constant_(weight, value)
    meter = Meter(torch.device("cpu"), network=network)
    for tokens, norm in ((10, 3.0), (40, 6.0)):
        meter.add(torch.tensor(1.0), torch.tensor(norm), tokens)
    clock.now += 1
    assert meter.due()
    meter.add(torch.tensor(1.0), torch.tensor(5.0), 50)
    figures = meter.read()
    assert (figures["gradient_norm"], figures["gradient_norm_max"]) == (4.5, 6.0)
    assert figures["weight_norm"] == pytest.approx(10.0)
    network.weight.data[1, 1] = math.nan
    figures = meter.read()
    assert (figures["gradient_norm"], figures["gradient_norm_max"]) == (5.0, 5.0)
    assert math.isnan(figures["weight_norm"]) and not meter.pending


@pytest.mark.parametrize("name", LAYERS)
def test_the_weight_norm_omits_but_checks_output_biases(name):
    layer = ready(LAYERS[name](V, False, E))
    network = nn.ModuleDict({"body": nn.Linear(E, E), "output": layer})
    weights = {
        name: weight
        for name, weight in network.named_parameters()
        if "bias" not in name or name.startswith("body")
    }
    assert len(weights) < len(list(network.parameters()))
    expected = math.sqrt(sum(weight.double().square().sum().item() for weight in weights.values()))
    meter = Meter(torch.device("cpu"), network=network)
    assert meter.read()["weight_norm"] == pytest.approx(expected)
    next(weight for name, weight in layer.named_parameters() if "bias" in name).data[0] = math.inf
    assert not math.isfinite(meter.read()["weight_norm"])


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_non_finite_gradient_norm_is_always_reported(clock, broken):
    meter = Meter(torch.device("cpu"))
    for tokens, norm in enumerate((1.0, broken, 2.0), start=1):
        meter.add(torch.tensor(1.0), torch.tensor(norm), tokens)
    figures = meter.read()
    assert not math.isfinite(figures["gradient_norm"])
    assert not math.isfinite(figures["gradient_norm_max"])
    meter.add(torch.tensor(1.0), NORM, 4)
    assert meter.read()["gradient_norm"] == 1.0
