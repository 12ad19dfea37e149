"""Networks of tasks that start from language models: their states, what is refused."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from rnnlm.errors import SettingsError, UsageError
from rnnlm.lm.base import loading
from rnnlm.tasks.labelling import weights as network_weights
from rnnlm.tasks.labelling.batches import batch_tensors
from rnnlm.tasks.labelling.data import Codec, TaskData, encode_words
from rnnlm.tasks.labelling.fitting import make_trainer
from rnnlm.tasks.labelling.networks.network import TaskNetwork
from rnnlm.tasks.labelling.settings import kinds
from rnnlm.training.request import TrainingRequest
from rnnlm.training.resolution import resolve_request
from support import tiny_tasks
from support.random_language_models import SUBWORDS, language_model
from support.tiny_tasks import TRAIN, data_of, labelled, settings_of

WORDS = [["show", "flights", "from", "new", "york"], ["fly"], ["what", "costs", "unheard", "it"]]


@dataclass
class Started:
    """A task's network as it starts, and what it reads with."""

    network: TaskNetwork
    data: TaskData
    resolved: object


def started(request):
    """Start a network from the language models that a request names, before any training."""
    _, kind, resolved = resolve_request(request)
    codec_of = tiny_tasks.data_of(resolved, labelled(TRAIN, "tagging"))
    tokenizer = loading.load_tokenizer(request.tokenizer_from or request.init_from)
    if resolved.values["characters"]:
        tokenizer = tokenizer.spelling()
    codec = Codec(tokenizer, codec_of.tokenizer.columns)
    data = TaskData(codec, codec_of.train, None)
    network = TaskNetwork(resolved.make(kinds()["tagging", resolved.values["model"]]), codec)
    weights = network_weights.weights(request, resolved, data)
    with torch.no_grad():
        for weight in network.parameters():
            weight.uniform_(-0.5, 0.5)
    tensors = {name: torch.from_numpy(array) for name, array in weights.items()}
    network.load_state_dict(tensors, strict=False)
    return Started(network.eval(), data, resolved)


def states(model, words):
    """Return the language model's highest layer at each word's last token, by its trace."""
    tokenizer = model.tokenizer
    pieces = [tokenizer.encode([word]).ids[:-1].tolist() for word in words]
    ids = torch.tensor([tokenizer.boundary_id, *(id for each in pieces for id in each)])[:, None]
    with torch.no_grad():
        trace = model.network.trace(ids, model.network.initial_state(1))
    at = np.cumsum([len(each) for each in pieces])
    if model.network.settings.connections == "plain":
        hidden = trace.layers[-1].hidden_TBH
    else:
        body, hidden = model.network.body, trace.layers[0].inputs_TBE
        for number, layer in enumerate(trace.layers):
            hidden = body.connect(number, layer.inputs_TBE, layer.hidden_TBH)
    return hidden[:, 0][torch.as_tensor(at)]


VARIANTS = {
    "lstm": {}, "gru, subwords": {"model": "gru", "tokenizer": SUBWORDS},
    "highway": {"model": "rnn", "connections": "highway"},
    "residual": {"model": "rnn", "connections": "residual"},
    "qrnn": {"model": "qrnn", "convolution_words": 2},
    "dense": {"model": "gru", "connections": "dense", "layer_sizes": "4,6"},
    "mogrifier": {"mogrifier_rounds": 3, "mogrifier_rank": 2},
    "characters": {"characters": "cnn", "character_filters": "0,4"},
}  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS)
def test_forward_layers_start_with_the_language_models_states(tmp_path, variant):
    model = language_model(tmp_path / "f", **VARIANTS[variant])
    begun = started(TrainingRequest(task="tagging", init_from=str(tmp_path / "f")))
    encoded = encode_words(begun.data.tokenizer.tokenizer, WORDS)
    inputs = batch_tensors(encoded, np.arange(len(WORDS)), torch.device("cpu"))
    with torch.no_grad():
        words_TBH = begun.network(inputs).words_TBH
    for row, words in enumerate(WORDS):
        found = words_TBH[: len(words), row].float()
        if VARIANTS[variant].get("connections") == "dense":
            forward = found[:, [*range(9), *range(13, 19)]]
        else:
            forward = found.chunk(2, dim=1)[0]
        assert torch.allclose(forward, states(model, words), atol=1e-6)


def test_one_language_model_gives_words_and_forward_layers(tmp_path):
    model = language_model(tmp_path / "f")
    begun = started(TrainingRequest(task="tagging", init_from=str(tmp_path / "f")))
    own = {name: weight.numpy() for name, weight in begun.network.state_dict().items()}
    arrays, words = model.to_arrays(), "input.embedding.weight"
    onwards, layer = "encoder.body.onwards.1.weight_", "body.layers.1.weight_"
    assert np.array_equal(own[f"encoder.{words}"], arrays[words])
    assert np.array_equal(own[f"{onwards}hh"], arrays[f"{layer}hh"])
    assert np.array_equal(own[f"{onwards}ih"][:, :6], arrays[f"{layer}ih"])
    assert not own[f"{onwards}ih"][:, 6:].any()
    assert own["encoder.body.backwards.1.weight_ih"][:, 6:].shape[1] == 6


