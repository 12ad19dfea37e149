"""What a training run writes while it lasts: the best model, checkpoints to go on from, the log of its events.

A disk that is full for an hour must not end a run of a night: what could not be written is reported, and tried again after
:data:`RETRY_SECONDS`; only at the end of the run it is an error. What was written before is whole all the while.
"""

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rnnlm import arrays
from rnnlm.errors import OutputError, notice
from rnnlm.events import (
    Checkpoint,
    CheckpointSaved,
    Counted,
    Estimated,
    Evaluating,
    Event,
    Fitted,
    ModelSaved,
    SaveFailed,
    SaveSignal,
    TrainingState,
    Validated,
    never,
)
from rnnlm.interface import LanguageModel
from rnnlm.models import card, checkpoints, loading, model_folder
from rnnlm.models.manifest import Manifest
from rnnlm.models.metrics_log import MetricsLog
from rnnlm.models.model_parts import ModelArrays, part_folders
from rnnlm.models.registry import LANGUAGE_MODEL
from rnnlm.text.tokenizers.settings import as_stored
from rnnlm.training import resume
from rnnlm.training.plan import Plan

RETRY_SECONDS = 60.0
LAST_TRIES, LAST_PAUSE_SECONDS = 4, 1.0  # at the end of the run
LAST_SECONDS = 2.0  # after which none of those is begun: who asked the run to end waits


@dataclass(frozen=True)
class _Unsaved:
    """The model of `step`, which is still to be saved."""

    step: int
    seconds: float
    model: LanguageModel | ModelArrays


