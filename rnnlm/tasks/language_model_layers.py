"""The layers of a language model, as the network of a task takes them over."""

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

FORWARD, REVERSED = "--init-from", "--init-from-reversed"
_OF_STACK = ("layers", "connections")
_STARTS = {"forget_bias"}  # says how weights start, no more


def settings_of(name: str, option: str) -> InputSettings:
    """The settings of the neural language model called `name`, which `option` asks for."""
    manifest = model_folder.read_manifest(loading.find(name))
    if manifest.task != registry.LANGUAGE_MODEL:
        what = f"it {registry.task(manifest.task).about}"
        raise UsageError(
            f"{option} {name}: it is not a language model",
            what,
            "a task's network starts from a language model",
        )
    if not manifest.kind.trains_in_steps:
        raise UsageError(
            f"{option} {name}: a model of kind {manifest.model} has no weights to start from",
            hint="train one of --model lstm",
        )
    return network_settings.stored(manifest.settings)


def recurrent_settings_of(name: str, option: str, kind: str | None = None) -> RecurrentSettings:
    """The same of a language model with recurrent layers, of that kind where one is named."""
    own = settings_of(name, option)
    if own.model not in CELLS or own.model != (kind or own.model):
        wanted = kind or f"one of {', '.join(CELLS)}"
        hint = (
            f"use --model {own.model}"
            if own.model in CELLS
            else f"train one of --model {', '.join(CELLS)}"
        )
        raise UsageError(
            f"{option} {name}: its layers do not fit",
            f"it is of kind {own.model}, not {wanted}",
            hint,
        )
    assert isinstance(own, RecurrentSettings)
    return own


def form(own: RecurrentSettings) -> dict[str, Any]:
    """What the cells of a network's layers compute, as settings that cells of their kind alone
    have."""
    settings = vars(own.cell)
    return {name: settings[name] for name in sorted(settings.keys() - _STARTS)}


def layers_of(own: InputSettings) -> dict[str, Any]:
    """The settings of a language model's layers, as far as weights depend on them."""
    found: dict[str, Any] = {"model": own.model, "input_width": own.input_width}
    if isinstance(own, RecurrentSettings):
        found |= {name: getattr(own, name) for name in (*_OF_STACK, "widths")} | form(own)
    return found


def stack_settings(own: RecurrentSettings) -> dict[str, Any]:
    """The settings of a stack of the same layers in a network of their kind."""
    found = {
        name: value
        for name, value in layers_of(own).items()
        if name not in ("input_width", "widths")
    }
    return {
        **found,
        "layer_sizes": own.layer_sizes,
        **({} if own.layer_sizes else {"hidden_size": own.hidden_size}),
    }


def check_same_layers(forward: str, backward: str, option: str = FORWARD) -> None:
    """Raises UsageError: the layers of two language models differ, those of `option` and of
    `--init-from-reversed`."""
    one, other = (
        layers_of(settings_of(name, asked))
        for name, asked in ((forward, option), (backward, REVERSED))
    )
    if differing := [
        name for name in sorted(one.keys() | other.keys()) if one.get(name) != other.get(name)
    ]:
        name = differing[0]
        why = f"{name} is {as_text(other.get(name))} there, {as_text(one.get(name))} in {forward}"
        raise UsageError(
            f"{REVERSED} {backward}: its layers do not fit",
            why,
            "train both with the same settings",
        )


def arrays_of(
    name: str, option: str, tokenizer: Tokenizer, is_reversed: bool, forward: str = FORWARD
) -> dict[str, np.ndarray]:
    """The weights of a language model that reads lines from their end, or does not, and whose
    tokenizer is the given one. forward: the option for what reads in the other direction than
    `--init-from-reversed` asks for."""
    model, _ = model_folder.load(loading.find(name), "cpu")
    if model.tokenizer.is_reversed != is_reversed:
        why = (
            "it reads lines from their beginning"
            if is_reversed
            else "it reads lines from their end"
        )
        raise UsageError(
            f"{option} {name}: {why}",
            hint=f"use it with {forward if option == REVERSED else REVERSED}",
        )
    if model.tokenizer.in_direction(False).fingerprint != tokenizer.in_direction(False).fingerprint:
        hint = (
            "train it with --tokenizer-from the forward one"
            if option == REVERSED
            else f"leave --tokenizer-from out, or name {name}"
        )
        raise UsageError(
            f"{option} {name}: its weights do not fit", "its tokenizer is another one", hint
        )
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
        """The weights of direction 0, forward, or 1. filled: what has weights already: a highway
        serves both directions."""
        place = ("onwards", "backwards")[direction] if self.shape.directions == 2 else "layers"
        found = {}
        for name, array in arrays.items():
            _, what, number, *own = name.split(".") if name.startswith("body.") else ("", "", "")
            if what == "layers":
                target = ".".join((f"{self.part}.body", place, number, *own))
                found[target] = self._placed(
                    array, target, self._columns(int(number), direction), 0.0
                )
            elif what == "highways":
                target = f"{self.part}.{name}"
                start = filled.get(target, HIGHWAY_BIAS if own == ["bias"] else 0.0)
                found[target] = self._placed(
                    array, target, self._columns(int(number) + 1, direction), start
                )
        return found

    def _columns(self, number: int, direction: int) -> np.ndarray:
        """Where, in what layer `number` reads here, stands what it reads in the language model, in
        that order."""
        here, there, directions = (
            self.shape.input_width,
            self.model.input_width,
            self.shape.directions,
        )
        ends = np.concatenate(([0], np.cumsum([directions * width for width in self.shape.widths])))
        parts = [
            np.arange(width) + end + direction * width
            for width, end in zip(self.shape.widths, ends, strict=False)
        ][:number]
        if self.shape.connections == "dense":
            return np.concatenate([np.arange(there), *(here + part for part in parts)])
        return parts[-1] - ends[number - 1] if number else np.arange(there)

    def _placed(
        self, array: np.ndarray, target: str, columns: np.ndarray, start: np.ndarray | float
    ) -> np.ndarray:
        """`array` in the larger one that the network has, which is `start` elsewhere. A convolution
        reads its columns several times."""
        shape = self.shapes[target][1]
        if array.shape == shape:
            return array
        result = np.zeros(shape, dtype=array.dtype) + np.asarray(start, dtype=array.dtype)
        places = []
        for there, here in zip(array.shape, shape, strict=True):
            times = there // len(columns)
            wide = (
                (columns + here // times * np.arange(times)[:, None]).ravel()
                if there != here
                else np.arange(there)
            )
            places.append(wide)
        result[np.ix_(*places)] = array
        return result
