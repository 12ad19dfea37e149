"""From a plan to a trained model on disk: fit, save the best weights as they come, evaluate them
exactly at the end.

Knows no mathematics: the family's own fitting, found through the registry, yields the events that
are passed on.
"""

import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import rnnlm.corpora as corpora
from rnnlm import arrays
from rnnlm.checks import items_of
from rnnlm.errors import OutputError, ReportedElsewhere, TrainingError, UsageError, notice
from rnnlm.events import (
    Checkpoint,
    CheckpointSaved,
    Counted,
    Estimated,
    Evaluating,
    Event,
    Finished,
    Fitted,
    ModelSaved,
    SaveFailed,
    SaveSignal,
    Started,
    TrainingState,
    Validated,
    never,
)
from rnnlm.files import lock
from rnnlm.interface import LanguageModel
from rnnlm.models import card, checkpoints, loading, model_folder, registry
from rnnlm.models.card import STARTS
from rnnlm.models.manifest import Manifest, ModelArrays, part_folders
from rnnlm.models.metrics_log import MetricsLog
from rnnlm.system import current_rank, planning_together
from rnnlm.tasks.request import CountedText
from rnnlm.text.lines import Progress, silent
from rnnlm.text.tokenizer_settings import as_stored
from rnnlm.training.plan import Plan, plan, run_of
from rnnlm.training.request import Request
from rnnlm.training.training_run import TrainingRun, Work

# ---- What a training run writes while it lasts: the best model, checkpoints to go on from, the log
# of its events.
#
# A disk that is full for an hour must not end a run of a night: what could not be written is
# reported, and tried again after :data:`RETRY_SECONDS`; only at the end of the run it is an error.
# What was written before is whole all the while.

RETRY_SECONDS = 60.0
LAST_TRIES, LAST_PAUSE_SECONDS = 4, 1.0  # at the end of the run
LAST_SECONDS = 2.0  # after which none of those is begun: who asked the run to end waits


@dataclass(frozen=True)
class _Unsaved:
    """The model of `step`, which is still to be saved. is_copy: training does not change it."""

    step: int
    seconds: float
    model: LanguageModel | ModelArrays
    is_copy: bool = False


