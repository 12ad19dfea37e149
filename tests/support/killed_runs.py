"""Runs of `rnnlm train` that are killed.

A run's outcome is all that must not depend on whether it was killed: weights, averages, optimizer,
random numbers, figures, its log.
"""

import contextlib
import hashlib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rnnlm.events import Checkpoint
from rnnlm.lm.base import stored_model
from rnnlm.storage import model_folder, run_files
from rnnlm.storage.manifest import Manifest, read_manifest
from support import failing_files
from support.forks import FORK, run_command

TINY = {
    "hidden_size": 8, "embedding_size": 8, "batch_rows": 4, "precision": "fp32", "device": "cpu",
    "threads": 1,
}  # fmt: skip


def cut_off(run):
    """End a run of :func:`rnnlm.train` as a kill does: nothing more is written."""
    run._work.events.close()
    run.close()


def cut_off_after(run, step):
    """Train until the checkpoint of `step` is stored, and end the run as a kill does."""
    for event in run:
        if isinstance(event, Checkpoint) and event.step == step:
            break
    next(run)  # by then it is stored
    cut_off(run)


def left_in(folder: Path) -> list[str]:
    """Return the names of files, none of which is half written or of a process that still runs."""
    names = [path.name for path in folder.rglob("*") if path.is_file()]
    assert not [name for name in names if name.endswith(".new") or name.startswith("running-")]
    return names


# the last: as of a report every so often
TIMES = "seconds tokens_per_second read_at cost spent set_aside metrics_bytes last_loss".split()
# looks at layers, as far apart as their cost allows
TIMES += "looked_after look_seconds spectral_radius saturated".split()


@dataclass
class Ended:
    """How a run ended, after how many steps, and in which order it wrote."""

    code: int
    said: str
    steps: int
    seconds: float
    operations: list[str] = field(repr=False)  # empty for runs without a point


class Runs:
    """Starts `rnnlm train` in forks, one at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def said(self) -> str:
        """What the last run has printed so far."""
        return (self.folder / "said.txt").read_text(encoding="utf-8")

    @contextlib.contextmanager
    def started(self, arguments: list[str], point: tuple[str, str] | None = None):
        """Start a run. Yield its process, and the number of its steps as they come. point: where
        it kills itself, see :func:`failing_files.kill_at`."""
        for name in ("said.txt", "operations.txt"):
            (self.folder / name).write_text("")
        steps = FORK.Value("l", 0, lock=False)
        process = FORK.Process(target=train, args=(arguments, self.folder, steps, point))
        process.start()
        try:
            yield process, steps
        finally:
            process.kill()
            process.join()

    def run(
        self,
        arguments: list[str],
        kill_after: float | None = None,
        point: tuple[str, str] | None = None,
    ) -> Ended:
        """Run to the end, or be killed after so many seconds or at a point of writing."""
        began = time.perf_counter()
        with self.started(arguments, point) as (process, steps):
            process.join(120 if kill_after is None else kill_after)
            process.kill()
            process.join()
            seconds = time.perf_counter() - began
        operations = (self.folder / "operations.txt").read_text(encoding="utf-8").splitlines()
        return Ended(process.exitcode, self.said, steps.value, seconds, operations)


def train(arguments: list[str], folder: Path, steps: Any, point: tuple[str, str] | None) -> None:
    """Train in this process, which was forked for it. Count the steps, and note what is written."""
    from rnnlm.cli import signals
    from rnnlm.lm.neural.training.trainer import Trainer

    signals.ONE_WISH_SECONDS = 0.0  # what is sent here twice is meant
    take_step = Trainer.train_step

    def counted(trainer):
        take_step(trainer)
        steps.value = trainer.step_count

    Trainer.train_step = counted
    if point is not None:
        output = Path(arguments[arguments.index("-o") + 1])
        failing_files.kill_at(output, point, folder / "operations.txt")
    run_command(arguments, folder / "said.txt", folder / "said.txt")


def command(
    text: Path, valid: Path, folder: Path, settings: dict[str, Any], **options: Any
) -> list[str]:
    """Return the arguments of a run, which are the same each time."""
    given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    sets = [f"--set={name}={value}" for name, value in {**TINY, **settings}.items()]
    if "task" not in options:
        sets.append("--set=bptt_tokens=8")
    texts = [str(text), f"--valid={valid}", f"--test={valid}"]
    return ["train", *texts, *given, *sets, "-o", str(folder)]


@dataclass(frozen=True)
class Outcome:
    """What a run has come to, but for the time it took."""

    fingerprint: str
    step: int
    results: dict[str, Any]
    # hash of all of the last checkpoint's: weights, best weights, averages, optimizer, hidden
    # state, random numbers
    arrays: str
    facts: dict[str, Any]
    log: list[dict[str, Any]]


def outcome(folder: Path) -> Outcome:
    """Return the outcome of the finished run in `folder`, which has no leftovers."""
    manifest = checked(folder)
    assert manifest is not None and not list(folder.rglob("*.new")), sorted(folder.rglob("*"))
    facts = json.loads(max((folder / "training").glob("state-*.json")).read_text(encoding="utf-8"))
    return Outcome(
        manifest.fingerprint, manifest.step, _timeless(manifest.results),
        facts["sha256"], _timeless(facts["facts"]), log_of(folder),
    )  # fmt: skip


def checked(folder: Path) -> Manifest | None:
    """Check after a kill that the model and checkpoint are whole or absent, in no more room."""
    if not folder.exists():
        return None
    weights = list(folder.glob("weights-*"))
    states = list((folder / "training").glob("state*"))
    # one each may be in the writing
    assert len(weights) <= 2 and len(states) <= 2 * (2 + 1), (weights, states)
    run_files.load_checkpoint(folder)
    if not model_folder.is_model(folder):
        return None
    manifest = read_manifest(folder)
    assert not list(model_folder.file_faults(folder, manifest))
    stored_model.load(folder, "cpu")
    return manifest


def model_files(folder: Path) -> dict[str, str]:
    """Return the hashes of the files that make up a model, by name."""
    paths = [*folder.glob("weights-*"), folder / "vocab.txt"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def newest_step(folder: Path) -> int:
    """Return the step of the checkpoint that the run would resume from; 0 if there is none."""
    return max(
        (int(path.name.split("-")[1]) for path in (folder / "training").glob("state-*.json")),
        default=0,
    )


def log_of(folder: Path) -> list[dict[str, Any]]:
    """Read the validations from metrics.jsonl, checking whole lines in order, none twice."""
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    for kind in ("step", "validated", "kept", "finished"):
        told = [event.get("steps", event.get("step")) for event in events if event["event"] == kind]
        # A run that is stopped after its last step ends twice there.
        once = sorted(told) if kind == "finished" else sorted(set(told))
        assert told == once, (kind, told)
    kinds = [event["event"] for event in events]
    assert kinds[0] == "started" and kinds[-1] == "finished", kinds
    return [_timeless(event) for event in events if event["event"] == "validated"]


def _timeless(facts: Any) -> Any:
    if isinstance(facts, dict):
        return {name: _timeless(value) for name, value in facts.items() if name not in TIMES}
    return facts
