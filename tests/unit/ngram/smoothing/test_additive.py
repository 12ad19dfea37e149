import numpy as np
import pytest

from reference import ngram_formulas as formulas
from rnnlm.ngram.fitting import heldout_counts
from rnnlm.ngram.smoothing import HeldoutCounts
from rnnlm.ngram.smoothing.other_methods import best_k, logprob
from support.tiny_ngrams import BEGIN, counts_of, fit, ids_of

A, B, C, END = 1, 2, 3, 0
# c(a) = 2, c(b) = 1, c(</s>) = 2, N = 5; c(ab) = c(a</s>) = c(b</s>) = 1, c(<s>a) = 2; V = 4: c is
# never seen
TEXT = [[A, B], [A]]


@pytest.mark.parametrize("k", [1e-200, 1e300])
def test_any_k_gives_finite_probabilities_that_sum_to_one(k):
    model = fit("additive", TEXT, 4, order=3, additive_k=k)
    for context in model.contexts():
        assert sum(model.p(word, context) for word in range(4)) == pytest.approx(1)
    assert (
        np.isfinite(list(model.logprob.values())).all()
        and np.isfinite(list(model.logbackoff.values())).all()
    )


def test_the_tuned_k_makes_the_held_out_text_most_probable():
    rng = np.random.default_rng(1)
    train, heldout = (
        [(1 + rng.geometric(0.3, size=12).cumsum() % 8).tolist() for _ in range(lines)]
        for lines in (30, 30)
    )
    seen = heldout_counts(counts_of(train, 9, 3), ids_of(heldout), END)
    best = best_k(seen)
    at_best = logprob(seen, best)
    assert all(logprob(seen, k) <= at_best + 1e-3 for k in best * 1.01 ** np.arange(-300, 300))
    model = fit("additive", train, 9, order=3, heldout=heldout)
    assert model.smoothing.report() == {"k": best}
    padded = [(BEGIN, *sentence, END) for sentence in heldout]
    total = sum(
        np.log(model.p(words[at], words[:at])) for words in padded for at in range(1, len(words))
    )
    assert total == pytest.approx(at_best, rel=1e-5)


def test_the_held_out_probability_is_that_of_the_formula():
    train, heldout = [[1, 2, 2], [1, 1]], [[2, 1, 3]]
    seen = heldout_counts(counts_of(train, 4, 3), ids_of(heldout), END)
    formula = formulas.Additive(train, 4, 3)
    expected = np.prod(
        [
            float(formula.p(word, context))
            for word, context in ((2, (BEGIN,)), (1, (BEGIN, 2)), (3, (2, 1)), (0, (1, 3)))
        ]
    )
    assert logprob(seen, 0.5) == pytest.approx(np.log(expected))


def test_a_text_held_out_from_itself_asks_for_hardly_any_smoothing_and_an_unknown_one_for_much():
    assert best_k(HeldoutCounts(np.array([[9, 9]]), np.array([[9, 9]]), 3)) < 1e-7
    assert best_k(HeldoutCounts(np.array([[0, 0]]), np.array([[9, 9]]), 3)) > 1e3
