"""Settings as a model folder stores them: whatever stands there, nothing large is made of it."""

import re

import pytest

from rnnlm.errors import ModelError
from rnnlm.neural.settings import KINDS, network_settings, stored


@pytest.mark.parametrize("name", KINDS)
def test_stored_settings_come_back(name):
    assert stored({"model": name, "hidden_size": 7, "bptt_tokens": 3}) == network_settings(
        name, hidden_size=7
    )


@pytest.mark.parametrize("values, what", [
    ({"model": None}, "model = None"), ({"model": "ngram"}, "model = 'ngram'"),
    ({"model": ["lstm"]}, "model = ['lstm']"),
    ({"layers": 101}, "layers"), ({"hidden_size": 1 << 21}, "hidden_size"),
    ({"characters": "cnn", "character_highways": 101}, "highways"),
    ({"characters": "cnn", "character_filters": ",".join("1" * 101)}, "character_filters"),
    ({"layers": 100, "layer_sizes": ",".join("1" * 101)}, "layer_sizes"),
    ({"layers": 1, "layer_sizes": "12345678"}, "layer_sizes"),
    ({"output_layer": "adaptive", "cluster_shrink": 1e300}, "cluster_shrink"),
    ({"output_layer": "adaptive", "cluster_shrink": 0.5}, "cluster_shrink"),
    ({"loss": "nce", "samples": 1 << 30}, "samples"),
    ({"model": "ffnn", "context_words": 1001}, "context_words"),
    ({"tied": True, "output_layer": "adaptive"}, "tied"),
    ({"connections": "residual", "layers": 2, "layer_sizes": "5,6"}, "residual"),
], ids=str)  # fmt: skip
def test_damaged_or_hostile_ones_are_an_error(values, what):
    with pytest.raises(
        ModelError, match=f"stored settings are damaged.*{re.escape(what)}"
    ) as caught:
        stored({"model": "lstm", **values})
    assert not caught.value.hint
