"""Estimate by discounting: absolute, Kneser-Ney and modified Kneser-Ney. Every count gives up a
part of itself."""

from collections.abc import Sequence

import numpy as np

from rnnlm.errors import NoticeCollector
from rnnlm.lm.ngram.smoothing.estimator import CountsOfCounts, Estimator, OrderCounts, Shares
from rnnlm.storage.files.tensors import ChunkedArray

# ---- Absolute discounting (Ney, Essen & Kneser 1994; Chen & Goodman 1999, section 2.6): every
# count gives up the same amount D.
#
# With c(hw) the count of hw, c(h) = sum over w of c(hw), T(h) how many different words were seen
# after h, and one D an order:
#
#     share(w|h) = (c(hw) - D) / c(h)      where hw was seen
#     left(h)    = D T(h) / c(h)
#     D = t_1 / (t_1 + 2 t_2),   t_j = number of n-grams with count j
#
# Where t_1 or t_2 is 0, the formula gives 0 or 1, which leaves nothing to unseen words, or nothing
# to those seen once; D = 1/2 is used instead.

FALLBACK_DISCOUNT = 0.5


class AbsoluteDiscounting(Estimator):
    """Absolute discounting: every count of an order gives up the same discount."""

    joins = ("interpolate", "back off")

    def begin_order(self, order: int, tally: CountsOfCounts) -> None:
        discount = discount_of(tally, order, self.notices)
        self.discounts = np.array([0.0, discount])  # of a count of 0, 1, ...; the last: or more
        self.estimated[f"discount of order {order}"] = round(discount, 6)

    def shares(self, seen: OrderCounts) -> Shares:
        total_H = seen.totals()
        discount_M = self.discounts[np.minimum(seen.counts_M, len(self.discounts) - 1)]
        share_M = (seen.counts_M - discount_M) / total_H[seen.contexts_M]
        return Shares(share_M, seen.per_context(discount_M) / total_H)


def discount_of(tally: CountsOfCounts, order: int, notices: NoticeCollector) -> float:
    """Return D of an order; where it does not exist, 1/2, and add a notice."""
    _, once, twice = tally.first(2)
    if once and twice:
        return float(once / (once + 2 * twice))
    missing = "twice" if once else "once"
    notices.add(
        f"order {order}",
        f"no n-gram occurs {missing}, so the discount cannot be estimated: {FALLBACK_DISCOUNT} "
        "is used",
    )
    return FALLBACK_DISCOUNT


# ---- Kneser-Ney (Kneser & Ney 1995; Chen & Goodman 1999, section 2.7): absolute discounting, but
# below the highest order a word counts by how many different words it follows.
#
# With a(hw) the adjusted count (raw at the highest order and after `<s>`, else the number of
# different words to the left of hw), S(h) = sum over w of a(hw), T(h) how many different words were
# seen after h, and one D an order:
#
#     share(w|h) = (a(hw) - D) / S(h)      where hw was seen
#     left(h)    = D T(h) / S(h)
#     D = t_1 / (t_1 + 2 t_2),   t_j = number of n-grams with adjusted count j
#
# Where t_1 or t_2 is 0, D = 1/2. In "San Francisco", Francisco is frequent, but follows one word
# only: after other words it is a poor guess.


class KneserNey(AbsoluteDiscounting):
    """Kneser-Ney: absolute discounting of adjusted counts."""

    counts = "adjusted"


# ---- Modified Kneser-Ney (Chen & Goodman 1999, section 3; Heafield et al. 2013, section 2), the
# estimator of KenLM's lmplz.
#
# Kneser-Ney with three discounts an order, for counts of one, two, and three or more. With a(hw)
# the adjusted count (raw at the highest order and after `<s>`, else the number of different words
# to the left of hw), S(h) = sum over w of a(hw) and N_j(h) the number of words that follow h with
# adjusted count j (3: or more):
#
#     share(w|h) = (a(hw) - D_a(hw)) / S(h)
#     left(h)    = (D_1 N_1(h) + D_2 N_2(h) + D_3 N_3(h)) / S(h)
#     Y = t_1 / (t_1 + 2 t_2),   D_j = j - (j + 1) Y t_(j+1) / t_j,
#         t_j = number of n-grams with adjusted count j
#
# Where t_1, t_2 or t_3 is 0 or a D_j is not above 0, D = 1/2, 1, 3/2 is used instead for that
# order. (lmplz accepts D_j = 0, which leaves nothing to unseen words after some contexts;
# `--discounts lmplz` does, too.)

FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)  # lmplz's, with --discount_fallback
SMALLEST = 1e-9  # below that, a discount is 0 but for rounding


class ModifiedKneserNey(KneserNey):
    """Modified Kneser-Ney: adjusted counts give up one of three discounts, by their size."""

    def begin_order(self, order: int, tally: CountsOfCounts) -> None:
        t = tally.first(4)
        like_lmplz = self.settings.discounts == "lmplz"
        if like_lmplz:
            t = with_end_of_text(t, tally.watched)
        least = 0.0 if like_lmplz else SMALLEST
        self.discounts = discounts_of(t, order, self.notices, least)
        reported = [round(value, 6) for value in self.discounts[1:].tolist()]
        self.estimated[f"discounts of order {order}"] = reported


