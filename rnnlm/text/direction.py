"""Lines whose tokens are read from the last to the first: where each token then stands. `</s>` still ends the line."""

from dataclasses import replace

import numpy as np

from rnnlm.interface import Encoded


def mirror(line_offsets: np.ndarray) -> np.ndarray:
    """(N,) int64: where each of N tokens stands when each line is read from its end; done twice, it is where it was.

    line_offsets: (lines + 1,), the first 0; each line ends in the boundary, which stays.
    """
    offsets = np.asarray(line_offsets, dtype=np.int64)
    lengths, ends = np.diff(offsets), offsets[1:] - 1
    at_N = np.repeat(offsets[:-1] + ends - 1, lengths) - np.arange(offsets[-1])
    at_N[ends] = ends
    return at_N


def mirrored(encoded: Encoded) -> Encoded:
    """The lines with their tokens in the other order."""
    at_N = mirror(encoded.offsets)
    return replace(encoded, ids=encoded.ids[at_N], oov=np.sort(at_N[encoded.oov]))


def mirrored_stream(ids: np.ndarray, boundary_id: int) -> np.ndarray:
    """Ids of lines that end in boundaries, but for the last one, which may have none, with those of each line in the other order."""
    ids = np.asarray(ids, dtype=np.int64)
    is_open = len(ids) > 0 and ids[-1] != boundary_id
    closed = np.append(ids, boundary_id) if is_open else ids
    found = closed[mirror(np.concatenate([[0], np.flatnonzero(closed == boundary_id) + 1]))]
    return found[:-1] if is_open else found
