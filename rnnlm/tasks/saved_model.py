"""A trained network of any task as it is loaded and saved: weights, what encodes its data, and
where it came from."""

import contextlib
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import nn

from rnnlm.models.pickling import PickledByOrigin
from rnnlm.neural.device import evaluation_mode

N = TypeVar("N", bound=nn.Module)
C = TypeVar("C")


class SavedModel(PickledByOrigin, Generic[N, C]):
    """A trained network. It reads in evaluation mode, without gradients, in fp32 unless `precision`
    says otherwise.

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
        """Where the model was loaded from."""
        return "this model" if self.origin is None else self.origin[0]

    @property
    def tokenizer(self) -> C:
        """The codec, where a language model has its tokenizer."""
        return self.codec

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.network.parameters()).device

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the weights by name."""
        tensors = self.network.state_dict()
        return {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}

    def reading(self) -> contextlib.AbstractContextManager[None]:
        """Switch to evaluation mode, no gradients, the model's precision. A network in training
        goes back to training afterwards."""
        return evaluation_mode(self.network, self.precision)
