"""What all models keep that adapt themselves to the text they read."""

import numpy as np
import pytest

from rnnlm.tools.mixtures.adapted_model import (
    DynamicSettings,
    NeuralCacheSettings,
    UnigramCacheSettings as UnigramSettings,
)
from rnnlm.tools.mixtures.dynamic_evaluation import DynamicEvaluation, gather_statistics
from rnnlm.tools.mixtures.neural_cache import NeuralCache
from rnnlm.tools.mixtures.unigram_cache import UnigramCache
from support.adapted_models import assert_no_score_depends_on_later_tokens, read, text_of
from support.tiny_models import fit

RMS = DynamicSettings(4, "rms", adaptation_rate=0.02, adaptation_decay=0.3)
ADAPTING = {  # what adapts; settings with which it does, and with which it does not
    "unigram": (UnigramCache, UnigramSettings(cache_tokens=9),
                UnigramSettings(cache_weight=0.0)),
    "cache": (NeuralCache, NeuralCacheSettings(cache_tokens=9, cache_weight=0.3),
              NeuralCacheSettings(cache_weight=0.0)),
    "dynamic": (DynamicEvaluation, DynamicSettings(segment_tokens=4, adaptation_rate=0.3),
                DynamicSettings(adaptation_rate=0.0, adaptation_decay=0.7)),
    "dynamic, rms": (lambda model, settings: DynamicEvaluation(
        model, settings, gather_statistics(model, text_of(model)[1][0], 4)
    ), RMS, DynamicSettings(adaptation_rate=0.0, adaptation_decay=1.0)),
}  # fmt: skip
CASES = [("unigram", "ngram"), *((kind, name) for kind in ADAPTING for name in ("lstm", "gru"))]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_no_score_depends_on_later_tokens_and_zeros_leave_the_model(kind, name):
    make, settings, nothing = ADAPTING[kind]
    model = fit(name)
    assert_no_score_depends_on_later_tokens(make(model, settings))
    found_1T, expected_1T = (read(each, *text_of(model)) for each in (make(model, nothing), model))
    np.testing.assert_allclose(found_1T, expected_1T, atol=1e-5 if "dynamic" in kind else 0)


@pytest.mark.parametrize(("kind", "name"), [case for case in CASES if case[0] != "dynamic, rms"])
def test_it_helps_where_a_text_repeats_itself(kind, name):
    model = fit(name)
    text = text_of(model, ["speech speech dog speech", "dog speech speech"] * 5)
    adapted = ADAPTING[kind][0](model, type(ADAPTING[kind][1])())
    assert read(adapted, *text).sum() > read(model, *text).sum() + 1


@pytest.mark.parametrize("cache, settings", [
    (UnigramCache, UnigramSettings(cache_tokens=4)),
    (NeuralCache, NeuralCacheSettings(cache_tokens=4)),
])  # fmt: skip
def test_the_state_remembers_no_more_than_the_cache(cache, settings):
    model = fit("lstm")
    inputs_1T, targets_1T = text_of(model)
    adapted = cache(model, settings)
    _, state = adapted.score(inputs_1T, targets_1T, adapted.initial_state(1))
    assert state.words_BR.tolist() == [inputs_1T[0, -4:].tolist()]
    if cache is NeuralCache:
        assert state.hidden_BSH.shape == (1, 5, model.hidden_size)
