"""Rank the units of a network by their response to features of a text, and colour the text by one
unit (after Karpathy, Johnson & Li 2016); count saturated and dead units."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnlm.errors import TextError, UsageError, visible
from rnnlm.evaluation import plotting
from rnnlm.evaluation.resampling import Interval, jackknife_interval
from rnnlm.interface import BOUNDARY, Device
from rnnlm.lm.neural.activations import Activation
from rnnlm.tabular import Table, to_builtins
from rnnlm.text.corpus import Text
from rnnlm.text.lines import Progress, TextSettings, is_blank, silent
from rnnlm.tools.inspection.common import Inspection, Model, Source, load_model_for, open_source
from rnnlm.tools.inspection.gates import activated

# ---- Features to compare units with: properties of the text, a number for each token of a line.
#
# Shapes: T tokens of a text, F features, U units of all layers.

OPENING, CLOSING = "([{", ")]}"
QUOTE = '"'
OPENING_QUOTES, CLOSING_QUOTES = ("\u201c", "``"), ("\u201d", "''")
FEATURES = {
    "quotes": "1 inside a quotation",
    "brackets": "how many brackets are open",
    "line length": "characters of the line so far",
    "position": "tokens of the line so far",
    "number": "1 at a token with a digit",
}


def features_of(tokens: Sequence[str]) -> np.ndarray:
    """Return the features of a line at each of its tokens, (T, F), once the token is read. At a
    boundary all are 0."""
    is_quoted = False
    depth = characters = position = 0
    rows: list[tuple[float, ...]] = []
    for token in tokens:
        if token == BOUNDARY:
            rows.append((0.0,) * len(FEATURES))
            continue
        # A plain quotation mark opens and closes.
        if token in OPENING_QUOTES:
            is_quoted = True
        elif token in CLOSING_QUOTES:
            is_quoted = False
        elif token.count(QUOTE) % 2:
            is_quoted = not is_quoted
        for character in token:
            depth += character in OPENING
            depth -= character in CLOSING and depth > 0
        characters += len(token)
        position += 1
        has_digit = any(character.isdigit() for character in token)
        rows.append((is_quoted, depth, characters, position, has_digit))
    return np.array(rows, dtype=np.float64).reshape(-1, len(FEATURES))


# ---- The values of all units over a text.

MOST_TOKENS = 20_000  # read of a text


@dataclass(frozen=True)
class Reading:
    """The U units of a network over T tokens of a text, with F features of the text.

    Attributes:
        tokens: The tokens.
        starts: Where each line begins.
        units: Layer and number of each unit.
        values_TU: State after each token, (T, U): the cell, or the hidden state if a layer has no
            cell.
        features_TF: Features of the text at each token, (T, F).
    """

    tokens: tuple[str, ...]
    starts: tuple[int, ...]
    units: tuple[tuple[str, int], ...]
    values_TU: np.ndarray
    features_TF: np.ndarray

    def name(self, place: int) -> str:
        """Return the name of a unit.

        Args:
            place: Number of the unit among all units.
        """
        layer, number = self.units[place]
        return f"unit {number} of {layer}"


def read(model: Any, text: Text, progress: Progress) -> Reading:
    """Read a text line by line, each from the initial state."""
    # The arrays of each line, to be joined at the end.
    tokens: list[str] = []
    starts: list[int] = []
    values: list[np.ndarray] = []
    features: list[np.ndarray] = []
    units: list[tuple[str, int]] = []
    for line in _lines(text):
        traced = model.trace_line(line)
        states = []
        for named in traced.layers:
            layer = named.layer
            state = layer.hidden_TBH if layer.cell_TBH is None else layer.cell_TBH
            states.append(state[:, 0].detach().double().cpu().numpy())
            if not values:
                units += [(named.name, number) for number in range(state.shape[2])]
        values.append(np.concatenate(states, axis=1))

        features.append(features_of(traced.tokens))
        starts.append(len(tokens))
        tokens += traced.tokens
        progress(f"{len(tokens):,} tokens")
        if len(tokens) >= MOST_TOKENS:
            break
    if not values:
        raise TextError("there is nothing to read", "the text has no words")
    return Reading(
        tuple(tokens), tuple(starts), tuple(units), np.concatenate(values), np.concatenate(features)
    )


def _lines(text: Text) -> Iterator[str]:
    """Yield the lines of a text that have words."""
    for block in text.blocks():
        yield from itertools.filterfalse(is_blank, block.lines)


# ---- Correlations of units with features.


def correlations(values_TU: np.ndarray, features_TF: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation of each feature with each unit, (F, U); NaN where either never
    changes."""
    values_TU = values_TU - values_TU.mean(axis=0)
    features_TF = features_TF - features_TF.mean(axis=0)
    products_FU = features_TF.T @ values_TU
    with np.errstate(divide="ignore", invalid="ignore"):
        lengths_FU = np.outer(
            np.linalg.norm(features_TF, axis=0), np.linalg.norm(values_TU, axis=0)
        )
        return np.asarray(np.where(lengths_FU > 0, products_FU / lengths_FU, np.nan))


