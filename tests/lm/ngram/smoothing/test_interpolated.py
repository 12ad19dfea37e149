import itertools
from collections import Counter

import numpy as np
import pytest

from support.tiny_ngrams import BEGIN, fit

THE, DOG, RAN, CAT, JUMPED, END = 1, 2, 3, 4, 5, 0
# N = 8: c(the) = c(</s>) = 2, and 1 for the others
TEXT = [[THE, DOG, RAN], [THE, CAT, JUMPED]]
WEIGHTS = "0.1,0.3,0.6"


def textbook_counts(sentences, order):
    """Return c(hw) and c(h), where each line begins with as many `<s>` as a context is long."""
    start = (BEGIN,) * (order - 1)
    counts, contexts = Counter(), Counter()
    for sentence in sentences:
        padded = (*start, *sentence, END)
        for end, n in itertools.product(range(order - 1, len(padded)), range(1, order + 1)):
            counts[padded[end - n + 1 : end + 1]] += 1
            contexts[padded[end - n + 1 : end]] += 1
    return counts, contexts


def textbook(counts, contexts, weights, unseen, word, context):
    """Return the sum over the orders of weight times c(hw) / c(h)."""
    padded = (BEGIN,) * (len(weights) - 1) + tuple(context)
    total = taken = 0.0
    for n, weight in enumerate(weights, start=1):
        words = padded[len(padded) - n + 1 :]
        if contexts[words]:
            total += weight * counts[*words, word] / contexts[words]
            taken += weight
    return total / taken if unseen == "lower" else total


@pytest.mark.parametrize(("word", "context", "lower", "zero"), [
    (JUMPED, (THE, CAT), 0.1 / 8 + 0.3 + 0.6, 0.1 / 8 + 0.3 + 0.6),
    (RAN, (THE, CAT), 0.1 / 8, 0.1 / 8),
    # `cat dog` was never seen: 0.6 goes to the two lower orders, 1 to 3, or to nobody
    (RAN, (CAT, DOG), 1 / 4 / 8 + 3 / 4, 0.1 / 8 + 0.3),
    # nor was anything after `</s>`
    (DOG, (RAN, END), 1 / 8, 0.1 / 8),
    (DOG, (BEGIN, THE), 0.1 / 8 + 0.9 / 2, 0.1 / 8 + 0.9 / 2),
    # at the start, a trigram's context is `<s> <s>`
    (THE, (BEGIN,), 0.1 * 2 / 8 + 0.3 + 0.6, 0.1 * 2 / 8 + 0.3 + 0.6),
])  # fmt: skip
def test_by_hand(word, context, lower, zero):
    for unseen, expected in (("lower", lower), ("zero", zero)):
        model = fit("interpolated", TEXT, 6, 3, weights=WEIGHTS, unseen=unseen)
        assert model.p(word, context) == pytest.approx(expected), unseen
        assert model.smoothing.normalised == (unseen == "lower")
    assert model.smoothing.report() == {"weights": [0.1, 0.3, 0.6]}
    assert sum(model.p(word, (CAT, DOG)) for word in range(6)) == pytest.approx(0.4)


@pytest.mark.parametrize("unseen", ["lower", "zero"])
@pytest.mark.parametrize("weights", [(0.2, 0.1, 0.3, 0.4), (0.5, 0.5, 0, 0)])
def test_weights_multiply_the_relative_frequencies_of_each_order(weights, unseen):
    rng = np.random.default_rng(4)
    sentences = [rng.integers(1, 5, size=rng.integers(0, 7)).tolist() for _ in range(12)]
    counted = textbook_counts(sentences, 4)
    model = fit("interpolated", sentences, 6, 4, weights=list(weights), unseen=unseen)
    for length in range(5):
        for words in itertools.product((1, 2, 5), repeat=length):
            found = [model.p(word, (BEGIN, *words)) for word in range(6)]
            expected = [textbook(*counted, weights, unseen, word, words) for word in range(6)]
            assert found == pytest.approx(expected), words


def test_all_weight_on_the_highest_order_is_maximum_likelihood():
    model, other = fit("interpolated", TEXT, 6, 3, weights="0 0 1"), fit("mle", TEXT, 6, 3)
    assert model.logprob == pytest.approx(other.logprob)
    assert model.p(RAN, (CAT, DOG)) == other.p(RAN, (CAT, DOG)) == 1


def test_tuned_weights_worked_by_hand_also_without_held_out_words():
    """Held out: `a a` after training on `a b` and `a`. By both orders, a after <s> has 2/5 and 1, a
    after a 2/5 and 0, </s> after a 2/5 and 1/2. With the weight x of the bigrams, the product of
    0.4 + 0.6 x, 0.4 (1 - x) and 0.4 + 0.1 x is largest where 0.18 x^2 + 0.44 x - 0.12 = 0."""
    x = (-0.44 + np.sqrt(0.44**2 + 4 * 0.18 * 0.12)) / 0.36
    for unseen in ("lower", "zero"):
        model = fit("interpolated", [[1, 2], [1]], 3, heldout=[[1, 1]], unseen=unseen)
        assert model.smoothing.weights_N == pytest.approx([1 - x, x], abs=1e-5)
    weights_N = fit("interpolated", [[1, 2, 3]], 5, 4, heldout=[[4]]).smoothing.weights_N
    assert weights_N == pytest.approx([0.125, 0.125, 0.25, 0.5])


@pytest.mark.parametrize("unseen", ["lower", "zero"])
def test_no_other_weights_are_likelier(unseen):
    rng = np.random.default_rng(2)
    lines = [rng.integers(1, 6, size=6).tolist() for _ in range(80)]
    train, heldout = lines[:40], [*lines[40:], [6, 6]]  # which no weights make possible
    counted = textbook_counts(train, 3)

    def logprob(weights_N):
        pairs = [(line[at], line[:at]) for line in heldout[:-1] for at in range(6)]
        pairs += [(END, line) for line in heldout]
        return sum(np.log(textbook(*counted, weights_N, unseen, *pair)) for pair in pairs)

    weights_N = fit("interpolated", train, 7, 3, heldout=heldout, unseen=unseen).smoothing.weights_N
    assert weights_N.sum() == pytest.approx(1) and (weights_N > 0.01).all()
    best = logprob(weights_N)
    for n in range(3):
        for part in (0.97, 0.97 + 0.03 / weights_N[n]):
            other_N = weights_N * (1 - weights_N[n] * part) / (1 - weights_N[n])
            other_N[n] = weights_N[n] * part
            assert logprob(other_N) < best
