"""Align a word's letters with its symbols, such as sounds: many-to-many alignment by EM
(Jiampojamarn, Kondrak & Sherif 2007).

Each letter takes no symbol, one, or several up to a limit, in order. These are its label: for
`s c h u h` and `S U` the labels are `S _ _ U _`, for `b o x` and `B AA K S` they are `B AA K+S`. A
unit is a letter with a label. A pair's likelihood is the sum over its alignments of the product of
their units' probabilities, and EM raises the likelihood of all pairs together. Pairs that need more
symbols a letter have no alignment.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rnnlm.errors import SettingsError, TextError
from rnnlm.text.lines import Progress, silent

# ---- All alignments of letters and symbols at once: dynamic programming over how many symbols the
# first letters take.
#
# Shapes: B pairs, U units, N letters and M symbols of each pair. Logarithms are natural.

EXCLUDED = -1e30  # the logarithm of the probability zero: finite, so that differences are numbers
_TIE = 1e-9  # nats: a smaller difference between scores is rounding


@dataclass(frozen=True)
class Lattice:
    """Pairs of N letters and M symbols each.

    pairs_B: their numbers. units: for each number k of symbols that a letter may take, the units of
    each letter with the k symbols that end at each place: (N, M + 1 - k, B), for no symbol (N, 1,
    B).
    """

    pairs_B: np.ndarray
    units: tuple[np.ndarray, ...]
    symbols: int

    @property
    def letters(self) -> int:
        """N, the number of letters."""
        return len(self.units[0])


def expected_counts(lattices: Iterable[Lattice], logprob_U: np.ndarray) -> tuple[np.ndarray, float]:
    """Return how often each unit is expected in the alignments of all pairs, (U,), and the
    log-likelihood of all pairs."""
    counts_U = np.zeros(len(logprob_U))
    log_likelihood = 0.0
    for lattice in lattices:
        posteriors, logprob_B = _posteriors(lattice, logprob_U)
        log_likelihood += float(logprob_B.sum())
        for units, posterior in zip(lattice.units, posteriors, strict=True):
            counts_U += np.bincount(units.ravel(), posterior.ravel(), len(logprob_U))
    return counts_U, log_likelihood


def best_units(lattice: Lattice, logprob_U: np.ndarray) -> np.ndarray:
    """Return the units of the most likely alignment of each pair, (N, B): Viterbi's algorithm.

    Of equally likely alignments, it is the one whose symbols come first.
    """
    N, M, B = lattice.letters, lattice.symbols, len(lattice.pairs_B)

    # Forwards: how many symbols each letter takes at best, by the place where these end.
    score = _start(lattice)
    symbols_NMB = np.empty((N, M + 1, B), dtype=np.int8)
    for letter in range(N):
        terms = _terms(lattice, logprob_U, letter, score)
        score = terms.max(axis=0)
        symbols_NMB[letter] = (terms >= score - _TIE).argmax(axis=0)

    # Backwards: from the last symbol, follow the best choices.
    every_B = np.arange(B)
    place_B = np.full(B, M)
    found_NB = np.empty((N, B), dtype=np.int64)
    for letter in reversed(range(N)):
        count_B = symbols_NMB[letter, place_B, every_B]
        for count, units in enumerate(lattice.units):
            pairs = np.flatnonzero(count_B == count)
            starts = place_B[pairs] - count if count else 0  # no symbol has one place
            found_NB[letter, pairs] = units[letter, starts, pairs]
        place_B = place_B - count_B
    return found_NB


def _start(lattice: Lattice) -> np.ndarray:
    """Return the scores before the first letter, (M + 1, B): no symbol is taken."""
    score = np.full((lattice.symbols + 1, len(lattice.pairs_B)), EXCLUDED)
    score[0] = 0.0
    return score


def _terms(lattice: Lattice, logprob_U: np.ndarray, letter: int, before: np.ndarray) -> np.ndarray:
    """Return the scores of alignments of the letters up to `letter`, which takes k symbols, (k, M +
    1, B). before: scores up to the letters before it."""
    terms = np.full((len(lattice.units), *before.shape), EXCLUDED)
    for count, units in enumerate(lattice.units):
        np.add(before[: len(before) - count], logprob_U[units[letter]], out=terms[count, count:])
    return terms


def _log_sum(terms: np.ndarray) -> np.ndarray:
    """Return the logarithm of the sum of exponentials over the first axis. `terms` is
    overwritten."""
    top = terms.max(axis=0)
    terms -= top
    return top + np.log(np.exp(terms, out=terms).sum(axis=0))


def _posteriors(lattice: Lattice, logprob_U: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the probability of each unit in the alignments of its pair, shaped as `lattice.units`,
    and the pairs' log-probabilities, (B,): the forward-backward algorithm."""
    M = lattice.symbols

    # Forwards: the likelihood of the letters up to each, by how many symbols they take.
    before = [_start(lattice)]
    for letter in range(lattice.letters):
        before.append(_log_sum(_terms(lattice, logprob_U, letter, before[-1])))
    logprob_B = before[-1][M]

    # Backwards, likewise; both together give the probability of each unit at each place.
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


