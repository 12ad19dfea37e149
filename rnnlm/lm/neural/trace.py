"""Trace a network layer by layer and step by step: hidden states, cells and gates, as tensors that
gradients pass through.

Each step is the plain one of its layer (layers/steps.py), so all of it can be differentiated, any
number of times, with respect to weights, inputs and states in between. Nothing is dropped out, in
training mode either. For reading closely, not for speed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rnnlm.lm.neural.layers.layers import (
    BACKWARD,
    BidirectionalStack,
    Layer,
    RecurrentStack,
    State,
    first_state,
    rows_of,
)
from rnnlm.lm.neural.layers.steps import CellStep


@dataclass(frozen=True)
class LayerTrace:
    """The T steps of one layer, and its inputs, (T, B, E).

    The steps hold the very tensors that the next steps read, so that a gradient can be taken at
    each. The properties stack all steps into new tensors of T places.
    """

    inputs_TBE: Tensor
    steps: tuple[CellStep, ...]

    @property
    def hidden_TBH(self) -> Tensor:
        """The layer's outputs."""
        return torch.stack([step.hidden_BH for step in self.steps])

    @property
    def cell_TBH(self) -> Tensor | None:
        """The cells; None if the layer has none."""
        cells = [step.cell_BH for step in self.steps if step.cell_BH is not None]
        return torch.stack(cells) if cells else None

    @property
    def gates(self) -> dict[str, Tensor]:
        """The gates by name, (T, B, H)."""
        names = self.steps[0].gates
        return {name: torch.stack([step.gates[name] for step in self.steps]) for name in names}


@dataclass(frozen=True)
class NamedLayer:
    """A layer's trace by the layer's name: "layer 1", "layer 1 backward", "encoder layer 1". Its
    steps are in the order of the text. module: what computed it, and knows its activations."""

    name: str
    layer: LayerTrace
    module: Any


@dataclass(frozen=True)
class LineTrace:
    """The trace of one line: the T tokens, as they are shown, and the values of each recurrent or
    feed-forward layer at each of them, (T, 1, .). A bag of words and filters have one step for a
    text, a network over a tree one for each inner node."""

    tokens: tuple[str, ...]
    layers: tuple[NamedLayer, ...]


@dataclass(frozen=True)
class Trace:
    """A trace of each layer, the lowest first; the output layer's input; the state after the last
    input."""

    layers: tuple[LayerTrace, ...]
    features_TBE: Tensor
    state: State


def trace_stack(
    body: RecurrentStack | BidirectionalStack, x_TBE: Tensor, where: str = ""
) -> tuple[NamedLayer, ...]:
    """Record how recurrent layers read whole rows of T steps, without padding, from states of zeros
    on. where: the prefix of the names."""
    traces: list[NamedLayer] = []
    for number, row in enumerate(rows_of(body)):
        given = []
        for name, layer in row:
            zeros = first_state(layer, x_TBE)
            if name.endswith(BACKWARD):
                # This layer reads from the last step to the first; its trace is in the order of the
                # text.
                backward, _ = read_layer(layer, x_TBE.flip(0), zeros, ())
                traced = LayerTrace(x_TBE, backward.steps[::-1])
            else:
                traced, _ = read_layer(layer, x_TBE, zeros, ())
            traces.append(NamedLayer(where + name, traced, layer))
            given.append(traced.hidden_TBH)
        x_TBE = body.connect(number, x_TBE, torch.cat(given, dim=2))
    return tuple(traces)


def trace_hidden(inputs_TBE: Tensor, outputs: Sequence[Tensor]) -> tuple[LayerTrace, ...]:
    """Return the traces of layers without a state, from the outputs (T, B, H) of each, the lowest
    first."""
    traces = []
    for output_TBH in outputs:
        traces.append(LayerTrace(inputs_TBE, tuple(map(CellStep, output_TBH.unbind(0)))))
        inputs_TBE = output_TBH
    return tuple(traces)


def read_layer(
    layer: Layer, x_TBE: Tensor, state: State, feedback: tuple
) -> tuple[LayerTrace, State]:
    """Take the plain steps of `layer`; return them and the state after the last."""
    steps = []
    for x_BE in x_TBE:
        step, state = layer.step(x_BE, state, *feedback)
        steps.append(step)
    return LayerTrace(x_TBE, tuple(steps)), state