class RunStorage:
    """The folder of a run of `plan`. `facts`: what the model's manifest holds about its texts.

    manifest: of the model in the folder, as far as this run has saved one.
    """

    def __init__(
        self, plan: Plan, log: MetricsLog, facts: dict[str, Any], save: Callable[[], bool] = never
    ) -> None:
        self.plan = plan
        self.folder = plan.output
        self.log = log
        self.facts = facts
        self.manifest: Manifest | None = None
        self.waiting: _Unsaved | None = None
        # of the last checkpoint
        self.stored_step = (
            plan.initial.facts["step"] if isinstance(plan.initial, TrainingState) else 0
        )
        # what the fitting asks, so that a retry brings a new checkpoint
        self.save_signal = SaveSignal(save)

    def handle(self, event: Event) -> Iterator[ModelSaved | CheckpointSaved | SaveFailed]:
        """Write what `event` brings, and what is due to be tried again; what came of it."""
        if isinstance(event, Counted | Estimated | Evaluating):
            return
        if (
            isinstance(event, Checkpoint) or (isinstance(event, Validated) and event.improved)
        ) and event.model is not None:
            self.waiting = _Unsaved(event.step, event.seconds, event.model)
        elif not isinstance(event, Checkpoint) and not (
            self.waiting and self.save_signal.is_retry_due
        ):
            return
        yield from self._tried(event.step, event.state if isinstance(event, Checkpoint) else None)

    def finish(self, event: Fitted) -> Generator[ModelSaved | CheckpointSaved, None, Manifest]:
        """The last writing, tried a few times; returns the manifest of the model that is there.

        Raises:
            OutputError: it cannot be done; what was written before is whole.
        """
        is_there = (
            self.manifest is not None
            and self.manifest.step == event.step
            and model_folder.is_model(self.folder)
        )
        if event.step and event.model is not None and (self.waiting or not is_there):
            self.waiting = _Unsaved(event.step, event.seconds, event.model)
        yield from self._last_tries(lambda: self._written(event.state))
        assert self.manifest is not None
        return self.manifest

    def save_results(
        self, manifest: Manifest, results: dict[str, dict[str, Any]], facts: dict[str, Any]
    ) -> Manifest:
        """The exact evaluations, and facts of the run, go into the manifest and the model card.

        Raises:
            OutputError: they cannot be written.
        """

        def written() -> Iterator[ModelSaved | CheckpointSaved]:
            nonlocal manifest
            self.manifest = manifest = model_folder.save_results(
                self.folder, manifest, results, facts
            )
            card.write(self.folder, manifest, self.plan.data.tokenizer)
            yield from ()

        list(self._last_tries(written))
        return manifest

    def _last_tries(
        self, written: Callable[[], Iterator[ModelSaved | CheckpointSaved]]
    ) -> Iterator[ModelSaved | CheckpointSaved]:
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
                if (
                    attempt == LAST_TRIES - 1
                    or time.monotonic() + LAST_PAUSE_SECONDS > began + LAST_SECONDS
                ):
                    raise self._given_up(error) from None
            time.sleep(LAST_PAUSE_SECONDS)

    def _tried(
        self, step: int, state: TrainingState | None
    ) -> Iterator[ModelSaved | CheckpointSaved | SaveFailed]:
        try:
            yield from self._written(state)
            self.save_signal.retry_at = None
        except OutputError as error:
            if self.waiting and not self.waiting.is_copy:
                copied = _copied(self.waiting.model)
                self.waiting = replace(self.waiting, model=copied, is_copy=True)
            self.save_signal.retry_at = time.monotonic() + RETRY_SECONDS
            yield SaveFailed(str(self.folder), step, f"{error.what}: {error.why}", RETRY_SECONDS)

    def _written(self, state: TrainingState | None) -> Iterator[ModelSaved | CheckpointSaved]:
        if (
            state is not None
            and not self.waiting
            and self._is_of_the_folder()
            and not model_folder.is_model(self.folder)
        ):
            self.waiting = self._model_of(state)
        if self.waiting:
            self._write_model(self.waiting)
            step, self.waiting = self.waiting.step, None
            self.log.write_to_folder()
            yield ModelSaved(str(self.folder), step)
        if state is not None and self._is_of_the_folder():
            self.log.write()
            state = replace(state, facts={**state.facts, "metrics_bytes": self.log.position})
            run = run_of(self.plan.recipe, self.plan.resolved, self.plan.data)
            run = replace(run, settings=as_stored(run.settings))
            checkpoints.save(self.folder, state, run, self.plan.resolved.values["keep_checkpoints"])
            self.stored_step = state.facts["step"]
            yield CheckpointSaved(str(self.folder), self.stored_step)

    def _model_of(self, state: TrainingState) -> _Unsaved:
        """The model as a checkpoint has it: the folder with the one that was saved has vanished."""
        notice(
            f"{self.folder} has vanished: it is created again with the model and a "
            "checkpoint; everything else in it is lost"
        )
        best, last = (arrays.strip_prefix(part, state.arrays) for part in ("best.", "network."))
        step = state.facts["best"]["step"] if best else state.facts["step"]
        return _Unsaved(
            step,
            state.facts["clock"]["seconds"],
            ModelArrays(self.plan.data.tokenizer, best or last),
            is_copy=True,
        )

    def _is_of_the_folder(self) -> bool:
        """Whether the model in the folder is this run's."""
        return self.manifest is not None or isinstance(self.plan.initial, TrainingState)

    def _parts(self) -> list[Path]:
        """The language models that the model reads: its own copies once there are some, as the
        originals may be moved meanwhile."""
        if self.plan.request.contextual and not self._is_of_the_folder():
            return [loading.find(name) for name in self.plan.request.contextual]
        there = (
            registry.task(self.plan.kind.task).holds_models
            and self._is_of_the_folder()
            and model_folder.is_model(self.folder)
        )
        return part_folders(self.folder, model_folder.read_manifest(self.folder)) if there else []

    def _write_model(self, unsaved: _Unsaved) -> None:
        plan, facts = self.plan, {**self.facts, "seconds": round(unsaved.seconds, 1)}
        name, settings = plan.kind.name, as_stored(plan.resolved.values)
        goes_on, parts = self._is_of_the_folder(), self._parts()
        self.manifest = model_folder.save(
            self.folder,
            unsaved.model,
            name,
            settings,
            unsaved.step,
            facts,
            parts,
            bundle=True,
            goes_on=goes_on,
        )
        card.write(self.folder, self.manifest, plan.data.tokenizer)

    def _given_up(self, error: OutputError) -> OutputError:
        there = (
            f"the model there is of step {self.manifest.step:,}"
            if self.manifest
            else "no model of this run is there"
        )
        there += f", the last checkpoint of step {self.stored_step:,}" if self.stored_step else ""
        return OutputError(
            error.what, f"{error.why}: the end of the run is not saved, {there}", error.hint
        )


