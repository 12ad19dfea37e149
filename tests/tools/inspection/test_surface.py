"""The error of one recurrent unit as a surface, and activation functions, against plain loops."""

import math

import numpy as np
import pytest
import torch

from rnnlm.errors import RnnlmError, UsageError
from rnnlm.lm.neural.activations import BY_NAME
from rnnlm.lm.neural.layers.steps import ACTIVATIONS
from rnnlm.tools.inspection.activations import KNOWN, inspect_activations, saturation
from rnnlm.tools.inspection.surface import RecurrentUnit, descend, inspect_surface
from support.pictures import faults_of


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


def test_functions_are_those_of_the_layers():
    assert set(BY_NAME) == set(ACTIVATIONS)
    a = torch.linspace(-30, 30, 601, dtype=torch.float64)
    for name, function in ACTIVATIONS.items():
        np.testing.assert_allclose(BY_NAME[name].function(a.numpy()), function(a), atol=1e-15)


@pytest.mark.parametrize("name", KNOWN)
def test_derivatives_are_difference_quotients(name):
    (curve,) = inspect_activations([name], span=(-5, 5)).curves
    function, h = KNOWN[name].function, 1e-6
    quotient_N = (function(curve.a_N + h) - function(curve.a_N - h)) / (2 * h)
    is_smooth_N = np.abs(curve.a_N) > h  # ReLU and its kin have a corner at 0
    np.testing.assert_allclose(curve.slope_N[is_smooth_N], quotient_N[is_smooth_N], atol=1e-9)
    np.testing.assert_array_equal(curve.value_N, function(curve.a_N))
    assert curve.largest == pytest.approx(quotient_N.max(), abs=1e-3)


@pytest.mark.parametrize("share", [0.5, 0.1, 0.001])
def test_saturation_begins_where_the_formulas_say(share):
    """tanh' = 1 - tanh^2 = share at tanh a = sqrt(1 - share); s' = s (1 - s) = share / 4 at s =
    (1 + sqrt(1 - share)) / 2; elu' = e^a = share at a = ln share."""
    root = math.sqrt(1 - share)
    tanh, sigmoid = math.atanh(root), math.log((1 + root) / (1 - root))
    assert saturation(KNOWN["tanh"], share) == pytest.approx((-tanh, tanh), abs=1e-5)
    for name in ("sigmoid", "2 sigmoid"):
        assert saturation(KNOWN[name], share) == pytest.approx((-sigmoid, sigmoid), abs=1e-5)
    assert saturation(KNOWN["elu"], share) == (pytest.approx(math.log(share), abs=1e-5), None)
    assert saturation(KNOWN["relu"], share) == (0, None)
    # the slope 0.01 of leaky_relu is below a larger share only
    assert saturation(KNOWN["leaky_relu"], share) == ((0, None) if share > 0.01 else (None, None))


def test_verdict_tables_and_picture_agree():
    found = inspect_activations(["sigmoid", "tanh", "sigmoid"], share=0.1)
    ends, values = found.tables()
    edge = math.log((1 + math.sqrt(0.9)) / (1 - math.sqrt(0.9)))
    assert ends.rows[0][1:] == pytest.approx((0.25, -edge, edge, 0.25**10), abs=1e-5)
    assert [row[0] for row in values.rows] == list(range(-6, 7))
    assert "tanh saturates below -1.818 and above 1.818" in found.verdict
    figure = found.figure()
    assert [axes.get_title().replace("\n", " ") for axes in figure.axes] == [
        "sigmoid: saturated beyond ±3.64", "tanh: saturated beyond ±1.82",
    ]  # fmt: skip
    assert faults_of(inspect_activations().figure()) == []
    assert len(found.to_dict()["activations"][0]["a"]) == len(found.curves[0].a_N)


def test_grey_is_drawn_within_the_span():
    narrow = inspect_activations(["tanh"], span=(-1, 1)).figure().axes[0]
    wide = inspect_activations(["tanh"], span=(-3, 2)).figure().axes[0]
    assert len(narrow.patches) == 0 and len(wide.patches) == 2
    far = inspect_activations(["relu"], span=(-9, -5)).figure().axes[0]
    assert [each.get_width() for each in far.patches] == [4]


@pytest.mark.parametrize(("asked", "what"), [
    ({"names": ["tan"]}, "unknown activation 'tan'"),
    ({"names": "tanh"}, "names must be a list"), ({"share": 0.0}, "share = 0 is not between"),
    ({"share": 1.0}, "share = 1 is not between"),
    ({"share": math.nan}, "share = nan is not between"),
    ({"span": (1.0, 1.0)}, "a from 1 to 1 is an empty range"),
    ({"span": (0.0, math.inf)}, "empty range"),
])  # fmt: skip
def test_wrong_requests_are_refused(asked, what):
    with pytest.raises(UsageError, match=what):
        inspect_activations(**asked)
