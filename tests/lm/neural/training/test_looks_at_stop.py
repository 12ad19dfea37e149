"""A large network is read in pieces, so that whoever asks a run to stop does not wait for long."""

import numpy as np
import pytest
import torch

from rnnlm.events import never
from rnnlm.lm.neural import trained_network
from rnnlm.lm.neural.training.progress import LayerStatistics
from support.saved_models import make_lstm


@pytest.fixture
def reads_singly(monkeypatch):
    """Return a function that makes this machine so slow that networks are read token by token."""
    return lambda: monkeypatch.setattr(trained_network, "WORK_OF_A_SECOND", 1.0)


def test_pieces_give_the_scores_of_the_whole(reads_singly):
    lstm = make_lstm()
    ids_BT = np.arange(60).reshape(3, 20) % lstm.tokenizer.size
    whole, state = lstm.score(ids_BT, ids_BT, lstm.initial_state(3))
    assert lstm.piece_tokens == lstm.call_tokens  # a small one is read at once
    reads_singly()
    assert lstm.piece_tokens == 1
    pieces, state_of_pieces = lstm.score(ids_BT, ids_BT, lstm.initial_state(3))
    assert torch.allclose(whole, pieces, atol=1e-6)
    for one, other in zip(state.tensors, state_of_pieces.tensors, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_a_validation_looks_once_a_second(make_data, make_trainer, sentences, reads_singly):
    validation = make_trainer(make_data(sentences[:20], sentences * 3)).validation.whole
    looks = []

    def stop():
        return looks.append(1)

    validation.run(stop)
    few = len(looks)
    reads_singly()
    validation.run(stop)
    rows = validation.rows
    assert len(looks) - few >= validation.tokens // (64 * rows) > few


@pytest.mark.parametrize(("stop", "is_looked_at"), [(never, True), (lambda: True, False)])
def test_a_look_at_the_layers_is_cut_off(make_data, make_trainer, sentences, stop, is_looked_at):
    trainer = make_trainer(make_data(sentences[:20], sentences[:20]))
    figures = LayerStatistics(trainer.network, trainer.validation.whole, trainer.clock)
    (layer,) = figures.measure(1, stop).values()
    assert ("spectral_radius" in layer) == is_looked_at == (figures.looks.step == 1)
