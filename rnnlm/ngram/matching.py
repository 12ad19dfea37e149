"""The longest n-gram of a table that ends at each token of a text: whether a model, or a training text, has met it."""

from collections.abc import Sequence

import numpy as np

from rnnlm.ngram.tables import NOWHERE, find_many, make_keys
from rnnlm.text.batches import with_boundary


def longest_matches(ids_N: np.ndarray, keys: Sequence[np.ndarray], size: int, boundary_id: int) -> np.ndarray:
    """(N,) int64: how many words the longest n-gram has that ends at each token, the start of the line counted as one; 1 where
    not even two.

    ids_N: tokens below `size`, each line ending in the boundary. keys[n]: sorted keys of order n + 2 (:mod:`rnnlm.ngram.tables`).
    """
    words_N = ids_N.astype(np.int64)
    inputs_N = with_boundary(words_N, boundary_id)[:-1]
    starts_N = inputs_N == boundary_id
    contexts_N = np.where(starts_N, size, inputs_N)
    matched_N = np.ones(len(words_N), dtype=np.int64)
    for n, keys_M in enumerate(keys, start=2):
        numbers_N = find_many(keys_M, make_keys(np.maximum(contexts_N, 0), words_N, size))
        numbers_N[contexts_N < 0] = NOWHERE
        matched_N[numbers_N >= 0] = n
        contexts_N = np.append(NOWHERE, numbers_N[:-1])
        contexts_N[starts_N] = NOWHERE  # nothing lies before the start of a line
    return matched_N
