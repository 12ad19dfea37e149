"""Gradients beside difference quotients: (f(w + h) - f(w - h)) / 2h, weight by weight."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

TOLERANCE = 1e-5  # a relative difference up to this is the quotient's own error
FLOOR = 1e-4  # gradients below this are compared as if they were as large: a quotient is right to about 1e-10, however small it is


@dataclass(frozen=True)
class CheckedWeight:
    """One weight w of a matrix, f at w + h and at w - h, and what the backward pass says."""

    index: tuple[int, ...]
    weight: float
    step: float
    above: float
    below: float
    gradient: float

    @property
    def quotient(self) -> float:
        """(f(w + h) - f(w - h)) / 2h."""
        return (self.above - self.below) / (2 * self.step)

    @property
    def difference(self) -> float:
        """|gradient - quotient|, relative to the greater of both, or to FLOOR where both are smaller."""
        return abs(self.gradient - self.quotient) / max(abs(self.gradient), abs(self.quotient), FLOOR)

    def agrees(self) -> bool:
        """Whether gradient and quotient are equal but for the quotient's own error."""
        return self.difference <= TOLERANCE  # not so of nan

    def to_dict(self) -> dict[str, Any]:
        """Its numbers by name."""
        return {
            "index": list(self.index), "weight": self.weight, "step": self.step, "above": self.above, "below": self.below,
            "quotient": self.quotient, "gradient": self.gradient, "difference": self.difference,
        }  # fmt: skip


@dataclass(frozen=True)
class CheckedMatrix:
    """The weights that were drawn from one matrix (or vector) of weights."""

    name: str
    shape: tuple[int, ...]
    weights: tuple[CheckedWeight, ...]

    @property
    def worst(self) -> CheckedWeight:
        """The one whose gradient differs most from its quotient."""
        return max(self.weights, key=lambda each: (not each.agrees(), each.difference))

    @property
    def zeros(self) -> int:
        """How many of them have a gradient of exactly zero."""
        return sum(each.gradient == 0 for each in self.weights)

    @property
    def largest(self) -> CheckedWeight:
        """The one whose gradient is the largest."""
        return max(self.weights, key=lambda each: abs(each.gradient))

    def label(self, weight: CheckedWeight) -> str:
        """Matrix and place of one of the weights."""
        return f"{self.name}[{', '.join(map(str, weight.index))}]"

    def to_dict(self) -> dict[str, Any]:
        """The matrix and its weights."""
        return {
            "name": self.name, "shape": list(self.shape), "zero_gradients": self.zeros, "largest_difference": self.worst.difference,
            "weights": [each.to_dict() for each in self.weights],
        }  # fmt: skip


def check(network: nn.Module, loss: Callable[[], Tensor], draw: int, step: float, random: np.random.Generator) -> Iterator[CheckedMatrix]:
    """Each matrix of `network` with `draw` of its weights, or all where it has no more: the one with the largest gradient, others whose
    gradient is not zero for half of them, as far as there are such, and any others.

    loss: f, the same each time that it is called with the same weights; float64. step: h. A quotient that differs from the gradient is
    taken again with h / 10, which is kept if it agrees: f has corners (ReLU), and across one the quotient is wrong.
    """
    parameters = dict(network.named_parameters())
    found = torch.autograd.grad(loss(), list(parameters.values()), allow_unused=True)
    for (name, parameter), gradient in zip(parameters.items(), found, strict=True):
        gradient_N = (torch.zeros_like(parameter) if gradient is None else gradient).flatten().cpu().numpy()
        checked = []
        for place in _drawn(gradient_N, draw, random):
            made = _quotient(loss, parameter, place, step, float(gradient_N[place]))
            if not made.agrees():
                closer = _quotient(loss, parameter, place, step / 10, made.gradient)
                made = closer if closer.agrees() else made
            checked.append(made)
        yield CheckedMatrix(name, tuple(parameter.shape), tuple(checked))


def _drawn(gradient_N: np.ndarray, draw: int, random: np.random.Generator) -> list[int]:
    """Different places: the largest gradient's, then others where it is not zero, then any."""
    felt = random.permutation(np.flatnonzero(gradient_N))[: (draw + 1) // 2]
    any_place = random.permutation(len(gradient_N))[: 2 * draw]
    places = map(int, (np.abs(gradient_N).argmax(), *felt, *any_place))
    return list(dict.fromkeys(places))[:draw]


@torch.no_grad()
def _quotient(loss: Callable[[], Tensor], parameter: nn.Parameter, place: int, step: float, gradient: float) -> CheckedWeight:
    flat_N = parameter.view(-1)
    weight = float(flat_N[place])
    flat_N[place] = weight + step
    above = float(loss())
    flat_N[place] = weight - step
    below = float(loss())
    flat_N[place] = weight
    return CheckedWeight(tuple(map(int, np.unravel_index(place, tuple(parameter.shape)))), weight, step, above, below, gradient)
