"""Language models on each device: on the CPU and, with `pytest -m gpu`, on a CUDA device."""

import numpy as np
import pytest
import torch

from rnnlm.events import RolledBack
from rnnlm.lm.base.span_scoring import score_spans, whole_text
from rnnlm.lm.mixtures import adapted_model as adapting
from rnnlm.lm.mixtures.adaptation import adapt
from rnnlm.lm.mixtures.dynamic_evaluation import gather_statistics
from rnnlm.lm.mixtures.mixture import Mixture
from rnnlm.lm.neural.trained_network import NeuralLanguageModel, from_arrays
from rnnlm.lm.neural.training.language_modelling import PerplexityValidation
from rnnlm.lm.ngram.unigram import UnigramModel
from support.devices import ON_EACH_DEVICE
from support.network_variants import VARIANTS
from support.networks import as_stored

LEARNING = {
    "budget": "120steps", "learning_rate": 0.02, "batch_rows": 4, "bptt_tokens": 12,
    "hidden_size": 32, "embedding_size": 32,
}  # fmt: skip
LEARNED = 0.2  # nats per token, at least
KINDS = [("rnn", "tanh"), ("rnn", "sigmoid"), ("gru", "tanh"), ("lstm", "tanh")]


@pytest.fixture
def data(make_data, sentences):
    return make_data(sentences)


@pytest.fixture
def few(make_data, sentences):
    return make_data(sentences[:20])


def never() -> bool:
    return False


def host_and_there(network, data, device):
    """Return the model of a network on the CPU, and on a device."""
    host, settings = NeuralLanguageModel(network, data.tokenizer), as_stored(network.settings)
    return host, from_arrays(settings, data.tokenizer, host.to_arrays(), device, None)


def loss_of_training_text(trainer, data):
    """Return the exact nats per token: on text that is not learned by heart, the start, which
    has the frequencies of the words, may stay the best."""
    reader, tokens = trainer.objective.reader, trainer.settings.bptt_tokens
    return PerplexityValidation(data.train, reader, tokens).run(never).loss_nats


@ON_EACH_DEVICE
@pytest.mark.parametrize("model, activation", KINDS)
def test_scores_equal_those_of_the_cpu_in_fp32(data, make_trainer, model, activation, device):
    settings = {"model": model, "activation": activation, "layers": 2, "hidden_size": 256}
    network = make_trainer(data, init_range=1.0, **settings).network
    host, there = host_and_there(network, data, device)
    ids_BT = np.random.default_rng(1).integers(data.tokenizer.size, size=(8, 200))
    inputs_BT, targets_BT = ids_BT[:, :-1], ids_BT[:, 1:]
    expected, state = host.score(inputs_BT, targets_BT, host.initial_state(8))
    found, other = there.score(inputs_BT, targets_BT, there.initial_state(8))
    assert found.device.type == device
    torch.testing.assert_close(found.cpu(), expected, atol=1e-3, rtol=0)
    for name, array in state.to_arrays().items():
        np.testing.assert_allclose(other.to_arrays()[name], array, atol=1e-3)
    after_BTV, _ = there.predict(inputs_BT[:, :1], other)
    expected_BTV, _ = host.predict(inputs_BT[:, :1], state)
    torch.testing.assert_close(after_BTV.cpu(), expected_BTV, atol=1e-3, rtol=0)


@ON_EACH_DEVICE
@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_every_variant_learns_and_scores_as_on_cpu(few, make_trainer, settings, device):
    rate = 0.05 if settings.get("model") == "jordan" else LEARNING["learning_rate"]
    trainer = make_trainer(few, device=device, **LEARNING | {"learning_rate": rate}, **settings)
    before = loss_of_training_text(trainer, few)
    *_, fitted = trainer.train(never)
    assert loss_of_training_text(trainer, few) < before - LEARNED
    weights, stored = fitted.model.to_arrays(), as_stored(trainer.network.settings)
    host = from_arrays(stored, few.tokenizer, weights, "cpu", None)
    ids_BT = np.random.default_rng(1).integers(few.tokenizer.size, size=(4, 30))
    given = ids_BT[:, :-1], ids_BT[:, 1:]
    found, expected = (
        each.score(*given, each.initial_state(4))[0] for each in (fitted.model, host)
    )
    torch.testing.assert_close(found.cpu(), expected, atol=1e-3, rtol=0)


