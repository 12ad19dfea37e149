"""Compute eigenvalues, singular values and powers of recurrent weights, gate by gate (`rnnlm
inspect spectrum`).

For a linear layer h = h' W the gradient over k steps is a product of k times W: it vanishes where
the spectral radius, the largest absolute eigenvalue, is below 1, and explodes where it is above 1
(Pascanu et al. 2013, section 2.1). Norms of W^k show the course before that: a matrix that is not
normal may first enlarge vectors that it shrinks in the end. With an activation f, a largest
singular value below 1 / max f' is sufficient for vanishing, one above it necessary for exploding.
Gated layers also pass their state on through gates, beside these weights.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnlm import system
from rnnlm.errors import ModelError, UsageError
from rnnlm.evaluation import plotting
from rnnlm.interface import Device
from rnnlm.lm.base.loading import SHIPPED
from rnnlm.lm.neural.spectrum import THROUGH_OUTPUT, RecurrentMatrix, recurrent_matrices
from rnnlm.tabular import Result, Table
from rnnlm.tools.inspection.common import Inspection, Models, load_models_for, with_starts

POWERS = (1, 2, 5, 10, 20, 50, 100)


@dataclass(frozen=True)
class MatrixSpectrum(Result):
    """The spectrum of one matrix, in float64.

    Attributes:
        model: Name of the model.
        layer: Name of the layer.
        matrix: Name of the matrix.
        shape: (rows, columns).
        singular_values: Singular values, largest first.
        eigenvalues: Eigenvalues, largest absolute value first; None if the matrix does not map the
            state to the state.
        power_norms: 2-norm of W^k by k, infinite beyond float64; empty without eigenvalues.
        steepest: Largest derivative of the activation if the matrix alone passes the state on; None
            in gated layers.
    """

    model: str
    layer: str
    matrix: str
    shape: tuple[int, int]
    singular_values: np.ndarray
    eigenvalues: np.ndarray | None
    power_norms: dict[int, float]
    steepest: float | None

    @property
    def spectral_radius(self) -> float | None:
        """The largest absolute eigenvalue."""
        return None if self.eigenvalues is None else float(abs(self.eigenvalues[0]))

    @property
    def name(self) -> str:
        """Layer and matrix, in words."""
        return f"{self.layer}, {self.matrix}"

    def to_dict(self) -> dict[str, Any]:
        """Return the spectrum in JSON types, with its radius."""
        return super().to_dict() | {"spectral_radius": self.spectral_radius}


@dataclass(frozen=True, repr=False)
class SpectrumInspection(Inspection):
    """The spectra of models.

    Attributes:
        matrices: Spectra of all matrices, model by model and layer by layer.
    """

    matrices: tuple[MatrixSpectrum, ...]

    @property
    def verdict(self) -> str:
        """A sentence for each model."""
        return "\n".join(_sentence(model, matrices) for model, matrices in self.by_model().items())

    def by_model(self) -> dict[str, list[MatrixSpectrum]]:
        """Return the matrices of each model."""
        by_model: dict[str, list[MatrixSpectrum]] = {}
        for matrix in self.matrices:
            by_model.setdefault(matrix.model, []).append(matrix)
        return by_model

    def tables(self) -> Sequence[Table]:
        """Return the spectra, and the norms of powers of the matrices that have them."""
        columns = (
            "model",
            "layer",
            "matrix",
            "shape",
            "spectral radius",
            "largest singular value",
            "smallest singular value",
        )
        rows: list[tuple[object, ...]] = []
        norms: list[tuple[object, ...]] = []
        for matrix in self.matrices:
            names = (matrix.model, matrix.layer, matrix.matrix)
            shape = "{} x {}".format(*matrix.shape)
            largest, smallest = float(matrix.singular_values[0]), float(matrix.singular_values[-1])
            rows.append((*names, shape, matrix.spectral_radius, largest, smallest))
            if matrix.power_norms:
                sizes = [norm if norm < math.inf else None for norm in matrix.power_norms.values()]
                norms.append((*names, *sizes))
        power_columns = ("model", "layer", "matrix", *(f"k = {k}" for k in POWERS))
        return [
            Table(columns, tuple(rows), "Recurrent weights W"),
            Table(power_columns, tuple(norms), "2-norm of W^k"),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return all values, by matrix."""
        return {"matrices": [matrix.to_dict() for matrix in self.matrices]}

    def figure(self, axes: "plotting.Axes | None" = None) -> "plotting.Figure":
        """Draw for each layer the eigenvalues in the complex plane, with the unit circle, and the
        norms of powers.

        Args:
            axes: Draw there instead of in a new figure; only if the picture has one panel.
        """
        return _draw(self.by_model(), axes)


