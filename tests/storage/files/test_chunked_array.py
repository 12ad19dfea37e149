"""An array in parts reads as the array that the parts make."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlm.errors import ModelError
from rnnlm.storage.files.tensors import ChunkedArray


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
