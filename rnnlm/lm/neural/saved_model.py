"""Load and save a trained network of any task: weights, the codec of its data, and its origin."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import nn

from rnnlm.lm.base.stored_model import PickledByOrigin
from rnnlm.lm.neural.device import evaluation_mode

N = TypeVar("N", bound=nn.Module)
C = TypeVar("C")


class SavedModel(PickledByOrigin, Generic[N, C]):
    """A trained network. It reads in evaluation mode, without gradients, in fp32 unless `precision`
    says otherwise.

    codec: the object that is saved with it besides its arrays.
    """

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
    def model_kind(self) -> str:
        """Its kind, as in config.json."""
        settings: Any = self.network.settings
        return str(settings.model)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.network.parameters()).device

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the weights by name."""
        tensors = self.network.state_dict()
        return {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}

    def reading(self) -> contextlib.AbstractContextManager[None]:
        """Enter evaluation mode, without gradients, in the model's precision.

        A network in evaluation mode, as every loaded one is, stays as it is, so that threads can
        read it side by side. One in training belongs to its trainer alone, and goes back to
        training mode afterwards.
        """
        return evaluation_mode(self.network, self.precision)


def filled(make: Callable[[], N], arrays: Mapping[str, np.ndarray]) -> N:
    """Return the network that `make` makes, with these arrays as its weights."""
    with torch.device("meta"):
        network = make()
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    network.load_state_dict(tensors, assign=True)
    return network
