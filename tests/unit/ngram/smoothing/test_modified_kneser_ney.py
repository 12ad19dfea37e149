import numpy as np
import pytest

from rnnlm.errors import RnnlmWarning
from rnnlm.ngram.smoothing.modified_kneser_ney import discounts_of
from support.tiny_ngrams import fit

A, B, C, END = 1, 2, 3, 0
TEXT = [[A, B], [A]]  # c(a) = 2, c(b) = 1, c(</s>) = 2, N = 5; c(ab) = c(a</s>) = c(b</s>) = 1, c(<s>a) = 2; V = 4: c is never seen

# bigrams: t_1 = 3, t_2 = 1, t_3 = 0; unigrams, by words to their left: a 1, b 1, </s> 2; t_3 = 0: so D = 1/2, 1, 3/2 for both


def test_interpolated_by_hand():
    model = fit("mkn", TEXT, 4)
    # left: (1/2 * 2 + 1 * 1) / 4 = 1/2, shared out as 1/4 each: p(a) = p(b) = 0.5/4 + 1/8, p(</s>) = 1/4 + 1/8, p(c) = 1/8
    assert [model.p(word) for word in (A, B, END, C)] == pytest.approx([0.25, 0.25, 0.375, 0.125])
    # after a left: 1/2 * 2 / 2: p(b|a) = 0.5/2 + 0.5 * 0.25
    assert [model.p(word, (A,)) for word in (A, B, END, C)] == pytest.approx([0.125, 0.375, 0.4375, 0.0625])


def test_backing_off_by_hand():
    model = fit("mkn", TEXT, 4, interpolate=False)
    assert [model.p(word) for word in (A, B, END, C)] == pytest.approx([0.125, 0.125, 0.25, 0.5])
    # after a, a and c are unseen, together 0.625 below: bow(a) = 0.5 / 0.625
    assert [model.p(word, (A,)) for word in (A, B, END, C)] == pytest.approx([0.1, 0.25, 0.25, 0.4])


def test_discounts_by_hand():
    # Y = 10 / 20; D_1 = 1 - 2/2 * 5/10, D_2 = 2 - 3/2 * 3/5, D_3 = 3 - 4/2 * 2/3
    assert discounts_of(np.array([0, 10, 5, 3, 2]), 2) == pytest.approx([0, 0.5, 1.1, 5 / 3])


def test_without_counts_of_four_the_third_discount_is_three():
    assert discounts_of(np.array([0, 10, 5, 3, 0]), 2) == pytest.approx([0, 0.5, 1.1, 3])


@pytest.mark.parametrize("tally", [(0, 0, 5, 3, 2), (0, 10, 0, 3, 2), (0, 10, 5, 0, 2), (0, 1, 1, 9, 9), (0, 3, 3, 6, 1)])
def test_where_a_discount_does_not_exist_is_negative_or_zero_fixed_ones_are_taken_and_the_order_named(tally):
    with pytest.warns(RnnlmWarning, match=f"order 4: .*t1 to t4 are {', '.join(map(str, tally[1:]))}"):
        assert discounts_of(np.array(tally), 4).tolist() == [0, 0.5, 1, 1.5]


def test_backing_off_takes_a_count_discounted_to_nothing_for_unseen():
    text = [[1, 2], [1, 2], [1, 2], [1, 3], [1, 3], [4]]  # bigrams 1 2 and 2 </s>: three times, t_4 = 0, so D_3 = 3
    model = fit("mkn", text, 6, interpolate=False)
    assert model.smoothing.report()["discounts of order 2"][2] == 3
    assert model.p(2, (1,)) == pytest.approx(np.exp(model.logbackoff[1,]) * model.p(2))
