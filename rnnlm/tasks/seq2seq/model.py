"""Load, save and use a trained encoder-decoder: make batches of pairs of about the same length,
read sources, score targets.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rnnlm.checks import check_shapes, check_state, token_ids
from rnnlm.errors import TextError, UsageError, keyword
from rnnlm.interface import (
    PADDING,
    Array,
    ConditionalLanguageModel,
    HiddenStateModel,
    State,
    Tokenizer,
    keeps,
)
from rnnlm.lm.base.layer_outputs import LayerInputs, LayerOutputs, LayerReader, encoded_lines
from rnnlm.lm.neural.device import exact_products, resolve_device
from rnnlm.lm.neural.trace import LineTrace
from rnnlm.lm.neural.trained_network import SavedModel, filled, parts_of, side_by_side
from rnnlm.lm.neural.training.contracts import Batch
from rnnlm.lm.neural.training.ranks import SingleProcess
from rnnlm.lm.neural.words import WordRows, input_rows, output_rows
from rnnlm.scoring.scorer import one_for_each
from rnnlm.scoring.sentences import Sentence
from rnnlm.tasks.common.batches import LengthBatches, on_device
from rnnlm.tasks.seq2seq import settings as network_settings
from rnnlm.tasks.seq2seq.data import PairCodec, PairedData, rows
from rnnlm.tasks.seq2seq.network import DecoderState, EncoderMemory, Seq2SeqNetwork, make_network
from rnnlm.tasks.seq2seq.settings import Seq2SeqFittingSettings
from rnnlm.text.batches import by_length, check_lengths, padded, why_too_long

# ---- Batches of pairs.


class PairBatches(LengthBatches):
    """Batches of pairs, by the length of the target and then of the source. With `own_words`, the
    last tensor is own_1B, the chance that an input of the decoder is the network's own. Raises as
    :class:`LengthBatches`."""

    # Two lengths have to be alike: of German and English captions 8 % of the sources is then
    # padding, with a pool of 50 it is 17 %.
    pool = 200

    def __init__(
        self,
        data: PairedData,
        boundary_id: int,
        rows: int,
        seed: int,
        device: torch.device,
        ranks: SingleProcess,
        settings: Seq2SeqFittingSettings,
    ) -> None:
        self.data, self.boundary_id, self.settings = data, boundary_id, settings
        source_P, target_P = data.source_lengths, data.target_lengths
        order_P = target_P * (source_P.max(initial=0) + 1) + source_P
        super().__init__(
            order_E=order_P,
            tokens_E=source_P + target_P,
            targets_E=target_P,
            rows=rows,
            seed=seed,
            device=device,
            ranks=ranks,
        )

    def tensors(self, chosen_B: np.ndarray) -> tuple[Tensor, ...]:
        return pair_tensors(self.data, chosen_B, self.boundary_id, self.device)

    def next(self, progress: float = 0.0) -> Batch:
        batch, chance = super().next(progress), self.settings.own_words
        if not chance:
            return batch
        if self.settings.own_words_schedule == "linear":
            chance *= min(progress, 1.0)
        own_1B = torch.full(batch.tensors[1].shape, chance, device=self.device)
        return replace(batch, tensors=(*batch.tensors, own_1B))


def pair_tensors(
    data: PairedData, chosen_B: np.ndarray, boundary_id: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return sources_SB, 0 in padding; lengths_1B of these; inputs_TB and targets_TB of the
    decoder, -1 in the targets' padding; int64."""
    targets_TB = padded(rows(data.target, chosen_B), PADDING)
    first_1B = np.full((1, len(chosen_B)), boundary_id)
    inputs_TB = np.concatenate([first_1B, np.maximum(targets_TB[:-1], 0)])
    sources_SB, lengths_1B = source_arrays(rows(data.source, chosen_B))
    return (
        on_device(sources_SB, device),
        on_device(lengths_1B, device),
        on_device(inputs_TB, device),
        on_device(targets_TB, device),
    )


