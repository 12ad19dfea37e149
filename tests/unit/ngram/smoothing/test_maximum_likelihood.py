import math

import pytest

from support.tiny_ngrams import BEGIN, fit

A, B, C, END = 1, 2, 3, 0
TEXT = [[A, B], [A]]  # c(a) = 2, c(b) = 1, c(</s>) = 2, N = 5; c(ab) = c(a</s>) = c(b</s>) = 1, c(<s>a) = 2; c is never seen


def test_by_hand():
    model = fit("mle", TEXT, 4)
    assert [model.p(word) for word in (A, B, END, C)] == pytest.approx([2 / 5, 1 / 5, 2 / 5, 0])
    assert model.p(B, (A,)) == pytest.approx(1 / 2) and model.p(A, (BEGIN,)) == 1
    assert model.p(A, (A,)) == 0  # never seen after a, and nothing is left for it


def test_a_context_never_seen_is_passed_over():
    model = fit("mle", TEXT, 4)
    assert model.p(B, (C,)) == model.p(B)


def test_zero_probabilities_are_minus_infinity():
    model = fit("mle", TEXT, 4)
    assert model.logprob[C,] == -math.inf and model.logbackoff[A,] == -math.inf
