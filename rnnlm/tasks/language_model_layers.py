"""The layers of a language model, from which the network of another task starts."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnlm.config import as_text
from rnnlm.errors import UsageError
from rnnlm.interface import Shapes, Tokenizer
from rnnlm.models import loading, model_folder, registry
from rnnlm.neural import settings as network_settings
from rnnlm.neural.layers.layers import HIGHWAY_BIAS
from rnnlm.neural.settings import CELLS, InputSettings, RecurrentSettings

FORWARD, REVERSED = "`init_from`", "`init_from_reversed`"
_OF_STACK = ("layers", "connections")
_STARTS = {"forget_bias"}  # says how weights start, no more


def settings_of(name: str, option: str) -> InputSettings:
    """Return the settings of the neural language model called `name`, which `option` asks for."""
    manifest = model_folder.read_manifest(loading.find(name))
    if manifest.task != registry.LANGUAGE_MODEL:
        what = f"it {registry.task(manifest.task).predicate}"
        raise UsageError(
            f"{option} {name}: it is not a language model",
            what,
            "a task's network starts from a language model",
        )
    if not manifest.kind.trains_in_steps:
        raise UsageError(
            f"{option} {name}: a model of kind {manifest.model} has no weights to start from",
            hint='train one with `model="lstm"`',
        )
    return network_settings.stored(manifest.settings)


def recurrent_settings_of(name: str, option: str, kind: str | None = None) -> RecurrentSettings:
    """Return the settings of a language model with recurrent layers, of that kind where one is
    named."""
    own = settings_of(name, option)
    if own.model not in CELLS or own.model != (kind or own.model):
        cells = ", ".join(CELLS)
        if own.model in CELLS:
            hint = f'use `model="{own.model}"`'
        else:
            hint = f"train one with `model` {cells}"
        raise UsageError(
            f"{option} {name}: its layers do not fit",
            f"it is of kind {own.model}, not {kind or f'one of {cells}'}",
            hint,
        )
    assert isinstance(own, RecurrentSettings)
    return own


def form(own: RecurrentSettings) -> dict[str, Any]:
    """Return the settings of what the cells of a network's layers compute, which only cells of
    their kind have."""
    settings = vars(own.cell)
    return {name: settings[name] for name in sorted(settings.keys() - _STARTS)}


def layers_of(own: InputSettings) -> dict[str, Any]:
    """Return the settings of a language model's layers on which weights depend."""
    found: dict[str, Any] = {"model": own.model, "input_width": own.input_width}
    if isinstance(own, RecurrentSettings):
        found |= {name: getattr(own, name) for name in (*_OF_STACK, "widths")} | form(own)
    return found


def stack_settings(own: RecurrentSettings) -> dict[str, Any]:
    """Return the settings of a stack of the same layers in a network of their kind."""
    found = layers_of(own)
    del found["input_width"], found["widths"]
    found["layer_sizes"] = own.layer_sizes
    if not own.layer_sizes:
        found["hidden_size"] = own.hidden_size
    return found


def check_same_layers(forward: str, backward: str, option: str = FORWARD) -> None:
    """Raise UsageError if the layers of two language models differ, those of `option` and of
    `--init-from-reversed`."""
    one = layers_of(settings_of(forward, option))
    other = layers_of(settings_of(backward, REVERSED))
    for name in sorted(one.keys() | other.keys()):
        here, there = one.get(name), other.get(name)
        if here != there:
            raise UsageError(
                f"{REVERSED} {backward}: its layers do not fit",
                f"{name} is {as_text(there)} there, {as_text(here)} in {forward}",
                "train both with the same settings",
            )


def arrays_of(
    name: str, option: str, tokenizer: Tokenizer, is_reversed: bool, forward: str = FORWARD
) -> dict[str, np.ndarray]:
    """Return the weights of a language model, which has to read lines in this direction, with the
    given tokenizer. forward: the option for the direction other than that of
    `--init-from-reversed`."""
    model, _ = model_folder.load(loading.find(name), "cpu")
    its = model.tokenizer
    if its.is_reversed != is_reversed:
        end = "end" if its.is_reversed else "beginning"
        raise UsageError(
            f"{option} {name}: it reads lines from their {end}",
            hint=f"use it with {forward if option == REVERSED else REVERSED}",
        )
    if its.in_direction(False).fingerprint != tokenizer.in_direction(False).fingerprint:
        hint = f"leave out `tokenizer_from`, or name {name}"
        if option == REVERSED:
            hint = "train it with the tokenizer of the forward one: `tokenizer_from`"
        raise UsageError(f"{option} {name}: its weights do not fit", "its tokenizer differs", hint)
    arrays: dict[str, np.ndarray] = model.to_arrays()
    return arrays


@dataclass(frozen=True)
class TakenLayers:
    """The layers of a task's network, to be filled by those of a language model. part: the module
    of the network that has them as `body`. shape: of these layers. model: settings of the language
    model. shapes: of the network's arrays.

    What the network's layers read beside what they read in the language model has weights of zero:
    at first they have its very states.
    """

    part: str
    shape: RecurrentSettings
    model: RecurrentSettings
    shapes: Shapes

    def arrays(
        self, arrays: dict[str, np.ndarray], direction: int, filled: dict[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Return the weights of direction 0, forward, or 1. filled: those that are there already: a
        highway serves both directions."""
        place = "layers"
        if self.shape.directions == 2:
            place = ("onwards", "backwards")[direction]
        found = {}
        for name, array in arrays.items():
            if not name.startswith("body."):
                continue
            _, what, number, *own = name.split(".")
            if what == "layers":
                target = ".".join((f"{self.part}.body", place, number, *own))
                columns = self._columns(int(number), direction)
                found[target] = self._placed(array, target, columns, 0.0)
            elif what == "highways":
                # The highway between this layer and the next reads what the next one reads.
                target = f"{self.part}.{name}"
                start = filled.get(target, HIGHWAY_BIAS if own == ["bias"] else 0.0)
                columns = self._columns(int(number) + 1, direction)
                found[target] = self._placed(array, target, columns, start)
        return found

    def _columns(self, number: int, direction: int) -> np.ndarray:
        """Return the columns, in what layer `number` reads here, of what it reads in the language
        model, in that order."""
        # Of each layer below, the part of this direction.
        parts = []
        end = 0
        for width in self.shape.widths[:number]:
            parts.append(np.arange(width) + end + direction * width)
            end += self.shape.directions * width

        words = np.arange(self.model.input_width)
        if self.shape.connections == "dense":
            return np.concatenate([words, *(self.shape.input_width + part for part in parts)])
        if not number:
            return words
        begin = end - self.shape.directions * self.shape.widths[number - 1]
        return parts[-1] - begin

    def _placed(
        self, array: np.ndarray, target: str, columns: np.ndarray, start: np.ndarray | float
    ) -> np.ndarray:
        """Put `array` into the larger one that the network has, which is `start` elsewhere. A
        convolution reads its columns several times."""
        shape = self.shapes[target][1]
        if array.shape == shape:
            return array
        result = np.zeros(shape, dtype=array.dtype) + np.asarray(start, dtype=array.dtype)
        places = []
        for there, here in zip(array.shape, shape, strict=True):
            if there == here:
                places.append(np.arange(there))
            else:
                times = there // len(columns)
                blocks = here // times * np.arange(times)[:, None]
                places.append((columns + blocks).ravel())
        result[np.ix_(*places)] = array
        return result
