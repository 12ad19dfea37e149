"""A network of the same settings at its start: what a model was before it learned anything."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rnnlm.inspection.common import Subject
from rnnlm.interface import answers_of
from rnnlm.models.manifest import read_manifest
from rnnlm.models.registry import LANGUAGE_MODEL, SEQ2SEQ
from rnnlm.neural import network as language_models
from rnnlm.neural.fitting.settings import RunSettings
from rnnlm.tasks.labels import network as labellers
from rnnlm.tasks.seq2seq import network as encoder_decoders


def with_starts(subjects: Sequence[Subject]) -> list[Subject]:
    """After each subject the same network at its start.

    Raises:
        As :func:`at_start`.
    """
    return [each for subject in subjects for each in (subject, at_start(subject))]


def at_start(subject: Subject) -> Subject:
    """The same model with the random weights that its training began with: those of its settings
    and its seed (the default one, where it lies in no folder). Weights of another model and vectors
    from a file, with which a run may begin, are not read.

    Raises:
        SettingsError: its output layer needs word counts, which the model does not hold.
    """
    origin = answers_of(subject.model).origin
    stored = {} if origin is None else read_manifest(Path(origin[0])).settings
    start = untrained(subject.model, subject.task, int(stored.get("seed", RunSettings.seed)))
    return Subject(f"{subject.name}, untrained", start, subject.task, subject.kind)


def untrained(model: Any, task: str, seed: int) -> Any:
    """A copy of a neural model of a task with the random weights of `seed`, on the same device.

    Raises:
        SettingsError: its output layer needs word counts, which the model does not hold.
    """
    twin = copy.copy(model)
    twin.__dict__.pop("decoder", None)  # which an encoder-decoder keeps for its weights
    with torch.random.fork_rng(devices=[]):  # weights are drawn on the CPU
        torch.manual_seed(seed)
        twin.network = _network(model, task).to(model.device).eval()
    twin.fingerprint = twin.origin = None
    return twin


def _network(model: Any, task: str) -> nn.Module:
    settings = model.network.settings
    if task == LANGUAGE_MODEL:
        return language_models.make_network(settings, model.tokenizer)
    if task == SEQ2SEQ:
        return encoder_decoders.make_network(settings, model.codec.source, model.codec.target)
    return labellers.make_network(settings, model.codec)
