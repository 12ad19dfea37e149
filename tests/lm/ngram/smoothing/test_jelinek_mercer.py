import numpy as np
import pytest
from hypothesis import given, strategies as st

from reference import ngram_formulas as formulas
from rnnlm.lm.ngram.fitting import heldout_counts
from rnnlm.lm.ngram.smoothing.estimator import HeldoutCounts
from rnnlm.lm.ngram.smoothing.other_methods import fitted_weights
from support.tiny_ngrams import BEGIN, counts_of, fit, ids_of

A, B, C, END = 1, 2, 3, 0
# c(a) = 2, c(b) = 1, c(</s>) = 2, N = 5; c(ab) = c(a</s>) = c(b</s>) = 1, c(<s>a) = 2; V = 4: c is
# never seen
TEXT = [[A, B], [A]]


def test_by_hand():
    """Unigrams, held out: the words a and c. With weight x, a is drawn with 0.4 x / (0.4 x + 0.25
    (1 - x)), c never, so that EM ends where 3 x = 0.4 x / (0.25 + 0.15 x) + 1/2, or 0.45 x^2 +
    0.275 x - 0.125 = 0."""
    heldout = HeldoutCounts(np.array([[2, 0]]), np.array([[5, 5]]), 4, np.array([1, 1]))
    x = (-0.275 + np.sqrt(0.275**2 + 4 * 0.45 * 0.125)) / 0.9
    weights_NB = fitted_weights(heldout, 5)
    assert weights_NB[0, 3] == pytest.approx(x, abs=1e-4)
    assert weights_NB[0, 0] == 0


def test_probabilities_mix_the_orders():
    model = fit("jelinek-mercer", TEXT, 4, heldout=[[A, B], [C]])
    weights = model.smoothing.weights_NB
    # N = 5 is in the third bucket, c(a) = 2 in the second
    p_b = weights[0, 3] / 5 + (1 - weights[0, 3]) / 4
    assert model.p(B) == pytest.approx(p_b)
    assert model.p(B, (A,)) == pytest.approx(weights[1, 2] / 2 + (1 - weights[1, 2]) * p_b)
    assert model.p(C, (A,)) == pytest.approx((1 - weights[1, 2]) * (1 - weights[0, 3]) / 4)
    # after b; after <s> and a
    found = {"1": round(weights[1, 1], 6), "2": round(weights[1, 2], 6)}
    assert model.smoothing.report()["weights of order 2"] == found


@pytest.mark.parametrize("buckets", [1, 2, 9])
def test_the_last_bucket_has_all_higher_counts(buckets):
    model = fit("jelinek-mercer", TEXT, 4, heldout=[[A, B], [C]], buckets=buckets)
    weights_NB = model.smoothing.weights_NB
    assert weights_NB.shape == (2, 1 + min(buckets, 3))  # N = 5 is in the third
    of_all, after_a = weights_NB[0, min(buckets, 3)], weights_NB[1, min(buckets, 2)]
    p_b = of_all / 5 + (1 - of_all) / 4
    assert model.p(B, (A,)) == pytest.approx(after_a / 2 + (1 - after_a) * p_b)
    found = list(model.smoothing.report()["weights of order 2"])
    assert found == (["1"] if buckets == 1 else ["1", "2"])


sentences = st.lists(st.lists(st.integers(1, 5), max_size=8), min_size=1, max_size=5)


@given(train=sentences, heldout=sentences, order=st.integers(1, 5))
def test_weights_equal_em_over_a_mixture_of_orders(train, heldout, order):
    weights_NB = fit("jelinek-mercer", train, 6, order, heldout=heldout).smoothing.weights_NB
    reference = formulas.JelinekMercer(train, 6, order, heldout=heldout)
    for (n, number), weight in reference.weights.items():
        assert weights_NB[n - 1, number] == pytest.approx(weight, rel=1e-9)


@pytest.mark.long
def test_no_other_weights_are_likelier():
    rng = np.random.default_rng(2)
    lines = [rng.integers(1, 6, size=10).tolist() for _ in range(80)]
    train, heldout = lines[:40], lines[40:]
    reference = formulas.JelinekMercer(train, 6, 3, heldout=heldout)

    def objective(weights: dict) -> float:
        reference.weights.update(weights)
        reference.p_of.cache_clear()
        total = sum(0.5 * np.log(weight * (1 - weight)) for weight in weights.values())
        for words in [(BEGIN, *sentence, END) for sentence in heldout]:
            total += sum(np.log(reference.p(words[at], words[:at])) for at in range(1, len(words)))
        return total

    weights_NB = fit("jelinek-mercer", train, 6, 3, heldout=heldout).smoothing.weights_NB
    fitted = {(n, number): weights_NB[n - 1, number] for n, number in reference.weights}
    best = objective(fitted)
    for place, weight in fitted.items():
        for other in (0.9 * weight, 0.9 * weight + 0.1):
            assert objective(fitted | {place: other}) < best


def test_weights_stay_between_their_bounds_also_without_held_out_words():
    for heldout in ([[A, B], [A]] * 1000, [[C, C, C]] * 1000):
        weights_NB = fit("jelinek-mercer", TEXT, 4, heldout=heldout).smoothing.weights_NB
        assert ((weights_NB[:, 1:] > 0) & (weights_NB[:, 1:] < 1)).all()
    contexts_T = np.repeat([1, 4], 100)  # buckets 1 and 3; 2, 4 and 5 stay empty
    ngrams_T = np.repeat([0, 1, 0, 2], 50)
    heldout = HeldoutCounts(ngrams_T[None], contexts_T[None], 1000, np.ones_like(ngrams_T))
    [weights_B] = fitted_weights(heldout, 6)
    assert weights_B[2] == pytest.approx((weights_B[1] + weights_B[3]) / 2)
    assert weights_B[4] == weights_B[5] == weights_B[3]
    weights_NB = fit("jelinek-mercer", [[1, 2, 3, 4, 5]], 6, 4, heldout=[[]]).smoothing.weights_NB
    assert (weights_NB[2:, 1:] == 0.5).all()


def test_a_context_reaching_beyond_the_start_is_skipped():
    counts = counts_of([[A, A, A]], 2, 3)
    assert heldout_counts(counts, ids_of([[A]]), END).contexts_NT[:, 0].tolist() == [4, 1, 0]
