"""Models of tasks evaluated on labelled data, and compared on it."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, cast

import rnnlm.corpora as corpora
from rnnlm.errors import UsageError
from rnnlm.evaluation.labels.spans import Mode
from rnnlm.interface import Device
from rnnlm.models import loading
from rnnlm.models.manifest import read_manifest
from rnnlm.tasks.data import LabelledData
from rnnlm.tasks.evaluation import figures
from rnnlm.tasks.evaluation.evaluation_data import labelled_data, open_data
from rnnlm.tasks.evaluation.figures import TaskEvaluation
from rnnlm.tasks.model import TaskModel
from rnnlm.text.labelled.example import LabelledText

Labelled = str | Path | Sequence[str | Path] | LabelledText | LabelledData


def evaluate(
    model: TaskModel | str | Path, data: Labelled | None = None, *, labels: Sequence[str | Path] = (), mode: Mode = "conlleval",
    reading: Mapping[str, Any] | None = None, device: str | Device = "auto",
) -> TaskEvaluation:  # fmt: skip
    """The figures of a model, itself or by its name, on labelled data: files, which are read as its training data were, or examples.

    data: None stands for the test part of the bundled corpus that the model was trained on.
    labels: for each file one with its labels, where these are in files of their own. mode: how spans are counted, "conlleval" or "strict".
    reading: those of :class:`~rnnlm.text.labelled.settings.LabelledSettings` that are to differ from the training data's.

    Raises:
        TextError: a file cannot be read. UsageError: the data do not have the labels that the model has learned. ModelError: there is no
            such model, or it is damaged. DeviceError: `device` is not available.
    """
    if data is None:
        data = _bundled_test(model)
    its = cast(TaskModel, model if isinstance(model, TaskModel) else loading.load(model, device))
    return figures.measure(its, opened(its, data, labels, reading), mode)


def _bundled_test(model: TaskModel | str | Path) -> str:
    """The bundled corpus that the model was trained on, by its name.

    Raises:
        UsageError: it was trained on other data.
    """
    folder = loading.called(model)
    trained_on = None if folder is None else read_manifest(loading.find(folder)).training.get("text")
    for name in corpora.names():
        if trained_on in ([name], [corpora.named(name)]):
            return name
    raise UsageError("no data to evaluate on", hint="name a file: evaluate(model, 'test.conllu')")


def opened(
    model: TaskModel, data: Labelled, labels: Sequence[str | Path] = (), reading: Mapping[str, Any] | None = None, called: str = ""
) -> LabelledData:
    """Labelled data as `model` reads them; what is given is as for :func:`evaluate`. called: the model, in notices, where there are
    several."""
    if isinstance(data, LabelledData):
        return data
    if isinstance(data, LabelledText):
        return labelled_data(model.codec, data, "the data", called)
    return open_data(model, [data] if isinstance(data, (str, PathLike)) else data, labels, reading, called)
