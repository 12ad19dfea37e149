"""An array in several parts, such as files mapped into memory, of which no more is read than is asked for."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rnnlm.arrays import drop_pages
from rnnlm.errors import ModelError

HELD_ITEMS = 1 << 22  # how many are read before what of mapped parts is in memory may leave it


class ChunkedArray:
    """Looks like an array of one dimension; a slice of it is an array, all of it is too with np.asarray (which reads everything).

    starts: where each chunk begins, ascending from 0, and the length of all as the last. chunk: the chunk of that number; it is asked
    for whenever something of it is read, so it should be at hand. below: what every item is less than, and none below zero, if
    given: reading another one raises ModelError. sums: of each chunk, where they are known.
    """

    def __init__(
        self, starts: Sequence[int] | np.ndarray, chunk: Callable[[int], np.ndarray], dtype: Any, below: int | None = None,
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

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("a chunked array can only be joined by copying")
        return self[:].astype(dtype or self.dtype, copy=False)

    def read_into(self, found: np.ndarray, start: int) -> None:
        """Fill `found` with the items from `start` on."""
        number, done = int(np.searchsorted(self.starts, start, side="right")) - 1, 0
        while done < len(found):
            at = start + done - int(self.starts[number])
            piece = self.chunk(number)[at : at + len(found) - done]
            if self.below is not None and len(piece) and not 0 <= piece.min() <= piece.max() < self.below:
                raise ModelError("the prepared text is damaged", f"it holds a number that is not below {self.below:,}", "see rnnlm doctor")
            found[done : done + len(piece)] = piece
            done += len(piece)
            self._forget(number, len(piece))
            number += 1

    def until(self, stop: int) -> "ChunkedArray":
        """The items before `stop`."""
        starts = self.starts[self.starts < stop]
        sums = self.sums[: min(len(starts), int((self.starts[1:] <= stop).sum()))]  # of the chunks that stay whole
        return ChunkedArray(
            [*starts, stop], lambda number: self.chunk(number)[: stop - int(self.starts[number])], self.dtype, self.below, sums
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
