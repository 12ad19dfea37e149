"""Rows of word vectors that wait for their updates, beside torch's AdamW."""

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

pytestmark = pytest.mark.long

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
    with trainer._final_weights():
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
    """Return what both optimizers have updated by many steps; the last row is never read."""
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


@pytest.mark.parametrize("settings", [{"clip_norm": 0.01}, {"clip_value": 0.003}], ids=str)
def test_gradients_of_rows_are_clipped_with_the_others(trained, dense, settings):
    ours, other = trained(2, **settings), dense(2, **settings)
    found, expected = (trainer.network.tied_VE.grad.to_dense() for trainer in (ours, other))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)
    total = nn.utils.get_total_norm([found, *(
        weight.grad for weight in ours.network.parameters() if not weight.grad.is_sparse
    )])  # fmt: skip
    assert found.abs().max() <= 0.0031 or total == pytest.approx(0.01, rel=1e-3)
    assert ours.gradient_norm > 0.02


def test_a_network_learns_the_same_either_way(trained, dense):
    settings = {"weight_decay": 0.1, "clip_norm": 0.1, "clip_value": 0.02}
    ours, other = trained(30, **settings), dense(30, **settings)
    assert ours.waiting.steps_V.max() == 30 and other.waiting is None
    torch.testing.assert_close(ours.gradient_norm, other.gradient_norm, rtol=1e-3, atol=0)
    assert_close(weights_of(ours), weights_of(other), 1e-3)
    with ours._final_weights():
        expected = ours.objective.exact_nats(ours.batch.tensors, ours.carry_before)
    norms = [float(trainer._report().weight_norm) for trainer in (ours, other)]
    assert norms[0] == pytest.approx(norms[1], rel=1e-3)
    assert ours._loss_now() == pytest.approx(float(expected) / ours.batch.count, rel=1e-12)


@pytest.mark.parametrize("is_rowwise", [True, False])
def test_a_run_goes_on_in_the_other_way(trained, dense, is_rowwise):
    """The optimizer's arrays are taken over, too: the run ends like one in one way."""
    first, other = (trained, dense) if is_rowwise else (dense, trained)
    expected = weights_of(first(30))
    started, resumed = first(10), other(0)
    stored = state.state_dict(first(10))
    state.load_state_dict(resumed, stored)
    assert_close(weights_of(resumed), weights_of(started), 0.0)
    assert resumed.waiting is None or not resumed.waiting.steps_V.any()
    for _ in range(20):
        resumed.train_step()
    assert_close(weights_of(resumed), expected, 1e-3)


def test_a_run_goes_back_to_the_start_of_one_that_updated_all_rows(trained, dense):
    stored = state.state_dict(dense(0))
    ours = trained(3)
    state.load_state_dict(ours, stored)
    for _ in range(20):
        ours.train_step()
    assert_close(weights_of(ours), weights_of(dense(20)), 1e-3)


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
    for save, every in ((True, 2), (False, 4)):
        settings = {"validate_every_steps": every, "budget": "9steps", "patience": 9}
        trainer = make_trainer(data, **settings, **SAMPLED)
        events = list(trainer.train(lambda: False, lambda: save))  # noqa: B023
        stored = sum(isinstance(event, Checkpoint) for event in events)
        assert stored > 7 if save else stored < 3
        ends.append(events[-1].state.arrays)
    names = [name for name in ends[0] if name.startswith(("network", "optimizer", "waiting"))]
    assert names and all((ends[1][name] == ends[0][name]).all() for name in names)


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
    list(trainer._validate_averages(lambda: False))
    trainer.train_step()
    trainer._restore_best()
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
