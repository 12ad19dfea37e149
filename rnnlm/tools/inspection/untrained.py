"""Make a network with the same settings as it was before training."""

import copy
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from rnnlm.lm.base import loading
from rnnlm.lm.neural.training.settings import RunSettings
from rnnlm.storage.manifest import read_manifest
from rnnlm.tools.inspection.common import InspectedModel

UNTRAINED = ", untrained"  # after the name of a model


def with_starts(subjects: Sequence[InspectedModel]) -> list[InspectedModel]:
    """Return each subject followed by the same network before training."""
    pairs = [(subject, at_start(subject)) for subject in subjects]
    return list(itertools.chain.from_iterable(pairs))


def at_start(subject: InspectedModel) -> InspectedModel:
    """Return the same model with the random weights that its training began with, from its settings
    and its seed (the default one, if it was not loaded from a folder). A run may also begin with
    weights of another model and vectors from a file; these are not read."""
    origin = loading.origin_of(subject.model)
    seed = RunSettings.seed
    if origin is not None:
        seed = int(read_manifest(Path(origin[0])).settings.get("seed", seed))
    start = untrained(subject.model, seed)
    return InspectedModel(f"{subject.name}{UNTRAINED}", start, subject.task, subject.kind)


def untrained(model: Any, seed: int) -> Any:
    """Copy a neural model with the random weights of `seed`, on the same device."""
    twin = copy.copy(model)
    twin.__dict__.pop("decoder", None)  # which an encoder-decoder keeps for its weights
    with torch.random.fork_rng(devices=[]):  # weights are drawn on the CPU
        torch.manual_seed(seed)
        twin.network = model.new_network().to(model.device).eval()
    twin.fingerprint = twin.origin = None
    return twin
