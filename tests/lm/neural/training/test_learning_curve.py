"""How many validations a run has, on how much of the text, and that each takes part in the choice."""

import itertools
import math

import pytest

from rnnlm.events import Validated, never
from rnnlm.lm.neural.training import state as state_module, validation
from support.networks import tick

pytestmark = pytest.mark.long

TINY = {"batch_rows": 4, "bptt_tokens": 12, "dropout_output": 0.3}
FOLLOWERS = [
    {"patience": 2}, {"schedule": "plateau", "plateau_factor": 0.3},
    {"optimizer": "asgd", "nonmonotone_interval": 1, "learning_rate": 3.0, "schedule": "constant"},
    {"ema_decay": 0.9, "schedule": "constant", "learning_rate": 0.05},
]  # fmt: skip


@pytest.fixture
def data(make_data, sentences):
    return make_data(sentences[:30], sentences[30:34])


@pytest.fixture
def cheap(monkeypatch):
    """Make validations cost next to nothing."""
    monkeypatch.setattr(validation, "PASS_COST", 0.001)


def points(events):
    return [event for event in events if isinstance(event, Validated)]


@pytest.mark.parametrize("budget, wanted, found", [
    ("47steps", 20, 20), ("15steps", 20, 15), ("40steps", 7, 7), ("0.5epochs", 5, 5),
    ("2epochs", 5, 6), ("3epochs", 3, 3),
])  # fmt: skip
def test_validations_lie_evenly_over_the_budget(data, make_trainer, cheap, budget, wanted, found):
    settings = {**TINY, "bptt_tokens": 8, "batch_rows": 2}
    trainer = make_trainer(data, budget=budget, min_validations=wanted, **settings)
    *events, fitted = trainer.train(never)
    steps = [0, *(event.step for event in points(events))]
    assert len(steps) - 1 == found and steps[-1] == fitted.steps
    gaps = [later - earlier for earlier, later in itertools.pairwise(steps)]
    assert max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize("settings", FOLLOWERS, ids=str)
def test_steps_are_the_same_without_them(data, make_trainer, cheap, settings):
    def run(wanted):
        usual = {**TINY, "budget": "3epochs", "min_validations": wanted}
        *events, fitted = make_trainer(data, **{**usual, **settings}).train(never)
        return points(events), fitted

    (bare, expected), (found, fitted) = run(0), run(20)
    at_ends = [(event.step, event.ppl_token) for event in found if event.epoch.is_integer()]
    assert [(event.step, event.ppl_token) for event in bare] == at_ends
    assert len(found) > 2 * len(bare)
    assert (fitted.steps, fitted.stopped) == (expected.steps, expected.stopped)
    assert fitted.best <= expected.best


@pytest.mark.parametrize("budget", ["20steps", "3epochs"])
def test_every_validation_takes_part_in_the_choice(data, make_trainer, cheap, budget):
    settings = {**TINY, "learning_rate": 0.5}  # so high that the last ones are not the best
    *events, fitted = make_trainer(data, budget=budget, **settings).train(never)
    shown = {event.step: event.ppl_token for event in points(events)}
    assert len(shown) > 10
    assert fitted.best == min(shown.values()) == shown[fitted.step]
    best = math.inf
    for event in points(events):
        best = min(best, event.ppl_token)
        assert event.best == best and event.improved == (event.ppl_token == best)


def test_an_interrupted_run_has_the_same_points(data, make_trainer, cheap):
    settings = {**TINY, "bptt_tokens": 8, "batch_rows": 2}
    settings |= {"min_validations": 10, "budget": "45steps"}
    *expected, _ = make_trainer(data, **settings).train(never)
    found, state = [], None
    # they are due after 5, 9, 14, 18 ... steps: that of 9 is cut off, and made up for
    for steps in (9, 17, 1000):
        trainer = make_trainer(data, **settings)
        if state:
            state_module.load_state_dict(trainer, state)
        *events, fitted = trainer.train(lambda now=trainer, steps=steps: now.step_count >= steps)
        found, state = [*found, *points(events)], fitted.state
    expected = [(event.step, event.ppl_token) for event in points(expected)]
    assert [(event.step, event.ppl_token) for event in found] == expected