class RunStorage:
    """The folder of a run of `plan`. `facts`: what the model's manifest holds about its texts.

    manifest: of the model in the folder, as far as this run has saved one.
    """

    def __init__(self, plan: Plan, log: MetricsLog, facts: dict[str, Any], save: Callable[[], bool] = never) -> None:
        self.plan = plan
        self.folder = plan.output
        self.log = log
        self.facts = facts
        self.manifest: Manifest | None = None
        self.waiting: _Unsaved | None = None
        self.stored_step = plan.initial.facts["step"] if isinstance(plan.initial, TrainingState) else 0  # of the last checkpoint
        self.save_signal = SaveSignal(save)  # what the fitting asks, so that a retry brings a new checkpoint

    def handle(self, event: Event) -> Iterator[ModelSaved | CheckpointSaved | SaveFailed]:
        """Write what `event` brings, and what is due to be tried again; what came of it."""
        if isinstance(event, Counted | Estimated | Evaluating):
            return
        if (isinstance(event, Checkpoint) or (isinstance(event, Validated) and event.improved)) and event.model is not None:
            self.waiting = _Unsaved(event.step, event.seconds, event.model)
        elif not isinstance(event, Checkpoint) and not (self.waiting and self.save_signal.is_retry_due):
            return
        yield from self._tried(event.step, event.state if isinstance(event, Checkpoint) else None)

    def finish(self, event: Fitted) -> Generator[ModelSaved | CheckpointSaved, None, Manifest]:
        """The last writing, tried a few times; returns the manifest of the model that is there.

        Raises:
            OutputError: it cannot be done; what was written before is whole.
        """
        is_there = self.manifest is not None and self.manifest.step == event.step and model_folder.is_model(self.folder)
        if event.step and event.model is not None and (self.waiting or not is_there):
            self.waiting = _Unsaved(event.step, event.seconds, event.model)
        yield from self._last_tries(lambda: self._written(event.state))
        assert self.manifest is not None
        return self.manifest

    def save_results(self, manifest: Manifest, results: dict[str, dict[str, Any]], facts: dict[str, Any]) -> Manifest:
        """The exact evaluations, and facts of the run, go into the manifest and the model card.

        Raises:
            OutputError: they cannot be written.
        """

        def written() -> Iterator[ModelSaved | CheckpointSaved]:
            nonlocal manifest
            self.manifest = manifest = model_folder.save_results(self.folder, manifest, results, facts)
            card.write(self.folder, manifest, self.plan.data.tokenizer)
            yield from ()

        list(self._last_tries(written))
        return manifest

    def _last_tries(self, written: Callable[[], Iterator[ModelSaved | CheckpointSaved]]) -> Iterator[ModelSaved | CheckpointSaved]:
        """What comes of writing, tried a few times.

        Raises:
            OutputError: it cannot be done.
        """
        began = time.monotonic()
        for attempt in range(LAST_TRIES):
            try:
                yield from written()
                return
            except OutputError as error:
                if attempt == LAST_TRIES - 1 or time.monotonic() + LAST_PAUSE_SECONDS > began + LAST_SECONDS:
                    raise self._given_up(error) from None
            time.sleep(LAST_PAUSE_SECONDS)

    def _tried(self, step: int, state: TrainingState | None) -> Iterator[ModelSaved | CheckpointSaved | SaveFailed]:
        try:
            yield from self._written(state)
            self.save_signal.retry_at = None
        except OutputError as error:
            if self.waiting and not isinstance(self.waiting.model, ModelArrays):
                self.waiting = replace(self.waiting, model=_copied(self.waiting.model))
            self.save_signal.retry_at = time.monotonic() + RETRY_SECONDS
            yield SaveFailed(str(self.folder), step, f"{error.what}: {error.why}", RETRY_SECONDS)

    def _written(self, state: TrainingState | None) -> Iterator[ModelSaved | CheckpointSaved]:
        if state is not None and not self.waiting and self._is_of_the_folder() and not model_folder.is_model(self.folder):
            self.waiting = self._model_of(state)
        if self.waiting:
            self._write_model(self.waiting)
            step, self.waiting = self.waiting.step, None
            self.log.write_to_folder()
            yield ModelSaved(str(self.folder), step)
        if state is not None and self._is_of_the_folder():
            self.log.write()
            state = replace(state, facts={**state.facts, "metrics_bytes": self.log.position})
            run = resume.run_of(self.plan.recipe, self.plan.resolved, self.plan.data)
            run = replace(run, settings=as_stored(run.settings))
            checkpoints.save(self.folder, state, run, self.plan.resolved.values["keep_checkpoints"])
            self.stored_step = state.facts["step"]
            yield CheckpointSaved(str(self.folder), self.stored_step)

    def _model_of(self, state: TrainingState) -> _Unsaved:
        """The model as a checkpoint has it: the folder with the one that was saved has vanished."""
        notice(f"{self.folder} has vanished: it is created again with the model and a checkpoint; everything else in it is lost")
        best, last = (arrays.strip_prefix(part, state.arrays) for part in ("best.", "network."))
        step = state.facts["best"]["step"] if best else state.facts["step"]
        return _Unsaved(step, state.facts["clock"]["seconds"], ModelArrays(self.plan.data.tokenizer, best or last))

    def _is_of_the_folder(self) -> bool:
        """Whether the model in the folder is this run's."""
        return self.manifest is not None or isinstance(self.plan.initial, TrainingState)

    def _parts(self) -> list[Path]:
        """The language models that the model reads: its own copies once there are some, as the originals may be moved meanwhile."""
        if self.plan.request.contextual and not self._is_of_the_folder():
            return [loading.find(name) for name in self.plan.request.contextual]
        there = self.plan.kind.task != LANGUAGE_MODEL and self._is_of_the_folder() and model_folder.is_model(self.folder)
        return part_folders(self.folder, model_folder.read_manifest(self.folder)) if there else []

    def _write_model(self, unsaved: _Unsaved) -> None:
        plan, facts = self.plan, {**self.facts, "seconds": round(unsaved.seconds, 1)}
        name, settings = plan.kind.name, as_stored(plan.resolved.values)
        goes_on, parts = self._is_of_the_folder(), self._parts()
        self.manifest = model_folder.save(
            self.folder, unsaved.model, name, settings, unsaved.step, facts, parts, bundle=True, goes_on=goes_on
        )
        card.write(self.folder, self.manifest, plan.data.tokenizer)

    def _given_up(self, error: OutputError) -> OutputError:
        there = f"the model there is of step {self.manifest.step:,}" if self.manifest else "no model of this run is there"
        there += f", the last checkpoint of step {self.stored_step:,}" if self.stored_step else ""
        return OutputError(error.what, f"{error.why}: the end of the run is not saved, {there}", error.hint)


def _copied(model: Any) -> ModelArrays:
    return ModelArrays(model.tokenizer, {name: np.array(array) for name, array in model.to_arrays().items()})
