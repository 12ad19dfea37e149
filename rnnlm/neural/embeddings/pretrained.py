"""Word vectors that a network starts from: made elsewhere, or counted in its training text."""

import numpy as np
import torch
from torch import Tensor

from rnnlm.text.counted_vectors import svd_vectors
from rnnlm.text.encoding import EncodedText
from rnnlm.text.vector_files import FoundVectors

MOST_TOKENS = 10_000_000  # of a longer text, its beginning is counted
NOTHING = 1e-6  # what rounding leaves of a vector that is zero: such a token stands beside none


def load_vectors(weight_VE: Tensor, found: FoundVectors) -> None:
    """Write the vectors into their rows, and narrower ones into the first columns; the rest stays as it is."""
    with torch.no_grad():
        ids_K, values_KE = (torch.from_numpy(array).to(weight_VE.device) for array in (found.ids_K, found.values_KE))
        weight_VE[:, : values_KE.shape[1]].index_copy_(0, ids_K, values_KE.to(weight_VE.dtype))


def counted_vectors(text: EncodedText, size: int, width: int) -> FoundVectors:
    """Vectors of a text's tokens by what stands beside them in its lines, each line's `</s>` among them. They have fewer than V = `size`
    numbers, and `width` at most.

    Raises:
        TextError: no token stands beside another one.
    """
    ids_N, offsets = text.ids[:MOST_TOKENS], text.line_offsets[:MOST_TOKENS]  # no line is empty
    offsets = np.append(offsets[offsets < len(ids_N)], len(ids_N))
    values_VE = svd_vectors(ids_N, offsets, size, min(width, size - 1))
    seen_K = np.flatnonzero(np.abs(values_VE).max(axis=1) > NOTHING)
    return FoundVectors(seen_K, values_VE[seen_K])
