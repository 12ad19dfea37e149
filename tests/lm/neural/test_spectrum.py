"""The spectral radius of a matrix is numpy's, whichever way it is computed."""

import math

import numpy as np
import pytest
import torch

from rnnlm.lm.neural import spectrum
from rnnlm.lm.neural.spectrum import spectral_radius


@pytest.mark.parametrize("width, accuracy", [
    (1, 1e-6), (16, 1e-6), (spectrum.EXACT_WIDTH, 1e-6), (160, 1e-3), (300, 1e-3),
])  # fmt: skip
def test_it_is_the_largest_eigenvalue_of_numpy(width, accuracy):
    weight = torch.randn(width, width, generator=torch.Generator().manual_seed(width)) / width**0.5
    expected = np.abs(np.linalg.eigvals(weight.double().numpy())).max()
    assert spectral_radius(weight) == spectral_radius(weight)
    assert spectral_radius(weight) == pytest.approx(expected, rel=accuracy)


def test_matrices_of_a_known_spectrum_have_it():
    wide = spectrum.EXACT_WIDTH + 10
    assert spectral_radius(0.9 * torch.eye(wide)) == pytest.approx(0.9)  # as an IRNN starts
    assert spectral_radius(torch.zeros(wide, wide)) == 0.0
    generator = torch.Generator().manual_seed(1)
    drawn = torch.randn(wide, wide, dtype=torch.float64, generator=generator)
    rotation, _ = torch.linalg.qr(drawn)
    # All its eigenvalues are as large: Arnoldi's method does not converge, and all are computed.
    assert spectral_radius(1.1 * rotation) == pytest.approx(1.1, rel=1e-6)
    assert spectral_radius(torch.triu(torch.ones(8, 8), diagonal=1)) == 0.0
    assert math.isnan(spectral_radius(torch.full((wide, wide), math.nan)))
