"""The model that is asked to label, which must be of the task that this needs."""

from pathlib import Path
from typing import cast

from rnnlm.interface import Device, LanguageModel
from rnnlm.models import loading, uses
from rnnlm.models.uses import LabelModel
from rnnlm.tasks.model import TaskModel

Labeller = LabelModel | LanguageModel | str | Path  # a model, or the name of one; language models are told apart


def model_for(command: str, model: Labeller, device: str | Device = "auto") -> TaskModel:
    """The model, which a command ("tag", "classify") does something with; given by path or name it is loaded.

    Raises:
        UsageError: it was trained for another task. ModelError: there is no such model, or it is damaged. DeviceError: the device is not
            available.
    """
    uses.check_use(command, loading.task_of(model), loading.called(model))
    return cast(TaskModel, loading.opened(model, device))
