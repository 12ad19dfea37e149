"""Use a trained network: load and save one of any task, compute the outputs of its layers, wrap it
as a :class:`rnnlm.interface.LanguageModel`, and describe that by settings and arrays.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from rnnlm import registry
from rnnlm.checks import check_shapes, check_state, token_ids
from rnnlm.errors import UsageError, notice
from rnnlm.interface import Array, Encoded, HiddenStateModel, LanguageModel, State, Tokenizer, keeps
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
from rnnlm.lm.base.loading import kind_of
from rnnlm.lm.base.stored_model import PickledByOrigin
from rnnlm.lm.base.words import Span
from rnnlm.lm.neural import settings as network_settings
from rnnlm.lm.neural.device import evaluation_mode, exact_products, resolve_device
from rnnlm.lm.neural.layers.kernels.choice import swap_update_gate
from rnnlm.lm.neural.layers.layers import RecurrentStack, WordWindow, named_layers
from rnnlm.lm.neural.network import Network, NetworkState, make_network
from rnnlm.lm.neural.outputs.softmax import SoftmaxOutput
from rnnlm.lm.neural.shapes import is_noise
from rnnlm.lm.neural.trace import LineTrace, NamedLayer
from rnnlm.lm.neural.words import WordRows, input_rows, input_table, output_rows

# ---- A trained network of any task: weights, the codec of its data, and its origin.

N = TypeVar("N", bound=nn.Module)
C = TypeVar("C")


class SavedModel(PickledByOrigin, Generic[N, C]):
    """A trained network. It reads in evaluation mode, without gradients, in fp32 unless `precision`
    says otherwise.

    codec: the object that is saved with it besides its arrays.
    """

    def __init__(
        self, network: N, codec: C, precision: str = "fp32", fingerprint: str | None = None
    ) -> None:
        self.network = network
        self.codec = codec
        self.precision = precision
        self.fingerprint = fingerprint

    @property
    def name(self) -> str:
        """Where the model was loaded from."""
        return "this model" if self.origin is None else self.origin[0]

    @property
    def tokenizer(self) -> C:
        """The codec, where a language model has its tokenizer."""
        return self.codec

    @property
    def model_kind(self) -> str:
        """Its kind, as in config.json."""
        settings: Any = self.network.settings
        return str(settings.model)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.network.parameters()).device

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the weights by name."""
        tensors = self.network.state_dict()
        return {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}

    def reading(self) -> contextlib.AbstractContextManager[None]:
        """Enter evaluation mode, without gradients, in the model's precision.

        A network in evaluation mode, as every loaded one is, stays as it is, so that threads can
        read it side by side. One in training belongs to its trainer alone, and goes back to
        training mode afterwards.
        """
        return evaluation_mode(self.network, self.precision)


def filled(make: Callable[[], N], arrays: Mapping[str, np.ndarray]) -> N:
    """Return the network that `make` makes, with these arrays as its weights."""
    with torch.device("meta"):
        network = make()
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    network.load_state_dict(tensors, assign=True)
    return network


# ---- The outputs of a network's layers for whole lines, each from the initial state. Shapes: K
# inputs of the longest line, `</s>` first, B rows, E width of the inputs, H of a layer's outputs.


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


def ends(settings: network_settings.RecurrentSettings) -> list[tuple[int, bool]]:
    """Return (width, whether the backward direction gives it) of each part of the features, in
    their order."""
    directions = [False, True][: settings.directions]
    if settings.connections != "dense":
        return [(settings.widths[-1], is_backward) for is_backward in directions]
    parts = [(settings.input_width, False)]
    for width in settings.widths:
        parts += [(width, is_backward) for is_backward in directions]
    return parts


def parts_of(settings: network_settings.RecurrentSettings) -> dict[str, Parts]:
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


# ---- A network as a language model: numpy or torch ids in, torch log-probabilities out.


