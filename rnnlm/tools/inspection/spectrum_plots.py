"""Draw spectra: a row of panels for each layer."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnlm.evaluation import plotting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from rnnlm.tools.inspection.spectrum import MatrixSpectrum


HEADING = "Recurrent weights W: eigenvalues inside the circle shrink a state"
POWERS = "powers of W: falling lines vanish"
LONGEST_TITLE = 36  # characters


def draw(
    by_model: "Mapping[str, Sequence[MatrixSpectrum]]", axes: "Axes | None" = None
) -> "Figure":
    """Draw eigenvalues on the left, norms of powers on the right; a row for each layer of each
    model, a colour for each gate."""
    # The matrices of a layer share its panels.
    rows: dict[tuple[str, str], list[MatrixSpectrum]] = {}
    for model, matrices in by_model.items():
        for matrix in matrices:
            if matrix.power_norms:
                rows.setdefault((model, matrix.layer), []).append(matrix)
    labels = []
    for model, layer in rows:
        title = f"{plotting.short_name(model, LONGEST_TITLE - len(layer))}, {layer}"
        labels.append((title, "real part", "imaginary part"))
        labels.append((POWERS, "power k", "log10 of the norm of W^k"))
    # Two rows fit on a slide.
    row_inches = 2.9 if len(rows) == 1 else (plotting.TALLEST - 1.2) / 2
    height = 1.2 + row_inches * len(rows)
    figure, panels = plotting.new_panels(labels, plotting.WIDEST, height, 2, axes, heading=HEADING)
    styles = plotting.series_styles(
        matrix.matrix for matrices in rows.values() for matrix in matrices
    )
    for number, matrices in enumerate(rows.values()):
        _draw_plane(panels[2 * number], matrices, styles)
        _draw_powers(panels[2 * number + 1], matrices, styles)
    plotting.legend_below(figure, *panels)
    return figure


def _draw_plane(
    axes: "Axes", matrices: "Sequence[MatrixSpectrum]", styles: Mapping[str, plotting.SeriesStyle]
) -> None:
    """Draw eigenvalues, and the unit circle."""
    turn = np.linspace(0, 2 * math.pi, 200)
    # Above the eigenvalues, of which there may be hundreds inside.
    circle: dict[str, Any] = {"color": "black", "linewidth": 1.5, "zorder": 3}
    axes.plot(np.cos(turn), np.sin(turn), label="unit circle", **circle)
    for matrix in matrices:
        values = matrix.eigenvalues
        assert values is not None
        matrix_style = styles[matrix.matrix]
        style: dict[str, Any] = {"markersize": 3, "alpha": 0.6, "color": matrix_style.colour}
        axes.plot(values.real, values.imag, matrix_style.marker, label=matrix.matrix, **style)
    axes.set_aspect("equal", adjustable="datalim")


def _draw_powers(
    axes: "Axes", matrices: "Sequence[MatrixSpectrum]", styles: Mapping[str, plotting.SeriesStyle]
) -> None:
    """Draw the norms of powers, and a line where they neither grow nor shrink."""
    axes.axhline(0, color=plotting.REFERENCE, linewidth=1, linestyle=":", label="norm 1")
    for matrix in matrices:
        norms = matrix.power_norms
        powers = [k for k, norm in norms.items() if 0 < norm < math.inf]
        if powers:
            matrix_style = styles[matrix.matrix]
            style: dict[str, Any] = {
                "marker": matrix_style.marker,
                "markersize": 4,
                "color": matrix_style.colour,
            }
            logs = [math.log10(norms[k]) for k in powers]
            axes.plot(powers, logs, linestyle=matrix_style.line, label=matrix.matrix, **style)
