"""Arrays in files, exchanged with the safetensors library; damaged files, which are errors of one kind; and arrays in parts."""

import hashlib
import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as npst
from safetensors import numpy as safetensors_numpy

from rnnlm.errors import ModelError
from rnnlm.storage import model_folder
from rnnlm.storage.files import tensors, writing
from rnnlm.storage.files.tensors import ChunkedArray
from rnnlm.storage.model_folder import SCALE, joined, rounded, scaled, widened

KINDS = [kind for kind in tensors.DTYPES.values() if kind is not tensors.BF16]  # of numpy's own
SOME = {
    "facts": np.array([1.0, -0.5]), "keys_2": np.arange(7, dtype=np.uint64) << np.uint64(60),
    "values_1": np.linspace(-9, 0, 10, dtype=np.float32).reshape(5, 2),
    "odd": np.arange(3, dtype=np.uint8), "none": np.zeros((0, 4), dtype=np.int16),
}  # fmt: skip


def write(path, arrays):
    path.write_bytes(b"".join(tensors.chunks(arrays)))
    return path


def same(found, expected) -> bool:
    return found.keys() == expected.keys() and all(
        found[name].dtype == array.dtype
        and found[name].shape == array.shape
        and found[name].tobytes() == array.tobytes()
        for name, array in expected.items()
    )


@st.composite
def named_arrays(draw):
    arrays = {}
    for name in draw(st.sets(st.text('abcé"\\\n _1', max_size=5), max_size=6)):
        kind, shape = draw(st.sampled_from(KINDS)), draw(st.lists(st.integers(0, 3), max_size=4))
        arrays[name] = np.random.default_rng(len(arrays)).integers(0, 2, size=shape).astype(kind)
    return arrays


@given(arrays=named_arrays())
def test_written_tensors_are_read_back_by_safetensors_too(tmp_path_factory, arrays):
    path = write(tmp_path_factory.mktemp("arrays") / "x", {**SOME, **arrays})
    expected = {**SOME, **arrays}
    assert same(safetensors_numpy.load(path.read_bytes()), expected)
    assert same(safetensors_numpy.load_file(path), expected)
    found = tensors.mapped(path)
    assert same(found, expected)
    assert tensors.shapes(path) == {
        name: (tensors.NAMES[array.dtype], array.shape) for name, array in expected.items()
    }
    tensors.check_shapes(found, tensors.shapes(path))


@given(arrays=named_arrays())
def test_what_the_safetensors_library_writes_is_read(tmp_path_factory, arrays):
    path = tmp_path_factory.mktemp("arrays") / "x"
    path.write_bytes(safetensors_numpy.save({**SOME, **arrays}, {"format": "np"}))
    assert same(tensors.mapped(path), {**SOME, **arrays})
    found, sha256 = tensors.hashed(path)
    assert same(found, {**SOME, **arrays}) and sha256 == writing.sha256(path)


def test_hashed_arrays_are_in_memory_and_fully_hashed(tmp_path):
    arrays = {**SOME, "half": model_folder.rounded(np.float32([1, -2]))}
    path = write(tmp_path / "x", arrays)
    found, sha256 = tensors.hashed(path)
    whole = path.read_bytes()
    path.write_bytes(bytes(len(whole)))
    assert same(found, arrays) and sha256 == hashlib.sha256(whole).hexdigest()
    for array in found.values():
        assert array.flags.aligned and array.flags.writeable and array.flags.owndata


def test_mapped_arrays_are_aligned_and_cannot_be_written(tmp_path):
    for array in tensors.mapped(write(tmp_path / "x", SOME)).values():
        assert array.flags.aligned and not array.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_large_arrays_are_written_in_pieces_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(tensors, "PIECE", 100)
    table = np.arange(600, dtype=np.int32).reshape(20, 30)
    arrays = {"turned": table.T, "every second": table[::2, ::3], "all": table}
    _, *pieces = map(len, tensors.chunks(arrays))
    assert max(pieces) == 100 and sum(pieces) == sum(array.nbytes for array in arrays.values())
    assert same(tensors.mapped(write(tmp_path / "x", arrays)), arrays)


READ = [tensors.shapes, tensors.mapped, tensors.hashed]


@pytest.mark.parametrize(("change", "odd"), [
    (lambda arrays: arrays.pop("odd"), "array 'odd' is missing"),
    (lambda arrays: arrays.update(more=np.zeros(1)), "array 'more' is missing or unknown"),
    (lambda arrays: arrays.update(facts=np.zeros(2, np.float32)),
     r"'facts' is F32 \(2,\), the settings imply F64 \(2,\)"),
    (lambda arrays: arrays.update(facts=np.zeros(3)),
     r"'facts' is F64 \(3,\), the settings imply F64 \(2,\)"),
])  # fmt: skip
def test_other_arrays_than_expected_are_named(tmp_path, change, odd):
    expected = tensors.shapes(write(tmp_path / "x", SOME))
    arrays = dict(SOME)
    change(arrays)
    with pytest.raises(ModelError, match=odd):
        tensors.check_shapes(arrays, expected)


def file_of(header, data: bytes = bytes(16), size: int | None = None) -> bytes:
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(header) if size is None else size).to_bytes(8, "little") + header + data


def entry(kind="F32", shape=(4,), offsets=(0, 16), **others):
    return {"x": {"dtype": kind, "shape": shape, "data_offsets": offsets, **others}}


