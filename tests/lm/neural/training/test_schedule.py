"""Learning rates at points worked out by hand."""

import math

import pytest

from rnnlm.lm.neural.training.optimization import LearningRate
from rnnlm.lm.neural.training.settings import FittingSettings


def schedule_of(**settings):
    return LearningRate(FittingSettings(**{"warmup": 0.0, **settings}))


def rate(progress, epochs=0.0, **settings):
    usual = {"learning_rate": 2.0, "final_rate": 0.0}
    return schedule_of(**{**usual, **settings}).at(progress, epochs)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear", "step", "plateau", "halving"])
def test_warm_up_rises_linearly_to_the_peak(schedule):
    rates = [rate(progress, schedule=schedule, warmup=0.2) for progress in (0.05, 0.1, 0.2)]
    assert rates == pytest.approx([0.5, 1.0, 2.0])
    assert rate(0.0, schedule=schedule, warmup=0.2) > 0


def rates_after(schedule, *found):
    """Return the rates after these validations, and whether each goes back to the best weights."""
    back, rates = [], []
    for nats, improved in found:
        back.append(schedule.after_validation(nats, improved))
        rates.append(schedule.at(0.5))
    return rates, back


@pytest.mark.parametrize("settings, rates", [
    ({"schedule": "cosine", "warmup": 0.2, "final_rate": 0.1},
     {0.2: 2.0, 0.4: 0.2 + 1.8 * (1 + math.cos(math.pi / 4)) / 2, 0.6: 1.1, 1.0: 0.2, 1.5: 0.2}),
    ({"schedule": "linear", "warmup": 0.0}, {0.0: 2.0, 0.25: 1.5, 0.5: 1.0, 1.0: 0.0}),
    ({"schedule": "constant", "warmup": 0.0}, {0.0: 2.0, 0.5: 2.0, 1.0: 2.0}),
], ids=["cosine", "linear", "constant"])  # fmt: skip
def test_the_rate_falls_to_the_final_share(settings, rates):
    assert {progress: rate(progress, **settings) for progress in rates} == pytest.approx(rates)


@pytest.mark.parametrize("returns", [False, True])
def test_plateau_lowers_the_rate_when_patience_runs_out(returns):
    settings = {"schedule": "plateau", "plateau_factor": 0.25, "plateau_patience": 1}
    schedule = schedule_of(learning_rate=2.0, return_to_best=returns, **settings)
    improved = (False, True, False, False, False, False, True, False)
    rates, back = rates_after(schedule, *((100.0, each) for each in improved))
    assert rates == [2.0, 2.0, 2.0, 0.5, 0.5, 0.125, 0.125, 0.125]
    # It may go back to the best weights.
    assert back == [False] * 3 + [returns, False, returns, False, False]


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear", "step"])
def test_other_schedules_do_not_care_about_validations(schedule):
    learning_rate = schedule_of(learning_rate=2.0, schedule=schedule)
    before = learning_rate.at(0.3)
    assert not learning_rate.after_validation(100.0, False)
    assert learning_rate.at(0.3) == before and not learning_rate.is_used_up


@pytest.mark.parametrize("epochs, expected", [
    (0.0, 2.0), (2.99, 2.0), (3.0, 1.0), (3.5, 1.0), (4.0, 0.5), (6.2, 0.125),
])  # fmt: skip
def test_step_lowers_the_rate_after_its_first_epochs(epochs, expected):
    """As in Zaremba et al.: after some epochs, here 3, halved with each."""
    settings = {"schedule": "step", "decay_after_epochs": 3, "decay_factor": 0.5}
    assert rate(0.5, epochs, **settings) == expected


def test_plateau_can_demand_a_minimum_gain_in_perplexity():
    """Halved after each epoch whose perplexity did not fall by more than 1 (Kim et al. 2016)."""
    schedule = schedule_of(learning_rate=1.0, schedule="plateau", plateau_gain=1.0)
    perplexities = (200.0, 150.0, 149.5, 148.4, 160.0, 150.0, 147.9)
    improved = (True, True, True, True, False, False, True)
    found = zip(map(math.log, perplexities), improved, strict=True)
    assert rates_after(schedule, *found)[0] == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.25]
    # a perplexity beyond all numbers is a bad one
    assert rates_after(schedule, (1e6, False))[0] == [0.125]


def test_halving_follows_small_improvements_and_returns_to_the_best():
    schedule = schedule_of(learning_rate=8.0, schedule="halving", min_improvement=1.01)
    found = [(nats, True) for nats in (6.0, 5.5, 5.46, 5.2, 5.0, 4.99)]
    rates, back = rates_after(schedule, *found[:5])
    assert rates == [8, 8, 4, 2, 1] and not any(back) and not schedule.is_used_up
    assert rates_after(schedule, found[5]) == ([0.5], [False]) and schedule.is_used_up
    schedule = schedule_of(learning_rate=8.0, schedule="halving")
    rates, back = rates_after(schedule, (5.30, True), (5.52, False), (5.25, True))
    assert back == [False, True, False]
    # the third improved on the second
    assert rates[-1] == 2.0 and not schedule.is_used_up
