"""When a run counts as lost, and which weights are good."""

import math

import pytest
import torch
from torch import nn

from rnnlm.events import Step
from rnnlm.neural.divergence import Divergence, Snapshots

LOG_V = math.log(1000)  # 6.9; the limit is 18.8


def report(loss, step=7):
    return Step(step, 0.1, 100, loss, 0.1, 1.0, 0.1, 1.0)


def judge(losses, uniform=LOG_V):
    divergence = Divergence(uniform)
    for loss in losses:
        divergence.read(report(loss))
    return divergence.why


@pytest.mark.parametrize("losses", [[6.9, 5.0, 4.0], [5.0, 9.0, 12.0, 18.0], [40.0, 30.0, 20.0], [6.0, 5.9, 90.0, 18.8, 19.0, 5.0]])
def test_a_run_is_sound_below_the_limit_and_while_the_loss_falls(losses):
    assert judge(losses) == ""


@pytest.mark.parametrize("losses", [[6.0, 19.0, 19.5], [40.0, 30.0, 30.0], [6.0, 400.0, 390.0, 400.0]])
def test_a_loss_far_above_the_uniforms_that_does_not_fall_is_a_lost_run(losses):
    assert judge(losses) == f"the loss is {losses[-1]:.1f} nats per token by step 7; a uniform guess has 6.9"


@pytest.mark.parametrize("loss", [math.nan, math.inf])
@pytest.mark.parametrize("uniform", [LOG_V, None])
def test_a_loss_that_is_no_number_is_a_lost_run_on_any_scale(loss, uniform):
    assert judge([6.0, loss, 5.0], uniform) == "the loss is not a number by step 7"


def test_a_loss_on_another_scale_may_be_large():
    assert judge([10.0, 500.0], None) == ""


@pytest.mark.parametrize("losses, sound", [([6.0], True), ([6.0, 30.0], False), ([6.0, 30.0, 7.0], True), ([math.nan], False)])
def test_the_last_report_tells_whether_all_is_well(losses, sound):
    divergence = Divergence(LOG_V)
    for loss in losses:
        divergence.read(report(loss))
    assert divergence.is_sound == sound


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
