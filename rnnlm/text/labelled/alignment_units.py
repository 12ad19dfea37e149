"""Units of an alignment, which are letters with the symbols that they may bear, and the lattices of all pairs over them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rnnlm.errors import TextError
from rnnlm.text.labelled.alignment_lattices import Lattice

NOTHING, PLUS = "_", "+"  # the label of a letter that bears no symbol, and what joins several
_CELLS = 1 << 14  # of pairs times symbols that are computed at once: they stay in the processor's cache
_LONGEST = 1000  # letters, or symbols, of a pair that is aligned

Pair = tuple[Sequence[str], Sequence[str]]  # letters and symbols


@dataclass(frozen=True)
class Units:
    """names: letter and label of each of U units. symbols_U: how many symbols the label holds. lattices: of the pairs that have an
    alignment. skipped: the numbers, from 0, of those that have none."""

    names: list[tuple[str, str]]
    symbols_U: np.ndarray
    lattices: list[Lattice]
    skipped: tuple[int, ...]


def units_of(pairs: Sequence[Pair], most: int) -> Units:
    """The units of `pairs` whose letters bear up to `most` symbols each.

    Raises:
        TextError: a symbol cannot be part of a label.
    """
    _check(pairs)
    letters, labels = _Row([letters for letters, _ in pairs]), _Labels([symbols for _, symbols in pairs], most)
    alike: dict[tuple[int, int], list[int]] = {}
    skipped = []
    for number, (N, M) in enumerate((len(letters), len(symbols)) for letters, symbols in pairs):
        if most * N < M or max(N, M) > _LONGEST:
            skipped.append(number)
        else:
            alike.setdefault((N, M), []).append(number)
    batches = [(np.array(batch), N, M) for (N, M), numbers in sorted(alike.items()) for batch in _batches(numbers, M)]
    found = [_distinct(_keys(*batch, letters, labels)) for batch in batches]
    key_U = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *(keys for keys, _ in found)]))
    lattices = []
    for (pairs_B, _, M), (keys, places) in zip(batches, found, strict=True):
        unit_of = np.searchsorted(key_U, keys).astype(np.int32)
        lattices.append(Lattice(pairs_B, tuple(unit_of[each] for each in places), M))
    letter_U, label_U = np.divmod(key_U, labels.size)
    names = [(letters.names[letter], labels.name(label)) for letter, label in zip(letter_U.tolist(), label_U.tolist(), strict=True)]
    return Units(names, labels.symbols_L[label_U], lattices, tuple(skipped))


def _check(pairs: Sequence[Pair]) -> None:
    for symbol in dict.fromkeys(symbol for _, symbols in pairs for symbol in symbols):
        if symbol in ("", NOTHING) or PLUS in symbol:
            where = next(number for number, (_, symbols) in enumerate(pairs, 1) if symbol in symbols)
            raise TextError(
                f"pair {where:,} holds the symbol {symbol!r}, which cannot be part of a label",
                f"{NOTHING} is the label of a letter that bears no symbol, and {PLUS} joins several",
                "write it as another symbol",
            )


class _Row:
    """Sequences of names as one row of numbers, in which the sequence p begins at start_P[p]."""

    def __init__(self, sequences: Sequence[Sequence[str]]) -> None:
        row = [name for sequence in sequences for name in sequence]
        self.names = list(dict.fromkeys(row))
        numbers = {name: number for number, name in enumerate(self.names)}
        self.number_S = np.array([numbers[name] for name in row], dtype=np.int64)
        self.start_P = np.cumsum([0, *map(len, sequences)])[:-1]

    def places(self, pairs_B: np.ndarray, length: int) -> np.ndarray:
        """Where in the row the sequences of `pairs_B` are, all of one length: (length, B)."""
        found: np.ndarray = self.start_P[pairs_B] + np.arange(length)[:, None]
        return found


class _Labels(_Row):
    """Symbols, and L labels: number 0 has none, and label_KS[k - 1, s] has the k symbols that end at s. symbols_L: how many each has."""

    def __init__(self, sequences: Sequence[Sequence[str]], most: int) -> None:
        super().__init__(sequences)
        codes, firsts, rows, counts = np.zeros_like(self.number_S), [np.zeros(1, dtype=np.int64)], [], [0]
        for count in range(1, most + 1):
            _, first, codes = np.unique(np.roll(codes, 1) * len(self.names) + self.number_S, return_index=True, return_inverse=True)
            rows.append(codes + len(counts))
            counts += [count] * len(first)
            firsts.append(first)
        self.label_KS, self.symbols_L, self._end_L = np.stack(rows), np.array(counts), np.concatenate(firsts)
        self.size = len(counts)

    def name(self, label: int) -> str:
        """The label as it is written."""
        places = self._end_L[label] - np.arange(self.symbols_L[label])[::-1]  # below 0 as np.roll has it
        return PLUS.join(self.names[number] for number in self.number_S[places]) if label else NOTHING


def _batches(numbers: list[int], symbols: int) -> Iterator[list[int]]:
    rows = max(_CELLS // (symbols + 1), 1)
    return (numbers[start : start + rows] for start in range(0, len(numbers), rows))


def _keys(pairs_B: np.ndarray, N: int, M: int, letters: _Row, labels: _Labels) -> list[np.ndarray]:
    """Letter and label of all units, in one number each, shaped as in a lattice."""
    letter_NB = letters.number_S[letters.places(pairs_B, N)] * labels.size
    label_KMB = labels.label_KS[:, labels.places(pairs_B, M)]
    return [letter_NB[:, None], *(letter_NB[:, None] + label_MB[count:] for count, label_MB in enumerate(label_KMB[:M]))]


def _distinct(arrays: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """The distinct numbers of arrays, ascending, and where each number of the arrays is among them."""
    distinct, places = np.unique(np.concatenate([array.ravel() for array in arrays]), return_inverse=True)
    ends = np.cumsum([array.size for array in arrays])[:-1]
    return distinct, [each.reshape(array.shape).astype(np.int32) for each, array in zip(np.split(places, ends), arrays, strict=True)]
