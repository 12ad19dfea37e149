import math

import numpy as np
import pytest

from rnnlm import registry
from rnnlm.events import Fitted, Started, Validated
from rnnlm.lm.ngram.unigram import UnigramModel
from rnnlm.text.encoding import TrainingData
from support.tiny_models import LINES, Lines, fit, make_tokenizer, small_settings

KIND = registry.kind_of("unigram")


def test_probabilities_are_smoothed_frequencies_also_of_unknown_words():
    model = fit("unigram", ["a a b", "b a <unk>"], additive_k=0.5)
    assert model.tokenizer.symbols() == ["</s>", "<unk>", "a", "b"]
    np.testing.assert_allclose(np.exp(model.logprob_V), np.array([2.5, 1.5, 3.5, 2.5]) / 10)
    model = fit("unigram", ["a a b c"], additive_k=1.0, min_count=2)
    np.testing.assert_allclose(np.exp(model.logprob_V), np.array([2, 3, 3]) / 8)


@pytest.mark.parametrize("k", [1e-320, 1e-9, 1e300])
def test_any_smoothing_gives_finite_normalised_probabilities(k):
    model = UnigramModel.from_counts(np.array([10**12, 0, 3]), k, make_tokenizer(["a"]))
    assert np.isfinite(model.logprob_V).all() and np.exp(model.logprob_V).sum() == pytest.approx(1)


def test_fitting_reports_its_validation():
    tokenizer = make_tokenizer(LINES)
    train, valid = (Lines(lines).encode(tokenizer) for lines in (LINES, ["the cat", "x"]))
    data = TrainingData(tokenizer, train, valid)
    events = list(KIND.fit(small_settings(KIND), data, lambda: False, None))
    assert [type(event) for event in events] == [Started, Validated, Fitted]
    started, validated, fitted = events
    logprobs = fitted.model.logprob_V[[*valid.ids]]
    assert validated.ppl_token == pytest.approx(math.exp(-logprobs.sum() / 5))
    assert validated.ppl_token == fitted.best_ppl_token and validated.improved
    assert started.train_tokens == train.tokens and started.vocabulary_size == tokenizer.size
