"""Show gates, cells and hidden states of a network at each word of a line, and summarise them."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnlm.errors import UsageError
from rnnlm.evaluation.plotting import (
    INCHES_PER_LABEL,
    MOST_LABELS,
    TALLEST,
    WIDEST,
    Axes,
    Figure,
    draw_heat_map,
    new_panels,
    robust_highest,
    short_name,
)
from rnnlm.interface import Array, Device
from rnnlm.lm.neural.activations import Activation
from rnnlm.lm.neural.layers.layers import BACKWARD, CELL, HIDDEN, Layer, named_layers
from rnnlm.lm.neural.trace import NamedLayer
from rnnlm.tabular import Table, to_builtins
from rnnlm.text.unknown_words import tell_unknown
from rnnlm.tools.inspection.common import Inspection, Model, checked_sentence, load_models_for

# ---- The values of one layer at each word of a line, as arrays, and numbers that summarise them.
#
# Shapes: T words, H units; E numbers that the layer reads.

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
DECIMALS = 6  # of values of units in JSON, which networks compute in fp32


@dataclass(frozen=True)
class ActivationStatistics:
    """The values of one activation over all words and units.

    Attributes:
        gate: Name of the gate, or "hidden state" or "tanh of the cell".
        activation: Name of the activation function.
        below: Share of values that are saturated at the lower bound, 0 to 1; None without such a
            bound.
        above: Share of values that are saturated at the upper bound, 0 to 1; None without such a
            bound.
        derivative_mean: Mean derivative.
        derivative_quantiles: Quantiles of the derivative at :data:`QUANTILES`.
    """

    gate: str
    activation: str
    below: float | None
    above: float | None
    derivative_mean: float
    derivative_quantiles: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the values by name."""
        quantiles = {
            f"{quantile:g}": value
            for quantile, value in zip(QUANTILES, self.derivative_quantiles, strict=True)
        }
        return {
            "gate": self.gate,
            "activation": self.activation,
            "below": self.below,
            "above": self.above,
            "derivative": {"mean": self.derivative_mean, "quantiles": quantiles},
        }


