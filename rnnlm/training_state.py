"""What a training run goes on from, beside its model: MODEL/training/state.json and the arrays it names.

The arrays are written first, under a name of their own; state.json, which holds their hash, replaces the earlier one
atomically; so a reader sees the old state or the new one.
"""

import contextlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from rnnlm import array_files, safe_files
from rnnlm.errors import ModelError, UsageError
from rnnlm.events import TrainingState
from rnnlm.manifest import is_model
from rnnlm.safe_files import replace_file, writing
from rnnlm.small_files import read_small

FOLDER, STATE = "training", "state.json"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Run:
    """Which run it is: it goes on with the same settings (but for those of its length and device), text and tokenizer."""

    recipe: str | None
    settings: dict[str, Any]
    train_data: str
    valid_data: str | None
    tokenizer: str


@dataclass(frozen=True)
class _Stored:
    """The content of state.json."""

    run: Run
    facts: dict[str, Any]
    file: str
    sha256: str
    format_version: int = field(default=FORMAT_VERSION)


def save(folder: Path, state: TrainingState, run: Run) -> None:
    """Keep `state` beside the model in `folder`, in place of an earlier one.

    Raises:
        OutputError: it cannot be written; an earlier one is whole.
    """
    place = folder / FOLDER
    pieces = list(array_files.chunks(state.arrays))
    digest = safe_files.digest(pieces)
    stored = _Stored(run, state.facts, f"state-{state.facts['step']:08d}-{digest[:8]}.safetensors", digest)
    with writing(place):
        place.mkdir(exist_ok=True)
        replace_file(place / stored.file, pieces)
        replace_file(place / STATE, json.dumps(asdict(stored), allow_nan=False).encode("utf-8", "backslashreplace"))
        _remove(place, but=stored.file)


def remove(folder: Path) -> None:
    """Forget what an earlier run of `folder` would go on from."""
    place = folder / FOLDER
    with contextlib.suppress(OSError):
        (place / STATE).unlink(missing_ok=True)
        _remove(place)
        place.rmdir()


def is_there(folder: Path) -> bool:
    """Whether `folder` holds what a run could go on from."""
    return (folder / FOLDER / STATE).is_file()


def load_run(folder: Path) -> Run:
    """Which run `folder` could go on with.

    Raises:
        UsageError: none. ModelError: what is there is damaged.
    """
    return _read(folder).run


def load(folder: Path) -> TrainingState:
    """What the run of `folder` goes on from.

    Raises:
        UsageError: there is none. ModelError: it is damaged.
    """
    stored = _read(folder)
    path = folder / FOLDER / stored.file
    if stored.file != path.name or safe_files.sha256(path) != stored.sha256:
        raise ModelError(f"cannot resume the run of {folder}", f"{FOLDER}/{stored.file} is missing or damaged", _way_out(folder))
    return TrainingState(stored.facts, {name: np.array(array) for name, array in array_files.mapped(path).items()})


def _read(folder: Path) -> _Stored:
    path = folder / FOLDER / STATE
    try:
        stored = msgspec.convert(json.loads(read_small(path)), _Stored)
    except FileNotFoundError:
        why = f"there is no {FOLDER}/{STATE}: there was no run, it ended early, was killed before that was written, or kept nothing"
        raise UsageError(f"there is nothing to resume in {folder}", why, _way_out(folder)) from None
    except OSError as error:
        raise ModelError(f"cannot read {path}", error.strerror or str(error)) from None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"cannot resume the run of {folder}", f"{FOLDER}/{STATE} is damaged: {error}", _way_out(folder)) from None
    if stored.format_version > FORMAT_VERSION:
        raise ModelError(f"the run in {folder} has format {stored.format_version}", f"this rnnlm reads up to {FORMAT_VERSION}", "upgrade rnnlm")
    return stored


def _way_out(folder: Path) -> str:
    if is_model(folder):
        return f"start a run of its own from the model's weights: --init-from {folder} --tokenizer-from {folder} -o ANOTHER"
    return "leave --resume out"


def _remove(place: Path, but: str = "") -> None:
    for path in place.glob("state-*.safetensors*"):
        if path.name != but:
            with contextlib.suppress(OSError):
                path.unlink()
