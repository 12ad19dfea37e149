"""Compute the outputs of a language model's layers for whole lines, each from the initial state.

Shapes: K inputs of the longest line, `</s>` first, B rows, E width of the inputs, H of a layer's
outputs.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from rnnlm.interface import Encoded, Tokenizer, keeps
from rnnlm.lm.base.layer_outputs import (
    FEATURES,
    INPUT,
    DirectionOutput,
    LayerInputs,
    LayerOutputs,
    LayerReader,
    encoded_lines,
    line_words,
)
from rnnlm.lm.base.words import Span
from rnnlm.lm.neural.device import evaluation_mode
from rnnlm.lm.neural.layers.layers import RecurrentStack
from rnnlm.lm.neural.network import Network
from rnnlm.lm.neural.settings import RecurrentSettings


def of_network(network: Network, inputs_KB: Tensor) -> tuple[list[Tensor], Tensor]:
    """Return a list of a language model's inputs and of the outputs of each layer; and the output
    of the body."""
    x_KBE = network.input(inputs_KB)
    if isinstance(network.body, RecurrentStack):
        top_KBH, layers = network.body.read(x_KBE)
        return [x_KBE, *layers], top_KBH
    top_KBH, _ = network.body(x_KBE, network.initial_state(inputs_KB.shape[1]), *network.feedback)
    return [x_KBE, top_KBH], top_KBH


@keeps(LayerReader)
class NetworkLayers:
    """The :class:`rnnlm.lm.base.layer_outputs.LayerReader` of a language model.

    `</s>` is read before each line, and its outputs are all that a line without tokens has.
    """

    text_layers = ()

    def __init__(self, network: Network, tokenizer: Tokenizer, precision: str) -> None:
        self.network = network
        self.precision = precision
        self.tokenizer = tokenizer
        count = len(network.body.layers) if isinstance(network.body, RecurrentStack) else 1
        self.layers = (INPUT, *map(str, range(1, count + 1)), FEATURES)

    def lines_read(self, lines: Sequence[str]) -> Sequence[str]:
        return lines

    def encode(self, lines: Sequence[str], with_words: bool = False) -> LayerInputs:
        return encoded_lines(lines, self.tokenizer, with_words)

    def encode_words(self, texts: Sequence[Sequence[str]]) -> LayerInputs:
        """Encode texts that are split into words already, each as a line with a space between two
        words."""
        lines = [" ".join(words) for words in texts]
        encoded = self.tokenizer.encode(lines)
        lengths_L = np.diff(encoded.offsets)
        places = [_places(words) for words in texts]
        words = line_words(lines, texts, places, lengths_L - 1, self.tokenizer)
        return LayerInputs(lengths_L, words, encoded)

    def read(
        self, encoded: LayerInputs, chosen_B: np.ndarray, layers: Sequence[str]
    ) -> list[LayerOutputs]:
        device = next(self.network.parameters()).device
        lengths_B = encoded.lengths_L[chosen_B] - 1
        inputs_KB = torch.from_numpy(self._inputs(encoded.data, chosen_B, lengths_B)).to(device)

        # Where a line's outputs begin and end; the last of them has read all of it.
        begins_B, ends_B = np.minimum(lengths_B, 1), lengths_B + 1
        return [
            LayerOutputs((DirectionOutput(values_KBH, False, ends_B - 1),), begins_B, ends_B)
            for values_KBH in self._read(inputs_KB, layers)
        ]

    def _read(self, inputs_KB: Tensor, layers: Sequence[str]) -> list[Tensor]:
        """Return the values of each of `layers`, (K, B, .)."""
        with evaluation_mode(self.network, self.precision):
            if set(layers) == {FEATURES}:  # nothing else is kept
                state = self.network.initial_state(inputs_KB.shape[1])
                features_KBE, _ = self.network.features(inputs_KB, state)
                return [features_KBE] * len(layers)
            below, top_KBH = of_network(self.network, inputs_KB)
            values = dict(zip(self.layers, [*below, self.network.projection(top_KBH)], strict=True))
            return [values[layer] for layer in layers]

    def _inputs(self, encoded: Encoded, chosen_B: np.ndarray, lengths_B: np.ndarray) -> np.ndarray:
        """Return the inputs (K, B) int64 of the lines; padding is `</s>`."""
        place_KB = np.arange(-1, int(lengths_B.max()))[:, None]
        is_token_KB = (place_KB >= 0) & (place_KB < lengths_B)
        at_KB = encoded.offsets[chosen_B] + place_KB
        ids_KB = encoded.ids[np.where(is_token_KB, at_KB, 0)]
        return np.where(is_token_KB, ids_KB, self.tokenizer.boundary_id).astype(np.int64)


def _places(words: Sequence[str]) -> list[Span]:
    """Return where each word's characters are in a line with a space between two words."""
    ends = np.cumsum([len(word) + 1 for word in words]) - 1
    return [(int(end) - len(word), int(end)) for word, end in zip(words, ends, strict=True)]


# Of each part of a layer its width, and whether the backward direction gives it.
Parts = Sequence[tuple[int, bool]]


def ends(settings: RecurrentSettings) -> list[tuple[int, bool]]:
    """Return (width, whether the backward direction gives it) of each part of the features, in
    their order."""
    directions = [False, True][: settings.directions]
    if settings.connections != "dense":
        return [(settings.widths[-1], is_backward) for is_backward in directions]
    parts = [(settings.input_width, False)]
    for width in settings.widths:
        parts += [(width, is_backward) for is_backward in directions]
    return parts


def parts_of(settings: RecurrentSettings) -> dict[str, Parts]:
    """Return the parts of each layer of a recurrent encoder, the lowest first."""
    directions = (False, True)[: settings.directions]
    by_number = {
        str(number): [(width, is_backward) for is_backward in directions]
        for number, width in enumerate(settings.widths, start=1)
    }
    return {INPUT: [(settings.input_width, False)], **by_number, FEATURES: ends(settings)}


def side_by_side(values_TBH: Tensor, parts: Parts, lengths_B: np.ndarray) -> LayerOutputs:
    """Return the outputs of a layer of these parts, which reads rows of these lengths."""
    # Where each direction has read all of a row.
    first_B, last_B = np.zeros_like(lengths_B), lengths_B - 1
    pieces = values_TBH.split([width for width, _ in parts], dim=2)
    outputs = tuple(
        DirectionOutput(piece, is_backward, first_B if is_backward else last_B)
        for piece, (_, is_backward) in zip(pieces, parts, strict=True)
    )
    return LayerOutputs(outputs, first_B, lengths_B)
