"""Run a plan: fit, save the best weights as they come, evaluate them exactly at the end.

There is no mathematics here: the family's fitting, found through the registry, yields the events
that are passed on.
"""

import math
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from rnnlm import registry
from rnnlm.amounts import amount
from rnnlm.choices import THE_VALIDATIONS
from rnnlm.config import Choice, as_stored
from rnnlm.errors import (
    OutputError,
    ReportedByOtherProcess,
    TrainingError,
    joined_message,
    keyword,
    notice,
)
from rnnlm.evaluation.metrics import with_intervals
from rnnlm.events import (
    Checkpoint,
    CheckpointSaved,
    Chosen,
    Counted,
    Counting,
    Estimated,
    Evaluating,
    Event,
    Finished,
    Fitted,
    ModelSaved,
    SaveFailed,
    SaveSignal,
    Started,
    Step,
    TrainingState,
    Validated,
    never,
)
from rnnlm.interface import LanguageModel, SourcedData, TextData
from rnnlm.lm.base import loading, stored_model
from rnnlm.storage import model_folder
from rnnlm.storage.files import lock
from rnnlm.storage.files.writing import free_bytes, sha256
from rnnlm.storage.manifest import CONFIG, Manifest, ModelArrays, part_folders
from rnnlm.storage.run_files import LoadedCheckpoint, MetricsLog, save_checkpoint
from rnnlm.system import current_rank
from rnnlm.text.lines import Progress, prefixed, silent
from rnnlm.training import card
from rnnlm.training.plan import Plan
from rnnlm.training.run_folder import CompletedRun

# ---- The files that a training run writes during training: the best model, checkpoints to resume
# from, the log of its events.
#
# A disk that is full for an hour must not end a run that takes all night: a failed write is
# reported, and tried again after :data:`RETRY_SECONDS`. After the second failure training pauses,
# as steps that are not saved may be lost; after :data:`PAUSE_SECONDS` it ends with its current
# state. Only at the end of the run is it an error. Earlier files stay intact.

RETRY_SECONDS = 60.0
PAUSE_SECONDS = 12 * 3600.0
MOST_FAILURES = 2  # in a row, before training pauses
# At the end of the run. No try begins after LAST_SECONDS: someone who stopped the run is waiting.
LAST_TRIES, LAST_PAUSE_SECONDS, LAST_SECONDS = 4, 1.0, 2.0


@dataclass(frozen=True)
class _Unsaved:
    """A model of `step` that is still to be saved."""

    step: int
    seconds: float
    model: LanguageModel | ModelArrays
    is_copy: bool = False  # training does not change it


