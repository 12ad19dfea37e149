"""Arrays in bfloat16 against torch's rounding; in 8 bits."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from rnnlm.errors import ModelError
from rnnlm.storage.files import tensors
from rnnlm.storage.model_folder import SCALE, joined, rounded, scaled, widened

FINITE = st.floats(-(2.0**120), 2.0**120, width=32, allow_nan=False)


@given(
    npst.arrays(np.float32, npst.array_shapes(min_dims=1, max_dims=3, max_side=6), elements=FINITE)
)
def test_rounding_is_torchs(array):
    expected = torch.from_numpy(array).bfloat16().float().numpy()
    np.testing.assert_array_equal(widened(rounded(array)), expected)
    assert rounded(array).nbytes * 2 == array.nbytes and rounded(array).shape == array.shape


@given(
    npst.arrays(np.float32, npst.array_shapes(min_dims=2, max_dims=3, max_side=6), elements=FINITE)
)
def test_8_bit_error_is_within_half_a_step(array):
    again = joined([scaled({"w": array})])["w"]
    assert again.dtype == np.float32 and again.shape == array.shape
    step = np.abs(array.reshape(len(array), -1)).max(axis=1) / 127
    off = np.abs(again.astype(np.float64) - array).reshape(len(array), -1).max(axis=1)
    # below that a step itself is rounded
    assert (off <= 0.5001 * step + np.finfo(np.float32).tiny).all()


def test_8_bit_quantization_keeps_zero_rows_and_vectors():
    arrays = {
        "w": np.array([[0, 0], [1, -2]], dtype=np.float32),
        "b": np.array([1.5, 2], dtype=np.float32),
        "n": np.arange(3),
    }
    small = scaled(arrays)
    assert small["w"].dtype == np.int8 and small["w"][1].tolist() == [64, -127]
    again = joined([small])
    assert again.keys() == arrays.keys()
    assert again["w"][0].tolist() == [0, 0]
    assert again["b"].tolist() == [1.5, 2]


def test_other_types_stay_as_they_are():
    counts = np.arange(5, dtype=np.int32)
    assert rounded(counts) is counts and widened(counts) is counts


@pytest.mark.parametrize("files, words", [
    ([{"w": np.zeros(2)}, {"w": np.zeros(2)}], "appears twice"),
    ([{"w": np.zeros((2, 2), np.int8), "w" + SCALE: np.zeros(3, np.float32)}], "not the scale"),
    ([{"w" + SCALE: np.zeros(3, np.float32)}], "not the scale"),
    ([{"w": np.zeros((2, 2), np.float32), "w" + SCALE: np.zeros(2, np.float32)}], "not the scale"),
])  # fmt: skip
def test_arrays_that_do_not_fit_are_an_error(files, words):
    with pytest.raises(ModelError, match=words):
        joined(files)


def test_the_safetensors_library_reads_what_is_written(tmp_path):
    from safetensors.torch import load_file

    array = np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4)
    (tmp_path / "x").write_bytes(b"".join(tensors.chunks({"w": rounded(array)})))
    assert torch.equal(load_file(tmp_path / "x")["w"], torch.from_numpy(array).bfloat16())
    np.testing.assert_array_equal(
        widened(tensors.mapped(tmp_path / "x")["w"]),
        torch.from_numpy(array).bfloat16().float().numpy(),
    )
