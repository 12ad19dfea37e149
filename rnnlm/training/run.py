"""From a plan to a trained model on disk: fit, save the best weights as they come, evaluate them exactly at the end.

Knows no mathematics: the family's own fitting, found through the registry, yields the events that are passed on.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import rnnlm.corpora as corpora
from rnnlm.arguments import check
from rnnlm.errors import ReportedElsewhere, TrainingError, UsageError, notice
from rnnlm.events import Evaluating, Event, Finished, Fitted, Started, TrainingState, never
from rnnlm.files import lock
from rnnlm.models import checkpoints, model_folder
from rnnlm.models.manifest import Manifest
from rnnlm.models.metrics_log import MetricsLog
from rnnlm.models.registry import LANGUAGE_MODEL
from rnnlm.system import current_rank, planning_together
from rnnlm.training.plan import Plan, plan
from rnnlm.training.request import STARTS, Request
from rnnlm.training.storage import RunStorage
from rnnlm.training.texts import CountedText

_SEVERAL = (
    "valid", "test", "labels", "valid_labels", "test_labels", "target", "valid_target", "test_target", "contextual",
)  # fmt: skip
_PATHS = {
    **dict.fromkeys(_SEVERAL, str | Path | Sequence[str | Path] | None),
    **dict.fromkeys(("output", "config", "tokenizer_from", *STARTS), str | Path | None),
}
FAR = 1.25  # between two ways of reading one text


def train(
    text: str | Path | Sequence[str | Path] | None = None,
    *,
    stop: Callable[[], bool] = never,
    save: Callable[[], bool] = never,
    **request: Any,
) -> Iterator[Event]:
    """Train a model; the events of the run, as it lasts. The keywords are those of :class:`Request`; other ones are
    settings: `train("text.txt", model="gru", hidden_size=300, budget="5m")`. Asked at every step: whether to `stop`, and whether
    to `save` what the run could go on from.

    Raises:
        RnnlmError: any of its kinds: the request, the text, the device, the output folder.
    """
    with planning_together():
        planned = plan(request_of(text, request))
    yield from run(planned, stop, save)


def request_of(text: str | Path | Sequence[str | Path] | None, request: dict[str, Any]) -> Request:
    """What the text and the keywords of :func:`train` ask for.

    Raises:
        UsageError: the list of texts is empty.
    """
    texts = () if text is None else (text,) if isinstance(text, (str, Path)) else tuple(text)
    if text is not None and not texts:
        raise UsageError("no text is given", "the list of texts is empty", "name a file, or leave text out for the bundled corpus")
    known = {name: request.pop(name) for name in Request.__dataclass_fields__ if name in request}
    check("train", known, get_type_hints(Request) | _PATHS)
    for name in _SEVERAL:
        if isinstance(known.get(name), (str, Path)):
            known[name] = (known[name],)
        known[name] = tuple(str(path) for path in known.get(name) or ())
    for name in ("output", "config"):
        if known.get(name) is not None:
            known[name] = Path(known[name])
    flags = {**known.pop("flags", {}), **request}
    return Request(text=tuple(str(path) for path in texts), flags=flags, **known)


def run(plan: Plan, stop: Callable[[], bool] = never, save: Callable[[], bool] = never) -> Iterator[Event]:
    """Fit the model, save it whenever it got better, evaluate it exactly at the end. The folder is locked meanwhile. Of several
    processes the first one writes; the others have done their part once the model is fitted.

    Raises:
        TrainingError: the run diverged; its last good weights, if there were some, are saved. Without them its log is left, unless
            an earlier model is in the folder. OutputError: the folder is another run's, or cannot be written at the end of this one.
            LostProcess: another process is gone. ReportedElsewhere: the first process failed.
    """
    log = MetricsLog(plan.output)
    if plan.finished and (current_rank().rank or (not _unevaluated(plan, plan.finished) and log.is_complete)):
        yield _finished(plan.output, plan.finished)
        return
    if current_rank().rank:
        yield from _take_part(plan, stop, save)
        return
    with lock.held(plan.output, checkpoints.FOLDER, "training"):
        storage = RunStorage(plan, log, _texts(plan), save)
        if plan.finished:
            log.go_on()
        for event in _end(plan, plan.finished, storage) if plan.finished else _work(plan, stop, storage):
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


def _work(plan: Plan, stop: Callable[[], bool], storage: RunStorage) -> Iterator[Event]:
    for event in plan.kind.fit(plan.resolved, plan.data, stop, plan.initial, storage.save_signal):
        yield event
        if not isinstance(event, Fitted):
            yield from storage.handle(event)
    began = time.perf_counter() - event.seconds  # of the run, with its earlier pieces
    if not event.steps and event.stopped != "diverged":
        raise TrainingError("stopped before the first step", "nothing was saved; what was there before is unchanged")
    if not event.step and storage.manifest is None:
        if not model_folder.is_model(plan.output):  # else the log there is that model's
            storage.log.write_to_folder()
        _raise_diverged(plan, event, storage.log)
    manifest = yield from storage.finish(event)
    manifest = storage.save_results(manifest, {}, _facts(plan, time.perf_counter() - began, event))
    results = {}
    if event.stopped not in ("request", "diverged") and not stop() and (texts := _evaluated(plan)):
        yield Evaluating(tuple(texts))
        results = _results(plan, event.model, manifest.fingerprint, texts)
        _tell_growing_states(results, event.best_ppl_token)
        storage.save_results(manifest, results, _facts(plan, time.perf_counter() - began, event))
    if event.stopped == "diverged":
        _raise_diverged(plan, event, storage.log)
    yield Finished(str(plan.output), event.step, event.steps, time.perf_counter() - began, event.stopped, results)


def _end(plan: Plan, finished: Manifest, storage: RunStorage) -> Iterator[Event]:
    """The end of a run that was cut off when all but that was done: the exact evaluation, the model card, its word in the log."""
    results = finished.results
    if _unevaluated(plan, finished):
        texts = _evaluated(plan)
        yield Evaluating(tuple(texts))
        model, _ = model_folder.load(plan.output, plan.resolved.values.get("device", "cpu"))
        results = _results(plan, model, finished.fingerprint, texts)
    manifest = storage.save_results(finished, results, {**finished.training, "valid_data": storage.facts["valid_data"]})
    yield _finished(plan.output, manifest)


def _finished(folder: Path, manifest: Manifest) -> Finished:
    facts = manifest.training
    return Finished(
        str(folder), manifest.step, facts.get("steps", manifest.step), facts.get("seconds", 0.0), facts["stopped"], manifest.results
    )


def _unevaluated(plan: Plan, finished: Manifest) -> bool:
    """Whether the end of a run, which it has come to, lacks the exact evaluation of a text, or has that of another one by its name."""
    return any(not _is_of(finished.results.get(name), text) for name, text in _evaluated(plan).items())


def _is_of(result: dict[str, Any] | None, text: CountedText) -> bool:
    """Whether `result` is an exact evaluation of `text`."""
    return result is not None and f"|data:{text.lines_hash}|" in f"{result['signature']}|"


def _evaluated(plan: Plan) -> dict[str, CountedText]:
    """The texts that the model is evaluated on at the end."""
    texts = {"valid": plan.data.valid, "test": plan.test}
    return {name: text for name, text in texts.items() if text is not None}


def _results(plan: Plan, model: Any, fingerprint: str, texts: dict[str, CountedText]) -> dict[str, dict[str, Any]]:
    """The exact evaluations of the best weights."""
    model.fingerprint = fingerprint
    return plan.kind.results(model, texts, plan.has_intervals)


def _tell_growing_states(results: dict[str, dict[str, Any]], ppl_in_training: float | None) -> None:
    """Validation during training reads short streams; a state that grows over a long one (ReLU units) shows at the end alone."""
    exact = results.get("valid", {}).get("ppl_token", 0.0)
    if ppl_in_training and (exact is None or exact > FAR * ppl_in_training):
        figure = "no number" if exact is None else f"{exact:.4g}"
        notice(
            f"the exact validation perplexity, of one long stream, is {figure}; in training, of short ones, it was {ppl_in_training:.4g}. "
            "The hidden state grows with the text: read lines alone (--context reset), or train with state_reset or init_gain below 1"
        )


def _texts(plan: Plan) -> dict[str, Any]:
    train = plan.data.train
    return {
        "recipe": plan.recipe,
        "text": list(plan.request.text) or [corpora.named(corpora.USUAL[plan.kind.task])],
        "validation": plan.valid_is,
        "train_data": train.lines_hash,
        "valid_data": plan.data.valid.lines_hash if plan.data.valid else None,
        "lines_in_train": {name: round(overlap.share, 4) for name, overlap in plan.overlaps.items()},  # shares
        "train_tokens": train.tokens,
        "train_words": train.words,
        "train_sentences": train.sentences,
        **_helpers(plan),
    }


def _helpers(plan: Plan) -> dict[str, Any]:
    """The language models that a task's network was made with, by name; those of a run that goes on stay noted."""
    if plan.kind.task == LANGUAGE_MODEL:
        return {}
    names = (*STARTS, "contextual")
    found = {name: value for name in names if (value := getattr(plan.request, name))}
    if plan.request.resume and model_folder.is_model(plan.output):
        found |= {name: value for name, value in model_folder.read_manifest(plan.output).training.items() if name in names}
    return {name: list(map(str, value)) if name == "contextual" else str(value) for name, value in found.items()}


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
    kept = "no good model was reached, none is saved" + (f"; {log.path} tells how it went" if log.is_open and not log.pending else "")
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
    raise TrainingError(f"training diverged: {event.facts['divergence']}", kept, f"{', '.join(ways[:-1])}, or {ways[-1]}")
