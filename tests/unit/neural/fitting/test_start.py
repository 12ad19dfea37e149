"""Where training starts: what is told, weights that are given, word vectors from a file."""

import dataclasses

import numpy as np
import pytest
import torch

from rnnlm.config import Layer, resolve
from rnnlm.errors import SettingsError, TextError, TrainingError
from rnnlm.events import Fitted, Started, never
from rnnlm.models.registry import kind_of
from rnnlm.neural import words
from rnnlm.neural.fitting import fitting
from rnnlm.neural.language_model import NeuralLanguageModel
from rnnlm.text.vectors import svd_vectors
from rnnlm.training.plan import Request, plan


def resolved_for(model="lstm", **settings):
    values = {
        "embedding_size": 3,
        "hidden_size": 4,
        "budget": "3steps",
        "device": "cpu",
        "precision": "fp32",
        "model": model,
        **settings,
    }
    return resolve(kind_of(model).settings_classes(), [Layer("test", values)])


def test_events_begin_with_started_and_end_with_fitted(make_data, sentences):
    data = make_data(sentences[:40], sentences[40:50])
    started, *_, fitted = kind_of("gru").fit(resolved_for("gru"), data, never, None)
    assert isinstance(started, Started) and isinstance(fitted, Fitted)
    assert (started.model, started.device, started.precision) == ("gru", "cpu", "fp32")
    assert started.parameters == sum(array.size for array in fitted.model.to_arrays().values())
    assert (started.vocabulary_size, started.train_tokens) == (
        data.tokenizer.size,
        data.train.tokens,
    )


def test_a_network_exceeding_memory_is_an_error(make_data, sentences, monkeypatch):
    monkeypatch.setattr(fitting, "start_network", lambda *given: torch.empty(1 << 50))
    with pytest.raises(TrainingError, match="out of memory"):
        list(kind_of("lstm").fit(resolved_for(), make_data(sentences[:5]), never, None))


def test_initial_weights_are_where_training_starts(make_data, make_trainer, sentences):
    data = make_data(sentences[:10])
    first = make_trainer(data)
    arrays = NeuralLanguageModel(first.network, data.tokenizer).to_arrays()
    network = fitting.start_network(
        first.network.settings, data.tokenizer, torch.device("cpu"), arrays
    )
    assert all(
        torch.equal(value, network.state_dict()[name])
        for name, value in first.network.state_dict().items()
    )


def test_dropout_masks_from_initial_weights_differ(make_data, sentences):
    """With the same ones a network remembers the windows it has read under them."""
    data, resolved = make_data(sentences[:10]), resolved_for(dropout_output=0.5)
    first = fitting.make_trainer(resolved, data)
    masks = torch.get_rng_state()
    arrays = NeuralLanguageModel(first.network, data.tokenizer).to_arrays()
    drawn = [
        (fitting.make_trainer(resolved, data, arrays), torch.get_rng_state())[1] for _ in range(2)
    ]
    assert torch.equal(*drawn) and not torch.equal(drawn[0], masks)
    list(first.train(never))
    fitting.make_trainer(
        resolved, data, NeuralLanguageModel(first.network, data.tokenizer).to_arrays()
    )
    assert not torch.equal(torch.get_rng_state(), drawn[0])


