"""What the layers of an encoder give for sources."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from rnnlm.inference.layer_outputs import EncodedLines, LayerOutputs, LayerReader, Part, words_of_lines
from rnnlm.interface import keeps
from rnnlm.neural.layers.bidirectional import mirror, mirror_places
from rnnlm.tasks.encoders.pooling import parts_of
from rnnlm.tasks.fitting.batches import on_device
from rnnlm.tasks.seq2seq.data import rows
from rnnlm.tasks.seq2seq.fitting.batches import source_arrays

if TYPE_CHECKING:
    from rnnlm.tasks.seq2seq.model import Seq2SeqModel


@keeps(LayerReader)
class EncoderLayers:
    """The :class:`rnnlm.inference.layer_outputs.LayerReader` of an encoder-decoder: of what its encoder reads, each source with its `</s>`,
    which counts as a token. What it reads onwards is all read at `</s>`, also of a source that is read from its end."""

    text_layers = ()

    def __init__(self, model: "Seq2SeqModel") -> None:
        self.model = model
        self.is_reversed, self.tokenizer = model.codec.source.is_reversed, model.codec.source.in_direction(False)
        self._parts = parts_of(model.network.settings)
        self.layers = tuple(self._parts)

    def encode(self, lines: Sequence[str], with_words: bool = False) -> EncodedLines:
        encoded = self.model.codec.source.encode(lines)
        lengths_L = np.diff(encoded.offsets)
        return EncodedLines(lengths_L, words_of_lines(lines, lengths_L - 1, self.tokenizer) if with_words else (), encoded)

    def encode_words(self, texts: Sequence[Sequence[str]]) -> EncodedLines:
        """Texts that are split into words already: each is read as a line with a space between two words."""
        return self.encode([" ".join(words) for words in texts], with_words=True)

    def read(self, encoded: EncodedLines, chosen_B: np.ndarray, layers: Sequence[str]) -> list[LayerOutputs]:
        sources_SB, lengths_1B = (on_device(array, self.model.device) for array in source_arrays(rows(encoded.data, chosen_B)))
        places_N = mirror_places(len(sources_SB), lengths_1B[0] - 1) if self.is_reversed else None
        with self.model.reading():
            values = dict(zip(self.layers, self.model.network.source_layers(sources_SB, lengths_1B[0]), strict=True))
            return [self._outputs(layer, values[layer], encoded.lengths_L[chosen_B], places_N) for layer in layers]

    def _outputs(self, layer: str, values_SBH: Tensor, lengths_B: np.ndarray, places_N: Tensor | None) -> LayerOutputs:
        if places_N is not None:
            values_SBH = mirror(values_SBH, places_N)
        first_B = np.zeros_like(lengths_B)
        all_read_B = np.maximum(lengths_B - 2, 0) if self.is_reversed else first_B
        widths = [width for width, _ in self._parts[layer]]
        parts = [
            Part(piece, is_backward != self.is_reversed, all_read_B if is_backward else lengths_B - 1)
            for piece, (_, is_backward) in zip(values_SBH.split(widths, dim=2), self._parts[layer], strict=True)
        ]
        return LayerOutputs(tuple(parts), first_B, lengths_B)
