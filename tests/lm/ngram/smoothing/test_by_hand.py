"""Every estimator on one small text, worked by hand; and what single ones promise beyond it."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, strategies as st

from rnnlm.evaluation.soundness import probabilities_sum_to_one
from support.tiny_models import fit as tiny_fit
from support.tiny_ngrams import BEGIN, fit

A, B, C, END = 1, 2, 3, 0
# c(a) = 2, c(b) = 1, c(</s>) = 2, N = 5; c(ab) = c(a</s>) = c(b</s>) = 1, c(<s>a) = 2; V = 4: c is
# never seen
TEXT = [[A, B], [A]]
TWICE = 3 * (2 / 3) ** math.log2(3)  # Katz: 2* of bigrams

# name, settings; p of a, b, </s> and c; the same after a; p(a|<s>); what is reported. t_r: how many
# n-grams occur r times.
EXAMPLES = [
    # N = 5 and T = 3 different words: p(a) = (2 + 3/4) / 8, p(b) = (1 + 3/4) / 8, p(c) = 3/4 / 8
    # c(a) = 2 and T(a) = 2: p(b|a) = (1 + 2 * 7/32) / 4, p(a|a) = 2 * 11/32 / 4. c(<s>) = 2 and
    # T(<s>) = 1
    ("witten-bell", {}, [11 / 32, 7 / 32, 11 / 32, 3 / 32], [11 / 64, 23 / 64, 27 / 64, 3 / 64],
     (2 + 11 / 32) / 3, {}),
    ("mle", {}, [2 / 5, 1 / 5, 2 / 5, 0], [0, 1 / 2, 1 / 2, 0], 1, {}),
    # p(b|a) = 0.2/5 + 0.8/2
    ("interpolated", {"weights": "0.2,0.8"}, [2 / 5, 1 / 5, 2 / 5, 0], [0.08, 0.44, 0.48, 0],
     0.08 + 0.8, {"weights": [0.2, 0.8]}),
    ("stupid", {}, [2 / 5, 1 / 5, 2 / 5, 0.4 / 4], [0.4 * 2 / 5, 1 / 2, 1 / 2, 0.4 * 0.4 / 4], 1,
     {"backoff factor": 0.4}),
    # k V = 2 and c(a) = 2: p(b|a) = (1 + 2 * 3/14) / 4, p(a|a) = 2 * 5/14 / 4
    ("additive", {"additive_k": 0.5, "additive_prior": "lower-order"}, [2.5 / 7, 1.5 / 7, 2.5 / 7, 0.5 / 7],
     [5 / 28, 5 / 14, 3 / 7, 1 / 28], (2 + 5 / 7) / 4, {"k": 0.5}),
    # unigrams: t_1 = 1, t_2 = 2, D = 1/5; bigrams: t_1 = 3, t_2 = 1, D = 3/5 left: 1/5 * 3 / 5 =
    # 0.12, shared out as 1/4 each: p(a) = 1.8/5 + 0.03, p(b) = 0.8/5 + 0.03, p(c) = 0.03 after a
    # left: 3/5 * 2 / 2 = 0.6: p(b|a) = 0.4/2 + 0.6 * 0.19, p(a|a) = 0.6 * 0.39
    ("absolute", {}, [0.39, 0.19, 0.39, 0.03], [0.234, 0.314, 0.434, 0.018], 1.4 / 2 + 0.3 * 0.39,
     {"discount of order 1": 0.2, "discount of order 2": 0.6}),
    # c alone is unseen and gets all that is left; after a, a and c are unseen, together 0.48 below:
    # bow(a) = 0.6 / 0.48
    ("absolute", {"interpolate": False}, [0.36, 0.16, 0.36, 0.12],
     [1.25 * 0.36, 0.2, 0.2, 1.25 * 0.12], None, {}),
    # unigrams count the words to their left: a after <s>: 1, b after a: 1, </s> after a, b: 2; t_1
    # = 2, t_2 = 1, D = 1/2 left: 1/2 * 3 / 4 = 3/8, shared out as 1/4 each: p(a) = p(b) = 0.5/4 +
    # 3/32, p(</s>) = 1.5/4 + 3/32, p(c) = 3/32 after a left: 0.6: p(b|a) = 0.4/2 + 0.6 * 7/32
    ("kn", {}, [7 / 32, 7 / 32, 15 / 32, 3 / 32], [0.13125, 0.33125, 0.48125, 0.05625],
     1.4 / 2 + 0.3 * 7 / 32,
     {"discount of order 1": 0.5, "discount of order 2": 0.6}),
    # after a, a and c are unseen, together 1/2 below: bow(a) = 0.6 / 0.5
    ("kn", {"interpolate": False}, [1 / 8, 1 / 8, 3 / 8, 3 / 8], [1.2 / 8, 0.2, 0.2, 1.2 * 3 / 8],
     None, {}),
    # t_3 = 0 of bigrams and of unigrams, counted as above: D = 1/2, 1, 3/2 for both left: (1/2 * 2
    # + 1 * 1) / 4 = 1/2, shared out as 1/4 each: p(a) = p(b) = 0.5/4 + 1/8, p(</s>) = 1/4 + 1/8,
    # p(c) = 1/8 after a left: 1/2 * 2 / 2: p(b|a) = 0.5/2 + 0.5 * 0.25
    ("mkn", {}, [0.25, 0.25, 0.375, 0.125], [0.125, 0.375, 0.4375, 0.0625], None, {}),
    # after a, a and c are unseen, together 0.625 below: bow(a) = 0.5 / 0.625
    ("mkn", {"interpolate": False}, [0.125, 0.125, 0.25, 0.5], [0.1, 0.25, 0.25, 0.4], None, {}),
    # unigrams: t_1 = 1, t_2 = 2, a line that rises: absolute discounting, D = 1/5; c alone is
    # unseen and gets all 3 * 0.2 / 5 bigrams: t_1 = 3, t_2 = 1: 1* = 2/3, 2* = 3 (2/3)^(log 3 / log
    # 2). After a, a and c are unseen: bow(a) = 1/3 / 0.48
    ("katz", {}, [0.36, 0.16, 0.36, 0.12], [1 / 4, 1 / 3, 1 / 3, 1 / 12], TWICE / 2,
     {"counts of order 2": {"1": pytest.approx(2 / 3, abs=1e-6),
                            "2": pytest.approx(TWICE, abs=1e-6)}}),
]  # fmt: skip


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"{example[0]}-{example[1]}")
def test_an_estimator_gives_the_probabilities_worked_by_hand(example):
    name, settings, alone, after_a, first, report = example
    model = fit(name, TEXT, 4, **settings)
    assert [model.p(word) for word in (A, B, END, C)] == pytest.approx(alone)
    assert [model.p(word, (A,)) for word in (A, B, END, C)] == pytest.approx(after_a)
    assert first is None or model.p(A, (BEGIN,)) == pytest.approx(first)
    assert report.items() <= model.smoothing.report().items()


def test_maximum_likelihood_skips_unseen_contexts_and_allows_zeros():
    model = fit("mle", TEXT, 4)
    assert model.p(B, (C,)) == model.p(B)
    assert model.logprob[C,] == -math.inf and model.logbackoff[A,] == -math.inf


def test_stupid_backoff_pays_for_each_dropped_context_word_also_pruned():
    model = fit("stupid", TEXT, 4, order=3, backoff_factor=0.1)
    assert not model.smoothing.normalised
    assert model.p(A, (C, C)) == pytest.approx(0.1 * 0.1 * 2 / 5)  # never seen at all
    assert model.p(A, (A, B)) == pytest.approx(0.1 * 0.1 * 2 / 5)  # seen, but not with a after it
    assert model.p(B, (C, A)) == pytest.approx(0.1 * 1 / 2)
    model = fit("stupid", TEXT, 4, prune=[0, 1])
    assert model.grams[1] == [(BEGIN, A)]
    for context in (A, BEGIN):
        assert model.p(B, (context,)) == pytest.approx(0.4 * 1 / 5)


def test_backing_off_rescales_seen_words_and_those_discounted_to_nothing():
    # V = 3, all seen; D of unigrams = 1/3: shares (2 - 1/3) / 6, (1 - 1/3) / 6, (3 - 1/3) / 6, in
    # all 5/6
    text = [[1], [2], [1]]
    model = fit("absolute", text, 3, interpolate=False)
    assert [model.p(word) for word in (1, 2, 0)] == pytest.approx([5 / 15, 2 / 15, 8 / 15])
    assert sum(map(fit("katz", text, 3).p, range(3))) == pytest.approx(1)
    # bigrams 1 2 and 2 </s>: three times, t_4 = 0, so D_3 = 3
    model = fit("mkn", [[1, 2], [1, 2], [1, 2], [1, 3], [1, 3], [4]], 6, interpolate=False)
    assert model.smoothing.report()["discounts of order 2"][2] == 3
    assert model.p(2, (1,)) == pytest.approx(np.exp(model.logbackoff[1,]) * model.p(2))


def test_after_unknown_words_versatile_words_beat_frequent_ones():
    san, francisco, glasses = 1, 2, 9
    text = [[san, francisco]] * 6 + [[word, glasses] for word in (3, 4, 5)]
    for name, likelier in (("kn", glasses), ("absolute", francisco)):
        model = fit(name, text, 10)
        assert max((francisco, glasses), key=lambda word: model.p(word, (7,))) == likelier


@given(st.integers(0, 10_000), st.integers(1, 4), st.sampled_from([None, "0,1", "0,0,1"]))
def test_maximum_likelihood_sums_to_one_as_it_says(seed, order, prune):
    draw = random.Random(seed)
    lines = [" ".join(draw.choices("abc", k=draw.randint(1, 5))) for _ in range(6)]
    prune = prune if prune and len(prune) < 2 * order else "0"
    model = tiny_fit("ngram", lines, order=order, smoothing="mle", prune=prune)
    whole = tiny_fit("ngram", lines, order=order, smoothing="mle")
    assert whole.normalised
    assert model.normalised == (sum(map(len, model.values)) == sum(map(len, whole.values)))
    if model.normalised:
        checks = probabilities_sum_to_one(model, None, 1)
        assert [each.result for each in checks if each.name == "sums"] == ["ok"]
