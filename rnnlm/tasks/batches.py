"""Examples in batches of about the same length, drawn anew for each epoch: the source of batches of
a task."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnnlm.errors import TrainingError, notice
from rnnlm.interface import PADDING
from rnnlm.neural.fitting.contracts import Batch
from rnnlm.neural.fitting.ranks import SINGLE_PROCESS, SingleProcess
from rnnlm.tasks.labels.data import Codec, EncodedWords, LabelledData, padded


class LengthBatches:
    """A BatchSource: batches of `rows` examples. Each epoch draws an order; in each pool of
    examples those of about the same length come together, and the batches of a pool come in a drawn
    order.

    order_E: examples with smaller ones come first within a pool. tokens_E: how many a network reads
    of each. targets_E: how many each has.

    Raises:
        TrainingError: there are no examples, or fewer than ranks.
    """

    pool = 50  # batches' worth of examples that are sorted by length
    _batches: Iterator[tuple[float, np.ndarray]]

    def __init__(
        self, order_E: np.ndarray, tokens_E: np.ndarray, targets_E: np.ndarray, rows: int,
        seed: int, device: torch.device,
        ranks: SingleProcess = SINGLE_PROCESS,
    ) -> None:  # fmt: skip
        count = len(order_E)
        if not count:
            raise TrainingError("there is nothing to train on", "the data have no examples")
        if count < ranks.count:
            raise TrainingError(
                f"{ranks.count} processes are too many",
                f"there are {count} examples",
                "start fewer",
            )
        if count < rows:
            notice(f"there are {count} examples only: batches of {count} instead of {rows}")
        self.rows = min(rows, count)
        self.order_E, self.tokens_E, self.targets_E = order_E, tokens_E, targets_E
        self.seed, self.device, self.ranks = seed, device, ranks
        self.load_state_dict({"tokens": 0, "epochs": 0.0})

    def tensors(self, chosen_B: np.ndarray) -> tuple[Tensor, ...]:
        """What the objective reads of these examples."""
        raise NotImplementedError

    def next(self) -> Batch:
        self.epochs, chosen_B = next(self._batches)
        self.tokens += int(self.tokens_E[chosen_B].sum())
        if len(chosen_B) < self.ranks.count:  # a row for each rank: some twice
            chosen_B = np.resize(chosen_B, self.ranks.count)
        share = self.ranks.share(len(chosen_B))
        return Batch(self.tensors(chosen_B[share]), self.targets_E[chosen_B], share)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "tokens": self.tokens, "epochs": self.epochs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.tokens, self.epochs = state["tokens"], float(state["epochs"])
        self._batches = self.batches(self.epochs)

    def batches(self, epochs_done: float = 0.0) -> Iterator[tuple[float, np.ndarray]]:
        """(epochs done with it, numbers of its examples) of the batches after those that
        `epochs_done` says are done, without end."""
        count = len(self.order_E)
        for epoch in itertools.count(int(epochs_done)):
            read = 0
            for chosen_B in self._epoch(np.random.default_rng((self.seed, epoch))):
                read += len(chosen_B)
                done = epoch + read / count
                if done > epochs_done:
                    yield done, chosen_B

    def _epoch(self, random: np.random.Generator) -> Iterator[np.ndarray]:
        order = random.permutation(len(self.order_E))
        for pool in np.split(
            order, range(self.pool * self.rows, len(order), self.pool * self.rows)
        ):
            by_length = pool[np.argsort(self.order_E[pool], kind="stable")]
            batches = np.array_split(by_length, -(-len(by_length) // self.rows))
            for number in random.permutation(len(batches)):
                yield batches[number]


class ExampleBatches(LengthBatches):
    """Batches of labelled examples; what it raises is as for :class:`LengthBatches`."""

    def __init__(
        self, data: LabelledData, codec: Codec, rows: int, seed: int, device: torch.device,
        ranks: SingleProcess = SINGLE_PROCESS,
    ) -> None:  # fmt: skip
        lengths_E, words_E = (
            data.words_encoded.token_lengths,
            np.diff(data.words_encoded.word_offsets),
        )
        targets_E = words_E if codec.word_columns else np.ones_like(words_E)
        self.data, self.codec = data, codec
        super().__init__(lengths_E, lengths_E, targets_E, rows, seed, device, ranks)

    def tensors(self, chosen_B: np.ndarray) -> tuple[Tensor, ...]:
        inputs = batch_tensors(self.data.words_encoded, chosen_B, self.device)
        return (*inputs, *label_tensors(self.data, chosen_B, self.device))


def batch_tensors(
    encoded: EncodedWords, chosen_B: np.ndarray, device: torch.device
) -> tuple[Tensor, ...]:
    """inputs_SB, tokens_1B and, where words have several tokens, first_TB and last_TB, the places
    of each word's first and last token, and words_1B, int64; of language models that are read
    beside them states_TBX. On the device; 0 in padding."""
    tokens = [encoded.ids[start:end] for start, end in _token_bounds(encoded, chosen_B)]
    inputs = [padded(tokens, 0), np.array([list(map(len, tokens))])]
    if not encoded.is_by_word:
        offsets = [
            encoded.token_offsets[encoded.word_offsets[each] : encoded.word_offsets[each + 1] + 1]
            for each in chosen_B
        ]
        inputs += [
            padded([each[:-1] - each[0] for each in offsets], 0),
            padded([each[1:] - each[0] - 1 for each in offsets], 0),
        ]
        inputs.append(np.array([[len(each) - 1 for each in offsets]]))
    states = () if encoded.beside is None else (encoded.beside.states(encoded, chosen_B, device),)
    return (*(on_device(array, device) for array in inputs), *states)


def label_tensors(
    data: LabelledData, chosen_B: np.ndarray, device: torch.device
) -> tuple[Tensor, ...]:
    """The labels of each column: labels_TB of words, -1 in padding; labels_1B of texts; is_label_KB
    where a text has several."""
    found, offsets = [], data.words_encoded.word_offsets
    for labels in data.labels:
        if labels.ndim == 1:
            found.append(
                padded([labels[offsets[each] : offsets[each + 1]] for each in chosen_B], PADDING)
            )
        else:
            found.append(labels[chosen_B].T)
    return tuple(on_device(array, device) for array in found)


def _token_bounds(encoded: EncodedWords, chosen_B: np.ndarray) -> Iterator[tuple[int, int]]:
    offsets = encoded.token_offsets
    for each in chosen_B:
        yield int(offsets[encoded.word_offsets[each]]), int(offsets[encoded.word_offsets[each + 1]])


def on_device(array: np.ndarray, device: torch.device) -> Tensor:
    """An array of ids as int64 on the device."""
    host = torch.from_numpy(np.ascontiguousarray(array, dtype=np.int64))
    return (host.pin_memory() if device.type == "cuda" else host).to(device, non_blocking=True)


def is_word(T: int, lengths_B: Tensor) -> Tensor:
    """Whether each of T places of each row is one of its first `lengths_B`: (T, B) bool."""
    return torch.arange(T, device=lengths_B.device).unsqueeze(1) < lengths_B