def correlation_interval(x_T: np.ndarray, y_T: np.ndarray, starts: Sequence[int]) -> Interval:
    """Return a correlation with its 95 % interval: lines are left out, as tokens of one line depend
    on each other."""
    x_T, y_T = x_T - x_T.mean(), y_T - y_T.mean()
    products = (np.ones_like(x_T), x_T, y_T, x_T * x_T, y_T * y_T, x_T * y_T)
    sums_L6 = np.stack([np.add.reduceat(product_T, starts) for product_T in products], axis=1)
    total_6 = sums_L6.sum(axis=0)
    left_L = _correlation(total_6 - sums_L6)
    return jackknife_interval(float(_correlation(total_6)), left_L, least=-1.0, most=1.0)


def _correlation(sums: np.ndarray) -> np.ndarray:
    """Return the correlation that follows from the sums of 1, x, y, xx, yy and xy on the last
    axis; NaN where x or y never changes."""
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((n * xy - x * y) / np.sqrt((n * xx - x * x) * (n * yy - y * y)))


# ---- `rnnlm inspect units`.

RESPONSES = "Units by how closely they follow a property of the text (Pearson's correlation)"
EXTREMES = "Tokens after which {} is lowest and highest, on average"
WEAK = 0.3  # correlations below are not worth a sentence
EXTREME_TOKENS = 5
SHOWN_CHARACTERS, CHARACTERS_ACROSS = 900, 72


@dataclass(frozen=True)
class Response:
    """The correlation of a unit with a feature of the text.

    Attributes:
        feature: Name of the feature.
        place: Number of the unit among all units.
        correlation: Correlation, -1 to 1, with its interval.
    """

    feature: str
    place: int
    correlation: Interval