class RunStorage:
    """The folder of a run of `plan`, and `facts` about its texts for the model's manifest.

    `manifest` is the manifest of the model that this run has saved in the folder, if any, and
    `waiting` a model that is still to be saved. The last checkpoint has `stored_step`. After
    `failures` failed tries in a row, the run may have given up: nothing could be saved for too
    long, or somebody stopped it while it waited. Then it is to end.
    """

    def __init__(
        self,
        plan: Plan,
        log: MetricsLog,
        facts: dict[str, Any],
        stop: Callable[[], bool] = never,
        save: Callable[[], bool] = never,
    ) -> None:
        self.stop = stop
        self.failures = 0
        self.has_given_up = False
        self.plan = plan
        self.folder = plan.output
        self.log = log
        self.facts = facts
        self.manifest: Manifest | None = None
        self.waiting: _Unsaved | None = None
        self.stored_step = 0
        if isinstance(plan.initial, TrainingState):
            self.stored_step = plan.initial.facts["step"]
        # The fitting asks it at each step, so that a retry writes a new checkpoint.
        self.save_signal = SaveSignal(save)

    def handle(self, event: Event) -> Iterator[ModelSaved | CheckpointSaved | SaveFailed]:
        """Write the model or state of `event`, and files that are due for a retry. Yield an event
        for each thing written."""
        if isinstance(event, Chosen | Counting | Counted | Estimated | Evaluating):
            return

        # A better model replaces one that still waits to be saved.
        is_due = isinstance(event, Checkpoint)
        if isinstance(event, Checkpoint) or (isinstance(event, Validated) and event.improved):
            model = event.model
            if model is not None:
                self.waiting = _Unsaved(event.step, event.seconds, model)
                is_due = True

        if is_due or (self.waiting and self.save_signal.is_retry_due):
            state = event.state if isinstance(event, Checkpoint) else None
            yield from self._try_to_write(event.step, state)

    def finish(self, event: Fitted) -> Generator[ModelSaved | CheckpointSaved, None, Manifest]:
        """Write the model and the state at the end of the run, in a few tries. Return the manifest
        of the model."""
        is_there = self.manifest is not None and self.manifest.step == event.step
        if event.step and event.model is not None and (self.waiting or not is_there):
            self.waiting = _Unsaved(event.step, event.seconds, event.model)
        yield from self._last_tries(lambda: self._write(event.state))
        assert self.manifest is not None
        return self.manifest

    def save_results(
        self, manifest: Manifest, results: dict[str, dict[str, Any]], facts: dict[str, Any]
    ) -> Manifest:
        """Add the exact evaluations, and facts of the run, to the manifest and the model card."""

        def write() -> Iterator[ModelSaved | CheckpointSaved]:
            nonlocal manifest
            manifest = model_folder.save_results(self.folder, manifest, results, facts)
            self.manifest = manifest
            card.write(self.folder, manifest, self.plan.data.tokenizer)
            yield from ()

        list(self._last_tries(write))
        return manifest

    def _last_tries(
        self, write: Callable[[], Iterator[ModelSaved | CheckpointSaved]]
    ) -> Iterator[ModelSaved | CheckpointSaved]:
        """Write, trying a few times. Yield the events of writing."""
        last_try_at = time.monotonic() + LAST_SECONDS
        for attempt in range(LAST_TRIES):
            try:
                yield from write()
                return
            except OutputError as error:
                is_too_late = time.monotonic() + LAST_PAUSE_SECONDS > last_try_at
                if attempt == LAST_TRIES - 1 or is_too_late:
                    raise self._given_up(error) from None
            time.sleep(LAST_PAUSE_SECONDS)

    def _try_to_write(
        self, step: int, state: TrainingState | None
    ) -> Iterator[ModelSaved | CheckpointSaved | SaveFailed]:
        give_up_at = time.monotonic() + PAUSE_SECONDS
        while not self.has_given_up:
            try:
                yield from self._write(state)
                self.save_signal.retry_at, self.failures = None, 0
                return
            except OutputError as error:
                self.failures += 1
                self.save_signal.retry_at = time.monotonic() + RETRY_SECONDS
                pauses = self.failures >= MOST_FAILURES and current_rank().count == 1
                yield SaveFailed(
                    folder=str(self.folder),
                    step=step,
                    why=error.fault,
                    retry_seconds=RETRY_SECONDS,
                    failures=self.failures,
                    is_pausing=pauses,
                )
            if not pauses:
                break
            # Wait for space, unless somebody waits for the end of the run.
            while time.monotonic() < self.save_signal.retry_at and not self.stop():
                time.sleep(min(1.0, RETRY_SECONDS))
            self.has_given_up = self.stop() or time.monotonic() >= give_up_at

        # Steps change the weights in place: keep the ones that are still to be saved.
        if self.waiting and not self.waiting.is_copy and self.plan.kind.trains_in_steps:
            self.waiting = replace(self.waiting, model=_copied(self.waiting.model), is_copy=True)

    def _write(self, state: TrainingState | None) -> Iterator[ModelSaved | CheckpointSaved]:
        self._check_folder()
        if self.waiting:
            step = self.waiting.step
            self.manifest = model_folder.save(
                folder=self.folder,
                model=self.waiting.model,
                kind=self.plan.kind.name,
                settings=as_stored(self.plan.resolved.values),
                step=step,
                training={**self.facts, "seconds": round(self.waiting.seconds, 1)},
                parts=self._parts(),
                bundle=True,
                continues_run=self._is_of_the_folder(),
            )
            card.write(self.folder, self.manifest, self.plan.data.tokenizer)
            self.waiting = None
            self.log.write_to_folder()
            yield ModelSaved(str(self.folder), step)

        # The checkpoint notes how long the log is: a resumed run cuts it off there.
        if state is not None and self._is_of_the_folder():
            self._check_folder()
            self.log.write()
            state = replace(state, facts={**state.facts, "metrics_bytes": self.log.position})
            settings = self.plan.resolved.values
            checkpoint = LoadedCheckpoint(self.plan.identity, as_stored(settings), state)
            save_checkpoint(self.folder, checkpoint, settings["keep_checkpoints"])
            self.stored_step = state.facts["step"]
            yield CheckpointSaved(str(self.folder), self.stored_step)

    def _check_folder(self) -> None:
        """Make sure that the folder was not removed during training: it is not made again."""
        is_there = model_folder.is_model if self._is_of_the_folder() else Path.is_dir
        if not is_there(self.folder):
            raise OutputError(
                f"cannot save in {self.folder}",
                "the folder, or the model in it, has been removed during training",
                "restore it while the run lasts; the next attempt saves there",
            )

    def _is_of_the_folder(self) -> bool:
        """Return whether the model in the folder is this run's."""
        return self.manifest is not None or isinstance(self.plan.initial, TrainingState)

    def _parts(self) -> list[Path]:
        """Return the folders of the language models that the model reads: its own copies once it
        has some, as the originals may be moved in the meantime."""
        is_ours = self._is_of_the_folder()
        if self.plan.request.contextual and not is_ours:
            return [loading.find(name) for name in self.plan.request.contextual]
        if is_ours and model_folder.is_model(self.folder):
            return part_folders(self.folder, model_folder.read_manifest(self.folder))
        return []

    def _given_up(self, error: OutputError) -> OutputError:
        """Return the error to end with: it also names the files that were saved before."""
        state = "the folder has no model of this run"
        if self.manifest and model_folder.is_model(self.folder):
            state = f"the folder has the model of step {self.manifest.step:,}"
        if self.stored_step:
            state += f", the last checkpoint of step {self.stored_step:,}"
        return OutputError(
            error.what, error.why + f": the end of the run is not saved, {state}", error.hint
        )


