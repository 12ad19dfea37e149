"""What a task's network takes over from language models: its shape, the vectors of words and characters, and the layers of each direction.

The forward layers, and the words, are those of one language model; the backward ones begin at random, or are those of a second model, which
reads lines from their end. In a language model each layer reads its own direction alone: the weights by which a layer reads the other one
start at zero, so that at first both directions have the very states of their language models.
"""

from dataclasses import dataclass, fields
from typing import Any, cast

import numpy as np

from rnnlm.config import Resolved, as_text
from rnnlm.errors import UsageError
from rnnlm.interface import Shapes
from rnnlm.models import loading, model_folder, registry
from rnnlm.neural import settings as network_settings
from rnnlm.neural.input_settings import InputSettings
from rnnlm.neural.layers.stack import HIGHWAY_BIAS
from rnnlm.neural.recurrent_settings import ElmanCell, GruCell, LstmCell, QrnnCell, RecurrentSettings
from rnnlm.tasks.data import TaskData
from rnnlm.tasks.model import array_shapes
from rnnlm.tasks.settings import KINDS, RecurrentTaskSettings

_CELLS = {"rnn": ElmanCell, "gru": GruCell, "lstm": LstmCell, "qrnn": QrnnCell}
_OF_INPUT = ("embedding_size", "characters")
_OF_CHARACTERS = {
    "cnn": ("characters_beside", "character_size", "character_filters", "character_highways"),
    "lstm": ("characters_beside", "character_size", "character_hidden_size"),
}
_OF_STACK = ("layers", "connections")
_STARTS = {"forget_bias"}  # says how weights start, no more


def settings(name: str, kind: registry.Kind) -> dict[str, Any]:
    """What the network of a task has of the settings of the language model called `name`: they give the shapes of its weights, and what
    its layers compute.

    Raises:
        ModelError: there is no such model. UsageError: it has no weights that a network of this kind could start from.
    """
    own = _settings_of(name, "--init-from")
    found: dict[str, Any] = {name: getattr(own, name) for name in (*_OF_INPUT, *_OF_CHARACTERS.get(str(own.characters), ()))}
    found["lowercase_vectors"] = False  # the language model has a vector for each way to write a word
    if not own.has_word_vectors:
        del found["embedding_size"]
    if not issubclass(KINDS[kind.task, kind.name], RecurrentTaskSettings):
        return found
    if own.model != kind.name:
        why = f"it is of kind {own.model}, not {kind.name}"
        hint = f"use --model {own.model}" if own.model in _CELLS else f"train one of --model {', '.join(_CELLS)}"
        raise UsageError(f"--init-from {name}: its layers do not fit", why, hint)
    assert isinstance(own, RecurrentSettings)
    found |= {name: value for name, value in _layers_of(own).items() if name not in ("model", "input_width", "widths")}
    size = "layer_sizes" if own.layer_sizes else "hidden_size"
    return {**found, size: getattr(own, size), "model": own.model, "reads_boundary": True}


def weights(request: Any, resolved: Resolved, data: TaskData) -> dict[str, np.ndarray] | None:
    """The weights that a network starts from, by name, of `--init-from` and `--init-from-reversed`; None where none are asked for.

    Raises:
        ModelError: there is no such model. UsageError: it does not fit the network, or the two do not fit each other.
    """
    if request.init_from is None:
        if request.init_from_reversed is not None:
            why = "the words' vectors come from a language model that reads them from the beginning"
            raise UsageError("--init-from-reversed needs --init-from", why, "name both")
        return None
    shape = resolved.make(KINDS[resolved.values["task"], resolved.values["model"]])
    arrays = _arrays(request.init_from, "--init-from", data, is_reversed=False)
    found = {f"encoder.{name}": array for name, array in arrays.items() if name.startswith("input.")}
    if isinstance(shape, RecurrentTaskSettings):
        stack = _Stack(shape, _recurrent(request.init_from), array_shapes(resolved.values, data.tokenizer))
        found |= stack.arrays(arrays, 0, {})
    if (other := request.init_from_reversed) is not None:
        if not isinstance(shape, RecurrentTaskSettings) or not shape.bidirectional:
            hint = "set bidirectional=true, with --model lstm"
            raise UsageError(f"--init-from-reversed {other}: no layer here reads backwards", hint=hint)
        _check_same_layers(request.init_from, other)
        found |= stack.arrays(_arrays(other, "--init-from-reversed", data, is_reversed=True), 1, found)
    return found


def _check_same_layers(forward: str, backward: str) -> None:
    """Raises UsageError: the layers of two language models differ."""
    one, other = (_layers_of(_settings_of(name, option)) for name, option in ((forward, "--init-from"), (backward, "--init-from-reversed")))
    if differing := [name for name in sorted(one.keys() | other.keys()) if one.get(name) != other.get(name)]:
        name = differing[0]
        why = f"{name} is {as_text(other.get(name))} there, {as_text(one.get(name))} in {forward}"
        raise UsageError(f"--init-from-reversed {backward}: its layers do not fit", why, "train both with the same settings")


