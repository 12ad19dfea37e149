"""The one oddity of lmplz's discounts, for `--discounts lmplz`: how the end of its sorted input enters the counts of counts.

lmplz numbers words `<unk>` 0, `<s>` 1, `</s>` 2, then by first appearance, pads sentences with N-1 `<s>`, and reads the
highest-order n-grams sorted by last word, then the one before it, and so on. The suffixes of the very last of them enter
the counts of counts with their raw instead of their adjusted count, as far as they hold at most one `<s>`. On large texts this changes
nothing that one could see; on small ones up to 0.01 in log10.
"""

import numpy as np

from rnnlm.ngram.counting.counts import NgramCounts
from rnnlm.ngram.tables import NOWHERE

UNKNOWN, START, END, FIRST_WORD = range(4)  # lmplz's numbers of words


def with_end_of_text(tally: np.ndarray, counts: NgramCounts, order: int) -> np.ndarray:
    """Counts of counts `tally` of `order`, changed as lmplz has them. The n-grams that end at :func:`last_read` are those
    that :func:`rnnlm.ngram.counting.counts.count` watched."""
    number = counts.levels[order - 1].watched
    if number == NOWHERE:
        return tally
    tally = tally.copy()
    for count, change in ((counts.adjusted(order)[number], -1), (counts.raw(order)[number], 1)):
        if count < len(tally):
            tally[count] += change
    return tally


def last_read(ids_T: np.ndarray, boundary_id: int, unk_id: int | None, size: int, order: int) -> int:
    """The position in the text where the n-gram ends that lmplz reads last."""
    lmplz_V = _lmplz_numbers(ids_T, boundary_id, unk_id, size)
    last_T = lmplz_V[ids_T]
    positions = np.flatnonzero(last_T == last_T.max())
    ends = np.flatnonzero(ids_T == boundary_id)
    starts = np.concatenate(([0], ends + 1))[np.searchsorted(ends, positions)]
    for back in range(1, order):
        inside = positions - back >= starts
        words = np.where(inside, lmplz_V[ids_T[np.maximum(positions - back, 0)]], START)
        keep = words == words.max()
        positions, starts = positions[keep], starts[keep]
    return int(positions[0])


def _lmplz_numbers(ids_T: np.ndarray, boundary_id: int, unk_id: int | None, size: int) -> np.ndarray:
    """lmplz's number of each word of V."""
    first_V = np.full(size, len(ids_T))
    first_V[ids_T[::-1]] = np.arange(len(ids_T))[::-1]  # of several positions the last one written stays: the first
    special = [boundary_id] if unk_id is None else [unk_id, boundary_id]
    first_V[special] = -1
    numbers_V = np.empty(size, dtype=np.int64)
    numbers_V[np.argsort(first_V, kind="stable")] = np.arange(size) - len(special) + FIRST_WORD
    numbers_V[boundary_id] = END
    if unk_id is not None:
        numbers_V[unk_id] = UNKNOWN
    return numbers_V
