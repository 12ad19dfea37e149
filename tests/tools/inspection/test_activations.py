"""Activation functions: values of torch, difference quotients, saturation by formula."""

import math

import numpy as np
import pytest
import torch

from rnnlm.errors import UsageError
from rnnlm.lm.neural.activations import BY_NAME
from rnnlm.lm.neural.layers.steps import ACTIVATIONS
from rnnlm.tools.inspection.activations import KNOWN, inspect_activations, saturation
from support.pictures import faults_of


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
