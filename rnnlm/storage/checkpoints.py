"""Store checkpoints from which a training run resumes: the last few ones, in MODEL/training.

A checkpoint is a file of arrays, state-STEP-HASH.safetensors, and a file of facts of the same name
with .json, which holds the hash of the arrays; HASH is the hash of the facts. The arrays are
written first, each file under a new name and put in place whole; then the oldest checkpoint is
removed. So one is always whole; a damaged one is recognised by its hash, and the one before it is
used.
"""

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnlm.errors import ModelError, OutputError, keyword, notice
from rnnlm.storage.files import tensors
from rnnlm.storage.files.reading import decode_json, read_small
from rnnlm.storage.files.resuming import WAYS_OUT, Identity
from rnnlm.storage.files.writing import digest, replace_file, sha256, writing

if TYPE_CHECKING:
    from rnnlm.events import TrainingState

FOLDER = "training"  # in a model's folder
FORMAT_VERSION = 2


@dataclass(frozen=True)
class LoadedCheckpoint:
    """The state that a run resumes from. identity: identity of the run. settings: settings of the
    run so far."""

    identity: Identity
    settings: Mapping[str, Any]
    state: "TrainingState"


@dataclass(frozen=True)
class _CheckpointFacts:
    """The facts of a checkpoint."""

    identity: dict[str, str]
    settings: dict[str, Any]
    facts: dict[str, Any]
    sha256: str  # of the file of arrays
    format_version: int = field(default=FORMAT_VERSION)


def save(folder: Path, checkpoint: LoadedCheckpoint, keep: int = 1) -> None:
    """Save a checkpoint beside the model in `folder`, and keep the last `keep` of them. Checkpoints
    of later steps are deleted: they belong to an abandoned branch. If it cannot be written, earlier
    ones stay whole."""
    # The facts hold the hash of the arrays, and the names hold the hash of the facts.
    place = folder / FOLDER
    state = checkpoint.state
    pieces = list(tensors.chunks(state.arrays))
    stored = _CheckpointFacts(
        dict(checkpoint.identity), dict(checkpoint.settings), state.facts, digest(pieces)
    )
    data = json.dumps(asdict(stored), allow_nan=False).encode("utf-8", "backslashreplace")
    step = f"state-{state.facts['step']:08d}"
    path = place / f"{step}-{_short(data)}.json"
    if place.is_symlink():
        raise is_a_link(folder)

    # Remove leftovers of an interrupted save, add the new checkpoint, and remove the oldest.
    with writing(place):
        place.mkdir(parents=True, exist_ok=True)
        _remove(place, but=_checkpoints(folder))
        replace_file(path.with_suffix(".safetensors"), pieces)
        replace_file(path, data)
        earlier = [
            earlier_path for earlier_path in _checkpoints(folder) if earlier_path.name < step
        ]
        _remove(place, but=[path, *earlier[: keep - 1]])


def remove(folder: Path) -> None:
    """Delete the checkpoints of an earlier run of `folder`, but nothing that a link leads to."""
    place = folder / FOLDER
    if place.is_symlink():
        return
    with contextlib.suppress(OSError):
        _remove(place)
        place.rmdir()


def is_a_link(folder: Path) -> OutputError:
    """Return the error for a folder of checkpoints that is elsewhere: a run would delete the
    checkpoints of another."""
    return OutputError(
        f"cannot write to {folder / FOLDER}",
        "it is a link, and rnnlm does not write or delete through links",
        "remove the link, or choose another folder with " + keyword("output"),
    )


def load(folder: Path) -> LoadedCheckpoint | None:
    """Load the newest checkpoint of `folder` that is whole; None if there is none. A notice names
    one that is damaged."""
    from rnnlm.events import TrainingState

    # The newest one comes first; a damaged one is reported, and the one before it is tried.
    paths = _checkpoints(folder)
    for path in paths:
        try:
            stored = _read(path)
        except ModelError as error:
            _report_damaged(folder, error.why)
            continue
        file = path.with_suffix(".safetensors")
        if sha256(file) != stored.sha256:
            _report_damaged(folder, f"{file.name} is missing or damaged")
            continue
        arrays = {name: np.array(array) for name, array in tensors.mapped(file).items()}
        return LoadedCheckpoint(
            stored.identity, stored.settings, TrainingState(stored.facts, arrays)
        )

    if paths:
        raise ModelError(
            f"cannot resume the run of {folder}",
            f"all its checkpoints are missing or damaged: {paths[0].stem}",
            WAYS_OUT,
        )
    return None


def _checkpoints(folder: Path) -> list[Path]:
    """Return the files of facts, newest first."""
    return sorted((folder / FOLDER).glob("state-*-*.json"), reverse=True)


def _report_damaged(folder: Path, why: str) -> None:
    notice(f"a checkpoint in {folder} is damaged; trying the one before it: {why}")


def _read(path: Path) -> _CheckpointFacts:
    """Read a file of facts. Raise ModelError if it is damaged or of another version."""
    what = f"cannot resume from {path}"
    try:
        data = read_small(path)
        if path.stem.split("-")[-1] != _short(data):
            raise ModelError(what, f"{path.name} is damaged: its hash does not match")
        stored = decode_json(data, _CheckpointFacts)
    except OSError as error:
        raise ModelError(what, f"{path.name}: {error.strerror or error}") from None
    except ValueError as error:
        raise ModelError(what, f"{path.name} is damaged: {error}") from None
    if stored.format_version != FORMAT_VERSION:
        raise ModelError(
            what,
            f"{path.name} has format {stored.format_version}; this rnnlm reads format "
            f"{FORMAT_VERSION}",
        )
    return stored


def _short(data: bytes) -> str:
    """Return the part of the hash of a checkpoint's facts that is in its name."""
    return digest([data])[:8]


def _remove(place: Path, but: Iterable[Path] = ()) -> None:
    """Delete checkpoints, facts first: arrays without them are no checkpoint."""
    stay = {path.stem for path in but}
    for suffix in (".json*", ".safetensors*"):
        for path in place.glob(f"state*{suffix}"):
            if path.stem not in stay:
                with contextlib.suppress(OSError):
                    path.unlink()
