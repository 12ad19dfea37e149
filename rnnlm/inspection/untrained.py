"""A network of the same settings at its start: what a model was before it learned anything."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from rnnlm.inspection.common import Subject
from rnnlm.interface import answers_of
from rnnlm.models import registry
from rnnlm.models.manifest import read_manifest
from rnnlm.neural.fitting.settings import RunSettings


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
        twin.network = registry.task(task).new_network(model).to(model.device).eval()
    twin.fingerprint = twin.origin = None
    return twin