def test_validations_by_steps_add_no_others(data, make_trainer):
    *events, _ = make_trainer(data, budget="20steps", validate_every_steps=10, **TINY).train(never)
    assert [(event.step, event.share) for event in points(events)] == [(10, 1.0), (20, 1.0)]


@pytest.mark.parametrize(("affordable", "ends", "wanted", "expected"), [
    (2_000_000, 1, 20, (50_000, 40)),  # all on the whole text
    (600_000, 1, 20, (50_000, 12)),  # fewer
    (300_000, 1, 20, (30_000, 10)),  # ten, on a part of it
    (30_000, 1, 20, (10_000, 3)),  # fewer, on a part that says something
    (30_000, 10, 20, (3_000, 10)),  # but the ends of epochs come first
    (100, 1, 20, (1_000, 1)),
    (100_000, 3, 0, (33_333, 3)),
])  # fmt: skip
def test_validations_share_what_they_may_cost(affordable, ends, wanted, expected):
    assert validation.ration(50_000, affordable, ends, wanted) == expected


@pytest.mark.parametrize("size, is_exact, cost", [
    (150_000, True, validation.PASS_COST), (8_000, False, validation.PASS_COST_SAMPLED),
    (350_000, False, 10 * validation.PASS_COST_SAMPLED),
])  # fmt: skip
def test_a_pass_over_many_words_costs_more_than_a_step_on_some(size, is_exact, cost):
    assert validation.cost_of_pass(math.log(size), is_exact) == pytest.approx(cost)


def test_validations_of_short_runs_cost_a_tenth(make_data, make_trainer, sentences):
    data = make_data(sentences[:50] * 20, sentences[:50] * 5)
    trainer = make_trainer(data, budget="50steps", batch_rows=16, bptt_tokens=8)
    read = 0
    for event in trainer.train(never):
        if isinstance(event, Validated):
            read += round(event.share * data.valid.tokens)
            assert event.share < 1
    assert validation.PASS_COST * read <= 0.1 * trainer.source.tokens


def test_a_part_is_spread_over_the_text(make_data, make_trainer, sentences):
    whole = make_trainer(make_data(sentences, sentences * 20)).validation.whole
    part = whole.part(whole.tokens // 4)
    assert 0.2 < part.tokens / whole.tokens <= 0.26
    assert part.spans[-1, 1] > 0.7 * whole.tokens
    assert part.run(never).metric == pytest.approx(whole.run(never).metric, rel=0.2)


@pytest.mark.parametrize("budget, a_look, share", [("20s", 0.04, 0.1), ("200s", 0.4, 0.04)])
def test_a_time_budget_spends_little_on_them(data, make_trainer, cheap, budget, a_look, share):
    trainer = make_trainer(data, budget=budget, **TINY)
    tick(trainer, a_look)
    *events, fitted = trainer.train(never)
    assert len(points(events)) >= 20 and fitted.stopped == "budget"
    assert trainer.validation.spent <= share * fitted.seconds


@pytest.mark.parametrize("budget, is_curve", [("100s", True), ("120s", False)])
def test_a_minute_of_training_gives_a_curve(make_data, make_trainer, sentences, budget, is_curve):
    """The validation text is long: two minutes afford fewer looks at a larger part of it."""
    trainer = make_trainer(make_data(sentences[:30], sentences * 20), budget=budget, **TINY)
    tick(trainer, 0.2)
    *events, _ = trainer.train(never)
    assert (trainer.validation.count >= 8) is is_curve
    assert len(points(events)) >= 8


@pytest.mark.parametrize("seconds, a_look", [(10, 0.03), (12, 0.05), (13, 0.03), (13, 0.05)])
def test_a_time_budget_does_not_validate_the_last_weights_twice(
    data, make_trainer, seconds, a_look
):
    trainer = make_trainer(data, budget=f"{seconds}s", **TINY)
    tick(trainer, a_look)
    steps = [event.step for event in points(trainer.train(never))]
    assert len(steps) > 5 and len(set(steps)) == len(steps)
