"""Arithmetic coding with whole numbers (Martin 1979), and symbols whose probabilities are learned
while they are coded."""

from bisect import bisect_right
from collections.abc import Hashable, Sequence

import numpy as np

from rnnlm.errors import TextError

PRECISION = 1 << 32  # parts of one that a probability is rounded to
_REGISTER, _TOP, _LEAST_RANGE = 1 << 64, 1 << 56, 1 << 48


def not_as_coded(what: str) -> TextError:
    """Return the error for data that other probabilities coded, or that are damaged."""
    return TextError(
        what,
        "the file is damaged or truncated, or the model's probabilities differ in last bits",
        "decompress it on the same machine, with as many threads (OMP_NUM_THREADS) and the same "
        "packages",
    )


def bounds_of(p_V: np.ndarray) -> np.ndarray:
    """Return where the share of each symbol begins, and in the end their sum, (V + 1,) int64. The
    least share is 1: what a model takes for impossible can be coded, too."""
    share_V = p_V * (PRECISION / (p_V.sum() or 1.0))
    return np.append(0, np.cumsum(share_V.astype(np.int64) + 1))


class Coder:
    """Codes symbols into `data`; or finds them in the data that it is given, by the same steps, so
    that one function codes and decodes a text."""

    def __init__(self, data: bytes | None = None) -> None:
        self.is_decoder = data is not None
        self.data = bytearray(data or b"") + bytes(6 * self.is_decoder)  # which are not written
        self._low, self._range = 0, _REGISTER
        self._place = 8
        self._value = int.from_bytes(self.data[:8])  # of the data at this place

    def code(self, bounds: Sequence[int] | np.ndarray, symbol: int) -> int:
        """Return the symbol, which a decoder finds, whatever it is given.

        bounds: as :func:`bounds_of` returns them.
        """
        total = int(bounds[-1])
        unit = self._range // total
        if self.is_decoder:
            # Only in damaged data does a value lie beyond the last share.
            part = min((self._value - self._low) // unit, total - 1)
            symbol = bisect_right(bounds, part) - 1
        start, end = int(bounds[symbol]), int(bounds[symbol + 1])
        self._low += unit * start
        self._range = unit * (end - start)

        # The first byte is known once it is that of both ends. A small range across two bytes is
        # cut, so that no carry can come.
        while True:
            if self._low // _TOP != (self._low + self._range - 1) // _TOP:
                if self._range >= _LEAST_RANGE:
                    return symbol
                self._range = -self._low % _LEAST_RANGE
            self._shift()

    def _shift(self) -> None:
        """Write or read a byte."""
        if not self.is_decoder:
            self.data.append(self._low // _TOP)
        elif self._place >= len(self.data):
            raise not_as_coded("the compressed file ends before its text")
        else:
            self._value = (self._value << 8 | self.data[self._place]) % _REGISTER
            self._place += 1
        self._low = (self._low << 8) % _REGISTER
        self._range <<= 8

    def finish(self) -> None:
        """Write two bytes, which with zeros behind them lie in the last symbol's range; or make
        sure that the data end here."""
        if not self.is_decoder:
            self.data += (-(-self._low // _LEAST_RANGE)).to_bytes(2)
        elif self._place != len(self.data):
            raise not_as_coded("the compressed file goes on after its text")


class AdaptiveSymbols:
    """Symbols from 0 to `size`, whose probabilities come from those before them: the counts in each
    context, smoothed by the shorter one (MacKay & Peto 1995), which weighs `strength` counts."""

    def __init__(self, size: int, strength: float) -> None:
        self._uniform = np.full(size, 1 / size)
        self._strength = strength
        self._counts: dict[Hashable, np.ndarray] = {}

    def code(self, coder: Coder, contexts: Sequence[Hashable], symbol: int) -> int:
        """Code a symbol, and learn from it. contexts: different ones, from short to long."""
        p_V = self._uniform
        for context in contexts:
            counts_V = self._counts.setdefault(context, np.zeros(len(p_V)))
            p_V = (counts_V + self._strength * p_V) / (counts_V.sum() + self._strength)
        symbol = coder.code(bounds_of(p_V), symbol)
        for context in contexts:
            self._counts[context][symbol] += 1
        return symbol
