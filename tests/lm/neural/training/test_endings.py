"""When a run ends, its learning rates until then, and which weights it hands back."""

import itertools
import math

import pytest

from rnnlm.events import Validated, never
from rnnlm.lm.neural.training import state as state_module
from rnnlm.lm.neural.training.optimization import LearningRate
from rnnlm.lm.neural.training.settings import FittingSettings
from support.networks import same, script_validations, steps_of_an_epoch, tick


@pytest.fixture
def data(make_data, sentences):
    return make_data(sentences[:40], sentences[40:50])


@pytest.fixture
def scripted(data, make_trainer):
    """Return a function that makes a trainer with these validations, and the list of its rates."""

    def make(perplexities, **settings):
        trainer = make_trainer(data, batch_rows=4, **settings)
        script_validations(trainer, perplexities)
        rates, step = [], trainer.step
        trainer.step = lambda batch, carry, rate: rates.append(rate) or step(batch, carry, rate)
        return trainer, rates

    return make


def weights_of(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def test_a_budget_in_steps_or_time_ends_with_a_validation(data, make_trainer):
    *_, last_validation, fitted = make_trainer(data, budget="7steps", batch_rows=4).train(never)
    assert isinstance(last_validation, Validated) and last_validation.step == 7
    assert last_validation.epoch == pytest.approx(fitted.tokens / data.train.tokens)
    assert (fitted.steps, fitted.stopped) == (7, "budget")
    trainer = make_trainer(data, budget="2s", batch_rows=4)
    tick(trainer, 0.005)
    *_, validated, fitted = trainer.train(never)
    assert isinstance(validated, Validated) and validated.step == fitted.steps
    assert fitted.stopped == "budget" and 1.8 < fitted.seconds <= 2.1
    assert trainer.schedule.at(1.0) == 0.0 and trainer.optimizer.param_groups[0]["lr"] < 0.001


@pytest.mark.parametrize("epochs", [0.5, 1, 3])
def test_an_epoch_budget_returns_the_last_weights(make_data, make_trainer, sentences, epochs):
    data = make_data(sentences[:40])
    trainer = make_trainer(data, budget=f"{epochs}epochs", batch_rows=4, bptt_tokens=10)
    *_, fitted = trainer.train(never)
    assert fitted.steps == math.ceil(epochs * steps_of_an_epoch(trainer))
    assert fitted.tokens == pytest.approx(epochs * data.train.tokens, abs=4 * 10)
    assert (fitted.step, fitted.best_ppl_token) == (fitted.steps, None)
    assert same(weights_of(fitted.model.network), weights_of(trainer.network))


def test_a_long_time_budget_validates_within_minutes(data, make_trainer):
    """So that a model is saved: a night's run is not to lose hours."""
    trainer = make_trainer(data, budget="10h", batch_rows=4)
    tick(trainer, 1)
    first = next(event for event in trainer.train(never) if isinstance(event, Validated))
    assert 100 < first.seconds < 150


def test_early_stopping_or_a_request_returns_the_best_weights(scripted):
    settings = {"budget": "100steps", "validate_every_steps": 3, "patience": 2}
    trainer, _ = scripted([90.0, 80.0, 85.0, 80.0, 79.0], **settings)
    *events, fitted = trainer.train(never)
    validated = [event for event in events if isinstance(event, Validated)]
    assert [event.step for event in validated] == [3, 6, 9, 12]
    assert [event.improved for event in validated] == [True, True, False, True]
    assert [event.best_ppl_token for event in validated] == [90, 80, 80, 80]
    assert (fitted.stopped, fitted.step, fitted.steps) == ("early", 12, 12)
    assert fitted.best_ppl_token == 80
    trainer, _ = scripted([90.0, 95.0], budget="100steps", validate_every_steps=2)
    *_, fitted = trainer.train(lambda: trainer.step_count >= 5)
    assert (fitted.stopped, fitted.step, fitted.steps) == ("request", 2, 5)


@pytest.mark.parametrize("perplexities, settings, rates, ending", [
    ([90.0, 95.0, 80.0, 81.0, 82.0], {"budget": "10steps", "schedule": "plateau"},
     [8] * 4 + [4] * 4 + [2] * 2, ("budget", 10)),
    ([200.0, 150.0, 149.9, 140.0, 139.9, 120.0],
     {"budget": "100steps", "schedule": "halving", "optimizer": "sgd"},
     [8] * 6 + [4] * 2 + [2] * 2, ("early", 10)),
], ids=["plateau", "halving"])  # fmt: skip
def test_validations_lower_the_rate(scripted, perplexities, settings, rates, ending):
    settings = {"validate_every_steps": 2, "warmup": 0.0, "learning_rate": 0.008, **settings}
    trainer, found = scripted(perplexities, **settings)
    *_, fitted = trainer.train(never)
    assert found == [rate / 1000 for rate in rates] and (fitted.stopped, fitted.steps) == ending


def test_step_lowers_the_rate_epoch_by_epoch(scripted):
    settings = {"warmup": 0.0, "learning_rate": 0.08, "decay_after_epochs": 2, "decay_factor": 0.5}
    trainer, rates = scripted(itertools.repeat(9.0), budget="4epochs", schedule="step", **settings)
    list(trainer.train(never))
    epoch = steps_of_an_epoch(trainer)
    assert epoch > 1 and rates == [0.08] * 2 * epoch + [0.04] * epoch + [0.02] * epoch


@pytest.mark.parametrize("settings, goes_back", [
    ({"schedule": "plateau", "return_to_best": True}, True), ({"schedule": "plateau"}, False),
    ({"schedule": "halving"}, True),
])  # fmt: skip
def test_the_best_weights_are_returned_and_optionally_resumed(scripted, settings, goes_back):
    settings = {"budget": "8steps", "validate_every_steps": 2, "warmup": 0.0, **settings}
    trainer, _ = scripted([90.0, 95.0, 80.0, 85.0], **settings)
    at_validation, before_step, step = {}, {}, trainer.step

    def recording(batch, carry, rate):
        before_step[trainer.step_count] = weights_of(trainer.network)
        return step(batch, carry, rate)

    trainer.step = recording
    for event in trainer.train(never):
        if isinstance(event, Validated):
            at_validation[event.step] = weights_of(trainer.network)
    assert same(before_step[4], at_validation[2]) == goes_back
    # going on, it found better ones
    assert event.step == 6 and same(weights_of(event.model.network), at_validation[6])
    assert not same(at_validation[6], at_validation[8])


def test_a_resumed_run_makes_up_its_last_validation(make_data, make_trainer, sentences):
    """Its weights may be the best ones."""
    data = make_data(sentences[:40], sentences[:40])
    settings = {"budget": "10steps", "validate_every_steps": 4, "learning_rate": 0.02}
    settings |= {"batch_rows": 4, "bptt_tokens": 12}
    *_, whole = make_trainer(data, **settings).train(never)
    assert whole.step == 10
    trainer, later = make_trainer(data, **settings), make_trainer(data, **settings)
    *_, cut = trainer.train(lambda: trainer.step_count == 10)
    assert (cut.stopped, cut.step, cut.steps) == ("request", 8, 10)
    state_module.load_state_dict(later, cut.state)
    *_, validated, fitted = later.train(never)
    assert (validated.step, fitted.stopped, fitted.step) == (10, "budget", 10)
    assert fitted.best_ppl_token == whole.best_ppl_token < cut.best_ppl_token


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