def _layers_of(own: InputSettings) -> dict[str, Any]:
    """The settings of a language model's layers, as far as weights depend on them."""
    found: dict[str, Any] = {"model": own.model, "input_width": own.input_width}
    if isinstance(own, RecurrentSettings):
        of_cell = {field.name for field in fields(_CELLS[own.model])} - {field.name for field in fields(RecurrentSettings)} - _STARTS
        found |= {name: getattr(own, name) for name in (*_OF_STACK, "widths", *sorted(of_cell))}
    return found


def _recurrent(name: str) -> RecurrentSettings:
    return cast(RecurrentSettings, _settings_of(name, "--init-from"))


def _settings_of(name: str, option: str) -> InputSettings:
    """The settings of a neural language model."""
    manifest = model_folder.read_manifest(loading.find(name))
    if manifest.task != registry.LANGUAGE_MODEL:
        what = f"it {registry.ABOUT[manifest.task]}"
        raise UsageError(f"{option} {name}: it is not a language model", what, "a task's network starts from a language model")
    if manifest.family != "neural":
        raise UsageError(
            f"{option} {name}: a model of kind {manifest.model} has no weights to start from", hint="train one of --model lstm"
        )
    return network_settings.stored(manifest.settings)


def _arrays(name: str, option: str, data: TaskData, is_reversed: bool) -> dict[str, np.ndarray]:
    """The weights of a language model whose tokenizer is that of the data."""
    model, _ = model_folder.load(loading.find(name), "cpu")
    if model.tokenizer.is_reversed != is_reversed:
        other = "--init-from" if is_reversed else "--init-from-reversed"
        why = "it reads lines from their beginning" if is_reversed else "it reads lines from their end"
        raise UsageError(f"{option} {name}: {why}", hint=f"use it with {other}")
    if model.tokenizer.in_direction(False).fingerprint != data.tokenizer.tokenizer.in_direction(False).fingerprint:
        hint = "train it with --tokenizer-from the forward one" if is_reversed else f"leave --tokenizer-from out, or name {name}"
        raise UsageError(f"{option} {name}: its weights do not fit", "its tokenizer is another one", hint)
    return model.to_arrays()


@dataclass(frozen=True)
class _Stack:
    """The layers of a task's network, to be filled by those of a language model. shapes: of the network's arrays."""

    shape: RecurrentTaskSettings
    model: RecurrentSettings
    shapes: Shapes

    def arrays(self, arrays: dict[str, np.ndarray], direction: int, filled: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The weights of direction 0, forward, or 1. filled: what has weights already: a highway serves both directions."""
        place = ("onwards", "backwards")[direction] if self.shape.bidirectional else "layers"
        found = {}
        for name, array in arrays.items():
            _, what, number, *own = name.split(".") if name.startswith("body.") else ("", "", "")
            if what == "layers":
                target = ".".join(("encoder.body", place, number, *own))
                found[target] = self._placed(array, target, self._columns(int(number), direction), 0.0)
            elif what == "highways":
                target = f"encoder.{name}"
                start = filled.get(target, HIGHWAY_BIAS if own == ["bias"] else 0.0)
                found[target] = self._placed(array, target, self._columns(int(number) + 1, direction), start)
        return found

    def _columns(self, number: int, direction: int) -> np.ndarray:
        """Where, in what layer `number` reads here, stands what it reads in the language model, in that order."""
        here, there, directions = self.shape.input_width, self.model.input_width, self.shape.directions
        ends = np.concatenate(([0], np.cumsum([directions * width for width in self.shape.widths])))
        parts = [np.arange(width) + end + direction * width for width, end in zip(self.shape.widths, ends, strict=False)][:number]
        if self.shape.connections == "dense":
            return np.concatenate([np.arange(there), *(here + part for part in parts)])
        return parts[-1] - ends[number - 1] if number else np.arange(there)

    def _placed(self, array: np.ndarray, target: str, columns: np.ndarray, start: np.ndarray | float) -> np.ndarray:
        """`array` in the larger one that the network has, which is `start` elsewhere. A convolution reads its columns several times."""
        shape = self.shapes[target][1]
        if array.shape == shape:
            return array
        result = np.zeros(shape, dtype=array.dtype) + np.asarray(start, dtype=array.dtype)
        places = []
        for there, here in zip(array.shape, shape, strict=True):
            times = there // len(columns)
            wide = (columns + here // times * np.arange(times)[:, None]).ravel() if there != here else np.arange(there)
            places.append(wide)
        result[np.ix_(*places)] = array
        return result
