"""Rows of word vectors that wait for their updates: the same as torch's AdamW, which updates all rows
in each step."""

import copy
import functools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rnnlm.events import Checkpoint, Validated
from rnnlm.lm.neural.layers.layers import LayeredNetwork
from rnnlm.lm.neural.training import optimization, rowwise, state
from rnnlm.lm.neural.training.rowwise import RowwiseAdamW

STEPS = 2 * rowwise.MOST_STEPS + 40
DROPOUT = {"dropout_input": 0.3, "dropout_output": 0.3}
SAMPLED = {"loss": "sampled", "samples": 9, "batch_rows": 4, "bptt_tokens": 6}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Have rows of small vocabularies wait, and update all of them some at a time."""
    monkeypatch.setattr(optimization, "FEWEST_ROWS", 1)
    monkeypatch.setattr(rowwise, "ROWS_AT_ONCE", 64)


@pytest.fixture
def data(make_data, sentences):
    return make_data(sentences[:90], sentences[90:99])


@pytest.fixture
def trained(make_trainer, data):
    """Return a function that makes a trainer which has taken so many steps."""

    def make(steps, **settings):
        trainer = make_trainer(data, budget="40steps", **{**SAMPLED, **settings})
        trainer.begin()
        for _ in range(steps):
            trainer.train_step()
        return trainer

    return make


@pytest.fixture
def dense(trained, monkeypatch):
    """Return the same function for a trainer that updates all rows in each step."""

    def make(steps, **settings):
        with monkeypatch.context() as patch:
            patch.setattr(optimization, "FEWEST_ROWS", 10_000)
            return trained(steps, **settings)

    return make


def weights_of(trainer):
    with trainer.final_weights():
        return [weight.detach().clone() for weight in trainer.network.parameters()]


def assert_close(some, others, tolerance):
    for one, other in zip(some, others, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance)


# ---- The optimizer alone.


class Rows(LayeredNetwork):
    """Rows that are read in two parts."""

    def __init__(self, weight):
        super().__init__()
        self.usual = self.reader = functools.partial(F.embedding, weight=weight)

    def read_rows_by(self, read):
        self.reader = read or self.usual

    def forward(self, ids):
        return torch.cat([self.reader(ids[:5]), self.reader(ids[5:])])


def both_optimizers(eps):
    """Return torch's AdamW and ours, in float64, with the array and the bias that each updates."""
    torch.manual_seed(1)
    start_VE = torch.randn(201, 5, dtype=torch.float64)
    made = []
    for kind in (torch.optim.AdamW, RowwiseAdamW):
        weight, bias = nn.Parameter(start_VE.clone()), nn.Parameter(start_VE[0].clone())
        groups = [{"params": [bias], "weight_decay": 0.0}, {"params": [weight]}]
        own = (weight,) if kind is RowwiseAdamW else ()
        options = {"betas": (0.9, 0.999), "weight_decay": 0.3, "eps": eps}
        made.append((kind(groups, *own, lr=0.01, **options), weight, bias))
    return made


