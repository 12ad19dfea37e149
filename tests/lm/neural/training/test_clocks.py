"""The clock changes nothing in a run whose budget is in steps: not its weights, not its rollbacks."""

import itertools
import random

import pytest
import torch

from rnnlm.events import Checkpoint, RolledBack, Validated, never
from rnnlm.lm.neural.training import state as state_module
from support.networks import tick

pytestmark = pytest.mark.long

# Seconds between two looks at the clock. Under the first a run never comes to ten seconds.
JUMPS = [itertools.cycle([0, 0, 7]), itertools.cycle([0.2, 30]), itertools.cycle([50, *[0.1] * 40])]
FEW = [1e-6, JUMPS[2]]
MANY = [1e-6, 0.001, 0.01, 0.1, 0.5, 3, 20, *JUMPS[:2]]
under_clocks = pytest.mark.parametrize(
    "clocks", [FEW, pytest.param(MANY, marks=pytest.mark.soak)], ids=["few", "many"]
)

MEMORY = {
    "batch_rows": 32, "bptt_tokens": 16, "hidden_size": 32, "embedding_size": 16, "tied": False,
    "schedule": "constant", "min_validations": 0,
}  # fmt: skip
WILD = {
    "batch_rows": 4, "bptt_tokens": 12, "dropout_output": 0.3, "optimizer": "sgd",
    "clip_norm": None, "schedule": "constant", "rollback_factor": 0.01, "min_validations": 0,
    "budget": "30steps",
}  # fmt: skip


def train(trainer, clock=1e-6, stop=never, save=never):
    """Train under this clock. Return the events, the rollbacks and the last weights as bytes."""
    tick(trainer, clock)
    events = list(trainer.train(stop, save))
    rollbacks = [(event.step, event.to_step) for event in events if isinstance(event, RolledBack)]
    weights = [weight.detach().numpy().tobytes() for weight in trainer.network.parameters()]
    return events, rollbacks, weights


@pytest.fixture
def memory(make_data, make_trainer):
    """Return a function that makes the trainer of a network that knows that each line ends with the
    letter it began with, and is sure of it. The last window of its text has 16 targets, which
    nobody can guess without the state."""
    draw = random.Random(1)
    lines = []
    for _ in range(3000):
        letter = draw.choice("abcdefgh")
        lines.append(f"{letter} 1 2 3 4 {letter}")
    learner = make_trainer(make_data(lines), budget="250steps", learning_rate=0.02, **MEMORY)
    list(learner.train(never))
    with torch.no_grad():
        for weight in learner.network.output.parameters():
            weight.mul_(10)
    data = make_data(lines[:880], lines[-30:])

    def make(**settings):
        trainer = make_trainer(data, budget="30steps", learning_rate=1e-4, **MEMORY, **settings)
        trainer.network.load_state_dict(learner.network.state_dict())
        return trainer

    return make


@pytest.fixture
def wild(make_data, make_trainer, sentences):
    """Return a function that makes a trainer that diverges, checked every 2 steps, kept every 5."""
    data = make_data(sentences[:60], sentences[60:66])

    def make(**settings):
        trainer = make_trainer(data, **WILD, **settings)
        trainer.checking.most, trainer.keeping.most = 2, 5
        return trainer

    return make


@under_clocks
def test_a_sound_run_has_no_rollback_under_any_clock(memory, clocks):
    runs = [train(memory(), clock) for clock in clocks]
    validated = [event.step for event in runs[0][0] if isinstance(event, Validated)]
    assert validated == [13, 26, 30]  # two of them right after the short window
    for _, rollbacks, found in runs:
        assert not rollbacks and found == runs[0][2]


# The second one diverges once its rate has grown, after a good state was kept.
DIVERGING = [{"learning_rate": 1e8, "warmup": 0.0}, {"learning_rate": 50.0, "warmup": 1.0}]


@under_clocks
@pytest.mark.parametrize("settings", DIVERGING, ids=["at once", "later"])
def test_a_diverging_run_goes_back_at_the_same_steps_under_any_clock(wild, settings, clocks):
    (_, expected, last), *others = [train(wild(**settings), clock) for clock in clocks]
    assert expected and (expected[0][1] > 0) == (settings is DIVERGING[1])
    for _, rollbacks, found in others:
        assert rollbacks == expected and found == last


@pytest.mark.parametrize("cut", [11, 13], ids=["when good", "when lost"])
def test_a_diverging_run_that_is_cut_off_goes_on_to_the_same_weights(wild, cut):
    _, expected, last = train(wild(**DIVERGING[1]))
    first = wild(**DIVERGING[1])
    events, _, _ = train(first, stop=lambda: first.step_count == cut)
    resumed = wild(**DIVERGING[1])
    state_module.load_state_dict(resumed, events[-1].state)
    _, rollbacks, found = train(resumed)
    assert rollbacks == expected and found == last


def test_stored_states_are_not_what_a_run_goes_back_to(wild):
    _, expected, last = train(wild(**DIVERGING[1]))
    events, rollbacks, found = train(wild(**DIVERGING[1]), save=lambda: True)
    stored = [event.step for event in events if isinstance(event, Checkpoint)]
    assert {11, 12} <= set(stored) and rollbacks == expected and found == last


@pytest.mark.parametrize("settings", [
    {}, {"bptt_lookback": 9}, {"state_reset": 0.5}, {"accumulation": 2},
], ids=str)  # fmt: skip
def test_a_batch_is_read_again_from_where_it_began(make_data, make_trainer, sentences, settings):
    settings = {"batch_rows": 4, "bptt_tokens": 6, "init_range": 1.0, **settings}
    trainer = make_trainer(make_data(sentences[:9]), learning_rate=1e-30, **settings)
    trainer.begin()
    for _ in range(9):
        trainer.train_step()
        loss, _ = trainer.meter.steps[-1].numbers.tolist()
        assert trainer._loss_now() == pytest.approx(loss, rel=1e-5)
