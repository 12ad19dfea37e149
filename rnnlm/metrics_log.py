"""metrics.jsonl of a model folder: one JSON line per event of a training run, written and read."""

import json
import math
from pathlib import Path
from typing import IO, Any

from rnnlm.events import Event, Step
from rnnlm.safe_files import writing

METRICS = "metrics.jsonl"
STEP_LOG_SECONDS = 10.0


class MetricsLog:
    """Events as JSON lines, held back until the folder has a model of this run; a Step now and then only.

    goes_on: the run goes on from an earlier one of the folder, and so does the file; else it is replaced.
    """

    def __init__(self, folder: Path, goes_on: bool = False) -> None:
        self.folder = folder
        self.mode = "a" if goes_on else "w"
        self.pending: list[str] = []
        self.stream: IO[str] | None = None
        self.last_step = -STEP_LOG_SECONDS

    def add(self, event: Event) -> None:
        """Note `event`.

        Raises:
            OutputError: the file cannot be written.
        """
        if isinstance(event, Step):
            if event.seconds - self.last_step < STEP_LOG_SECONDS:
                return
            self.last_step = event.seconds
        line = json.dumps({"event": type(event).__name__.lower(), **_plain(event)}, ensure_ascii=False) + "\n"
        if self.stream is None:
            self.pending.append(line)
            return
        with writing(self.folder):
            self.stream.write(line)
            self.stream.flush()

    def write_to_folder(self) -> None:
        """From now on lines go to the file."""
        if self.stream is not None:
            return
        path = self.folder / METRICS
        with writing(self.folder):
            if path.is_symlink():  # what it leads to is not ours
                path.unlink()
            self.stream = open(path, self.mode, encoding="utf-8", errors="backslashreplace")
            self.stream.writelines(self.pending)
            self.stream.flush()

    def close(self) -> None:
        if self.stream is not None:
            with writing(self.folder):
                self.stream.close()


def read_events(folder: Path) -> list[dict[str, Any]]:
    """The events in the file of `folder`, oldest first; none where there is no file. A line cut short, as by a kill, is left out."""
    try:
        lines = (folder / METRICS).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    events = []
    for line in lines:
        try:
            events.append(json.loads(line))
        except ValueError:
            continue
    return [event for event in events if isinstance(event, dict)]


def _plain(event: Event) -> dict[str, Any]:
    """The fields JSON can hold: no model, no state of training; it has no infinity either, so such values become null."""
    fields = {name: value for name, value in vars(event).items() if name != "state" and (name != "model" or isinstance(value, str))}
    return {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in fields.items()}
