"""`rnnlm inspect gates`: what the units of a network did at each word of a line: hidden states, cells, gates, and how steep they were."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rnnlm.errors import UsageError
from rnnlm.inspection.gates.layer_activity import QUANTILES, LayerActivity, activity_of
from rnnlm.inspection.result import Table
from rnnlm.inspection.subjects import Model, subjects
from rnnlm.inspection.texts import checked_sentence
from rnnlm.interface import Device
from rnnlm.neural.layers.naming import named_layers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_UNITS = 16  # that are drawn unless some are named
STATE = "Share of the state that each token rewrites, and by how much it changes the state (0 to 1)"
ACTIVATIONS = "Activations: shares saturated at the lower and at the upper end of their range; mean and quantiles of derivatives"


@dataclass(frozen=True)
class GatesInspection:
    """What the layers of a model did at each of T tokens of a line. model, task, kind: what it is called, and what it is."""

    model: str
    task: str
    kind: str
    tokens: tuple[str, ...]
    layers: tuple[LayerActivity, ...]

    @property
    def verdict(self) -> str:
        """How much of its state each layer rewrites, and how much of its activations is saturated."""
        return f"{self.model}: " + "; ".join(self._of_layer(layer) for layer in self.layers) + "."

    def _of_layer(self, layer: LayerActivity) -> str:
        return f"{layer.name} {self._course(layer)}; {_steepness(layer)}"

    def _course(self, layer: LayerActivity) -> str:
        """What becomes of the state of a layer."""
        if layer.rewritten_T is not None:
            top = int(layer.rewritten_T.argmax())
            most = f"and most at '{self.tokens[top]}' ({layer.rewritten_T[top]:.0%})"
            return f"rewrites {layer.rewritten_T.mean():.0%} of its state at each token on average, {most}"
        if len(self.tokens) == 1:
            return "has no gate that keeps its state"
        top = int(layer.changed_T[1:].argmax()) + 1  # the first token always changes all
        average = f"{layer.changed_T[1:].mean():.2f} at each token on average (0: not at all, 1: altogether)"
        return f"has no gate that keeps its state, which changes by {average}, most at '{self.tokens[top]}'"

    def tables(self) -> Sequence[Table]:
        """How much of its state each layer rewrites at each token, and the activations of each layer."""
        names, columns = ["token"], []
        for layer in self.layers:
            for what, values in (("rewritten", layer.rewritten_T), ("changed", layer.changed_T)):
                if values is not None:
                    names.append(f"{layer.name}, {what}")
                    columns.append(values.tolist())
        by_token = Table(tuple(names), tuple(zip(self.tokens, *columns, strict=True)), STATE)
        quantiles = ("median" if quantile == 0.5 else f"{100 * quantile:g} %" for quantile in QUANTILES)
        heads = ("layer", "gate", "activation", "saturated low", "saturated high", "mean derivative", *quantiles)
        rows = tuple(
            (layer.name, each.gate, each.activation, each.below, each.above, each.derivative_mean, *each.derivative_quantiles)
            for layer in self.layers
            for each in layer.activations
        )
        return [by_token, Table(heads, rows, ACTIVATIONS)]

    def to_dict(self) -> dict[str, Any]:
        """All values of all units."""
        return {"model": self.model, "task": self.task, "kind": self.kind, "tokens": list(self.tokens),
                "layers": [layer.to_dict() for layer in self.layers]}  # fmt: skip

    def figure(self) -> "Figure":
        """Heat maps of the chosen units, a row for each layer."""
        from rnnlm.inspection.gates.plots import draw

        return draw(self.tokens, self.layers)


def inspect_gates(
    model: Model, sentence: str, *, units: Sequence[int] = (), unit_count: int = MOST_UNITS, device: str | Device = "auto"
) -> GatesInspection:
    """Gates, cells and hidden states of every layer of a network of any task at each token of one line.

    model: a model or its name; encoder-decoders are shown reading a source. units: numbers, from 0 on, of the units that the figure
    shows; none: in each layer the `unit_count` whose state varies most over the tokens. device: where a model given by name is loaded.

    Raises:
        UsageError: the model has no such layers, or a layer no such unit. TextError: the sentence is empty, or holds a newline,
            `<s>` or `</s>`. ModelError: there is no such model, or it is damaged.
    """
    if unit_count < 1:
        raise UsageError(f"unit_count = {unit_count}: at least one unit is drawn")
    sentence = checked_sentence(sentence)
    [found] = subjects("gates", (model,), device)
    line = found.model.trace_line(sentence)
    layers = named_layers(found.model.network)
    for traced in line.layers:
        _check_units(units, layers[traced.name].width, traced.name)
    activities = tuple(activity_of(traced, layers[traced.name], units, unit_count) for traced in line.layers)
    return GatesInspection(found.name, found.task, found.kind, tuple(line.tokens), activities)


def _check_units(units: Sequence[int], width: int, name: str) -> None:
    wrong = [unit for unit in units if not 0 <= unit < width]
    if wrong:
        raise UsageError(f"there is no unit {wrong[0]} in {name}", f"it has {width} units", f"name units from 0 to {width - 1}")


def _steepness(layer: LayerActivity) -> str:
    """The activation of a layer that is saturated most often, or what lets least of a gradient through."""
    bounded = [each for each in layer.activations if each.above is not None and each.below is not None]
    if bounded:
        most = max(bounded, key=lambda each: (each.above or 0.0) + (each.below or 0.0))
        if not most.above and not most.below:
            return "nothing in it is saturated"
        shares = f"{most.below:.0%} at the lower end of its range, {most.above:.0%} at the upper"
        return f"its {_called(most.gate)} is saturated most often ({shares}), with a mean derivative of {most.derivative_mean:.2g}"
    return ", ".join(f"the mean derivative of its {each.activation} is {each.derivative_mean:.2g}" for each in layer.activations)


def _called(gate: str) -> str:
    return f"{gate} gate" if gate in ("input", "forget", "output", "reset", "update") else gate
