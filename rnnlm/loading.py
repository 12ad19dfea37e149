"""Opening a model by path or name: the door most callers come through."""

from pathlib import Path

from rnnlm import model_folder
from rnnlm.interface import LanguageModel


def load(name: str | Path, device: str = "auto") -> LanguageModel:
    """The model in a folder, or of that name in ./checkpoints or among those shipped.

    Raises:
        ModelError: there is none, or it is damaged. DeviceError: `device` is not here.
    """
    model, _ = model_folder.load(model_folder.find(str(name)), device)
    return model
