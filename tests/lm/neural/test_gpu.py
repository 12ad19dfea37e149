"""Language models, AWD-LSTM and CUDA graphs on the CPU and, with `pytest -m gpu`, on a GPU."""

import warnings

import numpy as np
import pytest
import torch

from rnnlm.errors import TrainingError
from rnnlm.events import RolledBack, Step, never
from rnnlm.lm.base.span_scoring import score_spans, whole_text
from rnnlm.lm.neural import network, words
from rnnlm.lm.neural.device import exact_products, memory_errors, training_products
from rnnlm.lm.neural.layers import layers as cells
from rnnlm.lm.neural.layers.kernels.choice import elman, gru, kernel_type, lstm
from rnnlm.lm.neural.trained_network import NeuralLanguageModel, from_arrays
from rnnlm.lm.neural.training.language_modelling import PerplexityValidation
from rnnlm.lm.neural.training.step import PLAIN_USES, GraphedStep
from rnnlm.lm.ngram.unigram import UnigramModel
from rnnlm.tools.mixtures import adapted_model as adapting
from rnnlm.tools.mixtures.adaptation import adapt
from rnnlm.tools.mixtures.dynamic_evaluation import gather_statistics
from rnnlm.tools.mixtures.mixture import Mixture
from support.devices import CUDA, NEEDS_BF16, ON_EACH_DEVICE, no_waits
from support.network_variants import VARIANTS
from support.networks import as_stored

pytestmark = [pytest.mark.long, pytest.mark.needs("tools/mixtures")]

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


AWD = {
    "model": "lstm", "layers": 3, "layer_sizes": "50,50,24", "embedding_size": 24, "tied": True,
    "weight_drop": 0.5, "locked_dropout": True, "dropout_embedding": 0.1, "dropout_input": 0.4,
    "dropout_between": 0.25, "dropout_output": 0.4, "activation_penalty": 2.0,
    "temporal_penalty": 1.0, "optimizer": "sgd", "clip_norm": 0.25, "weight_decay": 1.2e-6,
}  # fmt: skip
DROPPING = ["weight_drop", *(name for name in AWD if name.startswith("dropout_"))]
WITHOUT_DROPPING = AWD | dict.fromkeys(DROPPING, 0.0)


@pytest.fixture
def same_masks(monkeypatch):
    """Make dropout draw equal masks on each device. Return a function that starts over."""
    calls = [0]

    def dropout(x_TBE, p, training, locked=False):
        if not training or p == 0:
            return x_TBE
        calls[0] += 1
        shape = (1, *x_TBE.shape[1:]) if locked else x_TBE.shape
        kept = torch.rand(shape, generator=torch.Generator().manual_seed(calls[0])) >= p
        return x_TBE * (kept / (1 - p)).to(x_TBE)

    for module in (cells, network, words):
        monkeypatch.setattr(module, "dropout", dropout)
    return lambda: calls.__setitem__(0, 0)


def steps(trainer, count, rate=1.0):
    """Take `count` steps, and return their losses."""
    state, losses = trainer.network.initial_state(trainer.source.rows), []
    for _, (_, window) in zip(range(count), trainer.source.windows(), strict=False):
        loss, state = trainer.step(trainer.source.batch(window), state, rate)
        losses.append(loss.clone())
    return torch.stack(losses).cpu()


def weights_of(trainer):
    return {name: tensor.cpu() for name, tensor in trainer.network.state_dict().items()}


@ON_EACH_DEVICE
def test_awd_steps_equal_the_cpus_given_equal_masks(data, make_trainer, same_masks, device):
    found = []
    for name in ("cpu", device):
        same_masks()
        trainer = make_trainer(data, device=name, **AWD)
        torch.manual_seed(len(found))  # devices draw other numbers from one seed
        with exact_products():
            found.append((steps(trainer, 3), weights_of(trainer)))
    torch.testing.assert_close(found[1], found[0], atol=1e-3, rtol=1e-3)