@pytest.fixture
def vectors(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("the 1 2 3\nzebra 4 5 6\n")
    return str(path)


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
@pytest.mark.parametrize("frozen", [False, True])
def test_word_vectors_initialise_training_and_stay_if_frozen(make_data, sentences, vectors, frozen):
    data = make_data([*sentences[:20], "the end"])
    trainer = fitting.make_trainer(
        resolved_for(embeddings=vectors, freeze_embeddings=frozen, ema_decay=0.5), data
    )
    row = data.tokenizer.symbols().index("the")
    start = trainer.network.input.weight.detach().clone()
    assert start[row].tolist() == [1, 2, 3]
    list(trainer.train(never))
    assert torch.equal(trainer.network.input.weight, start) == frozen


@pytest.mark.parametrize("tied", [False, True])
def test_word_vectors_can_come_from_training_counts(make_data, sentences, tied):
    data = make_data(sentences[:20])
    resolved = resolved_for(embeddings="svd", tied=tied)
    trainer = fitting.make_trainer(resolved, data)
    weight_VE, ids_N, size = (
        trainer.network.input.weight,
        np.asarray(data.train.ids),
        data.tokenizer.size,
    )
    expected_VE = torch.from_numpy(svd_vectors(ids_N, np.asarray(data.train.line_offsets), size, 3))
    seen_V = torch.from_numpy(np.bincount(ids_N, minlength=size) > 0)
    assert torch.equal(weight_VE[seen_V], expected_VE[seen_V])
    random_VE = fitting.make_trainer(resolved_for(tied=tied), data).network.input.weight
    assert not seen_V.all() and torch.equal(weight_VE[~seen_V], random_VE[~seen_V])  # <unk>
    list(trainer.train(never))
    assert not torch.equal(trainer.network.input.weight[seen_V], expected_VE[seen_V])


def test_a_run_that_goes_on_counts_nothing_again(make_data, sentences, monkeypatch):
    data, resolved = (
        make_data(sentences[:20]),
        resolved_for(embeddings="svd", freeze_embeddings=True),
    )
    first = fitting.make_trainer(resolved, data)
    first.begin()
    first.keep_state()
    monkeypatch.setattr(fitting, "counted_vectors", None)  # calling it would fail
    again = fitting.make_trainer(resolved, data, first.rollbacks.good)
    assert (
        torch.equal(again.network.input.weight, first.network.input.weight)
        and not again.network.input.weight.requires_grad
    )


def test_numbers_beyond_the_token_count_stay_random(make_data):
    data = make_data(["a b", "b c a"])
    size = data.tokenizer.size
    weight_VE = fitting.make_trainer(
        resolved_for(embeddings="svd", embedding_size=9), data
    ).network.input.weight
    random_VE = fitting.make_trainer(resolved_for(embedding_size=9), data).network.input.weight
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
    (tmp_path / "text.txt").write_text("\n".join([*sentences[:20], "the end"]))
    (tmp_path / "vectors.txt").write_bytes(b"\xff 4 5 6\nthe 1 2 3\n")
    settings = {
        "model": "lstm",
        "embedding_size": 3,
        "hidden_size": 4,
        "device": "cpu",
        "embeddings": str(tmp_path / "vectors.txt"),
    }
    request = Request(text=(str(tmp_path / "text.txt"),), flags=settings, output=tmp_path / "m")
    strict = plan(request)
    with pytest.raises(TextError, match='`encoding_errors="replace"`'):
        fitting.make_trainer(strict.resolved, strict.data)
    made = plan(dataclasses.replace(request, flags={**settings, "encoding_errors": "replace"}))
    weight_VE = fitting.make_trainer(made.resolved, made.data).network.input.weight
    assert weight_VE[made.data.tokenizer.symbols().index("the")].tolist() == [1, 2, 3]


def test_word_vectors_not_fitting_the_network_are_refused(make_data, sentences, vectors):
    beside = "set characters_beside=true"
    for asked, what in (
        ({"embeddings": vectors, "embedding_size": 5}, "set embedding_size=3"),
        ({"characters": "cnn", "embeddings": "x.txt"}, beside),
        ({"characters": "cnn", "embeddings": "svd"}, beside),
        ({"characters": "cnn", "freeze_embeddings": True}, beside),
    ):  # fmt: skip
        with pytest.raises(SettingsError, match=what):
            fitting.make_trainer(resolved_for(**asked), make_data(sentences[:20]))


def test_word_vectors_are_counted_for_language_models_alone(tmp_path):
    (tmp_path / "tags.txt").write_text("a\tX\nb\tY\n\n" * 3, encoding="utf-8")
    flags = {"model": "lstm", "embeddings": "svd", "device": "cpu"}
    with pytest.raises(
        SettingsError, match="svd is for language models.*rnnlm vectors --method svd"
    ):
        plan(
            Request(
                text=(str(tmp_path / "tags.txt"),),
                task="tagging",
                flags=flags,
                output=tmp_path / "m",
            )
        )


def test_random_word_vectors_are_not_frozen(make_data, sentences):
    data = make_data(sentences[:20])
    resolved = resolved_for(freeze_embeddings=True)
    with pytest.raises(SettingsError, match="would keep random word vectors.*`init_from`"):
        fitting.make_trainer(resolved, data)
    trained = NeuralLanguageModel(
        fitting.make_trainer(resolved_for(), data).network, data.tokenizer
    )
    assert not fitting.make_trainer(
        resolved, data, trained.to_arrays()
    ).network.input.weight.requires_grad
