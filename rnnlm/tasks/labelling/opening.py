"""The model that is asked to label: of the task that is needed, or one line that says what it is and what uses it."""

from pathlib import Path
from typing import Any, cast

from rnnlm.errors import UsageError
from rnnlm.interface import Device, LanguageModel
from rnnlm.models import loading
from rnnlm.tasks.model import TaskModel

Labeller = TaskModel | LanguageModel | str | Path  # a model, or the name of one; language models are told apart
_IS = {"tagging": "a tagger", "classification": "a classifier", "": "a language model"}
_DOES = {"tagging": "it labels words", "classification": "it labels whole texts", "": "it gives probabilities of text, and no labels"}
_USED_BY = {
    "tagging": "rnnlm tag uses it (rnnlm.tag from Python)",
    "classification": "rnnlm classify uses it (rnnlm.classify from Python)",
    "": "rnnlm score, generate and eval use it; rnnlm train DATA --task {task} makes {one}",
}


def model_for(task: str, model: Labeller, device: str | Device = "auto") -> TaskModel:
    """The model, which was trained for a task; given by path or name it is loaded.

    Raises:
        UsageError: it was trained for another one. ModelError: there is no such model, or it is damaged. DeviceError: the device is not
            available.
    """
    loaded: Any = loading.load(model, device) if isinstance(model, (str, Path)) else model
    found = loaded.task if isinstance(loaded, TaskModel) else ""
    if found == task:
        return cast(TaskModel, loaded)
    origin = getattr(loaded, "origin", None)
    name = str(model) if isinstance(model, (str, Path)) else "this model" if origin is None else origin[0]
    hint = _USED_BY[found].format(task=task, one=_IS[task])
    raise UsageError(f"{name} is {_IS[found]}, not {_IS[task]}", _DOES[found], hint)
