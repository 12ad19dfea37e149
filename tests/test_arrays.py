import numpy as np
import pytest
import torch

from rnnlm import arrays


def test_values_of_a_model_come_to_the_host():
    found = arrays.as_numpy(torch.ones(2, 3, requires_grad=True))
    assert isinstance(found, np.ndarray) and found.shape == (2, 3)
    own = np.ones(3)
    assert arrays.as_numpy(own) is own
    with pytest.raises(TypeError, match="values must be a numpy or torch array, not a list"):
        arrays.as_numpy([1.0])


def test_values_become_what_the_reference_is():
    for reference in (np.zeros(1), torch.zeros(1)):
        for values in ([1, 2], np.array([1, 2]), torch.tensor([1, 2])):
            found = arrays.as_array_of(values, reference)
            assert type(found) is type(reference) and found.tolist() == [1, 2]


def test_mixed_arrays_become_those_of_the_device_model():
    numpy, read_only = np.ones(2, dtype=np.float32), np.broadcast_to(np.float64(0.5), 2)
    assert all(each.dtype == np.float64 for each in arrays.same_dtype([numpy, read_only]))
    found = arrays.same_dtype([numpy, torch.zeros(2), read_only])
    assert all(each.dtype == torch.float32 for each in found)
    assert [each.tolist() for each in found] == [[1, 1], [0, 0], [0.5, 0.5]]


def test_arrays_keep_their_names_within_more():
    some, others = {"w": np.zeros(2), "b.1": np.ones(1)}, {"w": np.ones(3)}
    together = arrays.with_prefix("part_1.", some) | arrays.with_prefix("part_10.", others)
    assert list(together) == ["part_1.w", "part_1.b.1", "part_10.w"]
    assert arrays.strip_prefix("part_1.", together).keys() == some.keys()
    assert arrays.strip_prefix("part_10.", together)["w"] is others["w"]


def test_blocks_cover_every_place_once():
    blocks = [list(range(8))[block] for block in arrays.blocks(8, 3)]
    assert blocks == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert list(arrays.blocks(3, 5)) == [slice(0, 3)]
    assert list(arrays.blocks(0, 5)) == []
