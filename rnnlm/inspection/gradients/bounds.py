"""Between what an Elman layer's Jacobian must lie, by the singular values of W alone (after Pascanu, Mikolov & Bengio 2013, section 2.1).

A step's Jacobian is diag(phi') W, so that its singular values, and with them its size, lie between sigma_min(W) min phi' and
sigma_max(W) max phi', and those of k steps between the k-th powers. An upper bound below 1 is sufficient for gradients to vanish; one above
1 is necessary for them to explode, not sufficient.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rnnlm.neural.layers.activations import BY_NAME
from rnnlm.neural.layers.stack import ElmanLayer


@dataclass(frozen=True)
class Bounds:
    """largest, smallest: singular values of W. steepest: max phi' of the activation; flattest: the smallest phi' that was met."""

    largest: float
    smallest: float
    steepest: float
    flattest: float

    @property
    def upper(self) -> float:
        """What the size is multiplied by with each token, at most."""
        return self.largest * self.steepest

    @property
    def lower(self) -> float:
        """The same, at least."""
        return self.smallest * self.flattest

    def upper_at(self, lag: int) -> float:
        """Of the size at a lag; infinite where that is more than a float holds."""
        with np.errstate(over="ignore"):
            return float(np.power(self.upper, float(lag)))

    def lower_at(self, lag: int) -> float:
        """Of the size at a lag."""
        return float(np.power(self.lower, float(lag)))


def elman_bounds(layer: ElmanLayer, flattest: float) -> Bounds:
    """The bounds of a layer, of whose slopes `flattest` was the smallest that was met."""
    singular_H = torch.linalg.svdvals(layer.weight_hh.detach().double())
    return Bounds(float(singular_H[0]), float(singular_H[-1]), BY_NAME[layer.activation].steepest, flattest)


def flattest_slope(hidden: Tensor, activation: str) -> float:
    """The smallest phi' among units whose values, after the activation, are `hidden`."""
    return float(BY_NAME[activation].derivative(hidden.double()).min())
