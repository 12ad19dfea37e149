"""The likeliest tokens of each row, found on the device where the model left its scores; only they are copied to the host.

The largest of each block of columns are found first, and only the blocks that hold the largest of these are looked through: all K
largest numbers lie in the K blocks of the largest maxima. Of equal numbers that of the lower column is taken, which neither torch nor
numpy promises.
"""

from collections.abc import Sequence

import numpy as np

from rnnlm import arrays
from rnnlm.inference.span_scoring import check_scores
from rnnlm.interface import Array

BLOCK = 64  # columns


def best_tokens(logprob_RV: Array, count: int, without: Sequence[int] = ()) -> tuple[np.ndarray, np.ndarray]:
    """The `count` largest of each row, or all V where these are fewer, largest first: columns (R, K) int64 and values (R, K) float64.

    Of equals the lower column comes first. without: a few columns that count as -inf.

    Raises:
        ModelError: a row holds what is not a number.
    """
    width = logprob_RV.shape[1]
    at_RK, value_RK = map(arrays.as_numpy, _largest(logprob_RV, min(count + len(without) + 1, width)))
    check_scores(value_RK)  # a NaN counts as the largest of its row
    lowest_R = value_RK.min(axis=1)
    if len(without):
        value_RK = np.where((at_RK[:, :, None] == np.asarray(without)).any(axis=2), -np.inf, value_RK)
    order_RK = np.lexsort((at_RK, -value_RK), axis=1)[:, :count]
    at_RK, value_RK = np.take_along_axis(at_RK, order_RK, axis=1), np.take_along_axis(value_RK, order_RK, axis=1)
    if count < width:
        is_tied_R = (value_RK[:, -1] == lowest_R) & (lowest_R > -np.inf)  # with columns that may not be among those taken
        for row in np.flatnonzero(is_tied_R).tolist():
            at_RK[row] = _first_largest(arrays.as_numpy(logprob_RV[row]), lowest_R[row], without, count)
    return at_RK, value_RK.astype(np.float64)


def _first_largest(values_V: np.ndarray, lowest: float, without: Sequence[int], count: int) -> np.ndarray:
    """The columns of the `count` largest, none below `lowest`."""
    candidates = np.setdiff1d(np.flatnonzero(values_V >= lowest), without)
    return candidates[np.argsort(-values_V[candidates], kind="stable")[:count]]


def _largest(values_RV: Array, count: int) -> tuple[Array, Array]:
    """Columns and values of the `count` largest of each row, in any order."""
    rows, width = values_RV.shape
    blocks = width // BLOCK
    if blocks <= 2 * count:
        return _top(values_RV, count)
    xp, in_blocks = arrays.library(values_RV), blocks * BLOCK
    values_RBW = values_RV[:, :in_blocks].reshape(rows, blocks, BLOCK)
    block_RK, _ = _top(xp.amax(values_RBW, 2), count)
    chosen_RC = _along(values_RBW, block_RK[:, :, None]).reshape(rows, -1)
    if in_blocks < width:
        chosen_RC = xp.concatenate([chosen_RC, values_RV[:, in_blocks:]], 1)
    at_RK, value_RK = _top(chosen_RC, count)
    inside_RK = _along(block_RK, (at_RK // BLOCK).clip(0, count - 1)) * BLOCK + at_RK % BLOCK
    return xp.where(at_RK < count * BLOCK, inside_RK, at_RK + in_blocks - count * BLOCK), value_RK


def _top(values_RN: Array, count: int) -> tuple[Array, Array]:
    """As :func:`_largest`, of rows that are looked through in one go."""
    if not isinstance(values_RN, np.ndarray):
        value_RK, at_RK = values_RN.topk(count, dim=1, sorted=False)
        return at_RK, value_RK
    smallest = values_RN.shape[1] - count
    at_RK = np.argpartition(values_RN, smallest, axis=1)[:, smallest:] if smallest else np.broadcast_to(np.arange(count), values_RN.shape)
    return at_RK, _along(values_RN, at_RK)


def _along(values: Array, at: Array) -> Array:
    """values[r, at[r, k]] at each r and k."""
    return np.take_along_axis(values, at, axis=1) if isinstance(values, np.ndarray) else values.take_along_dim(at, dim=1)
