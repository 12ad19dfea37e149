import numpy as np
import pytest

from rnnlm.errors import RnnlmWarning
from rnnlm.ngram.smoothing import CountsOfCounts
from rnnlm.ngram.smoothing.absolute_discounting import discount_of
from support.tiny_ngrams import BEGIN, fit

A, B, C, END = 1, 2, 3, 0
TEXT = [[A, B], [A]]  # c(a) = 2, c(b) = 1, c(</s>) = 2, N = 5; c(ab) = c(a</s>) = c(b</s>) = 1, c(<s>a) = 2; V = 4: c is never seen

# unigrams: t_1 = 1, t_2 = 2, D = 1/5; bigrams: t_1 = 3, t_2 = 1, D = 3/5


def test_interpolated_by_hand():
    model = fit("absolute", TEXT, 4)
    # left: 1/5 * 3 / 5 = 0.12, shared out as 1/4 each: p(a) = 1.8/5 + 0.03, p(b) = 0.8/5 + 0.03, p(c) = 0.03
    assert [model.p(word) for word in (A, B, END, C)] == pytest.approx([0.39, 0.19, 0.39, 0.03])
    # after a left: 3/5 * 2 / 2 = 0.6: p(b|a) = 0.4/2 + 0.6 * 0.19, p(a|a) = 0.6 * 0.39
    assert [model.p(word, (A,)) for word in (A, B, END, C)] == pytest.approx([0.234, 0.314, 0.434, 0.018])
    assert model.p(A, (BEGIN,)) == pytest.approx(1.4 / 2 + 0.3 * 0.39)
    assert model.smoothing.report() == {"discount of order 1": 0.2, "discount of order 2": 0.6}


def test_backing_off_by_hand():
    model = fit("absolute", TEXT, 4, interpolate=False)
    # c alone is unseen and gets all that is left
    assert [model.p(word) for word in (A, B, END, C)] == pytest.approx([0.36, 0.16, 0.36, 0.12])
    # after a, a and c are unseen, together 0.48 below: bow(a) = 0.6 / 0.48
    assert [model.p(word, (A,)) for word in (A, B, END, C)] == pytest.approx([1.25 * 0.36, 0.2, 0.2, 1.25 * 0.12])


@pytest.mark.parametrize(("counts", "missing"), [([1, 1, 1, 5], "twice"), ([2, 2, 7], "once"), ([9], "once")])
def test_where_no_discount_can_be_estimated_a_half_is_taken_and_the_order_named(counts, missing):
    tally = CountsOfCounts(*np.unique(counts, return_counts=True))
    with pytest.warns(RnnlmWarning, match=f"order 3: no n-gram occurs {missing}"):
        assert discount_of(tally, 3) == 0.5


def test_where_every_word_was_seen_backing_off_scales_to_one():
    model = fit("absolute", [[1], [2], [1]], 3, interpolate=False)  # V = 3, all seen; D of unigrams = 1/3
    # shares: (2 - 1/3) / 6, (1 - 1/3) / 6, (3 - 1/3) / 6, in all 5/6
    assert [model.p(word) for word in (1, 2, 0)] == pytest.approx([5 / 15, 2 / 15, 8 / 15])
