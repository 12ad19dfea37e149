"""One recurrent unit without input: its error after some steps and the gradient of that, in weight and bias.

    x_t = w s(x_{t-1}) + b,   E = (s(x_T) - target)^2,   s the logistic function

(Pascanu, Mikolov & Bengio 2013, section 2.3 and figure 6). Everything is float64.
"""

from dataclasses import dataclass

import numpy as np

Points = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class RecurrentUnit:
    """steps: T. initial: x_0, before the logistic function."""

    steps: int = 50
    target: float = 0.7
    initial: float = 0.5

    def error(self, weight_X: np.ndarray, bias_X: np.ndarray) -> Points:
        """E, dE/dw and dE/db at points of any shape, which all three have.

        The derivatives are carried along with x: dx_t/dw = s(x_{t-1}) + w s'(x_{t-1}) dx_{t-1}/dw, dx_t/db likewise with 1 in the place
        of s(x_{t-1}).
        """
        weight_X, bias_X = np.broadcast_arrays(np.asarray(weight_X, dtype=np.float64), np.asarray(bias_X, dtype=np.float64))
        x_X = np.full(weight_X.shape, float(self.initial))
        by_weight_X, by_bias_X = np.zeros_like(x_X), np.zeros_like(x_X)
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(self.steps):
                s_X = _logistic(x_X)
                back_X = weight_X * s_X * (1 - s_X)
                by_weight_X, by_bias_X = s_X + back_X * by_weight_X, 1 + back_X * by_bias_X
                x_X = weight_X * s_X + bias_X
            s_X = _logistic(x_X)
            outer_X = 2 * (s_X - self.target) * s_X * (1 - s_X)
            return (s_X - self.target) ** 2, outer_X * by_weight_X, outer_X * by_bias_X


@dataclass(frozen=True)
class Descent:
    """A path of gradient descent: where it stood before each update and after the last, with error and norm of the gradient there."""

    name: str
    weight_U: np.ndarray
    bias_U: np.ndarray
    error_U: np.ndarray
    gradient_U: np.ndarray

    @property
    def longest_step(self) -> float:
        """The length of its longest step; 0 where it has none."""
        return float(np.hypot(np.diff(self.weight_U), np.diff(self.bias_U)).max(initial=0.0))


def descend(unit: RecurrentUnit, start: tuple[float, float], rate: float, updates: int, clip: float | None, name: str) -> Descent:
    """Gradient descent from (w, b). clip: the norm to which a longer gradient is scaled down (their algorithm 1); None: never. A path
    whose numbers are no longer finite ends before them."""
    met, (weight, bias) = [], start
    for _ in range(updates + 1):
        error, by_weight, by_bias = (float(value) for value in unit.error(np.array(weight), np.array(bias)))
        norm = float(np.hypot(by_weight, by_bias))
        if not np.isfinite([weight, bias, error, norm]).all():
            break
        met.append((weight, bias, error, norm))
        step = rate * (clip / norm if clip is not None and norm > clip else 1.0)
        weight, bias = weight - step * by_weight, bias - step * by_bias
    return Descent(name, *np.array(met).reshape(-1, 4).T)


def _logistic(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), in a form that does not overflow."""
    return (1 + np.tanh(x / 2)) / 2
