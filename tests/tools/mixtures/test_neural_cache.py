import numpy as np
import pytest

from rnnlm.tools.mixtures import neural_cache
from rnnlm.tools.mixtures.adapted_model import NeuralCacheSettings
from rnnlm.tools.mixtures.neural_cache import NeuralCache
from support.adapted_models import predicted, read, text_of
from support.tiny_models import fit


@pytest.fixture(scope="module", params=["lstm", "gru"])
def model(request):
    return fit(request.param)


def transcribed(model, inputs_T, tokens: int, weight: float, flatness: float) -> np.ndarray:
    """Return the probabilities (T, V), pair by pair in float64."""
    hidden_TH = model.hidden(inputs_T[None], model.initial_state(1))[0][0].double().cpu().numpy()
    probability_TV = np.exp(predicted(model, inputs_T[None]))[0]
    for t in range(1, len(inputs_T)):
        mass = np.zeros(model.tokenizer.size)
        for i in range(max(0, t - tokens), t):
            mass[inputs_T[i + 1]] += np.exp(flatness * hidden_TH[t] @ hidden_TH[i])
        probability_TV[t] = (1 - weight) * probability_TV[t] + weight * mass / mass.sum()
    return probability_TV


@pytest.mark.parametrize("cells", [1, 50, 1 << 19])
@pytest.mark.parametrize(
    "tokens, weight, flatness", [(1, 0.5, 0.3), (5, 0.2, 2.0), (1000, 0.3, 0.7), (1000, 0.3, 0.0)]
)
def test_it_is_the_papers_equations(model, tokens, weight, flatness, cells, monkeypatch):
    monkeypatch.setattr(neural_cache, "CHUNK_CELLS", cells)
    inputs_1T, targets_1T = text_of(model)
    cache = NeuralCache(model, NeuralCacheSettings(tokens, weight, flatness))
    expected_TV = transcribed(model, inputs_1T[0], tokens, weight, flatness)
    np.testing.assert_allclose(np.exp(predicted(cache, inputs_1T))[0], expected_TV, atol=1e-5)
    at_targets = np.take_along_axis(expected_TV, targets_1T[0][:, None], axis=1)[:, 0]
    np.testing.assert_allclose(np.exp(read(cache, inputs_1T, targets_1T))[0], at_targets, atol=1e-5)


@pytest.mark.parametrize("tokens", [1, 7, 1000])
def test_no_chunk_is_larger_than_promised(model, tokens, monkeypatch):
    """However short the cache is: the places of a chunk see the pairs between them, too."""
    monkeypatch.setattr(neural_cache, "CHUNK_CELLS", 60)
    _, state = NeuralCache(model).score(*text_of(model), NeuralCache(model).initial_state(1))
    places = state.words_BR.shape[1]
    cache = NeuralCache(model, NeuralCacheSettings(cache_tokens=tokens))
    chunks = list(cache._attend(state.hidden_BSH, state.words_BR, places))
    read_places = [at for place, *_ in chunks for at in range(place.start, place.stop)]
    assert read_places == list(range(places))
    assert all(weight_BnM.numel() <= max(60, weight_BnM.shape[2]) for _, weight_BnM, *_ in chunks)


def test_empty_cache_equals_the_model(model):
    inputs_1T, targets_1T = text_of(model)
    cache = NeuralCache(model, NeuralCacheSettings(cache_weight=0.5))
    first = inputs_1T[:, :1], targets_1T[:, :1]
    assert np.array_equal(read(cache, *first), read(model, *first))
