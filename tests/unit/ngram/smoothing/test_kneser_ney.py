import pytest

from support.tiny_ngrams import BEGIN, fit

A, B, C, END = 1, 2, 3, 0
TEXT = [[A, B], [A]]  # c(a) = 2, c(b) = 1, c(</s>) = 2, N = 5; c(ab) = c(a</s>) = c(b</s>) = 1, c(<s>a) = 2; V = 4: c is never seen

# bigrams: t_1 = 3, t_2 = 1, D = 3/5
# unigrams count the words to their left: a after <s>: 1, b after a: 1, </s> after a, b: 2; t_1 = 2, t_2 = 1, D = 1/2


def test_interpolated_by_hand():
    model = fit("kn", TEXT, 4)
    # left: 1/2 * 3 / 4 = 3/8, shared out as 1/4 each: p(a) = p(b) = 0.5/4 + 3/32, p(</s>) = 1.5/4 + 3/32, p(c) = 3/32
    assert [model.p(word) for word in (A, B, END, C)] == pytest.approx([7 / 32, 7 / 32, 15 / 32, 3 / 32])
    # after a left: 0.6: p(b|a) = 0.4/2 + 0.6 * 7/32
    assert [model.p(word, (A,)) for word in (A, B, END, C)] == pytest.approx([0.13125, 0.33125, 0.48125, 0.05625])
    assert model.p(A, (BEGIN,)) == pytest.approx(1.4 / 2 + 0.3 * 7 / 32)
    assert model.smoothing.report() == {"discount of order 1": 0.5, "discount of order 2": 0.6}


def test_backing_off_by_hand():
    model = fit("kn", TEXT, 4, interpolate=False)
    assert [model.p(word) for word in (A, B, END, C)] == pytest.approx([1 / 8, 1 / 8, 3 / 8, 3 / 8])
    # after a, a and c are unseen, together 1/2 below: bow(a) = 0.6 / 0.5
    assert [model.p(word, (A,)) for word in (A, B, END, C)] == pytest.approx([1.2 / 8, 0.2, 0.2, 1.2 * 3 / 8])


def test_after_words_that_are_not_known_a_word_that_follows_many_is_likelier_than_a_frequent_one():
    san, francisco, glasses = 1, 2, 9
    text = [[san, francisco]] * 6 + [[word, glasses] for word in (3, 4, 5)]
    for name, likelier in (("kn", glasses), ("absolute", francisco)):
        model = fit(name, text, 10)
        assert max((francisco, glasses), key=lambda word: model.p(word, (7,))) == likelier
