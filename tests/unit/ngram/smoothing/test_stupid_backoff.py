import pytest

from support.tiny_ngrams import BEGIN, fit

A, B, C, END = 1, 2, 3, 0
TEXT = [[A, B], [A]]  # c(a) = 2, c(b) = 1, c(</s>) = 2, N = 5; c(ab) = c(a</s>) = c(b</s>) = 1, c(<s>a) = 2; V = 4: c is never seen


def test_by_hand():
    model = fit("stupid", TEXT, 4)
    assert [model.p(word) for word in (A, B, END, C)] == pytest.approx([2 / 5, 1 / 5, 2 / 5, 0.4 / 4])
    assert model.p(B, (A,)) == pytest.approx(1 / 2) and model.p(A, (BEGIN,)) == pytest.approx(1)
    assert model.p(A, (A,)) == pytest.approx(0.4 * 2 / 5)
    assert model.p(C, (A,)) == pytest.approx(0.4 * 0.4 / 4)


def test_each_word_of_context_given_up_costs_the_factor_seen_or_not():
    model = fit("stupid", TEXT, 4, order=3, backoff_factor=0.1)
    assert model.p(A, (C, C)) == pytest.approx(0.1 * 0.1 * 2 / 5)  # never seen at all
    assert model.p(A, (A, B)) == pytest.approx(0.1 * 0.1 * 2 / 5)  # seen, but not with a after it
    assert model.p(B, (C, A)) == pytest.approx(0.1 * 1 / 2)


def test_pruning_leaves_the_factor_as_it_is():
    model = fit("stupid", TEXT, 4, prune=[0, 1])
    assert model.grams[1] == [(BEGIN, A)]
    assert model.p(B, (A,)) == pytest.approx(0.4 * 1 / 5) and model.p(B, (BEGIN,)) == pytest.approx(0.4 * 1 / 5)


def test_the_model_says_that_it_does_not_sum_to_one():
    smoothing = fit("stupid", TEXT, 4).smoothing
    assert not smoothing.normalised and smoothing.report() == {"backoff factor": 0.4}
