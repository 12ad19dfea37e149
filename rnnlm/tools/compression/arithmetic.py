"""Arithmetic coding with whole numbers (Martin 1979), and symbols whose probabilities are learned
while they are coded."""

from bisect import bisect_right
from collections.abc import Hashable, Sequence

import numpy as np

from rnnlm.errors import TextError

PRECISION = 1 << 32  # parts of one that a probability is rounded to
_REGISTER = 1 << 64
_LEAST_RANGE = 1 << 56


def bounds_of(p_V: np.ndarray) -> np.ndarray:
    """Return where the share of each symbol begins, and in the end their sum, (V + 1,) int64. The
    least share is 1: what a model takes for impossible can be coded, too."""
    share_V = p_V * (PRECISION / (p_V.sum() or 1.0))
    bounds = np.zeros(len(p_V) + 1, dtype=np.int64)
    np.cumsum(share_V.astype(np.int64) + 1, out=bounds[1:])
    return bounds


class Coder:
    """What both directions share, so that one function codes and decodes a text."""

    data: bytes | bytearray

    def __init__(self) -> None:
        self._range = _REGISTER

    def code(self, bounds: Sequence[int] | np.ndarray, symbol: int) -> int:
        """Return the symbol at this place, which a decoder finds, whatever it is asked for.

        bounds: as :func:`bounds_of` returns them.
        """
        raise NotImplementedError

    def _narrow(self, bounds: Sequence[int] | np.ndarray, symbol: int) -> int:
        """Narrow the range to the share of a symbol. Return how far its beginning has moved."""
        unit = self._range // int(bounds[-1])
        start, end = int(bounds[symbol]), int(bounds[symbol + 1])
        self._range = unit * (end - start)
        return unit * start


class Encoder(Coder):
    """Codes symbols into `data`, which are complete after :meth:`finish`."""

    def __init__(self) -> None:
        super().__init__()
        self.data = bytearray()
        self._low = 0

    def code(self, bounds: Sequence[int] | np.ndarray, symbol: int) -> int:
        self._low += self._narrow(bounds, symbol)
        if self._low >= _REGISTER:
            self._low -= _REGISTER
            self._carry()
        while self._range < _LEAST_RANGE:
            self._range <<= 8
            self._put_byte()
        return symbol

    def finish(self) -> None:
        """Write what is left of the last symbols."""
        for _ in range(8):
            self._put_byte()

    def _carry(self) -> None:
        place = len(self.data) - 1
        while self.data[place] == 0xFF:
            self.data[place] = 0
            place -= 1
        self.data[place] += 1

    def _put_byte(self) -> None:
        byte, rest = divmod(self._low, _LEAST_RANGE)
        self.data.append(byte)
        self._low = rest << 8


class Decoder(Coder):
    """Finds the symbols in the `data` of an encoder."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.data = data
        self._at = 8
        self._value = int.from_bytes(data[:8])

    def code(self, bounds: Sequence[int] | np.ndarray, symbol: int) -> int:
        total = int(bounds[-1])
        # Only in damaged data does a value lie beyond the last share.
        part = min(self._value // (self._range // total), total - 1)
        symbol = bisect_right(bounds, part) - 1
        self._value -= self._narrow(bounds, symbol)
        while self._range < _LEAST_RANGE:
            self._range <<= 8
            self._value = self._value << 8 | self._next_byte()
        return symbol

    def finish(self) -> None:
        """Make sure that the data end here."""
        if self._at != len(self.data):
            raise TextError("the compressed file is damaged", "it goes on after its text")

    def _next_byte(self) -> int:
        if self._at >= len(self.data):
            raise TextError("the compressed file is truncated")
        self._at += 1
        return self.data[self._at - 1]


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
        counts = []
        for context in contexts:
            if context not in self._counts:
                self._counts[context] = np.zeros(len(p_V))
            counts.append(self._counts[context])
            p_V = (counts[-1] + self._strength * p_V) / (counts[-1].sum() + self._strength)
        symbol = coder.code(bounds_of(p_V), symbol)
        for counts_V in counts:
            counts_V[symbol] += 1
        return symbol
