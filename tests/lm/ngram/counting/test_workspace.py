"""Room for arrays, in memory or in files that nobody sees; sizes as people write them."""

import errno
import gc
import mmap
import os

import numpy as np
import pytest

from rnnlm.errors import OutputError
from rnnlm.lm.ngram.counting.workspace import Workspace


def is_in_a_file(array: np.ndarray) -> bool:
    owner = array
    while isinstance(owner, (np.ndarray, memoryview)):
        owner = owner.base if isinstance(owner, np.ndarray) else owner.obj
    return isinstance(owner, mmap.mmap)


@pytest.mark.parametrize("shape", [5, (3, 4), 1 << 18, (1 << 17) + 1, (700, 2, 300)], ids=str)
@pytest.mark.parametrize("reserve", ["fallocate", "writing"])
def test_arrays_in_files_keep_contents_and_leave_nothing(temp, monkeypatch, shape, reserve):
    if reserve == "writing":
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    chance = np.random.default_rng(0)
    workspace = Workspace(memory=1000)
    arrays = [workspace.empty(shape, kind) for kind in (np.uint64, np.float32, np.int32)]
    written = [chance.integers(0, 1000, size=shape).astype(array.dtype) for array in arrays]
    for array, values in zip(arrays, written, strict=True):
        assert array.shape == values.shape and array.flags.writeable and is_in_a_file(array)
        array[...] = values
    workspace.release(*arrays)
    assert all((array == values).all() for array, values in zip(arrays, written, strict=True))
    del arrays, array  # on Windows, files have names as long as they are mapped
    assert list(temp.iterdir()) == []


def test_released_arrays_keep_their_content():
    workspace = Workspace(memory=1)
    array = workspace.empty((1 << 16, 2), np.float64)
    array[:] = 1.5
    in_memory = np.arange(10)
    part = array[1000:2000, 1]
    workspace.release(part, array, in_memory, in_memory[2:5])
    array[5] = 2.5
    workspace.release(array)
    assert array[5, 0] == 2.5 and array.sum() == 1.5 * 2 * (1 << 16) + 2
    assert (in_memory == np.arange(10)).all()
    # A part outlives the array and its workspace.
    del array, workspace
    gc.collect()
    assert (part == 1.5).all()


def test_without_a_limit_arrays_are_in_memory(temp):
    temp.rmdir()
    workspace = Workspace()
    assert not workspace.in_files and not is_in_a_file(workspace.empty((3, 4), np.float32))
    # nothing needs no file
    assert Workspace(memory=5).empty((0, 2), np.float32).shape == (0, 2)


@pytest.mark.parametrize("full", ["at once", "while writing"])
def test_a_full_disk_error_names_the_folder(temp, monkeypatch, full):
    def no_space(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    if full == "while writing":
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    called = "posix_fallocate" if full == "at once" else "write"
    monkeypatch.setattr(os, called, no_space, raising=False)
    with pytest.raises(OutputError, match="No space left on device.*`temp`") as raised:
        Workspace(memory=1).empty(10**7, np.float64)
    assert raised.value.what == f"there is no space for 80.0 MB of temporary files in {temp}"
    assert list(temp.iterdir()) == []
