"""Tiny encoder-decoders with random weights, and a batch of pairs of different lengths for them."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnnlm.storage import model_folder
from rnnlm.tasks.seq2seq.data import PairCodec
from rnnlm.tasks.seq2seq.model import Seq2SeqModel
from rnnlm.tasks.seq2seq.network import Seq2SeqNetwork, make_network
from rnnlm.tasks.seq2seq.settings import network_settings
from support.tiny_models import make_tokenizer

SOURCE = make_tokenizer(["the cat sat on the mat", "a dog"])
TARGET = make_tokenizer(["le chat est assis", "un chien", "la chatte"])
SMALL = {
    "embedding_size": 5, "target_embedding_size": 4, "hidden_size": 3, "dropout_input": 0.0,
    "dropout_between": 0.0, "dropout_output": 0.0,
}  # fmt: skip
SOURCE_LENGTHS, TARGET_LENGTHS = [6, 1, 4, 2], [3, 5, 1, 4]


def tiny_network(
    model: str = "lstm", dtype: torch.dtype = torch.float64, source: Any = SOURCE, **settings: Any
) -> Seq2SeqNetwork:
    """Make a network with weights large enough for every part to matter."""
    torch.manual_seed(4)
    network = make_network(network_settings(model, **{**SMALL, **settings}), source, TARGET).to(
        dtype
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.uniform_(-0.8, 0.8)
    return network


@dataclass(frozen=True)
class Batch:
    """Pairs side by side, with ids in the padding of sources and inputs that must not matter."""

    sources_SB: Tensor
    lengths_B: Tensor
    inputs_TB: Tensor
    targets_TB: Tensor

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.sources_SB, self.lengths_B, self.inputs_TB, self.targets_TB

    def to(self, device: str) -> tuple[Tensor, ...]:
        return tuple(each.to(device) for each in self.tensors)

    def row(self, row: int) -> "Batch":
        """Return the pair of one row, without padding."""
        S, T = SOURCE_LENGTHS[row], TARGET_LENGTHS[row]
        at = slice(row, row + 1)
        return Batch(
            self.sources_SB[:S, at], self.lengths_B[at],
            self.inputs_TB[:T, at], self.targets_TB[:T, at],
        )  # fmt: skip

    def pairs(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Return (source, inputs, targets) of each row."""
        rows = [self.row(row) for row in range(len(self.lengths_B))]
        columns = [(one.sources_SB, one.inputs_TB, one.targets_TB) for one in rows]
        return [tuple(column[:, 0].numpy() for column in row) for row in columns]


def batch(padding: int = -1) -> Batch:
    """Return four pairs. Ids in the padding are `padding`."""
    generator = torch.Generator().manual_seed(1)

    def ids(size: int, lengths: list[int], padding: int) -> Tensor:
        found_TB = torch.randint(0, size, (max(lengths), len(lengths)), generator=generator)
        for row, length in enumerate(lengths):
            found_TB[length:, row] = padding
        return found_TB

    inputs_TB, targets_TB = (ids(TARGET.size, TARGET_LENGTHS, each) for each in (padding, -1))
    sources_SB = ids(SOURCE.size, SOURCE_LENGTHS, padding)
    return Batch(sources_SB, torch.tensor(SOURCE_LENGTHS), inputs_TB, targets_TB)


def arrays(network: Seq2SeqNetwork) -> dict[str, np.ndarray]:
    """Return the network's weights by name."""
    return {name: value.detach().numpy() for name, value in network.state_dict().items()}


def tiny_model(**settings: Any) -> Seq2SeqModel:
    """Make an encoder-decoder over words with random weights, in fp32."""
    return Seq2SeqModel(
        tiny_network(dtype=torch.float32, **settings).eval(), PairCodec(SOURCE, TARGET)
    )


def saved(folder: Path, **settings: Any) -> Path:
    """Save :func:`tiny_model` in a folder."""
    model = tiny_model(**settings)
    model_folder.save(
        folder, model, model.network.settings.model, asdict(model.network.settings), 1, {}
    )
    return folder


def varied_model(**settings: Any) -> Seq2SeqModel:
    """Make a :func:`tiny_model` that ends lines early and attends to several places."""
    model = tiny_model(**settings)
    with torch.no_grad():
        model.network.output.bias[TARGET.boundary_id] += 1
        for parameter in (
            *model.network.decoder.attention.parameters(),
            *model.network.decoder.body.parameters(),
        ):
            parameter *= 4
    return model
