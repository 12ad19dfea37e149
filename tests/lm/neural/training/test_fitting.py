"""The training loop against loops written by hand: streams, seeds and validation."""

import dataclasses
import itertools
import math
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from rnnlm import registry
from rnnlm.config import SettingsLayer, resolve
from rnnlm.errors import RnnlmWarning
from rnnlm.events import Step, never
from rnnlm.lm.base import span_scoring
from rnnlm.lm.neural.trained_network import NeuralLanguageModel
from rnnlm.lm.neural.training import fitting
from rnnlm.lm.neural.training.choosing import follow_machine
from rnnlm.text.batches import stream_bounds
from rnnlm.text.encoding import TrainingData
from support.networks import same, steps_of_an_epoch

KEEP_WEIGHTS = {
    "optimizer": "sgd", "learning_rate": 1e-30, "clip_norm": None, "schedule": "constant",
    "warmup": 0.0,
}  # fmt: skip


def record(trainer):
    """Train. Return the losses and the numbers of targets of the steps, and the events."""
    losses, counts, step = [], [], trainer.step

    def recording(batch, carry, rate):
        counts.append(batch.count)
        loss, carry = step(batch, carry, rate)
        losses.append(loss.item())
        return loss, carry

    trainer.step = recording
    return losses, counts, list(trainer.train(never))


def weights_of(trainer):
    return {name: value.clone() for name, value in trainer.network.state_dict().items()}


def amplify(trainer):
    """Make weights so large that it matters which state a token is read from."""
    with torch.no_grad():
        for parameter in trainer.network.parameters():
            parameter.mul_(4)
    return trainer


