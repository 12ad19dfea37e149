"""Encoder-decoders on each device: on the CPU and, with `pytest -m gpu`, on a CUDA device."""

import numpy as np
import pytest

from rnnlm.events import never
from rnnlm.tasks.seq2seq.data import encode_pairs
from rnnlm.tasks.seq2seq.decoding import translate
from rnnlm.tasks.seq2seq.evaluation import target_scores
from rnnlm.tasks.seq2seq.model import from_arrays
from rnnlm.tasks.seq2seq.options import DecodingSettings
from support.devices import ON_EACH_DEVICE, no_waits
from support.networks import as_stored
from support.tiny_pairs import VALID, fit, trainer_of
from support.tiny_translators import parallel_text

CASES = [
    ("lstm", {"input_feeding": True, "layers": 2, "decoder_layers": 2}),
    ("lstm", {"input_feeding": True, "attention": "additive"}),
    ("gru", {"attention": "additive"}),
    ("gru", {"attention": "dot", "input_feeding": True, "own_words": 0.3}),
    ("rnn", {"attention": None, "bridge": "mean"}),
    ("qrnn", {"tied_embeddings": "all", "shared_vocabulary": True}),
]  # fmt: skip
DROPOUT = {"dropout_input": 0.2, "dropout_between": 0.2, "dropout_output": 0.2, "weight_drop": 0.2}
PAIRS = [*VALID, ("never seen", "jamais vu"), ("one " * 60, "un deux trois " * 20)]


@ON_EACH_DEVICE
@pytest.mark.parametrize("name, settings", CASES, ids=str)
def test_results_equal_those_of_the_cpu_in_fp32(name, settings, device):
    host = fit(name, budget="40steps", **settings)
    there = from_arrays(
        as_stored(host.network.settings), host.codec, host.to_arrays(), device, None
    )
    data, sources = encode_pairs(host.codec, parallel_text(PAIRS)), [source for source, _ in PAIRS]
    np.testing.assert_allclose(target_scores(there, data), target_scores(host, data), atol=1e-4)
    decoding = DecodingSettings(
        beam=3, nbest=3, attention=host.network.settings.attention is not None
    )
    for found, expected in zip(
        translate(there, sources, settings=decoding),
        translate(host, sources, settings=decoding),
        strict=True,
    ):
        assert [each.text for each in found.hypotheses] == [
            each.text for each in expected.hypotheses
        ]
        for one, other in zip(found.hypotheses, expected.hypotheses, strict=True):
            assert one.logprob_nats == pytest.approx(other.logprob_nats, abs=1e-3)
            if decoding.attention:
                np.testing.assert_allclose(
                    one.attention.weights, other.attention.weights, atol=1e-4
                )


@ON_EACH_DEVICE
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name, settings", CASES, ids=str)
def test_training_runs_and_learns(name, settings, precision, device):
    own = {
        "device": device,
        "precision": precision,
        "hidden_size": 16,
        "embedding_size": 16,
        "budget": "60steps",
    }
    trainer = trainer_of(name, VALID * 4, VALID, validate_every_steps=60, **own, **settings)
    before = trainer.validation.validation.run(never).loss_nats
    *_, fitted = trainer.train(never)
    assert (
        fitted.stopped == "budget"
        and trainer.validation.validation.run(never).loss_nats < 0.9 * before
    )
    assert all(parameter.device.type == device for parameter in fitted.model.network.parameters())


@ON_EACH_DEVICE
@pytest.mark.parametrize("name, settings", CASES, ids=str)
def test_no_step_waits_for_the_device(name, settings, device):
    trainer = trainer_of(name, device=device, **DROPOUT, **settings)
    trainer.step(trainer.source.next(), (), 0.01)  # what the first step sets up may wait
    with no_waits(device):
        loss, _ = trainer.step(trainer.source.next(), (), 0.01)
    assert loss.isfinite()
