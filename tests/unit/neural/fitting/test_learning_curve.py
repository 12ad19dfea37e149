"""Validations between those that choose: enough of them for a curve, and the run is the same with
and without them."""

import itertools
from types import SimpleNamespace

import pytest
import torch

from rnnlm.events import Validated, never
from rnnlm.neural.fitting import budget
from rnnlm.neural.fitting import state as state_module

TINY = {"batch_rows": 4, "bptt_tokens": 12, "dropout_output": 0.3}
FOLLOWERS = [
    {"patience": 2}, {"schedule": "plateau", "plateau_factor": 0.3, "return_to_best": True},
    {"optimizer": "asgd", "nonmonotone_interval": 1, "fine_tune_after": 0.4, "learning_rate": 3.0,
     "schedule": "constant"},
    {"ema_decay": 0.9, "schedule": "constant", "learning_rate": 0.05},
]  # fmt: skip


@pytest.fixture
def data(make_data, sentences):
    return make_data(sentences[:30], sentences[30:36])


def points(events, chooses=None):
    return [
        event
        for event in events
        if isinstance(event, Validated) and chooses in (None, event.chooses)
    ]


@pytest.mark.parametrize("budget, wanted, found", [
    ("47steps", 20, 20), ("15steps", 20, 15), ("40steps", 7, 7), ("0.5epochs", 5, 5),
    ("2epochs", 5, 6), ("3epochs", 3, 3),
])  # fmt: skip
def test_they_number_so_many_and_lie_evenly_over_the_budget(
    data, make_trainer, budget, wanted, found
):
    settings = {**TINY, "bptt_tokens": 8, "batch_rows": 2}
    *events, fitted = make_trainer(data, budget=budget, min_validations=wanted, **settings).train(
        never
    )
    steps = [0, *(event.step for event in points(events))]
    assert len(steps) - 1 == found and steps[-1] == fitted.steps
    gaps = [later - earlier for earlier, later in itertools.pairwise(steps)]
    assert max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize("settings", FOLLOWERS, ids=str)
def test_a_run_is_the_same_without_them(data, make_trainer, settings):
    def run(wanted):
        trainer = make_trainer(
            data, budget="4epochs", min_validations=wanted, **{**TINY, **settings}
        )
        return trainer.network, *trainer.train(never)

    (network, *bare, expected), (other_network, *events, fitted) = run(0), run(20)
    assert [(event.step, event.ppl_token, event.best) for event in points(bare)] == [
        (event.step, event.ppl_token, event.best) for event in points(events, chooses=True)
    ]
    assert len(points(events)) > 2 * len(points(bare))
    assert (fitted.step, fitted.steps, fitted.stopped, fitted.best) == (
        expected.step,
        expected.steps,
        expected.stopped,
        expected.best,
    )
    for one, other in zip(network.parameters(), other_network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_one_is_no_candidate_for_the_best_weights(data, make_trainer):
    *events, _ = make_trainer(data, budget="20steps", **TINY).train(never)
    first, *between = points(events, chooses=False)
    assert first.best is None and not any(event.improved for event in [first, *between])
    assert first.record()["best_ppl_token"] is None and first.record()["chooses"] is False


def test_a_run_cut_off_has_the_points_of_one_that_was_not(data, make_trainer):
    settings = {
        **TINY,
        "bptt_tokens": 8,
        "batch_rows": 2,
        "budget": "45steps",
        "min_validations": 10,
    }
    *expected, _ = make_trainer(data, **settings).train(never)
    found, state = [], None
    # they are due after 5, 9, 14, 18 ... steps: that of 9 is cut off, and made up for
    for steps in (9, 17, 1000):
        trainer = make_trainer(data, **settings)
        if state:
            state_module.load_state_dict(trainer, state)
        *events, fitted = trainer.train(
            lambda trainer=trainer, steps=steps: trainer.step_count >= steps
        )
        found, state = [*found, *points(events)], fitted.state
    assert [(event.step, event.ppl_token) for event in found] == [
        (event.step, event.ppl_token) for event in points(expected)
    ]


def test_validations_that_come_by_steps_are_all_there_are(data, make_trainer):
    *events, _ = make_trainer(data, budget="20steps", validate_every_steps=10, **TINY).train(never)
    assert [(event.step, event.chooses) for event in points(events)] == [(10, True), (20, True)]


def test_costly_ones_take_a_tenth_of_a_long_run(data, make_trainer, monkeypatch):
    """On a clock that goes on by 40 seconds with each look at it, a validation takes 40 seconds at
    least."""
    ticks = itertools.count(step=40)
    monkeypatch.setattr(budget, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    trainer = make_trainer(data, budget="60steps", **TINY)
    *events, fitted = trainer.train(never)
    assert 1 < len(points(events, chooses=False)) < 20
    assert trainer.curve.spent <= 0.1 * fitted.seconds


def test_a_budget_in_time_has_them_too_for_a_tenth_of_it(data, make_trainer, monkeypatch):
    ticks = itertools.count(step=0.01)
    monkeypatch.setattr(budget, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    trainer = make_trainer(data, budget="8s", **TINY)
    *events, fitted = trainer.train(never)
    assert len(points(events)) >= 20 and fitted.stopped == "budget"
    assert points(events)[0].chooses  # which finds out what one costs
    assert trainer.curve.spent <= 0.1 * fitted.seconds
