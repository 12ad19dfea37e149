"""Gates, cells and hidden states of a network at each word of a line, and what they say."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnlm.errors import UsageError
from rnnlm.evaluation.plotting import new_panels
from rnnlm.inspection.common import Model, Table, checked_sentence, subjects
from rnnlm.inspection.heat_maps import draw_heat_map
from rnnlm.interface import Array, Device
from rnnlm.neural.layers.layers import GruLayer, Layer
from rnnlm.neural.layers.names import (
    BACKWARD,
    CELL,
    HIDDEN,
    Activation,
    activations_of,
    named_layers,
)
from rnnlm.neural.trace import NamedLayer

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# ---- What one layer did at each word of a line, as arrays, and the figures that follow from it.
#
# Shapes: T words, H units; E numbers that the layer reads.

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
DECIMALS = 6  # of values of units in JSON, which networks compute in fp32


@dataclass(frozen=True)
class ActivationFigures:
    """The values of one activation over all words and units. gate: its name, or "hidden state",
    "tanh of the cell". below, above: the shares that are saturated at the lower and at the upper
    bound, None without such a bound. derivative_quantiles: at :data:`QUANTILES`."""

    gate: str
    activation: str
    below: float | None
    above: float | None
    derivative_mean: float
    derivative_quantiles: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """All of it."""
        quantiles = dict(
            zip((f"{quantile:g}" for quantile in QUANTILES), self.derivative_quantiles, strict=True)
        )
        return {"gate": self.gate, "activation": self.activation, "below": self.below,
                "above": self.above,
                "derivative": {"mean": self.derivative_mean, "quantiles": quantiles}}  # fmt: skip


@dataclass(frozen=True)
class LayerActivity:
    """One layer. cell_TH: None where it has none. gates: by name, (T, H); of a Mogrifier's odd
    rounds (T, E). units: of the heat maps.

    rewritten_T: the share of its state that the layer lets go of at each word: the mean over units
    of 1 - forget (LSTM, QRNN), or of what the update gate does not keep (GRU). A unit that lets go
    of a share a of its state at each step remembers about 1 / a steps (Tallec & Ollivier 2018).
    None without such a gate. changed_T: how far the state, the cell where there is one, moves at
    each word: |s - s'| / (|s| + |s'|) in Euclidean norms, with s' the state before, at first zeros:
    0 where it stays, 0.71 where it turns by a right angle and keeps its length, 1 where it comes
    from zeros, goes to zeros, or turns round.
    """

    name: str
    hidden_TH: np.ndarray
    cell_TH: np.ndarray | None
    gates: dict[str, np.ndarray]
    rewritten_T: np.ndarray | None
    changed_T: np.ndarray
    activations: tuple[ActivationFigures, ...]
    units: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """All values of all units, by name, a list for each word."""
        arrays = {
            "hidden": self.hidden_TH,
            "cell": self.cell_TH,
            "rewritten": self.rewritten_T,
            "changed": self.changed_T,
        }
        return {
            "name": self.name, **{name: _plain(values) for name, values in arrays.items()},
            "gates": {name: _plain(values) for name, values in self.gates.items()},
            "activations": [each.to_dict() for each in self.activations], "units": list(self.units),
        }  # fmt: skip


def activity_of(
    traced: NamedLayer, layer: Layer, units: Sequence[int], unit_count: int
) -> LayerActivity:
    """What the layer did, of which `traced` tells, with the figures. units: which to draw; none:
    the `unit_count` whose state varies most, in ascending order."""
    hidden_TH = _array(traced.layer.hidden_TBH)
    cell_TH = None if traced.layer.cell_TBH is None else _array(traced.layer.cell_TBH)
    gates = {name: _array(values) for name, values in traced.layer.gates.items()}
    state_TH = hidden_TH if cell_TH is None else cell_TH
    chosen = tuple(units) or most_varied(state_TH, unit_count)
    values = gates | {HIDDEN: hidden_TH} | ({} if cell_TH is None else {CELL: np.tanh(cell_TH)})
    figures = tuple(
        _figures(name, activation, values[name])
        for name, activation in activations_of(layer).items()
    )
    changed_T = changed(state_TH, traced.name.endswith(BACKWARD))
    return LayerActivity(
        traced.name, hidden_TH, cell_TH, gates, rewritten(gates, layer), changed_T, figures, chosen
    )


def most_varied(values_TH: np.ndarray, count: int) -> tuple[int, ...]:
    """The `count` columns of the largest variance over words, in ascending order; of equal ones the
    first."""
    return tuple(sorted(np.argsort(-values_TH.var(axis=0), kind="stable")[:count].tolist()))


def rewritten(gates: dict[str, np.ndarray], layer: Layer) -> np.ndarray | None:
    """The share of its state that a layer lets go of at each word, (T,); None where no gate says
    so."""
    if "forget" in gates:
        return np.asarray(1 - gates["forget"].mean(axis=1))
    if not isinstance(layer, GruLayer):
        return None
    update_T = gates["update"].mean(axis=1)
    return np.asarray(1 - update_T if layer.update_gate == "keep" else update_T)


def changed(state_TH: np.ndarray, is_backward: bool = False) -> np.ndarray:
    """How far the state moves at each word, (T,), from zeros on; `is_backward`: it is read from the
    last word on."""
    if is_backward:
        return changed(state_TH[::-1])[::-1]
    before_TH = np.concatenate([np.zeros_like(state_TH[:1]), state_TH[:-1]])
    lengths_T = np.linalg.norm(state_TH, axis=1) + np.linalg.norm(before_TH, axis=1)
    return np.asarray(
        np.linalg.norm(state_TH - before_TH, axis=1) / np.where(lengths_T > 0, lengths_T, 1)
    )


def _figures(name: str, activation: Activation, y: np.ndarray) -> ActivationFigures:
    slopes = activation.derivative(y)
    below = None if activation.low is None else float(activation.is_low(y).mean())
    above = None if activation.high is None else float(activation.is_high(y).mean())
    quantiles = tuple(np.quantile(slopes, QUANTILES).tolist())
    return ActivationFigures(name, activation.name, below, above, float(slopes.mean()), quantiles)


def _array(values_TBH: Array) -> np.ndarray:
    return np.asarray(values_TBH[:, 0].detach().double().cpu().numpy())


def _plain(values: np.ndarray | None) -> list[object] | None:
    return None if values is None else values.round(DECIMALS).tolist()


# ---- `rnnlm inspect gates`: what the units of a network did at each word of a line: hidden states,
# cells, gates, and how steep they were.

MOST_UNITS = 16  # that are drawn unless some are named
STATE = "Share of the state that each token rewrites, and by how much it changes the state (0 to 1)"
ACTIVATIONS = (
    "Activations: shares saturated at the lower and at the upper end of their range; mean "
    "and quantiles of derivatives"
)


@dataclass(frozen=True)
class GatesInspection:
    """What the layers of a model did at each of T tokens of a line. model, task, kind: what it is
    called, and what it is."""

    model: str
    task: str
    kind: str
    tokens: tuple[str, ...]
    layers: tuple[LayerActivity, ...]

    @property
    def verdict(self) -> str:
        """How much of its state each layer rewrites, and how much of its activations is
        saturated."""
        return f"{self.model}: " + "; ".join(self._of_layer(layer) for layer in self.layers) + "."

    def _of_layer(self, layer: LayerActivity) -> str:
        return f"{layer.name} {self._course(layer)}; {_steepness(layer)}"

    def _course(self, layer: LayerActivity) -> str:
        """What becomes of the state of a layer."""
        if layer.rewritten_T is not None:
            top = int(layer.rewritten_T.argmax())
            most = f"and most at '{self.tokens[top]}' ({layer.rewritten_T[top]:.0%})"
            return (
                f"rewrites {layer.rewritten_T.mean():.0%} of its state at each token on average, "
                f"{most}"
            )
        if len(self.tokens) == 1:
            return "has no gate that keeps its state"
        top = int(layer.changed_T[1:].argmax()) + 1  # the first token always changes all
        average = (
            f"{layer.changed_T[1:].mean():.2f} at each token on average (0: not at all, "
            "1: altogether)"
        )
        return (
            f"has no gate that keeps its state, which changes by {average}, most at "
            f"'{self.tokens[top]}'"
        )

    def tables(self) -> Sequence[Table]:
        """How much of its state each layer rewrites at each token, and the activations of each
        layer."""
        names, columns = ["token"], []
        for layer in self.layers:
            for what, values in (("rewritten", layer.rewritten_T), ("changed", layer.changed_T)):
                if values is not None:
                    names.append(f"{layer.name}, {what}")
                    columns.append(values.tolist())
        by_token = Table(tuple(names), tuple(zip(self.tokens, *columns, strict=True)), STATE)
        quantiles = (
            "median" if quantile == 0.5 else f"{100 * quantile:g} %" for quantile in QUANTILES
        )
        heads = (
            "layer",
            "gate",
            "activation",
            "saturated low",
            "saturated high",
            "mean derivative",
            *quantiles,
        )
        rows = tuple(
            (
                layer.name,
                each.gate,
                each.activation,
                each.below,
                each.above,
                each.derivative_mean,
                *each.derivative_quantiles,
            )
            for layer in self.layers
            for each in layer.activations
        )
        return [by_token, Table(heads, rows, ACTIVATIONS)]

    def to_dict(self) -> dict[str, Any]:
        """All values of all units."""
        return {"model": self.model, "task": self.task, "kind": self.kind,
                "tokens": list(self.tokens),
                "layers": [layer.to_dict() for layer in self.layers]}  # fmt: skip

    def figure(self) -> "Figure":
        """Heat maps of the chosen units, a row for each layer."""
        return draw(self.tokens, self.layers)


def inspect_gates(
    model: Model,
    sentence: str,
    *,
    units: Sequence[int] = (),
    unit_count: int = MOST_UNITS,
    device: str | Device = "auto",
) -> GatesInspection:
    """Gates, cells and hidden states of every layer of a network of any task at each token of one
    line.

    model: a model or its name; encoder-decoders are shown reading a source. units: numbers, from 0
    on, of the units that the figure shows; none: in each layer the `unit_count` whose state varies
    most over the tokens. device: where a model given by name is loaded.

    Raises:
        UsageError: the model has no such layers, or a layer no such unit. TextError: the sentence
            is empty, or holds a newline, `<s>` or `</s>`. ModelError: there is no such model, or it
            is damaged.
    """
    if unit_count < 1:
        raise UsageError(f"unit_count = {unit_count}: at least one unit is drawn")
    sentence = checked_sentence(sentence)
    [found] = subjects("gates", (model,), device)
    line = found.model.trace_line(sentence)
    layers = named_layers(found.model.network)
    for traced in line.layers:
        _check_units(units, layers[traced.name].width, traced.name)
    activities = tuple(
        activity_of(traced, layers[traced.name], units, unit_count) for traced in line.layers
    )
    return GatesInspection(found.name, found.task, found.kind, tuple(line.tokens), activities)


def _check_units(units: Sequence[int], width: int, name: str) -> None:
    wrong = [unit for unit in units if not 0 <= unit < width]
    if wrong:
        raise UsageError(
            f"there is no unit {wrong[0]} in {name}",
            f"it has {width} units",
            f"name units from 0 to {width - 1}",
        )


def _steepness(layer: LayerActivity) -> str:
    """The activation of a layer that is saturated most often, or what lets least of a gradient
    through."""
    bounded = [
        each for each in layer.activations if each.above is not None and each.below is not None
    ]
    if bounded:
        most = max(bounded, key=lambda each: (each.above or 0.0) + (each.below or 0.0))
        if not most.above and not most.below:
            return "nothing in it is saturated"
        shares = f"{most.below:.0%} at the lower end of its range, {most.above:.0%} at the upper"
        return (
            f"its {_called(most.gate)} is saturated most often ({shares}), with a mean derivative "
            f"of {most.derivative_mean:.2g}"
        )
    return ", ".join(
        f"the mean derivative of its {each.activation} is {each.derivative_mean:.2g}"
        for each in layer.activations
    )


def _called(gate: str) -> str:
    return f"{gate} gate" if gate in ("input", "forget", "output", "reset", "update") else gate


# ---- Heat maps of units over the tokens of a line: hidden state, cell and gates of each layer,
# rows of three below each other.

SIGNED, SHARES = "RdBu_r", "viridis"  # maps of colours
COLUMNS = 3
# title, values, units, colours, range
Panel = tuple[str, np.ndarray, tuple[int, ...], str, tuple[float, float]]


def draw(tokens: Sequence[str], layers: Sequence[LayerActivity]) -> "Figure":
    """The chosen units of each layer."""
    rows = [row for layer in layers for row in _in_rows(_panels(layer))]
    columns = max(map(len, rows))
    labels = [
        (row[place][0], "", "unit") if place < len(row) else None
        for row in rows
        for place in range(columns)
    ]
    width = min(1.6 + 0.22 * len(tokens), 6.0)
    height = 1.4 + 0.16 * max(len(layer.units) for layer in layers)
    figure, panels = new_panels(labels, columns * width, len(rows) * height, columns)
    drawn = (panel for row in rows for panel in row)
    for axes, (_, values_TH, units, colours, limits) in zip(panels, drawn, strict=True):
        draw_heat_map(
            axes, values_TH[:, list(units)].T, tokens, list(map(str, units)), colours, *limits
        )
    return figure


def _in_rows(panels: list[Panel]) -> list[list[Panel]]:
    return [panels[start : start + COLUMNS] for start in range(0, len(panels), COLUMNS)]


def _panels(layer: LayerActivity) -> list[Panel]:
    """The heat maps of a layer. What a Mogrifier gates of its input has units of its own."""
    largest = float(np.abs(layer.hidden_TH).max()) or 1.0
    found: list[Panel] = [
        (f"{layer.name}, hidden", layer.hidden_TH, layer.units, SIGNED, (-largest, largest))
    ]
    if layer.cell_TH is not None:
        largest = float(np.abs(layer.cell_TH).max()) or 1.0
        found.append(
            (f"{layer.name}, cell", layer.cell_TH, layer.units, SIGNED, (-largest, largest))
        )
    for name, values in layer.gates.items():
        if name.startswith("round"):
            is_of_input = int(name.split()[1]) % 2 == 1
            units = most_varied(values, len(layer.units)) if is_of_input else layer.units
            found.append(
                (
                    f"{layer.name}, {name}, of {'the input' if is_of_input else 'hidden'}",
                    values,
                    units,
                    SHARES,
                    (0.0, 2.0),
                )
            )
        else:
            colours, limit = (SIGNED, (-1.0, 1.0)) if name == "candidate" else (SHARES, (0.0, 1.0))
            found.append((f"{layer.name}, {name}", values, layer.units, colours, limit))
    return found
