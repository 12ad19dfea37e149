"""Tables of n-grams in few bytes, which stay mapped from files and are read like the arrays that
they stand for: values as codes of 8 bits, keys by their low 32 bits.

A code stands for the mean of a bin of values (Federico and Bertoldi 2006, "How many bits are needed
to store probabilities for phrase-based translation?", whose bins hold equally many values). Here
half of what places a bin's edges is how many values lie below, and half is how large they are: rare
values are as near to their codes as frequent ones. The logarithms of one and of zero have codes of
their own, and stay exact.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnlm.errors import ModelError

CODES = 256
EXACT = (-np.inf, 0.0)  # values with codes of their own: the logarithms of zero and one
LOW_BITS = np.uint64(32)
SUM_ERROR = 0.05  # of a sum of 1, at most: backoff weights are codes, too


@dataclass(frozen=True)
class CodedValues:
    """Values of M n-grams in K columns: to be indexed by rows, or by rows and a column, like an
    array (M, K) float32.

    codes_MK: uint8. codebooks_KC: the value of each code, by column, (K, 256) float32.
    """

    codes_MK: np.ndarray
    codebooks_KC: np.ndarray

    def __len__(self) -> int:
        return len(self.codes_MK)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.codes_MK.shape

    def __getitem__(self, at: Any) -> np.ndarray:
        columns = at[1] if isinstance(at, tuple) else np.arange(self.shape[1])
        return self.codebooks_KC[columns, self.codes_MK[at]]


@dataclass(frozen=True)
class CompactKeys:
    """The sorted keys of M n-grams: to be indexed and searched like an array (M,) uint64.

    low_M: the low 32 bits of each key, uint32. starts_P: for each number p from 0 on, where keys
    begin whose high bits are p or more, (P,) uint64; the last two are M.
    """

    low_M: np.ndarray
    starts_P: np.ndarray

    @classmethod
    def of(cls, keys_M: np.ndarray) -> "CompactKeys":
        """Make them of an array of sorted keys."""
        highest = int(keys_M[-1] >> LOW_BITS) if len(keys_M) else 0
        high_P = np.arange(highest + 3, dtype=np.uint64)
        starts_P = keys_M.searchsorted(high_P << LOW_BITS)
        return cls(keys_M.astype(np.uint32), starts_P.astype(np.uint64))

    def __len__(self) -> int:
        return len(self.low_M)

    def __getitem__(self, at: Any) -> np.ndarray:
        numbers = np.arange(*at.indices(len(self))) if isinstance(at, slice) else at
        high = self.starts_P.searchsorted(numbers.astype(np.uint64), side="right") - 1
        return high.astype(np.uint64) << LOW_BITS | self.low_M[at]

    def searchsorted(self, wanted_Q: np.ndarray) -> np.ndarray:
        """Return for each wanted key the number of the first key that is not below it."""
        # Keys with the same high bits are neighbours, among which the low bits are sorted.
        high_Q = np.minimum(wanted_Q >> LOW_BITS, len(self.starts_P) - 2).astype(np.int64)
        low_Q = wanted_Q.astype(np.uint32)
        by_high = np.argsort(high_Q, kind="stable")
        different, firsts = np.unique(high_Q[by_high], return_index=True)
        places_Q = np.empty(len(wanted_Q), dtype=np.int64)

        # Of no wanted keys, np.split makes one part all the same.
        for high, at in zip(different, np.split(by_high, firsts[1:]), strict=False):
            start, end = self.starts_P[high : high + 2].tolist()
            places_Q[at] = start + self.low_M[start:end].searchsorted(low_Q[at])
        return places_Q


Keys = np.ndarray | CompactKeys
Values = np.ndarray | CodedValues


def codebook_of(values_M: np.ndarray) -> np.ndarray:
    """Return 256 values that stand for `values_M`, in ascending order, float32; where these are no
    more than 254 different ones, themselves."""
    sorted_M = np.sort(values_M[~np.isin(values_M, EXACT)])
    centers = np.unique(sorted_M)
    if len(centers) > CODES - len(EXACT):
        places_M = np.linspace(0, 1, len(sorted_M)) + (sorted_M - sorted_M[0]) / np.ptp(sorted_M)
        edges = places_M.searchsorted(np.linspace(0, 2, CODES - len(EXACT) + 1)[1:-1])
        bins = [values for values in np.split(sorted_M, edges) if len(values)]
        centers = np.array([values.mean(dtype=np.float64) for values in bins])
    codebook = np.unique(np.append(EXACT, centers).astype(np.float32))
    return np.pad(codebook, (0, CODES - len(codebook)), mode="edge")


def coded(values_MK: np.ndarray) -> CodedValues:
    """Return values of n-grams as codes: of the nearest value in the codebook of each column."""
    codes_MK = np.empty(values_MK.shape, dtype=np.uint8)
    codebooks_KC = np.stack([codebook_of(values_M) for values_M in values_MK.T])
    for column, codebook_C in enumerate(codebooks_KC):
        middles = codebook_C[:-1] / 2 + codebook_C[1:] / 2
        codes_MK[:, column] = middles.searchsorted(values_MK[:, column])
    return CodedValues(codes_MK, codebooks_KC)


def arrays_of(n: int, keys: Keys, values: Values) -> dict[str, np.ndarray]:
    """Return the arrays by which the n-grams of order n are stored."""
    if isinstance(keys, CompactKeys) and isinstance(values, CodedValues):
        return {
            f"keys_{n}": keys.low_M,
            f"starts_{n}": keys.starts_P,
            f"values_{n}": values.codes_MK,
            f"codebooks_{n}": values.codebooks_KC,
        }
    return {f"keys_{n}": keys[:], f"values_{n}": values[:]}


def tables_of(n: int, arrays: Mapping[str, np.ndarray]) -> tuple[Keys, Values]:
    """Return the n-grams of order n that are stored as :func:`arrays_of` gives them. ModelError:
    their arrays do not fit together."""
    keys, values = arrays[f"keys_{n}"], arrays[f"values_{n}"]
    if f"codebooks_{n}" not in arrays:
        return keys, values
    starts_P = arrays[f"starts_{n}"]
    is_whole = starts_P[-2:].tolist() == [len(keys)] * 2
    if not is_whole or starts_P[0] or (starts_P[1:] < starts_P[:-1]).any():
        raise ModelError(
            "the weights are damaged", f"the {n}-grams are cut off or out of order", "rebuild it"
        )
    return CompactKeys(keys, starts_P), CodedValues(values, arrays[f"codebooks_{n}"])
