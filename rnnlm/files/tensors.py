"""Arrays in one file of the safetensors format: written as a stream, read by mapping the file into
memory or, hashed, as a whole.

The format: 8 bytes length of the header, little endian; the header, JSON: name to dtype, shape and
data offsets; the data. Mapped arrays are read from disk when and where they are used, so a model of
gigabytes opens at once. A file that cannot be read, or is no such file, raises ModelError.
"""

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import DTypeLike

from rnnlm.arrays import drop_pages
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


def chunks(arrays: Mapping[str, np.ndarray]) -> Iterator[bytes | memoryview]:
    """The file's content in pieces. Wider types come first, so every array is aligned."""
    ordered = {
        name: np.asarray(arrays[name], order="C")
        for name in sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    }
    entries, start = {}, 0
    for name, array in ordered.items():
        shape, offsets = list(array.shape), [start, start + array.nbytes]
        entries[name] = {"dtype": NAMES[array.dtype], "shape": shape, "data_offsets": offsets}
        start += array.nbytes
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % ALIGNMENT)
    yield len(header).to_bytes(8, "little") + header
    for array in ordered.values():
        data = array.reshape(-1).view(np.uint8)
        for start in range(0, len(data), PIECE):
            yield data[start : start + PIECE].data


def shapes(path: Path) -> Shapes:
    """Name to (dtype, shape) of the arrays in a file; only its header is read."""
    with _opened(path) as stream:
        return {
            name: (entry.dtype, tuple(entry.shape))
            for name, entry in _read_header(stream)[1].items()
        }


