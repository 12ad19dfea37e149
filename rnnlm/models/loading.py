"""Opening a model by path or name: the door most callers come through."""

import os
from pathlib import Path

from rnnlm import checkpoints
from rnnlm.errors import ModelError
from rnnlm.interface import LanguageModel, Tokenizer
from rnnlm.models import model_folder
from rnnlm.text.prepared import prepared_text
from rnnlm.text.prepared.index import is_prepared, read_index

SHIPPED = checkpoints.FOLDER / "demo"


def load(name: str | Path = SHIPPED, device: str = "auto") -> LanguageModel:
    """The model in a folder, or of that name in ./checkpoints or among those shipped; without a name the shipped one, an LSTM of
    the bundled corpus.

    Raises:
        ModelError: there is none, or it is damaged. DeviceError: `device` is not here.
    """
    model, _ = model_folder.load(find(str(name)), device)
    return model


def load_tokenizer(name: str) -> Tokenizer:
    """The tokenizer of a model given as for :func:`load`, or of a prepared text; nothing else is read.

    Raises:
        ModelError: there is none, or it is damaged.
    """
    if is_prepared(name):
        return prepared_text.load_tokenizer(Path(name), read_index(Path(name)))
    folder = find(name)
    return model_folder.load_tokenizer(folder, model_folder.read_manifest(folder))


def find(name: str) -> Path:
    """The folder of a model given by path, or by name: in ./checkpoints, then among those shipped.

    Raises:
        ModelError: there is none.
    """
    path = Path(name)
    candidates = [path]
    if path.name == name:
        candidates += [Path("checkpoints") / name, *(folder for folder in shipped() if folder.name == name)]
    for candidate in candidates:
        if model_folder.is_model(candidate):
            return candidate
    if os.path.exists(path):
        model_folder.read_manifest(path)
    mine = Path("checkpoints").iterdir() if Path("checkpoints").is_dir() else ()
    known = {folder.name for folder in (*mine, *shipped()) if model_folder.is_model(folder)}
    hint = f"there are: {', '.join(sorted(known))}" if known else "train one: rnnlm train"
    raise ModelError(f"no model at {name}", "there is no such folder", hint)


def shipped() -> list[Path]:
    """The folders of the models that come with rnnlm."""
    return [checkpoints.FOLDER / name for name in checkpoints.NAMES]
