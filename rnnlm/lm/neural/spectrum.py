"""Compute the spectrum of recurrent weights: how much h' W stretches a state that goes round and
round."""

import copy
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rnnlm.lm.neural.layers.layers import HIDDEN, LayeredNetwork, named_layers

EXACT_WIDTH = 128  # up to which all eigenvalues are taken at once: a few milliseconds
SUBSPACE = 40  # vectors that Arnoldi's method keeps
ACCURACY = 1e-3  # of its largest eigenvalue, relative


def spectral_radius(weight_HH: Tensor) -> float:
    """Return the largest absolute value of an eigenvalue of a square matrix; NaN if an element is
    not finite.

    Up to :data:`EXACT_WIDTH` units all eigenvalues are computed; beyond, the largest ones by
    Arnoldi's method with implicit restarts (ARPACK; Lehoucq et al. 1998), from a start that is
    always the same, to :data:`ACCURACY`: in a fiftieth of the time at 512 units. Waits for the
    device.
    """
    matrix_HH = weight_HH.detach().to("cpu", torch.float64).numpy()
    if not np.isfinite(matrix_HH).all():
        return math.nan
    if len(matrix_HH) > EXACT_WIDTH:
        radius = _largest(matrix_HH)
        if radius is not None:
            return radius
    return float(np.abs(np.linalg.eigvals(matrix_HH)).max())


def _largest(matrix_HH: np.ndarray) -> float | None:
    """Estimate the spectral radius by Arnoldi's method; return None where it does not converge."""
    from scipy.sparse.linalg import ArpackError, eigs

    if not matrix_HH.any():
        return 0.0
    start_H = np.random.default_rng(0).normal(size=len(matrix_HH))
    try:
        eigenvalues = eigs(
            matrix_HH,
            k=2,
            which="LM",
            v0=start_H,
            ncv=SUBSPACE,
            tol=ACCURACY,
            maxiter=100,
            return_eigenvectors=False,
        )
    except ArpackError:
        return None
    return float(np.abs(eigenvalues).max())


# ---- Recurrent weights as square matrices, one for each gate.
#
# Of a layer h = f(x U + h' W + b) the matrix is W, which h' is multiplied by in each step: where h'
# is small, h is about (x U + b) + h' W, and the effect of W on h' over k steps is W^k. W is stored
# as in torch, (H, H), and multiplies columns: it has the eigenvalues of its transpose. In gated
# layers each gate has its own matrix, and the state also passes through the gates.

THROUGH_OUTPUT = "recurrent, through the output"


@dataclass(frozen=True)
class RecurrentMatrix:
    """The recurrent weights of one gate.

    layer: the layer's name, as in :func:`named_layers`. name: the gate's, as in
    :class:`rnnlm.lm.neural.layers.steps.CellStep`. values: float64, (H, H); of a Mogrifier's rounds
    (E, H) or (H, E). is_state_map: whether it takes the state to the state, so that it has
    eigenvalues and powers. A Mogrifier's rounds have neither, not even where E and H happen to be
    equal.
    steepest: the largest derivative of the activation that the product goes through, in layers
    without gates.
    """

    layer: str
    name: str
    values: np.ndarray
    is_state_map: bool = True
    steepest: float | None = None


def recurrent_matrices(network: LayeredNetwork) -> list[RecurrentMatrix]:
    """Return the recurrent weights of a network of any task, layer by layer, the lowest first.

    They have the names of the gates or, in layers without gates, "recurrent"; before them come the
    rounds of a Mogrifier. Where the output is fed back (Jordan), it is "recurrent, through the
    output": the derivative of W q with respect to h at h = 0, with q the fed-back vector. It
    depends on the state; at h = 0 it follows from the output layer's biases alone.
    """
    matrices = []
    for layer_name, layer in named_layers(network).items():
        for name, product in layer.round_matrices().items():
            matrices.append(
                RecurrentMatrix(layer_name, name, _float64(product), is_state_map=False)
            )
        blocks = {name: _float64(block) for name, block in layer.recurrent_blocks().items()}
        if network.feedback:
            blocks[THROUGH_OUTPUT] = _through_output(network, layer_name)
        hidden = layer.activations().get(HIDDEN)
        steepest = None if hidden is None else hidden.steepest
        for name, values in blocks.items():
            matrices.append(RecurrentMatrix(layer_name, name, values, steepest=steepest))
    return matrices


def _through_output(network: LayeredNetwork, layer_name: str) -> np.ndarray:
    """Compute W dq/dh at h = 0, (H, H), where q is the vector that a Jordan layer's output feeds
    back: at h = 0 it is the distribution of the output layer's biases."""
    twin = copy.deepcopy(network).double()
    [fed_back] = twin.feedback
    layer = named_layers(twin)[layer_name]
    assert layer.weight_hh is not None
    weight_hh = layer.weight_hh
    jacobian_HH = torch.autograd.functional.jacobian(
        lambda h_H: F.linear(fed_back(h_H.unsqueeze(0)), weight_hh)[0],
        weight_hh.new_zeros(layer.width),
    )
    return _float64(jacobian_HH)


def _float64(weight: Tensor) -> np.ndarray:
    return np.asarray(weight.detach().double().cpu().numpy())
