"""The training loop against loops written by hand, and what it promises of budgets, seeds, states and best weights."""

import dataclasses
import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from rnnlm.errors import RnnlmWarning, SettingsError, TextError
from rnnlm.events import Fitted, Started, Step, Validated
from rnnlm.inference import span_scoring
from rnnlm.neural.device import has_native_bf16
from rnnlm.neural.fitting import budget, fitting, language_modelling
from rnnlm.neural.fitting import state as state_module
from rnnlm.neural.fitting.step import restart_rows
from rnnlm.neural.language_model import NeuralLanguageModel
from rnnlm.text.batches import stream_bounds
from rnnlm.text.encoding import TrainingData
from rnnlm.training.plan import Request, plan

KEEP_WEIGHTS = {"optimizer": "sgd", "learning_rate": 1e-30, "clip_norm": None, "schedule": "constant", "warmup": 0.0}
needs_bf16 = pytest.mark.skipif(not has_native_bf16(torch.device("cpu")), reason="this CPU has no bf16 products")


def never() -> bool:
    return False


def record(trainer):
    """Losses and numbers of targets of the steps, as they come."""
    losses, counts, step = [], [], trainer.step

    def recording(batch, carry, rate):
        counts.append(batch.count)
        loss, carry = step(batch, carry, rate)
        losses.append(loss.item())
        return loss, carry

    trainer.step = recording
    return losses, counts


def steps_of_an_epoch(trainer):
    return 1 + sum(1 for _ in itertools.takewhile(lambda each: each[0] < 1, trainer.source.windows()))


