"""Keep arrays in one file of the safetensors format: write it as a stream, read it by mapping the
file into memory or, hashed, as a whole.

The format: the length of the header in 8 bytes, little endian; the header, JSON that gives each
name its dtype, shape and data offsets; the data. Mapped arrays are read from disk when and where
they are used, so a model of gigabytes opens at once. A file that cannot be read, or is no such
file, raises ModelError.
"""

import contextlib
import hashlib
import json
import math
import mmap
import os
import weakref
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import DTypeLike

from rnnlm.arrays import drop_pages, mapping_of
from rnnlm.errors import ModelError
from rnnlm.interface import Shapes

BF16 = np.dtype([("bf16", "<u2")])  # numpy has no bfloat16: its bits
_DTYPES: dict[str, Any] = {
    "BF16": BF16, "F64": np.float64, "F32": np.float32, "F16": np.float16, "I64": np.int64,
    "I32": np.int32, "I16": np.int16, "I8": np.int8,
    "U64": np.uint64, "U32": np.uint32, "U16": np.uint16, "U8": np.uint8, "BOOL": np.bool_,
}  # fmt: skip
DTYPES = {name: np.dtype(kind) for name, kind in _DTYPES.items()}
NAMES = {kind: name for name, kind in DTYPES.items()}
ALIGNMENT = 8
MOST_DIMENSIONS = 8
PIECE = 1 << 24  # bytes written at a time
LARGEST_HEADER = 100 << 20


class _Entry(msgspec.Struct):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def chunks(
    arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> Iterator[bytes | memoryview]:
    """Yield the file's content in pieces. Wider types come first, so every array is aligned.

    metadata: entries of the header besides the arrays, for other programs.
    """
    names = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    ordered = {name: np.asarray(arrays[name], order="C") for name in names}

    # The header says where each array begins and ends, so it is known before any is written.
    entries: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    start = 0
    for name, array in ordered.items():
        end = start + array.nbytes
        entries[name] = {
            "dtype": NAMES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [start, end],
        }
        start = end
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % ALIGNMENT)
    yield len(header).to_bytes(8, "little") + header

    for array in ordered.values():
        data = array.reshape(-1).view(np.uint8)
        for start in range(0, len(data), PIECE):
            yield data[start : start + PIECE].data


def shapes(path: Path) -> Shapes:
    """Return the dtype and shape of each array in a file, by name; only its header is read."""
    with _open_for_reading(path) as stream:
        _, entries = _read_header(stream)
    return {name: (entry.dtype, tuple(entry.shape)) for name, entry in entries.items()}


def mapped(path: Path) -> dict[str, np.ndarray]:
    """Map the arrays of a file into memory, read-only."""
    with _open_for_reading(path) as stream:
        header, entries = _read_header(stream)
        data = np.memmap(stream, dtype=np.uint8, mode="r")[len(header) :]
    arrays = {}
    for name, entry in entries.items():
        start, end = entry.data_offsets
        arrays[name] = np.asarray(data[start:end]).view(DTYPES[entry.dtype]).reshape(entry.shape)
    return arrays


def hashed(path: Path) -> tuple[dict[str, np.ndarray], str]:
    """Read the arrays of a file into memory. Return them and the file's SHA-256, over the very
    bytes that the arrays are made of.

    The bytes are read once. One that belongs to no array, or to two of them, is an error.
    """
    with _open_for_reading(path) as stream:
        header, entries = _read_header(stream)
        hashed = hashlib.sha256(header)
        arrays = {}
        at = 0
        # In the order of the file, each array must begin where the last one ended.
        for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
            start, end = entry.data_offsets
            array = arrays[name] = np.empty(entry.shape, DTYPES[entry.dtype])
            data = array.reshape(-1).view(np.uint8)
            if start != at or stream.readinto(data.data) != len(data):
                raise ModelError(
                    "the weights cannot be read",
                    f"array {name!r} does not follow the one before it",
                )
            hashed.update(data.data)
            at = end
        if stream.read(1):
            raise ModelError("the weights cannot be read", "the file is longer than its arrays")
    return arrays, hashed.hexdigest()


def bytes_of(shapes: Shapes) -> int:
    """Return how many bytes arrays of these types and shapes take."""
    return sum(DTYPES[kind].itemsize * math.prod(shape) for kind, shape in shapes.values())


def check_shapes(arrays: Mapping[str, np.ndarray], shapes: Shapes) -> None:
    """Make sure that no array is missing, unknown, or of another type or shape than expected. A
    ModelError names one that is."""
    if arrays.keys() != shapes.keys():
        odd = min(arrays.keys() ^ shapes.keys())
        raise ModelError(
            "the weights do not fit the settings", f"array {odd!r} is missing or unknown"
        )
    for name, (kind, shape) in shapes.items():
        stored = NAMES[arrays[name].dtype], arrays[name].shape
        if stored != (kind, shape):
            why = f"array {name!r} is {stored[0]} {stored[1]}, the settings imply {kind} {shape}"
            raise ModelError("the weights do not fit the settings", why)


@contextlib.contextmanager
def _open_for_reading(path: Path) -> Iterator[BufferedReader]:
    try:
        with open(path, "rb") as stream:
            yield stream
    except OSError as error:
        raise ModelError("the weights cannot be read", error.strerror or str(error)) from None


