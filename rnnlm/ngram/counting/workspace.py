"""Room for large arrays: in memory, or, where memory is limited, in files that vanish with the process, however it ends."""

import math
import mmap
import os
import tempfile
from typing import Any

import numpy as np

from rnnlm.arrays import drop_pages
from rnnlm.errors import OutputError
from rnnlm.system import processors

POSITIONS, NGRAMS = 1 << 25, 1 << 22  # handled at a time by all threads where memory is not limited
BYTES_PER_POSITION, BYTES_PER_NGRAM = 100, 200  # what handling them takes for the moment


class Workspace:
    """buffer_bytes: None, or how much memory there is for what one thread handles at the moment; all else goes to files then.
    threads: how many parts are handled side by side; None: one for each processor.

    positions, ngrams: how many are to be handled at a time.
    """

    def __init__(self, buffer_bytes: int | None = None, threads: int | None = None) -> None:
        self.threads = threads or processors()
        self.in_files = buffer_bytes is not None
        self.positions = max(1, POSITIONS // self.threads if buffer_bytes is None else buffer_bytes // BYTES_PER_POSITION)
        self.ngrams = max(1, NGRAMS // self.threads if buffer_bytes is None else buffer_bytes // BYTES_PER_NGRAM)

    def empty(self, shape: int | tuple[int, ...], dtype: Any) -> np.ndarray:
        """An array of any content. Parts of it that are not written take no memory.

        Raises:
            OutputError: there is no room in the folder for temporary files.
        """
        length = math.prod(np.atleast_1d(shape).tolist()) * np.dtype(dtype).itemsize
        if not self.in_files or not length:
            return np.empty(shape, dtype)
        try:
            with tempfile.TemporaryFile() as file:
                _reserve(file.fileno(), length)
                return np.frombuffer(mmap.mmap(file.fileno(), length), dtype).reshape(shape)
        except OSError as error:
            raise OutputError(
                f"no room for {length / 1e6:,.0f} MB of temporary files in {tempfile.gettempdir()}",
                error.strerror or str(error), "free some space there, name another folder in TMPDIR, or leave out --memory",
            ) from None  # fmt: skip

    def release(self, *arrays: np.ndarray) -> None:
        """Arrays that are not needed for a while need not stay in memory; their content is kept."""
        for array in arrays:
            drop_pages(array)


def _reserve(descriptor: int, length: int) -> None:
    """Take the space on disk now: writing to a mapped file on a full disk would end the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, length)
        return
    block = bytes(1 << 20)
    for start in range(0, length, len(block)):
        os.write(descriptor, block[: length - start])
