"""Draw spectra: a row of panels for each layer."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from rnnlm.evaluation.plotting import COLOURS, MARKERS, new_panels, short_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from rnnlm.inspection.spectrum import MatrixSpectrum


LONGEST_TITLE = 40  # characters


def draw(
    by_model: "Mapping[str, Sequence[MatrixSpectrum]]", axes: "Axes | None" = None
) -> "Figure":
    """Draw eigenvalues on the left, norms of powers on the right; a row for each layer of each
    model, a colour for each gate."""
    # The matrices of a layer share its panels.
    rows: dict[tuple[str, str], list[MatrixSpectrum]] = {}
    for model, matrices in by_model.items():
        for each in matrices:
            if each.power_norms:
                rows.setdefault((model, each.layer), []).append(each)
    labels = []
    for model, layer in rows:
        title = f"{short_name(model, LONGEST_TITLE - len(layer))}, {layer}"
        labels.append((title, "real part", "imaginary part"))
        labels.append(("powers", "k", "log10 of the 2-norm of W^k"))
    figure, panels = new_panels(labels, 9.5, 4.0 * len(rows), columns=2, axes=axes)
    for number, matrices in enumerate(rows.values()):
        _draw_plane(panels[2 * number], matrices)
        _draw_powers(panels[2 * number + 1], matrices)
    return figure


def _draw_plane(axes: "Axes", matrices: "Sequence[MatrixSpectrum]") -> None:
    """Draw eigenvalues, and the unit circle."""
    turn = np.linspace(0, 2 * math.pi, 200)
    axes.plot(np.cos(turn), np.sin(turn), color="grey", linewidth=1)
    for number, each in enumerate(matrices):
        values = each.eigenvalues
        assert values is not None
        marker, colour = MARKERS[number % len(MARKERS)], COLOURS[number % len(COLOURS)]
        axes.plot(values.real, values.imag, marker, markersize=3, alpha=0.6, color=colour)
    axes.set_aspect("equal", adjustable="datalim")


def _draw_powers(axes: "Axes", matrices: "Sequence[MatrixSpectrum]") -> None:
    """Draw the norms of powers, and a line where they neither grow nor shrink."""
    axes.axhline(0, color="grey", linewidth=1)
    for number, each in enumerate(matrices):
        norms = each.power_norms
        powers = [k for k, norm in norms.items() if 0 < norm < math.inf]
        if powers:
            marker, colour = MARKERS[number % len(MARKERS)], COLOURS[number % len(COLOURS)]
            logs = [math.log10(norms[k]) for k in powers]
            axes.plot(powers, logs, marker=marker, markersize=4, color=colour, label=each.matrix)
    axes.legend()