def test_network_settings_come_from_the_language_model(tmp_path):
    language_model(tmp_path / "f", model="gru", reset_gate="before")
    request = TrainingRequest(task="tagging", init_from=str(tmp_path / "f"))
    _, kind, resolved = resolve_request(request)
    found = (kind.name, resolved.values["hidden_size"], resolved.values["reset_gate"])
    assert found == ("gru", 6, "before")
    assert resolved.values["characters"] is None and resolved.values["reads_boundary"]
    assert resolved.origins["layers"].startswith("language model")


def test_a_bag_of_words_takes_the_words_alone(tmp_path):
    model = language_model(
        tmp_path / "f", characters="lstm", character_hidden_size=3, characters_beside=True
    )
    request = TrainingRequest(task="classification", model="bag", init_from=str(tmp_path / "f"))
    _, _, resolved = resolve_request(request)
    data = tiny_tasks.data_of(resolved, labelled(TRAIN, "classification"))
    codec = Codec(model.tokenizer, data.tokenizer.columns)
    weights = network_weights.weights(request, resolved, TaskData(codec, data.train, None))
    expected = {name for name in model.to_arrays() if name.startswith("input.")}
    assert {name.removeprefix("encoder.") for name in weights} == expected


REFUSED = {
    "another size": ({"flags": {"hidden_size": 9}}, "hidden_size = 9"),
    "another kind": ({"model": "gru"}, "not gru"),
    "another tokenizer": ({"tokenizer_from": "other"}, "tokenizer differs"),
}  # fmt: skip


@pytest.fixture(scope="module")
def language_models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("language_models")
    language_model(folder / "f")
    language_model(folder / "other", tokenizer={"tokenizer": "word", "lowercase": True})
    return folder


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_with_reasons(language_models, case):
    given, reason = REFUSED[case]
    if "tokenizer_from" in given:
        given = {**given, "tokenizer_from": str(language_models / given["tokenizer_from"])}
    with pytest.raises(UsageError) as error:
        started(TrainingRequest(task="tagging", init_from=str(language_models / "f"), **given))
    assert reason in f"{error.value.what} {error.value.why}"


SGD = {
    "optimizer": "sgd", "schedule": "constant", "warmup": 0.0, "clip_norm": None, "layers": 2,
    "unknown_words": 0.0, "dropout_between": 0.0,
}  # fmt: skip


def changes(steps=1, task="tagging", model="lstm", **settings):
    """Return (layers above it, how much it changed) of each weight by name, after a few steps."""
    resolved = settings_of(task, model, **{**SGD, **settings})
    trainer = make_trainer(resolved, data_of(resolved, labelled(TRAIN, task)))
    named = dict(trainer.network.named_parameters())
    before = {name: weight.detach().clone() for name, weight in named.items()}
    trainer.begin()
    for _ in range(steps):
        trainer.train_step()
    depths = trainer.network.depths()
    return {name: (depths.get(its, 0), its.detach() - before[name]) for name, its in named.items()}


@pytest.mark.parametrize(("fall", "bias_rate"), [(2.0, 1.0), (1.0, 3.0), (2.0, 3.0)])
def test_rates_fall_by_a_factor_per_layer_and_biases_have_their_own(fall, bias_rate):
    alike, found = changes(), changes(rate_decay_by_layer=fall, bias_rate=bias_rate)
    assert {depth for depth, _ in alike.values()} == {0, 1, 2, 3}
    for name, (depth, change) in found.items():
        factor = (bias_rate if change.dim() == 1 else 1.0) / fall**depth
        torch.testing.assert_close(change / factor, alike[name][1], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_each_epoch_adds_the_layer_below(optimizer):
    for epochs in (1, 2):  # 48 examples, 8 a step
        found = changes(6 * epochs, optimizer=optimizer, unfreeze="epoch", weight_decay=0.1)
        assert {depth for depth, change in found.values() if change.any()} == set(range(epochs))


@pytest.mark.parametrize(("model", "depths"), [("bag", {0, 1, 2}), ("cnn", {0, 1, 2})])
def test_classifiers_without_recurrence_have_layers_too(model, depths):
    given = {"layers": 1} if model == "bag" else {}
    left_out = {"layers"} if model == "bag" else {"layers", "dropout_between"}
    settings = {name: value for name, value in SGD.items() if name not in left_out}
    resolved = settings_of("classification", model, **settings, **given, rate_decay_by_layer=2.0)
    network = make_trainer(resolved, data_of(resolved, labelled(TRAIN, "classification"))).network
    found = network.depths()
    assert {found.get(weight, 0) for weight in network.parameters()} == depths


def test_recorded_steps_cannot_unfreeze():
    with pytest.raises(SettingsError, match="unfreeze and cuda_graphs"):
        settings_of("tagging", "lstm", unfreeze="epoch", cuda_graphs=True)
