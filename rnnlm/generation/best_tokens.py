"""The likeliest tokens of each row, found on the device where the model left its scores; only they are copied to the host.

The largest of each block of columns are found first, and only the blocks that hold the largest of these are looked through: all K
largest numbers lie in the K blocks of the largest maxima. Of equal numbers that of the lower column is taken, which neither torch nor
numpy promises.
"""

from typing import Any

import numpy as np

from rnnlm import arrays
from rnnlm.inference.span_scoring import check_scores
from rnnlm.interface import Array

BLOCK = 64  # columns


def best_tokens(logprob_RV: Array, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The `count` largest of each row, or all V where these are fewer, largest first: columns (R, K) int64 and values (R, K) float64.

    Of equals the lower column comes first.

    Raises:
        ModelError: a row holds what is not a number.
    """
    width = logprob_RV.shape[1]
    at_RK, value_RK = (arrays.as_numpy(each) for each in _largest(logprob_RV, min(count + 1, width)))  # one more shows what is tied
    check_scores(value_RK)  # a NaN counts as the largest of its row
    order_RK = np.lexsort((at_RK, -value_RK), axis=1)
    at_RK, value_RK = np.take_along_axis(at_RK, order_RK, axis=1), np.take_along_axis(value_RK, order_RK, axis=1)
    if count < width:
        tied = np.flatnonzero((value_RK[:, count - 1] == value_RK[:, count]) & (value_RK[:, count] > -np.inf))
        if len(tied):
            rows_TV = arrays.as_numpy(logprob_RV[arrays.as_array_of(tied, logprob_RV)])
            for row, values_V in zip(tied.tolist(), rows_TV, strict=True):
                at_RK[row, :count] = _first_largest(values_V, value_RK[row, count], count)
    return at_RK[:, :count], value_RK[:, :count].astype(np.float64)


def _first_largest(values_V: np.ndarray, smallest: float, count: int) -> np.ndarray:
    """The columns of the `count` largest, the last of which is `smallest`."""
    candidates = np.flatnonzero(values_V >= smallest)
    return candidates[np.argsort(-values_V[candidates], kind="stable")[:count]]


def _largest(values_RV: Array, count: int) -> tuple[Array, Array]:
    """Columns and values of the `count` largest of each row, in any order."""
    rows, width = values_RV.shape
    blocks = width // BLOCK
    if blocks <= 2 * count:
        return _top(values_RV, count)
    in_blocks = blocks * BLOCK
    highest_RB = arrays.library(values_RV).amax(values_RV[:, :in_blocks].reshape(rows, blocks, BLOCK), 2)
    chosen_RK, _ = _top(highest_RB, count)
    column_W = arrays.as_array_of(np.arange(BLOCK), values_RV)
    inside_RC = (chosen_RK[:, :, None] * BLOCK + column_W).reshape(rows, -1)
    rest_RC = arrays.as_array_of(np.broadcast_to(np.arange(in_blocks, width), (rows, width - in_blocks)).copy(), values_RV)
    column_RC = arrays.library(values_RV).concatenate([inside_RC, rest_RC], 1)
    best_RK, value_RK = _top(_along(values_RV, column_RC), count)
    return _along(column_RC, best_RK), value_RK


def _top(values_RN: Array, count: int) -> tuple[Array, Array]:
    """As :func:`_largest`, of rows that are looked through in one go."""
    if not isinstance(values_RN, np.ndarray):
        value_RK, at_RK = values_RN.topk(count, dim=1, sorted=False)
        return at_RK, value_RK
    smallest = values_RN.shape[1] - count
    at_RK = np.argpartition(values_RN, smallest, axis=1)[:, smallest:] if smallest else np.broadcast_to(np.arange(count), values_RN.shape)
    return at_RK, _along(values_RN, at_RK)


def _along(values_RN: Array, at_RK: Array) -> Any:
    """values[r, at[r, k]] at each r and k."""
    return np.take_along_axis(values_RN, at_RK, axis=1) if isinstance(values_RN, np.ndarray) else values_RN.gather(1, at_RK)
