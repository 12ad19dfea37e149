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

from rnnlm import system
from rnnlm.amounts import amount
from rnnlm.arrays import drop_pages
from rnnlm.errors import OutputError, SettingsError, keyword
from rnnlm.storage.files.tensors import ChunkedArray

# Handled at a time by all threads, at most: fewer fit better into caches, and arrays of n-grams are
# small enough to stay in the process when they are freed
POSITIONS, NGRAMS, ROWS = 1 << 21, 1 << 17, 1 << 21
MOST_OPEN = 1 << 10  # files of pieces that stay mapped, and are merged at a time
SWEEPS = 16  # of a thread over an order to look up its keys; for more, they are parted first
UNLIMITED = 1 << 40  # bytes, or things handled at a time: more than there are

# How much memory work takes for each thing that it handles, temporary arrays included.
BYTES_PER_ROW, BYTES_PER_COLUMN = 75, 24  # sorting packed n-grams: of each, and of each column
BYTES_PER_KEY = 75  # looking up keys
BYTES_PER_NGRAM = 200  # estimating
BYTES_PER_LOOKUP = 24  # exchanging values by suffix: of each n-gram of the order below

# ---- What of a memory limit is left for arrays.

LEAST_BYTES = 80_000_000  # of arrays, for work that is worth beginning
# The memory of the program, with each word of its vocabulary, when counting begins, give or take
# VARYING_BYTES: it differs between two runs of the same command.
PROGRAM_BYTES, HELD_PER_WORD = 120_000_000, 60
VARYING_BYTES = LEAST_BYTES // 2
# Bytes of arrays that stay in the process when they are freed
SMALLEST_KEPT, LARGEST_KEPT = 1 << 20, 1 << 24
BYTES_PER_WORD = 120  # of the vocabulary: unigrams are handled at a time
COUNTED_PER_WORD = 60  # of that, the memory held while shards are counted


def memory_for_arrays(memory: str, size: int) -> int:
    """Return how many bytes the arrays of the work may take; refuse too little.

    The lower limit depends on the vocabulary, not on the memory of the moment, so that the same
    command always has the same outcome. Only a process that held far more before is measured.
    """
    # Memory already in use, such as by the vocabulary.
    allowed = system.parse_size(memory)
    system.return_freed(min(max(SMALLEST_KEPT, allowed // 256), LARGEST_KEPT))
    used = system.private_bytes()
    usual = _usual_bytes(size)
    check_size(memory, size, used if used > usual + VARYING_BYTES else usual)
    return allowed - used - COUNTED_PER_WORD * size


def check_size(
    memory: str,
    size: int,
    held: int | None = None,
    tokens_read: int | None = None,
    foreseen: int | None = None,
) -> None:
    """Refuse a `memory` that is too little to count with a vocabulary of that size.

    held: bytes in memory before counting; None: the usual number for a vocabulary of that size.
    tokens_read: number of tokens of the text that gave this vocabulary so far; None if it is
    complete. foreseen: the vocabulary that the whole text is likely to have, if its length is
    known.
    """
    if held is None:
        held = _usual_bytes(size)
    least = held + LEAST_BYTES + BYTES_PER_WORD * size
    if system.parse_size(memory) >= least:
        return

    # The memory that counting needs, and the amount that would do.
    vocabulary = f" with its vocabulary of {size:,} words" if size else ""
    needs = (
        f"the program uses {amount(held, unit='bytes')}{vocabulary}, "
        f"and counting needs at least {amount(least - held, unit='bytes')} more"
    )
    enough = f"{least / 1e6 + 1:.0f}M or more"

    # While the text is read, that is the least it can be.
    if tokens_read is not None:
        needs = (
            f"the first {tokens_read:,} tokens of the text have a vocabulary of {size:,} words, "
            f"for which counting needs at least {amount(least, unit='bytes')}"
        )
        if foreseen is None:
            enough += ": the rest of the text may add words, each of which needs memory"
        else:
            whole = _usual_bytes(foreseen) + LEAST_BYTES + BYTES_PER_WORD * foreseen
            enough = f"{whole / 1e6 + 1:.0f}M: all of it is likely to have {foreseen:,} words"
    raise SettingsError(f"memory = {memory} is too little", needs, f"give {enough}")


def _usual_bytes(size: int) -> int:
    """Return the memory of the program and a vocabulary of that size when counting begins."""
    return PROGRAM_BYTES + HELD_PER_WORD * size


# ---- Arrays.


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
        self.threads = threads or system.processors()
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

    def keys(self, most: int) -> int:
        """Return how many keys a thread looks up at a time, at most so many."""
        return max(1, min(most, self.memory // BYTES_PER_KEY))

    def is_swept(self, length: int) -> bool:
        """Return whether so many keys are looked up in few enough blocks, each of which reads all
        of the order below."""
        return not self.in_files or length <= SWEEPS * self.threads * self.keys(UNLIMITED)

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
