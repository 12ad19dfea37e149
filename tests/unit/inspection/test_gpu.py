"""Inspections and embeddings on each device: on the CPU and, with `pytest -m gpu`, on a CUDA
device."""

import numpy as np
import pytest

import rnnlm
from rnnlm.inspection.gates import inspect_gates
from rnnlm.inspection.gradcheck import inspect_gradcheck
from rnnlm.inspection.gradients.flow import inspect_gradients
from rnnlm.inspection.memory import inspect_memory
from rnnlm.inspection.spectrum import inspect_spectrum
from rnnlm.neural.language_model import from_arrays
from support.devices import CUDA
from support.networks import as_stored
from support.tiny_models import LINES, fit

KINDS = [
    ("rnn", {}),
    ("gru", {"layers": 2}),
    ("lstm", {"layers": 2}),
    ("lstm", {"hidden_size": 80}),
    ("qrnn", {}),
]
LINE = "the cat sat on the mat"


@pytest.fixture(scope="module", params=["cpu", CUDA])
def device(request):
    return request.param


@pytest.fixture(scope="module", params=KINDS, ids=str)
def both(request, device):
    """Return a model on the CPU, and the same one on the device."""
    name, settings = request.param
    host = fit(name, **settings)
    return host, from_arrays(
        as_stored(host.network.settings), host.tokenizer, host.to_arrays(), device, None
    )


def numbers(value):
    """Return all numbers in a JSON value, in order."""
    if isinstance(value, dict):
        return [each for name in value for each in numbers(value[name])]
    if isinstance(value, list):
        return [each for part in value for each in numbers(part)]
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []


def test_gradients_equal_those_of_the_cpu(both, tmp_path):
    (tmp_path / "text.txt").write_text("\n".join(LINES * 8) + "\n")
    found = [
        inspect_gradients({"it": model}, tmp_path / "text.txt", lags=5, positions=20).to_dict()
        for model in both
    ]
    np.testing.assert_allclose(numbers(found[1]), numbers(found[0]), rtol=1e-2, atol=1e-4)


def test_gates_and_spectra_equal_those_of_the_cpu(both):
    looks = [lambda model: inspect_gates(model, LINE)]
    if both[0].network.settings.model != "qrnn":
        looks.append(lambda model: inspect_spectrum({"it": model}))
    for look in looks:
        host, device = (numbers(look(model).to_dict()) for model in both)
        np.testing.assert_allclose(device, host, rtol=1e-3, atol=1e-4)


def test_embeddings_equal_those_of_the_cpu(both):
    host, device = (rnnlm.Model(model).embed([LINE, "", "a dog"]) for model in both)
    np.testing.assert_allclose(device, host, atol=1e-4)


def test_memory_equals_that_of_the_cpu(both, tmp_path):
    (tmp_path / "text.txt").write_text("\n".join(LINES * 8) + "\n")
    host, device = (
        inspect_memory({"it": model}, tmp_path / "text.txt", positions=30).to_dict()
        for model in both
    )
    np.testing.assert_allclose(numbers(device), numbers(host), rtol=1e-3, atol=1e-4)


def test_a_backward_pass_is_right_on_the_device(both, tmp_path):
    (tmp_path / "text.txt").write_text("\n".join(LINES * 8) + "\n")
    assert inspect_gradcheck(both[1], tmp_path / "text.txt").is_right
