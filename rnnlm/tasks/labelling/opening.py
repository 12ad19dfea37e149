"""The model that is asked to label: of the task that is needed, or one line that says what it is and what uses it."""

import os
import shlex
from pathlib import Path
from typing import Any, cast

from rnnlm.errors import UsageError
from rnnlm.interface import Device, LanguageModel
from rnnlm.models import loading
from rnnlm.models.registry import LANGUAGE_MODEL
from rnnlm.models.uses import CLASSIFICATION, TAGGING, LabelModel
from rnnlm.tasks.model import TaskModel

Labeller = LabelModel | LanguageModel | str | Path  # a model, or the name of one; language models are told apart
_IS = {TAGGING: "a tagger", CLASSIFICATION: "a classifier", LANGUAGE_MODEL: "a language model"}
_DOES = {TAGGING: "it labels words", CLASSIFICATION: "it labels whole texts", LANGUAGE_MODEL: "it has learned no labels"}
_USED_BY = {TAGGING: "rnnlm tag{name}", CLASSIFICATION: "rnnlm classify{name}", LANGUAGE_MODEL: "rnnlm score{name}, generate or eval"}


def model_for(task: str, model: Labeller, device: str | Device = "auto") -> TaskModel:
    """The model, which was trained for a task; given by path or name it is loaded.

    Raises:
        UsageError: it was trained for another one. ModelError: there is no such model, or it is damaged. DeviceError: the device is not
            available.
    """
    found = loading.task_of(model)
    if found != task:
        name = loading.called(model)
        hint = _USED_BY[found].format(name="" if name is None else f" -m {shlex.quote(name)}")
        if found == LANGUAGE_MODEL:
            hint += f"; rnnlm train DATA --task {task} makes {_IS[task]}"
        raise UsageError(f"{name or 'this model'} is {_IS[found]}, not {_IS[task]}", _DOES[found], hint)
    loaded: Any = loading.load(model, device) if isinstance(model, (str, os.PathLike)) else model
    return cast(TaskModel, loaded)
