"""Make batches of pairs of about the same length: the source of batches of an encoder-decoder."""

import numpy as np
import torch
from torch import Tensor

from rnnlm.interface import PADDING
from rnnlm.lm.neural.training.ranks import SINGLE_PROCESS, SingleProcess
from rnnlm.tasks.common.batches import LengthBatches, on_device
from rnnlm.tasks.seq2seq.data import PairedData, rows
from rnnlm.text.batches import padded


class PairBatches(LengthBatches):
    """Batches of pairs, by the length of the target and then of the source. Raises as
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
        ranks: SingleProcess = SINGLE_PROCESS,
    ) -> None:
        self.data, self.boundary_id = data, boundary_id
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
