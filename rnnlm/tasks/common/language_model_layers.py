"""The layers of a language model, from which the network of another task starts."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnlm.errors import UsageError, keyword
from rnnlm.interface import Shapes
from rnnlm.lm.neural.cells import cells
from rnnlm.lm.neural.settings import HIGHWAY_BIAS, RecurrentSettings, structure
from rnnlm.training.language_model import settings_to_start_from


def recurrent_settings_of(name: str, option: str, kind: str | None = None) -> RecurrentSettings:
    """Return the settings of a language model with recurrent layers, of that kind where one is
    named."""
    model_settings = settings_to_start_from(name, option)
    known = cells()
    if model_settings.model not in known or model_settings.model != (kind or model_settings.model):
        names = ", ".join(known)
        hint = "train one with " + keyword("model") + f" {names}"
        if model_settings.model in known:
            hint = "use " + keyword("model", model_settings.model)
        raise UsageError(
            keyword(option) + f" {name}: its layers do not fit",
            f"it is of kind {model_settings.model}, not {kind or f'one of {names}'}",
            hint,
        )
    assert isinstance(model_settings, RecurrentSettings)
    return model_settings


def stack_settings(model_settings: RecurrentSettings) -> dict[str, Any]:
    """Return the settings of a stack of the same layers in a network of their kind."""
    names = {"model", "layers", "connections", "layer_sizes", "hidden_size", *model_settings.form}
    values = structure(model_settings)
    return {name: value for name, value in values.items() if name in names}


@dataclass(frozen=True)
class TakenLayers:
    """The layers of a task's network, to be filled by the layers of a language model. part: the
    module of the network that has them as `body`. shape: shape of these layers. model: settings of
    the language model. shapes: shapes of the network's arrays.

    Inputs of the network's layers that the language model's layers lack have weights of zero: at
    first they have its very states.
    """

    part: str
    shape: RecurrentSettings
    model: RecurrentSettings
    shapes: Shapes

    def arrays(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the weights of the forward layers, and of the highways, from the language
        model's."""
        place = "onwards" if self.shape.directions == 2 else "layers"
        placed = {}
        for name, array in arrays.items():
            if name.startswith("body.layers."):
                _, _, number, *rest = name.split(".")
                target = ".".join((f"{self.part}.body", place, number, *rest))
                placed[target] = self._placed(array, target, self._columns(int(number)), 0.0)
            elif name.startswith("body.highways."):
                # The highway between this layer and the next has the same input as the next one.
                _, _, number, kind = name.split(".")
                columns = self._columns(int(number) + 1)
                start = HIGHWAY_BIAS if kind == "bias" else 0.0
                target = f"{self.part}.{name}"
                placed[target] = self._placed(array, target, columns, start)
        return placed

    def _columns(self, number: int) -> np.ndarray:
        """Return the input columns of layer `number` that correspond to the language model's
        inputs."""
        # Of each layer below, the forward part.
        parts = []
        end = 0
        for width in self.shape.widths[:number]:
            parts.append(np.arange(width) + end)
            end += self.shape.directions * width

        words = np.arange(self.model.input_width)
        if self.shape.connections == "dense":
            return np.concatenate([words, *(self.shape.input_width + part for part in parts)])
        if not number:
            return words
        return parts[-1] - end + self.shape.directions * self.shape.widths[number - 1]

    def _placed(
        self, array: np.ndarray, target: str, columns: np.ndarray, start: float
    ) -> np.ndarray:
        """Put `array` into the larger one that the network has, which is `start` elsewhere. A
        convolution reads its columns several times."""
        shape = self.shapes[target][1]
        if array.shape == shape:
            return array
        result = np.full(shape, start, dtype=array.dtype)
        places = []
        for size_there, here in zip(array.shape, shape, strict=True):
            if size_there == here:
                places.append(np.arange(size_there))
            else:
                times = size_there // len(columns)
                places.append((columns + here // times * np.arange(times)[:, None]).ravel())
        result[np.ix_(*places)] = array
        return result