def _copied(model: LanguageModel | ModelArrays) -> ModelArrays:
    return ModelArrays(
        model.tokenizer, {name: np.array(array) for name, array in model.to_arrays().items()}
    )


# ---- run

_SEVERAL = (
    "valid", "test", "labels", "valid_labels", "test_labels", "target", "valid_target",
    "test_target", "contextual",
)  # fmt: skip
FAR = 1.25  # between two ways of reading one text


def train(
    text: str | Path | Sequence[str | Path] | None = None,
    *,
    stop: Callable[[], bool] = never,
    save: Callable[[], bool] = never,
    **request: Any,
) -> TrainingRun:
    """Train a model. Iterate over the run that is returned: it trains, and yields its events.

    The keywords are those of :class:`Request`; other ones are settings: `train("text.txt",
    model="gru", hidden_size=300, budget="5m")`. Asked at every step: whether to `stop`, and whether
    to `save` what the run could go on from.

    The work is stored on `close()`, on leaving `with rnnlm.train(...) as run:`, when the run is
    dropped, as by `break`, and at once when Ctrl-C interrupts it. The same call goes on from there.

    Raises:
        RnnlmError: any of its kinds: the request, the text, the device, the output folder. All but
            those about the arguments themselves are raised by the first event.
    """
    asked = request_of(text, request)

    def planned() -> Plan:
        with planning_together():
            return plan(asked)

    return TrainingRun(Work(planned, run, stop, save))


def request_of(text: str | Path | Sequence[str | Path] | None, request: dict[str, Any]) -> Request:
    """What the text and the keywords of :func:`train` ask for.

    Raises:
        UsageError: the list of texts is empty.
    """
    texts = () if text is None else _paths(text, "text")
    if text is not None and not texts:
        raise UsageError(
            "no text is given",
            "the list of texts is empty",
            "name a file, or leave text out for the bundled corpus",
        )
    known = {name: request.pop(name) for name in Request.__dataclass_fields__ if name in request}
    for name in _SEVERAL:
        known[name] = _paths(known.get(name) or (), name)
    for name in ("output", "config"):
        if known.get(name) is not None:
            known[name] = Path(known[name])
    flags = {**known.pop("flags", {}), **request}
    return Request(text=texts, flags=flags, **known)


def _paths(given: str | Path | Sequence[str | Path], what: str) -> tuple[str, ...]:
    """One path or several, as strings."""
    if isinstance(given, (str, os.PathLike)):
        return (str(given),)
    return tuple(str(path) for path in items_of(given, (str, os.PathLike), what))


