import warnings

import numpy as np
import pytest

from rnnlm.lm.ngram.settings import NgramSettings
from rnnlm.lm.ngram.smoothing.estimator import CountsOfCounts, OrderCounts
from rnnlm.lm.ngram.smoothing.other_methods import Katz


def shares_of(tally: dict[int, int]):
    """Return the shares after a context with so many words of each count, the rest, the notice."""
    counts_M = np.repeat(list(tally), list(tally.values()))
    katz = Katz(NgramSettings(), None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        katz.begin_order(2, CountsOfCounts(np.array(list(tally)), np.array(list(tally.values()))))
        katz.notices.send()
        shares = katz.shares(OrderCounts(2, counts_M, np.zeros(len(counts_M), dtype=int), 1))
    return shares, katz, " ".join(str(each.message) for each in caught)


def test_only_turing_counts_above_raw_are_replaced_with_a_notice():
    shares, katz, said = shares_of({1: 120, 2: 40, 3: 24, 4: 13, 5: 15, 6: 5, 7: 11})
    assert not said and katz.report()["counts of order 2"]["1"] < 1
    assert shares.seen_M.sum() + shares.left_H[0] == pytest.approx(1) and shares.left_H[0] > 0
    # 3* = 4 * 5000 / 2000 > 3 by Turing, far from the line
    _, katz, said = shares_of({1: 100_000, 2: 10_000, 3: 2_000, 4: 5_000, 5: 100, 6: 50, 7: 20})
    assert "order 2: Turing's estimates are not below" in said
    assert katz.report()["counts of order 2"]["3"] < 3


@pytest.mark.parametrize(("tally", "said", "once"), [
    ({1: 2, 2: 9}, "order 2: Good-Turing counts are not below", 1 - 2 / 20),
    ({1: 9, 3: 4}, "order 2: Good-Turing counts are not below", 0.5),
    ({1: 7}, "order 2: all counts are equal", 0.5),
    ({1: 9, 3: 9, 5: 9}, "no n-gram occurs twice", 0.5),
])  # fmt: skip
def test_absolute_discounting_replaces_senseless_smoothed_counts(tally, said, once):
    shares, katz, notices = shares_of(tally)
    assert said in notices
    assert katz.report()["counts of order 2"]["1"] == pytest.approx(once)
    assert (shares.seen_M > 0).all() and shares.left_H[0] > 0