def notice_little_space(folder: Path, needed: int) -> None:
    """Send a notice where a disk has less space than a run will write."""
    free = free_bytes(folder)
    if free < needed:
        notice(
            f"only {amount(free, unit='bytes')} is free on the disk of {folder}, and the "
            f"run writes about {amount(needed, unit='bytes')}: free some space, or keep "
            "fewer checkpoints (" + keyword("keep_checkpoints") + ")"
        )


def _copied(model: LanguageModel | ModelArrays) -> ModelArrays:
    copies = {name: np.array(array) for name, array in model.to_arrays().items()}
    return ModelArrays(model.tokenizer, copies)


# ---- One run: fitted, saved, and evaluated exactly at the end.

# Perplexities of short streams and of a long one differ little. From this ratio on, they do not.
FAR = 1.25


def run(
    plan: Plan,
    stop: Callable[[], bool] = never,
    save: Callable[[], bool] = never,
    progress: Progress = silent,
) -> Iterator[Event]:
    """Fit the model, save it whenever it gets better, evaluate it exactly at the end.

    The folder is locked during the run. Of several processes the first one writes; the others have
    done their part once the model is fitted. `progress` is called with how far the exact evaluation
    is.

    A run that diverges ends with a TrainingError. Its last good weights are saved if there are any;
    otherwise its log is left, unless the folder holds an earlier model.
    """
    if current_rank().rank:
        # The first process alone evaluates.
        if plan.trained is None:
            yield from _take_part(plan, stop, save)
        else:
            yield CompletedRun(plan.output, plan.trained).finished
        return

    log = MetricsLog(plan.output)
    with lock.held(plan.output, "training"):
        # Between plan and lock, another process may have finished a run here.
        if not plan.request.overwrite and sha256(plan.output / CONFIG) != plan.found:
            raise OutputError(
                f"{plan.output} has changed since this run was planned",
                "another process wrote a model there",
                "run the same command again",
            )
        storage = RunStorage(plan, log, _texts(plan), stop, save)
        if plan.trained is not None:
            log.resume()
            events = _end(plan, plan.trained, storage, progress)
        else:
            events = _work(plan, stop, storage, progress)

        # Log each event before the caller sees it, as the caller may end the run there.
        for event in events:
            log.add(event)
            yield event
            if isinstance(event, Started) and isinstance(plan.initial, TrainingState):
                _resume_log(log, event, plan.initial)
        if log.pending and not log.write():
            notice(f"{log.path} cannot be written: it lacks the last {len(log.pending)} events")


def _resume_log(log: MetricsLog, started: Started, initial: TrainingState) -> None:
    """Cut the log of a resumed run back to its checkpoint, and append to it from there."""
    facts = initial.facts
    position = facts.get("metrics_bytes")
    if not isinstance(position, int):
        position = 0
    validated = max(facts["validation"]["step"], facts.get("curve", {}).get("step", 0))
    log.resume(position, started.step, validated)


def _take_part(plan: Plan, stop: Callable[[], bool], save: Callable[[], bool]) -> Iterator[Event]:
    """Fit in a process that is not the first of several, and write nothing."""
    for event in plan.kind.fit(plan.resolved, plan.data, stop, plan.initial, save):
        yield event
        is_diverged = isinstance(event, Fitted) and event.stopped == "diverged"
    if is_diverged:
        raise ReportedByOtherProcess(TrainingError.exit_code)