# ---- Units of an alignment, which are letters with the symbols that they may take, and the
# lattices of all pairs over them.

# the label of a letter that takes no symbol, and the mark that joins several
NOTHING, PLUS = "_", "+"
# The label of the letters of a word that needs more sounds a letter than labels hold
UNALIGNED = ""
# Pairs times symbols that are computed at once: they stay in the processor's cache
_CELLS = 1 << 14
_LONGEST = 1000  # letters, or symbols, of a pair that is aligned

Pair = tuple[Sequence[str], Sequence[str]]  # letters and symbols


@dataclass(frozen=True)
class AlignmentUnits:
    """Letters with labels, and the pairs over them.

    names: letter and label of each of U units. symbols_U: how many symbols the label holds.
    lattices: of the pairs that have an alignment. skipped: the numbers, from 0, of those that have
    none.
    """

    names: list[tuple[str, str]]
    symbols_U: np.ndarray
    lattices: list[Lattice]
    skipped: tuple[int, ...]


def units_of(pairs: Sequence[Pair], most: int) -> AlignmentUnits:
    """Return the units of `pairs` whose letters take up to `most` symbols each."""
    _check(pairs)
    letters = _Row([letters for letters, _ in pairs])
    labels = _Labels([symbols for _, symbols in pairs], most)

    # Pairs of the same numbers of letters and symbols are computed together.
    alike: dict[tuple[int, int], list[int]] = {}
    skipped = []
    for number, (pair_letters, pair_symbols) in enumerate(pairs):
        N, M = len(pair_letters), len(pair_symbols)
        if most * N < M or max(N, M) > _LONGEST:
            skipped.append(number)
        else:
            alike.setdefault((N, M), []).append(number)

    # Find the units of each batch, then number the units of all batches.
    batches = []
    key_parts = [np.zeros(0, dtype=np.int64)]
    for (N, M), numbers in sorted(alike.items()):
        rows = max(_CELLS // (M + 1), 1)
        for start in range(0, len(numbers), rows):
            pairs_B = np.array(numbers[start : start + rows])
            keys, places = _distinct(_keys(pairs_B, N, M, letters, labels))
            batches.append((pairs_B, M, keys, places))
            key_parts.append(keys)
    key_U = np.unique(np.concatenate(key_parts))
    lattices = []
    for pairs_B, M, keys, places in batches:
        unit_of = np.searchsorted(key_U, keys).astype(np.int32)
        lattices.append(Lattice(pairs_B, tuple(unit_of[place] for place in places), M))

    letter_U, label_U = np.divmod(key_U, labels.size)
    units = zip(letter_U.tolist(), label_U.tolist(), strict=True)
    names = [(letters.names[letter], labels.name(label)) for letter, label in units]
    return AlignmentUnits(names, labels.symbols_L[label_U], lattices, tuple(skipped))


def _check(pairs: Sequence[Pair]) -> None:
    """Refuse symbols that cannot be part of a label."""
    for number, (_, symbols) in enumerate(pairs, start=1):
        for symbol in symbols:
            if symbol in ("", NOTHING) or PLUS in symbol:
                raise TextError(
                    f"pair {number:,} holds the symbol {symbol!r}, which cannot be part of a label",
                    f"{NOTHING} is the label of a letter without a symbol, and {PLUS} joins "
                    "several",
                    "write it as another symbol",
                )


class _Row:
    """Sequences of names in one row of numbers; sequence p begins at start_P[p]."""

    def __init__(self, sequences: Sequence[Sequence[str]]) -> None:
        row = list(itertools.chain.from_iterable(sequences))
        self.names = list(dict.fromkeys(row))
        numbers = {name: number for number, name in enumerate(self.names)}
        self.number_S = np.array([numbers[name] for name in row], dtype=np.int64)
        self.start_P = np.cumsum([0, *map(len, sequences)])[:-1]

    def places(self, pairs_B: np.ndarray, length: int) -> np.ndarray:
        """Return the places in the row of the sequences of `pairs_B`, all of one length: (length,
        B)."""
        return np.asarray(self.start_P[pairs_B] + np.arange(length)[:, None])


class _Labels(_Row):
    """Symbols, and L labels of them. Label 0 has no symbol, and label_KS[k - 1, s] has the k
    symbols that end at s. symbols_L: how many each has."""

    def __init__(self, sequences: Sequence[Sequence[str]], most: int) -> None:
        super().__init__(sequences)
        symbols = [0]  # of each label
        firsts = [np.zeros(1, dtype=np.int64)]  # a place where each label ends
        rows = []
        codes = np.zeros_like(self.number_S)
        for count in range(1, most + 1):
            # A label of one symbol more is known by the label before it and its last symbol.
            longer = np.roll(codes, 1) * len(self.names) + self.number_S
            _, first, codes = np.unique(longer, return_index=True, return_inverse=True)
            rows.append(codes + len(symbols))
            symbols += [count] * len(first)
            firsts.append(first)
        self.label_KS = np.stack(rows)
        self.symbols_L = np.array(symbols)
        self._end_L = np.concatenate(firsts)
        self.size = len(symbols)

    def name(self, label: int) -> str:
        """Return the label as it is written."""
        if label == 0:
            return NOTHING
        # Places below 0 count from the end, as np.roll does.
        places = self._end_L[label] - np.arange(self.symbols_L[label])[::-1]
        return PLUS.join(self.names[number] for number in self.number_S[places])


def _keys(pairs_B: np.ndarray, N: int, M: int, letters: _Row, labels: _Labels) -> list[np.ndarray]:
    """Return letter and label of all units, in one number each, shaped as in a lattice."""
    letter_NB = letters.number_S[letters.places(pairs_B, N)] * labels.size
    label_KMB = labels.label_KS[:, labels.places(pairs_B, M)]
    # A label of several symbols cannot end before as many have come.
    longer = (label_MB[count:] for count, label_MB in enumerate(label_KMB[:M]))
    return [letter_NB[:, None], *(letter_NB[:, None] + label_mB for label_mB in longer)]


def _distinct(arrays: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the distinct numbers of arrays, ascending, and where each number of the arrays is
    among them."""
    everything = np.concatenate([array.ravel() for array in arrays])
    distinct, place_of = np.unique(everything, return_inverse=True)
    ends = np.cumsum([array.size for array in arrays])
    parts = np.split(place_of.astype(np.int32), ends[:-1])
    return distinct, [part.reshape(array.shape) for part, array in zip(parts, arrays, strict=True)]


# ---- Learning alignments, and aligning by the learned units.

ITERATIONS = 10
# Factor of a label at first, for each symbol beyond one: with 0.1 CMUdict needs fewer labels than
# with 1 or 0.01
_FIRST_WEIGHT = 0.1


@dataclass(frozen=True)
class Alignment:
    """Aligned pairs, and how to align more.

    labels: of each pair, one label a letter; None where it has no alignment. log_likelihoods: of
    all pairs that have one, in nats, before the first iteration and after each but the last.
    skipped: the numbers, from 0, of those that have none. log_probabilities: of each unit, (letter,
    label). max_symbols: how many a letter may take.
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

    max_symbols: how many a letter may take. A pair has no alignment where it needs more, or where
    it has more than a thousand letters or symbols. progress: called once an iteration. Memory:
    about 15 bytes for letters times symbols of each pair.
    """
    if iterations < 1 or max_symbols < 1:
        raise SettingsError(
            "an alignment needs at least one iteration and one symbol per letter",
            f"{iterations = }, {max_symbols = }",
        )
    # Begin with all units of as many symbols equally likely.
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
    """Align other pairs by the units that `alignment` has learned. Units that it has not seen are
    less likely than any that it has."""
    units = units_of(pairs, alignment.max_symbols)
    known = alignment.log_probabilities
    least = min(known.values(), default=0.0)
    unseen_U = (least + np.log(_FIRST_WEIGHT)) * np.maximum(units.symbols_U, 1)
    logprobs = map(known.get, units.names, unseen_U.tolist())
    return _aligned(units, np.array(list(logprobs)), len(pairs), alignment.max_symbols)


def join(labels: Iterable[str]) -> list[str]:
    """Return the symbols that `labels` hold, in order."""
    parts = (label.split(PLUS) for label in labels if label != NOTHING)
    return list(itertools.chain.from_iterable(parts))


def _log_shares(weights_U: np.ndarray) -> np.ndarray:
    """Return the logarithms of weights, scaled to sum to one."""
    logarithm_U = np.full(len(weights_U), EXCLUDED)
    share_U = weights_U / max(weights_U.sum(), 1e-300)
    np.log(share_U, out=logarithm_U, where=share_U > 0)
    return logarithm_U


def _aligned(
    units: AlignmentUnits,
    logprob_U: np.ndarray,
    pairs: int,
    max_symbols: int,
    log_likelihoods: Iterable[float] = (),
) -> Alignment:
    """Return the most likely alignment of each pair."""
    labels: list[tuple[str, ...] | None] = [None] * pairs
    label_U = np.array([label for _, label in units.names], dtype=object)
    for lattice in units.lattices:
        units_BN = best_units(lattice, logprob_U).T
        for pair, pair_units in zip(lattice.pairs_B.tolist(), units_BN, strict=True):
            labels[pair] = tuple(label_U[pair_units])

    learned = zip(units.names, logprob_U.tolist(), strict=True)
    log_probabilities = {name: logprob for name, logprob in learned if logprob > EXCLUDED}
    return Alignment(
        labels=tuple(labels),
        log_likelihoods=tuple(log_likelihoods),
        skipped=units.skipped,
        log_probabilities=log_probabilities,
        max_symbols=max_symbols,
    )
