"""Draw batches of examples of about the same length for each epoch, and make their tensors."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnnlm.amounts import plural
from rnnlm.errors import TrainingError, notice
from rnnlm.lm.neural.training.contracts import Batch
from rnnlm.lm.neural.training.ranks import SINGLE_PROCESS, SingleProcess


class LengthBatches:
    """A BatchSource: batches of `rows` examples. Each epoch draws an order; in each pool of
    examples, examples of about the same length come together, and the batches of a pool come in a
    drawn order.

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
                f"the data have {plural(count, 'example')}",
                "start fewer",
            )
        if count < rows:
            notice(
                f"the data have only {plural(count, 'example')}: batches of {count} are "
                f"used instead of {rows}"
            )
        self.rows = min(rows, count)
        self.order_E, self.tokens_E, self.targets_E = order_E, tokens_E, targets_E
        self.seed, self.device, self.ranks = seed, device, ranks
        self.load_state_dict({"tokens": 0, "epochs": 0.0})

    def tensors(self, chosen_B: np.ndarray) -> tuple[Tensor, ...]:
        """Return the objective's input for these examples."""
        raise NotImplementedError

    def next(self, progress: float = 0.0) -> Batch:
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


def on_device(array: np.ndarray, device: torch.device) -> Tensor:
    """Copy an array of ids to the device as int64."""
    host = torch.from_numpy(np.ascontiguousarray(array, dtype=np.int64))
    return (host.pin_memory() if device.type == "cuda" else host).to(device, non_blocking=True)


def is_word(T: int, lengths_B: Tensor) -> Tensor:
    """Return whether each of T places of each row is one of its first `lengths_B`, (T, B) bool: in
    a batch of texts, the places that hold words, not padding."""
    return torch.arange(T, device=lengths_B.device).unsqueeze(1) < lengths_B
