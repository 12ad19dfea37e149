"""Read and write metrics.jsonl of a model folder: one JSON line per event of a training run."""

import contextlib
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from rnnlm.storage.files.writing import open_appending

if TYPE_CHECKING:
    from rnnlm.events import Event

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
