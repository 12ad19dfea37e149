"""Each kind of fault is noticed; the run returns to its last good state, at a lower rate."""

import json
import math

import numpy as np
import pytest
import torch

from rnnlm.config import Budget
from rnnlm.events import Checkpoint, Fitted, RolledBack, Step, TrainingState, Validated, never
from rnnlm.lm.neural.training import state as state_module
from rnnlm.lm.neural.training.settings import BudgetInterval
from support.networks import script_validations

pytestmark = pytest.mark.long

SETTINGS = {
    "batch_rows": 4, "bptt_tokens": 12, "dropout_output": 0.3, "budget": "20steps",
    "learning_rate": 0.02,
}  # fmt: skip
SAMPLED = {"loss": "sampled", "samples": 5, "tied": False}
RUNS = [
    {}, {"clip_norm": None}, {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.5},
    {"optimizer": "adagrad"},
    {"ema_decay": 0.9, "schedule": "plateau"}, {"optimizer": "asgd", "asgd_start": 9},
    {"bptt_deviation": 3.0, "state_reset": 0.3}, {"long_windows": 0.5},
    {"optimizer": "asgd", "nonmonotone_interval": 1, "fine_tune_after": 0.5, "schedule": "constant",
     "learning_rate": 3.0},
]  # fmt: skip


def broken_by(trainer, fault, after=11, healed_by=1):
    """Make `fault` happen in the step after so many, in every attempt before number `healed_by`."""
    step = trainer.step

    def wrapped(batch, carry, rate):
        is_hit = trainer.step_count >= after and trainer.rollbacks.count < healed_by
        return fault(trainer, lambda: step(batch, carry, rate), is_hit)

    trainer.step = wrapped
    return trainer


def lost_loss(trainer, step, is_hit):
    loss, state = step()
    return (loss * math.nan if is_hit else loss), state


def lost_gradient(trainer, step, is_hit):
    """Make one element of one gradient infinite."""
    if not is_hit:
        return step()

    def spoil(gradient):
        gradient = gradient.clone()
        gradient[0, 0] = math.inf
        return gradient

    matrices = (weight for weight in trainer.network.parameters() if weight.dim() == 2)
    handle = next(matrices).register_hook(spoil)
    found = step()
    handle.remove()
    return found


def lost_weight(trainer, step, is_hit):
    """Take a step, and lose a weight of the output layer, in a row that noise need not touch."""
    found = step()
    if is_hit:
        with torch.no_grad():
            next(reversed(list(trainer.network.parameters()))).view(-1)[-1] = math.nan
    return found


def exploded(trainer, step, is_hit):
    """Make the weights huge, but finite."""
    found = step()
    if is_hit:
        with torch.no_grad():
            for parameter in trainer.network.parameters():
                parameter.mul_(1e4)
    return found


FAULTS = [lost_loss, lost_gradient, lost_weight, exploded]


def run(trainer, stop=never):
    events = list(trainer.train(stop))
    return events, [event for event in events if isinstance(event, RolledBack)], events[-1]


def weights(fitted):
    return [parameter.detach().clone() for parameter in fitted.model.network.parameters()]


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


@pytest.fixture
def make(make_data, make_trainer, sentences):
    """Return a function that makes a trainer with SETTINGS and changes to them."""

    def make(valid=True, lines=30, **settings):
        data = make_data(sentences[:lines], sentences[60:66] if valid else None)
        return make_trainer(data, **{**SETTINGS, **settings})

    return make


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("settings", [{}, SAMPLED], ids=str)
def test_runs_recover_from_faults_at_a_lower_rate(make, eager_snapshots, fault, settings):
    trainer = make(valid=False, **settings, schedule="constant", warmup=0.0)
    events, (rollback,), fitted = run(broken_by(trainer, fault))
    assert rollback.to_step == 11
    assert rollback.step in ((12, 13, 14) if fault is exploded else (12,))
    assert (rollback.count, rollback.left, rollback.rate_factor) == (1, 2, 0.5)
    assert ("nats per target" if fault is exploded else "is not a number") in rollback.why
    assert (fitted.stopped, fitted.step, fitted.steps) == ("budget", 20, 20)
    assert fitted.facts == {"rollbacks": 1}
    assert all(weight.isfinite().all() for weight in weights(fitted))
    later = [event for event in events[events.index(rollback) :] if isinstance(event, Step)]
    assert {event.step for event in later} == set(range(12, 21))
    assert {event.learning_rate for event in later} == {0.01}