def tbptt_by_hand(network, stream, rows, length, steps, peak, clip_norm):
    """Train by truncated BPTT as in any tutorial: AdamW, cosine decay, clipping by norm."""
    columns = len(stream) // rows
    inputs = torch.tensor([0, *stream[:-1]]).view(rows, columns).t()  # token 0 is the boundary
    targets = torch.tensor(stream).view(rows, columns).t()
    adam = {"betas": (0.9, 0.99), "weight_decay": 0.0, "foreach": False}
    optimizer = torch.optim.AdamW(network.parameters(), lr=peak, **adam)
    losses, state = [], None
    for step in range(steps):
        # The window, from a fresh state where the text begins again.
        start = step % math.ceil(columns / length) * length
        end = start + length
        if start == 0:
            state = network.initial_state(rows)
        features, state = network.features(inputs[start:end], state)
        logits = features @ network.tied_VE.t() + network.output.bias
        loss = F.cross_entropy(logits.flatten(0, 1), targets[start:end].flatten())

        # The gradients, clipped by their norm.
        gradients = torch.autograd.grad(loss, list(network.parameters()))
        norm = torch.sqrt(sum((gradient**2).sum() for gradient in gradients))
        for parameter, gradient in zip(network.parameters(), gradients, strict=True):
            parameter.grad = gradient * torch.clamp(clip_norm / norm, max=1.0)

        # The step, at a rate that falls like a cosine. The state loses its past.
        optimizer.param_groups[0]["lr"] = peak * (1 + math.cos(math.pi * step / steps)) / 2
        optimizer.step()
        state = tuple(part.detach() for part in state)
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("model", ["rnn", "gru", "lstm"])
def test_training_equals_a_tbptt_loop_written_by_hand(make_data, make_trainer, sentences, model):
    data = make_data(sentences[:24])
    rows = next(rows for rows in (5, 4, 3, 2) if data.train.tokens % rows == 0)
    settings = {"model": model, "layers": 2, "batch_rows": rows, "bptt_tokens": 16}
    settings |= {"warmup": 0.0, "learning_rate": 0.02, "clip_norm": 0.3}
    trainer, other = (make_trainer(data, budget="30steps", **settings) for _ in range(2))
    assert 30 > 2 * steps_of_an_epoch(trainer)  # epochs begin anew within it
    losses, _, _ = record(trainer)
    expected = tbptt_by_hand(other.network, data.train.ids.tolist(), rows, 16, 30, 0.02, 0.3)
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    for name, value in other.network.state_dict().items():
        torch.testing.assert_close(trainer.network.state_dict()[name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("starts", ["stream", "document", "line"])
def test_states_are_carried_in_streams_alone(make_data, make_trainer, sentences, rows, starts):
    """At each stream, document or line: what is trained on is what is scored in spans between."""
    lines = []
    for at, sentence in enumerate(sentences[:8]):
        lines += [sentence, ""] if at % 4 == 3 else [sentence]
    data = make_data(lines, documents=starts == "document")
    offsets = {"document": data.train.document_offsets, "line": data.train.line_offsets}
    places = offsets.get(starts, [])
    settings = {**KEEP_WEIGHTS, "line_starts": float(starts == "line"), "budget": "2epochs"}
    trainer = amplify(make_trainer(data, batch_rows=rows, bptt_tokens=7, **settings))
    losses, counts, _ = record(trainer)
    model = NeuralLanguageModel(trainer.network, data.tokenizer)

    def nats(cuts):
        spans = span_scoring.spans_between(cuts)
        scored = span_scoring.score_spans(model, data.train.ids, spans)
        return -scored.sum(dtype=np.float64)

    streams = stream_bounds(data.train.tokens, rows)
    expected = nats(np.unique(np.concatenate([streams, places])).astype(np.int64))
    assert sum(counts) == 2 * data.train.tokens
    assert np.dot(losses, counts) == pytest.approx(2 * expected, rel=1e-5)
    # it does make a difference here
    assert starts == "stream" or abs(nats(streams) - expected) > 1e-4 * expected


def test_state_is_reset_with_the_given_probability(make_data, make_trainer, sentences):
    data = make_data(sentences)

    def fresh(seed, **settings):
        trainer = make_trainer(data, batch_rows=8, bptt_tokens=5, seed=seed, **settings)
        windows = itertools.islice(trainer.source.windows(), 1, steps_of_an_epoch(trainer))
        return np.stack([window.fresh_B for _, window in windows])

    assert not fresh(1).any()
    drawn = fresh(1, state_reset=0.25)
    assert 0.15 < drawn.mean() < 0.35
    assert (drawn == fresh(1, state_reset=0.25)).all()
    assert (drawn != fresh(2, state_reset=0.25)).any()


def test_line_starts_differ_by_epoch_but_follow_seed(make_data, make_trainer, sentences):
    data = make_data(sentences[:60])

    def starts(seed, epochs_done=0.0):
        trainer = make_trainer(data, batch_rows=4, bptt_tokens=9, seed=seed, line_starts=0.25)
        found = set(), set()
        windows = trainer.source.windows(epochs_done)
        for done, window in itertools.takewhile(lambda each: each[0] <= 2, windows):
            found[done > 1].update(window.start_B[window.fresh_B].tolist())
        return found

    first, second = starts(1)
    assert first != second and (first, second) == starts(1) and starts(2)[0] != first
    assert starts(1, epochs_done=1.0)[1] == second  # a run that goes on draws the same lines


def test_dropout_still_acts_after_the_network_was_read(make_data, make_trainer, sentences):
    data = make_data(sentences[:10])
    trainer = make_trainer(data, batch_rows=2, dropout_output=0.9, **KEEP_WEIGHTS)
    trainer.network.eval()
    _, window = next(trainer.source.windows())
    batch, state = trainer.source.batch(window), trainer.network.initial_state(2)
    one, other = (trainer.step(batch, state, 1e-30)[0].item() for _ in range(2))
    assert one != other


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.soak)])
def test_the_seed_determines_the_weights(make_data, make_trainer, sentences, precision):
    data = make_data(sentences[:40], sentences[40:60])

    def train(seed):
        trainer = make_trainer(
            data, precision=precision, seed=seed, budget="12steps", batch_rows=4,
            validate_every_steps=5, layers=2, state_reset=0.1,
            dropout_input=0.2, dropout_between=0.2, dropout_output=0.2,
        )  # fmt: skip
        list(trainer.train(never))
        return weights_of(trainer)

    first = train(1)
    assert same(first, train(1))
    assert not same(first, train(2))


@pytest.mark.parametrize("lines, told, tokens", [
    (["a b c", "d e f"], "only 8 tokens: 4 parallel streams are used instead of 32", 8),
    (["a"], "the text has only 2 tokens", 2),
])  # fmt: skip
def test_a_short_text_gives_fewer_rows_with_notice(make_data, make_trainer, lines, told, tokens):
    with pytest.warns(RnnlmWarning, match=told):
        trainer = make_trainer(make_data(lines))
    *_, fitted = trainer.train(never)
    assert fitted.tokens == 10 * tokens and fitted.stopped == "budget"