def run(
    plan: Plan,
    stop: Callable[[], bool] = never,
    save: Callable[[], bool] = never,
    progress: Progress = silent,
) -> Iterator[Event]:
    """Fit the model, save it whenever it got better, evaluate it exactly at the end.

    The folder is locked meanwhile. Of several processes the first one writes; the others have done
    their part once the model is fitted. progress: called with how far the exact evaluation is.

    Raises:
        TrainingError: the run diverged; its last good weights, if there were some, are saved.
            Without them its log is left, unless an earlier model is in the folder. OutputError: the
            folder is another run's, or cannot be written at the end of this one. LostProcess:
            another process is gone. ReportedElsewhere: the first process failed.
    """
    log = MetricsLog(plan.output)
    if plan.finished and (
        current_rank().rank or (not _unevaluated(plan, plan.finished) and log.is_complete)
    ):
        yield _finished(plan.output, plan.finished)
        return
    if current_rank().rank:
        yield from _take_part(plan, stop, save)
        return
    with lock.held(plan.output, "training"):
        storage = RunStorage(plan, log, _texts(plan), save)
        if plan.finished:
            log.go_on()
        for event in (
            _end(plan, plan.finished, storage, progress)
            if plan.finished
            else _work(plan, stop, storage, progress)
        ):
            log.add(event)
            yield event
            if isinstance(event, Started) and isinstance(plan.initial, TrainingState):
                facts = plan.initial.facts
                position = facts.get("metrics_bytes")
                validated = max(facts["validation"]["step"], facts.get("curve", {}).get("step", 0))
                log.go_on(position if isinstance(position, int) else 0, event.step, validated)
        if log.pending and not log.write():
            notice(f"{log.path} cannot be written: it lacks the last {len(log.pending)} events")


def _take_part(plan: Plan, stop: Callable[[], bool], save: Callable[[], bool]) -> Iterator[Event]:
    """What a process does that is not the first of several: it fits, and writes nothing."""
    for event in plan.kind.fit(plan.resolved, plan.data, stop, plan.initial, save):
        yield event
    if event.stopped == "diverged":
        raise ReportedElsewhere(TrainingError.exit_code)


def _work(
    plan: Plan, stop: Callable[[], bool], storage: RunStorage, progress: Progress
) -> Iterator[Event]:
    is_whole = True  # whether validations read all of the text
    for event in plan.kind.fit(plan.resolved, plan.data, stop, plan.initial, storage.save_signal):
        yield event
        if isinstance(event, Validated):
            is_whole = event.share == 1
        if not isinstance(event, Fitted):
            yield from storage.handle(event)
    began = time.perf_counter() - event.seconds  # of the run, with its earlier pieces
    if not event.steps and event.stopped != "diverged":
        raise TrainingError(
            "stopped before the first step", "nothing was saved; what was there before is unchanged"
        )
    if not event.step and storage.manifest is None:
        if not model_folder.is_model(plan.output):  # else the log there is that model's
            storage.log.write_to_folder()
        _raise_diverged(plan, event, storage.log)
    manifest = yield from storage.finish(event)
    manifest = storage.save_results(manifest, {}, _facts(plan, time.perf_counter() - began, event))
    results = {}
    if event.stopped not in ("request", "diverged") and not stop() and (texts := _evaluated(plan)):
        yield Evaluating(tuple(texts))
        results = _results(plan, event.model, manifest.fingerprint, texts, progress)
        if is_whole:
            _tell_growing_states(results, event.best_ppl_token)
        storage.save_results(manifest, results, _facts(plan, time.perf_counter() - began, event))
    if event.stopped == "diverged":
        _raise_diverged(plan, event, storage.log)
    yield Finished(
        str(plan.output),
        event.step,
        event.steps,
        time.perf_counter() - began,
        event.stopped,
        results,
    )


def _end(
    plan: Plan, finished: Manifest, storage: RunStorage, progress: Progress
) -> Iterator[Event]:
    """The end of a run that was cut off when all but that was done: the exact evaluation, the model
    card, its word in the log."""
    results = finished.results
    if _unevaluated(plan, finished):
        texts = _evaluated(plan)
        yield Evaluating(tuple(texts))
        model, _ = model_folder.load(plan.output, plan.resolved.values.get("device", "cpu"))
        results = _results(plan, model, finished.fingerprint, texts, progress)
    manifest = storage.save_results(
        finished, results, {**finished.training, "valid_data": storage.facts["valid_data"]}
    )
    yield _finished(plan.output, manifest)


def _finished(folder: Path, manifest: Manifest) -> Finished:
    facts = manifest.training
    return Finished(
        str(folder),
        manifest.step,
        facts.get("steps", manifest.step),
        facts.get("seconds", 0.0),
        facts["stopped"],
        manifest.results,
    )


def _unevaluated(plan: Plan, finished: Manifest) -> bool:
    """Whether the end of a run, which it has come to, lacks the exact evaluation of a text, or has
    that of another one by its name."""
    return any(
        not _is_of(finished.results.get(name), text) for name, text in _evaluated(plan).items()
    )