@pytest.mark.parametrize("settings", RUNS, ids=str)
def test_a_rollback_equals_starting_there_at_that_rate(make, eager_snapshots, settings):
    own = {"validate_every_steps": 4, **settings}
    trainer = broken_by(make(**own), lost_weight, after=14)
    for event in trainer.train(never):
        if isinstance(event, RolledBack):
            good = trainer.rollbacks.good
            facts = json.loads(json.dumps(good.facts))
            arrays = {name: array.copy() for name, array in good.arrays.items()}
    facts["rollbacks"]["count"] = 1
    other = make(**own)
    torch.manual_seed(99)
    state_module.load_state_dict(other, TrainingState(facts, arrays))
    *_, expected = other.train(never)
    assert (event.stopped, event.best_ppl_token) == (expected.stopped, expected.best_ppl_token)
    for name in ("step", "steps", "tokens"):
        assert getattr(event, name) == getattr(expected, name)
    assert equal(event, expected)


def test_recorded_iterations_begin_anew_with_the_state(make, eager_snapshots):
    """A recording knows the optimizer's arrays of before."""
    trainer = broken_by(make(), lost_gradient)
    before = trainer.update
    run(trainer)
    assert trainer.update is not before


@pytest.mark.parametrize("rollbacks", [0, 1, 3])
def test_rollbacks_are_limited_and_return_good_weights(make, eager_snapshots, rollbacks):
    trainer = make(valid=False, rollbacks=rollbacks)
    good = None
    for event in broken_by(trainer, lost_loss, healed_by=99).train(never):
        if isinstance(event, Step) and event.step == 11 and good is None:
            good = [parameter.detach().clone() for parameter in trainer.network.parameters()]
        if isinstance(event, RolledBack):
            rollback = event
    assert (event.stopped, event.step) == ("diverged", 11) and event.state is None
    assert all(torch.equal(a, b) for a, b in zip(weights(event), good, strict=True))
    assert event.facts["divergence"].startswith("the loss is not a number by step 12")
    if rollbacks:
        factor = 0.5**rollbacks
        assert (rollback.count, rollback.left, rollback.rate_factor) == (rollbacks, 0, factor)
        assert event.facts["divergence"].endswith(f"to {factor:g} of the learning rate")


def test_large_losses_on_noise_words_are_no_fault(make, eager_snapshots):
    """It is on another scale than the uniform guess."""
    trainer = make(loss="nce", samples=9)
    step = trainer.step

    def huge(*given):
        loss, carry = step(*given)
        return torch.full_like(loss, 300.0), carry

    trainer.step = huge
    events, rollbacks, fitted = run(trainer)
    losses = [event.loss_nats for event in events if isinstance(event, Step)]
    assert max(losses) > trainer.divergence.limit
    assert fitted.stopped == "budget" and not rollbacks


def test_a_fault_before_a_stored_state_goes_back_to_the_beginning(make):
    trainer = broken_by(make(rollback_factor=0.1), lost_loss, after=0, healed_by=2)
    _, rollbacks, fitted = run(trainer)
    assert [each.to_step for each in rollbacks] == [0, 0]
    assert [each.rate_factor for each in rollbacks] == pytest.approx([0.1, 0.01])
    assert (fitted.stopped, fitted.steps) == ("budget", 20) and fitted.best_ppl_token < 1000
    _, (rollback,), fitted = run(broken_by(make(valid=False, lines=60), exploded, after=19))
    assert (rollback.step, rollback.to_step) == (20, 0)
    assert "nats per target by step 20" in rollback.why and fitted.stopped == "budget"
    assert all(weight.abs().max() < 100 for weight in weights(fitted))


@pytest.mark.parametrize("budget", ["0.3s", "100steps"])
def test_without_a_good_step_no_model_is_made(make, budget):
    _, _, fitted = run(broken_by(make(budget=budget), lost_loss, after=0, healed_by=99))
    assert (fitted.stopped, fitted.step) == ("diverged", 0)
    assert "the loss is not a number" in fitted.facts["divergence"]
    assert fitted.seconds < 60


def test_too_high_a_rate_is_lowered_until_right(make):
    wild = {"optimizer": "sgd", "clip_norm": None, "schedule": "constant", "warmup": 0.0}
    _, rollbacks, fitted = run(make(**wild, rollback_factor=1e-4, learning_rate=1e8))
    assert 1 <= len(rollbacks) <= 3 and all(each.why for each in rollbacks)
    assert fitted.stopped == "budget" and fitted.best_ppl_token < 1000


