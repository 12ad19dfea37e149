"""Encoder-decoders that start from language models: what is taken over or refused."""

import re
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from rnnlm.config import ResolvedSettings
from rnnlm.errors import RnnlmWarning, SettingsError, UsageError
from rnnlm.storage import model_folder
from rnnlm.tasks.seq2seq.fitting import make_trainer
from rnnlm.tasks.seq2seq.model import Seq2SeqModel
from rnnlm.tasks.seq2seq.weights import weights
from rnnlm.training.request import TrainingRequest
from rnnlm.training.resolution import resolve_request
from support.networks import as_stored
from support.random_language_models import LINES, SUBWORDS, language_model
from support.tiny_pairs import opened

PAIRS = [(line, line) for line in LINES]
LINE = "show flights from new york unheard-of"
pytestmark = pytest.mark.filterwarnings("ignore:`init_", "ignore:the text yields")


@dataclass
class Started:
    """An encoder-decoder as it starts, and all its settings."""

    model: Seq2SeqModel
    resolved: ResolvedSettings


def started(task="seq2seq", **given) -> Started:
    """Start a model, before any training, from language models given as folders."""
    usual = {"device": "cpu", "precision": "fp32", "threads": 1, "batch_rows": 4}
    flags = {**usual, **given.pop("flags", {})}
    given = {name: str(value) for name, value in given.items()}
    request = TrainingRequest(text=("pairs.tsv",), task=task, flags=flags, **given)
    _, _, resolved = resolve_request(request)
    data, resolved = opened(request, resolved, PAIRS)
    trainer = make_trainer(resolved, data, weights(request, resolved, data))
    trainer.network.eval()
    return Started(trainer.objective.model(), resolved)


def tokens(model, line=LINE):
    """Return the tokens of a line and its end as a column, as the language model reads them."""
    return torch.as_tensor(model.tokenizer.encode([line]).ids.astype(np.int64))[:, None]


def states(model, ids_T1):
    """Return the output of the language model's highest layer at each token."""
    network = model.network
    with torch.no_grad():
        return network.body(network.input(ids_T1), network.initial_state(1))[0][:, 0]


VARIANTS = {
    "lstm": {}, "gru, subwords": {"model": "gru", "tokenizer": SUBWORDS},
    "rnn, relu": {"model": "rnn", "activation": "relu"}, "highway": {"connections": "highway"},
    "residual": {"model": "gru", "connections": "residual", "reset_gate": "before"},
    "qrnn": {"model": "qrnn", "convolution_words": 3}, "mogrifier": {"mogrifier_rounds": 3},
    "untied": {"tied": False},
    "dense": {"model": "gru", "connections": "dense", "layer_sizes": "4,6"},
}  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS)
def test_encoder_starts_with_states_of_its_language_model(tmp_path, variant):
    language = language_model(tmp_path / "f", **VARIANTS[variant])
    begun = started(init_encoder_from=tmp_path / "f").model
    found = begun.states([LINE]).memory.states_SMH[:, 0]
    if VARIANTS[variant].get("connections") == "dense":
        forward = found[:, [*range(9), *range(13, 19)]]
    else:
        forward = found.chunk(2, dim=1)[0]
    torch.testing.assert_close(forward, states(language, tokens(language)), atol=1e-6, rtol=0)


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "dense"])
def test_a_decoder_without_source_is_its_language_model(tmp_path, variant):
    """Without attention, and with a bridge that gives zeros."""
    language = language_model(tmp_path / "d", **VARIANTS[variant])
    begun = started(init_decoder_from=tmp_path / "d", flags={"attention": None}).model
    with torch.no_grad():
        for weight in begun.network.bridge.parameters():
            weight.zero_()
    targets_1T = tokens(language).t()
    inputs_1T = torch.cat([targets_1T[:, -1:], targets_1T[:, :-1]], dim=1)
    found, _ = begun.decoder.predict(inputs_1T, begun.states(["some source"]))
    expected, _ = language.predict(inputs_1T, language.initial_state(1))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("connections", ["plain", "dense"])
def test_decoder_layers_start_with_language_model_states(tmp_path, connections):
    language = language_model(tmp_path / "d", connections=connections)
    flags = {"input_feeding": True, "bridge": None}
    begun = started(init_decoder_from=tmp_path / "d", flags=flags).model
    inputs_1T = tokens(language).t()
    _, after = begun.decoder.predict(inputs_1T, begun.states([LINE]))
    _, expected = language.predict(inputs_1T, language.initial_state(1))
    assert len(after.tensors) == len(expected.tensors) + 1 == 5  # the last attentional vector
    torch.testing.assert_close(after.tensors[:-1], expected.tensors, atol=1e-6, rtol=0)


def test_sizes_and_tokenizers_come_from_the_language_models(tmp_path):
    encoder = language_model(tmp_path / "e", model="gru", reset_gate="before", layers=1)
    tokenizer = {"tokenizer": "char"}
    decoder = language_model(tmp_path / "d", hidden_size=7, tokenizer=tokenizer, tied=False)
    begun = started(init_encoder_from=tmp_path / "e", init_decoder_from=tmp_path / "d")
    values, codec = begun.resolved.values, begun.model.codec
    names = "model hidden_size layers reset_gate embedding_size tokenizer"
    assert [values[name] for name in names.split()] == ["gru", 6, 1, "before", 5, "word"]
    names = "decoder_model decoder_hidden_size decoder_layers tied_embeddings target_tokenizer"
    assert [values[name] for name in names.split()] == ["lstm", 7, 2, None, "char"]
    assert codec.source.fingerprint == encoder.tokenizer.fingerprint
    assert codec.target.fingerprint == decoder.tokenizer.fingerprint
    own, arrays = begun.model.to_arrays(), decoder.to_arrays()
    assert np.array_equal(own["output.weight"], arrays["output.weight"])
    assert np.array_equal(own["output.bias"], arrays["output.bias"])
    words = encoder.to_arrays()["input.embedding.weight"]
    assert np.array_equal(own["source_words.embedding.weight"], words)
    assert np.array_equal(own["target_words.embedding.weight"], arrays["input.embedding.weight"])
    assert own["decoder.combination.weight"].any() and own["bridge.maps.0.weight"].any()