def _read_header(stream: BufferedReader) -> tuple[bytes, dict[str, _Entry]]:
    """Return the bytes before the data, and the entries: each within the file, and as long as its
    shape implies."""
    length = os.fstat(stream.fileno()).st_size
    header = stream.read(8)
    size = int.from_bytes(header, "little")
    if not 2 <= size <= min(LARGEST_HEADER, length - 8):
        raise ModelError("the weights cannot be read", "the header is damaged")
    header += stream.read(size)

    # The header may be any JSON, as deep as it likes.
    try:
        entries = json.loads(header[8:])
        entries.pop("__metadata__", None)
        entries = msgspec.convert(entries, dict[str, _Entry])
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise ModelError("the weights cannot be read", f"the header is damaged: {error}") from None

    # No entry may have us read or allocate more than the file holds.
    for name, entry in entries.items():
        if not _fits(entry, file_bytes=length, data_bytes=length - 8 - size):
            raise ModelError("the weights cannot be read", f"array {name!r} does not fit the file")
    return header, entries


def _fits(entry: _Entry, file_bytes: int, data_bytes: int) -> bool:
    """Return whether the entry lies within the data, and its shape takes just its own bytes."""
    start, end = entry.data_offsets
    if not 0 <= start <= end <= data_bytes or entry.dtype not in DTYPES:
        return False
    # A shape of many or huge dimensions would take long to multiply.
    is_huge = any(not 0 <= size <= file_bytes for size in entry.shape)
    if is_huge or len(entry.shape) > MOST_DIMENSIONS:
        return False
    return math.prod(entry.shape) * DTYPES[entry.dtype].itemsize == end - start


# ---- An array in several parts, such as files mapped into memory. Only requested parts are read.

HELD_ITEMS = 1 << 22  # items read before the pages of mapped parts may leave memory


class ChunkedArray:
    """Looks like an array of one dimension. A slice of it is an array; np.asarray of it reads
    everything.

    starts: where each chunk begins, ascending from 0, and the length of all as the last. chunk:
    returns the chunk of that number; it is called whenever something of it is read, so it should be
    at hand. below: if given, every item must be less than it and none below zero; reading another
    one raises ModelError. sums: of each chunk, where they are known.
    """

    def __init__(
        self, starts: Sequence[int] | np.ndarray, chunk: Callable[[int], np.ndarray],
        dtype: DTypeLike, below: int | None = None,
        sums: Sequence[int] = (),
    ) -> None:  # fmt: skip
        self.starts = np.asarray(starts, dtype=np.int64)
        self.chunk = chunk
        self.dtype = np.dtype(dtype)
        self.below = below
        self.sums = list(sums)
        # Files that were read since pages were dropped. Who maps them may let go of them.
        self._touched: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()
        self._held = 0  # items read since pages were dropped

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def shape(self) -> tuple[int]:
        return (len(self),)

    def __getitem__(self, at: slice) -> np.ndarray:
        start, stop, step = at.indices(len(self))
        values = np.empty(max(0, stop - start), dtype=self.dtype)
        self.read_into(values, start)
        return values[::step]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("a chunked array can only be joined by copying")
        return self[:].astype(dtype or self.dtype, copy=False)

    def read_into(self, target: np.ndarray, start: int) -> None:
        """Fill `target` with the items from `start` on."""
        number = int(np.searchsorted(self.starts, start, side="right")) - 1
        done = 0
        # The first piece begins somewhere inside its chunk, each later one at the start of its own.
        while done < len(target):
            at = start + done - int(self.starts[number])
            piece = self.chunk(number)[at : at + len(target) - done]
            self._check(piece)
            target[done : done + len(piece)] = piece
            done += len(piece)
            self._forget(piece)
            number += 1

    def _check(self, piece: np.ndarray) -> None:
        """Make sure that all items of `piece` are in the range that was declared."""
        if self.below is None or not len(piece):
            return
        if not 0 <= piece.min() <= piece.max() < self.below:
            raise ModelError(
                "the prepared text is damaged",
                f"it holds a token id of {self.below:,} or more",
                "see rnnlm doctor",
            )

    def chunks(self) -> Iterator[np.ndarray]:
        """Yield the chunks, one after the other."""
        return map(self.chunk, range(len(self.starts) - 1))

    def searchsorted(self, value: int | np.integer, side: Literal["left", "right"] = "left") -> int:
        """Return where `value` belongs among the items, which ascend, as numpy's function of that
        name does. Few items are read."""
        # Find the last chunk that begins before it; chunks hold one item at least.
        chunks = range(len(self.starts) - 1)
        number = bisect_left(
            chunks, True, key=lambda number: not self.chunk(number)[:1].searchsorted(value, side)
        )
        if not number:
            return 0
        return int(self.starts[number - 1] + self.chunk(number - 1).searchsorted(value, side))

    def until(self, stop: int) -> "ChunkedArray":
        """Return the items before `stop`."""
        starts = self.starts[self.starts < stop]
        # Sums are known of the chunks that stay whole.
        whole = int((self.starts[1:] <= stop).sum())
        return ChunkedArray(
            [*starts, stop],
            lambda number: self.chunk(number)[: stop - int(self.starts[number])],
            self.dtype,
            self.below,
            self.sums[: min(len(starts), whole)],
        )

    def sum(self) -> int:
        """Return the sum of all items; the chunks whose sums are known are not read."""
        for number in range(len(self.sums), len(self.starts) - 1):
            chunk = self[int(self.starts[number]) : int(self.starts[number + 1])]
            self.sums.append(int(chunk.sum(dtype=np.int64)))
        return sum(self.sums)

    def _forget(self, piece: np.ndarray) -> None:
        """Let pages leave memory once enough items were read: mapped pages count as memory of this
        process until other processes need it."""
        mapping = mapping_of(piece)
        if mapping is not None:
            self._touched.add(mapping)
        self._held += len(piece)
        if self._held > HELD_ITEMS:
            # Other threads may read here, too.
            touched, self._touched = self._touched, weakref.WeakSet()
            self._held = 0
            for array in list(touched):
                drop_pages(array)
