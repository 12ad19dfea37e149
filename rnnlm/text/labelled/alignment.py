"""Which letters of a word stand for which of its symbols: many-to-many alignment by EM
(Jiampojamarn, Kondrak & Sherif 2007).

Each letter bears no symbol, one, or several up to a limit, in order. What it bears is its label: of
`s c h u h` and `S U` they are `S _ _ U _`, of `b o x` and `B AA K S` they are `B AA K+S`. A unit is
a letter with a label. A pair's likelihood is the sum over its alignments of the product of their
units' probabilities, and EM raises that of all pairs together. Pairs that need more symbols a
letter have no alignment.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rnnlm.errors import SettingsError, TextError
from rnnlm.text.lines import Progress, silent

# ---- All alignments of letters and symbols at once: dynamic programming over how many symbols the
# first letters bear.
#
# Letters: B pairs, U units, N letters and M symbols of each pair. Logarithms are natural.

EXCLUDED = -1e30  # the logarithm of the probability zero: finite, so that differences are numbers
_TIE = 1e-9  # nats: scores that differ by less only differ by rounding


@dataclass(frozen=True)
class Lattice:
    """Pairs of N letters and M symbols each. pairs_B: their numbers. units: of each number k of
    symbols that a letter may bear, the units of each letter with the k symbols that end at each
    place: (N, M + 1 - k, B), of no symbol (N, 1, B).
    """

    pairs_B: np.ndarray
    units: tuple[np.ndarray, ...]
    symbols: int

    @property
    def letters(self) -> int:
        """N."""
        return len(self.units[0])


def expected_counts(lattices: Iterable[Lattice], logprob_U: np.ndarray) -> tuple[np.ndarray, float]:
    """How often each unit is expected in the alignments of all pairs, (U,), and the log-likelihood
    of all pairs."""
    counts_U, log_likelihood = np.zeros(len(logprob_U)), 0.0
    for lattice in lattices:
        posteriors, logprob_B = _posteriors(lattice, logprob_U)
        log_likelihood += float(logprob_B.sum())
        for units, posterior in zip(lattice.units, posteriors, strict=True):
            counts_U += np.bincount(units.ravel(), posterior.ravel(), len(logprob_U))
    return counts_U, log_likelihood


def best_units(lattice: Lattice, logprob_U: np.ndarray) -> np.ndarray:
    """The units of the most likely alignment of each pair, (N, B). Of equally likely ones, that
    whose symbols come first."""
    N, M, B = lattice.letters, lattice.symbols, len(lattice.pairs_B)
    score = _start(lattice)
    # how many a letter bears, by the place where they end
    symbols_NMB = np.empty((N, M + 1, B), dtype=np.int8)
    for letter in range(N):
        terms = _terms(lattice, logprob_U, letter, score)
        score = terms.max(axis=0)
        symbols_NMB[letter] = (terms >= score - _TIE).argmax(axis=0)
    each, place_B = np.arange(B), np.full(B, M)
    found_NB = np.empty((N, B), dtype=np.int64)
    for letter in reversed(range(N)):
        count_B = symbols_NMB[letter, place_B, each]
        for count, units in enumerate(lattice.units):
            those = np.flatnonzero(count_B == count)
            found_NB[letter, those] = units[letter, place_B[those] - count if count else 0, those]
        place_B = place_B - count_B
    return found_NB


def _start(lattice: Lattice) -> np.ndarray:
    """(M + 1, B): before the first letter no symbol is borne."""
    score = np.full((lattice.symbols + 1, len(lattice.pairs_B)), EXCLUDED)
    score[0] = 0.0
    return score


def _terms(lattice: Lattice, logprob_U: np.ndarray, letter: int, before: np.ndarray) -> np.ndarray:
    """(k, M + 1, B): the alignments of the letters up to `letter`, which bears k symbols, given
    those of the letters before it."""
    terms = np.full((len(lattice.units), *before.shape), EXCLUDED)
    for count, units in enumerate(lattice.units):
        np.add(before[: len(before) - count], logprob_U[units[letter]], out=terms[count, count:])
    return terms


def _log_sum(terms: np.ndarray) -> np.ndarray:
    top = terms.max(axis=0)
    terms -= top
    return top + np.log(np.exp(terms, out=terms).sum(axis=0))


def _posteriors(lattice: Lattice, logprob_U: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """The probability of each unit in the alignments of its pair, shaped as `lattice.units`, and
    the pairs' log-probabilities, (B,)."""
    M = lattice.symbols
    before = [_start(lattice)]
    for letter in range(lattice.letters):
        before.append(_log_sum(_terms(lattice, logprob_U, letter, before[-1])))
    logprob_B = before[-1][M]
    posteriors = [np.empty(units.shape) for units in lattice.units]
    after = _start(lattice)[::-1]
    for letter in reversed(range(lattice.letters)):
        terms = np.full((len(lattice.units), *after.shape), EXCLUDED)
        for count, units in enumerate(lattice.units):
            term = terms[count, : M + 1 - count]
            np.add(after[count:], logprob_U[units[letter]], out=term)
            posterior = np.exp(before[letter][: M + 1 - count] + term - logprob_B)
            posteriors[count][letter] = posterior if count else posterior.sum(axis=0)
        after = _log_sum(terms)
    return posteriors, logprob_B