def _is_of(result: dict[str, Any] | None, text: CountedText) -> bool:
    """Whether `result` is an exact evaluation of `text`."""
    return result is not None and f"|data:{text.lines_hash}|" in f"{result['signature']}|"


def _evaluated(plan: Plan) -> dict[str, CountedText]:
    """The texts that the model is evaluated on at the end."""
    texts = {"valid": plan.data.valid, "test": plan.test}
    return {name: text for name, text in texts.items() if text is not None}


def _results(
    plan: Plan, model: Any, fingerprint: str, texts: dict[str, CountedText], progress: Progress
) -> dict[str, dict[str, Any]]:
    """The exact evaluations of the best weights."""
    model.fingerprint = fingerprint
    measure = registry.task(plan.kind.task).measure
    return {
        name: measure(model, text, plan.has_intervals, name, progress).to_dict()
        for name, text in texts.items()
    }


def _tell_growing_states(results: dict[str, dict[str, Any]], ppl_in_training: float | None) -> None:
    """Validation during training reads short streams; a state that grows over a long one (ReLU
    units) shows at the end alone."""
    exact = results.get("valid", {}).get("ppl_token", 0.0)
    if ppl_in_training and (exact is None or exact > FAR * ppl_in_training):
        figure = "no number" if exact is None else f"{exact:.4g}"
        notice(
            f"the exact validation perplexity, of one long stream, is {figure}; in training, of "
            f"short ones, it was {ppl_in_training:.4g}. "
            "The hidden state grows with the text: read lines alone (--context reset), or train "
            "with state_reset or init_gain below 1"
        )


def _texts(plan: Plan) -> dict[str, Any]:
    train, usual = plan.data.train, registry.task(plan.kind.task).usual_corpus
    return {
        "recipe": plan.recipe,
        "text": list(plan.request.text) or [corpora.named(usual)],
        "validation": plan.valid_is,
        "train_data": train.lines_hash,
        "valid_data": plan.data.valid.lines_hash if plan.data.valid else None,
        # shares
        "lines_in_train": {
            name: round(overlap.share, 4) for name, overlap in plan.overlaps.items()
        },
        "train_tokens": train.tokens,
        "train_words": train.words,
        "train_sentences": train.sentences,
        **_helpers(plan),
    }


def _helpers(plan: Plan) -> dict[str, Any]:
    """The language models that the network began with or reads, by name; those of a run that goes
    on stay noted."""
    names = (*STARTS, "contextual")
    found = {name: value for name in names if (value := getattr(plan.request, name))}
    if plan.request.resume and model_folder.is_model(plan.output):
        found |= {
            name: value
            for name, value in model_folder.read_manifest(plan.output).training.items()
            if name in names
        }
    return {
        name: list(map(str, value)) if name == "contextual" else str(value)
        for name, value in found.items()
    }


def _facts(plan: Plan, seconds: float, event: Fitted) -> dict[str, Any]:
    return {
        **_texts(plan),
        "tokens_read": event.tokens,
        "steps": event.steps,
        "seconds": round(seconds, 1),
        "stopped": event.stopped,
        **event.facts,
    }


def _raise_diverged(plan: Plan, event: Fitted, log: MetricsLog) -> None:
    kept = "no good model was reached, none is saved" + (
        f"; {log.path} tells how it went" if log.is_open and not log.pending else ""
    )
    if event.step:
        weights = "the last good weights" if event.best_ppl_token is None else "the best weights"
        kept = f"{weights}, of step {event.step}, are in {plan.output}"
    settings = plan.resolved.values
    clipping = "set clip_norm=0.25" if settings["clip_norm"] is None else "lower clip_norm"
    ways = ["lower learning_rate", clipping, "raise warmup"]
    if settings.get("activation") in ("relu", "elu", "leaky_relu"):  # units without a bound
        ways.append("set init_gain below 1")
    if settings["precision"] != "fp32":
        ways.append("use --precision fp32")
    raise TrainingError(
        f"training diverged: {event.facts['divergence']}",
        kept,
        f"{', '.join(ways[:-1])}, or {ways[-1]}",
    )
