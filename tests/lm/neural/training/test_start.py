"""Where training starts: what is told, weights that are given, word vectors from a file."""

import dataclasses

import numpy as np
import pytest
import torch

from rnnlm.config import SettingsLayer, resolve
from rnnlm.errors import SettingsError, TextError, TrainingError
from rnnlm.events import Fitted, Started, never
from rnnlm.lm.base.loading import count_parameters
from rnnlm.lm.neural import words
from rnnlm.lm.neural.trained_network import NeuralLanguageModel
from rnnlm.lm.neural.training import fitting
from rnnlm.registry import kind_of
from rnnlm.text.vectors import svd_vectors
from rnnlm.training.plan import TrainingRequest, plan

SMALL = {"embedding_size": 3, "hidden_size": 4, "budget": "3steps", "device": "cpu"}


def resolved_for(model="lstm", **settings):
    values = {**SMALL, "precision": "fp32", "model": model, **settings}
    return resolve(kind_of(model).settings, [SettingsLayer("test", values)])


def embeddings_of(data, initial=None, **settings):
    """Return the word vectors that training starts with."""
    return fitting.make_trainer(resolved_for(**settings), data, initial).network.input.weight


def test_events_begin_with_started_and_end_with_fitted(make_data, sentences):
    data = make_data(sentences[:40], sentences[40:50])
    started, *_, fitted = kind_of("gru").fit(resolved_for("gru"), data, never, None)
    assert isinstance(started, Started) and isinstance(fitted, Fitted)
    assert (started.model, started.device, started.precision) == ("gru", "cpu", "fp32")
    assert started.parameters == sum(array.size for array in fitted.model.to_arrays().values())
    assert started.vocabulary_size == data.tokenizer.size
    assert started.train_tokens == data.train.tokens


@pytest.mark.parametrize("settings", [
    {"loss": "sampled", "samples": 8},
    *({"output_layer": layer} for layer in ("adaptive", "class", "hierarchical")),
], ids=str)  # fmt: skip
def test_parameters_are_the_weights_that_are_trained(make_data, sentences, settings):
    data, resolved = make_data(sentences[:40]), resolved_for(**settings)
    network = fitting.make_trainer(resolved, data).network
    kind = kind_of("lstm")
    trained = sum(weight.numel() for weight in network.parameters())
    assert count_parameters(kind.array_shapes(resolved.values, data.tokenizer)) == trained
    assert trained < sum(array.numel() for array in network.state_dict().values())


@pytest.mark.parametrize("settings", [{}, {"loss": "sampled", "samples": 4}])
def test_networks_expect_the_unknown_words_that_they_read(make_data, settings):
    """Half of the four rare words, in the biases and among the noise; add-half frequencies."""
    data = make_data([*["the cat sat on the mat", "the dog sat on the mat"] * 20, "a b c d"])
    output = fitting.make_trainer(resolved_for(**settings), data).network.output
    unknown, dog = data.tokenizer.unk_id, data.tokenizer.symbols().index("dog")
    expected = pytest.approx(2.5 / 20.5)
    bias_V = output.bias.detach().double().exp()
    assert float(bias_V[unknown] / bias_V[dog]) == expected
    if settings:
        assert float(output.expected_V[unknown] / output.expected_V[dog]) == expected


def test_networks_expect_the_counts_of_their_own_text(make_data):
    """Where the tokenizer comes from another text, the words unknown to it among them."""
    data = make_data(["the cat sat"] * 50, ["the dog sat", "the bird sat", "the cat sat"] * 10)
    own = data.valid
    resolved = resolved_for(loss="sampled", samples=4)
    first = fitting.make_trainer(resolved, data).network
    data = dataclasses.replace(data, train=own)
    output = fitting.make_trainer(resolved, data).network.output
    counts_V = torch.from_numpy(np.bincount(own.ids, minlength=data.tokenizer.size))
    expected_V = (counts_V + 0.5) / (counts_V + 0.5).sum()
    torch.testing.assert_close(output.bias.detach().exp(), expected_V.float())
    noise_V = output.expected_V / output.expected_V.sum()
    torch.testing.assert_close(noise_V, expected_V.float())
    assert counts_V[data.tokenizer.unk_id] == 20

    # A network that starts from another one keeps the biases that it was given.
    arrays = NeuralLanguageModel(first, data.tokenizer).to_arrays()
    begun = fitting.make_trainer(resolved, data, arrays).network.output
    assert torch.equal(begun.expected_V, output.expected_V)
    assert torch.equal(begun.bias, first.output.bias)


