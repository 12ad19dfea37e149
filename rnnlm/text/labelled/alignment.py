"""Which letters of a word stand for which of its symbols: many-to-many alignment by EM (Jiampojamarn, Kondrak & Sherif 2007).

Each letter bears no symbol, one, or several up to a limit, in order. What it bears is its label: of `s c h u h` and `S U` they are
`S _ _ U _`, of `b o x` and `B AA K S` they are `B AA K+S`. A unit is a letter with a label. A pair's likelihood is the sum over its
alignments of the product of their units' probabilities, and EM raises that of all pairs together. Pairs that need more symbols a letter
have no alignment.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rnnlm.errors import SettingsError
from rnnlm.text.labelled.alignment_lattices import EXCLUDED, best_units, expected_counts
from rnnlm.text.labelled.alignment_units import NOTHING, PLUS, Pair, Units, units_of
from rnnlm.text.lines import Progress, silent

ITERATIONS = 10
_FIRST_WEIGHT = 0.1  # of a label at first, for each symbol beyond one: with it CMUdict needs fewer labels than with 1 or 0.01


@dataclass(frozen=True)
class Alignment:
    """Aligned pairs, and how to align more.

    labels: of each pair, one label a letter; None where it has no alignment. log_likelihoods: of all pairs that have one, in nats, before
    the first iteration and after each but the last. skipped: the numbers, from 0, of those that have none. log_probabilities: of each
    unit, (letter, label). max_symbols: that a letter may bear.
    """

    labels: tuple[tuple[str, ...] | None, ...]
    log_likelihoods: tuple[float, ...]
    skipped: tuple[int, ...]
    log_probabilities: Mapping[tuple[str, str], float] = field(repr=False)
    max_symbols: int = 2


def align(pairs: Sequence[Pair], iterations: int = ITERATIONS, max_symbols: int = 2, progress: Progress = silent) -> Alignment:
    """Learn from pairs of letters and symbols how to align them, and align them.

    max_symbols: how many a letter may bear. A pair has no alignment where it needs more, or where it has more than a thousand letters or
    symbols. progress: called once an iteration. Memory: about 15 bytes for letters times symbols of each pair.

    Raises:
        SettingsError: no iteration or no symbol is allowed.
        TextError: a symbol cannot be part of a label.
    """
    if iterations < 1 or max_symbols < 1:
        raise SettingsError("an alignment needs at least one iteration and one symbol a letter", f"{iterations = }, {max_symbols = }")
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
    """Align other pairs by what `alignment` has learned. Units that it has not seen are less likely than any that it has.

    Raises:
        TextError: a symbol cannot be part of a label.
    """
    units = units_of(pairs, alignment.max_symbols)
    known = alignment.log_probabilities
    unseen_U = (min(known.values(), default=0.0) + np.log(_FIRST_WEIGHT)) * np.maximum(units.symbols_U, 1)
    logprob_U = np.array([known.get(name, unseen) for name, unseen in zip(units.names, unseen_U.tolist(), strict=True)])
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


def _aligned(units: Units, logprob_U: np.ndarray, pairs: int, max_symbols: int, log_likelihoods: Iterable[float] = ()) -> Alignment:
    labels: list[tuple[str, ...] | None] = [None] * pairs
    label_U = np.array([label for _, label in units.names], dtype=object)
    for lattice in units.lattices:
        for pair, its_units in zip(lattice.pairs_B.tolist(), best_units(lattice, logprob_U).T, strict=True):
            labels[pair] = tuple(label_U[its_units])
    learned = zip(units.names, logprob_U.tolist(), strict=True)
    return Alignment(
        labels=tuple(labels),
        log_likelihoods=tuple(log_likelihoods),
        skipped=units.skipped,
        log_probabilities={name: logprob for name, logprob in learned if logprob > EXCLUDED},
        max_symbols=max_symbols,
    )
