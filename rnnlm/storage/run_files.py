"""What a training run keeps beside its model: checkpoints from which it resumes, the last few ones,
in MODEL/training, and metrics.jsonl, one JSON line per event.

A checkpoint is a file of arrays, state-STEP-HASH.safetensors, and a file of facts of the same name
with .json, which holds the hash of the arrays; HASH is the hash of the facts. The arrays are
written first, each file under a new name and put in place whole; then the oldest checkpoint is
removed. So one is always whole; a damaged one is recognised by its hash, and the one before it is
used.
"""

import contextlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from rnnlm.errors import ModelError, OutputError, keyword, notice
from rnnlm.storage.files import tensors
from rnnlm.storage.files.reading import decode_json, read_small
from rnnlm.storage.files.resuming import WAYS_OUT, Identity
from rnnlm.storage.files.writing import digest, open_appending, replace_file, sha256, writing

if TYPE_CHECKING:
    from rnnlm.events import Event, TrainingState

CHECKPOINT_FOLDER = "training"  # in a model's folder
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


def save_checkpoint(folder: Path, checkpoint: LoadedCheckpoint, keep: int = 1) -> None:
    """Save a checkpoint beside the model in `folder`, and keep the last `keep` of them. Checkpoints
    of later steps are deleted: they belong to an abandoned branch. If it cannot be written, earlier
    ones stay whole."""
    # The facts hold the hash of the arrays, and the names hold the hash of the facts.
    place = folder / CHECKPOINT_FOLDER
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


def remove_checkpoints(folder: Path) -> None:
    """Delete the checkpoints of an earlier run of `folder`, but nothing that a link leads to."""
    place = folder / CHECKPOINT_FOLDER
    if place.is_symlink():
        return
    with contextlib.suppress(OSError):
        _remove(place)
        place.rmdir()


def is_a_link(folder: Path) -> OutputError:
    """Return the error for a folder of checkpoints that is elsewhere: a run would delete the
    checkpoints of another."""
    return OutputError(
        f"cannot write to {folder / CHECKPOINT_FOLDER}",
        "it is a link, and rnnlm does not write or delete through links",
        "remove the link, or choose another folder with " + keyword("output"),
    )


def load_checkpoint(folder: Path) -> LoadedCheckpoint | None:
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
    return sorted((folder / CHECKPOINT_FOLDER).glob("state-*-*.json"), reverse=True)


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


# ---- The log of events.

METRICS = "metrics.jsonl"
# A Step is noted after so long, or after this share of the budget: a short run has points, too.
STEP_LOG_SECONDS, STEP_LOG_SHARE = 10.0, 1 / 40


class MetricsLog:
    """Events as JSON lines, held back until the folder has a model of this run, or the run ends
    without one. A Step is noted only now and then, with the largest gradient norm since the one
    before.

    position: bytes of the file that belong to this run. is_open: whether lines go to the file.
    Those that cannot be written are held back, and tried again with the next one.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / METRICS
        self.position = 0
        self.pending: list[bytes] = []
        self.is_open = False
        self.last_step, self.last_progress = -STEP_LOG_SECONDS, 0.0
        self.largest_norm = 0.0

    def add(self, event: "Event") -> None:
        """Note `event`."""
        from rnnlm.events import Step  # a model is loaded without it

        if isinstance(event, Step):
            # NaN, which RolledBack reports, is never larger.
            self.largest_norm = max(self.largest_norm, event.gradient_norm_max)
            is_soon = event.seconds - self.last_step < STEP_LOG_SECONDS
            if is_soon and event.progress - self.last_progress < STEP_LOG_SHARE - 1e-9:
                return
            event = replace(event, gradient_norm_max=self.largest_norm)
            self.last_step, self.largest_norm = event.seconds, 0.0
            self.last_progress = event.progress
        record = {"event": event.kind, **_plain(event)}
        line = json.dumps(record, ensure_ascii=False, default=msgspec.to_builtins) + "\n"
        self.pending.append(line.encode("utf-8", "backslashreplace"))
        if self.is_open:
            self.write()

    def resume(
        self, position: int | None = None, step: float = math.inf, validated: float = math.inf
    ) -> None:
        """Write to the file of a run that is resumed after `step`, and remembers validations up to
        the one of step `validated`.

        Lines that will come again are removed from the file: later steps, behind the `position`
        that it had then (None: at its end); a later validation of that very step; a line cut short.
        """
        self.position = 0
        kept, start = [], 0
        with contextlib.suppress(OSError), open(self.path, "rb") as stream:
            for line in stream:
                kind, at = _kind_and_step(line)
                is_later = at > step and position is not None and start >= position
                is_again = kind == "validated" and at == step > validated
                start += len(line)
                if is_later or is_again or not line.endswith(b"\n"):
                    continue
                # Lines before the first removed one stay where they are; later ones move up.
                if self.position + len(line) == start:
                    self.position = start
                else:
                    kept.append(line)
        self.pending = [*kept, *self.pending]
        self.write_to_folder()

    @property
    def is_complete(self) -> bool:
        """Whether the file holds the end of the run."""
        return [event.get("event") for event in read_events(self.path.parent)[-1:]] == ["finished"]

    def write_to_folder(self) -> None:
        """Write pending lines to the file, and all later ones."""
        if not self.is_open:
            self.is_open = True
            # The file that a link leads to is not ours.
            if self.path.is_symlink():
                with contextlib.suppress(OSError):
                    self.path.unlink()
            self.write()

    def write(self) -> bool:
        """Append the pending lines, directly behind the earlier ones. Return whether that was
        possible."""
        data = b"".join(self.pending)
        try:
            with open_appending(self.path) as stream:
                if stream.tell() > self.position:
                    stream.truncate(self.position)
                stream.write(data)
                stream.flush()
                self.position = stream.tell()
        except OSError:
            return False
        self.pending = []
        return True


def read_events(folder: Path) -> list[dict[str, Any]]:
    """Return the events in the file of `folder`, oldest first; none where there is no file. A line
    cut short, as by a kill, is left out."""
    try:
        lines = (folder / METRICS).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    events = []
    for line in lines:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict):
            events.append(event)
    return events


def fitted(folder: Path) -> dict[str, Any]:
    """Return the last event in the file of `folder` that says how the training ended; empty where
    there is none."""
    events = reversed(read_events(folder))
    return next((event for event in events if event.get("event") == "fitted"), {})


def is_of_a_run(folder: Path) -> bool:
    """Return whether `folder` has such a file, and a training run wrote it."""
    return [event.get("event") for event in read_events(folder)[:1]] == ["started"]


def _kind_and_step(line: bytes) -> tuple[str, float]:
    """Return (kind, step) of the event in a line; of step infinity if it is damaged."""
    try:
        event = json.loads(line)
        return str(event.get("event")), float(event.get("steps", event.get("step", 0)))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return "", math.inf


def _plain(event: "Event") -> dict[str, Any]:
    """Return the fields that JSON can hold: no model, no state of training."""
    from rnnlm.events import Validated

    record = event.record() if isinstance(event, Validated) else vars(event)
    fields = {}
    for name, value in record.items():
        # An event of a network has a model in memory, others its kind.
        if name == "state" or (name == "model" and not isinstance(value, str)):
            continue
        # JSON has no infinity and no NaN.
        is_number = not isinstance(value, float) or math.isfinite(value)
        fields[name] = value if is_number else None
    return fields