def test_a_network_exceeding_memory_is_an_error(make_data, sentences, monkeypatch):
    monkeypatch.setattr(fitting, "start_network", lambda *given: torch.empty(1 << 50))
    with pytest.raises(TrainingError, match="out of memory"):
        list(kind_of("lstm").fit(resolved_for(), make_data(sentences[:5]), never, None))


def test_initial_weights_are_where_training_starts(make_data, make_trainer, sentences):
    data = make_data(sentences[:10])
    first = make_trainer(data).network
    arrays = NeuralLanguageModel(first, data.tokenizer).to_arrays()
    network = fitting.start_network(first.settings, data.tokenizer, torch.device("cpu"), arrays)
    for name, value in first.state_dict().items():
        assert torch.equal(value, network.state_dict()[name])


def test_dropout_masks_from_initial_weights_differ(make_data, sentences):
    """With the same ones a network remembers the windows it has read under them."""
    data, resolved = make_data(sentences[:10]), resolved_for(dropout_output=0.5)
    first = fitting.make_trainer(resolved, data)

    def masks_from_its_weights():
        arrays = NeuralLanguageModel(first.network, data.tokenizer).to_arrays()
        fitting.make_trainer(resolved, data, arrays)
        return torch.get_rng_state()

    masks = torch.get_rng_state()
    one, again = masks_from_its_weights(), masks_from_its_weights()
    assert torch.equal(one, again) and not torch.equal(one, masks)
    list(first.train(never))
    assert not torch.equal(masks_from_its_weights(), one)