def _work(
    plan: Plan, stop: Callable[[], bool], storage: RunStorage, progress: Progress
) -> Iterator[Event]:
    """Fit the model, save it, and evaluate it: the part of the first process."""
    fitted, is_whole = yield from _fit(plan, stop, storage)
    began = time.perf_counter() - fitted.seconds  # as if the run had never been cut off
    _check_fitted(plan, fitted, storage)

    def save(manifest: Manifest, results: dict[str, dict[str, Any]]) -> Manifest:
        facts = {
            **storage.facts,
            "tokens_read": fitted.tokens,
            "steps": fitted.steps,
            "seconds": round(time.perf_counter() - began, 1),
            "stopped": fitted.stopped,
            **fitted.facts,
        }
        return storage.save_results(manifest, results, facts)

    # Save everything before the exact evaluation, which may take long and can be interrupted.
    manifest = yield from storage.finish(fitted)
    manifest = save(manifest, {})

    # No evaluation if someone is waiting for the end, or if the weights are no good.
    results = {}
    if fitted.stopped not in ("request", "diverged") and not stop():
        results = yield from _evaluate(plan, fitted.model, manifest.fingerprint, progress)
    if results:
        if is_whole:
            _notice_growing_states(results, fitted.best_ppl_token)
        save(manifest, results)

    if fitted.stopped == "diverged":
        _raise_diverged(plan, fitted, storage.log)
    if isinstance(plan.data, SourcedData):
        plan.data.release()
    seconds = time.perf_counter() - began
    if plan.forecast is not None:
        plan.forecast.tell_if_slowed(fitted, plan.resolved.values)
    yield Finished(str(plan.output), fitted.step, fitted.steps, seconds, fitted.stopped, results)


def _fit(
    plan: Plan, stop: Callable[[], bool], storage: RunStorage
) -> Generator[Event, None, tuple[Fitted, bool]]:
    """Save the best model and checkpoints as the fitting yields them. Return its end, and whether
    validations read all of the text."""
    is_whole = True

    def is_over() -> bool:
        return stop() or storage.has_given_up

    notice_little_space(plan.output, plan.bytes_to_write())
    forecast = plan.forecast
    fitting = plan.kind.fit(plan.resolved, plan.data, is_over, plan.initial, storage.save_signal)
    for event in fitting:
        yield event
        # What was chosen for the run, and how its time compares with what was foreseen.
        if isinstance(event, Started) and plan.resolved.choices and not plan.is_resumed:
            yield Chosen(plan.resolved.choices)
        if isinstance(event, Step) and forecast is not None and forecast.tell_if_far_off(event):
            forecast = None
        if isinstance(event, Validated):
            is_whole = event.share == 1
            yield from _chosen_share(plan, event, storage)

        # The end is saved by its own rules.
        if isinstance(event, Fitted):
            fitted = event
        else:
            yield from storage.handle(event)
    return fitted, is_whole


def _check_fitted(plan: Plan, fitted: Fitted, storage: RunStorage) -> None:
    """End a run that has nothing to save. The log of one that diverged is kept, unless another
    model's log is there."""
    if not fitted.steps and fitted.stopped != "diverged":
        raise TrainingError(
            "stopped before the first step that lasts", "an earlier model is unchanged"
        )
    if not fitted.step and storage.manifest is None:
        if not model_folder.is_model(plan.output):
            storage.log.write_to_folder()
        _raise_diverged(plan, fitted, storage.log)


VALIDATION_TOKENS = "validation_tokens"  # the name of that choice, for which there is no setting


def _chosen_share(plan: Plan, event: Validated, storage: RunStorage) -> Iterator[Chosen]:
    """Put on record that validations read a part of their text, and yield that once."""
    choices = storage.facts["choices"]
    valid = plan.data.valid
    if event.share == 1 or valid is None or VALIDATION_TOKENS in [made["name"] for made in choices]:
        return
    part = round(event.share * valid.tokens)
    why = f"a run of {plan.resolved.values['budget']}"
    choice = Choice(VALIDATION_TOKENS, part, valid.tokens, THE_VALIDATIONS, why)
    choices.append(msgspec.to_builtins(choice))
    yield Chosen((choice,))


