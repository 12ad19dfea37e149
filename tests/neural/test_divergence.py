"""When a run counts as lost, and which weights are good."""

import math

import pytest
import torch
from torch import nn

from rnnlm.events import Step
from rnnlm.neural.divergence import Divergence, Snapshots

V = 1000  # a uniform guess has 6.9 nats; the limit is 18.8


def report(loss, step=7):
    return Step(step, 0.1, 100, loss, 0.1, 1.0, 0.1, 1.0)


def judge(losses, is_exact=True):
    divergence = Divergence(V, is_exact)
    for loss in losses:
        divergence.read(report(loss))
    return divergence


SOUND = [[6.9, 5.0, 4.0], [5.0, 9.0, 12.0, 18.0], [40.0, 30.0, 20.0], [6.0, 5.9, 90.0, 18.8, 19.0, 5.0]]
LOST = [[6.0, 19.0, 19.5], [40.0, 30.0, 30.0], [6.0, 400.0, 390.0, 400.0]]


@pytest.mark.parametrize("losses", SOUND)
def test_a_run_is_sound_below_the_limit_and_while_the_loss_falls(losses):
    assert judge(losses).why == ""


@pytest.mark.parametrize("losses", LOST)
def test_a_loss_far_above_the_uniforms_that_does_not_fall_is_a_lost_run(losses):
    assert judge(losses).why == f"the loss is {losses[-1]:.1f} nats per token by step 7; a uniform guess has 6.9"


@pytest.mark.parametrize("loss", [math.nan, math.inf])
@pytest.mark.parametrize("is_exact", [True, False])
def test_a_loss_that_is_no_number_is_a_lost_run_on_any_scale(loss, is_exact):
    assert judge([6.0, loss, 5.0], is_exact).why == "the loss is not a number by step 7"


def test_a_loss_on_another_scale_may_be_large():
    found = judge([10.0, 500.0, 501.0], is_exact=False)
    found.end(500.0, 8)
    assert found.why == "" and found.is_sound


@pytest.mark.parametrize("is_exact", [True, False])
def test_validations_are_exact_on_any_scale_of_the_loss(is_exact):
    endless = [([math.inf], False), ([6.0, math.inf], False), ([6.0, math.inf, math.inf], True)]
    for found, lost in [*((nats, False) for nats in SOUND), *((nats, True) for nats in LOST), *endless]:
        divergence = Divergence(V, is_exact)
        for step, nats in enumerate(found, start=1):
            divergence.read_validation(math.exp(nats), step)
        assert divergence.why == (f"the validation text has {nats:.1f} nats per token by step {step}; a uniform guess has 6.9" if lost else "")


@pytest.mark.parametrize("reports, last, lost", [([40.0], 30.0, True), ([40.0], 18.0, False), ([18.0], 30.0, False), ([40.0, 30.0], 20.0, True)])
def test_a_run_that_ends_far_above_the_uniforms_is_lost_though_it_got_better(reports, last, lost):
    """A single window above the limit is not enough: it may hold one token."""
    found = judge(reports)
    found.end(last, 8)
    assert found.why == (f"the loss is {last:.1f} nats per token by step 8; a uniform guess has 6.9" if lost else "")


@pytest.mark.parametrize("losses, sound", [([6.0], True), ([6.0, 30.0], False), ([6.0, 30.0, 7.0], True), ([math.nan], False)])
def test_the_last_report_tells_whether_all_is_well(losses, sound):
    assert judge(losses).is_sound == sound


def fill(network, value):
    with torch.no_grad():
        network.weight.fill_(value)


def test_weights_are_good_once_the_losses_after_them_are_and_copied_now_and_then():
    network = nn.Linear(2, 2)
    snapshots = Snapshots(network)
    assert snapshots.restore() == 0
    for step, seconds in ((1, 0.0), (2, 1.0), (3, 19.0), (4, 20.0)):
        fill(network, float(step))
        snapshots.take(step, seconds)
    fill(network, math.nan)
    assert snapshots.restore() == 1 and network.weight[0, 0] == 1.0  # those of step 4 are not known to be good
    snapshots.take(5, 21.0)
    assert snapshots.restore() == 4 and network.weight[0, 0] == 4.0
    snapshots.clear()
    assert snapshots.restore() == 0
