"""Provide space for large arrays: in memory, or, where memory is limited, in files that vanish with
the process, however it ends; and decide how much is handled at a time."""

import io
import math
import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import DTypeLike

from rnnlm.amounts import amount
from rnnlm.arrays import drop_pages
from rnnlm.errors import OutputError, keyword
from rnnlm.storage.files.tensors import ChunkedArray
from rnnlm.system import processors

# Handled at a time by all threads, at most: fewer fit better into caches, and arrays of n-grams are
# small enough to stay in the process when they are freed
POSITIONS, NGRAMS, ROWS = 1 << 21, 1 << 17, 1 << 21
UNLIMITED = 1 << 40  # bytes, or things handled at a time: more than there are

# How much memory work takes for each thing that it handles, temporary arrays included.
BYTES_PER_ROW, BYTES_PER_COLUMN = 75, 24  # sorting packed n-grams: of each, and of each column
BYTES_PER_NGRAM = 200  # estimating
BYTES_PER_LOOKUP = 24  # exchanging values by suffix: of each n-gram of the order below


class Workspace:
    """The place of large arrays, and how much is handled at a time.

    memory: the bytes that all arrays in use may take together; the rest is kept in files in
    `folder` (None: in the system's temporary folder). None: no limit, and no files. threads: the
    number of parts handled in parallel; None: one for each processor.

    The attribute `memory` is the share of each thread. positions, ngrams: how many of them a thread
    handles at a time. lookups: n-grams of the order below whose values are held.
    """

    def __init__(
        self, memory: int | None = None, threads: int | None = None, folder: Path | None = None
    ) -> None:
        self.threads = threads or processors()
        self.folder = folder
        self.in_files = memory is not None
        self.positions = POSITIONS // self.threads
        self.ngrams = NGRAMS // self.threads
        self.memory = self.lookups = UNLIMITED
        if memory is not None:
            self.memory = memory // self.threads
            # While an order is estimated, the arrays of its left shares hold values of the order
            # below.
            estimating = min(memory // 2, self.ngrams * self.threads * BYTES_PER_NGRAM)
            self.ngrams = max(1, estimating // BYTES_PER_NGRAM // self.threads)
            self.lookups = max(1, (memory - estimating) // BYTES_PER_LOOKUP)

    def rows(self, columns: int, most: int = ROWS) -> int:
        """Return how many packed n-grams of so many columns a thread sorts at a time."""
        return max(1, min(most, self.memory // (BYTES_PER_ROW + BYTES_PER_COLUMN * columns)))

    def shard(self, columns: int) -> int:
        """Return how many tokens are counted together: each begins two n-grams at most."""
        return max(1, self.rows(columns) // 2)

    def file(self) -> IO[bytes]:
        """Return a new file, which may be in memory."""
        if not self.in_files:
            return io.BytesIO()
        with self.explaining(0):
            return tempfile.TemporaryFile(dir=self.folder)

    def column(self, values: np.ndarray) -> np.ndarray | ChunkedArray:
        """Return an array; one in a file as an array that lets go of what was read."""
        if not self.in_files:
            return values
        return ChunkedArray([0, len(values)], lambda _: values, values.dtype)

    def empty(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
        """Return an array of any content. Parts of it that are not written take no memory."""
        length = math.prod(np.atleast_1d(shape).tolist()) * np.dtype(dtype).itemsize
        if not self.in_files or not length:
            return np.empty(shape, dtype)
        with self.explaining(length), tempfile.TemporaryFile(dir=self.folder) as file:
            _reserve(file.fileno(), length)
            return np.frombuffer(mmap.mmap(file.fileno(), length), dtype).reshape(shape)

    @contextmanager
    def explaining(self, length: int) -> Iterator[None]:
        """Turn an error of writing `length` bytes of temporary files into one that names the full
        disk and the way out."""
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"there is no space for {amount(length, unit='bytes')} of temporary files in "
                f"{self.folder or tempfile.gettempdir()}",
                error.strerror or str(error),
                "free some space there, or name another folder with " + keyword("temp"),
            ) from None

    def release(self, *arrays: np.ndarray | ChunkedArray) -> None:
        """Let go of the memory of arrays that are not needed for a while; their content is kept.
        Chunked arrays do so by themselves."""
        for array in arrays:
            if isinstance(array, np.ndarray):
                drop_pages(array)


class GrowingArray:
    """An array that grows at its end: in memory, or in a file where memory is limited."""

    def __init__(self, workspace: Workspace, dtype: DTypeLike) -> None:
        self.workspace = workspace
        self.dtype = np.dtype(dtype)
        self.file = workspace.file()

    def append(self, values: np.ndarray) -> None:
        values = np.ascontiguousarray(values, self.dtype)
        with self.workspace.explaining(values.nbytes):
            self.file.write(values.data)

    def whole(self) -> np.ndarray:
        """Return all of it, which cannot grow any more. A file vanishes with the array."""
        length = self.file.tell()
        with self.workspace.explaining(length):
            self.file.flush()
        if not length:
            return np.zeros(0, self.dtype)
        if isinstance(self.file, io.BytesIO):
            return np.frombuffer(self.file.getbuffer(), self.dtype)
        with self.file:
            data = mmap.mmap(self.file.fileno(), length, access=mmap.ACCESS_READ)
        return np.frombuffer(data, self.dtype)


def _reserve(descriptor: int, length: int) -> None:
    """Take the space on disk now: writing to a mapped file on a full disk would end the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, length)
        return
    block = bytes(1 << 20)
    for start in range(0, length, len(block)):
        os.write(descriptor, block[: length - start])


IN_MEMORY = Workspace()
