"""Vectors of lines and words: a layer's own, pooled by hand, in any company."""

import numpy as np
import pytest
import torch

import rnnlm
from rnnlm import registry
from rnnlm.config import SettingsLayer, resolve
from rnnlm.errors import ModelError, TextError, UsageError
from rnnlm.lm.neural.network import make_network
from rnnlm.lm.neural.trained_network import NeuralLanguageModel
from rnnlm.tasks.labelling.model import TaskModel
from rnnlm.tasks.labelling.networks.network import make_network as make_task_network
from rnnlm.tools.vectors import embedding
from rnnlm.tools.vectors.embedding import Embedder
from rnnlm.tools.vectors.settings import EmbeddingSettings
from support import tiny_seq2seq, tiny_tasks
from support.tiny_models import LINES, fit, make_tokenizer

TEXT = (
    "the cat sat", "", "a dog saw the cat on the mat", "dog", "it is hard to recognize speech",
    "a cat sat",
)  # fmt: skip
POOLINGS = {
    "last": lambda values: values[-1],
    "mean": lambda values: values.mean(axis=0),
    "max": lambda values: values.max(axis=0),
}
KINDS = [
    {"model": "rnn"}, {"model": "gru", "connections": "dense", "layers": 2},
    {"model": "lstm", "layers": 2, "layer_sizes": "7,6"},
    {"model": "qrnn", "layers": 2}, {"model": "jordan", "tied": None},
    {"model": "ffnn", "direct_connections": True, "tied": None},
]  # fmt: skip


def network_of(tokenizer=None, **settings):
    """Make a language model with random weights."""
    tokenizer = tokenizer or make_tokenizer(LINES, min_count=1)
    torch.manual_seed(1)
    values = {"embedding_size": 5, "hidden_size": 7, **settings}
    made = resolve(registry.kind_of(settings["model"]).settings, [SettingsLayer("test", values)])
    network = make_network(made.make(registry.kind_of(settings["model"]).settings[0]), tokenizer)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.uniform_(-0.7, 0.7)
    return NeuralLanguageModel(network.eval(), tokenizer)


def labeller_of(task, name="lstm", tokenizer="word", **settings):
    """Make a tagger or classifier with random weights."""
    resolved = tiny_tasks.settings_of(task, name, **settings)
    words = {} if tokenizer == "word" else {"tokenizer": tokenizer, "min_count": 1}
    codec = tiny_tasks.data_of(
        resolved, tiny_tasks.labelled(tiny_tasks.TRAIN, task), **words
    ).tokenizer
    torch.manual_seed(1)
    settings = resolved.make(registry.kind_of(name, task).settings[0])
    return TaskModel(make_task_network(settings, codec).eval(), codec)


def read_alone(model, line):
    """Return the features after each token of a line, (T, H), by the model's own method; those
    after `</s>` if there are no tokens."""
    ids = model.tokenizer.encode([line]).ids[:-1]
    hidden_1TH, _ = model.hidden(
        np.array([[model.tokenizer.boundary_id, *ids]]), model.initial_state(1)
    )
    return hidden_1TH[0, min(1, len(ids)) :].numpy()


@pytest.mark.parametrize("settings", KINDS, ids=lambda each: each["model"])
def test_lines_have_pooled_features_and_layers_those_of_a_trace(settings):
    model = network_of(**settings)
    for pooling, by_hand in POOLINGS.items():
        expected = np.stack([by_hand(read_alone(model, line)) for line in TEXT])
        np.testing.assert_allclose(
            rnnlm.Model(model).embed(TEXT, pooling=pooling), expected, atol=1e-5
        )
    ids = torch.as_tensor(
        [model.tokenizer.boundary_id, *model.tokenizer.encode([TEXT[2]]).ids[:-1].tolist()]
    ).unsqueeze(1)
    with torch.no_grad():
        traced = model.network.trace(ids, model.network.initial_state(1))
    for number, layer in enumerate(traced.layers, start=1):
        found = rnnlm.Model(model).embed(TEXT, words=True, layer=number)[3:11]
        np.testing.assert_allclose(found, layer.hidden_TBH[1:, 0], atol=1e-5)
    inputs_TE = model.network.input(ids)[1:, 0].detach().numpy()
    np.testing.assert_allclose(
        rnnlm.Model(model).embed(TEXT, words=True, layer="input")[3:11], inputs_TE, atol=1e-6
    )


def test_a_words_vector_follows_its_last_token():
    model = network_of(make_tokenizer(LINES, tokenizer="char", min_count=1), model="lstm")
    (chunk,) = Embedder(model, EmbeddingSettings(words=True)).chunks(["", "the  cat sat "])
    found = [chunk.lines[1][start:end] for start, end in chunk.words[1].spans]
    assert found == list(chunk.words[1].words) == ["the", "cat", "sat"]
    np.testing.assert_allclose(
        chunk.vectors_NH, read_alone(model, "the  cat sat ")[[2, 7, 11]], atol=1e-5
    )


def test_split_or_dropped_words_follow_their_tokens():
    model = network_of(
        make_tokenizer(["go , he said ."], min_count=1, split_punctuation=True), model="rnn"
    )
    (chunk,) = Embedder(model, EmbeddingSettings(words=True)).chunks(["go, he said."])
    assert [each.tolist() for each in chunk.words[0].tokens_W2] == [[0, 2], [2, 3], [3, 5]]


