"""The picture of spectra: a row of panels for each layer."""

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


def draw(by_model: "Mapping[str, Sequence[MatrixSpectrum]]") -> "Figure":
    """Eigenvalues on the left, norms of powers on the right; a row for each layer of each model, a
    colour for each gate."""
    rows: dict[tuple[str, str], list[MatrixSpectrum]] = {}
    for model, matrices in by_model.items():
        for each in matrices:
            if each.power_norms:
                rows.setdefault((model, each.layer), []).append(each)
    labels = []
    for model, layer in rows:
        title = f"{short_name(model, LONGEST_TITLE - len(layer))}, {layer}"
        labels += [
            (title, "real part", "imaginary part"),
            ("powers", "k", "log10 of the 2-norm of W^k"),
        ]
    figure, panels = new_panels(labels, 9.5, 4.0 * len(rows), columns=2)
    for number, matrices in enumerate(rows.values()):
        plane, powers = panels[2 * number : 2 * number + 2]
        _draw_plane(plane, matrices)
        _draw_powers(powers, matrices)
    return figure


def _draw_plane(axes: "Axes", matrices: "Sequence[MatrixSpectrum]") -> None:
    turn = np.linspace(0, 2 * math.pi, 200)
    axes.plot(np.cos(turn), np.sin(turn), color="grey", linewidth=1)
    for number, each in enumerate(matrices):
        assert each.eigenvalues is not None
        axes.plot(
            each.eigenvalues.real, each.eigenvalues.imag, MARKERS[number % len(MARKERS)],
            markersize=3, alpha=0.6,
            color=COLOURS[number % len(COLOURS)],
        )  # fmt: skip
    axes.set_aspect("equal", adjustable="datalim")


def _draw_powers(axes: "Axes", matrices: "Sequence[MatrixSpectrum]") -> None:
    axes.axhline(0, color="grey", linewidth=1)
    for number, each in enumerate(matrices):
        shown = [
            (k, math.log10(norm)) for k, norm in each.power_norms.items() if 0 < norm < math.inf
        ]
        if shown:
            marker, colour = MARKERS[number % len(MARKERS)], COLOURS[number % len(COLOURS)]
            axes.plot(
                *zip(*shown, strict=True),
                marker=marker,
                markersize=4,
                color=colour,
                label=each.matrix,
            )
    axes.legend()
