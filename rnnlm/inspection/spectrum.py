"""`rnnlm inspect spectrum`: eigenvalues, singular values and powers of recurrent weights, gate by
gate.

Of a linear layer h = h' W the gradient over k steps is a product of k times W: it vanishes where
the spectral radius, the largest absolute eigenvalue, is below 1, and explodes where it is above 1
(Pascanu et al. 2013, section 2.1). Norms of W^k show what happens before that: a matrix that is not
normal may first enlarge what it shrinks in the end. With an activation f the largest singular value
below 1 / max f' is sufficient for vanishing, above it necessary for exploding. Gated layers hand
their state on through gates, beside these weights.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnlm.errors import ModelError
from rnnlm.inspection.common import Models, Table, plain, subjects
from rnnlm.inspection.untrained import with_starts
from rnnlm.interface import Device
from rnnlm.models.loading import SHIPPED
from rnnlm.neural.spectrum import THROUGH_OUTPUT, RecurrentMatrix, recurrent_matrices

if TYPE_CHECKING:
    from matplotlib.figure import Figure


POWERS = (1, 2, 5, 10, 20, 50, 100)


@dataclass(frozen=True)
class MatrixSpectrum:
    """What is known of one matrix, in float64. model, layer, matrix: their names. shape: (rows,
    columns). singular_values: the largest first. eigenvalues: the largest in absolute value first;
    None where the matrix does not take the state to the state. power_norms: the 2-norm of W^k by k,
    infinite beyond float64; empty without eigenvalues. steepest: the largest derivative of the
    activation where the matrix is all that hands the state on; None in gated layers."""

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
        """All of it, complex numbers as [real, imaginary]."""
        eigenvalues = self.eigenvalues
        return {
            "model": self.model, "layer": self.layer, "matrix": self.matrix,
            "shape": list(self.shape),
            "spectral_radius": self.spectral_radius,
            "eigenvalues": None if eigenvalues is None else np.column_stack([eigenvalues.real,
                eigenvalues.imag]).tolist(),
            "singular_values": self.singular_values.tolist(),
            "power_norms": plain(self.power_norms),
        }  # fmt: skip


@dataclass(frozen=True)
class SpectrumInspection:
    """The spectra of all models, model by model and layer by layer."""

    matrices: tuple[MatrixSpectrum, ...]

    @property
    def verdict(self) -> str:
        """A sentence for each model."""
        return "\n".join(_sentence(model, own) for model, own in self.by_model().items())

    def by_model(self) -> dict[str, list[MatrixSpectrum]]:
        """The matrices of each model."""
        found: dict[str, list[MatrixSpectrum]] = {}
        for each in self.matrices:
            found.setdefault(each.model, []).append(each)
        return found

    def tables(self) -> Sequence[Table]:
        """The spectra, and the norms of powers of the matrices that have them."""
        columns = (
            "model",
            "layer",
            "matrix",
            "shape",
            "spectral radius",
            "largest singular value",
            "smallest singular value",
        )
        rows = [
            (each.model, each.layer, each.matrix, "{} x {}".format(*each.shape),
             each.spectral_radius, float(each.singular_values[0]),
             float(each.singular_values[-1]))
            for each in self.matrices
        ]  # fmt: skip
        powered = [each for each in self.matrices if each.power_norms]
        norms = [
            (each.model, each.layer, each.matrix, *map(_finite, each.power_norms.values()))
            for each in powered
        ]
        power_columns = ("model", "layer", "matrix", *(f"k = {k}" for k in POWERS))
        return [
            Table(columns, tuple(rows), "Recurrent weights W"),
            Table(power_columns, tuple(norms), "2-norm of W^k"),
        ]

    def to_dict(self) -> dict[str, Any]:
        """All values, by matrix."""
        return {"matrices": [each.to_dict() for each in self.matrices]}

    def figure(self) -> "Figure":
        """Of each layer the eigenvalues in the complex plane, with the unit circle, and the norms
        of powers."""
        from rnnlm.inspection.spectrum_plots import draw

        return draw(self.by_model())


def inspect_spectrum(
    models: Models = (SHIPPED,), *, untrained: bool = False, device: str | Device = "auto"
) -> SpectrumInspection:
    """Eigenvalues, singular values and norms of powers of the recurrent weights of networks of any
    task, in float64.

    models: names, or models by the names that results call them. untrained: beside each model the
    same network at its start, with the seed of its training. device: where models given by name are
    loaded.

    Raises:
        UsageError: a model has no recurrent weights, as QRNNs, feed-forward models and n-grams.
            ModelError: there is no such model, or its weights are not finite.
    """
    found: list[MatrixSpectrum] = []
    given = subjects("spectrum", models, device)
    for subject in with_starts(given) if untrained else given:
        matrices = recurrent_matrices(subject.model.network)
        found += [spectrum_of(each, subject.name) for each in matrices]
    return SpectrumInspection(tuple(found))


def spectrum_of(matrix: RecurrentMatrix, model: str) -> MatrixSpectrum:
    """The spectrum of one matrix of the model called `model`."""
    W = matrix.values
    if not np.isfinite(W).all():
        what = f"{model}: the weights of {matrix.layer}, {matrix.name}, are not all finite"
        raise ModelError(
            what, "its training diverged, or the model is damaged", "check it with rnnlm doctor"
        )
    singular_values = np.linalg.svd(W, compute_uv=False)
    eigenvalues, norms = None, {}
    if matrix.is_state_map:
        eigenvalues = np.linalg.eigvals(W)
        eigenvalues = eigenvalues[np.argsort(-abs(eigenvalues), kind="stable")]
        norms = {k: _norm_of_power(W, k) if k > 1 else float(singular_values[0]) for k in POWERS}
    return MatrixSpectrum(
        model,
        matrix.layer,
        matrix.name,
        (W.shape[0], W.shape[1]),
        singular_values,
        eigenvalues,
        norms,
        matrix.steepest,
    )


def _norm_of_power(W: np.ndarray, k: int) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        power = np.linalg.matrix_power(W, k)
    return float(np.linalg.norm(power, 2)) if np.isfinite(power).all() else math.inf


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _sentence(model: str, matrices: Sequence[MatrixSpectrum]) -> str:
    maps = [each for each in matrices if each.power_norms]
    largest = max(maps, key=lambda each: each.spectral_radius or 0.0)
    if largest.steepest is not None:
        return f"{model}: " + "; ".join(_of_plain_layer(each) for each in maps) + "."
    smallest = min(maps, key=lambda each: each.spectral_radius or 0.0)
    between = (
        f"lies between {smallest.spectral_radius:.3g} ({smallest.name}) and "
        f"{largest.spectral_radius:.3g} ({largest.name})"
    )
    return (
        f"{model}: the spectral radius of its recurrent weights {between}; its state also passes "
        "through its gates, so "
        "these figures alone do not tell whether gradients vanish; rnnlm inspect gradients "
        "measures that."
    )


def _of_plain_layer(spectrum: MatrixSpectrum) -> str:
    """What the weights of a layer without gates say of its gradients."""
    assert spectrum.steepest is not None
    radius, norm, bound = (
        spectrum.spectral_radius or 0.0,
        float(spectrum.singular_values[0]),
        1 / spectrum.steepest,
    )
    kind, _, way = spectrum.matrix.partition(", ")
    weights = f"{kind} weights{way and ' ' + way}"
    course = (
        f"in {spectrum.layer} powers of the {weights} {'shrink' if radius < 1 else 'do not shrink'}"
    )
    course += f", as the spectral radius is {radius:.3g}"
    peak = max(spectrum.power_norms, key=spectrum.power_norms.__getitem__)
    if radius < 1 < spectrum.power_norms[peak]:
        course += f", though the norm of W^k is {spectrum.power_norms[peak]:.3g} at k = {peak}"
    if spectrum.matrix == THROUGH_OUTPUT:
        return (
            f"{course}; this holds near a hidden state of zeros, since what comes back depends on "
            "the state"
        )
    largest = f"the largest singular value, {norm:.3g}, is"
    limit = "1" if bound == 1 else f"{bound:g}, one over the largest derivative of the activation"
    if norm < bound:
        return f"{course}; gradients vanish, whatever it reads: {largest} below {limit}"
    return (
        f"{course}; whether gradients vanish depends on what it reads: {largest} not below {limit}"
    )