@pytest.mark.parametrize("settings", [
    {}, {"connections": "dense", "layers": 2}, {"bidirectional": False},
    {"tokenizer": "char", "characters": None},
])  # fmt: skip
def test_a_taggers_word_vectors_feed_its_output_layers(settings):
    model = labeller_of("tagging", **settings)
    texts = [request[0] for request in tiny_tasks.requests(6, seed=3)]
    expected = [None] * len(texts)
    for reading in model.read(texts):
        for row, number in enumerate(reading.chosen):
            expected[number] = reading.features.words_TBH[: len(texts[number]), row].numpy()
    found = rnnlm.Model(model).embed([" ".join(words) for words in texts], words=True)
    np.testing.assert_allclose(found, np.concatenate(expected), atol=1e-5)


def test_both_directions_end_at_last_and_first_words():
    model = labeller_of("tagging")
    lines = ["fly me to oslo", "noon", ""]
    words = rnnlm.Model(model).embed(lines, words=True, layer=1)
    last = rnnlm.Model(model).embed(lines, layer=1)
    np.testing.assert_allclose(last[0], [*words[3, :8], *words[0, 8:]], atol=1e-6)
    np.testing.assert_allclose(last[1], words[4], atol=1e-6)
    alone = np.concatenate([rnnlm.Model(model).embed([line], layer=1) for line in lines])
    np.testing.assert_allclose(last, alone, atol=1e-5)


@pytest.mark.parametrize("name", ["lstm", "bag", "cnn", "recursive"])
def test_a_classifiers_features_are_of_texts_or_words(name):
    model = labeller_of("classification", name)
    texts = [request[0] for request in tiny_tasks.requests(5, seed=3)]
    (reading,) = model.read(texts)
    *found, blank = rnnlm.Model(model).embed([*(" ".join(words) for words in texts), ""])
    np.testing.assert_allclose(blank, rnnlm.Model(model).embed([" "])[0], atol=1e-5)
    np.testing.assert_allclose(
        np.stack(found)[reading.chosen], reading.features.text_BH.numpy(), atol=1e-5
    )
    highest = rnnlm.Model(model).embed(["fly me"], words=True)
    assert highest.shape == (2, {"lstm": 16}.get(name, 8)) and not np.allclose(*highest)
    with pytest.raises(UsageError, match="one vector per text"):
        rnnlm.Model(model).embed(["fly me"], words=True, layer="features")
    with pytest.raises(UsageError, match="pooling has no effect"):
        rnnlm.Model(model).embed(["fly me"], pooling="max", layer="features")


@pytest.mark.parametrize(("settings", "onwards"), [
    ({}, 3), ({"bidirectional": False, "layers": 2}, 3), ({"connections": "dense"}, 8),
])  # fmt: skip
def test_an_encoder_decoder_has_its_encoders_vectors(settings, onwards):
    model = tiny_seq2seq.tiny_model(**settings)
    sources = ["the cat sat on the mat", "", "a dog"]
    expected_SMH = model.states(sources).memory.states_SMH.numpy()
    mean = np.stack(
        [expected_SMH[:length, row].mean(axis=0) for row, length in enumerate((7, 1, 3))]
    )
    np.testing.assert_allclose(rnnlm.Model(model).embed(sources, pooling="mean"), mean, atol=1e-5)
    words = rnnlm.Model(model).embed(sources, words=True)
    np.testing.assert_allclose(words[:6], expected_SMH[:6, 0], atol=1e-5)
    last = rnnlm.Model(model).embed(sources)
    # after `</s>`
    np.testing.assert_allclose(last[0, :onwards], expected_SMH[6, 0, :onwards], atol=1e-5)
    np.testing.assert_allclose(last[0, onwards:], expected_SMH[0, 0, onwards:], atol=1e-5)


def test_vectors_do_not_depend_on_chunks_or_batches(monkeypatch):
    model = network_of(model="lstm")
    once, words = rnnlm.Model(model).embed(TEXT), rnnlm.Model(model).embed(TEXT, words=True)
    for name, value in {"LINES_PER_CHUNK": 4, "TOKENS": 6, "ROWS": 2}.items():
        monkeypatch.setattr(embedding, name, value)
    np.testing.assert_allclose(rnnlm.Model(model).embed(TEXT), once, atol=1e-6)
    np.testing.assert_allclose(rnnlm.Model(model).embed(TEXT, words=True), words, atol=1e-6)
    assert [chunk.first for chunk in Embedder(model).chunks(TEXT)] == [1, 5]


def test_no_lines_give_zero_rows_of_full_width():
    model = network_of(model="rnn", tied=False)
    embed = rnnlm.Model(model).embed
    assert embed([]).shape == embed([""], words=True).shape == (0, 7)


def test_unreadable_input_or_missing_layers_is_one_error():
    model = network_of(model="rnn")
    with pytest.raises(UsageError, match="has no vectors of text"):
        rnnlm.Model(fit("ngram")).embed(["a"])
    with pytest.raises(UsageError, match="there is no layer '2'"):
        rnnlm.Model(model).embed(["a"], layer=2)
    with pytest.raises(UsageError, match="words are not pooled"):
        rnnlm.Model(model).embed(["a"], words=True, pooling="mean")
    with pytest.raises(TextError, match="line 2: the text holds <s>"):
        rnnlm.Model(model).embed(["a", "b <s> c"])
    with pytest.raises(TextError, match="line 1 holds a newline"):
        rnnlm.Model(model).embed(["a\nb"])
    with torch.no_grad():
        model.network.body.layers[0].weight_ih.fill_(torch.nan)
    with pytest.raises(ModelError, match="not numbers"):
        rnnlm.Model(model).embed(["a"])