def _end(plan: Plan, trained: Manifest, storage: RunStorage, progress: Progress) -> Iterator[Event]:
    """Do the part that was cut off at the very end of a run: the exact evaluation, the model card,
    the last event of the log."""
    results = trained.results
    if _evaluated(plan).keys() - results.keys():
        model, _ = stored_model.load(plan.output, plan.resolved.values.get("device", "cpu"))
        results = yield from _evaluate(plan, model, trained.fingerprint, progress)
    manifest = storage.save_results(trained, results, trained.training)
    if isinstance(plan.data, SourcedData):
        plan.data.release()
    yield CompletedRun(plan.output, manifest).finished


def _evaluated(plan: Plan) -> dict[str, TextData]:
    """Return the texts that the model is evaluated on at the end."""
    texts = {"valid": plan.data.valid, "test": plan.test}
    return {name: text for name, text in texts.items() if text is not None}


def _evaluate(
    plan: Plan, model: Any, fingerprint: str, progress: Progress
) -> Generator[Event, None, dict[str, dict[str, Any]]]:
    """Evaluate the best weights exactly on each text, if there are any; return the results."""
    results: dict[str, dict[str, Any]] = {}
    texts = _evaluated(plan)
    if not texts:
        return results
    yield Evaluating(tuple(texts))
    model.fingerprint = fingerprint
    task = registry.task(plan.kind.task)
    for name, text in texts.items():
        evaluation = task.evaluate_encoded(model, text, progress=prefixed(progress, name))
        results[name] = (with_intervals(evaluation) if plan.has_intervals else evaluation).to_dict()
    return results


def _notice_growing_states(
    results: dict[str, dict[str, Any]], ppl_in_training: float | None
) -> None:
    """Send a notice if the exact perplexity is far above the one in training.

    Validation in training reads short streams. A state that grows over a long stream (ReLU units)
    shows only at the end.
    """
    exact = results.get("valid", {}).get("ppl_token", 0.0)
    if not ppl_in_training or math.isinf(ppl_in_training):  # relative frequencies give zeros
        return
    if exact is None or exact > FAR * ppl_in_training:
        perplexity = "no number" if exact is None else f"{exact:.4g}"
        notice(
            f"the exact validation perplexity, on one long stream, is {perplexity}; in "
            f"training, on short streams, it was {ppl_in_training:.4g}. The hidden state "
            "grows with the text: read lines alone (rnnlm eval --context reset), or "
            "train with " + keyword("state_reset") + " or " + keyword("init_gain") + " below 1"
        )


def _texts(plan: Plan) -> dict[str, Any]:
    """Return the entries of the manifest about the texts and the language models used."""
    train, valid = plan.data.train, plan.data.valid
    shares = {name: round(overlap.share, 4) for name, overlap in plan.overlaps.items()}
    facts: dict[str, Any] = {
        "identity": dict(plan.identity),
        "recipe": plan.recipe,
        "text": plan.text_names,
        "validation": plan.valid_is,
        "train_data": train.lines_hash,
        "valid_data": valid.lines_hash if valid else None,
        "lines_in_train": shares,
        "choices": list(msgspec.to_builtins(plan.resolved.all_choices)),
        "given": msgspec.to_builtins(plan.resolved.given()),
        "train_tokens": train.tokens,
        "train_words": train.words,
        "train_sentences": train.sentences,
    }
    # The language models that the network began with or reads, by option.
    starts = {name: getattr(plan.request, name) for name in card.STARTS}
    facts |= {name: str(start) for name, start in starts.items() if start}
    if plan.request.contextual:
        facts["contextual"] = list(map(str, plan.request.contextual))
    return facts


def _raise_diverged(plan: Plan, event: Fitted, log: MetricsLog) -> None:
    # The rest of the run.
    kept = "no sound model was reached, so none is saved"
    if event.step:
        weights = "the last sound weights" if event.best_ppl_token is None else "the best weights"
        kept = f"{weights}, of step {event.step}, are in {plan.output}"
    elif log.is_open and not log.pending:
        kept += f"; {log.path} has the log"

    # Ways out, with these settings.
    settings = plan.resolved.values
    clipping = "set clip_norm=0.25" if settings["clip_norm"] is None else "lower clip_norm"
    ways = ["lower learning_rate", clipping, "raise warmup"]
    if settings.get("activation") in ("relu", "elu", "leaky_relu"):  # units without a bound
        ways.append("set init_gain below 1")
    if settings["precision"] != "fp32":
        ways.append("use " + keyword("precision", "fp32"))
    hint = joined_message(", ", ways[:-1]) + ", or " + ways[-1]
    if event.step:
        hint += "; add " + keyword("overwrite", True) + ", since the folder holds this run"
    raise TrainingError(f"training diverged: {event.facts['divergence']}", kept, hint)
