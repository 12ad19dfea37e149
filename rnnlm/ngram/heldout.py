"""Held-out text as the training counts see it: how often each of its n-grams, and their contexts, occurred in training."""

import numpy as np

from rnnlm.ngram.counting.counts import NgramCounts
from rnnlm.ngram.smoothing import HeldoutCounts
from rnnlm.ngram.tables import NOWHERE, find_many, make_keys


def heldout_counts(counts: NgramCounts, ids_T: np.ndarray, boundary_id: int) -> HeldoutCounts:
    """Look up every n-gram of a held-out text whose lines end in `boundary_id`; contexts start anew at each line, with `<s>`."""
    is_first_T = np.append(True, ids_T[:-1] == boundary_id)
    ngrams_NT = np.zeros((counts.order, len(ids_T)), dtype=np.int64)
    contexts_NT = np.zeros_like(ngrams_NT)
    numbers_T = ids_T.astype(np.int64)
    counts_M = counts.raw(1)
    ngrams_NT[0], contexts_NT[0] = counts_M[ids_T], counts_M.sum()
    for n, level in enumerate(counts.levels[1:], start=2):
        before_T = np.append(NOWHERE, numbers_T[:-1])
        before_T[is_first_T] = counts.size if n == 2 else NOWHERE
        known = np.flatnonzero(before_T != NOWHERE)
        numbers_T = np.full(len(ids_T), NOWHERE)
        numbers_T[known] = find_many(level.keys_M, make_keys(before_T[known], ids_T[known], counts.size))
        found = np.flatnonzero(numbers_T != NOWHERE)
        contexts_NT[n - 1, known] = counts.levels[n - 2].counts_M[before_T[known]]  # all that end no line are followed by a word
        ngrams_NT[n - 1, found] = level.counts_M[numbers_T[found]]
    return HeldoutCounts(ngrams_NT, contexts_NT, counts.size)