def test_validation_equals_a_slow_loop_through_predict(make_data, make_trainer, sentences):
    data = make_data(sentences[:40], sentences[40:60])
    trainer = make_trainer(data, batch_rows=4, bptt_tokens=10)
    verdict = trainer.validation.run(0, never)
    model, ids = NeuralLanguageModel(trainer.network, data.tokenizer), data.valid.ids.tolist()
    streams = int(fitting.started(trainer, "lstm", data).validation.split(" streams")[0])
    assert streams > 1
    total, bounds = 0.0, stream_bounds(len(ids), streams)
    for start, end in itertools.pairwise(bounds.tolist()):
        state = model.initial_state(1)
        for at in range(start, end):
            given = ids[at - 1] if at else data.tokenizer.boundary_id
            logprob_11V, state = model.predict(np.array([[given]]), state)
            total += float(logprob_11V[0, 0, ids[at]])
    assert verdict.metric == pytest.approx(math.exp(-total / len(ids)), rel=1e-5)


def test_validation_leaves_weights_and_later_steps_unchanged(make_data, make_trainer, sentences):
    data = make_data(sentences[:40], sentences[40:60])

    def train(**settings):
        trainer = make_trainer(data, budget="9steps", batch_rows=4, dropout_output=0.3, **settings)
        trainer.best.cost = 0.0  # nothing improves on it: the last weights are handed back
        list(trainer.train(never))
        return weights_of(trainer)

    assert same(train(validate_every_steps=2), train(validate_every_steps=50))


def test_documents_are_validated_one_by_one(make_data, make_trainer, sentences):
    """As the exact evaluation reads them, so that the best weights are chosen on the same ones."""
    data = make_data(sentences[:40], sentences[40:60])
    offsets = np.append(data.valid.line_offsets[::4][:-1], len(data.valid.ids))
    documents = dataclasses.replace(data.valid, document_offsets=offsets)
    data = TrainingData(data.tokenizer, data.train, documents)
    trainer = amplify(make_trainer(data, batch_rows=4))
    model = NeuralLanguageModel(trainer.network, data.tokenizer)
    spans = span_scoring.spans_between(offsets)
    exact = span_scoring.score_spans(model, documents.ids, spans).mean()
    assert trainer.validation.run(0, never).metric == pytest.approx(math.exp(-exact))
    assert "document" in fitting.started(trainer, "lstm", data).validation


def test_reported_losses_are_means_per_token(make_data, make_trainer, sentences):
    data = make_data(sentences[:40], sentences[40:50])
    trainer = make_trainer(data, budget="2epochs", batch_rows=4, bptt_tokens=30)
    losses, counts, events = record(trainer)
    steps = [event for event in events if isinstance(event, Step)]
    ends = [event.step for event in steps]
    assert ends[-1] == trainer.step_count
    assert steps[-1].tokens == sum(counts) == 2 * data.train.tokens
    for start, event in zip([0, *ends], steps, strict=False):
        part = slice(start, event.step)
        expected = np.average(losses[part], weights=counts[part])
        assert event.loss_nats == pytest.approx(expected, rel=1e-5)
    assert steps[-1].epoch == pytest.approx(2.0)


def test_a_small_step_has_one_thread_and_the_next_run_as_many_as_before(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("PYTHON_CPU_COUNT", "2")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    threads = []
    lstm, data = registry.kind_of("lstm"), Mock(tokenizer=Mock(size=7000))
    small = {"hidden_size": 64, "embedding_size": 64, "loss": "sampled", "samples": 512}
    large = small | {"hidden_size": 512, "embedding_size": 512}
    medium = small | {"hidden_size": 300, "embedding_size": 300, "batch_rows": 20}
    for flags in [
        small | {"batch_rows": 20, "bptt_tokens": 35}, large | {"batch_rows": 20, "bptt_tokens": 35},
        large | {"batch_rows": 2, "bptt_tokens": 4}, small | {"threads": 2},
        small | {"batch_rows": 20, "bptt_tokens": 35}, medium | {"precision": "fp32"},
        medium | {"precision": "bf16"},
    ]:  # fmt: skip
        resolved = resolve(lstm.all_settings, [SettingsLayer("user", {"device": "cpu", **flags})])
        fitting.begin(follow_machine(lstm, resolved, data))
        threads.append(torch.get_num_threads())
        if "threads" in flags:
            torch.set_num_threads(2)
    fitting.give_threads_back()
    threads.append(torch.get_num_threads())
    torch.set_num_threads(before)
    assert threads == [1, 2, 1, 2, 1, 2, 1, 2]