@dataclass(frozen=True, repr=False)
class UnitsInspection(Inspection):
    """The units of a model over a text.

    Attributes:
        model: Name of the model.
        reading: Units and features over the text.
        correlations_FU: Correlation of each of F features with each of U units, (F, U).
        responses: Units that follow each feature most closely, closest first.
        chosen: Number, among all units, of the unit in the picture.
        is_requested: Whether the caller chose this unit.
    """

    model: str
    reading: Reading
    correlations_FU: np.ndarray
    responses: tuple[Response, ...]
    chosen: int
    is_requested: bool

    @property
    def verdict(self) -> str:
        """Which unit follows which property most closely."""
        name = self.reading.name(self.chosen)
        if self.is_requested:
            found, nothing = list(self.correlations_FU[:, self.chosen]), f"{name} follows none"
        else:
            found = [response.correlation.estimate for response in self.responses]
            nothing = "no unit follows any"
        if np.abs(np.nan_to_num(found)).max(initial=0) < WEAK:
            return f"{self.model}: {nothing} of these properties (|r| is below {WEAK:g})."

        # The feature that the chosen unit follows most closely.
        feature = int(np.nanargmax(np.abs(self.correlations_FU[:, self.chosen])))
        interval = correlation_interval(
            self.reading.values_TU[:, self.chosen],
            self.reading.features_TF[:, feature],
            self.reading.starts,
        )
        name_of_feature, meaning = list(FEATURES.items())[feature]
        return (
            f"{self.model}: {name} follows {name_of_feature} ({meaning}): "
            f"r = {interval.estimate:z.2f}, "
            f"95 % interval {interval.written(lambda bound: f'{bound:z.2f}')}."
        )

    def tables(self) -> Sequence[Table]:
        """Return the units that follow each feature and, for a unit that the caller chose, the
        tokens after which it is lowest and highest."""
        rows = []
        for response in self.responses:
            unit, interval = self.reading.units[response.place], response.correlation
            numbers = (interval.estimate, interval.low, interval.high)
            rows.append((response.feature, *unit, *numbers, FEATURES[response.feature]))
        heads = ("property", "layer", "unit", "r", "low", "high", "meaning")
        tables = [Table(heads, tuple(rows), RESPONSES)]
        if self.is_requested:
            title = EXTREMES.format(self.reading.name(self.chosen))

            # The tokens with the lowest and the highest mean value of the chosen unit.
            names, which_T = np.unique(np.array(self.reading.tokens), return_inverse=True)
            counts = np.bincount(which_T)
            means = np.bincount(which_T, self.reading.values_TU[:, self.chosen]) / counts
            order = np.argsort(means, kind="stable").tolist()
            if len(order) > 2 * EXTREME_TOKENS:
                order = order[:EXTREME_TOKENS] + order[-EXTREME_TOKENS:]
            extremes = [
                (visible(str(names[at])), float(means[at]), int(counts[at])) for at in order
            ]
            tables.append(Table(("token", "mean", "times"), tuple(extremes), title))
        return tables

    def to_dict(self) -> dict[str, Any]:
        """Return the correlations of all units; of the chosen one, all values."""
        layers: dict[str, dict[str, list[float]]] = {}
        for feature, of_units_U in zip(FEATURES, self.correlations_FU, strict=True):
            for (layer, _), value in zip(self.reading.units, of_units_U, strict=True):
                layers.setdefault(layer, {}).setdefault(feature, []).append(float(value))
        layer, number = self.reading.units[self.chosen]
        responses = []
        for response in self.responses:
            of_layer, of_number = self.reading.units[response.place]
            interval = response.correlation
            responses.append(
                {"property": response.feature, "layer": of_layer, "unit": of_number,
                 "correlation": interval.estimate, "low": interval.low, "high": interval.high}
            )  # fmt: skip
        content = {
            "model": self.model,
            "tokens": len(self.reading.tokens),
            "responses": responses,
            "correlations": layers,
            "unit": {
                "layer": layer,
                "unit": number,
                "tokens": self.reading.tokens,
                "values": self.reading.values_TU[:, self.chosen],
            },
        }
        return dict(to_builtins(content))

    def figure(self, axes: "plotting.Axes | None" = None) -> "plotting.Figure":
        """Draw the beginning of the text, coloured by the chosen unit.

        Args:
            axes: Draw there instead of in a new figure.
        """
        plotting.imported_matplotlib()
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize
        from matplotlib.patches import Rectangle

        rows = self._rows()
        title = f"{plotting.short_name(self.model)}: {self.reading.name(self.chosen)}"
        height = 0.9 + 0.22 * len(rows)
        figure, [panel] = plotting.new_panels([(title, "", "")], height=height, axes=axes)
        values_T = self.reading.values_TU[:, self.chosen]
        most = max(float(np.abs(values_T).max()), 1e-9)
        colours = ScalarMappable(Normalize(-most, most), "RdBu_r")

        # Each token is a box as wide as its characters.
        for row, tokens in enumerate(rows):
            for column, place in tokens:
                token = visible(self.reading.tokens[place])
                # The letters are black on light colours, and white on dark ones.
                colour = colours.to_rgba(values_T[place])
                is_light = np.dot(colour[:3], (0.299, 0.587, 0.114)) > 0.5
                panel.add_patch(Rectangle((column, row - 0.45), len(token), 0.9, facecolor=colour))
                panel.text(
                    column + len(token) / 2, row, token, ha="center", va="center",
                    color="black" if is_light else "white", fontsize=plotting.SMALL,
                    family="monospace", parse_math=False,
                )  # fmt: skip
        panel.set(xlim=(0, CHARACTERS_ACROSS), ylim=(len(rows) - 0.5, -0.5))
        panel.set_axis_off()
        figure.colorbar(colours, ax=panel, label="value of the unit")
        return figure

    def _rows(self) -> list[list[tuple[int, int]]]:
        """Return the (column, place) of each token that the picture shows, row by row."""
        rows: list[list[tuple[int, int]]] = []

        # Place the tokens as a page of text: a row ends with its line, or where it is full.
        shown = 0
        starts = {*self.reading.starts}
        column = CHARACTERS_ACROSS
        between = 0 if all(len(token) < 2 for token in self.reading.tokens[1:50]) else 1
        for place, token in enumerate(self.reading.tokens):
            width = len(visible(token))
            if token == BOUNDARY:
                column = CHARACTERS_ACROSS  # the next token begins a line
                continue
            if place in starts or column + width > CHARACTERS_ACROSS:
                if shown >= SHOWN_CHARACTERS:
                    break
                rows.append([])
                column = 0
            rows[-1].append((column, place))
            column += width + between
            shown += width + between
        return rows