@dataclass(frozen=True)
class LayerActivity:
    """The activity of a layer of H units at T tokens.

    A unit that gives up a share a of its state at each step remembers about 1 / a steps (Tallec &
    Ollivier 2018).

    Attributes:
        name: Name of the layer.
        hidden_TH: Hidden states, (T, H).
        cell_TH: Cells, (T, H); None if the layer has no cell.
        gates: Gates by name, (T, H); for odd rounds of a Mogrifier (T, E).
        rewritten_T: Share of its state that the layer gives up at each word: the mean over units of
            1 - forget, or of 1 minus the share that the update gate keeps (GRU). None without such
            a gate.
        changed_T: How far the state moves at each word, from 0 to 1: `|s - s'| / (|s| + |s'|)` in
            Euclidean norms, with s' the state before. The state is the cell if there is one, and
            zeros before the first word. The value is 0 if the state stays, 0.71 if it turns by a
            right angle and keeps its length, 1 if it comes from zeros, goes to zeros or turns
            round.
        activations: Statistics of the activations.
        units: Units in the heat maps.
    """

    name: str
    hidden_TH: np.ndarray
    cell_TH: np.ndarray | None
    gates: dict[str, np.ndarray]
    rewritten_T: np.ndarray | None
    changed_T: np.ndarray
    activations: tuple[ActivationStatistics, ...]
    units: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all values of all units by name, a list for each word."""
        return {
            "name": self.name,
            "hidden": _rounded(self.hidden_TH),
            "cell": _rounded(self.cell_TH),
            "rewritten": _rounded(self.rewritten_T),
            "changed": _rounded(self.changed_T),
            "gates": {name: _rounded(values) for name, values in self.gates.items()},
            "activations": [activation.to_dict() for activation in self.activations],
            "units": self.units,
        }


def activity_of(
    traced: NamedLayer, layer: Layer, units: Sequence[int], unit_count: int
) -> LayerActivity:
    """Summarise the values of a layer from its trace. units: which to draw; if empty, the
    `unit_count` whose state varies most, in ascending order."""
    hidden_TH = _array(traced.layer.hidden_TBH)
    cell_TBH = traced.layer.cell_TBH
    cell_TH = None if cell_TBH is None else _array(cell_TBH)
    gates = {name: _array(values) for name, values in traced.layer.gates.items()}
    state_TH = hidden_TH if cell_TH is None else cell_TH

    return LayerActivity(
        traced.name,
        hidden_TH,
        cell_TH,
        gates,
        rewritten_T=layer.given_up({name: values.mean(axis=1) for name, values in gates.items()}),
        changed_T=changed(state_TH, is_backward=traced.name.endswith(BACKWARD)),
        activations=tuple(
            _activation_statistics(name, activation, values_TH)
            for name, activation, values_TH in activated(traced)
        ),
        units=tuple(units) or most_varied(state_TH, unit_count),
    )


def activated(traced: NamedLayer) -> list[tuple[str, Activation, np.ndarray]]:
    """Return the name, activation and values (T, H) of everything in a layer that has an activation
    function: gates, the hidden state, the tanh of a cell."""
    layer, module = traced.layer, traced.module
    found = []
    for name, activation in module.activations().items():
        if name == CELL and layer.cell_TBH is not None:
            values_TH = np.tanh(_array(module.normalised(layer.cell_TBH)))
        elif name == HIDDEN:
            # A window of words with direct connections hands on more than its hidden units.
            values_TH = _array(layer.hidden_TBH)[:, : module.width]
        else:
            values_TH = _array(layer.gates[name])
        found.append((name, activation, values_TH))
    return found


def most_varied(values_TH: np.ndarray, count: int) -> tuple[int, ...]:
    """Return the `count` columns with the largest variance over words, in ascending order; of
    equal ones the first."""
    return tuple(sorted(np.argsort(-values_TH.var(axis=0), kind="stable")[:count].tolist()))


def changed(state_TH: np.ndarray, is_backward: bool = False) -> np.ndarray:
    """Return how far the state moves at each word, (T,), starting from zeros. is_backward: it
    starts at the last word."""
    if is_backward:
        return changed(state_TH[::-1])[::-1]
    before_TH = np.concatenate([np.zeros_like(state_TH[:1]), state_TH[:-1]])
    moved_T = np.linalg.norm(state_TH - before_TH, axis=1)
    lengths_T = np.linalg.norm(state_TH, axis=1) + np.linalg.norm(before_TH, axis=1)
    return np.asarray(moved_T / np.where(lengths_T > 0, lengths_T, 1))


def _activation_statistics(
    name: str, activation: Activation, y: np.ndarray
) -> ActivationStatistics:
    slopes = activation.derivative(y)
    below = None if activation.low is None else float(activation.is_low(y).mean())
    above = None if activation.high is None else float(activation.is_high(y).mean())
    quantiles = tuple(np.quantile(slopes, QUANTILES).tolist())
    return ActivationStatistics(
        name, activation.name, below, above, float(slopes.mean()), quantiles
    )


def _array(values_TBH: Array) -> np.ndarray:
    return np.asarray(values_TBH[:, 0].detach().double().cpu().numpy())


def _rounded(values: np.ndarray | None) -> np.ndarray | None:
    return None if values is None else values.round(DECIMALS)


# ---- `rnnlm inspect gates`: the units of a network at each word of a line: hidden states, cells,
# gates, and the derivatives of their activations.

MOST_UNITS = 16  # drawn by default
STATE = "Share of the state that each token rewrites, and by how much it changes the state (0 to 1)"
ACTIVATIONS = (
    "Activations: shares saturated at the lower and at the upper end of their range; mean "
    "and quantiles of derivatives"
)


@dataclass(frozen=True, repr=False)
class GatesInspection(Inspection):
    """The gates of a model's layers at each of T tokens of a line.

    Attributes:
        model: Name of the model.
        task: Task of the model.
        kind: Kind of model.
        tokens: The tokens.
        layers: Activity of each layer.
    """

    model: str
    task: str
    kind: str
    tokens: tuple[str, ...]
    layers: tuple[LayerActivity, ...]

    @property
    def verdict(self) -> str:
        """How much of its state each layer rewrites, and how much of its activations is
        saturated."""
        parts = [
            f"{layer.name} {self._state_changes(layer)}; {_saturation(layer)}"
            for layer in self.layers
        ]
        return f"{self.model}: {'; '.join(parts)}."

    def _state_changes(self, layer: LayerActivity) -> str:
        """Say how much of its state a layer rewrites, or how far the state moves."""
        if layer.rewritten_T is not None:
            top = int(layer.rewritten_T.argmax())
            return (
                f"rewrites {layer.rewritten_T.mean():.0%} of its state at each token on average, "
                f"and most at '{self.tokens[top]}' ({layer.rewritten_T[top]:.0%})"
            )
        if len(self.tokens) == 1:
            return "has no gate that keeps its state"
        top = int(layer.changed_T[1:].argmax()) + 1  # the first token always changes all
        return (
            f"has no gate that keeps its state, which changes by {layer.changed_T[1:].mean():.2f} "
            "at each token on average (0: not at all, 1: altogether), most at "
            f"'{self.tokens[top]}'"
        )

    def tables(self) -> Sequence[Table]:
        """Return how much of its state each layer rewrites at each token, and the activations of
        each layer."""
        # A row for each token.
        names, columns = ["token"], []
        for layer in self.layers:
            for what, values in (("rewritten", layer.rewritten_T), ("changed", layer.changed_T)):
                if values is not None:
                    names.append(f"{layer.name}, {what}")
                    columns.append(values.tolist())
        by_token = Table(tuple(names), tuple(zip(self.tokens, *columns, strict=True)), STATE)

        # A row for each activation of each layer.
        heads = (
            *("layer", "gate", "activation", "saturated low", "saturated high", "mean derivative"),
            *("median" if quantile == 0.5 else f"{100 * quantile:g} %" for quantile in QUANTILES),
        )
        rows = []
        for layer in self.layers:
            for statistics in layer.activations:
                saturated = (statistics.below, statistics.above)
                slopes = (statistics.derivative_mean, *statistics.derivative_quantiles)
                rows.append(
                    (layer.name, statistics.gate, statistics.activation, *saturated, *slopes)
                )
        return [by_token, Table(heads, tuple(rows), ACTIVATIONS)]

    def to_dict(self) -> dict[str, Any]:
        """Return all values of all units."""
        layers = [layer.to_dict() for layer in self.layers]
        return dict(to_builtins(vars(self) | {"layers": layers}))

    def figure(self, axes: "Axes | None" = None) -> "Figure":
        """Draw heat maps of the chosen units, a row for each layer.

        Args:
            axes: Draw there instead of in a new figure; only if the picture has one panel.
        """
        return draw(self.model, self.tokens, self.layers, axes)


def inspect_gates(
    model: Model,
    sentence: str,
    *,
    units: Sequence[int] = (),
    unit_count: int = MOST_UNITS,
    device: str | Device = "auto",
) -> GatesInspection:
    """Show gates, cells and hidden states of every layer of a network of any task at each token of
    one line.

    model: a model or its name; encoder-decoders are shown reading a source. units: numbers, from 0
    on, of the units to draw; if empty, in each layer the `unit_count` whose state varies most over
    the tokens. device: where to load a model given by name.

    Raises:
        UsageError: the model has no such layers, or a layer no such unit.
        TextError: the sentence is empty, or holds a newline, `<s>` or `</s>`.
        ModelError: there is no such model, or it is damaged.
    """
    if unit_count < 1:
        raise UsageError(f"unit_count = {unit_count} is not valid: draw at least one unit")
    sentence = checked_sentence(sentence)
    [inspected] = load_models_for("gates", (model,), device)
    line = inspected.model.trace_line(sentence)
    reader = inspected.model.layer_reader()
    tell_unknown(reader.lines_read([sentence]), reader.tokenizer)
    layers = named_layers(inspected.model.network)

    # Refuse units that a layer does not have.
    for traced in line.layers:
        width = layers[traced.name].width
        wrong = [unit for unit in units if not 0 <= unit < width]
        if wrong:
            raise UsageError(
                f"there is no unit {wrong[0]} in {traced.name}",
                f"it has {width} units",
                f"name units from 0 to {width - 1}",
            )

    activities = [
        activity_of(traced, layers[traced.name], units, unit_count) for traced in line.layers
    ]
    return GatesInspection(
        inspected.name, inspected.task, inspected.kind, tuple(line.tokens), tuple(activities)
    )


def _saturation(layer: LayerActivity) -> str:
    """Name the activation of a layer that is saturated most often, or the derivatives of
    activations that cannot be."""
    # Only activations with two bounds can be saturated at both.
    bounded = []
    for stats in layer.activations:
        if stats.above is not None and stats.below is not None:
            bounded.append((stats.above + stats.below, stats))
    if not bounded:
        return ", ".join(
            f"the mean derivative of its {stats.activation} is {stats.derivative_mean:.2g}"
            for stats in layer.activations
        )

    saturated, most = max(bounded, key=lambda pair: pair[0])
    if not saturated:
        return "nothing in it is saturated"
    is_gate = most.gate in ("input", "forget", "output", "reset", "update")
    return (
        f"its {most.gate}{' gate' if is_gate else ''} is saturated most often ({most.below:.0%} at "
        f"the lower end of its range, {most.above:.0%} at the upper), with a mean derivative of "
        f"{most.derivative_mean:.2g}"
    )


# ---- Heat maps of units over the tokens of a line: hidden state, cell and gates of each layer,
# two in a row where the line is short.

SIGNED, SHARES = "RdBu_r", "viridis"  # colour maps
BESIDE_WORDS = 1.4  # inches: numbers of units on the left, and the colour bar
ABOVE_MAP, AROUND = 0.55, 1.3  # inches: titles of a row; heading and words
INCHES_PER_UNIT, LOWEST_MAP, HIGHEST_MAP = 0.1, 1.0, 4.0
FEW_UNITS, UNITS_ON_A_SLIDE = 10, 16
GATE = "0: closed, 1: open"
# Title, values, units, colours, range, name of the values
Panel = tuple[str, np.ndarray, tuple[int, ...], str, tuple[float, float], str]


def draw(
    model: str, tokens: Sequence[str], layers: Sequence[LayerActivity], axes: "Axes | None" = None
) -> "Figure":
    """Draw the chosen units of each layer, each layer in rows that no other shares."""
    # Two maps lie side by side if all words can be written below each.
    words_below = int((WIDEST / 2 - BESIDE_WORDS) / INCHES_PER_LABEL)
    in_row = 2
    if len(tokens) > words_below:
        in_row, words_below = 1, MOST_LABELS
    rows = []
    for layer in layers:
        panels = _panels(layer)
        rows += [panels[start : start + in_row] for start in range(0, len(panels), in_row)]

    # A row with fewer panels than others leaves its last places empty.
    columns = max(map(len, rows))
    labels: list[tuple[str, str, str] | None] = []
    for row in rows:
        labels += [(title, "", "unit") for title, *_ in row]
        labels += [None] * (columns - len(row))

    width = min(WIDEST, columns * (BESIDE_WORDS + INCHES_PER_LABEL * max(words_below, 8)))
    # Each unit has its number beside it where there are few.
    most = max(len(layer.units) for layer in layers)
    map_inches = max(INCHES_PER_UNIT * most, INCHES_PER_LABEL * min(most, FEW_UNITS))
    # Three rows, as an LSTM has, fit on a slide; many units need more space.
    map_inches = min(max(map_inches, LOWEST_MAP), HIGHEST_MAP)
    if most <= UNITS_ON_A_SLIDE:
        on_a_slide = (TALLEST - AROUND) / len(rows) - ABOVE_MAP
        map_inches = max(min(map_inches, on_a_slide), LOWEST_MAP)
    height = AROUND + len(rows) * (ABOVE_MAP + map_inches)
    heading = f"What units of {short_name(model)} do at each token: {_describe_units(layers)}"
    figure, places = new_panels(labels, width, height, columns, axes, heading=heading)

    # The words are written once, below the last row.
    units_beside = round(map_inches / INCHES_PER_LABEL)
    drawn = list(itertools.chain.from_iterable(rows))
    for number, (place, panel) in enumerate(zip(places, drawn, strict=True)):
        _, values_TH, units, colours, (lowest, highest), quantity = panel
        is_last = number >= len(drawn) - columns
        place.set_xlabel("token read" if is_last else "")
        draw_heat_map(
            place,
            values_TH[:, list(units)].T,
            tokens,
            list(map(str, units)),
            colours,
            lowest=lowest,
            highest=highest,
            label=quantity,
            most=words_below if is_last else 0,
            most_down=units_beside,
        )
    return figure


def _describe_units(layers: Sequence[LayerActivity]) -> str:
    """Say which units the maps show."""
    shown, has_all, is_varied = set(), True, True
    for layer in layers:
        state_TH = layer.hidden_TH if layer.cell_TH is None else layer.cell_TH
        shown.add(len(layer.units))
        has_all &= len(layer.units) == state_TH.shape[1]
        is_varied &= layer.units == most_varied(state_TH, len(layer.units))
    of_each = " of each layer" if len(layers) > 1 else ""
    if has_all:
        return f"all{of_each}"
    if not is_varied:
        return f"those chosen{of_each}"
    counts = f"{min(shown)}" if len(shown) == 1 else f"up to {max(shown)}"
    return f"the {counts}{of_each} whose state varies most"


def _panels(layer: LayerActivity) -> list[Panel]:
    """Return the heat maps of a layer."""
    # States may have any size, so each has its own symmetric range.
    states = {"hidden": layer.hidden_TH}
    if layer.cell_TH is not None:
        states["cell"] = layer.cell_TH
    panels: list[Panel] = []
    for name, values in states.items():
        largest = robust_highest(np.abs(values[:, list(layer.units)])) or 1.0
        title, limits = f"{layer.name}, {name}", (-largest, largest)
        panels.append((title, values, layer.units, SIGNED, limits, "value"))

    # Gates have a fixed range. Odd rounds of a Mogrifier gate its input, which has other units.
    for name, values in layer.gates.items():
        title, units = f"{layer.name}, {name}", layer.units
        colours, limits, quantity = SHARES, (0.0, 1.0), GATE
        if name == "candidate":
            colours, limits, quantity = SIGNED, (-1.0, 1.0), "value"
        if name.startswith("round"):
            limits, quantity = (0.0, 2.0), "factor"
            is_of_input = int(name.split()[1]) % 2 == 1
            title += ", of the input" if is_of_input else ", of hidden"
            if is_of_input:
                units = most_varied(values, len(layer.units))
        panels.append((title, values, units, colours, limits, quantity))
    return panels
