"""Heat maps of units over the tokens of a line: hidden state, cell and gates of each layer, rows of three below each other."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from rnnlm.errors import visible
from rnnlm.evaluation.plotting import new_panels
from rnnlm.inspection.gates.layer_activity import LayerActivity, most_varied

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIGNED, SHARES = "RdBu_r", "viridis"  # maps of colours
COLUMNS = 3
MOST_LABELS = 40  # of tokens below a panel
LONGEST_TOKEN = 14  # characters of a label
Panel = tuple[str, np.ndarray, tuple[int, ...], str, tuple[float, float]]  # title, values, units, colours, range


def draw(tokens: Sequence[str], layers: Sequence[LayerActivity]) -> "Figure":
    """The chosen units of each layer."""
    rows = [row for layer in layers for row in _in_rows(_panels(layer))]
    columns = max(map(len, rows))
    labels = [(title, "", "unit") for row in rows for title, *_ in row]
    width = min(1.6 + 0.22 * len(tokens), 6.0)
    height = 1.4 + 0.16 * max(len(layer.units) for layer in layers)
    figure, panels = new_panels(labels, columns * width, len(rows) * height)
    grid, drawn = figure.add_gridspec(len(rows), columns), iter(panels)
    for number, row in enumerate(rows):
        for column, (_, values_TH, units, colours, limit) in enumerate(row):
            axes = next(drawn)
            axes.set_subplotspec(grid[number, column])
            _heat_map(axes, tokens, values_TH[:, list(units)], units, colours, limit)
    return figure


def _in_rows(panels: list[Panel]) -> list[list[Panel]]:
    return [panels[start : start + COLUMNS] for start in range(0, len(panels), COLUMNS)]


def _panels(layer: LayerActivity) -> list[Panel]:
    """The heat maps of a layer. What a Mogrifier gates of its input has units of its own."""
    largest = float(np.abs(layer.hidden_TH).max()) or 1.0
    found: list[Panel] = [(f"{layer.name}, hidden", layer.hidden_TH, layer.units, SIGNED, (-largest, largest))]
    if layer.cell_TH is not None:
        largest = float(np.abs(layer.cell_TH).max()) or 1.0
        found.append((f"{layer.name}, cell", layer.cell_TH, layer.units, SIGNED, (-largest, largest)))
    for name, values in layer.gates.items():
        if name.startswith("round"):
            is_of_input = int(name.split()[1]) % 2 == 1
            units = most_varied(values, len(layer.units)) if is_of_input else layer.units
            found.append((f"{layer.name}, {name}, of {'the input' if is_of_input else 'hidden'}", values, units, SHARES, (0.0, 2.0)))
        else:
            colours, limit = (SIGNED, (-1.0, 1.0)) if name == "candidate" else (SHARES, (0.0, 1.0))
            found.append((f"{layer.name}, {name}", values, layer.units, colours, limit))
    return found


def _heat_map(
    axes: "Axes", tokens: Sequence[str], values_TU: np.ndarray, units: Sequence[int], colours: str, limit: tuple[float, float]
) -> None:
    image = axes.imshow(values_TU.T, cmap=colours, vmin=limit[0], vmax=limit[1], aspect="auto", interpolation="nearest")
    axes.grid(False)
    every = -(-len(tokens) // MOST_LABELS)
    places = range(0, len(tokens), every)
    shown = (visible(tokens[place]) for place in places)
    names = [each if len(each) <= LONGEST_TOKEN else each[: LONGEST_TOKEN - 1] + "\u2026" for each in shown]
    axes.set_xticks(list(places), names, rotation=90, fontsize=8)
    axes.set_yticks(range(len(units)), [str(unit) for unit in units], fontsize=7)
    axes.figure.colorbar(image, ax=axes)