def test_shared_vocabulary_and_vectors_are_the_language_models(tmp_path):
    language = language_model(tmp_path / "d")
    both = dict.fromkeys(("init_encoder_from", "init_decoder_from"), tmp_path / "d")
    for given in ({"init_encoder_from": tmp_path / "d"}, both):
        begun = started(**given, flags={"shared_vocabulary": True, "tied_embeddings": "all"}).model
        assert begun.codec.is_shared and begun.network.source_words is None
        words = begun.to_arrays()["target_words.embedding.weight"]
        assert np.array_equal(words, language.to_arrays()["input.embedding.weight"])


def test_backward_layers_that_start_at_random_are_reported(tmp_path):
    language_model(tmp_path / "d")
    with pytest.warns(RnnlmWarning) as told:
        started(init_encoder_from=tmp_path / "d", init_decoder_from=tmp_path / "d")
    said = [str(each.message).replace(str(tmp_path), "") for each in told]
    expected = ["`init_encoder_from` /d: the backward layers start at random"]
    assert [each for each in said if each.startswith("`init_")] == expected


REFUSED = {
    "another size": ({"init_encoder_from": "f", "flags": {"hidden_size": 9}},
                     "hidden_size = 9 .* it is 6 in the language model"),
    "another size of the decoder": (
        {"init_decoder_from": "f", "flags": {"decoder_hidden_size": 9}},
        'decoder_hidden_size = 9 .* `init_decoder_from` it is 6',
    ),
    "other widths": ({"init_encoder_from": "f", "flags": {"layer_sizes": "3,3"}},
                     "layer_sizes = 3,3 .* it is none"),
    "another kind": ({"init_encoder_from": "f", "model": "gru"}, "it is of kind lstm, not gru"),
    "no recurrent layers": ({"init_encoder_from": "ffnn"}, "it is of kind ffnn, not lstm"),
    "no recurrent layers of the decoder": ({"init_decoder_from": "ffnn"},
                                           "it is of kind ffnn, not one of rnn, gru"),
    "other forms": ({"init_decoder_from": "peepholes", "model": "gru"},
                    "peepholes is true there; beside an encoder of gru it is false"),
    "other connections": (
        {"init_encoder_from": "f", "init_decoder_from": "dense"},
        "connections = dense .* it is plain .* start from one",
    ),
    "characters": ({"init_encoder_from": "characters"}, "it reads words as characters"),
    "another output layer": ({"init_decoder_from": "adaptive"}, "output_layer = adaptive"),
    "layers of several widths": ({"init_decoder_from": "widths"}, "layer_sizes = 4,6"),
    "a tied output layer": ({"init_decoder_from": "f", "flags": {"tied_embeddings": None}},
                            "tied_embeddings = none does not fit"),
    "an output layer over all layers": ({"init_decoder_from": "dense"},
                                        "output.weight is .* x 17 there and .* x 6 here"),
    "another tokenizer": ({"init_encoder_from": "f", "tokenizer_from": "char",
                           "flags": {"shared_vocabulary": True}}, "differs leave"),
    "a setting of the tokenizer": ({"init_encoder_from": "f", "flags": {"tokenizer": "byte"}},
                                   "has tokenizer = word byte was requested"),
    "one of the target's": ({"init_decoder_from": "f", "flags": {"target_tokenizer": "byte"}},
                            "has target_tokenizer = word byte was"),
    "two vocabularies": (
        {"init_encoder_from": "f", "init_decoder_from": "char",
         "flags": {"shared_vocabulary": True}}, "different tokenizers",
    ),
    "two sets of vectors": (
        {"init_encoder_from": "f", "init_decoder_from": "g",
         "flags": {"shared_vocabulary": True, "tied_embeddings": "all"}},
        "different word vectors",
    ),
}  # fmt: skip
MODELS = {
    "f": {}, "ffnn": {"model": "ffnn", "layers": None}, "peepholes": {"peepholes": True},
    "dense": {"connections": "dense", "tied": False},
    "characters": {"characters": "cnn", "character_filters": "0,4"},
    "adaptive": {"output_layer": "adaptive", "cutoffs": "20"}, "widths": {"layer_sizes": "4,6"},
    "char": {"tokenizer": {"tokenizer": "char"}},
}  # fmt: skip


@pytest.fixture(scope="module")
def language_models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("language_models")
    for name, settings in MODELS.items():
        language_model(folder / name, **settings)
    other = language_model(folder / "g")
    with torch.no_grad():
        other.network.input.weight.neg_()
    model_folder.save(folder / "g", other, "lstm", as_stored(other.network.settings), 1, {})
    return folder


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_with_reasons(language_models, case):
    given, reason = REFUSED[case]
    names = given.keys() - {"flags", "model"}
    folders = {name: language_models / given[name] for name in names}
    with pytest.raises((UsageError, SettingsError)) as error:
        started(**{**given, **folders})
    said = f"{error.value.what} {error.value.why} {error.value.hint}"
    assert re.search(reason, said), error.value
