"""A run that is cut off and goes on takes the steps of one that never was, bit by bit."""

import numpy as np
import pytest
import torch

from rnnlm.errors import ModelError
from rnnlm.events import TrainingState, Validated, never
from rnnlm.lm.neural.training import state as state_module
from support.networks import through_a_file

pytestmark = pytest.mark.long

CASES = [
    {"optimizer": "adamw", "weight_decay": 0.01}, {"optimizer": "adam", "ema_decay": 0.9},
    {"optimizer": "adagrad"},
    {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 1.0},
    {"optimizer": "rmsprop", "momentum": 0.5},
    {"optimizer": "asgd", "asgd_start": 4, "learning_rate": 1.0},
    {"optimizer": "asgd", "nonmonotone_interval": 2, "fine_tune_after": 0.5, "learning_rate": 3.0,
     "schedule": "constant"},
    {"schedule": "plateau", "plateau_factor": 0.3}, {"schedule": "plateau", "return_to_best": True},
    {"schedule": "step", "decay_after_epochs": 1},
    {"bptt_deviation": 3.0, "bptt_short": 0.2, "state_reset": 0.3}, {"line_starts": 0.4},
    {"long_windows": 0.5, "bptt_deviation": 2.0},
    {"unknown_words": 0.5}, {"bptt_lookback": 31, "state_reset": 0.3},
    {"model": "gru", "layers": 2}, {"model": "rnn"}, {"model": "ffnn"},
    {"output_layer": "adaptive", "cutoffs": "20,90", "tied": None},
    {"loss": "sampled", "samples": 9},
]  # fmt: skip
DROPOUT = {"dropout_input": 0.3, "dropout_output": 0.3}


def make(make_trainer, data, settings, budget="16steps"):
    own = {"batch_rows": 4, "bptt_tokens": 12, "validate_every_steps": 4, "learning_rate": 0.02}
    if settings.get("model") != "ffnn":
        own |= {"weight_drop": 0.3, "locked_dropout": True}
    return make_trainer(data, budget=budget, **{**own, **DROPOUT, **settings})


def cut_after(trainer, steps):
    """Stop the run after so many steps, and return its last event."""
    *_, fitted = trainer.train(lambda: trainer.step_count >= steps)
    assert fitted.stopped == "request"
    return fitted


def weights(model):
    return [parameter.detach().clone() for parameter in model.network.parameters()]


def same(some, others):
    return all(torch.equal(one, other) for one, other in zip(some, others, strict=True))


@pytest.mark.parametrize("settings", CASES, ids=str)
def test_a_twice_interrupted_run_ends_the_same(make_data, make_trainer, sentences, settings):
    data = make_data(sentences[:30], sentences[60:70])
    whole = make(make_trainer, data, settings)
    *_, expected = whole.train(lambda: False)
    expected_raw = [parameter.detach().clone() for parameter in whole.averaging.weights]
    assert whole.source.epochs > 1
    state = cut_after(make(make_trainer, data, settings), 6).state
    for steps in (11, 10_000):
        trainer = make(make_trainer, data, settings)
        torch.manual_seed(12345)  # what is drawn next comes from the state
        state_module.load_state_dict(trainer, through_a_file(state))
        *events, fitted = trainer.train(lambda now=trainer, steps=steps: now.step_count >= steps)
        state = fitted.state
    for name in ("steps", "tokens", "step", "best_ppl_token"):
        assert getattr(fitted, name) == getattr(expected, name)
    assert same(weights(fitted.model), weights(expected.model))
    assert same(trainer.averaging.weights, expected_raw)
    assert any(isinstance(event, Validated) for event in events)


def test_raising_a_spent_budget_continues_the_rate(make_data, make_trainer, sentences):
    """A run of 8 steps, then 12 more, is one of 20; the first's last validation leaves no trace."""
    data = make_data(sentences[:30], sentences[60:70])
    settings = {"schedule": "constant", "warmup": 0.0, "validate_every_steps": 5}
    *_, expected = make(make_trainer, data, settings, "20steps").train(lambda: False)
    *_, first = make(make_trainer, data, settings, "8steps").train(lambda: False)
    trainer = make(make_trainer, data, settings, "20steps")
    state_module.load_state_dict(trainer, first.state)
    *_, fitted = trainer.train(lambda: False)
    assert fitted.steps == 20 and same(weights(fitted.model), weights(expected.model))