def inspect_spectrum(
    models: Models = (SHIPPED,), *, untrained: bool = False, device: str | Device = "auto"
) -> SpectrumInspection:
    """Compute eigenvalues, singular values and norms of powers of the recurrent weights of networks
    of any task, in float64.

    models: names, or models by the names for the result. untrained: after each model, also the same
    network before training, with the seed of its training. device: where to load models given by
    name.

    Raises:
        UsageError: a model has no recurrent weights, like feed-forward models and n-grams.
        ModelError: there is no such model, or its weights are not finite.
    """
    given = load_models_for("spectrum", models, device)
    spectra: list[MatrixSpectrum] = []
    for subject in with_starts(given) if untrained else given:
        matrices = recurrent_matrices(subject.model.network)
        if not matrices:
            raise UsageError(
                f"{subject.name} has no spectrum that means something",
                "its layers are normalised (layer_norm): the size of a product does not depend on "
                "the size of its matrix",
                "see rnnlm inspect gradients",
            )
        spectra += [spectrum_of(matrix, subject.name) for matrix in matrices]
    return SpectrumInspection(tuple(spectra))


@system.one_blas_thread()
def spectrum_of(matrix: RecurrentMatrix, model: str) -> MatrixSpectrum:
    """Compute the spectrum of one matrix of the model called `model`."""
    W = matrix.values
    if not np.isfinite(W).all():
        raise ModelError(
            f"{model}: the weights of {matrix.layer}, {matrix.name}, are not all finite",
            "its training diverged, or the model is damaged",
            "check it with rnnlm doctor",
        )
    singular_values = np.linalg.svd(W, compute_uv=False)

    # Powers and eigenvalues have a meaning only where the matrix maps the state to the state.
    eigenvalues, norms = None, {}
    if matrix.is_state_map:
        eigenvalues = np.linalg.eigvals(W)
        eigenvalues = eigenvalues[np.argsort(-abs(eigenvalues), kind="stable")]
        for k in POWERS:
            norms[k] = _norm_of_power(W, k) if k > 1 else float(singular_values[0])
    return MatrixSpectrum(
        model=model,
        layer=matrix.layer,
        matrix=matrix.name,
        shape=(W.shape[0], W.shape[1]),
        singular_values=singular_values,
        eigenvalues=eigenvalues,
        power_norms=norms,
        steepest=matrix.steepest,
    )


def _norm_of_power(W: np.ndarray, k: int) -> float:
    """Return the 2-norm of W^k; infinity where a float cannot hold it."""
    with np.errstate(over="ignore", invalid="ignore"):
        power = np.linalg.matrix_power(W, k)
    return float(np.linalg.norm(power, 2)) if np.isfinite(power).all() else math.inf


def _sentence(model: str, matrices: Sequence[MatrixSpectrum]) -> str:
    """Say what the weights of a model imply for its gradients."""
    maps = [matrix for matrix in matrices if matrix.power_norms]
    largest = max(maps, key=lambda matrix: matrix.spectral_radius or 0.0)
    if largest.steepest is not None:
        return f"{model}: {'; '.join(map(_of_plain_layer, maps))}."
    smallest = min(maps, key=lambda matrix: matrix.spectral_radius or 0.0)
    return (
        f"{model}: the spectral radius of its recurrent weights lies between "
        f"{smallest.spectral_radius:.3g} ({smallest.name}) and {largest.spectral_radius:.3g} "
        f"({largest.name}); its state also passes through its gates, so these numbers alone do not "
        "tell whether gradients vanish; rnnlm inspect gradients measures that."
    )