# ---- Units of an alignment, which are letters with the symbols that they may bear, and the
# lattices of all pairs over them.

NOTHING, PLUS = "_", "+"  # the label of a letter that bears no symbol, and what joins several
# of pairs times symbols that are computed at once: they stay in the processor's cache
_CELLS = 1 << 14
_LONGEST = 1000  # letters, or symbols, of a pair that is aligned

Pair = tuple[Sequence[str], Sequence[str]]  # letters and symbols


@dataclass(frozen=True)
class Units:
    """names: letter and label of each of U units. symbols_U: how many symbols the label holds.
    lattices: of the pairs that have an alignment. skipped: the numbers, from 0, of those that have
    none."""

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
    letters, labels = (
        _Row([letters for letters, _ in pairs]),
        _Labels([symbols for _, symbols in pairs], most),
    )
    alike: dict[tuple[int, int], list[int]] = {}
    skipped = []
    for number, (N, M) in enumerate((len(letters), len(symbols)) for letters, symbols in pairs):
        if most * N < M or max(N, M) > _LONGEST:
            skipped.append(number)
        else:
            alike.setdefault((N, M), []).append(number)
    batches = [
        (np.array(batch), N, M)
        for (N, M), numbers in sorted(alike.items())
        for batch in _batches(numbers, M)
    ]
    found = [_distinct(_keys(*batch, letters, labels)) for batch in batches]
    key_U = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *(keys for keys, _ in found)]))
    lattices = []
    for (pairs_B, _, M), (keys, places) in zip(batches, found, strict=True):
        unit_of = np.searchsorted(key_U, keys).astype(np.int32)
        lattices.append(Lattice(pairs_B, tuple(unit_of[each] for each in places), M))
    letter_U, label_U = np.divmod(key_U, labels.size)
    names = [
        (letters.names[letter], labels.name(label))
        for letter, label in zip(letter_U.tolist(), label_U.tolist(), strict=True)
    ]
    return Units(names, labels.symbols_L[label_U], lattices, tuple(skipped))


