"""Models of tasks evaluated on labelled data, and compared on it."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, cast

from rnnlm.evaluation.labels.spans import Mode
from rnnlm.interface import Device
from rnnlm.models import loading
from rnnlm.tasks.data import LabelledData
from rnnlm.tasks.evaluation import figures
from rnnlm.tasks.evaluation.bundled_data import bundled_corpus_of
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
        data = bundled_corpus_of(model, "test.conllu")
    its = cast(TaskModel, model if isinstance(model, TaskModel) else loading.load(model, device))
    return figures.measure(its, opened(its, data, labels, reading), mode)


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
