"""Rows of word vectors that wait for their updates: the same as torch's AdamW, which updates all rows
in each step."""

import functools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rnnlm.lm.neural.training import optimization, rowwise, state
from rnnlm.lm.neural.training.rowwise import RowwiseAdamW

STEPS = 2 * rowwise.MOST_STEPS + 40
DROPOUT = {"dropout_input": 0.3, "dropout_output": 0.3}
SAMPLED = {"loss": "sampled", "samples": 9, "batch_rows": 4, "bptt_tokens": 6}


@pytest.fixture(autouse=True)
def small_vocabularies(monkeypatch):
    monkeypatch.setattr(optimization, "FEWEST_ROWS", 1)


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
    is_rowwise = isinstance(optimizer, RowwiseAdamW)
    if is_rowwise:
        optimizer.begin()
    read = optimizer.read if is_rowwise else functools.partial(F.embedding, weight=weight)
    rows = torch.cat([read(ids[:5]), read(ids[5:])])
    (rows + bias - target).square().mean().backward()
    if is_rowwise:
        optimizer.collect()
    optimizer.step()


@pytest.mark.parametrize("eps, tolerance", [(0.0, 1e-12), (1e-8, 1e-3)])
def test_rows_that_wait_end_where_those_of_torch_do(eps, tolerance):
    (dense, expected, bias), (ours, weight, own_bias) = both_optimizers(eps or 1e-300)
    frequencies = torch.arange(1, 201, dtype=torch.float64) ** -1.5
    for number in range(STEPS):
        ids = torch.multinomial(frequencies, 12, replacement=True)
        rest = ids, torch.randn(12, 5, dtype=torch.float64), 0.01 * (1 - number / STEPS)
        step(dense, expected, bias, *rest)
        step(ours, weight, own_bias, *rest)
        if number % 50 == 0:
            waiting = weight.detach().clone()
            with ours.in_place():
                torch.testing.assert_close(weight, expected, rtol=0, atol=tolerance)
            assert torch.equal(weight, waiting)
    assert not torch.equal(weight, expected) and ours.waiting.steps_V.max() == 40
    ours.update_rows()
    assert not ours.waiting.steps_V.any()
    for one, other in ((weight, expected), (own_bias, bias)):
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance)
    for name in ("exp_avg", "exp_avg_sq"):
        found, moments = ours.state[weight][name], dense.state[expected][name]
        torch.testing.assert_close(found, moments, rtol=0, atol=tolerance)


def test_a_step_without_a_gradient_changes_no_row():
    _, (ours, weight, bias) = both_optimizers(1e-8)
    before = weight.detach().clone()
    bias.grad = torch.ones_like(bias)
    ours.step()
    assert torch.equal(weight, before) and not ours.waiting.steps_V.any()


def trained(make_trainer, data, steps, **settings):
    trainer = make_trainer(data, budget="40steps", **{**SAMPLED, **settings})
    trainer.begin()
    for _ in range(steps):
        trainer.train_step()
    return trainer


def test_a_network_learns_the_same_either_way(make_data, make_trainer, sentences, monkeypatch):
    data = make_data(sentences, sentences[:9])
    settings = {"weight_decay": 0.1, "clip_norm": 0.1, "clip_value": 0.02}
    ours = trained(make_trainer, data, 30, **settings)
    assert ours.rowwise and ours.rowwise.waiting.steps_V.max() == 30
    monkeypatch.setattr(optimization, "_rowwise_vectors", lambda *_: None)
    dense = trained(make_trainer, data, 30, **settings)
    assert not dense.rowwise
    torch.testing.assert_close(ours.gradient_norm, dense.gradient_norm, rtol=1e-3, atol=0)
    with ours.final_weights():
        for one, other in zip(ours.network.parameters(), dense.network.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-3)


def test_states_go_from_one_way_to_the_other(make_data, make_trainer, sentences, monkeypatch):
    data = make_data(sentences)
    ours = trained(make_trainer, data, 10)
    monkeypatch.setattr(optimization, "_rowwise_vectors", lambda *_: None)
    dense = trained(make_trainer, data, 10)
    stored, stored_dense = state.state_dict(ours), state.state_dict(dense)
    state.load_state_dict(ours, stored_dense)
    assert not ours.rowwise.waiting.steps_V.any()
    ours.train_step()
    state.load_state_dict(dense, stored)
    dense.train_step()


def test_a_resumed_run_ends_like_an_uninterrupted_one(make_data, make_trainer, sentences):
    data = make_data(sentences)
    whole, first = (
        state.state_dict(trained(make_trainer, data, steps, **DROPOUT)) for steps in (12, 5)
    )
    resumed = trained(make_trainer, data, 0, **DROPOUT)
    state.load_state_dict(resumed, first)
    for _ in range(7):
        resumed.train_step()
    found = state.state_dict(resumed).arrays
    assert found.keys() == whole.arrays.keys() and "waiting.steps" in found
    assert all((found[name] == array).all() for name, array in whole.arrays.items())


def test_the_best_weights_have_no_updates_to_come(make_data, make_trainer, sentences):
    data = make_data(sentences, sentences[:9])
    trainer = trained(make_trainer, data, 5)
    list(trainer.validate_averages(lambda: False))
    trainer.train_step()
    trainer.restore_best()
    assert not trainer.rowwise.waiting.steps_V.any()
    expected = trainer.best.weights["input.embedding.weight"]
    assert torch.equal(trainer.network.tied_VE, expected)


def test_a_run_ends_with_all_updates(make_data, make_trainer, sentences):
    trainer = make_trainer(make_data(sentences), budget="5steps", **SAMPLED)
    *_, fitted = trainer.train(lambda: False)
    assert not trainer.rowwise.waiting.steps_V.any() and fitted.step == 5
    assert trainer.network.input.read_rows is trainer.network.output.read_rows is None


@pytest.mark.parametrize("settings", [
    {"loss": "full", "samples": 1024}, {"tied": False}, {"optimizer": "adam"}, {"optimizer": "sgd"},
    {"ema_decay": 0.9}, {"l2": 0.1}, {"l1": 0.1}, {"accumulation": 2}, {},
])  # fmt: skip
def test_rows_are_updated_in_each_step_where_something_needs_them(
    make_data, make_trainer, sentences, settings, monkeypatch
):
    if not settings:
        monkeypatch.setattr(optimization, "FEWEST_ROWS", 10_000)
    assert not trained(make_trainer, make_data(sentences), 2, **settings).rowwise


def test_frozen_vectors_have_no_updates(make_data, make_trainer, sentences):
    network = make_trainer(make_data(sentences), **SAMPLED).network
    network.tied_VE.requires_grad_(False)
    settings = make_trainer(make_data(sentences), **SAMPLED).settings
    made = optimization.make_optimizer(settings, network, torch.device("cpu"), is_alone=True)
    assert type(made) is torch.optim.AdamW
