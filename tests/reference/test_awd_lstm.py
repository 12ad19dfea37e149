"""AWD-LSTM: a training step against a slow transcription, and each piece seen to act."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from reference.awd_lstm import awd_loss
from rnnlm.lm.neural import network, words
from rnnlm.lm.neural.layers import layers
from rnnlm.lm.neural.layers.layers import dropout
from rnnlm.lm.neural.network import activation_penalty
from rnnlm.lm.neural.settings import RecurrentModelSettings

PIECES = {
    "layers": 3, "layer_sizes": "7,7,6", "embedding_size": 6, "tied": True, "locked_dropout": True,
    "weight_drop": 0.5, "init_range": 0.6,
    "dropout_embedding": 0.2, "dropout_input": 0.4, "dropout_between": 0.3, "dropout_output": 0.4,
    "activation_penalty": 2.0, "temporal_penalty": 1.0,
}  # fmt: skip
FITTING = {
    "batch_rows": 3, "bptt_tokens": 6, "bptt_deviation": 1.0, "optimizer": "asgd",
    "nonmonotone_interval": 5, "learning_rate": 30.0,
    "clip_norm": 0.25, "weight_decay": 1.2e-3, "schedule": "constant", "warmup": 0.0,
}  # fmt: skip


@pytest.fixture
def masks(monkeypatch):
    """Return the list of dropout masks, in the order of the calls."""
    found = []

    def recording(x, p, training, locked=False):
        mask = dropout(torch.ones_like(x), p, training, locked)
        found.append(mask)
        return x * mask

    for module in (words, network, layers):
        monkeypatch.setattr(module, "dropout", recording)
    return found


@pytest.fixture
def trainer(make_data, make_trainer, sentences):
    return make_trainer(make_data(sentences[:20], sentences[20:30]), **PIECES, **FITTING)


def by_name(masks):
    """Return the masks of one window by name, those of rows without their time axis."""
    words, given, *between_and_recurrent, output = masks
    recurrent, between = between_and_recurrent[::2], between_and_recurrent[1::2]
    for locked_TBH in (given, *between, output):
        # the same at all places of the window
        assert torch.equal(locked_TBH, locked_TBH[:1].expand_as(locked_TBH))
    rows = {"input": given[0], "between": [mask[0] for mask in between], "output": output[0]}
    return {"words": words, "recurrent": recurrent, **rows}


def test_one_step_equals_a_slow_transcription(trainer, masks):
    # The weights before the step, in float64, and one step of ours.
    _, window = next(trainer.source.windows())
    weights = {}
    for name, value in trainer.network.named_parameters():
        weights[name] = value.detach().double().requires_grad_()
    state = tuple(torch.randn_like(part) for part in trainer.network.initial_state(3))
    batch = dataclasses.replace(trainer.source.batch(window), fresh=None)
    inputs_TB, targets_TB = batch.tensors
    loss, after = trainer.step(batch, state, 30.0)
    # The transcription wants (h, c) of each row, by layer; ours are all in a row.
    rows = []
    for layer in range(3):
        h_B, c_B = state[2 * layer][0].double(), state[2 * layer + 1][0].double()
        rows.append(list(zip(h_B, c_B, strict=True)))
    inputs, targets = inputs_TB.t().tolist(), targets_TB.t().tolist()
    nats, penalty, expected_after = awd_loss(
        weights, 3, inputs, targets, rows, by_name(masks), alpha=2.0, beta=1.0
    )
    # The same loss and states.
    assert loss.item() == pytest.approx(nats.item(), rel=1e-5)
    for layer in range(3):
        for row in range(3):
            ours = after[2 * layer][0, row], after[2 * layer + 1][0, row]
            for our, their in zip(ours, expected_after[layer][row], strict=True):
                torch.testing.assert_close(our.double(), their.detach(), atol=1e-5, rtol=0)
    # The same clipped gradients, and the same weights after SGD with weight decay.
    gradients = torch.autograd.grad(nats + penalty, list(weights.values()))
    scale = min(1.0, 0.25 / torch.sqrt(sum((gradient**2).sum() for gradient in gradients)).item())
    assert scale < 1
    for (name, weight), gradient in zip(weights.items(), gradients, strict=True):
        ours = trainer.network.get_parameter(name)
        torch.testing.assert_close(ours.grad.double(), scale * gradient, atol=1e-6, rtol=1e-4)
        decay = 1.2e-3 if weight.dim() > 1 else 0.0
        updated = weight.detach() - 30.0 * (scale * gradient + decay * weight.detach())
        torch.testing.assert_close(ours.detach().double(), updated, atol=1e-5, rtol=1e-4)


def test_recurrent_weights_are_dropped_anew_each_training_step(trainer, masks):
    windows = iter(trainer.source.windows())
    raw = trainer.network.body.layers[0].weight_hh
    for _ in range(2):
        before = raw.detach().clone()
        trainer.step(trainer.source.batch(next(windows)[1]), trainer.network.initial_state(3), 1.0)
        assert not torch.equal(raw, before)  # gradients reach the weights themselves
    per_window = 2 + 2 * 3  # words, input; each layer's weights, and what lies between or comes out
    first, second = (by_name(masks[at : at + per_window])["recurrent"] for at in (0, per_window))
    for one, other in zip(first, second, strict=True):
        assert one.shape[0] == 4 * one.shape[1] and set(one.unique().tolist()) == {0.0, 2.0}
        assert not torch.equal(one, other)
    trainer.network.eval()
    for layer in trainer.network.body.layers:
        assert torch.equal(layer.drawn_weights(), layer.weight_hh)


def test_masks_differ_between_rows_and_windows(make_data, make_trainer, sentences, masks):
    sizes = {"embedding_size": 40, "layer_sizes": "40,40,40"}
    trainer = make_trainer(make_data(sentences[:20]), **{**PIECES, **sizes}, **FITTING)
    windows = iter(trainer.source.windows())
    for _ in range(2):
        trainer.step(trainer.source.batch(next(windows)[1]), trainer.network.initial_state(3), 0.1)
    first, second = by_name(masks[:8]), by_name(masks[8:])
    for name in ("input", "output"):
        assert not torch.equal(first[name][0], first[name][1])
        assert not torch.equal(first[name], second[name])
    assert not torch.equal(first["words"], second["words"])


def test_word_dropout_spares_the_output_weights(make_data, make_trainer, sentences):
    net = make_trainer(make_data(sentences[:20]), embedding_size=40, dropout_embedding=0.5).network
    net.train()
    ids_TB = torch.arange(30).repeat(3, 2).t()
    ratio_TB = (net.input(ids_TB) / net.input.vectors(ids_TB)).mean(2)
    # one fate for a word, at all places and in all rows
    torch.testing.assert_close(ratio_TB, ratio_TB[:30, :1].repeat(2, 3))
    assert set(ratio_TB.round(decimals=3).unique().tolist()) == {0.0, 2.0}
    assert net.tied_VE is net.input.weight


@pytest.mark.parametrize("where", ["dropout_embedding", "weight_drop"])
def test_expected_values_are_kept(make_data, make_trainer, sentences, where):
    """Mean over many draws of what is dropped: the thing itself."""
    net = make_trainer(make_data(sentences[:5]), locked_dropout=True, **{where: 0.4}).network
    net.train()
    ids_TB = torch.zeros(1, 1, dtype=torch.int64)
    torch.manual_seed(1)
    if where == "weight_drop":
        layer = net.body.layers[0]
        mean = torch.stack([layer.drawn_weights() for _ in range(3000)]).mean(0)
        torch.testing.assert_close(mean, layer.weight_hh, atol=0.05, rtol=0)
        return
    vectors = net.input.vectors(ids_TB)
    kept = torch.stack([net.input(ids_TB) / vectors for _ in range(3000)])
    assert kept.mean().item() == pytest.approx(1, abs=0.05)


def test_ar_uses_dropped_and_tar_undropped_activations():
    y_TBE = torch.tensor([[[1.0, 2.0]], [[3.0, 2.0]], [[3.0, 6.0]]])
    dropped_TBE = y_TBE * torch.tensor([0.0, 2.0])
    only_ar = RecurrentModelSettings(activation_penalty=2.0)
    only_tar = RecurrentModelSettings(temporal_penalty=3.0)
    assert activation_penalty(only_ar, y_TBE, dropped_TBE) == 2.0 * (16 + 16 + 144) / 6
    assert activation_penalty(only_tar, y_TBE, dropped_TBE) == 3.0 * (4 + 0 + 0 + 16) / 4
    assert activation_penalty(RecurrentModelSettings(), y_TBE, dropped_TBE) == 0.0
    assert activation_penalty(only_tar, y_TBE[:1], dropped_TBE[:1]) == 0.0


# ---- windows of drawn lengths


def lengths_of(trainer, epochs=40):
    windows = itertools.takewhile(lambda at: at[0] <= epochs, trainer.source.windows())
    return np.array([window.length for _, window in windows])


def test_window_lengths_vary_around_bptt_or_half(make_data, make_trainer, sentences):
    trainer = make_trainer(
        make_data(sentences), batch_rows=1, bptt_tokens=70, bptt_deviation=5.0, bptt_short=0.3
    )
    lengths = lengths_of(trainer)
    assert len(lengths) > 1000
    long = lengths[lengths > 52]
    assert long.mean() == pytest.approx(70, abs=0.7) and long.std() == pytest.approx(5, abs=0.5)
    short = lengths[lengths <= 52]
    assert short.mean() == pytest.approx(35, abs=0.8)
    assert len(short) / len(lengths) == pytest.approx(0.3, abs=0.04)


def test_the_learning_rate_follows_the_length_drawn(make_data, make_trainer, sentences):
    settings = {
        "schedule": "constant", "warmup": 0.0, "learning_rate": 0.5, "optimizer": "sgd",
        "batch_rows": 2, "bptt_tokens": 10,
    }  # fmt: skip
    trainer = make_trainer(make_data(sentences[:40]), bptt_deviation=3.0, **settings)
    rates, step = [], trainer.step
    trainer.step = lambda batch, carry, rate: rates.append(rate) or step(batch, carry, rate)
    list(trainer.train(lambda: False))
    lengths = [
        window.length for _, window in itertools.islice(trainer.source.windows(), len(rates))
    ]
    assert len(set(lengths)) > 3
    assert rates == pytest.approx([0.5 * length / 10 for length in lengths])
    assert trainer.optimizer.param_groups[0]["lr"] == rates[-1]


def test_lengths_are_multiples_where_that_is_asked_for(make_data, make_trainer, sentences):
    trainer = make_trainer(
        make_data(sentences), batch_rows=1, bptt_tokens=70, bptt_deviation=5.0, bptt_multiple=8
    )
    lengths = lengths_of(trainer)
    assert not (lengths % 8).any()
    assert lengths.mean() == pytest.approx(70, abs=0.7)  # the nearest ones: rounding has no drift


def test_window_longer_than_text_reads_it_whole(make_data, make_trainer, sentences):
    data = make_data(sentences[:3])
    trainer = make_trainer(
        data, batch_rows=1, bptt_tokens=10_000, bptt_deviation=5.0, budget="2epochs"
    )
    *_, fitted = trainer.train(lambda: False)
    assert (fitted.steps, fitted.tokens) == (2, 2 * data.train.tokens)
