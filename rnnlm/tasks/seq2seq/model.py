"""A trained encoder-decoder, as it is loaded, saved, and read with."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rnnlm.checks import check_shapes, check_state, token_ids
from rnnlm.inference.layer_outputs import (
    EncodedLines,
    LayerOutputs,
    LayerReader,
    Part,
    words_of_lines,
)
from rnnlm.interface import (
    PADDING,
    Answers,
    Array,
    HiddenStateModel,
    LanguageModel,
    Shapes,
    State,
    Tokenizer,
    keeps,
)
from rnnlm.neural.device import exact_products, resolve_device
from rnnlm.neural.layers.layers import mirror, mirror_places
from rnnlm.neural.trace import LineTrace
from rnnlm.neural.words import WordRows, input_rows, output_rows
from rnnlm.tasks.batches import on_device
from rnnlm.tasks.labels.encoders import parts_of
from rnnlm.tasks.saved_model import SavedModel
from rnnlm.tasks.seq2seq import settings as network_settings
from rnnlm.tasks.seq2seq.batches import pair_tensors, source_arrays
from rnnlm.tasks.seq2seq.data import PairCodec, PairedData, rows
from rnnlm.tasks.seq2seq.network import DecoderState, Memory, Seq2SeqNetwork
from rnnlm.text.batches import by_length, check_lengths

# ---- What the layers of an encoder give for sources.


@keeps(LayerReader)
class EncoderLayers:
    """The :class:`rnnlm.inference.layer_outputs.LayerReader` of an encoder-decoder: of what its
    encoder reads, each source with its `</s>`, which counts as a token. What it reads onwards is
    all read at `</s>`, also of a source that is read from its end."""

    text_layers = ()

    def __init__(self, model: "Seq2SeqModel") -> None:
        self.model = model
        self.is_reversed, self.tokenizer = (
            model.codec.source.is_reversed,
            model.codec.source.in_direction(False),
        )
        self._parts = parts_of(model.network.settings)
        self.layers = tuple(self._parts)

    def encode(self, lines: Sequence[str], with_words: bool = False) -> EncodedLines:
        encoded = self.model.codec.source.encode(lines)
        lengths_L = np.diff(encoded.offsets)
        return EncodedLines(
            lengths_L,
            words_of_lines(lines, lengths_L - 1, self.tokenizer) if with_words else (),
            encoded,
        )

    def encode_words(self, texts: Sequence[Sequence[str]]) -> EncodedLines:
        """Texts that are split into words already: each is read as a line with a space between two
        words."""
        return self.encode([" ".join(words) for words in texts], with_words=True)

    def read(
        self, encoded: EncodedLines, chosen_B: np.ndarray, layers: Sequence[str]
    ) -> list[LayerOutputs]:
        sources_SB, lengths_1B = (
            on_device(array, self.model.device)
            for array in source_arrays(rows(encoded.data, chosen_B))
        )
        places_N = mirror_places(len(sources_SB), lengths_1B[0] - 1) if self.is_reversed else None
        with self.model.reading():
            values = dict(
                zip(
                    self.layers,
                    self.model.network.source_layers(sources_SB, lengths_1B[0]),
                    strict=True,
                )
            )
            return [
                self._outputs(layer, values[layer], encoded.lengths_L[chosen_B], places_N)
                for layer in layers
            ]

    def _outputs(
        self, layer: str, values_SBH: Tensor, lengths_B: np.ndarray, places_N: Tensor | None
    ) -> LayerOutputs:
        if places_N is not None:
            values_SBH = mirror(values_SBH, places_N)
        first_B = np.zeros_like(lengths_B)
        all_read_B = np.maximum(lengths_B - 2, 0) if self.is_reversed else first_B
        widths = [width for width, _ in self._parts[layer]]
        parts = [
            Part(
                piece, is_backward != self.is_reversed, all_read_B if is_backward else lengths_B - 1
            )
            for piece, (_, is_backward) in zip(
                values_SBH.split(widths, dim=2), self._parts[layer], strict=True
            )
        ]
        return LayerOutputs(tuple(parts), first_B, lengths_B)


# ---- A decoder given its sources, seen as a :class:`rnnlm.interface.LanguageModel`: sampling, beam
# search and scoring begin in its states.

MEMORY = "memory_"


@keeps(State)
@dataclass(frozen=True)
class ConditionalState:
    """What the decoder remembers of B targets, and what it sees of M sources: rows stand in M
    groups of B / M, each of one source.

    tensors: (places, B, width) each.
    """

    tensors: DecoderState
    memory: Memory

    @property
    def rows(self) -> int:
        """B."""
        return self.tensors[0].shape[1]

    @property
    def rows_of_each(self) -> int:
        """Of each source, B / M."""
        return self.rows // max(1, len(self.memory.lengths_M))

    def select(self, rows: Sequence[int] | np.ndarray) -> "ConditionalState":
        chosen = np.asarray(rows, dtype=np.int64)
        index = torch.as_tensor(chosen, device=self.tensors[0].device)
        tensors = tuple(tensor.index_select(1, index) for tensor in self.tensors)
        return ConditionalState(
            tensors, _sources(self.memory, _grouped(chosen // max(1, self.rows_of_each)))
        )

    def to_arrays(self) -> dict[str, np.ndarray]:
        named = {f"state_{number}": tensor for number, tensor in enumerate(self.tensors)}
        memory = {
            MEMORY + name: tensor
            for name, tensor in self.memory._asdict().items()
            if tensor is not None
        }
        return {name: tensor.cpu().numpy() for name, tensor in (named | memory).items()}


def _grouped(source_B: np.ndarray) -> np.ndarray:
    """The sources of rows, one for each group where they stand in equal groups, else one for each
    row."""
    starts = (
        np.flatnonzero(np.append(True, source_B[1:] != source_B[:-1]))
        if len(source_B)
        else source_B
    )
    sizes = np.diff(np.append(starts, len(source_B)))
    return source_B[starts] if (sizes == sizes[:1]).all() else source_B


def _sources(memory: Memory, chosen_M: np.ndarray) -> Memory:
    """The memory of these sources."""
    if np.array_equal(chosen_M, np.arange(len(memory.lengths_M))):
        return memory
    return memory.select(torch.as_tensor(chosen_M, device=memory.lengths_M.device))


@keeps(HiddenStateModel)
class ConditionalModel(Answers):
    """The decoder of an encoder-decoder. Scores in evaluation mode, without gradients. model: a
    :class:`rnnlm.tasks.seq2seq.model.Seq2SeqModel`, whose `states(sources)` this begins in."""

    normalised = True
    max_rows = None
    call_tokens = 1 << 12
    forgets_at_boundary = False
    adaptation = "none"
    reads_sources = True

    def __init__(self, model: "Seq2SeqModel") -> None:
        self.model = model
        self.is_weights_only = model.is_weights_only

    @property
    def model_kind(self) -> str:
        return self.model.model_kind

    @property
    def with_hidden_states(self) -> "ConditionalModel":
        return self

    @property
    def tokenizer(self) -> Tokenizer:
        return self.model.codec.target

    @property
    def precision(self) -> str:
        return str(self.model.precision)

    @property
    def fingerprint(self) -> str | None:
        return self.model.fingerprint

    @fingerprint.setter
    def fingerprint(self, value: str | None) -> None:
        self.model.fingerprint = value

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def hidden_size(self) -> int:
        return int(self.model.network.settings.features_width)

    def initial_state(self, rows: int) -> ConditionalState:
        return self.model.states([""]).select(np.zeros(rows, dtype=np.int64))

    def states(self, sources: Sequence[str]) -> ConditionalState:
        state: ConditionalState = self.model.states(sources)
        return state

    def score(
        self, inputs_BT: Array, targets_BT: Array, state: ConditionalState
    ) -> tuple[Tensor, ConditionalState]:
        hidden_BTH, after = self.hidden(inputs_BT, state)
        targets_BT = self._ids(targets_BT)
        check_shapes(self._ids(inputs_BT), targets_BT)
        return self.score_hidden(hidden_BTH, targets_BT), after

    def predict(self, inputs_BT: Array, state: ConditionalState) -> tuple[Tensor, ConditionalState]:
        hidden_BTH, after = self.hidden(inputs_BT, state)
        return self.predict_hidden(hidden_BTH), after

    def hidden(self, inputs_BT: Array, state: ConditionalState) -> tuple[Tensor, ConditionalState]:
        check_state(state, ConditionalState)
        inputs_BT = self._ids(inputs_BT)
        check_shapes(inputs_BT, rows=state.rows)
        with self.model.reading():
            features_TBE, _, after = self.model.network.decode(
                inputs_BT.t(), state.memory, state.tensors
            )
        return features_TBE.transpose(0, 1), ConditionalState(after, state.memory)

    def score_hidden(self, hidden_BTH: Tensor, targets_BT: Array) -> Tensor:
        with self.model.reading():
            return self.model.network.score_features(
                hidden_BTH.transpose(0, 1), self._ids(targets_BT).t()
            ).t()

    def predict_hidden(self, hidden_BTH: Tensor) -> Tensor:
        with self.model.reading():
            return self.model.network.predict_features(hidden_BTH.transpose(0, 1)).transpose(0, 1)

    @contextlib.contextmanager
    def exact_products(self) -> Iterator[None]:
        with torch.no_grad(), exact_products():
            yield

    def concat_states(self, states: Sequence[ConditionalState]) -> ConditionalState:
        groups = {state.rows_of_each for state in states}
        if len(groups) > 1:  # one source for each row
            states = [
                ConditionalState(each.tensors, _sources(each.memory, _each_row(each)))
                for each in states
            ]
        tensors = tuple(
            torch.cat(parts, dim=1)
            for parts in zip(*(state.tensors for state in states), strict=True)
        )
        memories = [state.memory for state in states]
        longest = max(len(memory.states_SMH) for memory in memories)
        parts = [[_lengthened(memory[part], longest) for memory in memories] for part in (0, 1)]
        keys = None if memories[0].keys_SMA is None else torch.cat(parts[1], dim=1)
        return ConditionalState(
            tensors,
            Memory(
                torch.cat(parts[0], dim=1),
                keys,
                torch.cat([memory.lengths_M for memory in memories]),
            ),
        )

    def state_from_arrays(self, arrays: dict[str, np.ndarray]) -> ConditionalState:
        on_device = {
            name: torch.as_tensor(array, device=self.device) for name, array in arrays.items()
        }
        memory = {
            name.removeprefix(MEMORY): tensor
            for name, tensor in on_device.items()
            if name.startswith(MEMORY)
        }
        states = tuple(on_device[f"state_{number}"] for number in range(len(arrays) - len(memory)))
        return ConditionalState(states, Memory(**{"keys_SMA": None, **memory}))  # type: ignore[arg-type]

    def to_arrays(self) -> dict[str, np.ndarray]:
        arrays: dict[str, np.ndarray] = self.model.to_arrays()
        return arrays

    def _ids(self, ids: Array) -> Tensor:
        return torch.as_tensor(token_ids(ids), dtype=torch.int64, device=self.device)


def _each_row(state: ConditionalState) -> np.ndarray:
    """The source of each row."""
    return np.repeat(np.arange(len(state.memory.lengths_M)), state.rows_of_each)


def _lengthened(tensor_SMX: Tensor | None, longest: int) -> Tensor:
    """Of sources, padded at their end with zeros."""
    return (
        torch.empty(0)
        if tensor_SMX is None
        else F.pad(tensor_SMX, (0, 0, 0, 0, 0, longest - len(tensor_SMX)))
    )


# ---- model

TOKENS = 1 << 12  # of targets, read in one call, about
_TYPES = {torch.float32: "F32", torch.int32: "I32"}


class Seq2SeqModel(SavedModel[Seq2SeqNetwork, PairCodec]):
    """An encoder-decoder. codec: the tokenizers of both sides."""

    task = "seq2seq"

    @property
    def model_kind(self) -> str:
        return self.network.settings.model

    @cached_property
    def decoder(self) -> ConditionalModel:
        """The language model of targets, which begins in the states of their sources. Its initial
        state is that of an empty source."""
        return ConditionalModel(self)

    def word_vectors(self, which: str) -> WordRows:
        """The vectors of the source's words ("input"), or the weights of the target's words in the
        softmax ("output")."""
        network, codec = self.network, self.codec
        if which == "output":
            note = "of the target" + (
                "" if network.tied_VE is None else "; tied: the decoder reads the same"
            )
            rows = output_rows(network.output, network.tied_VE, codec.target)._replace(note=note)
        else:
            source = network.source_words or network.target_words
            rows = input_rows(source, codec.source)._replace(note="of the source")
        return (
            rows
            if network.source_words
            else rows._replace(note="tied: one matrix for source, target and output")
        )

    def states(self, sources: Sequence[str]) -> ConditionalState:
        """The states of the decoder before the first token of a target, one row for each source;
        `</s>` is the first input.

        Raises:
            TextError: a source holds a newline.
        """
        encoded = self.codec.source.encode(sources)
        return self.states_of(rows(encoded, range(len(sources))))

    def states_of(self, sources: Sequence[np.ndarray]) -> ConditionalState:
        """The same of sources as tokens, `</s>` at their end.

        Raises:
            TextError: a source is too long.
        """
        check_lengths(list(map(len, sources)))
        sources_SM, lengths_1M = (
            on_device(array, self.device) for array in source_arrays(list(sources))
        )
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
        """The numbers of the encoded pairs, in batches of about :data:`TOKENS` tokens, those of
        about the same length together."""
        return by_length(np.maximum(data.source_lengths, data.target_lengths), TOKENS)

    def score_pairs(self, data: PairedData, chosen_B: np.ndarray) -> Tensor:
        """Log-probability (nats) of each token of these targets given their sources, (T, B), 0 in
        padding."""
        return self.score_tensors(
            *pair_tensors(data, chosen_B, self.codec.target.boundary_id, self.device)
        )

    def score_tensors(
        self, sources_SB: Tensor, lengths_1B: Tensor, inputs_TB: Tensor, targets_TB: Tensor
    ) -> Tensor:
        """The same of tensors as :func:`rnnlm.tasks.seq2seq.batches.pair_tensors` makes them."""
        with self.reading():
            memory, state = self.network.encode(sources_SB, lengths_1B[0])
            features_TBE, _, _ = self.network.decode(inputs_TB, memory, state)
            return self.network.score_features(features_TBE, targets_TB)

    def attention(self, data: PairedData, chosen_B: np.ndarray) -> list[np.ndarray]:
        """The attention weights of each pair, (T, S): how much each token of the target, `</s>` the
        last, looked at each token of the source, `</s>` the last; each row sums to 1. Empty, (T,
        0), without attention."""
        sources_SB, lengths_1B, inputs_TB, targets_TB = pair_tensors(
            data, chosen_B, self.codec.target.boundary_id, self.device
        )
        with self.reading():
            memory, state = self.network.encode(sources_SB, lengths_1B[0])
            _, weights_TBS, _ = self.network.decode(inputs_TB, memory, state)
        lengths = zip(
            (targets_TB != PADDING).sum(dim=0).tolist(), lengths_1B[0].tolist(), strict=True
        )
        if weights_TBS is None:
            return [np.zeros((T, 0), dtype=np.float32) for T, _ in lengths]
        weights = weights_TBS.float().cpu().numpy()
        return [weights[:T, row, :S] for row, (T, S) in enumerate(lengths)]


def array_shapes(
    settings: Mapping[str, Any], codec: PairCodec, stored: Shapes | None = None
) -> Shapes:
    """Name to (safetensors type, shape) of the arrays a model of these settings has; allocates
    nothing.

    Raises:
        ModelError: the settings are not valid.
    """
    with torch.device("meta"):
        network = Seq2SeqNetwork(network_settings.stored(settings), codec.source, codec.target)
    return {
        name: (_TYPES[tensor.dtype], tuple(tensor.shape))
        for name, tensor in network.state_dict().items()
    }


def from_arrays(
    settings: Mapping[str, Any], codec: PairCodec, arrays: dict[str, np.ndarray], device: str,
    fingerprint: str | None,
    parts: Sequence[LanguageModel] = (),
) -> Seq2SeqModel:  # fmt: skip
    """The model whose `to_arrays()` gave `arrays`, on `device`.

    Raises:
        DeviceError: the device is not available.
    """
    target = resolve_device(device)
    with torch.device("meta"):
        network = Seq2SeqNetwork(network_settings.stored(settings), codec.source, codec.target)
    network.load_state_dict(
        {name: torch.from_numpy(array) for name, array in arrays.items()}, assign=True
    )
    return Seq2SeqModel(network.to(target).eval(), codec, fingerprint=fingerprint)