@keeps(State)
@dataclass(frozen=True)
class NeuralState:
    """The state of the network's body: tensors of shape (steps, B, width)."""

    tensors: NetworkState

    def select(self, rows: Sequence[int] | np.ndarray) -> "NeuralState":
        index = torch.as_tensor(np.asarray(rows, dtype=np.int64), device=self.tensors[0].device)
        return NeuralState(tuple(tensor.index_select(1, index) for tensor in self.tensors))

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {
            f"state_{number}": tensor.cpu().numpy() for number, tensor in enumerate(self.tensors)
        }


# The work of a CPU's core in about a second: scoring a token takes 35 picoseconds for each weight.
# Signals are handled between calls into torch, so none may take much longer.
WORK_OF_A_SECOND = 3e10


@keeps(HiddenStateModel)
class NeuralLanguageModel(SavedModel[Network, Tokenizer]):
    """Scores in evaluation mode, without gradients, in fp32 unless `precision` says otherwise."""

    normalised = True  # each output layer gives a distribution over all of V
    max_rows = None  # any number of lines is read side by side
    call_tokens = 1 << 14  # calls into torch are few then, and the arrays of one call still small
    boundary_resets_state = False  # the hidden state carries over past `</s>`
    adaptation = "none"  # the weights stay as they are while it reads

    def new_network(self) -> Network:
        """Return a network of its settings, with random weights."""
        return make_network(self.network.settings, self.tokenizer)

    @property
    def piece_tokens(self) -> int:
        """How many tokens, over all rows, are scored between two looks at signals."""
        if self.device.type != "cpu":
            return self.call_tokens
        tokens_a_second = int(WORK_OF_A_SECOND / max(1, self._weights))
        return max(1, min(self.call_tokens, tokens_a_second))

    @cached_property
    def _weights(self) -> int:
        return sum(weight.numel() for weight in self.network.parameters())

    def initial_state(self, rows: int) -> NeuralState:
        return NeuralState(self.network.initial_state(rows))

    def score(
        self, inputs_BT: Array, targets_BT: Array, state: NeuralState
    ) -> tuple[Tensor, NeuralState]:
        """Score as :meth:`rnnlm.LanguageModel.score` says: in torch, float32, on the model's
        device, without gradients."""
        inputs_BT = self._inputs(inputs_BT, state)
        targets_BT = self.ids(targets_BT)
        check_shapes(inputs_BT, targets_BT)

        # In pieces, so that signals are heard between them; one piece, even if it is empty.
        steps = max(1, self.piece_tokens // max(1, len(inputs_BT)))
        after = state.tensors
        scored = []
        with self.reading():
            for start in range(0, max(1, inputs_BT.shape[1]), steps):
                inputs_TB = inputs_BT[:, start : start + steps].t()
                targets_TB = targets_BT[:, start : start + steps].t()
                logprob_TB, after = self.network.score(inputs_TB, targets_TB, after)
                scored.append(logprob_TB)
        logprob_TB = scored[0] if len(scored) == 1 else torch.cat(scored)
        return logprob_TB.t(), NeuralState(after)

    def predict(self, inputs_BT: Array, state: NeuralState) -> tuple[Tensor, NeuralState]:
        """Predict as :meth:`rnnlm.LanguageModel.predict` says: in torch, float32, on the model's
        device, without gradients."""
        inputs_BT = self._inputs(inputs_BT, state)
        with self.reading():
            logprob_TBV, after = self.network.predict(inputs_BT.t(), state.tensors)
        return logprob_TBV.transpose(0, 1), NeuralState(after)

    def hidden(self, inputs_BT: Array, state: NeuralState) -> tuple[Tensor, NeuralState]:
        inputs_BT = self._inputs(inputs_BT, state)
        with self.reading():
            features_TBE, after = self.network.features(inputs_BT.t(), state.tensors)
        return features_TBE.transpose(0, 1), NeuralState(after)

    @property
    def hidden_size(self) -> int:
        return self.network.settings.features_width

    def score_hidden(self, hidden_BTH: Tensor, targets_BT: Array) -> Tensor:
        features_TBH = hidden_BTH.transpose(0, 1)
        targets_TB = self.ids(targets_BT).t()
        with self.reading():
            return self.network.score_features(features_TBH, targets_TB).t()

    def predict_hidden(self, hidden_BTH: Tensor) -> Tensor:
        features_TBH = hidden_BTH.transpose(0, 1)
        with self.reading():
            return self.network.predict_features(features_TBH).transpose(0, 1)

    def layer_reader(self) -> NetworkLayers:
        """Return a reader of lines that gives the outputs of each layer."""
        return NetworkLayers(self.network, self.tokenizer, self.precision)

    def word_vectors(self, which: str) -> WordRows:
        """Return the vectors of its words: those that the network reads ("input"), or the weights
        of its softmax ("output").

        Raises:
            UsageError: the output layer has no weights of single words.
        """
        network = self.network
        if which == "output":
            return output_rows(network.output, network.tied_VE, self.tokenizer)
        rows = input_rows(network.input, self.tokenizer)
        if network.tied_VE is None:
            return rows
        return rows._replace(note="tied: input and output vectors are the same")

    def trace_line(self, line: str) -> LineTrace:
        """Record the values of each layer at each token of one line, `</s>` read first, from the
        initial state on; see :meth:`Network.trace`.

        Raises:
            TextError: the line holds a newline.
        """
        boundary_id = self.tokenizer.boundary_id
        ids_T = self.tokenizer.encode([line]).ids
        inputs_1T = self.ids(np.concatenate(([boundary_id], ids_T[:-1]))[np.newaxis])
        with self.reading():
            trace = self.network.trace(inputs_1T.t(), self.network.initial_state(1))

        # The tokens that were read, not those that were predicted.
        surfaces = self.tokenizer.surfaces([line])[0]
        tokens = (self.tokenizer.symbols()[boundary_id], *surfaces[:-1])
        layers = named_layers(self.network)
        if isinstance(self.network.body, WordWindow):
            # All of its hidden layers are one module.
            layers = {f"layer {n}": self.network.body for n in range(1, len(trace.layers) + 1)}
        named = zip(layers.items(), trace.layers, strict=True)
        return LineTrace(
            tokens, tuple(NamedLayer(name, traced, layer) for (name, layer), traced in named)
        )

    @contextlib.contextmanager
    def exact_products(self) -> Iterator[None]:
        with torch.no_grad(), exact_products():
            yield

    def concat_states(self, states: Sequence[NeuralState]) -> NeuralState:
        same_tensors = zip(*(state.tensors for state in states), strict=True)
        return NeuralState(tuple(torch.cat(parts, dim=1) for parts in same_tensors))

    def state_from_arrays(self, arrays: dict[str, np.ndarray]) -> NeuralState:
        ordered = [arrays[f"state_{number}"] for number in range(len(arrays))]
        return NeuralState(tuple(torch.as_tensor(array, device=self.device) for array in ordered))

    def ids(self, ids: Array) -> Tensor:
        """Return token ids as a tensor on the model's device."""
        return torch.as_tensor(token_ids(ids), dtype=torch.int64, device=self.device)

    def _inputs(self, inputs_BT: Array, state: NeuralState) -> Tensor:
        """Return the inputs as ids, after making sure that `state` has a row for each of theirs:
        kernels would read beyond a state of fewer rows."""
        check_state(state, NeuralState)
        ids_BT = self.ids(inputs_BT)
        check_shapes(ids_BT, rows=state.tensors[0].shape[1] if state.tensors else None)
        return ids_BT


def from_arrays(
    settings: dict[str, Any],
    tokenizer: Tokenizer,
    arrays: dict[str, np.ndarray],
    device: str,
    fingerprint: str | None,
) -> NeuralLanguageModel:
    """Make the model whose `to_arrays()` gave `arrays`, on `device`."""
    target = resolve_device(device)
    shape = network_settings.stored(settings)
    if shape.characters:
        tokenizer = tokenizer.spelling()
    network = filled(lambda: Network(shape, tokenizer), arrays).prepare()
    return NeuralLanguageModel(network.to(target).eval(), tokenizer, fingerprint=fingerprint)


# ---- A recurrent language model by settings and arrays, for other programs that compute it again.


@dataclass(frozen=True)
class PortableNetwork:
    """A recurrent language model with one softmax, or a mixture of them, in evaluation mode.

    arrays: float32, by name, shapes as in rnnlm/lm/neural/layers/:

    * `embedding.weight` (V, E): the vector that is read for each word. Where words are read by
      characters, these are folded in.
    * `layers.N.weight_ih`, `weight_hh`, `bias_ih`, and `bias_hh` of a GRU, `peepholes`,
      `mogrifier.K`. A GRU always keeps its state while the update gate is open.
    * `highways.N.weight` and `.bias`; `projection.weight` and `.bias`, where there are any.
    * `output.weight` (V, F), unless it is the embedding, and `output.bias` (V); of a mixture of
      softmaxes also `mixture.prior_weight`, `latent_weight` and `latent_bias`.
    """

    settings: network_settings.RecurrentModelSettings
    arrays: dict[str, np.ndarray]

    @property
    def is_tied(self) -> bool:
        """Whether the output weights are the rows of `embedding.weight`."""
        return "output.weight" not in self.arrays


def portable_network(
    model: LanguageModel, name: str = "this model", takes_mixtures: bool = False
) -> PortableNetwork:
    """Return the parts of a recurrent language model. takes_mixtures: its output layer may be a
    mixture of softmaxes.

    Raises:
        UsageError: it is another kind of model, or has another output layer.
    """
    what = f"{name} cannot be exported in this form"
    if getattr(model, "adaptation", "none") != "none":
        raise UsageError(
            what,
            "it adapts to what it reads, which an exported network does not",
            "export the model without +KIND",
        )
    if not isinstance(model, NeuralLanguageModel):
        hint = "export an n-gram model with --arpa FILE, and each part of a combination by itself"
        kind = registry.kind_of(kind_of(model))
        if kind.library:
            hint = f"{kind.made_with}, which stores it, exports it"
        raise UsageError(what, f"a model of kind {kind.name} is not a network of rnnlm", hint)
    network, settings = model.network, model.network.settings
    if not isinstance(settings, network_settings.RecurrentModelSettings):
        raise UsageError(
            what,
            f"a model of kind {settings.model} has no recurrent layers that read their own state",
            "rnnlm train --model lstm trains one that can be exported",
        )
    if settings.cell is not None and settings.cell.layer_norm:
        raise UsageError(
            what,
            "its layers are normalised (layer_norm), for which the form has no place",
            "rnnlm train --set layer_norm=false trains one that can be",
        )
    if settings.output_layer not in (("softmax", "mos") if takes_mixtures else ("softmax",)):
        raise UsageError(
            what,
            f"its output layer is {settings.output_layer}, not one softmax over all words",
            "rnnlm train --set output_layer=softmax trains one that can be exported",
        )
    assert isinstance(network.output, SoftmaxOutput)

    weights = {"embedding.weight": input_table(network.input)}
    for part, prefix in ((network.body, ""), (network.projection, "projection.")):
        weights |= {prefix + key: weight for key, weight in part.state_dict().items()}
    for key, weight in network.output.state_dict().items():
        if not is_noise(key):
            owner = "output" if key in ("weight", "bias") else "mixture"
            weights[f"{owner}.{key}"] = weight
    if settings.characters:
        notice(
            f"{name} reads words by their characters, which are stored as one vector for each word "
            "of the vocabulary: unseen words are read as <unk>"
        )
        # The word vectors are only a part of the input.
        if network.tied_VE is not None:
            weights["output.weight"] = network.tied_VE
    if isinstance(settings.cell, network_settings.GruCell) and settings.cell.update_gate == "renew":
        of_layers = [key for key in weights if key.startswith("layers.")]
        weights |= {key: swap_update_gate(weights[key]) for key in of_layers}
    return PortableNetwork(settings, {key: _array(weight) for key, weight in weights.items()})


def _array(weight: Tensor) -> np.ndarray:
    return weight.detach().to("cpu", torch.float32).contiguous().numpy()