@pytest.mark.parametrize("fault", [lost_weight, exploded])
def test_no_state_is_stored_that_is_not_good(make, fault):
    trainer = make(rollbacks=0)
    trainer.saving = BudgetInterval(Budget.parse("2steps"))
    events = broken_by(trainer, fault, after=7).train(never)
    told = [event for event in events if isinstance(event, Checkpoint)]
    assert [event.step for event in told] == [2, 4, 6]
    for event in told:
        for name, array in event.state.arrays.items():
            assert not name.startswith("network.") or np.abs(array).max(initial=0) < 100


def test_a_fault_goes_back_to_the_stored_state_and_the_best_weights_stay(make):
    trainer = make()
    trainer.saving = BudgetInterval(Budget.parse("5steps"))
    _, (rollback,), _ = run(broken_by(trainer, lost_loss, after=13))
    assert rollback.to_step == 10
    trainer = broken_by(make(validate_every_steps=3), lost_weight, after=13, healed_by=99)
    events, rollbacks, fitted = run(trainer)
    validated = [event for event in events if isinstance(event, Validated)]
    best = min(validated, key=lambda event: event.ppl_token)
    assert (fitted.stopped, fitted.step) == ("diverged", best.step)
    assert fitted.best_ppl_token == best.ppl_token
    assert all(best.step <= each.to_step <= 13 for each in rollbacks)
    assert [event.step for event in validated].count(best.step) == 1


def test_a_second_bad_validation_is_a_fault_too(make):
    trainer = make(validate_every_steps=4)
    script_validations(trainer, [50.0, 1e30, 1e31, 40.0, 30.0, 20.0, 10.0, 9.0, 8.0, 7.0])
    _, (rollback,), fitted = run(trainer)
    assert (rollback.step, rollback.to_step) == (12, 4)
    assert "the validation text has" in rollback.why
    assert fitted.stopped == "budget" and fitted.best_ppl_token < 40


def test_a_text_of_unknown_words_is_no_fault(make_data, make_trainer):
    """Its loss rises far above that of a guess while the network learns that it has no such words."""
    data = make_data(["a b", "b a"] * 20, ["x y z"] * 20)
    settings = {**SETTINGS, "budget": "200steps", "validate_every_steps": 20}
    settings |= {"unknown_words": 0.0, "dropout_output": 0.0}
    events, rollbacks, fitted = run(make_trainer(data, **settings))
    highest = max(event.ppl_token for event in events if isinstance(event, Validated))
    assert math.log(highest) > 2 * math.log(data.tokenizer.size) + 5
    assert not rollbacks and fitted.stopped == "budget"


def test_a_run_that_is_stopped_after_it_went_back_has_not_diverged(make):
    trainer = broken_by(make(), lost_loss, after=0)
    *_, fitted = run(trainer, stop=lambda: trainer.rollbacks.count)
    assert (fitted.stopped, fitted.steps) == ("request", 0)


def test_a_resumed_run_remembers_its_rollbacks_and_rate(make, eager_snapshots):
    first = broken_by(make(), lost_loss)
    _, _, cut = run(first, stop=lambda: first.rollbacks.count and first.step_count >= 15)
    assert (cut.stopped, cut.steps) == ("request", 15)
    later = make()
    state_module.load_state_dict(later, cut.state)
    assert later.rollbacks.count == 1
    _, (rollback,), fitted = run(broken_by(later, lost_loss, after=17, healed_by=2))
    assert (rollback.to_step, rollback.count, rollback.left) == (17, 2, 1)
    assert rollback.rate_factor == 0.25 and fitted.stopped == "budget"


@pytest.mark.parametrize("fault, stopped", [(lost_weight, "diverged"), (exploded, "request")])
def test_a_stop_request_never_stores_a_lost_state(make, eager_snapshots, fault, stopped):
    trainer = broken_by(make(valid=False), fault, after=11, healed_by=99)
    *_, fitted = run(trainer, stop=lambda: trainer.step_count >= 12)
    assert fitted.stopped == stopped
    assert (fitted.step if stopped == "diverged" else fitted.state.facts["step"]) == 11


def test_time_goes_on(make, eager_snapshots):
    events, _, _ = run(broken_by(make(), lost_loss))
    seconds = [event.seconds for event in events if isinstance(event, (Step, RolledBack, Fitted))]
    assert seconds == sorted(seconds)
    assert all(event.tokens_per_second > 0 for event in events if isinstance(event, Step))
