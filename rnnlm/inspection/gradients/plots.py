"""The pictures of gradients: curves by lag, and maps of the words of a sentence."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from rnnlm.evaluation import plotting
from rnnlm.inspection.gradients.curve import Curve
from rnnlm.inspection.gradients.measuring import LayerGradients
from rnnlm.inspection.heat_maps import draw_heat_map

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DECADES = 12  # of sizes at most; what is smaller lies below the picture
INCHES_PER_WORD = 0.3
SMALLEST, LARGEST = 3.4, 12.0  # inches of a map


def draw_curves(models: Sequence[tuple[str, Sequence[LayerGradients], Curve]], unit: str) -> "Figure":
    """Two panels: of each model and layer the state, the cell (dashed) and bounds (dotted); of each model the loss. unit: what all of
    them read, words or tokens."""
    labels = [("Jacobian of the state", "lag (tokens)", "size"), (f"Loss by {unit} read", "lag (tokens)", "norm of the gradient (nats)")]
    figure, (states, losses) = plotting.new_panels(labels, width=10.0, height=4.6)
    colours = iter(plotting.COLOURS * (1 + sum(len(layers) for _, layers, _ in models)))
    shown: list[Curve] = []
    for name, layers, loss in models:
        short = plotting.short_name(name)
        for number, layer in enumerate(layers):
            colour = next(colours)
            _draw(states, layer.state, f"{short}, {layer.name}", colour)
            if layer.cell is not None:
                _draw(states, layer.cell, f"{short}, {layer.name}, cell", colour, "--")
            if layer.bounds is not None:
                for bound_at in (layer.bounds.lower_at, layer.bounds.upper_at):
                    states.plot(layer.state.lags, [bound_at(lag) for lag in layer.state.lags.tolist()], ":", color=colour, linewidth=1)
            shown += [layer.state]
            if number == 0:
                _draw(losses, loss, "", colour)
    _limit(states, shown)
    _limit(losses, [loss for _, _, loss in models])
    for axes in (states, losses):
        axes.locator_params(axis="x", integer=True)
    plotting.legend_above(figure, states)
    return figure


def _draw(axes: "Axes", curve: Curve, label: str, colour: str, line: str = "-") -> None:
    axes.plot(curve.lags, np.where(curve.mean > 0, curve.mean, np.nan), line, color=colour, label=label)
    if line == "-":
        low, high = (np.where(each > 0, each, np.nan) for each in (curve.low, curve.high))
        axes.fill_between(curve.lags, low, high, color=colour, alpha=0.15, linewidth=0)


def _limit(axes: "Axes", curves: Sequence[Curve]) -> None:
    values = np.concatenate([curve.mean for curve in curves])
    values = values[np.isfinite(values) & (values > 0)]
    if len(values):
        high = 3 * values.max()
        axes.set_ylim(max(values.min() / 3, high * 10.0**-DECADES), high)
    plotting.log_y(axes)


def draw_maps(maps: Sequence[tuple[str, str, Sequence[str], Sequence[str], np.ndarray]]) -> "Figure":
    """A panel for each model: name, unit (word or token), what is read (columns), what is predicted (rows), and the norms: NaN where
    nothing was read yet."""
    inches = min(LARGEST, max(SMALLEST, INCHES_PER_WORD * max(len(read) for _, _, read, _, _ in maps) + 1.5))
    labels = [(plotting.short_name(name), f"{unit} read", f"{unit} predicted") for name, unit, *_ in maps]
    figure, panels = plotting.new_panels(labels, width=inches * len(maps), height=inches)
    for axes, (_, _, read, predicted, norms_TT) in zip(panels, maps, strict=True):
        draw_heat_map(axes, norms_TT, read, predicted, label="norm of the gradient (nats)")
    return figure
