"""Batches of examples of about the same length, drawn for each epoch, and their tensors."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnnlm.errors import TrainingError, notice
from rnnlm.interface import PADDING
from rnnlm.lm.neural.training.contracts import Batch
from rnnlm.lm.neural.training.ranks import SINGLE_PROCESS, SingleProcess
from rnnlm.tasks.labelling.data import Codec, EncodedWords, LabelledData, padded


class LengthBatches:
    """A BatchSource: batches of `rows` examples. Each epoch draws an order; in each pool of
    examples those of about the same length come together, and the batches of a pool come in a drawn
    order.

    order_E: examples with smaller ones come first within a pool. tokens_E: how many a network reads
    of each. targets_E: how many each has.
    """

    pool = 50  # batches' worth of examples that are sorted by length
    _batches: Iterator[tuple[float, np.ndarray]]

    def __init__(
        self,
        order_E: np.ndarray,
        tokens_E: np.ndarray,
        targets_E: np.ndarray,
        rows: int,
        seed: int,
        device: torch.device,
        ranks: SingleProcess = SINGLE_PROCESS,
    ) -> None:
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
            notice(f"there are only {count} examples: batches of {count} instead of {rows}")
        self.rows = min(rows, count)
        self.order_E, self.tokens_E, self.targets_E = order_E, tokens_E, targets_E
        self.seed, self.device, self.ranks = seed, device, ranks
        self.load_state_dict({"tokens": 0, "epochs": 0.0})

    def tensors(self, chosen_B: np.ndarray) -> tuple[Tensor, ...]:
        """Return what the objective reads of these examples."""
        raise NotImplementedError

    def next(self) -> Batch:
        self.epochs, chosen_B = next(self._batches)
        self.tokens += int(self.tokens_E[chosen_B].sum())
        # Each rank needs a row, so a small batch has some twice.
        if len(chosen_B) < self.ranks.count:
            chosen_B = np.resize(chosen_B, self.ranks.count)
        share = self.ranks.share(len(chosen_B))
        return Batch(self.tensors(chosen_B[share]), self.targets_E[chosen_B], share)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "tokens": self.tokens, "epochs": self.epochs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.tokens, self.epochs = state["tokens"], float(state["epochs"])
        self._batches = self.batches(self.epochs)

    def batches(self, epochs_done: float = 0.0) -> Iterator[tuple[float, np.ndarray]]:
        """Yield (epochs done after it, numbers of its examples) of each batch, without end,
        beginning after `epochs_done`."""
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
        pool_size = self.pool * self.rows
        for start in range(0, len(order), pool_size):
            pool = order[start : start + pool_size]
            by_length = pool[np.argsort(self.order_E[pool], kind="stable")]
            batches = np.array_split(by_length, -(-len(by_length) // self.rows))
            for number in random.permutation(len(batches)):
                yield batches[number]


class ExampleBatches(LengthBatches):
    """Batches of labelled examples. Raises as :class:`LengthBatches`."""

    def __init__(
        self,
        data: LabelledData,
        codec: Codec,
        rows: int,
        seed: int,
        device: torch.device,
        ranks: SingleProcess = SINGLE_PROCESS,
    ) -> None:
        lengths_E = data.words_encoded.token_lengths
        words_E = np.diff(data.words_encoded.word_offsets)
        targets_E = words_E if codec.word_columns else np.ones_like(words_E)
        self.data, self.codec = data, codec
        super().__init__(
            order_E=lengths_E,
            tokens_E=lengths_E,
            targets_E=targets_E,
            rows=rows,
            seed=seed,
            device=device,
            ranks=ranks,
        )

    def tensors(self, chosen_B: np.ndarray) -> tuple[Tensor, ...]:
        inputs = batch_tensors(self.data.words_encoded, chosen_B, self.device)
        return (*inputs, *label_tensors(self.data, chosen_B, self.device))


def batch_tensors(
    encoded: EncodedWords, chosen_B: np.ndarray, device: torch.device
) -> tuple[Tensor, ...]:
    """Return inputs_SB, tokens_1B and, where words have several tokens, first_TB and last_TB, the
    places of each word's first and last token, and words_1B, int64; of language models that are
    read beside them states_TBX. On the device; 0 in padding."""
    # Where the tokens of each word begin, and where the last one ends.
    offsets = []
    for each in chosen_B:
        first, end = encoded.word_offsets[each], encoded.word_offsets[each + 1]
        offsets.append(encoded.token_offsets[first : end + 1])

    tokens = [encoded.ids[int(each[0]) : int(each[-1])] for each in offsets]
    arrays = [padded(tokens, 0), np.array([list(map(len, tokens))])]
    if not encoded.is_by_word:
        arrays.append(padded([each[:-1] - each[0] for each in offsets], 0))
        arrays.append(padded([each[1:] - each[0] - 1 for each in offsets], 0))
        arrays.append(np.array([[len(each) - 1 for each in offsets]]))
    inputs = tuple(on_device(array, device) for array in arrays)
    if encoded.beside is None:
        return inputs
    return *inputs, encoded.beside.states(encoded, chosen_B, device)


def label_tensors(
    data: LabelledData, chosen_B: np.ndarray, device: torch.device
) -> tuple[Tensor, ...]:
    """Return the labels of each column: labels_TB of words, -1 in padding; labels_1B of texts;
    is_label_KB where a text has several."""
    found, offsets = [], data.words_encoded.word_offsets
    for labels in data.labels:
        # Labels of words lie end to end; a text has one row.
        if labels.ndim == 1:
            rows = [labels[offsets[each] : offsets[each + 1]] for each in chosen_B]
            found.append(padded(rows, PADDING))
        else:
            found.append(labels[chosen_B].T)
    return tuple(on_device(array, device) for array in found)


def on_device(array: np.ndarray, device: torch.device) -> Tensor:
    """Copy an array of ids to the device as int64."""
    host = torch.from_numpy(np.ascontiguousarray(array, dtype=np.int64))
    return (host.pin_memory() if device.type == "cuda" else host).to(device, non_blocking=True)


def is_word(T: int, lengths_B: Tensor) -> Tensor:
    """Return whether each of T places of each row is one of its first `lengths_B`, (T, B) bool: in
    a batch of texts, the places that hold words, not padding."""
    return torch.arange(T, device=lengths_B.device).unsqueeze(1) < lengths_B
