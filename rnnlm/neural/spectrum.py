"""The spectrum of recurrent weights: how much h' W stretches a state that goes round and round."""

import math

import numpy as np
import torch
from torch import Tensor

EXACT_WIDTH = 128  # up to which all eigenvalues are taken at once: a few milliseconds
SUBSPACE = 40  # vectors that Arnoldi's method keeps
ACCURACY = 1e-3  # of its largest eigenvalue, relative


def spectral_radius(weight_HH: Tensor) -> float:
    """The largest absolute value of an eigenvalue of a square matrix; NaN where it holds what is not a number.

    Up to :data:`EXACT_WIDTH` units all eigenvalues are computed; beyond, the largest ones by Arnoldi's method with implicit restarts
    (ARPACK; Lehoucq et al. 1998), from a start that is always the same, to :data:`ACCURACY`: in a fiftieth of the time at 512 units. Waits
    for the device.
    """
    matrix_HH = weight_HH.detach().to("cpu", torch.float64).numpy()
    if not np.isfinite(matrix_HH).all():
        return math.nan
    if len(matrix_HH) > EXACT_WIDTH and (found := _largest(matrix_HH)) is not None:
        return found
    return float(np.abs(np.linalg.eigvals(matrix_HH)).max())


def _largest(matrix_HH: np.ndarray) -> float | None:
    """None where the method does not converge."""
    from scipy.sparse.linalg import ArpackError, eigs

    if not matrix_HH.any():
        return 0.0
    start_H = np.random.default_rng(0).normal(size=len(matrix_HH))
    try:
        found = eigs(matrix_HH, k=2, which="LM", v0=start_H, ncv=SUBSPACE, tol=ACCURACY, maxiter=100, return_eigenvectors=False)
    except ArpackError:
        return None
    return float(np.abs(found).max())
