"""Spectra of recurrent weights against numpy's and against matrices whose spectrum is known."""

import math

import numpy as np
import pytest

from rnnlm.errors import ModelError, UsageError
from rnnlm.lm.neural.spectrum import RecurrentMatrix
from rnnlm.tools.inspection.spectrum import POWERS, inspect_spectrum, spectrum_of
from support import tiny_seq2seq, tiny_tasks
from support.pictures import faults_of
from support.tiny_models import fit


def of(values: np.ndarray, steepest: float | None = None):
    return spectrum_of(RecurrentMatrix("layer 1", "recurrent", values, steepest=steepest), "m")


def test_spectra_equal_numpys():
    model = fit("lstm", layers=2)
    found = {(each.layer, each.matrix): each for each in inspect_spectrum({"m": model}).matrices}
    # input, forget, ... of 12 units
    W = model.network.body.layers[1].weight_hh.detach().cpu().numpy().astype(np.float64)[12:24]
    forget, eigenvalues = found["layer 2", "forget"], np.linalg.eigvals(W)
    np.testing.assert_allclose(
        np.sort_complex(forget.eigenvalues), np.sort_complex(eigenvalues), atol=1e-10
    )
    np.testing.assert_allclose(forget.singular_values, np.linalg.svd(W)[1], atol=1e-12)
    fifth = np.linalg.norm(np.linalg.matrix_power(W, 5), 2)
    assert forget.power_norms[5] == pytest.approx(fifth, rel=1e-10)
    assert forget.spectral_radius == pytest.approx(max(abs(eigenvalues)), rel=1e-10)


def test_powers_of_matrices_whose_spectrum_is_known():
    Q, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(7, 7)))
    found = of(0.9 * Q)
    assert found.spectral_radius == pytest.approx(0.9, rel=1e-12)
    assert list(found.power_norms.values()) == pytest.approx([0.9**k for k in POWERS], rel=1e-9)
    # One that is not normal grows before it vanishes.
    found = of(np.array([[0.5, 4.0], [0.0, 0.5]]), steepest=1.0)
    assert found.spectral_radius == pytest.approx(0.5)
    assert found.power_norms[1] > 4 and found.power_norms[100] < 1e-25
    # Powers beyond float64 are null in JSON.
    found = of(np.diag([2.0**12, 1.0]))
    assert found.power_norms[100] == math.inf
    powers = {str(k): 2.0 ** (12 * k) for k in POWERS[:-1]}
    assert found.to_dict()["power_norms"] == {**powers, "100": None}


VANISH = "gradients vanish, whatever it reads: the largest singular value,"


@pytest.mark.parametrize(("activation", "scale", "words"), [
    ("tanh", 0.9, f"{VANISH} 0.9, is below 1"),
    ("tanh", 1.2, "depends on what it reads: the largest singular value, 1.2, is not below 1"),
    ("sigmoid", 1.2, f"{VANISH} 1.2, is below 4"),
])  # fmt: skip
def test_elman_verdict_follows_the_bound_of_its_activation(activation, scale, words):
    model = fit("rnn", activation=activation)
    Q, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(12, 12)))
    weight = model.network.body.layers[0].weight_hh
    weight.data.copy_(weight.new_tensor(scale * Q))
    assert words in inspect_spectrum({"m": model}).verdict


def test_other_tasks_have_spectra_per_direction_and_side():
    tagger = tiny_tasks.fit("tagging", "rnn")
    translator = tiny_seq2seq.tiny_model(bidirectional=True)
    layers = [each.layer for each in inspect_spectrum({"t": tagger, "s": translator}).matrices]
    encoder = ["encoder layer 1 forward", "encoder layer 1 backward"]
    assert layers[:2] == ["layer 1 forward", "layer 1 backward"]
    assert layers[2::4] == [*encoder, "decoder layer 1"]


def test_a_jordan_layer_says_where_its_figures_hold():
    verdict = inspect_spectrum({"m": fit("jordan")}).verdict
    assert "this holds near a hidden state of zeros" in verdict


def test_non_recurrent_and_damaged_models_are_refused():
    with pytest.raises(UsageError):
        inspect_spectrum({"m": fit("qrnn")})
    with pytest.raises(ModelError, match="the weights of layer 1, recurrent, are not all finite"):
        of(np.array([[np.nan]]))


def test_picture_has_two_panels_per_layer_showing_eigenvalues():
    found = inspect_spectrum({"a": fit("gru", layers=2), "b": fit("lstm", mogrifier_rounds=2)})
    figure = found.figure()
    assert faults_of(figure, fits_a_slide=False) == []
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[::2] == ["a, layer 1", "a, layer 2", "b, layer 1"] and len(titles) == 6
    circle, *gates = figure.axes[0].lines
    assert circle.get_zorder() > max(each.get_zorder() for each in gates)  # seen among hundreds
    assert [len(each.get_xdata()) for each in gates] == [12, 12, 12]
    matrices, powers = found.tables()
    assert [row[2] for row in matrices.rows[6:8]] == ["round 1", "round 2"]
    assert len(powers.rows) == 10
