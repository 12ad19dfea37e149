"""All alignments of letters and symbols at once: dynamic programming over how many symbols the first letters bear.

Letters: B pairs, U units, N letters and M symbols of each pair. Logarithms are natural.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

EXCLUDED = -1e30  # the logarithm of the probability zero: finite, so that differences are numbers
_TIE = 1e-9  # nats: scores that differ by less only differ by rounding


@dataclass(frozen=True)
class Lattice:
    """Pairs of N letters and M symbols each. pairs_B: their numbers. units: of each number k of symbols that a letter may bear, the units
    of each letter with the k symbols that end at each place: (N, M + 1 - k, B), of no symbol (N, 1, B).
    """

    pairs_B: np.ndarray
    units: tuple[np.ndarray, ...]
    symbols: int

    @property
    def letters(self) -> int:
        """N."""
        return len(self.units[0])


def expected_counts(lattices: Iterable[Lattice], logprob_U: np.ndarray) -> tuple[np.ndarray, float]:
    """How often each unit is expected in the alignments of all pairs, (U,), and the log-likelihood of all pairs."""
    counts_U, log_likelihood = np.zeros(len(logprob_U)), 0.0
    for lattice in lattices:
        posteriors, logprob_B = _posteriors(lattice, logprob_U)
        log_likelihood += float(logprob_B.sum())
        for units, posterior in zip(lattice.units, posteriors, strict=True):
            counts_U += np.bincount(units.ravel(), posterior.ravel(), len(logprob_U))
    return counts_U, log_likelihood


def best_units(lattice: Lattice, logprob_U: np.ndarray) -> np.ndarray:
    """The units of the most likely alignment of each pair, (N, B). Of equally likely ones, that whose symbols come first."""
    N, M, B = lattice.letters, lattice.symbols, len(lattice.pairs_B)
    score = _start(lattice)
    symbols_NMB = np.empty((N, M + 1, B), dtype=np.int8)  # how many a letter bears, by the place where they end
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
    """(k, M + 1, B): the alignments of the letters up to `letter`, which bears k symbols, given those of the letters before it."""
    terms = np.full((len(lattice.units), *before.shape), EXCLUDED)
    for count, units in enumerate(lattice.units):
        np.add(before[: len(before) - count], logprob_U[units[letter]], out=terms[count, count:])
    return terms


def _log_sum(terms: np.ndarray) -> np.ndarray:
    top = terms.max(axis=0)
    terms -= top
    return top + np.log(np.exp(terms, out=terms).sum(axis=0))


def _posteriors(lattice: Lattice, logprob_U: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """The probability of each unit in the alignments of its pair, shaped as `lattice.units`, and the pairs' log-probabilities, (B,)."""
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