def weights_of(trainer):
    return {name: value.clone() for name, value in trainer.network.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def amplify(trainer):
    """Weights so large that it matters which state a token is read from."""
    with torch.no_grad():
        for parameter in trainer.network.parameters():
            parameter.mul_(4)
    return trainer


def script_validations(monkeypatch, perplexities):
    """Validations find these perplexities, one after the other."""
    values = iter(perplexities)
    monkeypatch.setattr(language_modelling, "_perplexity", lambda *_: next(values))


# ---- against loops written by hand


def tbptt_by_hand(network, stream, rows, length, steps, peak, clip_norm):
    """Truncated BPTT as in any tutorial: streams in columns, windows down, AdamW, cosine decay, clipping by norm."""
    columns = len(stream) // rows
    inputs = torch.tensor([0, *stream[:-1]]).view(rows, columns).t()  # token 0 is the boundary
    targets = torch.tensor(stream).view(rows, columns).t()
    optimizer = torch.optim.AdamW(network.parameters(), lr=peak, betas=(0.9, 0.99), weight_decay=0.0, foreach=False)
    losses, state = [], None
    for step in range(steps):
        start = step % math.ceil(columns / length) * length
        if start == 0:
            state = network.initial_state(rows)
        features, state = network.features(inputs[start : start + length], state)
        logits = features @ network.tied_VE.t() + network.output.bias
        loss = F.cross_entropy(logits.flatten(0, 1), targets[start : start + length].flatten())
        gradients = torch.autograd.grad(loss, list(network.parameters()))
        norm = torch.sqrt(sum((gradient**2).sum() for gradient in gradients))
        for parameter, gradient in zip(network.parameters(), gradients, strict=True):
            parameter.grad = gradient * torch.clamp(clip_norm / norm, max=1.0)
        optimizer.param_groups[0]["lr"] = peak * (1 + math.cos(math.pi * step / steps)) / 2
        optimizer.step()
        state = tuple(part.detach() for part in state)
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("model", ["rnn", "gru", "lstm"])
def test_training_equals_a_tbptt_loop_written_by_hand(make_data, make_trainer, sentences, model):
    data = make_data(sentences[:40])
    rows = next(rows for rows in (5, 4, 3, 2) if data.train.tokens % rows == 0)
    settings = {"model": model, "layers": 2, "batch_rows": rows, "bptt_tokens": 16, "warmup": 0.0, "learning_rate": 0.02, "clip_norm": 0.3}
    trainer, other = (make_trainer(data, budget="60steps", **settings) for _ in range(2))
    assert 60 > 2 * steps_of_an_epoch(trainer)  # epochs begin anew within it
    losses, _ = record(trainer)
    list(trainer.train(never))
    expected = tbptt_by_hand(other.network, data.train.ids.tolist(), rows, 16, 60, 0.02, 0.3)
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    for name, value in other.network.state_dict().items():
        torch.testing.assert_close(trainer.network.state_dict()[name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("model", ["rnn", "gru", "lstm"])
def test_a_small_text_is_learned_by_heart(make_data, make_trainer, sentences, model):
    trainer = make_trainer(make_data(sentences[:4]), model=model, budget="400steps", batch_rows=1, learning_rate=0.02, hidden_size=32)
    losses, _ = record(trainer)
    list(trainer.train(never))
    assert losses[0] > 2 and losses[-1] < 0.3 * losses[0]


def test_one_window_over_the_text_is_plain_bptt(make_data, make_trainer, sentences):
    data = make_data(sentences[:4])
    trainer = make_trainer(data, batch_rows=1, bptt_tokens=100_000, **KEEP_WEIGHTS)
    (_, window), state = next(trainer.source.windows()), trainer.network.initial_state(1)
    loss, _ = trainer.step(trainer.source.batch(window), state, 1e-30)
    network, total, token = trainer.network, 0.0, 0
    for target in data.train.ids.tolist():
        features, state = network.features(torch.tensor([[token]]), state)
        logits = features[0] @ network.tied_VE.t() + network.output.bias
        total, token = total - torch.log_softmax(logits, dim=1)[0, target], target
    unrolled = total / data.train.tokens
    assert loss.item() == pytest.approx(unrolled.item(), abs=1e-5)
    names, parameters = zip(*network.named_parameters(), strict=True)
    for name, gradient, parameter in zip(names, torch.autograd.grad(unrolled, parameters), parameters, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-6, msg=name)


def test_gradients_stop_at_the_window(make_data, make_trainer, sentences):
    trainer = make_trainer(make_data(sentences[:10]), batch_rows=2, bptt_tokens=5)
    _, window = next(trainer.source.windows())
    _, state = trainer.step(trainer.source.batch(window), trainer.network.initial_state(2), 0.01)
    assert not any(part.requires_grad for part in state)


# ---- every token once, from the right state


def test_an_epoch_reads_every_token_once_in_order(make_data, make_trainer, sentences):
    data = make_data(sentences[:30])
    trainer = make_trainer(data, batch_rows=7, bptt_tokens=11)
    rows = [[] for _ in range(7)]
    for _, window in itertools.islice(trainer.source.windows(), steps_of_an_epoch(trainer)):
        inputs_TB, targets_TB = trainer.source.batch(window).tensors
        for row, (inputs, targets) in enumerate(zip(inputs_TB.t().tolist(), targets_TB.t().tolist(), strict=True)):
            rows[row] += [pair for pair in zip(inputs, targets, strict=True) if pair[1] != -1]
    pairs = list(itertools.chain(*rows))
    ids = data.train.ids.tolist()
    assert [target for _, target in pairs] == ids
    assert [given for given, _ in pairs] == [data.tokenizer.boundary_id, *ids[:-1]]
    assert max(map(len, rows)) - min(map(len, rows)) <= 1


@pytest.mark.parametrize("rows", [1, 3])
def test_state_is_carried_within_streams_and_starts_anew_with_each(make_data, make_trainer, sentences, rows):
    data = make_data(sentences[:30])
    trainer = amplify(make_trainer(data, batch_rows=rows, bptt_tokens=7, budget="2epochs", **KEEP_WEIGHTS))
    losses, counts = record(trainer)
    list(trainer.train(never))
    model = NeuralLanguageModel(trainer.network, data.tokenizer)
    spans = span_scoring.spans_between(stream_bounds(data.train.tokens, rows))
    expected = -span_scoring.score_spans(model, data.train.ids, spans).sum(dtype=np.float64)
    assert sum(counts) == 2 * data.train.tokens
    assert np.dot(losses, counts) == pytest.approx(2 * expected, rel=1e-5)


@pytest.mark.parametrize("rows", [1, 3])
def test_state_starts_anew_at_each_document(make_data, make_trainer, sentences, rows):
    lines = [line for at, sentence in enumerate(sentences[:30]) for line in ([sentence, ""] if at % 4 == 3 else [sentence])]
    data = make_data(lines, documents=True)
    borders = data.train.document_offsets
    assert len(borders) == 9
    trainer = amplify(make_trainer(data, batch_rows=rows, bptt_tokens=7, budget="1epochs", **KEEP_WEIGHTS))
    losses, counts = record(trainer)
    list(trainer.train(never))
    model = NeuralLanguageModel(trainer.network, data.tokenizer)
    cuts = np.unique(np.concatenate([borders, stream_bounds(data.train.tokens, rows)]))
    expected = -span_scoring.score_spans(model, data.train.ids, span_scoring.spans_between(cuts)).sum(dtype=np.float64)
    assert sum(counts) == data.train.tokens
    assert np.dot(losses, counts) == pytest.approx(expected, rel=1e-5)
    carried = -span_scoring.score_spans(model, data.train.ids, span_scoring.whole_text(data.train.ids)).sum(dtype=np.float64)
    assert abs(carried - expected) > 1e-4 * expected  # it does make a difference here


def test_state_reset_makes_rows_fresh_with_the_chance_asked_for(make_data, make_trainer, sentences):
    data = make_data(sentences)

    def fresh(seed, **settings):
        trainer = make_trainer(data, batch_rows=8, bptt_tokens=5, seed=seed, **settings)
        return np.stack([window.fresh_B for _, window in itertools.islice(trainer.source.windows(), 1, steps_of_an_epoch(trainer))])

    assert not fresh(1).any()
    drawn = fresh(1, state_reset=0.25)
    assert 0.15 < drawn.mean() < 0.35
    assert (drawn == fresh(1, state_reset=0.25)).all()
    assert (drawn != fresh(2, state_reset=0.25)).any()


@pytest.mark.parametrize("rows", [1, 3])
def test_with_all_line_starts_lines_are_read_as_sentences_that_are_scored_alone(make_data, make_trainer, sentences, rows):
    data = make_data(sentences[:30])
    trainer = amplify(make_trainer(data, batch_rows=rows, bptt_tokens=7, budget="1epochs", line_starts=1.0, **KEEP_WEIGHTS))
    losses, counts = record(trainer)
    list(trainer.train(never))
    model = NeuralLanguageModel(trainer.network, data.tokenizer)
    cuts = np.unique(np.concatenate([data.train.line_offsets, stream_bounds(data.train.tokens, rows)]))
    expected = -span_scoring.score_spans(model, data.train.ids, span_scoring.spans_between(cuts)).sum(dtype=np.float64)
    assert sum(counts) == data.train.tokens
    assert np.dot(losses, counts) == pytest.approx(expected, rel=1e-5)


def test_lines_that_begin_anew_are_drawn_afresh_in_each_epoch_and_the_same_by_the_same_seed(make_data, make_trainer, sentences):
    data = make_data(sentences[:60])

    def starts(seed, epochs_done=0.0):
        trainer = make_trainer(data, batch_rows=4, bptt_tokens=9, seed=seed, line_starts=0.25)
        epochs = itertools.takewhile(lambda found: found[0] <= 2, trainer.source.windows(epochs_done))
        drawn = [(done, int(start)) for done, window in epochs for start in window.start_B[window.fresh_B]]
        return {start for done, start in drawn if done <= 1}, {start for done, start in drawn if done > 1}

    first, second = starts(1)
    assert first != second and (first, second) == starts(1) and starts(2)[0] != first
    assert starts(1, epochs_done=1.0)[1] == second  # a run that goes on draws the same lines


def test_fresh_rows_read_from_zeros_and_the_others_from_their_state(make_data, make_trainer, sentences):
    trainer = make_trainer(make_data(sentences[:30]), batch_rows=3)
    state = tuple(torch.randn_like(part) for part in trainer.network.initial_state(3))
    for before, after in zip(state, restart_rows(state, torch.tensor([[[False], [True], [False]]])), strict=True):
        assert not after[:, 1].any()
        assert torch.equal(after[:, [0, 2]], before[:, [0, 2]])


def test_a_step_trains_with_dropout_even_after_the_network_was_read(make_data, make_trainer, sentences):
    trainer = make_trainer(make_data(sentences[:10]), batch_rows=2, dropout_output=0.9, **KEEP_WEIGHTS)
    trainer.network.eval()
    _, window = next(trainer.source.windows())
    losses = [trainer.step(trainer.source.batch(window), trainer.network.initial_state(2), 1e-30)[0].item() for _ in range(2)]
    assert losses[0] != losses[1]


# ---- seeds


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=needs_bf16)])
def test_same_seed_gives_the_same_weights_and_another_seed_others(make_data, make_trainer, sentences, precision):
    data = make_data(sentences[:40], sentences[40:60])

    def train(seed):
        trainer = make_trainer(
            data, precision=precision, seed=seed, budget="12steps", batch_rows=4, validate_every_steps=5, layers=2, state_reset=0.1,
            dropout_input=0.2, dropout_between=0.2, dropout_output=0.2,
        )  # fmt: skip
        list(trainer.train(never))
        return weights_of(trainer)

    first = train(1)
    assert same(first, train(1))
    assert not same(first, train(2))