def _of_plain_layer(spectrum: MatrixSpectrum) -> str:
    """Say what the weights of a layer without gates imply for its gradients."""
    assert spectrum.steepest is not None
    radius = spectrum.spectral_radius or 0.0
    norm, bound = float(spectrum.singular_values[0]), 1 / spectrum.steepest

    # The implications of the spectral radius for high powers, and the norms of lower ones.
    kind, _, way = spectrum.matrix.partition(", ")
    weights = f"{kind} weights {way}".rstrip()
    text = (
        f"in {spectrum.layer} powers of the {weights} "
        f"{'shrink' if radius < 1 else 'do not shrink'}, as the spectral radius is {radius:.3g}"
    )
    peak = max(spectrum.power_norms, key=spectrum.power_norms.__getitem__)
    if radius < 1 < spectrum.power_norms[peak]:
        text += f", though the norm of W^k is {spectrum.power_norms[peak]:.3g} at k = {peak}"

    # The implications of the largest singular value for gradients, except where the state comes
    # back through an output layer, whose derivatives have no such bound.
    if spectrum.matrix == THROUGH_OUTPUT:
        return (
            f"{text}; this holds near a hidden state of zeros, since the feedback depends on the "
            "state"
        )
    largest = f"the largest singular value, {norm:.3g}, is"
    why = "" if bound == 1 else ", one over the largest derivative of the activation"
    limit = f"{bound:g}{why}"
    if norm < bound:
        return f"{text}; gradients vanish, whatever it reads: {largest} below {limit}"
    return f"{text}; whether gradients vanish depends on what it reads: {largest} not below {limit}"


# ---- The picture: a row of panels for each layer.

HEADING = "Recurrent weights W: eigenvalues inside the circle shrink a state"
POWERS_TITLE = "powers of W: falling lines vanish"
LONGEST_TITLE = 36  # characters


def _draw(
    by_model: Mapping[str, Sequence[MatrixSpectrum]], axes: "plotting.Axes | None" = None
) -> "plotting.Figure":
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
        labels.append((POWERS_TITLE, "power k", "log10 of the norm of W^k"))
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
    axes: "plotting.Axes",
    matrices: Sequence[MatrixSpectrum],
    styles: Mapping[str, plotting.SeriesStyle],
) -> None:
    """Draw eigenvalues, and the unit circle."""
    turn = np.linspace(0, 2 * math.pi, 200)
    # Above the eigenvalues, of which there may be hundreds inside.
    axes.plot(
        np.cos(turn), np.sin(turn), label="unit circle", color="black", linewidth=1.5, zorder=3
    )
    for matrix in matrices:
        values, style = matrix.eigenvalues, styles[matrix.matrix]
        assert values is not None
        axes.plot(
            values.real,
            values.imag,
            style.marker,
            label=matrix.matrix,
            markersize=3,
            alpha=0.6,
            color=style.colour,
        )
    axes.set_aspect("equal", adjustable="datalim")


def _draw_powers(
    axes: "plotting.Axes",
    matrices: Sequence[MatrixSpectrum],
    styles: Mapping[str, plotting.SeriesStyle],
) -> None:
    """Draw the norms of powers, and a line where they neither grow nor shrink."""
    axes.axhline(0, color=plotting.REFERENCE, linewidth=1, linestyle=":", label="norm 1")
    for matrix in matrices:
        norms, style = matrix.power_norms, styles[matrix.matrix]
        powers = [k for k, norm in norms.items() if 0 < norm < math.inf]
        if powers:
            axes.plot(
                powers,
                [math.log10(norms[k]) for k in powers],
                linestyle=style.line,
                label=matrix.matrix,
                marker=style.marker,
                markersize=4,
                color=style.colour,
            )