def inspect_units(
    model: Model,
    text: Source | None = None,
    *,
    unit: int | None = None,
    layer: int = 1,
    most: int = 3,
    text_settings: TextSettings | None = None,
    device: str | Device = "auto",
    progress: Progress = silent,
) -> UnitsInspection:
    """Rank the units of a network by how closely they follow features of a text: quotations, open
    brackets, the length of the line, the position in it, numbers (after Karpathy et al. 2016).

    A unit is a number of a layer's state: of its cell, or of its hidden state where it has no cell.
    Each line is read from the initial state, at most 20,000 tokens in all. Correlations are
    Pearson's, with intervals from leaving out each line.

    text: one or several, or the name of a bundled corpus; None: the test part of the bundled
    English. unit: a number from 0 on, of `layer` (from 1), which the picture shows; None: the unit
    of the largest correlation. most: how many units to list for each property.

    Raises:
        UsageError: the model has no such layers or no such unit.
        TextError: the text cannot be read, or has no words.
        ModelError: there is no such model, or it is damaged.
    """
    if most < 1:
        raise UsageError(f"most = {most} is too small", hint="it must be 1 or more")
    source = open_source(text, text_settings)
    inspected = load_model_for("units", model, device)
    reading = read(inspected.model, source, progress)
    correlations_FU = correlations(reading.values_TU, reading.features_TF)

    # The closest units of each property, but for properties that the text does not have.
    responses = []
    closeness_FU = np.nan_to_num(np.abs(correlations_FU), nan=-1)
    of_features = zip(FEATURES, reading.features_TF.T, closeness_FU, strict=True)
    for feature, features_T, closeness_U in of_features:
        for place in np.argsort(-closeness_U, kind="stable")[:most].tolist():
            if closeness_U[place] >= 0:
                values_T = reading.values_TU[:, place]
                interval = correlation_interval(values_T, features_T, reading.starts)
                responses.append(Response(feature, place, interval))

    if unit is None:
        chosen = int(closeness_FU.max(axis=0).argmax())
    else:
        # The place of a unit of a layer among all units.
        layers = list(dict.fromkeys(name for name, _ in reading.units))
        if not 1 <= layer <= len(layers):
            raise UsageError(f"there is no layer {layer}", f"there are {len(layers)}")
        width = sum(name == layers[layer - 1] for name, _ in reading.units)
        if not 0 <= unit < width:
            raise UsageError(
                f"there is no unit {unit} in {layers[layer - 1]}",
                f"it has {width} units",
                f"name a unit from 0 to {width - 1}",
            )
        chosen = reading.units.index((layers[layer - 1], unit))
    return UnitsInspection(
        model=inspected.name,
        reading=reading,
        correlations_FU=correlations_FU,
        responses=tuple(responses),
        chosen=chosen,
        is_requested=unit is not None,
    )


