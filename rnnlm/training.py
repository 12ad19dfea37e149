"""From a plan to a trained model on disk: fit, save the best weights as they come, evaluate them exactly at the end.

Knows no mathematics: the family's own fitting, found through the registry, yields the events that are passed on.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rnnlm import model_card, model_folder, resuming, training_state
from rnnlm.errors import ToldElsewhere, TrainingError, UsageError, notice
from rnnlm.evaluation import evaluate
from rnnlm.events import Event, Finished, Fitted, Kept, Saved, TrainingState, Validated
from rnnlm.metrics_log import MetricsLog
from rnnlm.planning import DEMO_CORPUS, Plan, Request, plan
from rnnlm.rendezvous import place, planning_together

FAR = 1.25  # between two ways of reading one text


def train(text: str | Path | list[str] | None = None, *, stop: Callable[[], bool] = lambda: False, **request: Any) -> Iterator[Event]:
    """Train a model; the events of the run, as it lasts. The keywords are those of :class:`Request`; other ones are
    settings: `train("text.txt", model="gru", hidden_size=300, budget="5m")`.

    Raises:
        RnnlmError: any of its kinds: the request, the text, the device, the output folder.
    """
    texts = () if text is None else (text,) if isinstance(text, (str, Path)) else tuple(text)
    if text is not None and not texts:
        raise UsageError("no text is given", "the list of texts is empty", "name a file, or leave text out for the bundled corpus")
    known = {name: request.pop(name) for name in Request.__dataclass_fields__ if name in request}
    for name in ("valid", "test"):
        if isinstance(known.get(name), (str, Path)):
            known[name] = (known[name],)
        known[name] = tuple(str(path) for path in known.get(name) or ())
    for name in ("output", "config"):
        if known.get(name) is not None:
            known[name] = Path(known[name])
    flags = {**known.pop("flags", {}), **request}
    with planning_together():
        planned = plan(Request(text=tuple(str(path) for path in texts), flags=flags, **known))
    yield from run(planned, stop)


def run(plan: Plan, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    """Fit the model, save it whenever it got better, evaluate it exactly at the end. Of several processes the first one does so; the
    others have done their part once it is fitted.

    Raises:
        TrainingError: the run diverged; its last good weights, if there were some, are saved.
        OutputError: the model cannot be written. LostProcess: another process is gone. ToldElsewhere: the first process failed.
    """
    if place().rank:
        for event in plan.kind.fit(plan.resolved, plan.data, stop, plan.initial):
            yield event
        if event.stopped == "diverged":
            raise ToldElsewhere(TrainingError.exit_code)
        return
    with contextlib.closing(MetricsLog(plan.output, goes_on=plan.request.resume)) as log:
        for event in _work(plan, stop, log):
            log.add(event)
            yield event


def _work(plan: Plan, stop: Callable[[], bool], log: MetricsLog) -> Iterator[Event]:
    manifest = None
    for event in plan.kind.fit(plan.resolved, plan.data, stop, plan.initial):
        if isinstance(event, Fitted):
            began = time.perf_counter() - event.seconds  # of the run, with its earlier pieces
        yield event
        if isinstance(event, Fitted) and not event.steps:
            raise TrainingError("stopped before there was a model", "nothing is saved")
        if (isinstance(event, Validated) and event.improved) or (isinstance(event, Fitted) and manifest is None and event.step):
            manifest = _save(plan, event, goes_on=plan.request.resume or manifest is not None)
            log.write_to_folder()
            yield Saved(str(plan.output), event.step)
        if isinstance(event, Kept) and (manifest or plan.request.resume):
            _keep_state(plan, event.state)
    if manifest is None:
        _raise_diverged(plan, event)
    if event.stopped != "diverged":
        _keep_state(plan, event.state)
    results = {} if event.stopped in ("request", "diverged") else _results(plan, event.model, manifest)
    _tell_growing_states(results, event.best_ppl_token)
    facts = _facts(plan, time.perf_counter() - began, event)
    manifest = model_folder.save_results(plan.output, manifest, results, facts)
    model_card.write(plan.output, manifest, plan.data.tokenizer)
    if event.stopped == "diverged":
        _raise_diverged(plan, event)
    yield Finished(str(plan.output), event.step, event.steps, time.perf_counter() - began, event.stopped, results)


def _keep_state(plan: Plan, state: TrainingState | None) -> None:
    """What the run can go on from, if it can, is beside the model."""
    if state is None:
        training_state.remove(plan.output)
    else:
        training_state.save(plan.output, state, resuming.run_of(plan.recipe, plan.resolved, plan.data))


def _save(plan: Plan, event: Validated | Fitted, goes_on: bool) -> model_folder.Manifest:
    facts = {**_texts(plan), "seconds": round(event.seconds, 1)}
    settings = plan.resolved.values
    manifest = model_folder.save(plan.output, event.model, plan.kind.name, settings, event.step, facts, goes_on=goes_on)
    model_card.write(plan.output, manifest, plan.data.tokenizer)
    return manifest


def _results(plan: Plan, model: Any, manifest: model_folder.Manifest) -> dict[str, dict[str, Any]]:
    """The exact evaluations of the best weights: validation and test text, state carried, IEEE fp32."""
    model.fingerprint = manifest.fingerprint
    texts = {"valid": plan.valid, "test": plan.test}
    return {name: evaluate(model, text).to_dict() for name, text in texts.items() if text is not None}


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
        "text": list(plan.request.text) or [f"bundled corpus {DEMO_CORPUS}"],
        "validation": plan.valid_is,
        "train_data": train.lines_hash,
        "train_tokens": train.tokens,
        "train_words": train.words,
        "train_sentences": train.sentences,
    }


def _facts(plan: Plan, seconds: float, event: Fitted) -> dict[str, Any]:
    return {**_texts(plan), "tokens_read": event.tokens, "seconds": round(seconds, 1), "stopped": event.stopped, **event.facts}


def _raise_diverged(plan: Plan, event: Fitted) -> None:
    kept = "no good model was reached, none is saved"
    if event.step:
        weights = "the last good weights" if event.best_ppl_token is None else "the best weights"
        kept = f"{weights}, of step {event.step}, are in {plan.output}"
    settings = plan.resolved.values
    clipping = "set clip_norm=0.25" if settings["clip_norm"] is None else "lower clip_norm"
    ways = ["lower learning_rate", clipping, "raise warmup"]
    if settings.get("activation") == "relu":
        ways.append("set init_gain below 1")
    if settings["precision"] != "fp32":
        ways.append("use --precision fp32")
    raise TrainingError(f"training diverged: {event.facts['divergence']}", kept, f"{', '.join(ways[:-1])}, or {ways[-1]}")
