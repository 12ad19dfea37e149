"""Settings of every task: stored ones come back; damaged or senseless ones are named."""

import functools
import re

import pytest

from rnnlm import registry
from rnnlm.config import SettingsLayer, check_needs, needs_of, resolve
from rnnlm.errors import ModelError, RnnlmWarning, SettingsError
from rnnlm.lm.neural import settings as language_models
from rnnlm.tasks.labelling import settings as labels
from rnnlm.tasks.labelling.settings import RecurrentClassifier, TaggingSettings
from rnnlm.tasks.seq2seq import settings as seq2seq
from rnnlm.tasks.seq2seq.settings import Seq2SeqSettings
from support.networks import network_settings


def of_labels(task):
    """Return how settings of a task of labels are read from a folder, and made."""
    stored = functools.partial(labels.stored, task)
    return stored, lambda model, **values: labels.network_settings(task, model, **values)


TASKS = {
    "language model": (language_models.stored, network_settings),
    "tagging": of_labels("tagging"),
    "classification": of_labels("classification"),
    "seq2seq": (seq2seq.stored, seq2seq.network_settings),
}
KINDS = [("language model", model) for model in language_models.kinds()]
KINDS += [*labels.kinds(), *(("seq2seq", model) for model in language_models.cells())]


@pytest.mark.parametrize("task, model", KINDS)
def test_stored_settings_come_back(task, model):
    stored, made = TASKS[task]
    values = {"model": model, "hidden_size": 7, "learning_rate": 3, "bptt_tokens": 3}
    assert stored(values) == made(model, hidden_size=7)


@pytest.mark.parametrize("kind", [*labels.kinds().values(), Seq2SeqSettings])
def test_each_setting_that_needs_others_is_one(kind):
    assert set(needs_of(kind)) <= set(kind.__dataclass_fields__)


def test_tasks_and_kinds_have_settings_of_their_own():
    for (_, model), kind in labels.kinds().items():
        assert (kind(model=model).embedding_size, kind().dropout_output) != (256, 0.1)
    for task in ("tagging", "classification"):
        for model in {*language_models.kinds(), "ngram", "unigram", "bag", "cnn"}:
            is_known = model in registry.kinds_of(task)
            assert is_known == ((task, model) in labels.kinds())


@pytest.mark.parametrize("task, values, what", [
    ("language model", {"model": None}, "model = None"),
    ("language model", {"model": "ngram"}, "model = 'ngram'"),
    ("language model", {"model": ["lstm"]}, "model = ['lstm']"),
    ("language model", {"layers": 101}, "layers"),
    ("language model", {"hidden_size": 1 << 21}, "hidden_size"),
    ("language model", {"characters": "cnn", "character_highways": 101}, "highways"),
    ("language model", {"characters": "cnn", "character_filters": ",".join("1" * 101)}, "filters"),
    ("language model", {"layers": 100, "layer_sizes": ",".join("1" * 101)}, "layer_sizes"),
    ("language model", {"layers": 1, "layer_sizes": "12345678"}, "layer_sizes"),
    ("language model", {"output_layer": "adaptive", "cluster_shrink": 1e300}, "cluster_shrink"),
    ("language model", {"output_layer": "adaptive", "cluster_shrink": 0.5}, "cluster_shrink"),
    ("language model", {"loss": "nce", "samples": 1 << 30}, "samples"),
    ("language model", {"model": "ffnn", "context_words": 1001}, "context_words"),
    ("language model", {"tied": True, "output_layer": "adaptive"}, "tied"),
    ("language model", {"connections": "residual", "layers": 2, "layer_sizes": "5,6"}, "residual"),
    ("tagging", {"model": "bag"}, "model = 'bag' is not a kind of network for tagging"),
    ("tagging", {"model": None}, "model = None"),
    ("tagging", {"hidden_size": 1 << 21}, "hidden_size"),
    ("tagging", {"hidden_size": 0}, "hidden_size"),
    ("tagging", {"output_layer": "adaptive"}, "output_layer"),
    ("seq2seq", {"model": "bag"}, "model = 'bag' is not a kind of encoder-decoder"),
    ("seq2seq", {"model": None}, "model = None"),
    ("seq2seq", {"decoder_hidden_size": 1 << 21}, "decoder_hidden_size"),
    ("seq2seq", {"decoder_layers": 0}, "decoder_layers"),
    ("seq2seq", {"attention": "self"}, "attention"),
], ids=str)  # fmt: skip
def test_damaged_settings_are_an_error(task, values, what):
    stored, _ = TASKS[task]
    with pytest.raises(ModelError, match=f"settings are damaged.*{re.escape(what)}") as caught:
        stored({"model": "lstm", **values})
    assert not caught.value.hint


