"""What a trained network of any task is, as it is loaded and saved: weights, what encodes its data,
and where it came from."""

import contextlib
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import nn

from rnnlm.models.pickling import PickledByOrigin
from rnnlm.neural.device import reading

N = TypeVar("N", bound=nn.Module)
C = TypeVar("C")


class SavedModel(PickledByOrigin, Generic[N, C]):
    """Reads in evaluation mode, without gradients, in fp32 unless `precision` says otherwise.

    codec: what is saved with it beside its arrays.
    """

    task: str

    def __init__(
        self, network: N, codec: C, precision: str = "fp32", fingerprint: str | None = None
    ) -> None:
        self.network = network
        self.codec = codec
        self.precision = precision
        self.fingerprint = fingerprint

    @property
    def name(self) -> str:
        """Where it was loaded from."""
        return "this model" if self.origin is None else self.origin[0]

    @property
    def tokenizer(self) -> C:
        """The codec, where a language model has its tokenizer."""
        return self.codec

    @property
    def device(self) -> torch.device:
        """Where its weights lie."""
        return next(self.network.parameters()).device

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Its weights by name."""
        return {
            name: tensor.detach().cpu().numpy()
            for name, tensor in self.network.state_dict().items()
        }

    def reading(self) -> contextlib.AbstractContextManager[None]:
        """Evaluation mode, no gradients, the model's precision. A network in training goes back to
        that afterwards."""
        return reading(self.network, self.precision)
