"""Word vectors by counting: positive pointwise mutual information of words and what stands beside them, and its truncated singular value
decomposition (Levy, Goldberg & Dagan 2015, sections 2.1, 2.2 and 3).

    PMI(w, c) = log P(w, c) / (P(w) P_a(c)),  P_a(c) = #(c)^a / sum over c' of #(c')^a,  a = 0.75   (their equation 3)

The smoothed P_a takes away PMI's liking for rare contexts. Of M = U S V^T, M being PPMI = max(PMI, 0), a word's vector is its row of
U S^0.5 (equation 6 with p = 0.5): S itself, as in the best approximation of M, does worse in their comparison.
"""

from typing import Any

import numpy as np

from rnnlm.errors import SettingsError, TextError
from rnnlm.text.lines import Progress, silent

WINDOW = 5
SMOOTHING = 0.75
EIGENVALUE_POWER = 0.5
BLOCK_WORDS = 1 << 20

Matrix = Any  # a scipy.sparse.csr_array


def svd_vectors(
    ids_N: np.ndarray, line_offsets: np.ndarray, size: int, width: int, window: int = WINDOW, seed: int = 1, progress: Progress = silent
) -> np.ndarray:
    """Vectors (V, width) float32 of the V = `size` words of a text; the same for the same text and seed, which draws the solver's start.

    ids_N: of all lines. line_offsets: (lines + 1,) where each line begins, and the end. window: words on each side that count as context.

    Raises:
        SettingsError: there are no more words than `width`. TextError: no word stands beside another one.
    """
    from scipy.sparse.linalg import svds

    if width >= size:
        raise SettingsError(f"width = {width} is more than {size:,} words allow", "the matrix has a row and a column for each", "lower it")
    counts_VV = cooccurrences(ids_N, line_offsets, size, window, progress)
    if not counts_VV.nnz:
        raise TextError(
            "there is nothing to count", "no line holds two words that occur often enough", "lower --min-count, or take more text"
        )
    matrix_VV = ppmi(counts_VV).astype(np.float32)
    progress(f"singular values of {matrix_VV.nnz:,} numbers")
    start_V = np.random.default_rng(seed).standard_normal(size).astype(np.float32)
    u_VE, s_E, _ = svds(matrix_VV, k=width, v0=start_V)
    u_VE, s_E = u_VE[:, ::-1], np.maximum(s_E[::-1], 0)
    largest_E = u_VE[np.abs(u_VE).argmax(axis=0), np.arange(width)]  # the sign of a singular vector is free
    return np.ascontiguousarray(u_VE * np.sign(largest_E) * s_E**EIGENVALUE_POWER, dtype=np.float32)


def cooccurrences(ids_N: np.ndarray, line_offsets: np.ndarray, size: int, window: int, progress: Progress = silent) -> Matrix:
    """How often word c stands within `window` words of word w in the same line, (V, V), symmetric; pairs at any distance count 1."""
    from scipy.sparse import coo_array, csr_array

    total = csr_array((size, size), dtype=np.int64)
    line_N = np.repeat(np.arange(len(line_offsets) - 1), np.diff(line_offsets))
    for distance in range(1, window + 1):
        progress(f"words at distance {distance} of {window}")
        for start in range(0, len(ids_N) - distance, BLOCK_WORDS):
            end = min(start + BLOCK_WORDS, len(ids_N) - distance)
            here, there = slice(start, end), slice(start + distance, end + distance)
            is_pair = line_N[here] == line_N[there]
            pairs = ids_N[here][is_pair], ids_N[there][is_pair]
            total += coo_array((np.ones(len(pairs[0]), dtype=np.int64), pairs), shape=(size, size)).tocsr()
    return (total + total.T).tocsr()


def ppmi(counts_VV: Matrix, smoothing: float = SMOOTHING) -> Matrix:
    """Positive PMI of counts (words in rows, contexts in columns), natural logarithms, float64; what is zero is not stored."""
    from scipy.sparse import csr_array

    counts = counts_VV.tocoo()
    words_V = np.asarray(counts_VV.sum(axis=1), dtype=np.float64)
    contexts_V = np.asarray(counts_VV.sum(axis=0), dtype=np.float64) ** smoothing
    contexts_V /= contexts_V.sum()
    row, column = counts.coords
    pmi = np.log(counts.data / (words_V[row] * contexts_V[column]))  # P(w, c) / P(w) is #(w, c) / #(w)
    kept = pmi > 0
    return csr_array((pmi[kept], (row[kept], column[kept])), shape=counts.shape)
