import pytest

from support.tiny_ngrams import BEGIN, fit

A, B, C, END = 1, 2, 3, 0
TEXT = [[A, B], [A]]  # c(a) = 2, c(b) = 1, c(</s>) = 2, N = 5; c(ab) = c(a</s>) = c(b</s>) = 1, c(<s>a) = 2; V = 4: c is never seen


def test_by_hand():
    model = fit("witten-bell", TEXT, 4)
    # N = 5 and T = 3 different words: p(a) = (2 + 3/4) / 8, p(b) = (1 + 3/4) / 8, p(c) = 3/4 / 8
    assert [model.p(word) for word in (A, B, END, C)] == pytest.approx([11 / 32, 7 / 32, 11 / 32, 3 / 32])
    # c(a) = 2 and T(a) = 2: p(b|a) = (1 + 2 * 7/32) / 4, p(a|a) = 2 * 11/32 / 4
    assert [model.p(word, (A,)) for word in (A, B, END, C)] == pytest.approx([11 / 64, 23 / 64, 27 / 64, 3 / 64])
    # c(<s>) = 2 and T(<s>) = 1
    assert model.p(A, (BEGIN,)) == pytest.approx((2 + 11 / 32) / 3)