def mapped(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file, read-only, mapped into memory."""
    with _opened(path) as stream:
        header, entries = _read_header(stream)
        data = np.memmap(stream, dtype=np.uint8, mode="r")[len(header) :]
    return {
        name: np.asarray(data[slice(*entry.data_offsets)])
        .view(DTYPES[entry.dtype])
        .reshape(entry.shape)
        for name, entry in entries.items()
    }


def hashed(path: Path) -> tuple[dict[str, np.ndarray], str]:
    """The arrays of a file, in memory, and the SHA-256 of the file: of the very bytes that the
    arrays are made of, which are read once. A byte that belongs to no array, or to two of them, is
    an error."""
    with _opened(path) as stream:
        header, entries = _read_header(stream)
        found, at, arrays = hashlib.sha256(header), 0, {}
        for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
            start, end = entry.data_offsets
            array = arrays[name] = np.empty(entry.shape, DTYPES[entry.dtype])
            data = array.reshape(-1).view(np.uint8)
            if start != at or stream.readinto(data.data) != len(data):
                raise ModelError(
                    "the weights cannot be read",
                    f"array {name!r} does not follow the one before it",
                )
            found.update(data.data)
            at = end
        if stream.read(1):
            raise ModelError("the weights cannot be read", "the file is longer than its arrays")
    return arrays, found.hexdigest()


def bytes_of(shapes: Shapes) -> int:
    """The bytes that arrays of these types and shapes take."""
    return sum(DTYPES[kind].itemsize * math.prod(shape) for kind, shape in shapes.values())


def check_shapes(arrays: Mapping[str, np.ndarray], shapes: Shapes) -> None:
    """Make sure that no array is missing, unknown, or of another type or shape than expected; a
    ModelError names one."""
    if arrays.keys() != shapes.keys():
        odd = min(arrays.keys() ^ shapes.keys())
        raise ModelError(
            "the weights do not fit the settings", f"array {odd!r} is missing or unknown"
        )
    for name, (kind, shape) in shapes.items():
        found = NAMES[arrays[name].dtype], arrays[name].shape
        if found != (kind, shape):
            why = f"array {name!r} is {found[0]} {found[1]}, the settings imply {kind} {shape}"
            raise ModelError("the weights do not fit the settings", why)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BufferedReader]:
    try:
        with open(path, "rb") as stream:
            yield stream
    except OSError as error:
        raise ModelError("the weights cannot be read", error.strerror or str(error)) from None


def _read_header(stream: BufferedReader) -> tuple[bytes, dict[str, _Entry]]:
    """What comes before the data, and the entries, each within the file and of the length its shape
    implies."""
    length, header = os.fstat(stream.fileno()).st_size, stream.read(8)
    size = int.from_bytes(header, "little")
    if not 2 <= size <= min(LARGEST_HEADER, length - 8):
        raise ModelError("the weights cannot be read", "the header is damaged")
    header += stream.read(size)
    try:
        entries = json.loads(header[8:])
        entries.pop("__metadata__", None)
        entries = msgspec.convert(entries, dict[str, _Entry])
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise ModelError("the weights cannot be read", f"the header is damaged: {error}") from None
    for name, entry in entries.items():
        start, end = entry.data_offsets
        is_shape = len(entry.shape) <= MOST_DIMENSIONS and all(
            0 <= each <= length for each in entry.shape
        )
        fits = 0 <= start <= end <= length - 8 - size and is_shape and entry.dtype in DTYPES
        if not fits or math.prod(entry.shape) * DTYPES[entry.dtype].itemsize != end - start:
            raise ModelError("the weights cannot be read", f"array {name!r} does not fit the file")
    return header, entries


# ---- An array in several parts, such as files mapped into memory, of which no more is read than is
# asked for.

HELD_ITEMS = 1 << 22  # how many are read before what of mapped parts is in memory may leave it


class ChunkedArray:
    """Looks like an array of one dimension; a slice of it is an array, all of it is too with
    np.asarray (which reads everything).

    starts: where each chunk begins, ascending from 0, and the length of all as the last. chunk: the
    chunk of that number; it is asked for whenever something of it is read, so it should be at hand.
    below: what every item is less than, and none below zero, if given: reading another one raises
    ModelError. sums: of each chunk, where they are known.
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
        self.sums = sums
        self._touched: set[int] = set()
        self._held = 0  # items read since pages were dropped

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def shape(self) -> tuple[int]:
        return (len(self),)

    def __getitem__(self, at: slice) -> np.ndarray:
        start, stop, step = at.indices(len(self))
        found = np.empty(max(0, stop - start), dtype=self.dtype)
        self.read_into(found, start)
        return found[::step]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("a chunked array can only be joined by copying")
        return self[:].astype(dtype or self.dtype, copy=False)

    def read_into(self, found: np.ndarray, start: int) -> None:
        """Fill `found` with the items from `start` on."""
        number, done = int(np.searchsorted(self.starts, start, side="right")) - 1, 0
        while done < len(found):
            at = start + done - int(self.starts[number])
            piece = self.chunk(number)[at : at + len(found) - done]
            if (
                self.below is not None
                and len(piece)
                and not 0 <= piece.min() <= piece.max() < self.below
            ):
                raise ModelError(
                    "the prepared text is damaged",
                    f"it holds a number that is not below {self.below:,}",
                    "see rnnlm doctor",
                )
            found[done : done + len(piece)] = piece
            done += len(piece)
            self._forget(number, len(piece))
            number += 1

    def until(self, stop: int) -> "ChunkedArray":
        """The items before `stop`."""
        starts = self.starts[self.starts < stop]
        # of the chunks that stay whole
        sums = self.sums[: min(len(starts), int((self.starts[1:] <= stop).sum()))]
        return ChunkedArray(
            [*starts, stop],
            lambda number: self.chunk(number)[: stop - int(self.starts[number])],
            self.dtype,
            self.below,
            sums,
        )

    def sum(self) -> int:
        """The sum of all items; the chunks whose sums are known are not read."""
        return sum(self.sums) + int(self[int(self.starts[len(self.sums)]) :].sum(dtype=np.int64))

    def _forget(self, number: int, items: int) -> None:
        """Mapped pages count as memory of this process for as long as nobody else wants it."""
        self._touched.add(number)
        self._held += items
        if self._held > HELD_ITEMS:
            for each in self._touched:
                drop_pages(self.chunk(each))
            self._touched.clear()
            self._held = 0
