"""Provide space for large arrays: in memory, or, where memory is limited, in files that vanish with
the process, however it ends; and decide how much is handled at a time."""

import math
import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from rnnlm.amounts import amount
from rnnlm.arrays import drop_pages
from rnnlm.errors import OutputError, keyword
from rnnlm.storage.files.tensors import ChunkedArray
from rnnlm.system import processors

# Handled at a time by all threads, at most: fewer fit better into caches, and arrays of n-grams are
# small enough to stay in the process when they are freed
POSITIONS, NGRAMS = 1 << 21, 1 << 17
UNLIMITED = 1 << 40  # things handled at a time: more than there are

# How much memory work takes for each thing that it handles, temporary arrays included.
BYTES_PER_POSITION = 55  # counting a shard: of each position of its text (60 at its highest moment)
BYTES_PER_ENTRY = 110  # merging: of each n-gram of a shard
BYTES_PER_NGRAM = 200  # estimating
BYTES_PER_LOOKUP = 24  # exchanging values by suffix: of each n-gram of the order below


class Workspace:
    """The place of large arrays, and how much is handled at a time.

    memory: the bytes that all arrays in use may take together; the rest is kept in files in
    `folder` (None: in the system's temporary folder). None: no limit, and no files. threads: the
    number of parts handled in parallel; None: one for each processor.

    shard: positions of a text that are counted together. positions, entries, ngrams: how many of
    them a thread handles at a time. lookups: n-grams of the order below whose values are held.
    """

    def __init__(
        self, memory: int | None = None, threads: int | None = None, folder: Path | None = None
    ) -> None:
        self.threads = threads or processors()
        self.folder = folder
        self.in_files = memory is not None
        self.positions = POSITIONS // self.threads
        self.ngrams = NGRAMS // self.threads
        self.shard = self.entries = self.lookups = UNLIMITED
        if memory is not None:
            self.shard = max(1, memory // BYTES_PER_POSITION)
            self.positions = max(1, self.shard // (16 * self.threads))
            self.entries = max(1, memory // BYTES_PER_ENTRY // self.threads)
            # While an order is estimated, the arrays of its left shares hold values of the order
            # below.
            estimating = min(memory // 2, self.ngrams * self.threads * BYTES_PER_NGRAM)
            self.ngrams = max(1, estimating // BYTES_PER_NGRAM // self.threads)
            self.lookups = max(1, (memory - estimating) // BYTES_PER_LOOKUP)

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


def _reserve(descriptor: int, length: int) -> None:
    """Take the space on disk now: writing to a mapped file on a full disk would end the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, length)
        return
    block = bytes(1 << 20)
    for start in range(0, length, len(block)):
        os.write(descriptor, block[: length - start])


IN_MEMORY = Workspace()
