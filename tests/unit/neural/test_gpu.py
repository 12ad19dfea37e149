"""What only a CUDA device can show: run with `pytest -m gpu` on a machine that has one."""

import numpy as np
import pytest
import torch

from rnnlm.combinations.adaptation import adapt
from rnnlm.combinations.dynamic_evaluation import gather_statistics
from rnnlm.combinations.mixture import Mixture
from rnnlm.combinations.mixture_weights import Predictions, log_linear_weights
from rnnlm.combinations.settings import DynamicSettings, NeuralCacheSettings, UnigramCacheSettings
from rnnlm.events import RolledBack
from rnnlm.inference.span_scoring import score_spans, whole_text
from rnnlm.neural.language_model import NeuralLanguageModel, from_arrays
from rnnlm.ngram.unigram import UnigramModel
from support.network_variants import VARIANTS

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")]
KINDS = [("rnn", "tanh"), ("rnn", "sigmoid"), ("gru", "tanh"), ("lstm", "tanh")]


def never() -> bool:
    return False


@pytest.mark.parametrize("model, activation", KINDS)
def test_scores_equal_those_of_the_cpu_in_fp32(make_data, make_trainer, sentences, model, activation):
    data = make_data(sentences)
    network = make_trainer(data, model=model, activation=activation, layers=2, hidden_size=256, init_range=1.0).network
    host = NeuralLanguageModel(network, data.tokenizer)
    device = from_arrays(vars(network.settings), data.tokenizer, host.to_arrays(), "cuda", None)
    ids_BT = np.random.default_rng(1).integers(data.tokenizer.size, size=(8, 200))
    inputs_BT, targets_BT = ids_BT[:, :-1], ids_BT[:, 1:]
    expected, state = host.score(inputs_BT, targets_BT, host.initial_state(8))
    found, other = device.score(inputs_BT, targets_BT, device.initial_state(8))
    assert found.device.type == "cuda"
    torch.testing.assert_close(found.cpu(), expected, atol=1e-3, rtol=0)
    for name, array in state.to_arrays().items():
        np.testing.assert_allclose(other.to_arrays()[name], array, atol=1e-3)
    torch.testing.assert_close(
        device.predict(inputs_BT[:, :1], other)[0].cpu(), host.predict(inputs_BT[:, :1], state)[0], atol=1e-3, rtol=0
    )


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_every_variant_scores_as_on_the_cpu_and_learns(make_data, make_trainer, sentences, settings):
    data = make_data(sentences[:100], sentences[100:150])
    trainer = make_trainer(data, device="cuda", budget="60steps", learning_rate=0.02, **settings)
    before = trainer.validation.run(0, never).figure
    *_, fitted = trainer.train(never)
    assert fitted.best_ppl_token < before
    host = from_arrays({**vars(trainer.network.settings)}, data.tokenizer, fitted.model.to_arrays(), "cpu", None)
    ids_BT = np.random.default_rng(1).integers(data.tokenizer.size, size=(4, 30))
    found, expected = (each.score(ids_BT[:, :-1], ids_BT[:, 1:], each.initial_state(4))[0] for each in (fitted.model, host))
    torch.testing.assert_close(found.cpu(), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("model, activation", KINDS)
def test_training_runs_and_learns(make_data, make_trainer, sentences, model, activation, precision):
    data = make_data(sentences[:100], sentences[100:150])
    trainer = make_trainer(
        data, device="cuda", precision=precision, model=model, activation=activation, budget="60steps", learning_rate=0.02
    )
    before = trainer.validation.run(0, never).figure
    *_, fitted = trainer.train(never)
    assert fitted.stopped == "budget" and fitted.best_ppl_token < before
    assert all(parameter.is_cuda for parameter in trainer.network.parameters())


@pytest.mark.parametrize("cuda_graphs", [False, True])
def test_a_lost_weight_is_noticed_and_the_run_goes_back(make_data, make_trainer, sentences, eager_snapshots, cuda_graphs):
    settings = {"budget": "30steps", "batch_rows": 4, "bptt_tokens": 12, "clip_norm": None, "cuda_graphs": cuda_graphs}
    trainer = make_trainer(make_data(sentences[:60], sentences[60:80]), device="cuda", **settings)
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


def test_same_seed_gives_the_same_weights_with_deterministic_algorithms(make_data, make_trainer, sentences, monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    data = make_data(sentences)

    def train():
        trainer = make_trainer(data, device="cuda", budget="20steps", dropout_output=0.2)
        list(trainer.train(never))
        return trainer.network.state_dict()

    torch.use_deterministic_algorithms(True)
    try:
        first, second = train(), train()
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("kind, settings", [
    ("unigram", UnigramCacheSettings(cache_tokens=50)), ("cache", NeuralCacheSettings(cache_tokens=50)),
    ("dynamic", DynamicSettings()), ("dynamic", DynamicSettings(adaptation_rule="rms", adaptation_rate=0.001)),
])  # fmt: skip
def test_models_that_adapt_score_as_on_the_cpu(make_data, make_trainer, sentences, kind, settings):
    data = make_data(sentences)
    network = make_trainer(data, hidden_size=64, init_range=0.5).network
    host = NeuralLanguageModel(network, data.tokenizer)
    device = from_arrays(vars(network.settings), data.tokenizer, host.to_arrays(), "cuda", None)
    inputs_BT, targets_BT = data.train.ids[None, :300].astype(np.int64), data.train.ids[None, 1:301].astype(np.int64)
    found = []
    for model in (host, device):
        statistics = gather_statistics(model, data.train.ids[:2000], 5) if kind == "dynamic" else None
        adapted = adapt(model, kind, settings, statistics)
        logprob_BT, state = adapted.score(inputs_BT[:, :200], targets_BT[:, :200], adapted.initial_state(1))
        rest_BT, _ = adapted.score(inputs_BT[:, 200:], targets_BT[:, 200:], adapted.state_from_arrays(state.to_arrays()))
        assert logprob_BT.device.type == model.device.type
        found.append(torch.cat([logprob_BT, rest_BT], dim=1).cpu())
    torch.testing.assert_close(found[1], found[0], atol=1e-3, rtol=0)


@pytest.mark.parametrize("kind", ["linear", "log-linear"])
def test_a_mixture_with_counts_scores_and_is_tuned_as_on_the_cpu(make_data, make_trainer, sentences, kind):
    data = make_data(sentences)
    network = make_trainer(data, hidden_size=64, init_range=0.5).network
    host = NeuralLanguageModel(network, data.tokenizer)
    device = from_arrays(vars(network.settings), data.tokenizer, host.to_arrays(), "cuda", None)
    counts = UnigramModel.from_counts(data.tokenizer.counts_V, 0.5, data.tokenizer)
    ids, span = data.train.ids[:500], whole_text(data.train.ids[:500])
    expected, found = (Mixture([each, counts], [0.25, 0.75], kind) for each in (host, device))
    inputs_BT = ids[None, :20].astype(np.int64)
    assert found.predict(inputs_BT, found.initial_state(1))[0].device.type == "cuda"
    np.testing.assert_allclose(score_spans(found, ids, span), score_spans(expected, ids, span), atol=1e-3)
    tuned = [log_linear_weights(Predictions(each, ids, span), 2).weights_K for each in (found, expected)]
    np.testing.assert_allclose(*tuned, atol=1e-2)