@pytest.fixture
def vectors(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("the 1 2 3\nzebra 4 5 6\n")
    return str(path)


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
@pytest.mark.parametrize("frozen", [False, True])
def test_word_vectors_initialise_training_and_stay_if_frozen(make_data, sentences, vectors, frozen):
    data = make_data([*sentences[:20], "the end"])
    settings = {"embeddings": vectors, "freeze_embeddings": frozen, "ema_decay": 0.5}
    trainer = fitting.make_trainer(resolved_for(**settings), data)
    row = data.tokenizer.symbols().index("the")
    start = trainer.network.input.weight.detach().clone()
    assert start[row].tolist() == [1, 2, 3]
    list(trainer.train(never))
    assert torch.equal(trainer.network.input.weight, start) == frozen


@pytest.mark.parametrize("tied", [False, True])
def test_word_vectors_can_come_from_training_counts(make_data, sentences, tied):
    data = make_data(sentences[:20])
    trainer = fitting.make_trainer(resolved_for(embeddings="svd", tied=tied), data)
    weight_VE, size = trainer.network.input.weight, data.tokenizer.size
    ids_N, offsets = np.asarray(data.train.ids), np.asarray(data.train.line_offsets)
    expected_VE = torch.from_numpy(svd_vectors(ids_N, offsets, size, 3))
    seen_V = torch.from_numpy(np.bincount(ids_N, minlength=size) > 0)
    assert torch.equal(weight_VE[seen_V], expected_VE[seen_V])
    random_VE = embeddings_of(data, tied=tied)
    assert not seen_V.all() and torch.equal(weight_VE[~seen_V], random_VE[~seen_V])  # <unk>
    list(trainer.train(never))
    assert not torch.equal(trainer.network.input.weight[seen_V], expected_VE[seen_V])


def test_a_run_that_goes_on_counts_nothing_again(make_data, sentences, monkeypatch):
    data = make_data(sentences[:20])
    resolved = resolved_for(embeddings="svd", freeze_embeddings=True)
    first = fitting.make_trainer(resolved, data)
    first.begin()
    first._keep_state()
    monkeypatch.setattr(fitting, "counted_vectors", None)  # calling it would fail
    again = fitting.make_trainer(resolved, data, first.rollbacks.good).network.input.weight
    assert torch.equal(again, first.network.input.weight) and not again.requires_grad


def test_numbers_beyond_the_token_count_stay_random(make_data):
    data = make_data(["a b", "b c a"])
    size = data.tokenizer.size
    weight_VE = embeddings_of(data, embeddings="svd", embedding_size=9)
    random_VE = embeddings_of(data, embedding_size=9)
    assert torch.equal(weight_VE[:, size - 1 :], random_VE[:, size - 1 :])
    assert (weight_VE[1:, : size - 1] != random_VE[1:, : size - 1]).any(dim=1).sum() >= 3


def test_only_a_long_texts_beginning_is_counted(make_data, sentences, monkeypatch):
    text, size = make_data(sentences[:20]).train, 400
    monkeypatch.setattr(words, "MOST_TOKENS", int(text.line_offsets[7]) + 2)
    found = words.counted_vectors(text, size, 3)
    offsets = np.append(text.line_offsets[:8], text.line_offsets[7] + 2)
    expected_VE = svd_vectors(np.asarray(text.ids[: offsets[-1]]), offsets, size, 3)
    assert set(found.ids_K.tolist()) == set(np.asarray(text.ids[: offsets[-1]]).tolist())
    assert np.array_equal(found.values_KE, expected_VE[found.ids_K])


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
def test_bad_utf8_in_word_vectors_can_be_replaced(sentences, tmp_path):
    text, vectors = tmp_path / "text.txt", tmp_path / "vectors.txt"
    text.write_text("\n".join([*sentences[:20], "the end"]))
    vectors.write_bytes(b"\xff 4 5 6\nthe 1 2 3\n")
    settings = {**SMALL, "model": "lstm", "embeddings": str(vectors)}
    request = TrainingRequest(text=(str(text),), flags=settings, output=tmp_path / "m")
    strict = plan(request)
    with pytest.raises(TextError, match='`encoding_errors="replace"`'):
        fitting.make_trainer(strict.resolved, strict.data)
    made = plan(dataclasses.replace(request, flags={**settings, "encoding_errors": "replace"}))
    weight_VE = fitting.make_trainer(made.resolved, made.data).network.input.weight
    assert weight_VE[made.data.tokenizer.symbols().index("the")].tolist() == [1, 2, 3]


BESIDE = "set characters_beside=true"


@pytest.mark.parametrize("settings, what", [
    ({"embeddings": "vectors", "embedding_size": 5}, "set embedding_size=3"),
    ({"characters": "cnn", "embeddings": "x.txt"}, BESIDE),
    ({"characters": "cnn", "embeddings": "svd"}, BESIDE),
    ({"characters": "cnn", "freeze_embeddings": True}, BESIDE),
])  # fmt: skip
def test_vectors_not_fitting_are_refused(make_data, sentences, vectors, settings, what):
    if settings.get("embeddings") == "vectors":
        settings = {**settings, "embeddings": vectors}
    with pytest.raises(SettingsError, match=what):
        fitting.make_trainer(resolved_for(**settings), make_data(sentences[:20]))


@pytest.mark.needs("tasks/labelling")
def test_word_vectors_are_counted_for_language_models_alone(tmp_path):
    text = tmp_path / "tags.txt"
    text.write_text("a\tX\nb\tY\n\n" * 3, encoding="utf-8")
    flags = {"model": "lstm", "embeddings": "svd", "device": "cpu"}
    request = TrainingRequest(text=(str(text),), task="tagging", flags=flags, output=tmp_path / "m")
    with pytest.raises(SettingsError, match="svd is for language models; name a file of vectors"):
        plan(request)


def test_random_word_vectors_are_not_frozen(make_data, sentences):
    data = make_data(sentences[:20])
    with pytest.raises(SettingsError, match="would keep random word vectors.*`init_from`"):
        embeddings_of(data, freeze_embeddings=True)
    network = fitting.make_trainer(resolved_for(), data).network
    trained = NeuralLanguageModel(network, data.tokenizer).to_arrays()
    assert not embeddings_of(data, trained, freeze_embeddings=True).requires_grad
