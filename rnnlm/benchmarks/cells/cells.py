"""The cells that are compared, and the width at which each has a given number of parameters."""

from collections.abc import Mapping
from typing import Any, cast

import torch

from rnnlm.errors import UsageError
from rnnlm.neural.layers.stack import RecurrentStack
from rnnlm.neural.recurrent_settings import RecurrentSettings
from rnnlm.neural.settings import KINDS

CELLS: Mapping[str, Mapping[str, Any]] = {
    "elman": {"model": "rnn", "activation": "tanh"},
    "irnn": {  # of one stream without end, a sum grows without bound: hence the gain below 1
        "model": "rnn", "activation": "relu", "init_recurrent": "identity", "init_gain": 0.9, "init_input": "uniform", "init_range": 0.05,
    },
    "gru": {"model": "gru"},
    "lstm": {"model": "lstm"},
    "coupled-lstm": {"model": "lstm", "coupled_gates": True},
    "mogrifier": {"model": "lstm", "mogrifier_rounds": 5, "mogrifier_rank": 64},
    "qrnn": {"model": "qrnn"},
}  # fmt: skip
# One layer of each. What is not named here is the same in all kinds by default. The softmax is sampled in training, and no validation is
# for the curve alone: the time is the cell's.
COMMON: Mapping[str, Any] = {
    "layers": 1, "tied": True, "loss": "sampled", "batch_rows": 32, "bptt_tokens": 35, "optimizer": "adamw", "weight_decay": 0.01,
    "clip_norm": 0.25, "schedule": "cosine", "warmup": 0.03, "patience": None, "min_validations": 0,
}  # fmt: skip
MOST_UNITS = 1 << 15


def settings_of(cell: str, width: int, embedding_size: int) -> dict[str, Any]:
    """All settings of a cell that is so wide, without those that are tuned."""
    return {**COMMON, **CELLS[cell], "hidden_size": width, "embedding_size": embedding_size}


def parameters_of(cell: str, width: int, embedding_size: int) -> int:
    """The weights of the layer and of the projection to the width of word vectors: all but word vectors and the biases of the output."""
    settings = dict(CELLS[cell]) | {"layers": 1, "hidden_size": width, "embedding_size": embedding_size}
    with torch.device("meta"):
        stack = RecurrentStack(cast(RecurrentSettings, KINDS[settings["model"]](**settings)))
    projection = (width + 1) * embedding_size if width != embedding_size else 0
    return sum(parameter.numel() for parameter in stack.parameters()) + projection


def width_for(cell: str, parameters: int, embedding_size: int) -> int:
    """The width whose number of parameters comes nearest to `parameters`.

    Raises:
        UsageError: even one unit has more, or too many units would be needed.
    """
    low, high = 1, MOST_UNITS
    if not parameters_of(cell, low, embedding_size) <= parameters <= parameters_of(cell, high, embedding_size):
        raise UsageError(f"{cell}: no width has {parameters:,} parameters beside word vectors of {embedding_size}")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if parameters_of(cell, middle, embedding_size) <= parameters else (low, middle)
    return min((low, high), key=lambda width: abs(parameters_of(cell, width, embedding_size) - parameters))
