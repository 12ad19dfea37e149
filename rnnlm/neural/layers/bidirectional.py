"""Recurrent layers that read each row from both ends (Schuster & Paliwal 1997; Graves & Schmidhuber 2005).

The two directions have weights of their own. Each layer gives [forward; backward], side by side, and the layers above read both.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from rnnlm.neural.layers.layer import Layer, State
from rnnlm.neural.layers.stack import Stack, make_layers
from rnnlm.neural.recurrent_settings import RecurrentSettings


class BidirectionalStack(Stack):
    """Reads whole rows of different lengths, from states of zeros on.

    For the backward direction a row is turned round within its own length, so that padding comes last in both directions and
    has no influence on what stands before it.
    """

    onwards: Sequence[Layer]
    backwards: Sequence[Layer]

    def __init__(self, settings: RecurrentSettings) -> None:
        super().__init__(settings)
        self.onwards = make_layers(settings)  # type: ignore[assignment]  # a list of modules does not say of which
        self.backwards = make_layers(settings)  # type: ignore[assignment]
        self.highways = self._make_highways()

    def forward(self, x_TBE: Tensor, lengths_B: Tensor) -> Tensor:
        """What the highest layer gives, (T, B, H). Its cells after a row's end mean nothing."""
        return self.read(x_TBE, lengths_B)[0]

    def read(self, x_TBE: Tensor, lengths_B: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The same, and [forward; backward] of each layer by itself, before it is connected to those below."""
        places_N, layers = mirror_places(len(x_TBE), lengths_B), []
        for number, (onwards, backwards) in enumerate(zip(self.onwards, self.backwards, strict=True)):
            x_TBE = self.drop_between(number, x_TBE)
            forward_TBH, _ = onwards(x_TBE, first_state(onwards, x_TBE))
            backward_TBH, _ = backwards(mirror(x_TBE, places_N), first_state(backwards, x_TBE))
            layers.append(torch.cat([forward_TBH, mirror(backward_TBH, places_N)], dim=2))
            x_TBE = self.connect(number, x_TBE, layers[-1])
        return x_TBE, layers

    def matrices(self) -> Iterator[tuple[Tensor, str, int]]:
        """(weights, what they multiply, blocks stacked in them), to be initialised."""
        for layer in (*self.onwards, *self.backwards):
            yield from layer.matrices()


def first_state(layer: Layer, x_TBE: Tensor) -> State:
    """Zeros, of the type of the layer's weights, for the rows of x."""
    return tuple(layer.weight_ih.new_zeros((places, x_TBE.shape[1], width)) for places, width in layer.state_shapes())


def mirror_places(T: int, lengths_B: Tensor) -> Tensor:
    """For each cell (t, b) of a window, in the order of memory, the one that takes its place when every row is turned round within its
    length: (T B) int64. Cells after a row's end stay where they are. Done twice, all is as before."""
    rows = len(lengths_B)
    t_T1 = torch.arange(T, device=lengths_B.device).unsqueeze(1)
    other_TB = torch.where(t_T1 < lengths_B, lengths_B - 1 - t_T1, t_T1)
    return (other_TB * rows + torch.arange(rows, device=lengths_B.device)).flatten()


def mirror(x_TBE: Tensor, places_N: Tensor) -> Tensor:
    """x with its rows turned round, for places from :func:`mirror_places`."""
    mirrored: Tensor = _Mirror.apply(x_TBE, places_N)
    return mirrored


class _Mirror(torch.autograd.Function):
    """As the exchange is its own inverse, the gradient goes the same way: whole rows are copied, where autograd's own rule for an
    index would add them to zeros one by one."""

    @staticmethod
    def forward(ctx: Any, x_TBE: Tensor, places_N: Tensor) -> Tensor:
        ctx.save_for_backward(places_N)
        return x_TBE.flatten(0, 1).index_select(0, places_N).view(x_TBE.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return mirror(gradients[0], *ctx.saved_tensors), None