@pytest.mark.parametrize("task, model, values, what", [
    ("tagging", "lstm", {"layers": 2, "layer_sizes": "3"}, "layer_sizes = 3 names 1 widths"),
    ("classification", "cnn", {"filter_widths": "3,0"}, "filter_widths = 3,0 is not valid"),
    ("classification", "cnn", {"filter_widths": "3,3"}, "filter_widths = 3,3 has a width twice"),
    ("seq2seq", "lstm", {"characters": "cnn"},
     "characters is not possible with task = seq2seq.*tokenizer=char"),
    ("seq2seq", "lstm", {"attention": "dot", "decoder_hidden_size": 300},
     "attention = dot needs equal widths.*512 numbers.*300.*attention=general"),
    ("seq2seq", "lstm", {"attention": None, "bridge": None},
     "attention = none and bridge = none hide the source from the decoder"),
    ("seq2seq", "lstm", {"tied_embeddings": "all", "target_embedding_size": 9},
     "tied_embeddings = all needs word vectors of equal width"),
    ("seq2seq", "lstm", {"layers": 2, "layer_sizes": "3"}, "layer_sizes = 3 names 1 widths"),
], ids=str)  # fmt: skip
def test_contradictions_are_said(task, model, values, what):
    _, made = TASKS[task]
    with pytest.raises(SettingsError) as caught:
        made(model, **values)
    assert re.search(what, f"{caught.value.what} {caught.value.why} {caught.value.hint}")


@pytest.mark.parametrize("kind, given, named", [
    (TaggingSettings, {"context_size": 9, "dropout_input": 0.0,
                       "dropout_output": 0.0, "dropout_between": 0.0}, ["context_size = 9"]),
    (RecurrentClassifier, {"character_size": 3},
     ["character_size = 3 needs characters = cnn or lstm (it is none)"]),
    (Seq2SeqSettings, {"dropout_between": 0.3, "init_output": "glorot"}, ["init_output",
      "layers = 2 or more or decoder_layers = 2 or more"]),
])  # fmt: skip
def test_a_setting_without_effect_is_named(kind, given, named):
    with pytest.warns(RnnlmWarning) as caught:
        check_needs(resolve([kind], [SettingsLayer("user", given)]))
    message = str(caught[0].message)
    assert all(part in message for part in named) and "dropout_latent" not in message


# ---- Encoder-decoders.


def test_none_is_understood_as_text():
    asked = SettingsLayer("user", {"attention": "none", "tied_embeddings": "none"}, is_text=True)
    settings = resolve([Seq2SeqSettings], [asked]).make(Seq2SeqSettings)
    assert (settings.attention, settings.tied_embeddings) == (None, None)


def test_decoder_width_and_kind_follow_the_encoder():
    own = {"connections": "residual", "input_feeding": True, "target_embedding_size": 100}
    settings = seq2seq.network_settings("lstm", coupled_gates=True, **own)
    layers = settings.decoder
    assert (layers.model, layers.hidden_size, layers.connections) == ("lstm", 512, "residual")
    assert layers.cell.coupled_gates
    assert (layers.input_width, settings.features_width) == (100 + 100, 100)
    own = {"bidirectional": False, "layer_sizes": "9", "tied_embeddings": None}
    other = seq2seq.network_settings("lstm", coupled_gates=True, decoder_model="gru", **own)
    assert (other.decoder.model, other.decoder.widths, other.features_width) == ("gru", (9,), 9)


# ---- Kinds that a task has, and has not.


@pytest.mark.parametrize("task, model, why, hint", [
    ("tagging", "jordan", "it is for language-model", "`model` rnn, gru, lstm, qrnn, hmm; or `task="),
    ("classification", "unigram", "it is for language-model", "bag, cnn, recursive; or `task="),
    ("tagging", "bag", "it is for classification", '`task="classification"`'),
    ("language-model", "bag", "must not see the words it predicts", '`task="classification"`'),
])  # fmt: skip
def test_kinds_senseless_for_a_task_are_refused(task, model, why, hint):
    with pytest.raises(SettingsError, match=f"`model` {model} is not for {task}") as caught:
        registry.kind_of(model, task)
    assert why in caught.value.why and hint in caught.value.hint