# ---- `rnnlm inspect units --saturation`: how often units are at an end of their range (Glorot &
# Bengio 2010), and which are there at every position of a text. Hardly any gradient passes these,
# so that they learn nothing from it.

SATURATED = "Shares of positions at which units are saturated; dead: saturated at all of them"
PANELS_ACROSS = 3
NAMED_UNITS = 3  # of the dead ones, in the sentence


@dataclass(frozen=True)
class Saturation:
    """How often the H units of a layer, or of one of its gates, are saturated.

    Attributes:
        layer: Name of the layer.
        gate: Name of the gate, or "hidden state" or "tanh of the cell".
        activation: The activation function, with its bounds.
        positions: Number of positions: tokens, texts, or nodes of trees.
        low_H: Number of positions at which each unit is saturated at the lower bound, (H,).
        high_H: The same at the upper bound.
    """

    layer: str
    gate: str
    activation: Activation
    positions: int
    low_H: np.ndarray
    high_H: np.ndarray

    @property
    def dead(self) -> tuple[int, ...]:
        """Units that are saturated at every position."""
        return tuple(np.flatnonzero(self.low_H + self.high_H == self.positions).tolist())

    @property
    def share_H(self) -> np.ndarray:
        """Share of positions at which each unit is saturated, 0 to 1."""
        return np.asarray((self.low_H + self.high_H) / self.positions)

    @property
    def ends(self) -> tuple[float | None, float | None]:
        """Mean share of positions at which a unit is saturated at the lower and at the upper bound;
        None without such a bound."""
        low = None if self.activation.low is None else float(self.low_H.mean() / self.positions)
        high = None if self.activation.high is None else float(self.high_H.mean() / self.positions)
        return low, high


