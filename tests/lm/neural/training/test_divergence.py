"""When a run counts as lost, and which weights are good."""

import math

import pytest

from rnnlm.lm.neural.training.contracts import ValidationResult
from rnnlm.lm.neural.training.validation import TELLING_TARGETS, Divergence

V = 1000  # a uniform guess has 6.9 nats; the limit is 18.8


def check(loss, targets=TELLING_TARGETS):
    figures = {"loss_nats": loss, "gradient_norm": 1.0, "weight_norm": 1.0}
    return {"step": 7, "targets": targets, **figures}


def judge(losses, is_exact=True):
    divergence = Divergence(math.log(V), is_exact)
    for loss in losses:
        assert divergence.observe(**check(loss))
    return divergence


SOUND = [
    [6.9, 5.0, 4.0], [5.0, 9.0, 12.0, 18.0], [40.0, 30.0, 20.0], [6.0, 5.9, 90.0, 18.8, 19.0, 5.0],
]  # fmt: skip
FAR = "the loss is {:.1f} nats per target by step {}; a uniform guess has 6.9"
LOST = [[6.0, 19.0, 19.5], [40.0, 30.0, 30.0], [6.0, 400.0, 390.0, 400.0]]


@pytest.mark.parametrize("losses, is_exact, fault", [
    *((losses, True, "") for losses in SOUND),
    *((losses, True, FAR.format(losses[-1], 7)) for losses in LOST),
    *(([6.0, loss, 5.0], is_exact, "the loss is not a number by step 7") for loss in (math.nan,
        math.inf) for is_exact in (True, False)),
    ([10.0, 500.0, 501.0], False, ""),  # on another scale a loss may be large
], ids=str)  # fmt: skip
def test_nan_or_stuck_high_loss_loses_the_run(losses, is_exact, fault):
    assert judge(losses, is_exact).fault == fault


IN_VALIDATION = "the validation text has {:.1f} nats per target by step {}; a uniform guess has 6.9"


@pytest.mark.parametrize("is_exact", [True, False])
@pytest.mark.parametrize("found, is_lost", [
    *((nats, False) for nats in SOUND), *((nats, True) for nats in LOST),
    ([math.inf], False), ([6.0, math.inf], False), ([6.0, math.inf, math.inf], True),
], ids=str)  # fmt: skip
def test_validations_are_exact_on_any_loss_scale(is_exact, found, is_lost):
    divergence = Divergence(math.log(V), is_exact)
    of_unknown_words = Divergence(math.log(V), is_exact)
    for step, nats in enumerate(found, start=1):
        divergence.observe_validation(ValidationResult(nats, nats, "ppl"), step)
        verdict = ValidationResult(nats, nats, "ppl", is_telling=False)
        of_unknown_words.observe_validation(verdict, step)
    assert divergence.fault == (IN_VALIDATION.format(found[-1], len(found)) if is_lost else "")
    assert bool(of_unknown_words.fault) == (found[-1] == math.inf and is_lost)


@pytest.mark.parametrize("reports, last, tokens, is_exact, fault", [
    ([40.0], 30.0, TELLING_TARGETS - 1, True, FAR.format(30, 8)),
    ([40.0, 30.0], 20.0, TELLING_TARGETS - 1, True, FAR.format(20, 8)),
    ([40.0], 18.0, TELLING_TARGETS - 1, True, ""), ([500.0, 501.0], 18.0, 1000, False, ""),
    # a single window above the limit is not enough: it may hold one token
    ([18.0], 30.0, TELLING_TARGETS - 1, True, ""),
    ([6.0], 30.0, TELLING_TARGETS, True, FAR.format(30, 8)),
    ([6.0], math.nan, 1, True, "the loss is not a number after step 8"),
])  # fmt: skip
def test_a_run_ending_far_above_uniform_is_lost(reports, last, tokens, is_exact, fault):
    found = judge(reports, is_exact)
    found.end(last, 8, tokens)
    assert fault in found.fault and bool(fault) == bool(found.fault)


@pytest.mark.parametrize("losses, sound", [
    ([6.0], True), ([6.0, 30.0], False), ([6.0, 30.0, 7.0], True), ([math.nan], False),
])  # fmt: skip
def test_the_last_check_tells_whether_all_is_well(losses, sound):
    assert judge(losses).is_sound == sound


@pytest.mark.parametrize("broken", [math.nan, math.inf])
@pytest.mark.parametrize(
    "figure, what", [("gradient_norm", "a gradient"), ("weight_norm", "a weight")]
)
def test_non_finite_gradients_or_weights_lose_the_run(figure, what, broken):
    divergence = judge([6.0])
    divergence.observe(**{**check(5.0, targets=1), figure: broken})
    assert divergence.fault == f"{what} is not a number by step 7" and not divergence.is_sound


@pytest.mark.parametrize("is_exact", [True, False])
def test_weights_are_accepted_after_good_check_and_window(is_exact):
    assert judge([6.0], is_exact).accepts(18.0, 8, TELLING_TARGETS)
    for loss in (19.0, math.inf, math.nan):
        assert not judge([6.0], is_exact).accepts(loss, 8, TELLING_TARGETS)
    assert not judge([math.nan], is_exact).accepts(6.0, 8, TELLING_TARGETS)


def test_few_targets_never_judge_alone():
    found = judge([6.0])
    few = TELLING_TARGETS - 1
    for step, loss in enumerate((30.0, 31.0, 32.0), start=8):
        assert found.accepts(loss, step, few) and not found.observe(**check(loss, few))
    assert found.fault == "" and not found.accepts(math.nan, 11, few)
    # after a bad check, they do not make up for it
    found.observe(**check(30.0))
    assert not found.accepts(6.0, 12, few)


def test_weights_tried_twice_above_the_limit_are_lost():
    found = judge([6.0], is_exact=False)
    # one state, then a better one
    for loss, step in ((30.0, 8), (31.0, 8), (29.0, 9)):
        assert not found.accepts(loss, step, TELLING_TARGETS)
    assert found.fault == ""
    assert not found.accepts(29.5, 10, TELLING_TARGETS)
    assert found.fault.startswith("the loss is 29.5 nats per target by step 10")
    found.forget()
    assert found.fault == "" and not found.accepts(31.0, 11, TELLING_TARGETS) and found.fault == ""
