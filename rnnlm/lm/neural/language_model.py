"""Wrap a neural network as a :class:`rnnlm.interface.LanguageModel`: numpy or torch ids in, torch
log-probabilities out."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnnlm.checks import check_shapes, check_state, token_ids
from rnnlm.interface import Array, HiddenStateModel, State, Tokenizer, keeps
from rnnlm.lm.neural import settings as network_settings
from rnnlm.lm.neural.device import exact_products, resolve_device
from rnnlm.lm.neural.layer_outputs import NetworkLayers
from rnnlm.lm.neural.layers.layers import named_layers
from rnnlm.lm.neural.network import Network, NetworkState, make_network
from rnnlm.lm.neural.saved_model import SavedModel, filled
from rnnlm.lm.neural.trace import LineTrace, NamedLayer
from rnnlm.lm.neural.words import WordRows, input_rows, output_rows


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
        named = zip(named_layers(self.network), trace.layers, strict=True)
        return LineTrace(tokens, tuple(NamedLayer(name, layer) for name, layer in named))

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
