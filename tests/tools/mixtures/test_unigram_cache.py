import numpy as np
import pytest

from rnnlm.tools.mixtures.adapted_model import UnigramCacheSettings
from rnnlm.tools.mixtures.unigram_cache import UnigramCache
from support.adapted_models import predicted, read, text_of
from support.tiny_models import fit


@pytest.fixture(scope="module", params=["ngram", "lstm"])
def model(request):
    return fit(request.param)


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_unigram_cache_mixes_in_frequencies_of_recent_inputs(model, size):
    inputs_1T, targets_1T = text_of(model)
    cache = UnigramCache(model, UnigramCacheSettings(cache_tokens=size, cache_weight=0.3))
    expected = np.exp(predicted(model, inputs_1T))[0] * 0.7
    for t in range(inputs_1T.shape[1]):
        remembered = inputs_1T[0, max(0, t + 1 - size) : t + 1].tolist()
        for word in remembered:
            expected[t, word] += 0.3 / len(remembered)
    np.testing.assert_allclose(np.exp(predicted(cache, inputs_1T))[0], expected, atol=1e-6)
    at_targets = np.take_along_axis(expected, targets_1T[0][:, None], axis=1)[:, 0]
    np.testing.assert_allclose(np.exp(read(cache, inputs_1T, targets_1T))[0], at_targets, atol=1e-6)
