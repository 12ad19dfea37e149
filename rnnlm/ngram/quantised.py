"""Log-probabilities and backoff weights in few bits: each is stored as the number of a bin, and
read as the mean of what the bin holds.

Every bin holds an equal share of the sorted values, apart for each order and for probabilities and
backoff weights (Federico & Bertoldi 2006), as in KenLM's `build_binary -q -b`. A backoff weight of
1 (0 as a logarithm) and a probability of 0 stay exact.
"""

from typing import overload

import numpy as np

TYPES = {8: np.uint8, 16: np.uint16}  # of a code, by bits
# Of a backoff weight, KenLM keeps two codes for 0. So do we, and have the same bins.
CODES_OF_ZERO = 2
TOGETHER = 1 << 20  # values that are coded at a time


class QuantisedValues:
    """The values of M n-grams, K of each, which look like an array (M, K) of float32: `[rows]` is
    an array, `[:, k]` one column that looks like an array (M,), and np.asarray reads all.

    codes_MK: the bin of each value, which may be mapped from a file. centres_KC: what each bin is
    read as (nats). An IndexError says that the codes are damaged.
    """

    def __init__(self, codes_MK: np.ndarray, centres_KC: np.ndarray) -> None:
        self.codes_MK = codes_MK
        self.centres_KC = centres_KC

    @classmethod
    def of(cls, values_MK: np.ndarray, bits: int) -> "QuantisedValues":
        """Quantise log p(w|h) in the first column and, if there is a second one, the logarithms of
        backoff weights there. bits: 8 or 16, of a code."""
        codes_MK = np.empty(values_MK.shape, dtype=TYPES[bits])
        centres = []
        for k in range(values_MK.shape[1]):
            codes_MK[:, k], centres_C = quantise(values_MK[:, k], bits, is_backoff=k > 0)
            centres.append(centres_C)
        # Columns of a few different values need fewer bins.
        centres_KC = np.zeros((len(centres), max(map(len, centres))), dtype=np.float32)
        for k, centres_C in enumerate(centres):
            centres_KC[k, : len(centres_C)] = centres_C
        return cls(codes_MK, centres_KC)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.codes_MK.shape

    def __len__(self) -> int:
        return len(self.codes_MK)

    @overload
    def __getitem__(self, at: tuple[slice, int]) -> "QuantisedColumn": ...

    @overload
    def __getitem__(self, at: slice | np.ndarray) -> np.ndarray: ...

    def __getitem__(self, at: tuple[slice, int] | slice | np.ndarray) -> object:
        if isinstance(at, tuple):
            rows, k = at
            return QuantisedColumn(self.codes_MK[rows, k], self.centres_KC[k])
        columns = [QuantisedColumn(self.codes_MK[:, k], c) for k, c in enumerate(self.centres_KC)]
        return np.stack([column[at] for column in columns], axis=1)

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("quantised values can only be read into a copy")
        return self[:].astype(dtype or np.float32, copy=False)


class QuantisedColumn:
    """One value of each of M n-grams: looks like an array (M,) of float32."""

    def __init__(self, codes_M: np.ndarray, centres_C: np.ndarray) -> None:
        self.codes_M = codes_M
        self.centres_C = centres_C

    def __len__(self) -> int:
        return len(self.codes_M)

    def __getitem__(self, at: slice | np.ndarray) -> np.ndarray:
        return self.centres_C[self.codes_M[at]]

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("quantised values can only be read into a copy")
        return self[:].astype(dtype or np.float32, copy=False)


class SingleValues:
    """Quantised values row by row, one at a time, without arrays."""

    def __init__(self, values: QuantisedValues) -> None:
        self._codes = values.codes_MK.reshape(-1).data
        self._centres: list[list[float]] = values.centres_KC.tolist()
        self._width = len(self._centres)

    def __len__(self) -> int:
        return len(self._codes)

    def __getitem__(self, at: int) -> float:
        return self._centres[at % self._width][self._codes[at]]


def quantise(values_M: np.ndarray, bits: int, is_backoff: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the code of each value, and what each of at most 2^bits codes is read as: float32,
    bins first, ascending, and last what stays exact. A value has the bin whose mean is next to it;
    of two that are as near, the higher one."""
    # What stays exact is in no bin.
    finite_F = values_M[np.isfinite(values_M)]
    exact = [-np.inf] if len(finite_F) < len(values_M) else []
    if is_backoff:
        finite_F = finite_F[finite_F != 0]
        exact += [0.0] * CODES_OF_ZERO
    means = bin_means(finite_F, (1 << bits) - len(exact))
    del finite_F

    between = (means[1:].astype(np.float64) + means[:-1]) / 2
    codes_M = np.empty(len(values_M), dtype=TYPES[bits])
    for start in range(0, len(values_M), TOGETHER):
        values = values_M[start : start + TOGETHER]
        codes = np.searchsorted(between, values, side="right")
        for code, value in enumerate(exact, start=len(means)):
            codes[values == value] = code
        codes_M[start : start + TOGETHER] = codes
    return codes_M, np.append(means, np.array(exact, dtype=np.float32))


def bin_means(values_F: np.ndarray, bins: int) -> np.ndarray:
    """Return the means of bins that hold an equal share of the sorted values each, ascending,
    float32; at most one for each value."""
    bins = min(bins, len(values_F))
    if not bins:
        return np.zeros(0, dtype=np.float32)
    sorted_F = np.sort(values_F)
    ends = len(sorted_F) * np.arange(1, bins + 1) // bins
    starts = np.append(0, ends[:-1])
    sums = np.add.reduceat(sorted_F, starts, dtype=np.float64)
    return (sums / (ends - starts)).astype(np.float32)