@ON_EACH_DEVICE
def test_awd_in_bf16_is_near_fp32(data, make_trainer, same_masks, device):
    losses = {}
    for precision in ("fp32", "bf16"):
        same_masks()
        losses[precision] = steps(make_trainer(data, device=device, precision=precision, **AWD), 10)
    torch.testing.assert_close(losses["bf16"], losses["fp32"], atol=0.03, rtol=0)


@ON_EACH_DEVICE
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("E, H", [(16, 32), (20, 50), (400, 1150)])
@pytest.mark.parametrize("kind", ["lstm", "gru", "tanh", "relu"])
def test_cudnn_takes_the_flat_weights_as_they_are(kind, E, H, precision, device):
    gates = {"lstm": 4, "gru": 3}.get(kind, 1)
    shapes = [(7, 4, E), (4, H), (gates * H, E), (gates * H, H), (gates * H,)]
    drawn = (torch.randn(shape, device=device, requires_grad=True) for shape in shapes)
    x_TBE, h_BH, *weights = drawn
    with (
        warnings.catch_warnings(action="error"),
        training_products(precision, torch.device(device)),
    ):
        if kind == "lstm":
            y_TBH, _ = lstm(x_TBE, h_BH, h_BH, *weights)
        elif kind == "gru":
            y_TBH = gru(x_TBE, h_BH, *weights, weights[-1], "keep")
        else:
            y_TBH = elman(x_TBE, h_BH, *weights, kind)
        y_TBH.sum().backward()
    assert y_TBH.dtype == torch.float32 and all(weight.grad.isfinite().all() for weight in weights)


@ON_EACH_DEVICE
def test_bf16_products_are_cudnns_where_it_has_them(device):
    has_bf16 = torch.__version__ >= "2.10" and device == "cuda"
    has_bf16 = has_bf16 and torch.backends.cudnn.version() >= 91300
    with training_products("bf16", torch.device(device)):
        expected = torch.bfloat16 if has_bf16 else torch.float32
        assert kernel_type(torch.ones(1, device=device)) == expected


@pytest.mark.parametrize("device", [pytest.param("cpu", marks=NEEDS_BF16), CUDA])
def test_autocast_to_bf16_never_runs_layers_in_fp16(data, make_trainer, monkeypatch, device):
    """As torch's own autocast of cuDNN's layers does: there is no loss scaling here."""
    types, torchs_lstm = [], torch.lstm

    def watched(x_TBE, *rest):
        is_cast = torch.is_autocast_enabled(device)
        types.append((x_TBE.dtype, device == "cuda" and is_cast))
        return torchs_lstm(x_TBE, *rest)

    monkeypatch.setattr(torch, "lstm", watched)
    own = {"precision": "bf16", "characters": "lstm", "characters_beside": True}
    steps(make_trainer(data, device=device, **own), 1)
    assert len(types) >= 3  # two readers of characters and the layer
    assert {is_cast for _, is_cast in types} == {False}
    assert torch.float16 not in {dtype for dtype, _ in types}


EVERYTHING = {
    "layers": 2, "dropout_input": 0.1, "dropout_between": 0.1, "dropout_output": 0.1,
    "clip_value": 1.0, "l1": 1e-6, "l2": 1e-6,
}  # fmt: skip
STEPS = [(EVERYTHING | {"optimizer": name, "ema_decay": None if name == "asgd" else 0.9}, False)
         for name in ("adamw", "adam", "sgd", "asgd", "adagrad", "rmsprop")]  # fmt: skip
STEPS += [(AWD | more, graphs) for more in ({}, {"optimizer": "asgd", "ema_decay": None},
                                            {"optimizer": "adamw", "ema_decay": 0.9})
          for graphs in (False, True)]  # fmt: skip


