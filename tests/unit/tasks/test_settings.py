"""Settings of tasks: what is stored comes back, what contradicts itself and which kinds make no
sense is said."""

import re

import pytest

from rnnlm.config import Layer, needs_of, resolve, warn_of_idle
from rnnlm.errors import ModelError, RnnlmWarning, SettingsError
from rnnlm.models import registry
from rnnlm.neural.settings import KINDS as LANGUAGE_MODELS
from rnnlm.tasks.labels.settings import KINDS, TaggingSettings, network_settings, stored


@pytest.mark.parametrize("task, model", KINDS)
def test_stored_settings_come_back_and_each_is_described(task, model):
    kind = KINDS[task, model]
    assert stored(task, {"model": model, "hidden_size": 7, "learning_rate": 3}) == network_settings(
        task, model, hidden_size=7
    )
    assert set(needs_of(kind)) <= set(kind.__dataclass_fields__)
    assert (kind(model=model).embedding_size, kind().dropout_output) != (256, 0.1)


@pytest.mark.parametrize("values, what", [
    ({"model": "bag"}, "model = 'bag' is not a kind of network for tagging"),
    ({"model": None}, "model = None"),
    ({"hidden_size": 1 << 21}, "hidden_size"), ({"output_layer": "adaptive"}, "output_layer"),
    ({"hidden_size": 0}, "hidden_size"),
], ids=str)  # fmt: skip
def test_damaged_or_hostile_ones_are_an_error(values, what):
    with pytest.raises(ModelError, match=f"stored settings are damaged.*{re.escape(what)}"):
        stored("tagging", {"model": "lstm", **values})


@pytest.mark.parametrize("task, model, values, what", [
    ("tagging", "lstm", {"layers": 2, "layer_sizes": "3"}, "layer_sizes = 3 names 1 widths"),
    ("classification", "gru", {"character_size": 3},
     "character_size is a setting of characters = cnn or lstm"),
    ("classification", "cnn", {"filter_widths": "3,0"}, "filter_widths = 3,0 is not valid"),
    ("classification", "cnn", {"filter_widths": "3,3"}, "filter_widths = 3,3 has a width twice"),
])  # fmt: skip
def test_contradictions_are_said(task, model, values, what):
    with pytest.raises(SettingsError, match=re.escape(what)):
        network_settings(task, model, **values)


def test_a_setting_without_effect_is_named():
    asked = Layer(
        "user",
        {
            "context_size": 9,
            "locked_dropout": True,
            "dropout_input": 0.0,
            "dropout_output": 0.0,
            "dropout_between": 0.0,
        },
    )
    with pytest.warns(RnnlmWarning, match="context_size = 9") as caught:
        warn_of_idle(resolve([TaggingSettings], [asked]))
    assert "dropout_latent" not in str(caught[0].message)


def refusal(task: str, model: str) -> SettingsError:
    """Return the error that says why a task has no such kind, and what to do instead."""
    return registry.task(task).refusal_of_kind(model, list(registry.kinds_of(task)))


@pytest.mark.parametrize("task, model, why, hint", [
    ("tagging", "jordan", "its prediction of that word", '`model` rnn, gru, lstm or qrnn'),
    ("classification", "jordan", "its prediction of that word",
     "`model` rnn, gru, lstm, qrnn, bag or cnn"),
    ("tagging", "ffnn", "none after them", "`model` rnn, gru, lstm or qrnn"),
    ("classification", "ffnn", "none after them", "`model` bag or cnn"),
    ("tagging", "ngram", "learns no labels", "`model` rnn, gru, lstm or qrnn"),
    ("classification", "unigram", "learns no labels", "bag or cnn"),
    ("tagging", "bag", "not one for each word", "`model` rnn, gru, lstm or qrnn"),
    ("tagging", "cnn", "not one for each word", "lstm"),
    ("tagging", "lsmt", "there are rnn, gru, lstm, qrnn", "did you mean 'lstm'?"),
    ("language-model", "bag", "must not read what it is to predict", '`task="classification"`'),
])  # fmt: skip
def test_kinds_senseless_for_a_task_are_refused(task, model, why, hint):
    error = refusal(task, model)
    assert model in error.what and why in error.why and hint in error.hint


def test_every_kind_suits_its_task_or_is_refused():
    for task in ("tagging", "classification"):
        for model in {*LANGUAGE_MODELS, "ngram", "unigram", "bag", "cnn"}:
            is_known = model in registry.kinds_of(task)
            assert is_known == ((task, model) in KINDS)
            assert is_known or refusal(task, model).why
