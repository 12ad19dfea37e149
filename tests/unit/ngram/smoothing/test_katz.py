import warnings

import numpy as np
import pytest

from rnnlm.ngram.settings import NgramSettings
from rnnlm.ngram.smoothing import CountsOfCounts, OrderCounts
from rnnlm.ngram.smoothing.katz import Katz
from support.tiny_ngrams import BEGIN, fit

A, B, C, END = 1, 2, 3, 0
TEXT = [[A, B], [A]]  # c(a) = 2, c(b) = 1, c(</s>) = 2, N = 5; c(ab) = c(a</s>) = c(b</s>) = 1, c(<s>a) = 2; V = 4: c is never seen


def shares_of(tally: dict[int, int]):
    """Shares and what is left after one context, from how many words have each count; and the notice given."""
    counts_M = np.repeat(list(tally), list(tally.values()))
    katz = Katz(NgramSettings(), None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        katz.begin_order(2, CountsOfCounts(np.array(list(tally)), np.array(list(tally.values()))))
        shares = katz.shares(OrderCounts(2, counts_M, np.zeros(len(counts_M), dtype=int), 1))
    return shares, katz, " ".join(str(each.message) for each in caught)


def test_by_hand():
    model = fit("katz", TEXT, 4)
    # unigrams: t_1 = 1, t_2 = 2, a line that rises: absolute discounting, D = 1/5; c alone is unseen and gets all 3 * 0.2 / 5
    assert [model.p(word) for word in (A, B, END, C)] == pytest.approx([0.36, 0.16, 0.36, 0.12])
    # bigrams: t_1 = 3, t_2 = 1: 1* = 2/3, 2* = 3 (2/3)^(log 3 / log 2). After a, a and c are unseen: bow(a) = 1/3 / 0.48
    assert [model.p(word, (A,)) for word in (A, B, END, C)] == pytest.approx([1 / 4, 1 / 3, 1 / 3, 1 / 12])
    assert model.p(A, (BEGIN,)) == pytest.approx(1.5 * (2 / 3) ** np.log2(3))
    counts = model.smoothing.report()["counts of order 2"]
    assert counts == {"1": pytest.approx(2 / 3, abs=1e-6), "2": pytest.approx(3 * (2 / 3) ** np.log2(3), abs=1e-6)}


def test_counts_are_good_turing_s_and_nothing_is_said_where_they_make_sense():
    shares, katz, said = shares_of({1: 120, 2: 40, 3: 24, 4: 13, 5: 15, 6: 5, 7: 11})
    assert not said and katz.report()["counts of order 2"]["1"] < 1
    assert shares.seen_M.sum() + shares.left_H[0] == pytest.approx(1) and shares.left_H[0] > 0


def test_smoothed_counts_alone_where_turing_s_exceed_the_counts_themselves():
    # 3* = 4 * 5000 / 2000 > 3 by Turing, far from the line
    _, katz, said = shares_of({1: 100_000, 2: 10_000, 3: 2_000, 4: 5_000, 5: 100, 6: 50, 7: 20})
    assert "order 2: Turing's estimates are not below" in said
    assert katz.report()["counts of order 2"]["3"] < 3


@pytest.mark.parametrize(
    ("tally", "said", "once"),
    [
        ({1: 2, 2: 9}, "order 2: Good-Turing counts are not below", 1 - 2 / 20),
        ({1: 9, 3: 4}, "order 2: Good-Turing counts are not below", 0.5),  # Z_1 = 6, Z_3 = 2: the line falls as 1/r
        ({1: 7}, "order 2: all counts are equal", 0.5),
        ({1: 9, 3: 9, 5: 9}, "no n-gram occurs twice", 0.5),
    ],
)
def test_absolute_discounting_where_even_smoothed_counts_make_no_sense(tally, said, once):
    shares, katz, notices = shares_of(tally)
    assert said in notices
    assert katz.report()["counts of order 2"]["1"] == pytest.approx(once)
    assert (shares.seen_M > 0).all() and shares.left_H[0] > 0


def test_where_every_word_was_seen_shares_are_scaled_to_one():
    model = fit("katz", [[1], [2], [1]], 3)
    assert sum(model.p(word) for word in range(3)) == pytest.approx(1)
    assert model.p(1) > model.p(2) and model.p(0) > model.p(1)
