"""Discounts of absolute and modified Kneser-Ney discounting, and what replaces missing ones."""

import numpy as np
import pytest

from rnnlm.errors import NoticeCollector, RnnlmWarning
from rnnlm.lm.ngram.smoothing.estimator import CountsOfCounts
from rnnlm.lm.ngram.smoothing.kneser_ney import discount_of, discounts_of


@pytest.mark.parametrize(
    "counts, missing", [([1, 1, 1, 5], "twice"), ([2, 2, 7], "once"), ([9], "once")]
)
def test_an_inestimable_discount_becomes_a_half_with_notice(counts, missing):
    tally = CountsOfCounts(*np.unique(counts, return_counts=True))
    notices = NoticeCollector()
    assert discount_of(tally, 3, notices) == 0.5
    with pytest.warns(RnnlmWarning, match=f"order 3: no n-gram occurs {missing}"):
        notices.send()


def test_modified_discounts_by_hand():
    # Y = 10 / 20; D_1 = 1 - 2/2 * 5/10, D_2 = 2 - 3/2 * 3/5, D_3 = 3 - 4/2 * 2/3
    discounts = discounts_of(np.array([0, 10, 5, 3, 2]), 2, NoticeCollector())
    assert discounts == pytest.approx([0, 0.5, 1.1, 5 / 3])
    without_fours = discounts_of(np.array([0, 10, 5, 3, 0]), 2, NoticeCollector())
    assert without_fours == pytest.approx([0, 0.5, 1.1, 3])


@pytest.mark.parametrize("tally", [
    (0, 0, 5, 3, 2), (0, 10, 0, 3, 2), (0, 10, 5, 0, 2), (0, 1, 1, 9, 9), (0, 3, 3, 6, 1),
])  # fmt: skip
def test_impossible_discounts_become_fixed_ones_with_a_notice(tally):
    notices = NoticeCollector()
    for order in (4, 5):
        assert discounts_of(np.array(tally), order, notices).tolist() == [0, 0.5, 1, 1.5]
    with pytest.warns(RnnlmWarning, match="^order 4, order 5: too few.*0.5, 1.0, 1.5 are used"):
        notices.send()