def _check(pairs: Sequence[Pair]) -> None:
    for symbol in dict.fromkeys(symbol for _, symbols in pairs for symbol in symbols):
        if symbol in ("", NOTHING) or PLUS in symbol:
            where = next(
                number for number, (_, symbols) in enumerate(pairs, 1) if symbol in symbols
            )
            raise TextError(
                f"pair {where:,} holds the symbol {symbol!r}, which cannot be part of a label",
                (
                    f"{NOTHING} is the label of a letter that bears no symbol, and {PLUS} joins "
                    "several"
                ),
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
    """Symbols, and L labels: number 0 has none, and label_KS[k - 1, s] has the k symbols that end
    at s. symbols_L: how many each has."""

    def __init__(self, sequences: Sequence[Sequence[str]], most: int) -> None:
        super().__init__(sequences)
        codes, firsts, rows, counts = (
            np.zeros_like(self.number_S),
            [np.zeros(1, dtype=np.int64)],
            [],
            [0],
        )
        for count in range(1, most + 1):
            _, first, codes = np.unique(
                np.roll(codes, 1) * len(self.names) + self.number_S,
                return_index=True,
                return_inverse=True,
            )
            rows.append(codes + len(counts))
            counts += [count] * len(first)
            firsts.append(first)
        self.label_KS, self.symbols_L, self._end_L = (
            np.stack(rows),
            np.array(counts),
            np.concatenate(firsts),
        )
        self.size = len(counts)

    def name(self, label: int) -> str:
        """The label as it is written."""
        # below 0 as np.roll has it
        places = self._end_L[label] - np.arange(self.symbols_L[label])[::-1]
        return (
            PLUS.join(self.names[number] for number in self.number_S[places]) if label else NOTHING
        )


def _batches(numbers: list[int], symbols: int) -> Iterator[list[int]]:
    rows = max(_CELLS // (symbols + 1), 1)
    return (numbers[start : start + rows] for start in range(0, len(numbers), rows))


def _keys(pairs_B: np.ndarray, N: int, M: int, letters: _Row, labels: _Labels) -> list[np.ndarray]:
    """Letter and label of all units, in one number each, shaped as in a lattice."""
    letter_NB = letters.number_S[letters.places(pairs_B, N)] * labels.size
    label_KMB = labels.label_KS[:, labels.places(pairs_B, M)]
    return [
        letter_NB[:, None],
        *(letter_NB[:, None] + label_MB[count:] for count, label_MB in enumerate(label_KMB[:M])),
    ]


def _distinct(arrays: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """The distinct numbers of arrays, ascending, and where each number of the arrays is among
    them."""
    distinct, places = np.unique(
        np.concatenate([array.ravel() for array in arrays]), return_inverse=True
    )
    ends = np.cumsum([array.size for array in arrays])[:-1]
    return distinct, [
        each.reshape(array.shape).astype(np.int32)
        for each, array in zip(np.split(places, ends), arrays, strict=True)
    ]


# ---- alignment

ITERATIONS = 10
# of a label at first, for each symbol beyond one: with it CMUdict needs fewer labels than with 1 or
# 0.01
_FIRST_WEIGHT = 0.1


@dataclass(frozen=True)
class Alignment:
    """Aligned pairs, and how to align more.

    labels: of each pair, one label a letter; None where it has no alignment. log_likelihoods: of
    all pairs that have one, in nats, before the first iteration and after each but the last.
    skipped: the numbers, from 0, of those that have none. log_probabilities: of each unit, (letter,
    label). max_symbols: that a letter may bear.
    """

    labels: tuple[tuple[str, ...] | None, ...]
    log_likelihoods: tuple[float, ...]
    skipped: tuple[int, ...]
    log_probabilities: Mapping[tuple[str, str], float] = field(repr=False)
    max_symbols: int = 2


def align(
    pairs: Sequence[Pair],
    iterations: int = ITERATIONS,
    max_symbols: int = 2,
    progress: Progress = silent,
) -> Alignment:
    """Learn from pairs of letters and symbols how to align them, and align them.

    max_symbols: how many a letter may bear. A pair has no alignment where it needs more, or where
    it has more than a thousand letters or symbols. progress: called once an iteration. Memory:
    about 15 bytes for letters times symbols of each pair.

    Raises:
        SettingsError: no iteration or no symbol is allowed.
        TextError: a symbol cannot be part of a label.
    """
    if iterations < 1 or max_symbols < 1:
        raise SettingsError(
            "an alignment needs at least one iteration and one symbol a letter",
            f"{iterations = }, {max_symbols = }",
        )
    units = units_of(pairs, max_symbols)
    logprob_U = _log_shares(_FIRST_WEIGHT ** np.maximum(units.symbols_U - 1.0, 0.0))
    log_likelihoods = []
    for iteration in range(iterations):
        counts_U, log_likelihood = expected_counts(units.lattices, logprob_U)
        logprob_U = _log_shares(counts_U)
        log_likelihoods.append(log_likelihood)
        mean = log_likelihood / max(len(pairs) - len(units.skipped), 1)
        progress(f"alignment, iteration {iteration + 1} of {iterations}: {mean:.3f} nats per word")
    return _aligned(units, logprob_U, len(pairs), max_symbols, log_likelihoods)


def align_more(alignment: Alignment, pairs: Sequence[Pair]) -> Alignment:
    """Align other pairs by what `alignment` has learned. Units that it has not seen are less likely
    than any that it has.

    Raises:
        TextError: a symbol cannot be part of a label.
    """
    units = units_of(pairs, alignment.max_symbols)
    known = alignment.log_probabilities
    unseen_U = (min(known.values(), default=0.0) + np.log(_FIRST_WEIGHT)) * np.maximum(
        units.symbols_U, 1
    )
    logprob_U = np.array(
        [
            known.get(name, unseen)
            for name, unseen in zip(units.names, unseen_U.tolist(), strict=True)
        ]
    )
    return _aligned(units, logprob_U, len(pairs), alignment.max_symbols)


def join(labels: Iterable[str]) -> list[str]:
    """The symbols that `labels` bear, in order."""
    return [symbol for label in labels if label != NOTHING for symbol in label.split(PLUS)]


def _log_shares(weights_U: np.ndarray) -> np.ndarray:
    """The logarithms of weights that are made to sum to one."""
    logarithm_U = np.full(len(weights_U), EXCLUDED)
    share_U = weights_U / max(weights_U.sum(), 1e-300)
    np.log(share_U, out=logarithm_U, where=share_U > 0)
    return logarithm_U


def _aligned(
    units: Units,
    logprob_U: np.ndarray,
    pairs: int,
    max_symbols: int,
    log_likelihoods: Iterable[float] = (),
) -> Alignment:
    labels: list[tuple[str, ...] | None] = [None] * pairs
    label_U = np.array([label for _, label in units.names], dtype=object)
    for lattice in units.lattices:
        for pair, its_units in zip(
            lattice.pairs_B.tolist(), best_units(lattice, logprob_U).T, strict=True
        ):
            labels[pair] = tuple(label_U[its_units])
    learned = zip(units.names, logprob_U.tolist(), strict=True)
    return Alignment(
        labels=tuple(labels),
        log_likelihoods=tuple(log_likelihoods),
        skipped=units.skipped,
        log_probabilities={name: logprob for name, logprob in learned if logprob > EXCLUDED},
        max_symbols=max_symbols,
    )
