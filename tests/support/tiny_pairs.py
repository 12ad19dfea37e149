"""Tiny encoder-decoders of every kind, trained in memory for a few steps, for the tests."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rnnlm import registry
from rnnlm.config import ResolvedSettings, SettingsLayer, resolve
from rnnlm.errors import RnnlmWarning
from rnnlm.events import Event, TrainingState, never
from rnnlm.lm.neural.training.ranks import SINGLE_PROCESS, SingleProcess
from rnnlm.lm.neural.training.trainer import Trainer
from rnnlm.storage import model_folder
from rnnlm.tasks.seq2seq.data import PairTrainingData, encode_pairs, make_codec
from rnnlm.tasks.seq2seq.fitting import make_trainer
from rnnlm.training.request import TrainingRequest
from support.tiny_translators import numbers, parallel_text

Rows = Sequence[tuple[str, str]]
SMALL = {
    "embedding_size": 5, "hidden_size": 4, "batch_rows": 4, "budget": "6steps",
    "learning_rate": 0.02, "tokenizer": "word",
    "device": "cpu", "precision": "fp32", "threads": 1,
}  # fmt: skip
TRAIN, VALID = numbers(24), numbers(7, seed=2)


def settings_of(name: str, **settings: Any) -> ResolvedSettings:
    """Return all settings of a tiny network of this kind."""
    kind = registry.kind_of(name, "seq2seq")
    values = {"model": name, "task": "seq2seq", **SMALL, **settings}
    return resolve(kind.all_settings, [SettingsLayer("test", values)])


def data_of(
    resolved: ResolvedSettings, train: Rows = TRAIN, valid: Rows | None = None
) -> PairTrainingData:
    """Return pairs in the form that a network reads."""
    return opened(TrainingRequest(), resolved, train, valid)[0]


def opened(
    request: TrainingRequest,
    resolved: ResolvedSettings,
    train: Rows = TRAIN,
    valid: Rows | None = None,
) -> tuple[PairTrainingData, ResolvedSettings]:
    """Return pairs as a network reads them, and the settings completed by tokenizers."""
    text = parallel_text(list(train))
    codec, resolved = make_codec(request, resolved, text, {})
    held_out = valid and encode_pairs(codec, parallel_text(list(valid)))
    return PairTrainingData(codec, encode_pairs(codec, text), held_out), resolved


def trainer_of(
    name: str, train: Rows = TRAIN, valid: Rows | None = VALID,
    initial: TrainingState | None = None,
    ranks: SingleProcess = SINGLE_PROCESS, **settings: Any,
) -> Trainer:  # fmt: skip
    """Make the trainer of a tiny network, at its start or in the state `initial`."""
    resolved = settings_of(name, **settings)
    with warnings.catch_warnings(action="ignore", category=RnnlmWarning):
        return make_trainer(resolved, data_of(resolved, train, valid), initial, ranks)


def run(name: str, train: Rows = TRAIN, valid: Rows | None = None, **settings: Any) -> list[Event]:
    """Return the events of a short training run in memory."""
    return list(trainer_of(name, train, valid, **settings).train(never))


def fit(name: str, train: Rows = TRAIN, **settings: Any) -> Any:
    """Train a model of this kind for a few steps."""
    return run(name, train, **settings)[-1].model


def save(folder: Path, model: Any, **settings: Any) -> Any:
    """Save a model of :func:`fit`, which had these settings, in `folder`; its manifest."""
    name = model.network.settings.model
    return model_folder.save(folder, model, name, settings_of(name, **settings).values, 6, {})
