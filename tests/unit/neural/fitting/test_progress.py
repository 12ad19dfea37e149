import math

import pytest
import torch

from rnnlm.neural.fitting import progress as report
from rnnlm.neural.fitting.progress import Report

NORM = torch.tensor(1.0)


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

    monkeypatch.setattr(report.time, "perf_counter", lambda: Clock.now)
    return Clock


def test_a_report_is_the_mean_per_token_since_the_last_one(clock):
    gathered = Report(torch.device("cpu"))
    gathered.add(torch.tensor(2.0), NORM, 10)
    gathered.add(torch.tensor(5.0), NORM, 40)
    clock.now += 2
    assert gathered.due()
    event = gathered.event(step=2, epoch=0.5, rate=0.1, progress=1.5, seconds=2.0)
    assert event.loss_nats == pytest.approx((2 * 10 + 5 * 30) / 40)
    assert (event.tokens, event.tokens_per_second, event.progress) == (40, 20.0, 1.0)
    gathered.add(torch.tensor(7.0), NORM, 50)
    assert gathered.event(3, 0.6, 0.1, 0.5, 3.0).loss_nats == pytest.approx(7.0)


def test_a_report_is_due_after_its_interval_only(clock):
    gathered = Report(torch.device("cpu"))
    gathered.add(torch.tensor(1.0), NORM, 10)
    assert not gathered.due()
    clock.now += report.REPORT_SECONDS
    assert gathered.due()


def test_steps_taken_while_the_losses_travel_belong_to_the_next_report(clock):
    gathered = Report(torch.device("cpu"))
    gathered.add(torch.tensor(1.0), NORM, 10)
    clock.now += 1
    assert gathered.due()
    gathered.add(torch.tensor(3.0), NORM, 20)
    assert gathered.event(1, 0.0, 0.1, 0.0, 1.0).loss_nats == pytest.approx(1.0)
    assert gathered.steps == 1
    assert gathered.event(2, 0.0, 0.1, 0.0, 1.0).loss_nats == pytest.approx(3.0)


def test_what_happens_in_a_pause_does_not_count(clock):
    gathered = Report(torch.device("cpu"))
    gathered.add(torch.tensor(math.pi), NORM, 10)
    clock.now += 50
    gathered.restart()
    gathered.add(torch.tensor(1.0), NORM, 20)
    clock.now += 1
    assert gathered.due()
    event = gathered.event(2, 0.0, 0.1, 0.0, 51.0)
    assert (event.loss_nats, event.tokens_per_second) == (1.0, 10.0)


def test_gradient_norms_are_told_as_mean_and_largest_of_the_steps_reported(clock):
    weight = torch.full((3, 3), 2.0)
    gathered = Report(torch.device("cpu"), weights=[weight, torch.tensor([8.0])])
    for tokens, norm in ((10, 3.0), (40, 6.0)):
        gathered.add(torch.tensor(1.0), torch.tensor(norm), tokens)
    clock.now += 1
    assert gathered.due()
    gathered.add(torch.tensor(1.0), torch.tensor(5.0), 50)
    event = gathered.event(2, 0.0, 0.1, 0.0, 1.0)
    assert (event.gradient_norm, event.gradient_norm_max, event.weight_norm) == (4.5, 6.0, 10.0)
    weight[1, 1] = math.nan
    event = gathered.event(3, 0.0, 0.1, 0.0, 1.0)
    assert (event.gradient_norm, event.gradient_norm_max) == (5.0, 5.0) and math.isnan(event.weight_norm)
    assert not gathered.pending


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_gradient_norm_that_is_no_number_is_told_whatever_comes_after(clock, broken):
    gathered = Report(torch.device("cpu"))
    for tokens, norm in enumerate((1.0, broken, 2.0), start=1):
        gathered.add(torch.tensor(1.0), torch.tensor(norm), tokens)
    event = gathered.event(3, 0.0, 0.1, 0.0, 1.0)
    assert not math.isfinite(event.gradient_norm) and not math.isfinite(event.gradient_norm_max)
    gathered.add(torch.tensor(1.0), NORM, 4)
    assert gathered.event(4, 0.0, 0.1, 0.0, 1.0).gradient_norm == 1.0