def discounts_of(
    tally: np.ndarray, order: int, notices: NoticeCollector, least: float = SMALLEST
) -> np.ndarray:
    """Return D_0 = 0 and D_1 to D_3 from the counts of counts t_0 to t_4; where they do not exist,
    fixed ones, and add a notice."""
    t = tally.astype(np.float64)
    j = np.arange(4)
    with np.errstate(divide="ignore", invalid="ignore"):
        y = t[1] / (t[1] + 2 * t[2])
        discounts = j - (j + 1) * y * t[1:5] / t[:4]
    discounts[0] = 0.0
    if t[1:4].all() and ((least <= discounts[1:]) & (discounts[1:] <= j[1:])).all():
        return discounts
    used = ", ".join(map(str, FALLBACK_DISCOUNTS))
    notices.add(
        f"order {order}",
        f"too few different counts to estimate Kneser-Ney discounts: {used} are used",
    )
    return np.array([0.0, *FALLBACK_DISCOUNTS])


# ---- The one oddity of lmplz's discounts, for `--discounts lmplz`: how the end of its sorted input
# enters the counts of counts.
#
# lmplz numbers words `<unk>` 0, `<s>` 1, `</s>` 2, then by first appearance, pads sentences with
# N-1 `<s>`, and reads the highest-order n-grams sorted by last word, then the one before it, and so
# on. The suffixes of the very last of them enter the counts of counts with their raw instead of
# their adjusted count, as far as they hold at most one `<s>`. On large texts this changes nothing
# that one could see; on small ones up to 0.01 in log10.

UNKNOWN, START, END, FIRST_WORD = range(4)  # lmplz's numbers of words


def with_end_of_text(tally: np.ndarray, watched: tuple[int, int] | None) -> np.ndarray:
    """Change the counts of counts `tally` of an order to the counts of counts of lmplz. watched:
    the adjusted and the raw count of the n-gram that ends at :func:`last_read`, which counting
    watched."""
    if watched is None:
        return tally
    tally = tally.copy()
    for count, change in zip(watched, (-1, 1), strict=True):
        if count < len(tally):
            tally[count] += change
    return tally


def last_read(
    ids: np.ndarray | ChunkedArray,
    shards: Sequence[tuple[int, int]],
    boundary_id: int,
    unk_id: int | None,
    size: int,
    order: int,
) -> int:
    """Return the position in the text where the n-gram ends that lmplz reads last.

    shards: ranges of the text, to be looked at one by one.
    """
    # Each word's first position, from the last shard to the first.
    first_V = np.full(size, len(ids))
    for start, stop in reversed(shards):
        ids_T = np.asarray(ids[start:stop])
        first_V[ids_T[::-1]] = np.arange(start, stop)[::-1]
    lmplz_V = _lmplz_numbers(first_V, boundary_id, unk_id)

    # Of n-grams that are the same, the first one counts.
    greatest: tuple[list[int], int] = ([], 0)
    for start, stop in shards:
        # Its n-grams reach back.
        first = max(0, start - order + 1)
        ids_T = np.asarray(ids[first:stop])
        words, place = _greatest(ids_T, start - first, lmplz_V, boundary_id, order)
        if words > greatest[0]:
            greatest = words, first + place
    return greatest[1]


def _greatest(
    ids_T: np.ndarray, start: int, lmplz_V: np.ndarray, boundary_id: int, order: int
) -> tuple[list[int], int]:
    """Return lmplz's numbers of the words, from the last to the first, of the n-gram that it reads
    last of those that end from `start` on, and the place where it ends."""
    last_T = lmplz_V[ids_T]
    positions = start + np.flatnonzero(last_T[start:] == last_T[start:].max())
    ends = np.flatnonzero(ids_T == boundary_id)
    starts = np.concatenate(([0], ends + 1))[np.searchsorted(ends, positions)]
    last_words = [int(last_T[positions[0]])]
    # Of the n-grams that are equal so far, those with the largest word further back come last.
    for back in range(1, order):
        inside = positions - back >= starts
        words = np.where(inside, lmplz_V[ids_T[np.maximum(positions - back, 0)]], START)
        keep = words == words.max()
        positions, starts = positions[keep], starts[keep]
        last_words.append(int(words.max()))
    return last_words, int(positions[0])


def _lmplz_numbers(first_V: np.ndarray, boundary_id: int, unk_id: int | None) -> np.ndarray:
    """Return lmplz's number of each word of V, given where each occurs first."""
    special = [boundary_id] if unk_id is None else [unk_id, boundary_id]
    first_V[special] = -1
    numbers_V = np.empty(len(first_V), dtype=np.int64)
    by_first = np.argsort(first_V, kind="stable")
    numbers_V[by_first] = np.arange(len(first_V)) - len(special) + FIRST_WORD
    numbers_V[boundary_id] = END
    if unk_id is not None:
        numbers_V[unk_id] = UNKNOWN
    return numbers_V