@ON_EACH_DEVICE
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("settings, cuda_graphs", STEPS, ids=str)
def test_a_training_step_never_waits_for_the_device(
    data, make_trainer, graphs_on_cpu, precision, settings, cuda_graphs, device
):
    own = {"precision": precision, "cuda_graphs": cuda_graphs, "state_reset": 0.2, **settings}
    trainer = make_trainer(data, device=device, **own)
    steps(trainer, PLAIN_USES + 2)  # kernels are loaded, and the iteration is recorded
    state = trainer.network.initial_state(trainer.source.rows)
    windows = [window for _, (_, window) in zip(range(4), trainer.source.windows(), strict=False)]
    with no_waits(device):
        for window in windows:
            loss, state = trainer.step(trainer.source.batch(window), state, 0.01)
    assert loss.isfinite()


@ON_EACH_DEVICE
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("optimizer", [
    {"optimizer": "sgd", "momentum": 0.9}, {"optimizer": "asgd"}, {"optimizer": "adam"},
    {"optimizer": "adamw"},
], ids=str)  # fmt: skip
def test_recorded_training_equals_plain_training(
    make_data, make_trainer, sentences, graphs_on_cpu, optimizer, precision, device
):
    data, found = make_data(sentences, sentences[:20]), {}
    own = {"bptt_tokens": 6, "validate_every_steps": 15, "learning_rate": 0.01, "budget": "45steps"}
    settings = WITHOUT_DROPPING | optimizer | own | {"precision": precision, "device": device}
    for cuda_graphs in (False, True):
        trainer = make_trainer(data, cuda_graphs=cuda_graphs, **settings)
        *_, fitted = trainer.train(lambda: False)
        found[cuda_graphs] = fitted.best_ppl_token, weights_of(trainer)
    assert isinstance(trainer.update, GraphedStep) and trainer.update.graphs
    torch.testing.assert_close(found[True], found[False], atol=1e-3, rtol=1e-3)


@ON_EACH_DEVICE
def test_masks_are_drawn_anew_in_each_replay(data, make_trainer, graphs_on_cpu, device):
    trainer = make_trainer(data, device=device, cuda_graphs=True, **AWD)
    _, window = next(trainer.source.windows())
    state, batch = trainer.network.initial_state(trainer.source.rows), trainer.source.batch(window)
    losses = [float(trainer.step(batch, state, 0.0)[0]) for _ in range(PLAIN_USES + 5)]
    assert len(set(losses)) == len(losses)


@ON_EACH_DEVICE
@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_every_variant_can_be_recorded(data, make_trainer, graphs_on_cpu, settings, device):
    own = {"cuda_graphs": True, "budget": "12steps", "bptt_tokens": 6, "dropout_output": 0.1}
    trainer = make_trainer(data, device=device, **own, **settings)
    *_, fitted = trainer.train(lambda: False)
    assert trainer.update.graphs and fitted.stopped == "budget"


@ON_EACH_DEVICE
def test_our_own_cells_are_recorded_and_learn(
    make_data, make_trainer, sentences, graphs_on_cpu, eager_snapshots, device
):
    own = {
        "budget": "120steps", "bptt_tokens": 20, "bptt_deviation": 4.0, "batch_rows": 8,
        "learning_rate": 0.05, "model": "rnn", "activation": "sigmoid",
    }  # fmt: skip
    trainer = make_trainer(make_data(sentences[:60]), device=device, **own)
    first, *_, last = (event for event in trainer.train(lambda: False) if isinstance(event, Step))
    assert trainer.update.graphs and last.loss_nats < first.loss_nats - 0.1


@ON_EACH_DEVICE
def test_running_out_of_memory_gives_a_hint(device):
    hint = f"out of memory on {device}.*lower hidden_size"
    with pytest.raises(TrainingError, match=hint), memory_errors(torch.device(device)):
        torch.empty(1 << 50, device=device)
    assert torch.ones(1, device=device).item() == 1
