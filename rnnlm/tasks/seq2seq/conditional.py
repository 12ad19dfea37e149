"""A decoder given its sources, seen as a :class:`rnnlm.interface.LanguageModel`: sampling, beam search and scoring begin in its states."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rnnlm.arguments import check_shapes, check_state, token_ids
from rnnlm.interface import Array, HiddenStateModel, State, Tokenizer, keeps
from rnnlm.neural.device import exact_products
from rnnlm.tasks.seq2seq.network import DecoderState, Memory

MEMORY = "memory_"


@keeps(State)
@dataclass(frozen=True)
class ConditionalState:
    """What the decoder remembers of B targets, and what it sees of M sources: rows stand in M groups of B / M, each of one source.

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
        return ConditionalState(tensors, _sources(self.memory, _grouped(chosen // max(1, self.rows_of_each))))

    def to_arrays(self) -> dict[str, np.ndarray]:
        named = {f"state_{number}": tensor for number, tensor in enumerate(self.tensors)}
        memory = {MEMORY + name: tensor for name, tensor in self.memory._asdict().items() if tensor is not None}
        return {name: tensor.cpu().numpy() for name, tensor in (named | memory).items()}


def _grouped(source_B: np.ndarray) -> np.ndarray:
    """The sources of rows, one for each group where they stand in equal groups, else one for each row."""
    starts = np.flatnonzero(np.append(True, source_B[1:] != source_B[:-1])) if len(source_B) else source_B
    sizes = np.diff(np.append(starts, len(source_B)))
    return source_B[starts] if (sizes == sizes[:1]).all() else source_B


def _sources(memory: Memory, chosen_M: np.ndarray) -> Memory:
    """The memory of these sources."""
    if np.array_equal(chosen_M, np.arange(len(memory.lengths_M))):
        return memory
    return memory.select(torch.as_tensor(chosen_M, device=memory.lengths_M.device))


@keeps(HiddenStateModel)
class ConditionalModel:
    """The decoder of an encoder-decoder. Scores in evaluation mode, without gradients. model: a
    :class:`rnnlm.tasks.seq2seq.model.Seq2SeqModel`, whose `states(sources)` this begins in."""

    normalised = True
    max_rows = None
    call_tokens = 1 << 12
    forgets_at_boundary = False
    adaptation = "none"

    def __init__(self, model: Any) -> None:
        self.model = model

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
        """The states in which targets of these sources begin, a row for each; `</s>` is the first input."""
        state: ConditionalState = self.model.states(sources)
        return state

    def score(self, inputs_BT: Array, targets_BT: Array, state: ConditionalState) -> tuple[Tensor, ConditionalState]:
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
            features_TBE, _, after = self.model.network.decode(inputs_BT.t(), state.memory, state.tensors)
        return features_TBE.transpose(0, 1), ConditionalState(after, state.memory)

    def score_hidden(self, hidden_BTH: Tensor, targets_BT: Array) -> Tensor:
        with self.model.reading():
            return self.model.network.score_features(hidden_BTH.transpose(0, 1), self._ids(targets_BT).t()).t()

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
            states = [ConditionalState(each.tensors, _sources(each.memory, _each_row(each))) for each in states]
        tensors = tuple(torch.cat(parts, dim=1) for parts in zip(*(state.tensors for state in states), strict=True))
        memories = [state.memory for state in states]
        longest = max(len(memory.states_SMH) for memory in memories)
        parts = [[_lengthened(memory[part], longest) for memory in memories] for part in (0, 1)]
        keys = None if memories[0].keys_SMA is None else torch.cat(parts[1], dim=1)
        return ConditionalState(tensors, Memory(torch.cat(parts[0], dim=1), keys, torch.cat([memory.lengths_M for memory in memories])))

    def state_from_arrays(self, arrays: dict[str, np.ndarray]) -> ConditionalState:
        on_device = {name: torch.as_tensor(array, device=self.device) for name, array in arrays.items()}
        memory = {name.removeprefix(MEMORY): tensor for name, tensor in on_device.items() if name.startswith(MEMORY)}
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
    return torch.empty(0) if tensor_SMX is None else F.pad(tensor_SMX, (0, 0, 0, 0, 0, longest - len(tensor_SMX)))
