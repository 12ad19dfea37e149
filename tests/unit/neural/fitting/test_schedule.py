"""Learning rates at points worked out by hand."""

import math

import pytest

from rnnlm.neural.fitting.optimization import LearningRate
from rnnlm.neural.fitting.settings import FittingSettings


def rate(progress, epochs=0.0, **settings):
    return LearningRate(
        FittingSettings(**{"learning_rate": 2.0, "final_rate": 0.0, **settings})
    ).at(progress, epochs)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear", "step", "plateau", "halving"])
def test_warm_up_rises_linearly_to_the_peak(schedule):
    assert rate(0.05, schedule=schedule, warmup=0.2) == pytest.approx(0.5)
    assert rate(0.1, schedule=schedule, warmup=0.2) == pytest.approx(1.0)
    assert rate(0.2, schedule=schedule, warmup=0.2) == pytest.approx(2.0)


def test_warm_up_does_not_begin_at_zero():
    assert rate(0.0, schedule="constant", warmup=0.2) > 0


@pytest.mark.parametrize("settings, rates", [
    ({"schedule": "cosine", "warmup": 0.2, "final_rate": 0.1},
     {0.2: 2.0, 0.4: 0.2 + 1.8 * (1 + math.cos(math.pi / 4)) / 2, 0.6: 1.1, 1.0: 0.2, 1.5: 0.2}),
    ({"schedule": "linear", "warmup": 0.0}, {0.0: 2.0, 0.25: 1.5, 0.5: 1.0, 1.0: 0.0}),
    ({"schedule": "constant", "warmup": 0.0}, {0.0: 2.0, 0.5: 2.0, 1.0: 2.0}),
], ids=["cosine", "linear", "constant"])  # fmt: skip
def test_the_rate_falls_to_the_final_share(settings, rates):
    assert {progress: rate(progress, **settings) for progress in rates} == pytest.approx(rates)


def test_plateau_lowers_the_rate_when_patience_runs_out():
    learning_rate = LearningRate(
        FittingSettings(
            learning_rate=2.0,
            schedule="plateau",
            warmup=0.0,
            plateau_factor=0.25,
            plateau_patience=1,
        )
    )
    rates = []
    for improved in (False, True, False, False, False, False, True, False):
        learning_rate.after_validation(100.0, improved)
        rates.append(learning_rate.at(0.5))
    assert rates == [2.0, 2.0, 2.0, 0.5, 0.5, 0.125, 0.125, 0.125]


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear", "step"])
def test_other_schedules_do_not_care_about_validations(schedule):
    learning_rate = LearningRate(FittingSettings(learning_rate=2.0, schedule=schedule, warmup=0.0))
    before = learning_rate.at(0.3)
    assert not learning_rate.after_validation(100.0, False)
    assert learning_rate.at(0.3) == before and not learning_rate.is_used_up


@pytest.mark.parametrize(
    "epochs, expected", [(0.0, 2.0), (2.99, 2.0), (3.0, 1.0), (3.5, 1.0), (4.0, 0.5), (6.2, 0.125)]
)
def test_step_lowers_the_rate_after_its_first_epochs(epochs, expected):
    """Zaremba et al.: after 4 epochs halved with each; here 3, so the fourth epoch is the first at
    a lower rate."""
    assert (
        rate(0.5, epochs, schedule="step", warmup=0.0, decay_after_epochs=3, decay_factor=0.5)
        == expected
    )


def test_plateau_can_demand_a_minimum_gain_in_perplexity():
    """The rate of 1 is halved after each epoch in which the perplexity did not fall by more than 1
    (Kim et al. 2016)."""
    rate = LearningRate(
        FittingSettings(learning_rate=1.0, schedule="plateau", warmup=0.0, plateau_gain=1.0)
    )
    rates = []
    for perplexity, is_best in (
        (200.0, True),
        (150.0, True),
        (149.5, True),
        (148.4, True),
        (160.0, False),
        (150.0, False),
        (147.9, True),
    ):
        rate.after_validation(math.log(perplexity), is_best)
        rates.append(rate.at(0.5))
    assert rates == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.25]
    rate.after_validation(1e6, False)  # a perplexity beyond all numbers is a bad one
    assert rate.at(0.5) == 0.125


def test_plateau_can_return_to_the_best_weights():
    settings = {"schedule": "plateau", "plateau_patience": 1}
    for returns in (True, False):
        learning_rate = LearningRate(FittingSettings(return_to_best=returns, **settings))
        back = [
            learning_rate.after_validation(100.0, improved)
            for improved in (True, False, False, False, True)
        ]
        assert back == [False, False, returns, False, False]


def test_halving_starts_and_ends_with_small_improvements():
    learning_rate = LearningRate(
        FittingSettings(learning_rate=8.0, schedule="halving", warmup=0.0, min_improvement=1.01)
    )
    rates, back, used_up = [], [], []
    for nats, improved in (
        (6.0, True),
        (5.5, True),
        (5.46, True),
        (5.2, True),
        (5.0, True),
        (4.99, True),
    ):
        back.append(learning_rate.after_validation(nats, improved))
        rates.append(learning_rate.at(0.5))
        used_up.append(learning_rate.is_used_up)
    assert rates == [8, 8, 4, 2, 1, 0.5]
    assert used_up == [False] * 5 + [True]
    assert not any(back)


def test_halving_returns_to_best_after_a_worse_validation():
    learning_rate = LearningRate(FittingSettings(learning_rate=8.0, schedule="halving", warmup=0.0))
    found = [
        learning_rate.after_validation(nats, improved)
        for nats, improved in ((5.30, True), (5.52, False), (5.25, True))
    ]
    assert found == [False, True, False]
    # the third improved on the second
    assert learning_rate.at(0.5) == 2.0 and not learning_rate.is_used_up
