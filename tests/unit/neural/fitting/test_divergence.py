"""When a run counts as lost, and which weights are good."""

import math
from dataclasses import replace

import pytest

from rnnlm.events import Step
from rnnlm.neural.fitting.divergence import TELLING_TOKENS, Divergence

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
    found.end(18.0, 8, 1000)
    assert found.why == "" and found.is_sound


@pytest.mark.parametrize("is_exact", [True, False])
def test_validations_are_exact_on_any_scale_of_the_loss(is_exact):
    endless = [([math.inf], False), ([6.0, math.inf], False), ([6.0, math.inf, math.inf], True)]
    for found, lost in [*((nats, False) for nats in SOUND), *((nats, True) for nats in LOST), *endless]:
        divergence = Divergence(V, is_exact)
        for step, nats in enumerate(found, start=1):
            divergence.read_validation(math.exp(nats), step)
        assert divergence.why == (
            f"the validation text has {nats:.1f} nats per token by step {step}; a uniform guess has 6.9" if lost else ""
        )


@pytest.mark.parametrize(
    "reports, last, lost", [([40.0], 30.0, True), ([40.0], 18.0, False), ([18.0], 30.0, False), ([40.0, 30.0], 20.0, True)]
)
def test_a_run_that_ends_far_above_the_uniforms_is_lost_though_it_got_better(reports, last, lost):
    """A single window above the limit is not enough: it may hold one token."""
    found = judge(reports)
    found.end(last, 8, TELLING_TOKENS - 1)
    assert found.why == (f"the loss is {last:.1f} nats per token by step 8; a uniform guess has 6.9" if lost else "")


@pytest.mark.parametrize(
    "tokens, loss, why", [(TELLING_TOKENS, 30.0, "30.0 nats per token by step 8"), (1, math.nan, "not a number after step 8")]
)
def test_weights_lost_in_the_very_last_step_are_noticed(tokens, loss, why):
    found = judge([6.0])
    found.end(loss, 8, tokens)
    assert why in found.why


@pytest.mark.parametrize("losses, sound", [([6.0], True), ([6.0, 30.0], False), ([6.0, 30.0, 7.0], True), ([math.nan], False)])
def test_the_last_report_tells_whether_all_is_well(losses, sound):
    assert judge(losses).is_sound == sound


@pytest.mark.parametrize("broken", [math.nan, math.inf])
@pytest.mark.parametrize("figure, what", [("gradient_norm", "a gradient"), ("weight_norm", "a weight")])
def test_a_gradient_or_a_weight_that_is_no_number_is_a_lost_run_though_the_loss_is_fine(figure, what, broken):
    divergence = judge([6.0])
    divergence.read(replace(report(5.0), **{figure: broken}))
    assert divergence.why == f"{what} is not a number by step 7" and not divergence.is_sound


@pytest.mark.parametrize("is_exact", [True, False])
def test_weights_are_borne_where_the_last_report_and_a_window_under_them_are_good(is_exact):
    assert judge([6.0], is_exact).bears(18.0, 8)
    assert not any(judge([6.0], is_exact).bears(loss, 8) for loss in (19.0, math.inf, math.nan))
    assert not judge([math.nan], is_exact).bears(6.0, 8)


def test_weights_tried_twice_above_the_limit_are_a_lost_run_on_any_scale_of_the_loss():
    found = judge([6.0], is_exact=False)
    assert (
        not found.bears(30.0, 8) and not found.bears(31.0, 8) and not found.bears(29.0, 9) and found.why == ""
    )  # one state, then a better one
    assert not found.bears(29.5, 10) and found.why.startswith("the loss is 29.5 nats per token by step 10")
    found.forget()
    assert found.why == "" and not found.bears(31.0, 11) and found.why == ""
