"""The bundled corpora: how many words their texts have, and which of them a model was trained on,
whose test part it is evaluated on where nothing else is named."""

from pathlib import Path
from typing import Any

import rnnlm.corpora as corpora
from rnnlm.errors import UsageError
from rnnlm.files import tables
from rnnlm.models import loading
from rnnlm.models.manifest import read_manifest
from rnnlm.text.labelled import conllu
from rnnlm.text.labelled.example import LabelledSettings


def bundled_corpus_of(model: Any | str | Path, example: str) -> str:
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


def words_of_text(name: str, file: str) -> int:
    """Count the words of the texts in a file of a bundled corpus, its labels and names left out."""
    path = str(corpora.part(name, file))
    if file.endswith(".conllu"):
        return sum(len(each.words) for each in conllu.read(path, LabelledSettings()).examples)
    columns = corpora.TEXT_COLUMNS.get(name, {}).get(file)
    if columns is None:
        return len(Path(path).read_bytes().split())
    return sum(len(row.values[column].split()) for row in tables.rows(path) for column in columns)
