"""Pairs of lines in batches of about the same length: the source of batches of an
encoder-decoder."""

import numpy as np
import torch
from torch import Tensor

from rnnlm.interface import PADDING
from rnnlm.neural.fitting.ranks import SINGLE_PROCESS, SingleProcess
from rnnlm.tasks.batches import LengthBatches, on_device
from rnnlm.tasks.labels.data import padded
from rnnlm.tasks.seq2seq.data import PairedData, rows


class PairBatches(LengthBatches):
    """Batches of pairs, by the length of the target and then of the source; what it raises is as
    for :class:`LengthBatches`."""

    # as two lengths are to be alike: of German and English captions 8 % of the sources is then
    # padding, with 50 it is 17 %
    pool = 200

    def __init__(
        self,
        data: PairedData,
        boundary_id: int,
        rows: int,
        seed: int,
        device: torch.device,
        ranks: SingleProcess = SINGLE_PROCESS,
    ) -> None:
        self.data, self.boundary_id = data, boundary_id
        source_P, target_P = data.source_lengths, data.target_lengths
        order_P = target_P * (source_P.max(initial=0) + 1) + source_P
        super().__init__(order_P, source_P + target_P, target_P, rows, seed, device, ranks)

    def tensors(self, chosen_B: np.ndarray) -> tuple[Tensor, ...]:
        return pair_tensors(self.data, chosen_B, self.boundary_id, self.device)


def pair_tensors(
    data: PairedData, chosen_B: np.ndarray, boundary_id: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """sources_SB, 0 in padding; lengths_1B of these; inputs_TB and targets_TB of the decoder, -1 in
    the targets' padding; int64."""
    targets = rows(data.target, chosen_B)
    targets_TB = padded(targets, PADDING)
    inputs_TB = np.concatenate(
        [np.full((1, len(chosen_B)), boundary_id), np.maximum(targets_TB[:-1], 0)]
    )
    sources = source_arrays(rows(data.source, chosen_B))
    sources_SB, lengths_1B, inputs, outputs = (
        on_device(array, device) for array in (*sources, inputs_TB, targets_TB)
    )
    return sources_SB, lengths_1B, inputs, outputs


def source_arrays(sources: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """sources_SB, 0 in padding, and lengths_1B."""
    return padded(sources, 0), np.array([list(map(len, sources))])
