"""Taggers and classifiers on each device: on the CPU and, with `pytest -m gpu`, on a CUDA
device."""

import numpy as np
import pytest

from rnnlm.events import never
from rnnlm.tasks.labels.data import MULTI
from rnnlm.tasks.labels.fitting import make_trainer
from rnnlm.tasks.labels.model import Search, from_arrays, predict
from support.devices import ON_EACH_DEVICE, no_waits
from support.networks import as_stored
from support.tiny_tasks import TRAIN, VALID, data_of, fit, labelled, settings_of

CASES = [
    ("tagging", "lstm", {"output_layer": "crf", "both": True}),
    ("tagging", "gru", {"label_feedback": True, "layers": 2}),
    ("tagging", "rnn", {"characters": "lstm"}),
    ("tagging", "qrnn", {"characters": None, "tokenizer": "char"}),
    ("classification", "lstm", {"sentence_pooling": "attention"}),
    ("classification", "gru", {"form": MULTI, "sentence_pooling": "last"}),
    ("classification", "bag", {}), ("classification", "cnn", {}),
]  # fmt: skip
TEXTS = [words for words, _, _ in VALID] + [["oslo"], ["never-seen", "at", "noon"]]


@ON_EACH_DEVICE
@pytest.mark.parametrize("task, name, settings", CASES, ids=str)
def test_results_equal_those_of_the_cpu_in_fp32(task, name, settings, device):
    host = fit(task, name, **settings)
    there = from_arrays(
        as_stored(host.network.settings), host.codec, host.to_arrays(), device, None
    )
    search = Search(probabilities=True, beam=3, nbest=3)
    for found, expected in zip(
        predict(there, TEXTS, search), predict(host, TEXTS, search), strict=True
    ):
        for one, other in zip(found, expected, strict=True):
            assert (one.label, [each.labels for each in one.best]) == (
                other.label,
                [each.labels for each in other.best],
            )
            np.testing.assert_allclose(one.p_TK, other.p_TK, atol=1e-4)
            np.testing.assert_allclose(
                [each.logprob_nats for each in one.best],
                [each.logprob_nats for each in other.best],
                atol=1e-3,
            )


def trainer_of(task, name, settings, **more):
    """Make a trainer that validates on its training text."""
    own = {
        key: value for key, value in settings.items() if key not in ("both", "form", "tokenizer")
    }
    resolved = settings_of(task, name, **own, **more)
    words = {"tokenizer": "char", "min_count": 1} if "tokenizer" in settings else {}
    text = labelled(TRAIN, task, "both" in settings)
    return make_trainer(
        resolved, data_of(resolved, text, text, form=settings.get("form", "plain"), **words)
    )


@ON_EACH_DEVICE
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("task, name, settings", CASES, ids=str)
def test_training_runs_and_learns(task, name, settings, precision, device):
    trainer = trainer_of(
        task,
        name,
        settings,
        budget="30steps",
        validate_every_steps=30,
        device=device,
        precision=precision,
    )
    before = trainer.validation.validation.run(never).loss_nats
    *_, fitted = trainer.train(never)
    assert (
        fitted.stopped == "budget"
        and trainer.validation.validation.run(never).loss_nats < 0.9 * before
    )
    assert all(parameter.device.type == device for parameter in fitted.model.network.parameters())


@ON_EACH_DEVICE
@pytest.mark.parametrize("task, name, settings", CASES, ids=str)
def test_no_step_waits_for_the_device(task, name, settings, device):
    trainer = trainer_of(task, name, settings, device=device, dropout_input=0.2, dropout_output=0.2)
    trainer.step(trainer.source.next(), (), 0.01)  # what the first step sets up may wait
    with no_waits(device):
        loss, _ = trainer.step(trainer.source.next(), (), 0.01)
    assert loss.isfinite()
