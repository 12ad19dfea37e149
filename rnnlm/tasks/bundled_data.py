"""The bundled corpus that a model was trained on, whose test part it is evaluated on where nothing
else is named."""

from pathlib import Path

import rnnlm.corpora as corpora
from rnnlm.errors import UsageError
from rnnlm.interface import LanguageModel
from rnnlm.models import loading
from rnnlm.models.manifest import read_manifest
from rnnlm.models.registry import LabelModel


def bundled_corpus_of(model: LabelModel | LanguageModel | str | Path, example: str) -> str:
    """Its name. model: itself or by its name. example: a file that data could be in.

    Raises:
        UsageError: the model was trained on other data.
    """
    folder = loading.called(model)
    trained_on = (
        None if folder is None else read_manifest(loading.find(folder)).training.get("text")
    )
    for name in corpora.names():
        if trained_on in ([name], [corpora.named(name)]):
            return name
    raise UsageError("no data to evaluate on", hint=f"name a file: evaluate(model, {example!r})")
