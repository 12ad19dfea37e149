"""What only a CUDA device can show of encoder-decoders: run with `pytest -m gpu` on a machine that has one."""

import numpy as np
import pytest
import torch

from rnnlm.tasks.seq2seq.data import encode_pairs
from rnnlm.tasks.seq2seq.decoding.settings import DecodingSettings
from rnnlm.tasks.seq2seq.decoding.translator import translate
from rnnlm.tasks.seq2seq.evaluation.target_scores import target_scores
from rnnlm.tasks.seq2seq.model import from_arrays
from support.tiny_pairs import VALID, fit, run, trainer_of
from support.tiny_translators import parallel_text

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")]
CASES = [
    ("lstm", {"input_feeding": True, "layers": 2, "decoder_layers": 2}), ("lstm", {"input_feeding": True, "attention": "additive"}),
    ("gru", {"attention": "additive"}), ("gru", {"attention": "dot", "input_feeding": True, "own_words": 0.3}),
    ("rnn", {"attention": None, "bridge": "mean"}), ("qrnn", {"tied_embeddings": "all", "shared_vocabulary": True}),
]  # fmt: skip
DROPOUT = {"dropout_input": 0.2, "dropout_between": 0.2, "dropout_output": 0.2, "weight_drop": 0.2}
PAIRS = [*VALID, ("never seen", "jamais vu"), ("one " * 60, "un deux trois " * 20)]


@pytest.mark.parametrize("name, settings", CASES, ids=str)
def test_scores_translations_and_attention_equal_those_of_the_cpu_in_fp32(name, settings):
    host = fit(name, budget="40steps", **settings)
    device = from_arrays(vars(host.network.settings), host.codec, host.to_arrays(), "cuda", None)
    data, sources = encode_pairs(host.codec, parallel_text(PAIRS)), [source for source, _ in PAIRS]
    np.testing.assert_allclose(target_scores(device, data), target_scores(host, data), atol=1e-4)
    decoding = DecodingSettings(beam=3, nbest=3, attention=host.network.settings.attention is not None)
    for found, expected in zip(translate(device, sources, settings=decoding), translate(host, sources, settings=decoding), strict=True):
        assert [each.text for each in found.hypotheses] == [each.text for each in expected.hypotheses]
        for one, other in zip(found.hypotheses, expected.hypotheses, strict=True):
            assert one.logprob_nats == pytest.approx(other.logprob_nats, abs=1e-3)
            if decoding.attention:
                np.testing.assert_allclose(one.attention.weights, other.attention.weights, atol=1e-4)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name, settings", CASES, ids=str)
def test_training_runs_and_learns(name, settings, precision):
    own = {"device": "cuda", "precision": precision, "hidden_size": 16, "embedding_size": 16, **settings}
    *events, fitted = run(name, VALID * 4, VALID, budget="60steps", validate_every_steps=5, **own)
    losses = [event.figures["loss_nats"] for event in events if event.kind == "validated"]
    assert fitted.stopped == "budget" and min(losses) < 0.9 * losses[0]
    assert all(parameter.is_cuda for parameter in fitted.model.network.parameters())


@pytest.mark.parametrize("name, settings", CASES, ids=str)
def test_no_step_waits_for_the_device(name, settings):
    trainer = trainer_of(name, device="cuda", **DROPOUT, **settings)
    trainer.step(trainer.source.next(), (), 0.01)  # what the first step sets up may wait
    try:
        torch.cuda.set_sync_debug_mode("error")
        trainer.step(trainer.source.next(), (), 0.01)
    finally:
        torch.cuda.set_sync_debug_mode("default")