# ---- budgets and endings


def test_a_budget_in_steps_ends_after_so_many(make_data, make_trainer, sentences):
    data = make_data(sentences[:40], sentences[40:50])
    trainer = make_trainer(data, budget="7steps", batch_rows=4)
    *_, last_validation, fitted = trainer.train(never)
    assert isinstance(last_validation, Validated) and last_validation.step == 7
    assert last_validation.epoch == pytest.approx(fitted.tokens / data.train.tokens)
    assert (fitted.steps, fitted.stopped) == (7, "budget")


@pytest.mark.parametrize("epochs", [0.5, 1, 3])
def test_a_budget_in_epochs_reads_the_text_so_often(make_data, make_trainer, sentences, epochs):
    data = make_data(sentences[:40])
    trainer = make_trainer(data, budget=f"{epochs}epochs", batch_rows=4, bptt_tokens=10)
    *_, fitted = trainer.train(never)
    assert fitted.steps == math.ceil(epochs * steps_of_an_epoch(trainer))
    assert fitted.tokens == pytest.approx(epochs * data.train.tokens, abs=4 * 10)


def test_a_budget_in_time_ends_in_time_with_a_last_validation(make_data, make_trainer, sentences, monkeypatch):
    clock = itertools.count(step=0.01)
    monkeypatch.setattr(budget, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    trainer = make_trainer(make_data(sentences[:40], sentences[40:50]), budget="2s", batch_rows=4)
    events = list(trainer.train(never))
    assert isinstance(events[-2], Validated) and events[-2].step == events[-1].steps
    assert events[-1].stopped == "budget"
    assert 1.8 < events[-1].seconds <= 2.1
    assert trainer.schedule.at(1.0) == 0.0 and trainer.optimizer.param_groups[0]["lr"] < 0.001


def test_a_long_budget_in_time_is_validated_within_minutes(make_data, make_trainer, sentences, monkeypatch):
    """The first validation is the first time a model is saved: a night's run is not to lose hours."""
    clock = itertools.count(step=1)
    monkeypatch.setattr(budget, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    trainer = make_trainer(make_data(sentences[:40], sentences[40:50]), budget="10h", batch_rows=4)
    first = next(event for event in trainer.train(never) if isinstance(event, Validated))
    assert 100 < first.seconds < 150


def test_early_stopping_ends_after_validations_without_improvement(make_data, make_trainer, sentences, monkeypatch):
    script_validations(monkeypatch, [90.0, 80.0, 85.0, 80.0, 79.0])
    trainer = make_trainer(make_data(sentences[:40], sentences[40:50]), budget="100steps", validate_every_steps=3, patience=2, batch_rows=4)
    events = list(trainer.train(never))
    validated = [event for event in events if isinstance(event, Validated)]
    assert [(event.step, event.improved) for event in validated] == [(3, True), (6, True), (9, False), (12, False)]
    assert [event.best_ppl_token for event in validated] == [90, 80, 80, 80]
    fitted = events[-1]
    assert (fitted.stopped, fitted.step, fitted.steps, fitted.best_ppl_token) == ("early", 6, 12, 80)


def test_the_model_handed_back_has_the_best_weights_not_the_last(make_data, make_trainer, sentences, monkeypatch):
    script_validations(monkeypatch, [90.0, 80.0, 85.0, 86.0])
    trainer = make_trainer(make_data(sentences[:40], sentences[40:50]), budget="12steps", validate_every_steps=3, batch_rows=4)
    seen = {}
    for event in trainer.train(never):
        if isinstance(event, Validated):
            seen[event.step] = weights_of(trainer)
    assert event.step == 6 and same(dict(event.model.network.state_dict()), seen[6])
    assert not same(seen[6], seen[12])


def test_without_validation_the_last_weights_are_handed_back(make_data, make_trainer, sentences):
    trainer = make_trainer(make_data(sentences[:40]), budget="5steps", batch_rows=4)
    *_, fitted = trainer.train(never)
    assert (fitted.step, fitted.steps, fitted.best_ppl_token) == (5, 5, None)
    assert same(dict(fitted.model.network.state_dict()), weights_of(trainer))


def test_plateau_halves_the_rate_when_validation_does_not_improve(make_data, make_trainer, sentences, monkeypatch):
    script_validations(monkeypatch, [90.0, 95.0, 80.0, 81.0, 82.0])
    trainer = make_trainer(
        make_data(sentences[:40], sentences[40:50]), budget="10steps", validate_every_steps=2, batch_rows=4,
        schedule="plateau", warmup=0.0, learning_rate=0.008,
    )  # fmt: skip
    rates, step = [], trainer.step
    trainer.step = lambda batch, carry, rate: rates.append(rate) or step(batch, carry, rate)
    list(trainer.train(never))
    assert rates == [0.008] * 4 + [0.004] * 4 + [0.002] * 2


def test_step_lowers_the_rate_epoch_by_epoch(make_data, make_trainer, sentences):
    trainer = make_trainer(
        make_data(sentences[:20]), budget="4epochs", batch_rows=4, schedule="step", warmup=0.0, learning_rate=0.08,
        decay_after_epochs=2, decay_factor=0.5,
    )  # fmt: skip
    rates, step = [], trainer.step
    trainer.step = lambda batch, carry, rate: rates.append(rate) or step(batch, carry, rate)
    list(trainer.train(never))
    epoch = steps_of_an_epoch(trainer)
    assert epoch > 1 and rates == [0.08] * 2 * epoch + [0.04] * epoch + [0.02] * epoch


@pytest.mark.parametrize("settings, goes_back", [
    ({"schedule": "plateau", "return_to_best": True}, True), ({"schedule": "plateau"}, False), ({"schedule": "halving"}, True),
])  # fmt: skip
def test_weights_go_back_to_the_best_ones_and_training_goes_on_from_there(
    make_data, make_trainer, sentences, monkeypatch, settings, goes_back
):
    script_validations(monkeypatch, [90.0, 95.0, 80.0])
    trainer = make_trainer(
        make_data(sentences[:40], sentences[40:50]), budget="6steps", validate_every_steps=2, batch_rows=4, warmup=0.0, **settings
    )
    at_validation, before_step, step = {}, {}, trainer.step

    def recording(batch, carry, rate):
        before_step[trainer.step_count] = weights_of(trainer)
        return step(batch, carry, rate)

    trainer.step = recording
    for event in trainer.train(never):
        if isinstance(event, Validated):
            at_validation[event.step] = weights_of(trainer)
    assert same(before_step[4], at_validation[2]) == goes_back
    assert same(dict(event.model.network.state_dict()), at_validation[6])  # going on, it found better ones


def test_halving_stops_early_when_it_is_used_up(make_data, make_trainer, sentences, monkeypatch):
    script_validations(monkeypatch, [200.0, 150.0, 149.9, 140.0, 139.9, 120.0])
    trainer = make_trainer(
        make_data(sentences[:40], sentences[40:50]), budget="100steps", validate_every_steps=2, batch_rows=4, warmup=0.0,
        learning_rate=0.008, schedule="halving", optimizer="sgd",
    )  # fmt: skip
    rates, step = [], trainer.step
    trainer.step = lambda batch, carry, rate: rates.append(rate) or step(batch, carry, rate)
    *_, fitted = trainer.train(never)
    assert (fitted.stopped, fitted.steps, fitted.step) == ("early", 10, 10)
    assert rates == [0.008] * 6 + [0.004] * 2 + [0.002] * 2


def test_a_request_to_stop_ends_it_with_the_best_weights(make_data, make_trainer, sentences, monkeypatch):
    script_validations(monkeypatch, [90.0, 95.0])
    trainer = make_trainer(make_data(sentences[:40], sentences[40:50]), budget="100steps", validate_every_steps=2, batch_rows=4)
    *_, fitted = trainer.train(lambda: trainer.step_count >= 5)
    assert (fitted.stopped, fitted.step, fitted.steps) == ("request", 2, 5)


def test_the_last_validation_cut_off_is_made_up_for_when_the_run_goes_on(make_data, make_trainer, sentences):
    """Its weights may be the best ones."""
    data = make_data(sentences[:40], sentences[:40])
    settings = {"budget": "10steps", "validate_every_steps": 4, "batch_rows": 4, "bptt_tokens": 12, "learning_rate": 0.02}
    *_, whole = make_trainer(data, **settings).train(never)
    assert whole.step == 10
    trainer, later = make_trainer(data, **settings), make_trainer(data, **settings)
    *_, cut = trainer.train(lambda: trainer.step_count == 10)
    assert (cut.stopped, cut.step, cut.steps) == ("request", 8, 10)
    state_module.load_state_dict(later, cut.state)
    *_, validated, fitted = later.train(never)
    assert (validated.step, fitted.stopped, fitted.step) == (10, "budget", 10)
    assert fitted.best_ppl_token == whole.best_ppl_token < cut.best_ppl_token


@pytest.mark.parametrize("valid", [True, False])
def test_a_diverging_run_says_so_and_keeps_the_best_weights(make_data, make_trainer, sentences, valid):
    data = make_data(sentences[:40], sentences[40:50] if valid else None)
    settings = {"optimizer": "sgd", "clip_norm": None, "schedule": "constant", "warmup": 0.0, "batch_rows": 4}
    trainer = make_trainer(data, budget="200steps", validate_every_steps=1, learning_rate=1e-6, **settings)
    trainer.schedule.factor = 1.0 if valid else 1e38  # with validation, the first one is still good
    good = None
    for event in trainer.train(never):
        if isinstance(event, Validated) and event.improved and math.isfinite(event.ppl_token):
            good = weights_of(trainer)
        trainer.schedule.factor = 1e38
    assert isinstance(event, Fitted) and event.stopped == "diverged"
    assert event.steps < 200 or not valid
    if valid:
        assert same(dict(event.model.network.state_dict()), good)


def test_weights_that_are_no_numbers_after_the_last_step_are_noticed(make_data, make_trainer, sentences):
    trainer = make_trainer(
        make_data(sentences[:40]), budget="1steps", optimizer="sgd", learning_rate=1e300, clip_norm=None, schedule="constant", warmup=0.0
    )  # fmt: skip
    *_, fitted = trainer.train(never)
    assert fitted.stopped == "diverged"


def losing(trainer, loss, after):
    """The losses of its steps are `loss` from the step `after` on, as if the weights were lost."""
    step = trainer.step

    def wrapped(batch, carry, rate):
        found, state = step(batch, carry, rate)
        return torch.full_like(found, loss) if trainer.step_count > after else found, state

    trainer.step = wrapped


@pytest.mark.parametrize(
    "loss, steps, why", [(math.nan, 11, "not a number"), (300.0, 12, "300.0 nats per token by step 12; a uniform guess")]
)
@pytest.mark.parametrize("rollbacks", [0, 1])
def test_without_validation_a_diverging_run_hands_back_the_last_good_weights(
    make_data, make_trainer, sentences, eager_snapshots, loss, steps, why, rollbacks
):
    trainer = make_trainer(make_data(sentences[:40]), budget="50steps", batch_rows=4, rollbacks=rollbacks)
    losing(trainer, loss, after=10)
    seen = {}
    for event in trainer.train(never):
        if isinstance(event, Step):
            seen.setdefault(event.step, weights_of(trainer))
    assert (event.stopped, event.steps, event.best_ppl_token) == ("diverged", steps, None)
    assert event.step == 10 and same(dict(event.model.network.state_dict()), seen[10])
    assert why in event.facts["divergence"] and ("gone back once" in event.facts["divergence"]) == bool(rollbacks)


WILD = {"optimizer": "sgd", "learning_rate": 1e9, "clip_norm": None, "schedule": "constant", "warmup": 0.0}


@pytest.mark.parametrize(
    "output", [{}, {"output_layer": "adaptive", "cutoffs": "4"}, {"output_layer": "class"}, {"output_layer": "hierarchical"}], ids=str
)
def test_a_short_run_that_ends_far_above_the_uniform_guess_is_lost(make_data, make_trainer, sentences, output):
    *_, event = make_trainer(make_data(sentences[:40]), budget="9steps", tied=None, **WILD, **output).train(never)
    assert (event.stopped, event.step) == ("diverged", 0) and event.facts["divergence"]


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
def test_a_run_on_noise_words_is_lost_where_validations_say_so_and_not_by_its_loss(make_data, make_trainer, sentences, monkeypatch):
    data = make_data(sentences[:20], sentences[20:30])
    noise = {"loss": "nce", "samples": 9, "validate_every_steps": 2}
    script_validations(monkeypatch, [50.0, 1e30, 1e31, 1.0])
    *_, event = make_trainer(data, budget="20steps", **noise, rollbacks=0).train(never)
    assert (event.stopped, event.step, event.steps) == ("diverged", 2, 6) and "validation text has 71.4 nats" in event.facts["divergence"]
    script_validations(monkeypatch, [50.0, 49.0])
    trainer = make_trainer(data, budget="4steps", **noise)
    losing(trainer, 300.0, after=0)
    *reports, event = trainer.train(never)
    assert max(progress.loss_nats for progress in reports if isinstance(progress, Step)) > trainer.divergence.limit
    assert event.stopped == "budget"


def test_a_text_shorter_than_one_batch_gives_fewer_rows_and_says_so(make_data, make_trainer):
    with pytest.warns(RnnlmWarning, match="8 tokens only: 4 parallel streams instead of 32"):
        trainer = make_trainer(make_data(["a b c", "d e f"]))
    *_, fitted = trainer.train(never)
    assert fitted.tokens == 10 * 8 and fitted.stopped == "budget"


def test_a_text_of_one_token_trains(make_data, make_trainer):
    with pytest.warns(RnnlmWarning):
        trainer = make_trainer(make_data(["a"]), budget="2steps")
    *_, fitted = trainer.train(never)
    assert fitted.steps == 2


# ---- what is told


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
    assert verdict.figure == pytest.approx(math.exp(-total / len(ids)), rel=1e-5)


def test_validation_changes_neither_the_weights_nor_what_comes_after(make_data, make_trainer, sentences):
    data = make_data(sentences[:40], sentences[40:60])

    def train(**settings):
        trainer = make_trainer(data, budget="9steps", batch_rows=4, dropout_output=0.3, **settings)
        trainer.best.cost = 0.0  # nothing improves on it: the last weights are handed back
        list(trainer.train(never))
        return weights_of(trainer)

    assert same(train(validate_every_steps=2), train(validate_every_steps=50))


def test_reported_losses_are_means_per_token(make_data, make_trainer, sentences):
    data = make_data(sentences[:40], sentences[40:50])
    trainer = make_trainer(data, budget="2epochs", batch_rows=4, bptt_tokens=30)
    losses, counts = record(trainer)
    steps = [event for event in trainer.train(never) if isinstance(event, Step)]
    ends = [event.step for event in steps]
    assert ends[-1] == trainer.step_count and steps[-1].tokens == sum(counts) == 2 * data.train.tokens
    for start, event in zip([0, *ends], steps, strict=False):
        part = slice(start, event.step)
        assert event.loss_nats == pytest.approx(np.average(losses[part], weights=counts[part]), rel=1e-5)
    assert steps[-1].epoch == pytest.approx(2.0)


def test_events_begin_with_started_and_end_with_fitted(make_data, sentences):
    from rnnlm.config import Layer, resolve
    from rnnlm.models import registry

    data = make_data(sentences[:40], sentences[40:50])
    kind = registry.kind_of("gru")
    values = {"model": "gru", "hidden_size": 8, "embedding_size": 6, "budget": "3steps", "device": "cpu", "precision": "fp32"}
    events = list(kind.fit(resolve(kind.settings_classes(), [Layer("test", values)]), data, never, None))
    assert isinstance(events[0], Started) and isinstance(events[-1], Fitted)
    started = events[0]
    assert (started.model, started.device, started.precision) == ("gru", "cpu", "fp32")
    assert started.parameters == sum(array.size for array in events[-1].model.to_arrays().values())
    assert (started.vocabulary_size, started.train_tokens) == (data.tokenizer.size, data.train.tokens)


def test_a_network_too_large_for_the_memory_is_an_error(make_data, sentences, monkeypatch):
    from rnnlm.config import Layer, resolve
    from rnnlm.errors import TrainingError
    from rnnlm.models import registry

    kind = registry.kind_of("lstm")
    monkeypatch.setattr(fitting, "start_network", lambda *given: torch.empty(1 << 50))
    resolved = resolve(kind.settings_classes(), [Layer("test", {"device": "cpu", "precision": "fp32"})])
    with pytest.raises(TrainingError, match="out of memory"):
        list(kind.fit(resolved, make_data(sentences[:5]), never, None))


def test_initial_weights_are_where_training_starts(make_data, make_trainer, sentences):
    data = make_data(sentences[:10])
    first = make_trainer(data)
    arrays = NeuralLanguageModel(first.network, data.tokenizer).to_arrays()
    network = fitting.start_network(first.network.settings, data.tokenizer, torch.device("cpu"), arrays)
    assert same(dict(network.state_dict()), dict(first.network.state_dict()))


def test_random_weights_start_as_the_unigram_of_the_text(make_data, make_trainer, sentences):
    """The first loss is near the unigram's entropy, far below log V."""
    data = make_data(sentences)
    trainer = make_trainer(data, init_range=0.01, batch_rows=4, budget="1steps")
    losses, _ = record(trainer)
    list(trainer.train(never))
    p = data.tokenizer.counts_V / data.tokenizer.counts_V.sum()
    entropy = -(p[p > 0] * np.log(p[p > 0])).sum()
    assert abs(losses[0] - entropy) < 0.5 < math.log(data.tokenizer.size) - entropy


def test_documents_are_validated_one_by_one(make_data, make_trainer, sentences):
    """As the exact evaluation reads them, so that the best weights are chosen on the same events."""
    data = make_data(sentences[:40], sentences[40:60])
    borders = data.valid.line_offsets[::4]
    documents = dataclasses.replace(data.valid, document_offsets=np.append(borders[:-1], len(data.valid.ids)))
    data = TrainingData(data.tokenizer, data.train, documents)
    trainer = amplify(make_trainer(data, batch_rows=4))
    model = NeuralLanguageModel(trainer.network, data.tokenizer)
    exact = span_scoring.score_spans(model, documents.ids, span_scoring.spans_between(documents.document_offsets)).mean()
    assert trainer.validation.run(0, never).figure == pytest.approx(math.exp(-exact))
    assert "document" in fitting.started(trainer, "lstm", data).validation


# ---- word vectors from a file


def resolved_for(**settings):
    from rnnlm.config import Layer, resolve
    from rnnlm.models.registry import kind_of

    values = {"embedding_size": 3, "hidden_size": 4, "budget": "3steps", "device": "cpu", "precision": "fp32", "model": "lstm", **settings}
    return resolve(kind_of("lstm").settings_classes(), [Layer("test", values)])


@pytest.fixture
def vectors(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("the 1 2 3\nzebra 4 5 6\n")
    return str(path)


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
@pytest.mark.parametrize("frozen", [False, True])
def test_word_vectors_from_a_file_are_where_training_starts_and_stay_if_frozen(make_data, sentences, vectors, frozen):
    data = make_data([*sentences[:20], "the end"])
    trainer = fitting.make_trainer(resolved_for(embeddings=vectors, freeze_embeddings=frozen, ema_decay=0.5), data)
    row = data.tokenizer.symbols().index("the")
    start = trainer.network.input.weight.detach().clone()
    assert start[row].tolist() == [1, 2, 3]
    list(trainer.train(never))
    assert torch.equal(trainer.network.input.weight, start) == frozen


@pytest.mark.filterwarnings("ignore::rnnlm.errors.RnnlmWarning")
def test_bad_utf8_among_word_vectors_is_replaced_where_that_is_asked_for(sentences, tmp_path):
    (tmp_path / "text.txt").write_text("\n".join([*sentences[:20], "the end"]))
    (tmp_path / "vectors.txt").write_bytes(b"\xff 4 5 6\nthe 1 2 3\n")
    settings = {"model": "lstm", "embedding_size": 3, "hidden_size": 4, "device": "cpu", "embeddings": str(tmp_path / "vectors.txt")}
    request = Request(text=(str(tmp_path / "text.txt"),), flags=settings, output=tmp_path / "m")
    with pytest.raises(TextError, match="--encoding-errors replace"):
        fitting.make_trainer((strict := plan(request)).resolved, strict.data)
    made = plan(dataclasses.replace(request, flags={**settings, "encoding_errors": "replace"}))
    weight_VE = fitting.make_trainer(made.resolved, made.data).network.input.weight
    assert weight_VE[made.data.tokenizer.symbols().index("the")].tolist() == [1, 2, 3]


def test_word_vectors_of_another_width_are_refused(make_data, sentences, vectors):
    data = make_data(sentences[:20])
    with pytest.raises(SettingsError, match="set embedding_size=3"):
        fitting.make_trainer(resolved_for(embeddings=vectors, embedding_size=5), data)


@pytest.mark.parametrize("asked", [{"embeddings": "x.txt"}, {"freeze_embeddings": True}])
def test_word_vectors_without_word_vectors_are_refused(make_data, sentences, asked):
    data = make_data(sentences[:20])
    with pytest.raises(SettingsError, match="set characters_beside=true"):
        fitting.make_trainer(resolved_for(characters="cnn", **asked), data)


def test_random_word_vectors_are_not_frozen(make_data, sentences):
    data = make_data(sentences[:20])
    resolved = resolved_for(freeze_embeddings=True)
    with pytest.raises(SettingsError, match="would keep random word vectors.*--init-from"):
        fitting.make_trainer(resolved, data)
    trained = NeuralLanguageModel(fitting.make_trainer(resolved_for(), data).network, data.tokenizer)
    assert not fitting.make_trainer(resolved, data, trained.to_arrays()).network.input.weight.requires_grad