def step(optimizer, weight, bias, ids, target, rate):
    """Take a step of either optimizer, on the squared error of the rows of these ids."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    network = Rows(weight)
    if isinstance(optimizer, RowwiseAdamW):
        with optimizer.reading(network):
            rows = network(ids)
    else:
        rows = network(ids)
    (rows + bias - target).square().mean().backward()
    if isinstance(optimizer, RowwiseAdamW):
        optimizer.collect()
    optimizer.step()


def stepped(eps, tolerance):
    """Return what both optimizers have updated by many steps; the last row is never read. Compare
    the rows in between."""
    (dense, expected, bias), (ours, weight, own_bias) = both_optimizers(eps)
    frequencies = torch.arange(1, 201, dtype=torch.float64) ** -1.5
    for number in range(STEPS):
        ids = torch.multinomial(frequencies, 12, replacement=True)
        rest = ids, torch.randn(12, 5, dtype=torch.float64), 0.01 * (1 - number / STEPS)
        step(dense, expected, bias, *rest)
        step(ours, weight, own_bias, *rest)
        if number % 50 == 0:
            before = weight.detach().clone()
            with ours.waiting.in_place():
                torch.testing.assert_close(weight, expected, rtol=0, atol=tolerance)
            assert torch.equal(weight, before)
    assert ours.waiting.steps_V.max() == 40 and not torch.equal(weight, expected)
    ours.waiting.update_all()
    assert not ours.waiting.steps_V.any()
    moments = [(one.state[w][n] for n in ("exp_avg", "exp_avg_sq"))
               for one, w in ((ours, weight), (dense, expected))]  # fmt: skip
    return (weight, own_bias, *moments[0]), (expected, bias, *moments[1])


def test_rows_that_wait_end_where_those_of_torch_do():
    found, expected = stepped(1e-300, 1e-12)
    assert_close(found, expected, 1e-12)


def test_eps_counts_nearly_as_in_torch():
    """An eps as large as that moves weights by 0.05 here."""
    (found, *_), (expected, *_) = stepped(1e-3, 0.01)
    (without, *_), _ = stepped(1e-300, 1e-12)
    difference, moved = (float((w - expected).detach().abs().max()) for w in (found, without))
    assert moved > 0.05 and difference < 0.1 * moved


def test_a_step_without_a_gradient_changes_no_row():
    _, (ours, weight, bias) = both_optimizers(1e-8)
    before = weight.detach().clone()
    bias.grad = torch.ones_like(bias)
    ours.step()
    assert torch.equal(weight, before) and not ours.waiting.steps_V.any()


# ---- In a run.


def test_a_network_learns_the_same_either_way(trained, dense):
    settings = {"weight_decay": 0.1, "clip_norm": 0.1, "clip_value": 0.02}
    ours, other = trained(30, **settings), dense(30, **settings)
    assert ours.waiting.steps_V.max() == 30 and other.waiting is None
    torch.testing.assert_close(ours.gradient_norm, other.gradient_norm, rtol=1e-3, atol=0)
    assert_close(weights_of(ours), weights_of(other), 1e-3)
    with ours.final_weights():
        expected = ours.objective.exact_nats(ours.batch.tensors, ours.carry_before)
    assert ours.loss_now() == pytest.approx(float(expected) / ours.batch.count, rel=1e-12)


def test_a_run_that_goes_on_in_the_other_way_has_the_same_weights(trained, dense):
    ours, other = trained(10), dense(10)
    stored, expected = state.state_dict(ours), weights_of(ours)
    state.load_state_dict(ours, state.state_dict(other))
    assert not ours.waiting.steps_V.any()
    assert_close(weights_of(ours), weights_of(other), 0.0)
    state.load_state_dict(other, stored)
    assert_close(weights_of(other), expected, 0.0)
    for trainer in (ours, other):
        trainer.train_step()


def test_a_run_goes_back_to_the_start_of_one_that_updated_all_rows(trained, dense):
    stored = state.state_dict(dense(0))
    ours = trained(3)
    state.load_state_dict(ours, stored)
    ours.train_step()
    assert_close(weights_of(ours), weights_of(dense(1)), 1e-4)


def test_a_resumed_run_ends_like_an_uninterrupted_one(trained):
    whole, first = (state.state_dict(trained(steps, **DROPOUT)) for steps in (12, 5))
    resumed = trained(0, **DROPOUT)
    state.load_state_dict(resumed, first)
    for _ in range(7):
        resumed.train_step()
    found = state.state_dict(resumed).arrays
    assert found.keys() == whole.arrays.keys() and "waiting.steps" in found
    assert all((found[name] == array).all() for name, array in whole.arrays.items())


def test_stored_states_and_validations_change_nothing(make_trainer, data):
    ends = []
    for save in (True, False):
        trainer = make_trainer(data, budget="9steps", validate_every_steps=4, **SAMPLED)
        events = list(trainer.train(lambda: False, lambda: save))  # noqa: B023
        stored = sum(isinstance(event, Checkpoint) for event in events)
        assert stored > 7 if save else stored < 3
        ends.append(events[-1].state.arrays)
    assert all((ends[1][name] == array).all() for name, array in ends[0].items())


def test_a_validated_model_can_be_copied(make_trainer, data):
    trainer = make_trainer(data, budget="4steps", validate_every_steps=2, **SAMPLED)
    for event in trainer.train(lambda: False):
        if isinstance(event, Validated):
            network = copy.deepcopy(event.model).network
            assert network.input.read_rows is network.output.read_rows is None
            assert_close(network.parameters(), weights_of(trainer), 0.0)
    assert not trainer.waiting.steps_V.any()


def test_the_best_weights_have_no_updates_to_come(trained):
    trainer = trained(5)
    list(trainer.validate_averages(lambda: False))
    trainer.train_step()
    trainer.restore_best()
    assert_close([weights_of(trainer)[0]], [trainer.best.weights["input.embedding.weight"]], 0.0)


@pytest.mark.parametrize("settings", [
    {"loss": "full", "samples": 1024}, {"tied": False}, {"optimizer": "adam"}, {"optimizer": "sgd"},
    {"ema_decay": 0.9}, {"l2": 0.1}, {"l1": 0.1}, {"accumulation": 2}, {"beta2": 0.5},
])  # fmt: skip
def test_rows_are_updated_in_each_step_where_something_needs_them(trained, settings):
    assert trained(2, **settings).waiting is None


def test_frozen_vectors_have_no_updates(make_trainer, data):
    trainer = make_trainer(data, **SAMPLED)
    trainer.network.tied_VE.requires_grad_(False)
    made = optimization.make_optimizer(
        trainer.settings, trainer.network, torch.device("cpu"), is_plain=True
    )
    assert type(made) is torch.optim.AdamW
