"""What a model is, from its folder alone."""

import dataclasses
import math
from pathlib import Path
from typing import Any

from rnnlm.models import card, loading, model_folder
from rnnlm.text.prepared import checks
from rnnlm.text.prepared.index import is_prepared


def describe(name: str) -> dict[str, Any]:
    """Kind, size, settings, tokenizer, training and numbers of the model called `name`, or of a prepared text its counts; no weights
    are read.

    Raises:
        ModelError: there is none, or its config.json or index.json is damaged.
    """
    if is_prepared(name):
        return checks.describe(Path(name))
    folder = loading.find(name)
    manifest = model_folder.read_manifest(folder)
    kind, tokenizer, shapes = model_folder.content(folder, manifest)
    return {
        "folder": str(folder),
        "model": manifest.model,
        "about": kind.about,
        "fingerprint": manifest.fingerprint,
        "hash": "unchecked" if kind.mapped else "checked when it is loaded",
        "format_version": manifest.format_version,
        "parameters": sum(math.prod(shape) for _, shape in shapes.values()),
        "bytes": sum(entry.bytes for entry in manifest.files.values()),
        "vocabulary_size": tokenizer.size,
        "tokenizer": f"{tokenizer.name}:{tokenizer.fingerprint}",
        "parts": [dataclasses.asdict(part) for part in manifest.parts],
        "step": manifest.step,
        "training": manifest.training,
        "results": manifest.results,
        "settings": card.settings_of(manifest),
        "files": {name: entry.bytes for name, entry in manifest.files.items()},
    }
