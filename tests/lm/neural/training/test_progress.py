import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from rnnlm.lm.neural.training import progress
from rnnlm.lm.neural.training.progress import Meter
from support.output_layers import LAYERS, E, V, ready


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(progress.time, "perf_counter", lambda: clock.now)
    return clock


def meter_of(*steps, meter=None, **settings):
    """Return a meter that was given the loss, the tokens and the gradient norms of these steps."""
    meter = meter or Meter(torch.device("cpu"), **settings)
    for loss, tokens, *norm in steps:
        meter.add(torch.tensor(loss), torch.tensor(*(norm or [1.0])), tokens)
    return meter


def test_a_report_averages_over_tokens_since_the_last(clock):
    meter = meter_of((2.0, 10), (5.0, 40))
    assert not meter.due() and progress.REPORT_SECONDS <= 2
    clock.now += 2
    assert meter.due()
    figures = meter.read()
    assert figures["loss_nats"] == pytest.approx((2 * 10 + 5 * 30) / 40)
    assert (figures["tokens"], figures["tokens_per_second"]) == (40, 20.0)
    assert meter_of((7.0, 50), meter=meter).read()["loss_nats"] == pytest.approx(7.0)


def test_steps_during_a_transfer_join_the_next_report(clock):
    meter = meter_of((1.0, 10))
    clock.now += 1
    assert meter.due()
    meter_of((3.0, 20), meter=meter)
    assert meter.read()["loss_nats"] == pytest.approx(1.0)
    assert meter.pending and meter.read()["loss_nats"] == pytest.approx(3.0)


def test_what_happens_in_a_pause_does_not_count(clock):
    meter = meter_of((math.pi, 10))
    clock.now += 50
    meter.restart(10)
    meter_of((1.0, 20), meter=meter)
    clock.now += 1
    assert meter.due()
    figures = meter.read()
    assert (figures["loss_nats"], figures["tokens_per_second"]) == (1.0, 10.0)


def test_reports_give_mean_and_largest_gradient_norms(clock):
    network = nn.Linear(3, 3)
    for weight, value in ((network.weight, 2.0), (network.bias, 8 / math.sqrt(3))):
        nn.init.constant_(weight, value)
    meter = meter_of((1.0, 10, 3.0), (1.0, 40, 6.0), network=network)
    clock.now += 1
    assert meter.due()
    meter_of((1.0, 50, 5.0), meter=meter)
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
    named = dict(network.named_parameters())
    kept = [named[key] for key in named if "bias" not in key or key.startswith("body")]
    assert len(kept) < len(named)
    expected = math.sqrt(sum(weight.double().square().sum().item() for weight in kept))
    meter = Meter(torch.device("cpu"), network=network)
    assert meter.read()["weight_norm"] == pytest.approx(expected)
    next(weight for name, weight in layer.named_parameters() if "bias" in name).data[0] = math.inf
    assert not math.isfinite(meter.read()["weight_norm"])


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_non_finite_gradient_norm_is_always_reported(clock, broken):
    meter = meter_of((1.0, 1, 1.0), (1.0, 2, broken), (1.0, 3, 2.0))
    figures = meter.read()
    assert not math.isfinite(figures["gradient_norm"])
    assert not math.isfinite(figures["gradient_norm_max"])
    assert meter_of((1.0, 4), meter=meter).read()["gradient_norm"] == 1.0
