"""Heat maps of units over the tokens of a line: hidden state, cell and gates of each layer, rows of three below each other."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from rnnlm.evaluation.plotting import new_panels
from rnnlm.inspection.gates.layer_activity import LayerActivity, most_varied
from rnnlm.inspection.heat_maps import draw_heat_map

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIGNED, SHARES = "RdBu_r", "viridis"  # maps of colours
COLUMNS = 3
Panel = tuple[str, np.ndarray, tuple[int, ...], str, tuple[float, float]]  # title, values, units, colours, range


def draw(tokens: Sequence[str], layers: Sequence[LayerActivity]) -> "Figure":
    """The chosen units of each layer."""
    rows = [row for layer in layers for row in _in_rows(_panels(layer))]
    columns = max(map(len, rows))
    labels = [(row[place][0], "", "unit") if place < len(row) else None for row in rows for place in range(columns)]
    width = min(1.6 + 0.22 * len(tokens), 6.0)
    height = 1.4 + 0.16 * max(len(layer.units) for layer in layers)
    figure, panels = new_panels(labels, columns * width, len(rows) * height, columns)
    drawn = (panel for row in rows for panel in row)
    for axes, (_, values_TH, units, colours, limits) in zip(panels, drawn, strict=True):
        draw_heat_map(axes, values_TH[:, list(units)].T, tokens, list(map(str, units)), colours, *limits)
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
