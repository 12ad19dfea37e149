"""When a run ends, at which rates it trains until then, and which weights it hands back."""

import itertools
import math

import pytest
import torch

from rnnlm.events import Validated, never
from rnnlm.lm.neural.training import state as state_module
from support.networks import script_validations, tick


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


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def steps_of_an_epoch(trainer):
    return next(n for n, (done, _) in enumerate(trainer.source.windows(), 1) if done >= 1)


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
