"""How the recurrent layers of a network fare in training: spectral radius, norm of the gradient, share of saturated units, of each.

They are looked at after a validation, change nothing, draw nothing at random, and are the same in a run that was resumed. Norms cost
nothing: clipping needs them. The others cost what training on some hundred tokens does, so that after few tokens they are left out.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from rnnlm.neural.layers.activations import CELL, DOUBLED, HIDDEN, activations_of
from rnnlm.neural.layers.layer import Layer
from rnnlm.neural.layers.naming import named_layers
from rnnlm.neural.layers.steps import Step
from rnnlm.neural.recurrent_matrices import recurrent_blocks
from rnnlm.neural.spectrum import spectral_radius

STEPS = 16  # of each layer that are looked at
APART = {"cpu": 40_000}  # tokens from one look at spectrum and units to the next, so that they take at most 1 % of the training between
APART_ELSEWHERE = 500_000  # a GPU reads them as quickly, but looks no quicker


@runtime_checkable
class Reads(Protocol):
    """A Validation that can read a little of its data for who looks at the layers meanwhile."""

    def read_some(self) -> None:
        """Some texts, one row or several without padding, in evaluation mode and without gradients."""
        ...


class LayerFigures:
    """A Part of the trainer. norms: of the gradient of each weight in the last step, on the device; None before the first one of this
    process, when those of the last step before it hold."""

    def __init__(self, network: nn.Module, validation: Any) -> None:
        self.network = network
        self.validation = validation
        self.layers = named_layers(network)
        self.norms: dict[nn.Parameter, Tensor] | None = None
        self.stored: list[float | None] = []
        self.looked_at: int | None = None  # tokens that were read when spectrum and units were looked at

    def measure(self, tokens: int) -> dict[str, dict[str, Any]]:
        """Of each layer, by name: `gradient_norm`, of all its weights in the last step, before clipping; and, where `tokens` have been read
        in all and :data:`APART` of them since the last time, `spectral_radius`, by block of recurrent weights, and `saturated`, the share
        of its units. None where there is no such thing, or it is not a number."""
        norms = self.gradient_norms() or [None] * len(self.layers)
        found: dict[str, dict[str, Any]] = {name: {"gradient_norm": norm} for name, norm in zip(self.layers, norms, strict=True)}
        device = next(self.network.parameters()).device.type
        if self.looked_at is not None and tokens - self.looked_at < APART.get(device, APART_ELSEWHERE):
            return found
        self.looked_at = tokens
        saturated = self._saturated()
        for name, layer in self.layers.items():
            of_blocks = {block: _number(spectral_radius(weight_HH)) for block, weight_HH in recurrent_blocks(layer).items()}
            found[name] |= {"spectral_radius": of_blocks or None, "saturated": saturated.get(name)}
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
        return {"gradient_norms": self.gradient_norms(), "looked_at": self.looked_at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Checkpoints of before hold none."""
        self.norms, self.stored = None, state.get("gradient_norms", [])
        self.looked_at = state.get("looked_at")

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
