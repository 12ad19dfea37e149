"""Gradients that reach further back than the window, against recurrences unrolled token by token."""

import itertools
import math
import random

import pytest
import torch
from torch.nn import functional as F

from rnnlm.errors import SettingsError
from rnnlm.events import Step, never
from rnnlm.lm.neural.layers.layers import LookBack
from rnnlm.lm.neural.training.settings import FittingSettings
from rnnlm.lm.neural.training.step import restart_rows
from rnnlm.text.batches import with_boundary

pytestmark = pytest.mark.long

MODELS = [
    {"model": "rnn", "layers": 2}, {"model": "gru"}, {"model": "lstm", "layers": 2},
    {"model": "lstm", "mogrifier_rounds": 2, "peepholes": True}, {"model": "qrnn"},
    {"model": "gru", "layer_norm": True}, {"model": "jordan"}, {"model": "ffnn", "context_words": 3},
]  # fmt: skip
REGULARIZED = {"activation_penalty": 2.0, "temporal_penalty": 1.0}


class UnrolledByHand:
    """Truncated BPTT over k2 tokens, token by token: `gradients` of a window is the derivative of the
    loss of its targets, back to the state stored k2 - k1 tokens before it, or to the row's start."""

    def __init__(self, network, stream, rows, before):
        self.network, self.stream, self.before = network, stream.tolist(), before
        self.began = [0] * rows
        self.stored = [{} for _ in range(rows)]

    def gradients(self, window):
        network, losses = self.network, []
        bounds = zip(window.start_B.tolist(), window.end_B.tolist(), strict=True)
        for row, (start, end) in enumerate(bounds):
            if window.fresh_B[row]:
                self.began[row] = start
                self.stored[row] = {start: network.initial_state(1)}
            first = max(self.began[row], start - self.before)
            state = self.stored[row][first]
            for place in range(first, end):
                features, state = network.features(torch.tensor([[self.stream[place]]]), state)
                if place >= start:
                    logits = features[0] @ network.tied_VE.t() + network.output.bias
                    target = torch.tensor([self.stream[place + 1]])
                    losses.append(F.cross_entropy(logits, target))
                self.stored[row][place + 1] = tuple(part.detach() for part in state)
        return torch.autograd.grad(torch.stack(losses).mean(), list(network.parameters()))


def check_gradients(trainer, data, steps):
    """Compare the gradients of each step, in float64, and move the weights by them."""
    trainer.network.double()
    settings, carry = trainer.settings, tuple(part.double() for part in trainer.carry)
    stream = with_boundary(data.train.ids, 0)
    by_hand = UnrolledByHand(trainer.network, stream, trainer.source.rows, settings.tokens_before)
    for _, window in itertools.islice(trainer.source.windows(), steps):
        expected = by_hand.gradients(window)
        batch = trainer.source.batch(window)
        _, carry = trainer.update.gradients(batch, restart_rows(carry, batch.fresh))
        with torch.no_grad():
            for weight, wanted in zip(trainer.network.parameters(), expected, strict=True):
                torch.testing.assert_close(weight.grad, wanted, rtol=1e-8, atol=1e-12)
                weight -= 0.5 * wanted


@pytest.mark.parametrize("settings", MODELS, ids=str)
def test_gradients_reach_back_over_the_lookback(make_data, make_trainer, sentences, settings):
    data = make_data(sentences[:3])
    tokens = {"batch_rows": 2, "bptt_tokens": 3, "bptt_lookback": 8}
    check_gradients(make_trainer(data, **tokens, **settings), data, steps=8)


@pytest.mark.parametrize("window, lookback", [(1, 7), (4, 6), (14, 16)])
def test_at_borders_gradients_stop(make_data, make_trainer, sentences, window, lookback):
    """Documents, drawn lines, drawn resets, drawn lengths and the ends of rows, over epochs."""
    lines = [word for line in sentences[:6] for word in (*line.split(",", 1), "")]
    data = make_data(lines, documents=True)
    settings = {"state_reset": 0.2, "line_starts": 0.3, "bptt_deviation": 2.0, "accumulation": 2}
    settings |= {"bptt_tokens": window, "bptt_lookback": lookback, "batch_rows": 3}
    check_gradients(make_trainer(data, model="gru", **settings), data, steps=14)


def weights_after(trainer):
    *_, fitted = trainer.train(never)
    return torch.cat([weight.detach().flatten() for weight in fitted.model.network.parameters()])


def test_lookback_over_the_window_alone_changes_nothing(make_data, make_trainer, sentences):
    data = make_data(sentences[:20])
    settings = {"batch_rows": 4, "bptt_tokens": 6, "dropout_output": 0.3, "weight_drop": 0.3}
    settings |= REGULARIZED
    trainers = (make_trainer(data, bptt_lookback=each, **settings) for each in (None, 6, 7))
    plain, equal, longer = map(weights_after, trainers)
    assert torch.equal(plain, equal) and not torch.equal(plain, longer)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_validation_ignores_lookback(make_data, make_trainer, sentences, precision):
    data = make_data(sentences[:20], sentences[30:34])
    settings = {"batch_rows": 4, "bptt_tokens": 6, "learning_rate": 1e-30, "precision": precision}
    found = []
    for lookback in (None, 15):
        trainer = make_trainer(data, bptt_lookback=lookback, budget="9steps", **settings)
        *_, fitted = trainer.train(never)
        found.append((fitted.best, trainer._loss_now()))
    assert found[0] == pytest.approx(found[1], rel=1e-6 if precision == "fp32" else 1e-4)


@pytest.mark.parametrize("settings", MODELS[:6], ids=str)
def test_one_mask_holds_for_all_pieces(make_data, make_trainer, sentences, settings):
    drops = {"weight_drop": 0.4, "locked_dropout": True, "dropout_between": 0.4}
    network = make_trainer(make_data(sentences[:5]), **drops, **settings).network.train()
    inputs_TB = torch.randint(9, (12, 3))

    def read(*steps):
        torch.manual_seed(3)
        lookback = LookBack(12, tuple((step, None) for step in steps))
        return network(inputs_TB, network.initial_state(3), lookback)[0]

    torch.testing.assert_close(read(2, 3, 9), read())


def test_lookback_teaches_what_lies_before_the_window(make_data, make_trainer):
    """The last letter of a line is the first one. Without memory each costs a bit: 2 bits a line of
    5 tokens, with it 1 bit. The first letter is 3 tokens back, and windows have 2."""
    letters = random.Random(1).choices("ab", k=2000)
    data = make_data([f"{letter} 1 2 {letter}" for letter in letters])
    settings = {"batch_rows": 128, "bptt_tokens": 2, "learning_rate": 0.03, "hidden_size": 24}
    settings |= {"embedding_size": 16, "tied": False, "budget": "90steps"}
    bits = {}
    for lookback in (2, 8):
        events = make_trainer(data, bptt_lookback=lookback, **settings).train(never)
        *_, last = (event for event in events if isinstance(event, Step))
        bits[lookback] = last.loss_nats / math.log(2)
    assert bits[2] > 0.32 and bits[8] < 0.26


def test_settings_that_contradict_each_other():
    with pytest.raises(SettingsError, match="bptt_lookback = 9 is shorter than a window"):
        FittingSettings(bptt_tokens=10, bptt_lookback=9)
    with pytest.raises(SettingsError, match="cuda_graphs and bptt_lookback"):
        FittingSettings(bptt_lookback=70, cuda_graphs=True)
    assert not FittingSettings(bptt_lookback=70).can_be_recorded
