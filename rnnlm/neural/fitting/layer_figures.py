"""How the recurrent layers of a network fare in training: spectral radius, norm of the gradient, share of saturated units, of each.

They are looked at after a validation, change nothing and draw nothing at random. Norms cost nothing: clipping needs them. The
others need eigenvalues, which a CPU computes: seconds for wide layers, in which a GPU reads a whole text. After the first look,
looks are spaced so that they take one hundredth of the run's time, judged by the last one.
"""

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from rnnlm.config import Budget
from rnnlm.neural.fitting.budget import BudgetClock, Interval
from rnnlm.neural.layers.activations import CELL, DOUBLED, HIDDEN, activations_of
from rnnlm.neural.layers.layer import Layer
from rnnlm.neural.layers.naming import named_layers
from rnnlm.neural.layers.steps import Step
from rnnlm.neural.recurrent_matrices import recurrent_blocks
from rnnlm.neural.spectrum import spectral_radius

STEPS = 16  # of each layer that are looked at


@runtime_checkable
class Reads(Protocol):
    """A Validation that can read a little of its data for who looks at the layers meanwhile."""

    def read_some(self) -> None:
        """Some texts, one row or several without padding, in evaluation mode and without gradients."""
        ...


class LayerFigures:
    """A Part of the trainer.

    norms: of the gradient of each weight in the last step, on the device; None before the first step of this process, when those
    of the last step before it hold.
    """

    def __init__(self, network: nn.Module, validation: Any, clock: BudgetClock) -> None:
        self.network = network
        self.validation = validation
        self.clock = clock
        self.layers = named_layers(network)
        self.norms: dict[nn.Parameter, Tensor] | None = None
        self.stored: list[float | None] = []
        self.looks = Interval(Budget(seconds=0.0))  # at spectrum and units: as often as their cost allows

    def measure(self, step: int) -> dict[str, dict[str, Any]]:
        """Return the figures of each layer after `step` steps, by the layer's name.

        gradient_norm: of all its weights in the last step, before clipping. Where a look is due, spectral_radius by block of
        recurrent weights, and saturated, the share of its units. None where there is no such thing, or it is not a number.
        """
        norms = self.gradient_norms() or [None] * len(self.layers)
        found: dict[str, dict[str, Any]] = {}
        for name, norm in zip(self.layers, norms, strict=True):
            found[name] = {"gradient_norm": norm}
        seconds = self.clock.elapsed()
        if not self.looks.due(step, seconds):
            return found

        # Several processes share a clock that advances only when they synchronize, so time the look with our own.
        began = time.perf_counter()
        saturated = self._saturated()
        for name, layer in self.layers.items():
            radii = {block: _number(spectral_radius(weight_HH)) for block, weight_HH in recurrent_blocks(layer).items()}
            found[name] |= {"spectral_radius": radii or None, "saturated": saturated.get(name)}
        self.looks.done(step, seconds, seconds + time.perf_counter() - began)
        return found

    def gradient_norms(self) -> list[float | None]:
        """Of each layer, in the last step; [] before the first one. Waits for the device."""
        if self.norms is None:
            return self.stored
        of_layers = [[self.norms[each] for each in layer.parameters() if each in self.norms] for layer in self.layers.values()]
        sums = [torch.linalg.vector_norm(torch.stack(each)) for each in of_layers if each]
        values = iter(torch.stack(sums).tolist() if sums else [])
        return [_number(next(values)) if each else None for each in of_layers]

    def state_dict(self) -> dict[str, Any]:
        return {"gradient_norms": self.gradient_norms(), "looked_after": self.looks.seconds, "look_seconds": self.looks.cost}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a stored state. Checkpoints of earlier versions hold no norms, or no times: then the first look is due at once."""
        self.norms, self.stored = None, state.get("gradient_norms", [])
        self.looks.seconds, self.looks.cost = state.get("looked_after", 0.0), state.get("look_seconds", 0.0)

    def _saturated(self) -> dict[str, float | None]:
        if not self.layers or not isinstance(self.validation, Reads):
            return {}
        with watched(self.layers) as seen:
            self.validation.read_some()
        means = {name: sum(share * steps for share, steps in its) / sum(steps for _, steps in its) for name, its in seen.items() if its}
        return {name: _number(mean) for name, mean in means.items()}


@contextlib.contextmanager
def watched(layers: dict[str, Layer]) -> Iterator[dict[str, list[tuple[float, int]]]]:
    """While this lasts, by name of each layer the share of saturated units and the steps it is of, :data:`STEPS` at most in all."""
    seen: dict[str, list[tuple[float, int]]] = {name: [] for name in layers}
    hooks = [layer.register_forward_pre_hook(partial(_watch, seen[name])) for name, layer in layers.items()]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def _watch(seen: list[tuple[float, int]], layer: Layer, read: tuple[Any, ...]) -> None:
    """Take the plain steps of what `layer` is about to read."""
    x_TBE, state, *feedback = read
    steps = []
    for x_BE in x_TBE[: max(0, STEPS - sum(count for _, count in seen))]:
        step, state = layer.step(x_BE.to(layer.weight_ih.dtype), state, *feedback)
        steps.append(step)
    if steps:
        seen.append((float(saturated_share(layer, steps)), len(steps)))


def saturated_share(layer: Layer, steps: Sequence[Step]) -> Tensor:
    """Which share of a layer's activations is saturated: of gates and candidates or, where there are none, of hidden units."""
    parts = []
    for name, activation in activations_of(layer).items():
        if name != CELL and activation is not DOUBLED:
            # a WordWindow with direct connections hands on more than its hidden units
            values = [step.hidden_BH[:, : layer.width] if name == HIDDEN else step.gates[name] for step in steps]
            y = torch.stack(values)
            parts.append((activation.is_low(y) | activation.is_high(y)).flatten())
    return torch.cat(parts).float().mean()


def _number(value: float) -> float | None:
    """Rounded to what is meaningful of it; None where it is not finite."""
    return float(f"{value:.4g}") if math.isfinite(value) else None
