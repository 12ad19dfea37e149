"""Compute the activation functions of recurrent layers in numpy, for lessons and inspections.

Layers compute them by torch (:mod:`rnnlm.lm.neural.layers.steps`); a test holds both equal.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rnnlm.interface import Array

LEAK = 0.01  # the slope of leaky_relu below 0


@dataclass(frozen=True)
class Activation:
    """An activation function f.

    function: f(a), of arrays of numpy. derivative: f'(a), given y = f(a), of arrays of numpy or
    torch: it follows from the value alone, so that nothing has to be computed again. steepest: its
    largest value. low, high: where the function is saturated, so that its unit hardly learns:
    within 0.1 of a bound (a logistic gate below 0.1 or above 0.9: Karpathy et al. 2015, section
    4.2), for ReLU at the bound; None without a bound.
    """

    name: str
    function: Callable[[np.ndarray], np.ndarray]
    derivative: Callable[[Array], Array]
    steepest: float
    low: float | None = None
    high: float | None = None

    def is_low(self, y: Array) -> Array:
        """Mark the values that are saturated at the lower bound; none if there is no such bound."""
        # `y != y` has the right type and shape, and is never true.
        return y != y if self.low is None else y <= self.low

    def is_high(self, y: Array) -> Array:
        """Mark the values that are saturated at the upper bound; none if there is no such bound."""
        return y != y if self.high is None else y >= self.high


def logistic(a: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-a)), in a form that does not overflow."""
    return np.asarray((1 + np.tanh(a / 2)) / 2)


def _elu(a: np.ndarray) -> np.ndarray:
    """Return a above 0, exp(a) - 1 below (Clevert et al. 2016)."""
    return np.where(a > 0, a, np.expm1(np.minimum(a, 0)))


SIGMOID = Activation("sigmoid", logistic, lambda y: y * (1 - y), 0.25, 0.1, 0.9)
DOUBLED = Activation(
    "2 sigmoid", lambda a: 2 * logistic(a), lambda y: y * (2 - y) / 2, 0.5, 0.1, 1.9
)
TANH = Activation("tanh", np.tanh, lambda y: 1 - y * y, 1.0, -0.9, 0.9)
BY_NAME = {
    "sigmoid": SIGMOID,
    "tanh": TANH,
    "relu": Activation("relu", lambda a: np.maximum(a, 0), lambda y: (y > 0) * 1.0, 1.0, 0.0),
    "elu": Activation("elu", _elu, lambda y: (y > 0) + (y <= 0) * (y + 1), 1.0, -0.9),
    "leaky_relu": Activation(
        "leaky_relu",
        lambda a: np.where(a > 0, a, LEAK * a),
        lambda y: (y > 0) + (y <= 0) * LEAK,
        1.0,
    ),
}