def source_arrays(sources: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return sources_SB, 0 in padding, and lengths_1B."""
    return padded(sources, 0), np.array([list(map(len, sources))])


# ---- The outputs of an encoder's layers for sources.


@keeps(LayerReader)
class EncoderLayers:
    """The :class:`rnnlm.lm.base.layer_outputs.LayerReader` of an encoder-decoder's encoder. It
    reads each source with its `</s>`, which counts as a token. A forward layer has read all of a
    source at `</s>`."""

    text_layers = ()

    def __init__(self, model: "Seq2SeqModel") -> None:
        self.model = model
        self.tokenizer = model.codec.source
        self._parts = parts_of(model.network.settings)
        self.layers = tuple(self._parts)

    def lines_read(self, lines: Sequence[str]) -> Sequence[str]:
        return lines

    def encode(self, lines: Sequence[str], with_words: bool = False) -> LayerInputs:
        return encoded_lines(lines, self.tokenizer, with_words)

    def encode_words(self, texts: Sequence[Sequence[str]]) -> LayerInputs:
        """Encode texts that are split into words already: each is read as a line with a space
        between two words."""
        return self.encode([" ".join(words) for words in texts], with_words=True)

    def read(
        self, encoded: LayerInputs, chosen_B: np.ndarray, layers: Sequence[str]
    ) -> list[LayerOutputs]:
        arrays = source_arrays(rows(encoded.data, chosen_B))
        sources_SB, lengths_1B = (on_device(array, self.model.device) for array in arrays)
        with self.model.reading():
            outputs = self.model.network.source_layers(sources_SB, lengths_1B[0])
            values = dict(zip(self.layers, outputs, strict=True))
            lengths_B = encoded.lengths_L[chosen_B]
            return [side_by_side(values[layer], self._parts[layer], lengths_B) for layer in layers]


# ---- A decoder given its sources, as a :class:`rnnlm.interface.LanguageModel`: sampling, beam
# search and scoring begin in its states.

MEMORY = "memory_"


@keeps(State)
@dataclass(frozen=True)
class ConditionalState:
    """The decoder's states of B targets, and the memory of M sources. Rows come in M groups of B /
    M, each of one source.

    tensors: (places, B, width) each.
    """

    tensors: DecoderState
    memory: EncoderMemory

    @property
    def rows(self) -> int:
        """The number of targets, B."""
        return self.tensors[0].shape[1]

    @property
    def rows_of_each(self) -> int:
        """The number of targets of each source, B / M."""
        return self.rows // max(1, len(self.memory.lengths_M))

    def select(self, rows: Sequence[int] | np.ndarray) -> "ConditionalState":
        chosen = np.asarray(rows, dtype=np.int64)
        index = torch.as_tensor(chosen, device=self.tensors[0].device)
        tensors = tuple(tensor.index_select(1, index) for tensor in self.tensors)
        sources = _grouped(chosen // max(1, self.rows_of_each))
        return ConditionalState(tensors, _sources(self.memory, sources))

    def to_arrays(self) -> dict[str, np.ndarray]:
        tensors = {f"state_{number}": tensor for number, tensor in enumerate(self.tensors)}
        for name, tensor in self.memory._asdict().items():
            if tensor is not None:
                tensors[MEMORY + name] = tensor
        return {name: tensor.cpu().numpy() for name, tensor in tensors.items()}


def _grouped(source_B: np.ndarray) -> np.ndarray:
    """Return the sources of rows: one for each group if the groups are equal, else one for each
    row."""
    if not len(source_B):
        return source_B
    starts = np.flatnonzero(np.append(True, source_B[1:] != source_B[:-1]))
    sizes = np.diff(np.append(starts, len(source_B)))
    return source_B[starts] if (sizes == sizes[:1]).all() else source_B


def _sources(memory: EncoderMemory, chosen_M: np.ndarray) -> EncoderMemory:
    """Return the memory of these sources."""
    if np.array_equal(chosen_M, np.arange(len(memory.lengths_M))):
        return memory
    return memory.select(torch.as_tensor(chosen_M, device=memory.lengths_M.device))


@keeps(ConditionalLanguageModel, HiddenStateModel)
class ConditionalModel:
    """The decoder of an encoder-decoder. It scores in evaluation mode, without gradients. model: a
    :class:`rnnlm.tasks.seq2seq.model.Seq2SeqModel`, in whose `states(sources)` this begins."""

    normalised = True
    max_rows = None
    call_tokens = 1 << 12
    boundary_resets_state = False
    adaptation = "none"

    def __init__(self, model: "Seq2SeqModel") -> None:
        self.model = model
        self.origin = model.origin

    @property
    def model_kind(self) -> str:
        """The kind of the encoder-decoder."""
        return self.model.model_kind

    @property
    def tokenizer(self) -> Tokenizer:
        return self.model.codec.target

    @property
    def condition_tokenizer(self) -> Tokenizer:
        """The tokenizer of the sources, which are the conditions of targets."""
        return self.model.codec.source

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

    def states(self, conditions: Sequence[str]) -> ConditionalState:
        """Return the states in which targets of these sources begin, a row for each; the boundary
        is the first input."""
        return self.model.states(conditions)

    def conditions(
        self, count: int, *, sources: str | Sequence[str] | None = None
    ) -> str | list[str] | None:
        """Return the sources of `count` targets: one for all, or one for each."""
        if sources is None or isinstance(sources, str):
            return sources
        return one_for_each(sources, count, "sources")

    def check_conditions(
        self, sentences: Sequence[Sentence], reasons: list[str | None], nulls: bool
    ) -> list[str | None]:
        for sentence, reason in zip(sentences, reasons, strict=True):
            if sentence.source is None and reason is None:
                raise UsageError(
                    f"sentence {sentence.id} has no source",
                    "an encoder-decoder scores a target given its source",
                    "name it with " + keyword("sources"),
                )

        # The encoder must be able to read each source.
        checked = list(reasons)
        whys = self.model.why_unread([sentence.source or "" for sentence in sentences])
        for place, why in enumerate(whys):
            if why and not nulls:
                raise TextError(f"the source of sentence {sentences[place].id}: {why}")
            if why and reasons[place] is None:
                checked[place] = f"its source has {why}"
        return checked

    def check_context(self, context: str) -> None:
        if context == "carry":
            raise UsageError(
                "an encoder-decoder reads each target from its own source",
                "context is carry",
                "use " + keyword("context", "reset"),
            )

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
        targets_TB = self._ids(targets_BT).t()
        with self.model.reading():
            return self.model.network.score_features(hidden_BTH.transpose(0, 1), targets_TB).t()

    def predict_hidden(self, hidden_BTH: Tensor) -> Tensor:
        with self.model.reading():
            return self.model.network.predict_features(hidden_BTH.transpose(0, 1)).transpose(0, 1)

    @contextlib.contextmanager
    def exact_products(self) -> Iterator[None]:
        with torch.no_grad(), exact_products():
            yield

    def concat_states(self, states: Sequence[ConditionalState]) -> ConditionalState:
        # Groups of different sizes become groups of one row, each with a source.
        if len({state.rows_of_each for state in states}) > 1:
            by_row = []
            for state in states:
                sources = np.repeat(np.arange(len(state.memory.lengths_M)), state.rows_of_each)
                by_row.append(ConditionalState(state.tensors, _sources(state.memory, sources)))
            states = by_row

        # Sources are padded to the longest one.
        memories = [state.memory for state in states]
        longest = max(len(memory.states_SMH) for memory in memories)
        states_SMH = torch.cat(
            [_lengthened(memory.states_SMH, longest) for memory in memories], dim=1
        )
        keys = [
            _lengthened(memory.keys_SMA, longest)
            for memory in memories
            if memory.keys_SMA is not None
        ]
        keys_SMA = torch.cat(keys, dim=1) if keys else None
        lengths_M = torch.cat([memory.lengths_M for memory in memories])

        places = zip(*(state.tensors for state in states), strict=True)
        tensors = tuple(torch.cat(parts, dim=1) for parts in places)
        return ConditionalState(tensors, EncoderMemory(states_SMH, keys_SMA, lengths_M))

    def state_from_arrays(self, arrays: dict[str, np.ndarray]) -> ConditionalState:
        memory: dict[str, Tensor | None] = {"keys_SMA": None}
        states = {}
        for name, array in arrays.items():
            tensor = torch.as_tensor(array, device=self.device)
            if name.startswith(MEMORY):
                memory[name.removeprefix(MEMORY)] = tensor
            else:
                states[name] = tensor
        tensors = tuple(states[f"state_{number}"] for number in range(len(states)))
        return ConditionalState(tensors, EncoderMemory(**memory))  # type: ignore[arg-type]

    def to_arrays(self) -> dict[str, np.ndarray]:
        return self.model.to_arrays()

    def _ids(self, ids: Array) -> Tensor:
        return torch.as_tensor(token_ids(ids), dtype=torch.int64, device=self.device)


def _lengthened(tensor_SMX: Tensor, longest: int) -> Tensor:
    """Pad sources at their end with zeros."""
    return F.pad(tensor_SMX, (0, 0, 0, 0, 0, longest - len(tensor_SMX)))


# ---- The model itself.

TOKENS = 1 << 12  # of targets, read in one call, about


class Seq2SeqModel(SavedModel[Seq2SeqNetwork, PairCodec]):
    """An encoder-decoder. codec: the tokenizers of both sides."""

    task = "seq2seq"

    @cached_property
    def decoder(self) -> ConditionalModel:
        """The language model of targets, which begins in the states of their sources. Its initial
        state is the state of an empty source."""
        return ConditionalModel(self)

    def new_network(self) -> Seq2SeqNetwork:
        """Return a network of its settings, with random weights."""
        return make_network(self.network.settings, self.codec.source, self.codec.target)

    def word_vectors(self, which: str) -> WordRows:
        """Return the vectors of the source's words ("input"), or the weights of the target's words
        in the softmax ("output")."""
        network, codec = self.network, self.codec
        if which == "output":
            rows = output_rows(network.output, network.tied_VE, codec.target)
            note = "of the target"
            if network.tied_VE is not None:
                note += "; tied: the decoder reads the same"
        else:
            rows = input_rows(network.source_words or network.target_words, codec.source)
            note = "of the source"
        if not network.source_words:
            note = "tied: one matrix for source, target and output"
        return rows._replace(note=note)

    def states(self, sources: Sequence[str]) -> ConditionalState:
        """Return the states of the decoder before the first token of a target, one row for each
        source; `</s>` is the first input."""
        return self.states_of(rows(self.codec.source.encode(sources), range(len(sources))))

    def why_unread(self, sources: Sequence[str]) -> list[str | None]:
        """Return why each source cannot be read; None where it can."""
        lengths = np.diff(self.codec.source.encode(sources).offsets)
        return list(map(why_too_long, lengths.tolist()))

    def states_of(self, sources: Sequence[np.ndarray]) -> ConditionalState:
        """Return the states as :meth:`states` does, for sources as tokens, `</s>` at their end."""
        check_lengths(list(map(len, sources)))
        arrays = source_arrays(list(sources))
        sources_SM, lengths_1M = (on_device(array, self.device) for array in arrays)
        with self.reading():
            memory, state = self.network.encode(sources_SM, lengths_1M[0])
        return ConditionalState(state, memory)

    def layer_reader(self) -> EncoderLayers:
        """Return the reader of sources that gives the outputs of the encoder's layers."""
        return EncoderLayers(self)

    def trace_line(self, line: str) -> LineTrace:
        """Trace each layer of the encoder at each token of a source, `</s>` read last."""
        source = self.codec.source
        ids_S = source.encode([line]).ids
        with self.reading():
            layers = self.network.trace_source(on_device(ids_S, self.device).unsqueeze(1))
        return LineTrace(tuple(source.surfaces([line])[0]), layers)

    def batches(self, data: PairedData) -> Iterator[np.ndarray]:
        """Yield the numbers of the encoded pairs, in batches of about :data:`TOKENS` tokens, pairs
        of about the same length together."""
        return by_length(np.maximum(data.source_lengths, data.target_lengths), TOKENS)

    def score_pairs(self, data: PairedData, chosen_B: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return the log-probability (nats) of each token of these targets given their sources and
        the tokens before, and whether it is the likeliest one, (T, B) each; 0 and False in
        padding."""
        boundary_id = self.codec.target.boundary_id
        return self.score_tensors(*pair_tensors(data, chosen_B, boundary_id, self.device))

    def score_tensors(
        self, sources_SB: Tensor, lengths_1B: Tensor, inputs_TB: Tensor, targets_TB: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Score like :meth:`score_pairs`, given the result of
        :func:`rnnlm.tasks.seq2seq.model.pair_tensors`."""
        with self.reading():
            memory, state = self.network.encode(sources_SB, lengths_1B[0])
            features_TBE, _, _ = self.network.decode(inputs_TB, memory, state)
            return self.network.score_and_hits(features_TBE, targets_TB)

    def attention(self, data: PairedData, chosen_B: np.ndarray) -> list[np.ndarray]:
        """Return the attention weights of each pair, (T, S): how much each token of the target,
        `</s>` the last, looked at each token of the source, `</s>` the last; each row sums to 1.
        Empty, (T, 0), without attention."""
        sources_SB, lengths_1B, inputs_TB, targets_TB = pair_tensors(
            data, chosen_B, self.codec.target.boundary_id, self.device
        )
        with self.reading():
            memory, state = self.network.encode(sources_SB, lengths_1B[0])
            _, weights_TBS, _ = self.network.decode(inputs_TB, memory, state)

        # Cut the padding off.
        target_lengths = (targets_TB != PADDING).sum(dim=0).tolist()
        if weights_TBS is None:
            return [np.zeros((T, 0), dtype=np.float32) for T in target_lengths]
        weights = weights_TBS.float().cpu().numpy()
        lengths = zip(target_lengths, lengths_1B[0].tolist(), strict=True)
        return [weights[:T, row, :S] for row, (T, S) in enumerate(lengths)]


def from_arrays(
    settings: Mapping[str, Any],
    codec: PairCodec,
    arrays: dict[str, np.ndarray],
    device: str,
    fingerprint: str | None,
) -> Seq2SeqModel:
    """Restore the model whose `to_arrays()` gave `arrays`, on `device`."""
    target = resolve_device(device)
    shape = network_settings.stored(settings)
    network = filled(lambda: Seq2SeqNetwork(shape, codec.source, codec.target), arrays)
    return Seq2SeqModel(network.to(target).eval(), codec, fingerprint=fingerprint)
