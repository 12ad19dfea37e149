"""Pass values between two orders: from an n-gram to the longer ones that end in it, and back.

An n-gram (w1, ..., wn) knows the number of its suffix (w2, ..., wn) in the order below. Upwards
go continuation counts: how many n-grams end in each suffix. Downwards go values of the suffix, such
as its probability.

The numbers of the suffixes are not sorted, so looking them up would read the order below at random.
If that order does not fit in memory, it is cut into buckets. Each suffix is written to the file of
its bucket; each bucket is loaded once, and its values are looked up. Within a bucket the suffixes
keep the order of their n-grams, so the values are read back in that order.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import DTypeLike

from rnnlm.lm.ngram.counting.workspace import GrowingArray, Workspace
from rnnlm.parallel import in_threads
from rnnlm.storage.files.tensors import ChunkedArray

AT_ONCE = 1 << 20  # suffixes of a bucket that are handled at a time


class SuffixExchange:
    """The suffixes of an order, ready to be looked up in the order below.

    blocks: ranges of n-grams, from the first to the last, whose values are asked for together.
    below: how many n-grams the order below has.
    """

    def __init__(
        self,
        suffixes_M: np.ndarray | ChunkedArray,
        blocks: Sequence[tuple[int, int]],
        below: int,
        workspace: Workspace,
    ) -> None:
        self.suffixes_M = suffixes_M
        self.blocks = blocks
        self.below = below
        self.workspace = workspace
        # A bucket holds a power of two of n-grams, so that its number is a shift away.
        is_one = below <= workspace.lookups
        self.shift = below.bit_length() if is_one else workspace.lookups.bit_length() - 1
        self.buckets = (max(1, below) - 1 >> self.shift) + 1
        if self.buckets > 1:
            self._write_buckets()

    def _write_buckets(self) -> None:
        """Write the suffixes, as places within their buckets, to one file a bucket."""
        files = [GrowingArray(self.workspace, np.uint32) for _ in range(self.buckets)]
        lengths = np.zeros((len(self.blocks) + 1, self.buckets), dtype=np.int64)
        sorted_blocks = in_threads(self._sorted_places, self.blocks, self.workspace.threads)
        for number, (places, lengths_B) in enumerate(sorted_blocks, start=1):
            lengths[number] = lengths_B
            start = 0
            for file, length in zip(files, lengths_B.tolist(), strict=True):
                file.append(places[start : start + length])
                start += length
        # ends[i, b]: how many places bucket b has of the first i blocks
        self.ends = np.cumsum(lengths, axis=0)
        self.places = [file.whole() for file in files]

    def _sorted_places(self, block: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Return the places of the suffixes of a block, bucket after bucket, and the number of them
        in each."""
        suffixes = self.suffixes_M[slice(*block)]
        by_bucket, lengths_B = self._by_bucket(suffixes)
        places = suffixes[by_bucket]
        places &= suffixes.dtype.type((1 << self.shift) - 1)
        return places.astype(np.uint32), lengths_B

    def _by_bucket(self, suffixes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the order that puts suffixes together by bucket, and the number of them in
        each."""
        # Small integers are sorted by their digits, in linear time.
        kind = np.uint8 if self.buckets <= 1 << 8 else np.uint16
        buckets = (suffixes >> self.shift).astype(kind)
        lengths_B = np.bincount(buckets, minlength=self.buckets)
        return np.argsort(buckets, kind="stable"), lengths_B

    def tally(self, dtype: DTypeLike) -> np.ndarray:
        """Return how many n-grams end in each n-gram of the order below."""
        if self.buckets == 1:
            return self._tally_in_memory(dtype)
        found_M = self.workspace.empty(self.below, dtype)
        for bucket, places in enumerate(self.places):
            first = bucket << self.shift
            width = min(1 << self.shift, self.below - first)
            total = np.zeros(width, dtype)
            for start in range(0, len(places), 1 << self.shift):
                part = places[start : start + (1 << self.shift)]
                total += np.bincount(part, minlength=width).astype(dtype)
            found_M[first : first + width] = total
            self.workspace.release(places, found_M)
        return found_M

    def _tally_in_memory(self, dtype: DTypeLike) -> np.ndarray:
        total = np.zeros(self.below, dtype)
        # Each thread has its own tally, which takes as much memory as the order below; half as many
        # suffixes at a time are worth it.
        threads = 1 if self.workspace.in_files else self.workspace.threads
        share = len(self.suffixes_M) // threads + 1
        at_once = min(share, max(self.below // 2, AT_ONCE))

        def tally(start: int) -> np.ndarray:
            return np.bincount(self.suffixes_M[start : start + at_once], minlength=self.below)

        for tally_M in in_threads(tally, range(0, len(self.suffixes_M), at_once), threads):
            np.add(total, tally_M, out=total, casting="unsafe")
        return total

    def values(self, values_M: np.ndarray | ChunkedArray) -> Callable[[int], np.ndarray]:
        """Return a function that returns, for the block of a number, the values that `values_M` has
        for the suffixes of its n-grams."""
        if self.buckets == 1:
            held_M = np.asarray(values_M)
            return lambda number: held_M[self.suffixes_M[slice(*self.blocks[number])]]

        # Look up bucket after bucket.
        values_by_bucket = []
        for bucket, places in enumerate(self.places):
            first = bucket << self.shift
            held = np.array(values_M[first : first + (1 << self.shift)])
            taken = GrowingArray(self.workspace, values_M.dtype)
            for start in range(0, len(places), AT_ONCE):
                taken.append(held[places[start : start + AT_ONCE]])
            values_by_bucket.append(taken.whole())
            self.workspace.release(places, values_M)

        def of_block(number: int) -> np.ndarray:
            by_bucket, _ = self._by_bucket(self.suffixes_M[slice(*self.blocks[number])])
            ranges = zip(values_by_bucket, self.ends[number], self.ends[number + 1], strict=True)
            values = np.empty(len(by_bucket), values_M.dtype)
            values[by_bucket] = np.concatenate([array[start:end] for array, start, end in ranges])
            self.workspace.release(*values_by_bucket)
            return values

        return of_block
