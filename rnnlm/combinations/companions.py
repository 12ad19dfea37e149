"""What is kept in a model's folder for adapting it: tuned settings, and gradient statistics.
Companions of the model, not part of it."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rnnlm.combinations.settings import KINDS
from rnnlm.config import Layer, resolve
from rnnlm.errors import ModelError, SettingsError
from rnnlm.files import tensors
from rnnlm.files import writing as safe_files
from rnnlm.files.reading import read_json
from rnnlm.files.writing import replace_file, writing

STATISTICS = "adapt-dynamic.safetensors"
_OWNER = "model"  # the array that holds the fingerprint of the model whose gradients they are
_HASH = "sha256"  # and the one that holds the hash of all others
_ANEW = (
    "gather them again: rnnlm tune --adapt dynamic --statistics TRAINING_TEXT, or do "
    "without: adaptation_rule=sgd"
)


@dataclass(frozen=True)
class TunedSettings:
    """Settings chosen on a text, the fingerprint of the model they were chosen for, and the
    perplexities on that text."""

    kind: str
    settings: dict[str, Any]
    model: str | None = None
    data: str = ""  # hash over the lines of the text
    tokens: int = 0
    ppl_before: float | None = None
    ppl_after: float | None = None
    format_version: int = field(default=1)


def save_tuned(folder: Path, tuned: TunedSettings) -> Path:
    """Write them into the model's folder, in the place of earlier ones.

    Raises:
        OutputError: they cannot be written.
    """
    path = settings_path(folder, tuned.kind)
    with writing(folder):
        replace_file(
            path, json.dumps(dataclasses.asdict(tuned), indent=2, allow_nan=False).encode() + b"\n"
        )
    return path


def read_tuned(folder: Path, kind: str) -> TunedSettings | None:
    """The tuned settings for `kind`, checked; None where there are none.

    Raises:
        ModelError: they are damaged.
    """
    path = settings_path(folder, kind)
    if not path.exists():
        return None
    damaged, hint = (
        f"the settings in {path} are damaged",
        f"tune again: rnnlm tune --adapt {kind}, or delete the file",
    )
    tuned = read_json(path, TunedSettings, ModelError, damaged, hint)
    try:
        resolve([KINDS[kind]], [Layer(path.name, tuned.settings)])
    except SettingsError as error:
        raise ModelError(damaged, str(error), hint) from None
    return tuned


def settings_path(folder: Path, kind: str) -> Path:
    return folder / f"adapt-{kind}.json"


def save_statistics(folder: Path, statistics: dict[str, np.ndarray], fingerprint: str) -> Path:
    """Write MS_g of each weight into the folder of the model with that fingerprint.

    Raises:
        OutputError: they cannot be written.
    """
    owned = {**statistics, _OWNER: _as_array(fingerprint)}
    with writing(folder):
        replace_file(folder / STATISTICS, tensors.chunks({**owned, _HASH: _as_array(_hash(owned))}))
    return folder / STATISTICS


def read_statistics(
    folder: Path, weights: dict[str, tuple[int, ...]], fingerprint: str | None
) -> dict[str, np.ndarray] | None:
    """MS_g of each of the `weights` (shape by name) of the model with that fingerprint; None where
    none were gathered.

    Raises:
        ModelError: they are damaged, or belong to the weights that the model had before it was
            trained again.
    """
    path = folder / STATISTICS
    if not path.exists():
        return None
    found = _statistics(path)
    owner = found.pop(_OWNER, _as_array("")).tobytes()
    if owner != (fingerprint or "").encode():
        why = "the model was trained again after they were gathered"
        raise ModelError(f"the gradient statistics in {path} belong to other weights", why, _ANEW)
    is_whole = {name: array.shape for name, array in found.items()} == weights
    if not is_whole or not all(_are_squares(array) for array in found.values()):
        raise ModelError(
            f"the gradient statistics in {path} are damaged",
            "there must be one number, zero or more, for each weight",
            _ANEW,
        )
    return found


def check(folder: Path) -> list[str]:
    """The names of the files in `folder` that are kept for adapting its model, each found to be
    whole.

    Raises:
        ModelError: one is damaged.
    """
    found = [settings_path(folder, kind).name for kind in KINDS if read_tuned(folder, kind)]
    if (folder / STATISTICS).exists():
        _statistics(folder / STATISTICS)
        found.append(STATISTICS)
    return found


def _statistics(path: Path) -> dict[str, np.ndarray]:
    """All arrays of the file but their hash, which is checked; files of earlier versions have no
    hash."""
    try:
        found = {name: np.array(array) for name, array in tensors.mapped(path).items()}
    except ModelError as error:
        raise ModelError(
            f"the gradient statistics in {path} are damaged", error.why, _ANEW
        ) from None
    recorded = found.pop(_HASH, None)
    if recorded is not None and recorded.tobytes() != _hash(found).encode():
        raise ModelError(
            f"the gradient statistics in {path} are damaged",
            "their SHA-256 is not the one recorded",
            _ANEW,
        )
    return found


def _hash(arrays: dict[str, np.ndarray]) -> str:
    return safe_files.digest(tensors.chunks(arrays))


def _as_array(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), dtype=np.uint8)


def _are_squares(array: np.ndarray) -> bool:
    return array.dtype == np.float32 and bool((array >= 0).all() and np.isfinite(array).all())
