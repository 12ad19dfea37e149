"""A trained encoder-decoder, as it is loaded, saved, and read with."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnnlm.interface import PADDING, Shapes
from rnnlm.neural.device import resolve_device
from rnnlm.neural.trace import LineTrace
from rnnlm.neural.word_rows import WordRows, input_rows, output_rows
from rnnlm.tasks.fitting.batches import on_device
from rnnlm.tasks.saved_model import SavedModel
from rnnlm.tasks.seq2seq import settings as network_settings
from rnnlm.tasks.seq2seq.codec import PairCodec
from rnnlm.tasks.seq2seq.conditional import ConditionalModel, ConditionalState
from rnnlm.tasks.seq2seq.data import PairedData, rows
from rnnlm.tasks.seq2seq.fitting.batches import pair_tensors, source_arrays
from rnnlm.tasks.seq2seq.layer_outputs import EncoderLayers
from rnnlm.tasks.seq2seq.network import Seq2SeqNetwork
from rnnlm.text.batches import by_length

TOKENS = 1 << 12  # of targets, read in one call, about
_TYPES = {torch.float32: "F32", torch.int32: "I32"}


class Seq2SeqModel(SavedModel[Seq2SeqNetwork, PairCodec]):
    """An encoder-decoder. codec: the tokenizers of both sides."""

    task = "seq2seq"

    @cached_property
    def decoder(self) -> ConditionalModel:
        """The language model of targets, which begins in the states of their sources. Its initial state is that of an empty source."""
        return ConditionalModel(self)

    def word_vectors(self, which: str) -> WordRows:
        """The vectors of the source's words ("input"), or the weights of the target's words in the softmax ("output")."""
        network, codec = self.network, self.codec
        if which == "output":
            note = "of the target" + ("" if network.tied_VE is None else "; tied: the decoder reads the same")
            rows = output_rows(network.output, network.tied_VE, codec.target)._replace(note=note)
        else:
            source = network.source_words or network.target_words
            rows = input_rows(source, codec.source)._replace(note="of the source")
        return rows if network.source_words else rows._replace(note="tied: one matrix for source, target and output")

    def states(self, sources: Sequence[str]) -> ConditionalState:
        """The states of the decoder before the first token of a target, one row for each source; `</s>` is the first input.

        Raises:
            TextError: a source holds a newline.
        """
        encoded = self.codec.source.encode(sources)
        return self.states_of(rows(encoded, range(len(sources))))

    def states_of(self, sources: Sequence[np.ndarray]) -> ConditionalState:
        """The same of sources as tokens, `</s>` at their end."""
        sources_SM, lengths_1M = (on_device(array, self.device) for array in source_arrays(list(sources)))
        with self.reading():
            memory, state = self.network.encode(sources_SM, lengths_1M[0])
        return ConditionalState(state, memory)

    def layer_reader(self) -> EncoderLayers:
        """What reads sources and gives what the layers of the encoder give."""
        return EncoderLayers(self)

    def trace_line(self, line: str) -> LineTrace:
        """What each layer of the encoder did at each token of a source, `</s>` read last.

        Raises:
            TextError: the source holds a newline.
        """
        source = self.codec.source
        ids_S = source.encode([line]).ids
        with self.reading():
            layers = self.network.trace_source(on_device(ids_S, self.device).unsqueeze(1))
        return LineTrace(tuple(source.surfaces([line])[0]), layers)

    def batches(self, data: PairedData) -> Iterator[np.ndarray]:
        """The numbers of the encoded pairs, in batches of about :data:`TOKENS` tokens, those of about the same length together."""
        return by_length(np.maximum(data.source_lengths, data.target_lengths), TOKENS)

    def score_pairs(self, data: PairedData, chosen_B: np.ndarray) -> Tensor:
        """Log-probability (nats) of each token of these targets given their sources, (T, B), 0 in padding."""
        return self.score_tensors(*pair_tensors(data, chosen_B, self.codec.target.boundary_id, self.device))

    def score_tensors(self, sources_SB: Tensor, lengths_1B: Tensor, inputs_TB: Tensor, targets_TB: Tensor) -> Tensor:
        """The same of tensors as :func:`rnnlm.tasks.seq2seq.fitting.batches.pair_tensors` makes them."""
        with self.reading():
            memory, state = self.network.encode(sources_SB, lengths_1B[0])
            features_TBE, _, _ = self.network.decode(inputs_TB, memory, state)
            return self.network.score_features(features_TBE, targets_TB)

    def attention(self, data: PairedData, chosen_B: np.ndarray) -> list[np.ndarray]:
        """The attention weights of each pair, (T, S): how much each token of the target, `</s>` the last, looked at each token of the
        source, `</s>` the last; each row sums to 1. Empty, (T, 0), without attention."""
        sources_SB, lengths_1B, inputs_TB, targets_TB = pair_tensors(data, chosen_B, self.codec.target.boundary_id, self.device)
        with self.reading():
            memory, state = self.network.encode(sources_SB, lengths_1B[0])
            _, weights_TBS, _ = self.network.decode(inputs_TB, memory, state)
        lengths = zip((targets_TB != PADDING).sum(dim=0).tolist(), lengths_1B[0].tolist(), strict=True)
        if weights_TBS is None:
            return [np.zeros((T, 0), dtype=np.float32) for T, _ in lengths]
        weights = weights_TBS.float().cpu().numpy()
        return [weights[:T, row, :S] for row, (T, S) in enumerate(lengths)]


def array_shapes(settings: dict[str, Any], codec: PairCodec, stored: Shapes | None = None) -> Shapes:
    """Name to (safetensors type, shape) of the arrays a model of these settings has; allocates nothing.

    Raises:
        ModelError: the settings are not valid.
    """
    with torch.device("meta"):
        network = Seq2SeqNetwork(network_settings.stored(settings), codec.source, codec.target)
    return {name: (_TYPES[tensor.dtype], tuple(tensor.shape)) for name, tensor in network.state_dict().items()}


def from_arrays(
    settings: dict[str, Any], codec: PairCodec, arrays: dict[str, np.ndarray], device: str, fingerprint: str | None,
    parts: Sequence[Any] = (),
) -> Seq2SeqModel:  # fmt: skip
    """The model whose `to_arrays()` gave `arrays`, on `device`.

    Raises:
        DeviceError: the device is not available.
    """
    target = resolve_device(device)
    with torch.device("meta"):
        network = Seq2SeqNetwork(network_settings.stored(settings), codec.source, codec.target)
    network.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()}, assign=True)
    return Seq2SeqModel(network.to(target).eval(), codec, fingerprint=fingerprint)
