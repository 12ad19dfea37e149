"""What only a CUDA device can show of taggers and classifiers: run with `pytest -m gpu` on a machine that has one."""

import numpy as np
import pytest
import torch

from rnnlm.tasks.codec import MULTI
from rnnlm.tasks.fitting.fitting import make_trainer
from rnnlm.tasks.model import from_arrays
from rnnlm.tasks.prediction import Search, predict
from support.tiny_tasks import TRAIN, VALID, data_of, fit, labelled, run, settings_of

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")]
CASES = [
    ("tagging", "lstm", {"output_layer": "crf", "both": True}), ("tagging", "gru", {"label_feedback": True, "layers": 2}),
    ("tagging", "rnn", {"characters": "lstm"}), ("tagging", "qrnn", {"characters": None, "tokenizer": "char"}),
    ("classification", "lstm", {"sentence_pooling": "attention"}), ("classification", "gru", {"form": MULTI, "sentence_pooling": "last"}),
    ("classification", "bag", {}), ("classification", "cnn", {}),
]  # fmt: skip
TEXTS = [words for words, _, _ in VALID] + [["oslo"], ["never-seen", "at", "noon"]]


@pytest.mark.parametrize("task, name, settings", CASES, ids=str)
def test_labels_and_probabilities_equal_those_of_the_cpu_in_fp32(task, name, settings):
    host = fit(task, name, **settings)
    device = from_arrays(vars(host.network.settings), host.codec, host.to_arrays(), "cuda", None)
    search = Search(probabilities=True, beam=3, nbest=3)
    for found, expected in zip(predict(device, TEXTS, search), predict(host, TEXTS, search), strict=True):
        for one, other in zip(found, expected, strict=True):
            assert (one.label, [each.labels for each in one.best]) == (other.label, [each.labels for each in other.best])
            np.testing.assert_allclose(one.p_TK, other.p_TK, atol=1e-4)
            np.testing.assert_allclose([each.logprob_nats for each in one.best], [each.logprob_nats for each in other.best], atol=1e-3)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("task, name, settings", CASES, ids=str)
def test_training_runs_and_learns(task, name, settings, precision):
    valid = labelled(VALID, task, settings.get("both", False))
    *events, fitted = run(task, name, valid=valid, budget="40steps", validate_every_steps=1, device="cuda", precision=precision, **settings)
    losses = [event.figures["loss_nats"] for event in events if event.kind == "validated"]
    assert fitted.stopped == "budget" and min(losses) < 0.9 * losses[0]
    assert all(parameter.is_cuda for parameter in fitted.model.network.parameters())


@pytest.mark.parametrize("task, name, settings", CASES, ids=str)
def test_no_step_waits_for_the_device(task, name, settings):
    own = {key: value for key, value in settings.items() if key not in ("both", "form", "tokenizer")}
    resolved = settings_of(task, name, device="cuda", dropout_input=0.2, dropout_output=0.2, **own)
    words = {"tokenizer": "char", "min_count": 1} if "tokenizer" in settings else {}
    data = data_of(resolved, labelled(TRAIN, task, "both" in settings), form=settings.get("form", "plain"), **words)
    trainer = make_trainer(resolved, data)
    trainer.step(trainer.source.next(), (), 0.01)  # what the first step sets up may wait
    try:
        torch.cuda.set_sync_debug_mode("error")
        trainer.step(trainer.source.next(), (), 0.01)
    finally:
        torch.cuda.set_sync_debug_mode("default")
