"""The models that are looked at: opened, named, and checked for having what is to be seen."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnlm.errors import UsageError
from rnnlm.evaluation.comparison.comparability import names_of
from rnnlm.inspection.applies import check_applies
from rnnlm.interface import Device, LanguageModel
from rnnlm.models import loading
from rnnlm.models.manifest import read_manifest
from rnnlm.models.uses import LabelModel

Model = LanguageModel | LabelModel | str | Path  # a model, or the name of one
OF_PROBABILITIES = ("memory", "cloze")  # looks that ask for probabilities only, which a model that adapts itself gives, too

Models = Mapping[str, Model] | Sequence[Model]  # several, with a name for each


@dataclass(frozen=True)
class Subject:
    """A model that is looked at. kind: as config.json has it: "lstm", "ngram", "mixture"."""

    name: str
    model: Any
    task: str
    kind: str


def subject(what: str, model: Model, device: str | Device = "auto", name: str | None = None) -> Subject:
    """A model, opened, that `what` applies to.

    Raises:
        UsageError: `what` does not apply to it. ModelError: there is no such model. DeviceError: `device` is not available.
    """
    shown = name or loading.called(model) or "the model"
    if isinstance(model, (str, os.PathLike)):
        base, kind_of_adaptation = loading.without_adaptation(str(model))
        adapts, manifest = kind_of_adaptation is not None, read_manifest(loading.find(base))
        task, kind = manifest.task, manifest.model
    else:
        base, adapts = shown, getattr(model, "adaptation", "none") != "none"
        task, kind = loading.task_of(model), kind_in_memory(model)
    check_applies(what, shown, task, kind)
    if adapts and what not in OF_PROBABILITIES:
        raise UsageError(
            f"inspect {what} looks at a network itself", f"{shown} adapts itself to what it reads", f"name the model: -m {base}"
        )
    return Subject(shown, loading.opened(model, device), task, kind)


def subjects(what: str, models: Models, device: str | Device = "auto") -> list[Subject]:
    """Several models, opened, that `what` applies to, by short names that differ.

    Raises:
        UsageError: there is none, or `what` does not apply to one. Else as :func:`subject`.
    """
    given = models if isinstance(models, Mapping) else dict(zip(_names(models), models, strict=True))
    if not given:
        raise UsageError(f"inspect {what} needs a model", "none is named")
    return [subject(what, model, device, name) for name, model in given.items()]


def _names(models: Sequence[Model]) -> list[str]:
    return names_of([str(loading.called(model) or "model") for model in models], None)


def kind_in_memory(model: Any) -> str:
    """The kind of a model that is opened, as its config.json has it."""
    if settings := getattr(getattr(model, "network", None), "settings", None):
        return str(settings.model)
    if hasattr(model, "parts"):
        return "mixture"
    return kind_in_memory(model.model) if hasattr(model, "model") else "ngram"
