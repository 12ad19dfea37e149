import numpy as np
import pytest

import rnnlm
from reference import ngram_formulas as formulas
from rnnlm.lm.ngram.arpa.writing import export_arpa
from rnnlm.lm.ngram.fitting import heldout_counts
from rnnlm.lm.ngram.smoothing.estimator import HeldoutCounts
from rnnlm.lm.ngram.smoothing.other_methods import best_k, logprob
from support.tiny_ngrams import BEGIN, counts_of, fit, ids_of

A, B, END = 1, 2, 0
# c(a) = 2, c(b) = 1, c(</s>) = 2, N = 5; c(ab) = c(a</s>) = c(b</s>) = 1, c(<s>a) = 2; V = 4: c is
# never seen
TEXT = [[A, B], [A]]
PRIORS = ("uniform", "lower-order")


@pytest.mark.parametrize("order", [2, 3])
def test_the_first_exercise_of_every_course(tmp_path, order):
    (tmp_path / "text").write_text("the dog ran\nthe cat jumped\n")
    request = {"model": "ngram", "order": order, "smoothing": "additive", "additive_k": 1}
    list(rnnlm.train(tmp_path / "text", output=tmp_path / "model", holdout=0, **request))
    model = rnnlm.load(tmp_path / "model")
    [score] = model.score_sentences(["the dog jumped"], words=True)
    end = (1 + 1) / (1 + 7) if order == 2 else 1 / 7  # c(jumped </s>) = 1; "dog jumped" is new
    # </s> and <unk> are events, too: V = 7. c(the dog) = c(dog) = 1, c(<s>) = c(the) = 2
    expected = pytest.approx([(2 + 1) / (2 + 7), (1 + 1) / (2 + 7), (0 + 1) / (1 + 7), end])
    assert [2**-word.surprisal_bits for word in score.word_scores] == expected
    export_arpa(model, tmp_path / "model.arpa")
    rnnlm.import_arpa(tmp_path / "model.arpa", tmp_path / "again")
    [again] = rnnlm.load(tmp_path / "again").score_sentences(["the dog jumped"])
    assert again.logprob_nats == pytest.approx(score.logprob_nats)


@pytest.mark.parametrize("k", [1e-200, 1e300])
@pytest.mark.parametrize("prior", PRIORS)
def test_any_k_gives_finite_normalised_probabilities(k, prior):
    model = fit("additive", TEXT, 4, order=3, additive_k=k, additive_prior=prior)
    for context in model.contexts():
        assert sum(model.p(word, context) for word in range(4)) == pytest.approx(1)
    assert np.isfinite(list(model.logprob.values())).all()
    assert np.isfinite(list(model.logbackoff.values())).all()


@pytest.mark.parametrize("prior", PRIORS)
def test_tuned_k_maximises_the_held_out_probability(prior):
    rng = np.random.default_rng(1)
    lines = [(1 + rng.geometric(0.3, size=12).cumsum() % 8).tolist() for _ in range(60)]
    train, heldout = lines[:30], lines[30:]
    seen = heldout_counts(counts_of(train, 9, 3), ids_of(heldout), END)
    is_uniform = prior == "uniform"
    best = best_k(seen, is_uniform)
    at_best = logprob(seen, best, is_uniform)
    for k in best * 1.01 ** np.arange(-300, 300):
        assert logprob(seen, k, is_uniform) <= at_best + 1e-3
    model = fit("additive", train, 9, order=3, heldout=heldout, additive_prior=prior)
    assert model.smoothing.report() == {"k": best}
    total = 0.0
    for sentence in heldout:
        words = (BEGIN, *sentence, END)
        total += sum(np.log(model.p(words[at], words[:at])) for at in range(1, len(words)))
    assert total == pytest.approx(at_best, rel=1e-5)


@pytest.mark.parametrize("of", [formulas.UniformAdditive, formulas.Additive])
def test_held_out_probability_follows_the_formula(of):
    train, heldout = [[1, 2, 2], [1, 1]], [[2, 1, 3]]
    seen = heldout_counts(counts_of(train, 4, 3), ids_of(heldout), END)
    formula = of(train, 4, 3)
    asked = ((2, (BEGIN,)), (1, (BEGIN, 2)), (3, (2, 1)), (0, (1, 3)))
    expected = sum(np.log(float(formula.p(word, context))) for word, context in asked)
    assert logprob(seen, 0.5, of is formulas.UniformAdditive) == pytest.approx(expected)


def test_familiar_held_out_text_needs_less_smoothing():
    for ngrams, is_right in (([[9, 9]], lambda k: k < 1e-7), ([[0, 0]], lambda k: k > 1e3)):
        seen = HeldoutCounts(np.array(ngrams), np.array([[9, 9]]), 3, np.array([1, 1]))
        assert is_right(best_k(seen, True)) and is_right(best_k(seen, False))