@ON_EACH_DEVICE
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("model, activation", KINDS)
def test_training_runs_and_learns(few, make_trainer, model, activation, precision, device):
    own = {"learning_rate": 0.05, "precision": precision, "model": model, "activation": activation}
    trainer = make_trainer(few, device=device, **LEARNING | own)
    before = loss_of_training_text(trainer, few)
    *_, fitted = trainer.train(never)
    assert fitted.stopped == "budget" and loss_of_training_text(trainer, few) < before - LEARNED
    assert all(parameter.device.type == device for parameter in trainer.network.parameters())


@ON_EACH_DEVICE
@pytest.mark.parametrize("cuda_graphs", [False, True])
def test_a_lost_weight_triggers_a_rollback(
    make_data, make_trainer, sentences, eager_snapshots, graphs_on_cpu, cuda_graphs, device
):
    settings = {
        "budget": "30steps", "batch_rows": 4, "bptt_tokens": 12, "clip_norm": None,
        "cuda_graphs": cuda_graphs,
    }  # fmt: skip
    trainer = make_trainer(make_data(sentences[:60], sentences[60:80]), device=device, **settings)
    step = trainer.step

    def wrapped(batch, carry, rate):
        found = step(batch, carry, rate)
        if trainer.step_count == 15 and not trainer.rollbacks.count:
            with torch.no_grad():
                next(trainer.network.parameters())[-1, -1] = torch.nan
        return found

    trainer.step = wrapped
    *events, fitted = trainer.train(never)
    (rollback,) = [event for event in events if isinstance(event, RolledBack)]
    assert rollback.step >= 15 and rollback.to_step < 15 and fitted.stopped == "budget"
    assert all(parameter.isfinite().all() for parameter in trainer.network.parameters())


@ON_EACH_DEVICE
@pytest.mark.parametrize("settings", [
    {}, {"loss": "sampled", "samples": 9}, {"loss": "nce", "samples": 9},
], ids=str)  # fmt: skip
def test_the_seed_fixes_weights(data, make_trainer, monkeypatch, settings, device):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    own = {"budget": "10steps", "dropout_output": 0.2, **settings}

    def train():
        trainer = make_trainer(data, device=device, **own)
        list(trainer.train(never))
        return trainer.network.state_dict()

    torch.use_deterministic_algorithms(True)
    try:
        first, second = train(), train()
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(first[name], second[name]) for name in first)


@ON_EACH_DEVICE
@pytest.mark.parametrize("kind, settings", [
    ("unigram", adapting.UnigramCacheSettings(cache_tokens=50)),
    ("cache", adapting.NeuralCacheSettings(cache_tokens=50)),
    ("dynamic", adapting.DynamicSettings()),
    ("dynamic", adapting.DynamicSettings(adaptation_rule="rms", adaptation_rate=0.001)),
])  # fmt: skip
def test_models_that_adapt_score_as_on_the_cpu(data, make_trainer, kind, settings, device):
    network = make_trainer(data, hidden_size=64, init_range=0.5).network
    ids_T, found = data.train.ids[:301].astype(np.int64), []
    inputs_BT, targets_BT = ids_T[None, :-1], ids_T[None, 1:]
    for model in host_and_there(network, data, device):
        is_dynamic = kind == "dynamic"
        statistics = gather_statistics(model, data.train.ids[:2000], 5) if is_dynamic else None
        adapted = adapt(model, kind, settings, statistics)
        state, parts = adapted.initial_state(1), []
        for part in (slice(200), slice(200, 300)):
            logprob_BT, state = adapted.score(inputs_BT[:, part], targets_BT[:, part], state)
            assert logprob_BT.device.type == model.device.type
            parts.append(logprob_BT.cpu())
            state = adapted.state_from_arrays(state.to_arrays())
        found.append(torch.cat(parts, dim=1))
    torch.testing.assert_close(found[1], found[0], atol=1e-3, rtol=0)


@ON_EACH_DEVICE
def test_a_mixture_scores_as_on_cpu(data, make_trainer, device):
    network = make_trainer(data, hidden_size=64, init_range=0.5).network
    counts = UnigramModel.from_counts(data.tokenizer.counts_V, 0.5, data.tokenizer)
    ids = data.train.ids[:500]
    both = host_and_there(network, data, device)
    expected, found = (Mixture([each, counts], [0.25, 0.75]) for each in both)
    inputs_BT = ids[None, :20].astype(np.int64)
    assert found.predict(inputs_BT, found.initial_state(1))[0].device.type == device
    one, other = (score_spans(each, ids, whole_text(ids)) for each in (found, expected))
    np.testing.assert_allclose(one, other, atol=1e-3)