DAMAGED = {
    "empty": b"", "short": b"\x02\x00\x00", "length beyond the file": file_of(entry(), size=5000),
    "length of 2**64 - 1": file_of(entry(), size=2**64 - 1),
    "length too small": file_of(entry(), size=9),
    "length into the data": file_of(entry(), size=len(json.dumps(entry())) + 3),
    "no JSON": file_of(b"{x: 1}"),
    "no UTF-8": file_of(b'{"\xff\xfe": 1}'), "deeply nested": file_of(b"[" * 200_000),
    "huge number": file_of(b'{"x":' + b"9" * 9000 + b"}"), "a list": file_of([]),
    "entry is no object": file_of({"x": 3}),
    "no dtype": file_of({"x": {"shape": [4], "data_offsets": [0, 16]}}),
    "unknown dtype": file_of(entry("F4")),
    "dtype is a number": file_of(entry(3)), "shape is text": file_of(entry(shape="4")),
    "shape of truth values": file_of(entry("F32", [True, 4])),
    "shape of fractions": file_of(entry(shape=[4.5])),
    "shape of infinity": file_of(b'{"x": {"dtype": "F32", "shape": [Infinity], "data_offsets": [0, 16]}}'),
    "shape of NaN": file_of(b'{"x": {"dtype": "F32", "shape": [NaN], "data_offsets": [0, 16]}}'),
    "negative sizes": file_of(entry(shape=[-2, -2])),
    "none times too many": file_of(entry(shape=[0, 2**70], offsets=[0, 0])),
    "70 dimensions": file_of(entry(shape=[1] * 69 + [4])),
    "10**18 numbers": file_of(entry(shape=[10**18], offsets=[0, 4 * 10**18])),
    "offsets beyond the file": file_of(entry(offsets=[16, 32])),
    "offsets into the header": file_of(entry(offsets=[-16, 0])),
    "offsets backwards": file_of(entry(offsets=[16, 0])),
    "offsets too few": file_of(entry(offsets=[16])),
    "offsets too many": file_of(entry(offsets=[0, 8, 16])),
    "offsets huge": file_of(entry(offsets=[2**70, 2**70 + 16])),
    "size smaller than offsets": file_of(entry(shape=[3])),
    "size larger than offsets": file_of(entry(shape=[5])), "cut": file_of(entry(), bytes(15)),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("read", READ, ids=lambda read: read.__name__)
def test_damaged_files_are_errors_of_the_model(tmp_path, name, read):
    (tmp_path / "x").write_bytes(DAMAGED[name])
    with pytest.raises(ModelError, match="the weights cannot be read"):
        read(tmp_path / "x")


@pytest.mark.parametrize("read", READ, ids=lambda read: read.__name__)
def test_missing_files_and_folders_are_model_errors(tmp_path, read):
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(ModelError, match="the weights cannot be read"):
            read(path)


@pytest.mark.parametrize("offsets", [
    [(0, 16), (8, 24)], [(0, 16), (0, 16)], [(0, 16), (24, 40)], [(8, 24), (24, 40)],
    [(0, 16), (16, 32)],
], ids=str)  # fmt: skip
def test_gaps_or_overlaps_between_arrays_prevent_hashing(tmp_path, offsets):
    header = {
        name: {"dtype": "F32", "shape": [4], "data_offsets": each}
        for name, each in zip("xy", offsets, strict=True)
    }
    (tmp_path / "x").write_bytes(file_of(header, bytes(40)))
    with pytest.raises(ModelError, match="does not follow|longer than its arrays"):
        tensors.hashed(tmp_path / "x")


def in_parts(values, borders):
    starts = [0, *sorted(borders), len(values)]
    return ChunkedArray(
        starts, lambda number: values[starts[number] : starts[number + 1]], values.dtype
    )


@given(st.data())
def test_slices_and_lengths_match_the_whole_array(data):
    values = np.arange(100, 100 + data.draw(st.integers(0, 40)), dtype=np.uint16)
    parted = in_parts(values, data.draw(st.lists(st.integers(0, len(values)), max_size=5)))
    start, stop = data.draw(st.integers(-50, 50)), data.draw(st.integers(-50, 50))
    assert len(parted) == len(values) and parted.shape == values.shape
    assert np.array_equal(parted[start:stop], values[start:stop])
    assert parted[start:stop].dtype == values.dtype
    assert np.array_equal(np.asarray(parted), values)
    end = data.draw(st.integers(0, len(values)))
    assert np.array_equal(np.asarray(parted.until(end)), values[:end])


@given(st.data())
def test_sum_matches_the_whole_array_with_partial_sums(data):
    values = np.array(data.draw(st.lists(st.integers(0, 100), max_size=20)), dtype=np.uint8)
    starts = [0, *sorted(data.draw(st.lists(st.integers(0, len(values)), max_size=4))), len(values)]
    read = []

    def chunk(number):
        read.append(number)
        return values[starts[number] : starts[number + 1]]

    known = data.draw(st.integers(0, len(starts) - 1))
    sums = [int(values[start:end].sum()) for start, end in pairwise(starts)][:known]
    whole = ChunkedArray(starts, chunk, values.dtype, sums=sums)
    assert whole.sum() == values.sum(dtype=int) and min(read, default=known) >= known
    end = data.draw(st.integers(0, len(values)))
    assert whole.until(end).sum() == values[:end].sum(dtype=int)


def test_only_requested_parts_are_read():
    asked = []

    def part(number):
        asked.append(number)
        return np.arange(10)

    assert ChunkedArray([0, 10, 20, 30], part, np.int64)[12:18].tolist() == [2, 3, 4, 5, 6, 7]
    assert set(asked) == {1}


def test_item_out_of_range_is_an_error():
    for wrong in ([1, -1, 2], [1, 5, 2]):
        parted = ChunkedArray([0, 3], [np.array(wrong)].__getitem__, np.int64, below=5)
        with pytest.raises(ModelError, match="doctor"):
            parted[:]


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
