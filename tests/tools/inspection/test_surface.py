"""The error of one recurrent unit is a plain loop's, its gradient by differences."""

import math

import pytest

from rnnlm.errors import RnnlmError
from rnnlm.tools.inspection.surface import RecurrentUnit, descend, inspect_surface


def plain_error(weight, bias, steps=50, target=0.7, initial=0.5):
    """Compute the error as on paper."""
    x = initial
    for _ in range(steps):
        x = weight / (1 + math.exp(-x)) + bias
    return (1 / (1 + math.exp(-x)) - target) ** 2


def test_surface_equals_a_plain_python_loop():
    found = inspect_surface(weights=(3.0, 6.5), biases=(-3.2, 0.5), grid=7)
    assert found.error_GG.shape == (7, 7)
    for i, bias in enumerate(found.bias_G):
        for j, weight in enumerate(found.weight_G):
            expected = plain_error(weight, bias)
            assert found.error_GG[i, j] == pytest.approx(expected, rel=1e-9, abs=1e-13)
    unit = RecurrentUnit(steps=7, target=0.2, initial=-1.0)
    expected = plain_error(4.5, -2.0, 7, 0.2, -1.0)
    assert float(unit.error_and_gradient(4.5, -2.0)[0]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("weight", "bias"), [(5.0, -2.4), (4.2, -2.1), (-6.0, 3.0), (6.0, -2.6)])
def test_the_gradient_is_that_of_finite_differences(weight, bias):
    _, *gradient = RecurrentUnit().error_and_gradient(weight, bias)
    h = 1e-6
    by_weight = plain_error(weight + h, bias) - plain_error(weight - h, bias)
    by_bias = plain_error(weight, bias + h) - plain_error(weight, bias - h)
    expected = [by_weight / (2 * h), by_bias / (2 * h)]
    assert list(map(float, gradient)) == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_update_follows_the_gradient_and_clipping_keeps_direction():
    unit, start = RecurrentUnit(), (5.0, -2.4)
    error, by_weight, by_bias = map(float, unit.error_and_gradient(*start))
    norm = math.hypot(by_weight, by_bias)
    plain = descend(unit, start, 0.1, 1, None, "")
    assert (plain.error_U[0], plain.gradient_U[0]) == pytest.approx((error, norm))
    # A limit twice the length changes nothing; half of it halves the step.
    for clip, rate in ((None, 0.1), (2 * norm, 0.1), (norm / 2, 0.05)):
        path = descend(unit, start, 0.1, 1, clip, "")
        after = (5 - rate * by_weight, -2.4 - rate * by_bias)
        assert (path.weight_U[1], path.bias_U[1]) == pytest.approx(after)


def test_path_converges_only_with_clipping():
    found = inspect_surface(grid=50)
    plain, clipped = found.descents
    assert plain.error_U[-1] > 0.08 and plain.longest_step > 3
    assert clipped.error_U[-1] < 0.005 and clipped.longest_step <= 0.1 * 0.5 + 1e-12
    weight, bias, highest = found.steepest
    assert highest == found.gradient_GG.max()
    assert f"w = {weight:.4g}, b = {bias:.4g}" in found.verdict
    assert "Without clipping" in found.verdict and "Clipped to 0.5" in found.verdict
    assert [row[0] for row in found.tables()[0].rows] == ["without clipping", "clipped to 0.5"]


def test_a_path_whose_numbers_overflow_ends_before_that():
    path = descend(RecurrentUnit(), (4.588, -2.357), 1e308, 20, None, "")  # on the wall
    assert path.weight_U.tolist() == [4.588]


def test_the_picture_holds_the_surface_and_both_paths():
    over, along, *_ = inspect_surface(grid=5, updates=30).figure().axes
    assert [len(line.get_xdata()) for line in over.lines] == [31, 31, 1, 2]
    assert [line.get_label() for line in along.lines] == ["without clipping", "clipped to 0.5"]


@pytest.mark.parametrize(("settings", "what"), [
    ({"weights": (5.0, 5.0)}, "weights from 5 to 5 is an empty range"),
    ({"biases": (0.0, math.nan)}, "empty range"),
    ({"start": (5.0,)}, "start: two numbers are needed, not 1"),
    ({"grid": 1}, "a grid of 1 line cannot be drawn"),
    ({"rate": 0.0}, "rate = 0 is not a positive number"),
    ({"updates": -1}, "updates = -1 is not a positive number"),
    ({"start": (math.inf, 0.0)}, "must be finite numbers"),
    ({"start": (1e10, -5e9), "initial": 0.0}, "is too far away"),
])  # fmt: skip
def test_what_cannot_be_drawn_is_refused(settings, what):
    with pytest.raises(RnnlmError, match=what):
        inspect_surface(**settings)