@dataclass(frozen=True, repr=False)
class SaturationInspection(Inspection):
    """The saturated units of a model over a text.

    Attributes:
        model: Name of the model.
        parts: Saturation of each layer or gate.
    """

    model: str
    parts: tuple[Saturation, ...]

    @property
    def verdict(self) -> str:
        """How many units are dead, and what is saturated most often."""
        dead = [f"{part.layer}, {part.gate} {unit}" for part in self.parts for unit in part.dead]
        names = "; ".join([*dead[:NAMED_UNITS], *["..."] * (len(dead) > NAMED_UNITS)])
        units = sum(len(part.low_H) for part in self.parts)
        top = max(self.parts, key=lambda part: float(part.share_H.mean()))
        return (
            f"{self.model}: {len(dead)} of {units:,} units and gates are dead"
            f"{f' ({names})' if dead else ''}; saturated most often: {top.layer}, {top.gate} "
            f"({top.share_H.mean():.1%} of positions)."
        )

    def tables(self) -> Sequence[Table]:
        """Return a row for each layer or gate."""
        heads = (
            "layer", "gate", "activation", "positions", "saturated low", "saturated high",
            "units", "dead", "most saturated", "its share",
        )  # fmt: skip
        rows = []
        for part in self.parts:
            top = int(part.share_H.argmax())
            counts = (len(part.low_H), len(part.dead), top, float(part.share_H[top]))
            rows.append(
                (part.layer, part.gate, part.activation.name, part.positions, *part.ends, *counts)
            )
        return [Table(heads, tuple(rows), SATURATED)]

    def to_dict(self) -> dict[str, Any]:
        """Return the shares of all units."""
        parts = [
            {
                "layer": part.layer,
                "gate": part.gate,
                "activation": part.activation.name,
                "positions": part.positions,
                "low": part.low_H / part.positions,
                "high": part.high_H / part.positions,
                "dead": part.dead,
            }
            for part in self.parts
        ]
        return dict(to_builtins({"model": self.model, "parts": parts}))

    def figure(self, axes: "plotting.Axes | None" = None) -> "plotting.Figure":
        """Draw the shares of all units, the most saturated first, a panel for each layer or gate.

        Args:
            axes: Draw there instead of in a new figure; only if the picture has one panel.
        """
        across = min(PANELS_ACROSS, len(self.parts))
        height = 1.2 + 2.2 * -(-len(self.parts) // across)
        labels = []
        for part in self.parts:
            title = f"{part.layer}, {part.gate}: {len(part.dead)} dead"
            labels.append((title, "units, most saturated first", "share of positions"))
        heading = f"Saturated units of {plotting.short_name(self.model)}"
        figure, panels = plotting.new_panels(
            labels, height=height, columns=across, axes=axes, heading=heading
        )
        for panel, part in zip(panels, self.parts, strict=True):
            order = np.argsort(-part.share_H, kind="stable")
            low_H, high_H = part.low_H[order] / part.positions, part.high_H[order] / part.positions
            x = np.arange(len(order))
            panel.bar(x, low_H, 1.0, label="at the lower end")
            panel.bar(x, high_H, 1.0, bottom=low_H, label="at the upper end")
            panel.set(xlim=(-0.5, len(order) - 0.5), ylim=(0, 1))
        plotting.legend_below(figure, panels[0])
        return figure


def inspect_saturation(
    model: Model,
    text: Source | None = None,
    *,
    text_settings: TextSettings | None = None,
    device: str | Device = "auto",
    progress: Progress = silent,
) -> SaturationInspection:
    """Count at how many positions of a text each unit and gate of a network is saturated: within
    0.1 of an end of its range (tanh beyond -0.9 and 0.9, sigmoid below 0.1 or above 0.9), a ReLU
    where it is 0. Units that are saturated at every position are dead.

    Positions are tokens; of a bag of words or of filters texts, of a network over trees the nodes
    above the words. Each line is read from the initial state, at most 20,000 tokens in all. An
    encoder-decoder shows its encoder.

    text: one or several, or the name of a bundled corpus; None: the test part of the bundled
    English.

    Raises:
        UsageError: the model has no units with an activation function.
        TextError: the text cannot be read, or has no words.
        ModelError: there is no such model, or it is damaged.
    """
    source = open_source(text, text_settings)
    inspected = load_model_for("units --saturation", model, device)
    tokens = 0
    parts: dict[tuple[str, str], Saturation] = {}
    for line in _lines(source):
        traced = inspected.model.trace_line(line)
        for layer in traced.layers:
            # A tree of one word has no nodes above it.
            for gate, activation, y_TH in activated(layer) if layer.layer.steps else ():
                low_H, high_H = activation.is_low(y_TH).sum(0), activation.is_high(y_TH).sum(0)
                positions = len(y_TH)
                before = parts.get((layer.name, gate))
                if before is not None:
                    positions += before.positions
                    low_H, high_H = low_H + before.low_H, high_H + before.high_H
                parts[layer.name, gate] = Saturation(
                    layer.name, gate, activation, positions, low_H, high_H
                )
        tokens += len(traced.tokens)
        progress(f"{tokens:,} tokens")
        if tokens >= MOST_TOKENS:
            break
    if not tokens:
        raise TextError("there is nothing to read", "the text has no words")
    if not parts:
        raise UsageError(
            f"inspect units --saturation has nothing to show for {inspected.name}",
            "no layer with an activation function reads this text",
        )
    return SaturationInspection(inspected.name, tuple(parts.values()))