def test_a_time_budget_counts_from_the_runs_start(make_data, make_trainer, sentences):
    data = make_data(sentences[:40])
    state = cut_after(make(make_trainer, data, {"validate_every_steps": None}, "60s"), 3).state
    later = make(make_trainer, data, {"validate_every_steps": None}, "60s")
    facts = {**state.facts, "clock": {"seconds": 59.0, "set_aside": 0.0}}
    state_module.load_state_dict(later, TrainingState(facts, state.arrays))
    assert later.progress() > 59 / 60
    assert later.clock.elapsed() > 59


def test_an_output_layers_word_order_is_restored(make_data, make_trainer, sentences):
    """And what is derived from it, which is not stored."""
    data = make_data(sentences[:40])
    settings = {"output_layer": "class", "classes": 5, "tied": False}
    cut = make(make_trainer, data, settings)
    with torch.no_grad():
        cut.network.output.arrange(torch.from_numpy(data.tokenizer.counts_V[::-1].copy()))
    cut.network.prepare()
    state = cut_after(cut, 3).state
    trainer = make(make_trainer, data, settings)
    state_module.load_state_dict(trainer, state)
    rank_V = trainer.network.output.rank_V
    assert torch.equal(rank_V, cut.network.output.rank_V)
    assert not torch.equal(rank_V, make(make_trainer, data, settings).network.output.rank_V)


def test_memory_that_runs_out_is_no_damage(make_data, make_trainer, sentences):
    data = make_data(sentences[:40])
    state, trainer = cut_after(make(make_trainer, data, {}), 3).state, make(make_trainer, data, {})

    def full(state):
        raise torch.OutOfMemoryError

    trainer.source.load_state_dict = full
    with pytest.raises(torch.OutOfMemoryError):
        state_module.load_state_dict(trainer, state)


@pytest.mark.parametrize("damage", ["step", "schedule", "carry", "network"])
def test_a_state_of_something_else_is_an_error(make_data, make_trainer, sentences, damage):
    data = make_data(sentences[:40])
    state = cut_after(make(make_trainer, data, {}), 3).state
    facts = {name: value for name, value in state.facts.items() if name != damage}
    arrays = {name: array for name, array in state.arrays.items() if not name.startswith(damage)}
    with pytest.raises(ModelError, match="damaged, or belongs to another run"):
        state_module.load_state_dict(make(make_trainer, data, {}), TrainingState(facts, arrays))


def test_other_row_counts_pass_but_invalid_ones_fail():
    state = TrainingState({"source": {"rows": 6}}, {})
    assert state_module.checked(state).facts["source"]["rows"] == 6
    for rows in (0, -2, 1.5, True, "6", [6]):
        with pytest.raises(ModelError, match="damaged, or belongs to another run"):
            state_module.checked(TrainingState({"source": {"rows": rows}}, {}))


ALL = pytest.param(range(1, 20), marks=pytest.mark.soak)


@pytest.mark.parametrize("stops", [(1, 5, 10, 19), ALL], ids=str)
def test_a_run_may_stop_at_any_step(make_data, make_trainer, sentences, stops):
    """Bit by bit the same weights, whichever of its steps it was cut off after."""
    data = make_data(sentences[:30], sentences[60:64])
    settings = {"optimizer": "adamw", "ema_decay": 0.9, "bptt_deviation": 3.0, "state_reset": 0.3}
    *_, expected = make(make_trainer, data, settings, "20steps").train(never)
    for steps in stops:
        state = cut_after(make(make_trainer, data, settings, "20steps"), steps).state
        trainer = make(make_trainer, data, settings, "20steps")
        state_module.load_state_dict(trainer, through_a_file(state))
        *_, fitted = trainer.train(never)
        assert (fitted.step, fitted.steps, fitted.best) == (expected.step, 20, expected.best)
        assert same(weights(fitted.model), weights(expected.model)), steps


def test_parts_of_another_state_take_the_places_of_those_of_a_state():
    old, new = np.zeros(1), np.ones(1)
    stored = TrainingState({"step": 1, "best": {"cost": 9}}, {"best.w": old, "network.w": old})
    facts = {"step": 2, "best": {"cost": 8}, "good": {}}
    other = TrainingState(facts, {"best.w": new, "good.w": new})
    made = state_module.with_parts(stored, other, ("best", "good"))
    assert made.facts == {"step": 1, "best": {"cost": 8}, "good": {}}
    assert made.arrays == {"best.w": new, "network.w": old, "good.w": new}
