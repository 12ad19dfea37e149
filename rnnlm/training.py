"""From a request to a trained model on disk: :func:`plan` resolves settings and reads the text, :func:`run` fits,
saves the best weights as they come, and evaluates them exactly at the end. Both without knowing any mathematics.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from rnnlm import corpora, loading, model_card, model_folder, recipes, registry, tokenizers
from rnnlm.config import Layer, Probability, Resolved, describe, read_toml, resolve
from rnnlm.corpus import Corpus, Text, TextSettings, hold_out
from rnnlm.encoding import TrainingData, encode_text
from rnnlm.errors import SettingsError, TextError, TrainingError, UsageError, notice
from rnnlm.evaluation import evaluate
from rnnlm.events import Event, Finished, Fitted, Saved, Validated
from rnnlm.interface import Tokenizer
from rnnlm.metrics_log import MetricsLog
from rnnlm.sources import SourceSettings
from rnnlm.tokenizers import TokenizerSettings

SINGLE_LINE = "none: the text is a single line"
DEMO_CORPUS, DEMO_RECIPE, DEFAULT_RECIPE = "english", "demo", "lstm"


@dataclass(frozen=True)
class HoldoutSettings:
    """What is done where no validation text is named."""

    holdout: Annotated[Probability, Meta(description="share of the text held out for validation; 0: none")] = 0.05


@dataclass(frozen=True)
class Request:
    """What a person asks `train` for. Settings: recipe < config file < assignments (text, `--set`) < named flags."""

    text: tuple[str, ...] = ()  # none: the bundled corpus
    valid: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    recipe: str | None = None
    model: str | None = None
    config: Path | None = None
    assignments: dict[str, str] = field(default_factory=dict)
    flags: dict[str, Any] = field(default_factory=dict)
    output: Path | None = None  # none: a new folder in ./checkpoints
    overwrite: bool = False
    tokenizer_from: str | None = None
    init_from: str | None = None


@dataclass(frozen=True)
class Plan:
    """A request made definite: every setting with its origin, the texts encoded, where the model goes."""

    request: Request
    recipe: str | None
    kind: registry.Kind
    resolved: Resolved
    data: TrainingData
    test: Corpus | None
    valid: Text | None
    valid_is: str  # what the validation text is, in words
    output: Path

    def describe(self) -> list[tuple[str, Any, str, str]]:
        """(name, value, origin, description) of every setting."""
        about = {name: text for cls in self.resolved.classes for name, text in describe(cls).items()}
        return [(name, value, self.resolved.origins[name], about[name]) for name, value in self.resolved.values.items()]

    def parameters(self) -> int:
        """How many numbers the model has; nothing is allocated."""
        shapes = self.kind.array_shapes(self.resolved.values, self.data.tokenizer.size)
        return sum(math.prod(shape) for _, shape in shapes.values())


def train(text: str | Path | list[str] | None = None, *, stop: Callable[[], bool] = lambda: False, **request: Any) -> Iterator[Event]:
    """Train a model; the events of the run, as it lasts. The keywords are those of :class:`Request`; other ones are
    settings: `train("text.txt", model="gru", hidden_size=300, budget="5m")`.

    Raises:
        RnnlmError: any of its kinds: the request, the text, the device, the output folder.
    """
    texts = () if text is None else (text,) if isinstance(text, (str, Path)) else tuple(text)
    known = {name: request.pop(name) for name in Request.__dataclass_fields__ if name in request}
    for name in ("valid", "test"):
        if isinstance(known.get(name), (str, Path)):
            known[name] = (known[name],)
        known[name] = tuple(str(path) for path in known.get(name) or ())
    for name in ("output", "config"):
        if known.get(name) is not None:
            known[name] = Path(known[name])
    flags = {**known.pop("flags", {}), **request}
    yield from run(plan(Request(text=tuple(str(path) for path in texts), flags=flags, **known)), stop)


def plan(request: Request) -> Plan:
    """Resolve the settings, read and encode the texts, make sure the model can be written.

    Raises:
        RnnlmError: the request contradicts itself, a text cannot be read, the folder cannot be written.
    """
    recipe, kind, resolved = settle(request)
    output = request.output or _fresh_folder(recipe or kind.name)
    model_folder.check_output(output, request.overwrite)
    text_settings, source_settings = resolved.make(TextSettings), resolved.make(SourceSettings)

    def corpus(names: tuple[str, ...]) -> Corpus | None:
        return Corpus(names, text_settings, source_settings) if names else None

    names = {part: getattr(request, part) for part in ("valid", "test")}
    if not request.text:
        names = {part: names[part] or (str(corpora.part(DEMO_CORPUS, part)),) for part in names}
    train_text = corpus(request.text or (str(corpora.part(DEMO_CORPUS, "train")),))
    train_part, valid, valid_is = _validation(train_text, corpus(names["valid"]), kind, resolved)
    tokenizer = _tokenizer(request, resolved, train_part)
    data = TrainingData(tokenizer, encode_text(train_part, tokenizer), encode_text(valid, tokenizer) if valid else None)
    if valid_is == SINGLE_LINE:
        notice("the text is a single line: nothing is held out for validation, the last weights are kept")
    return Plan(request, recipe, kind, resolved, data, corpus(names["test"]), valid, valid_is, output)


def settle(request: Request) -> tuple[str | None, registry.Kind, Resolved]:
    """The recipe's name, the kind of model and all settings of a request.

    Raises:
        SettingsError: something is unknown or not valid.
    """
    if request.recipe and request.model:
        chosen = recipes.load(request.recipe)[1].get("model")
        if chosen != request.model:
            raise UsageError(f"recipe {request.recipe} makes a {chosen}, not a {request.model}", way_out="give one of them")
    recipe = request.recipe
    file_values = read_toml(request.config) if request.config else {}
    named = request.model or request.assignments.get("model") or file_values.get("model")
    if recipe is None and named is None:
        recipe = DEFAULT_RECIPE if request.text else DEMO_RECIPE
    layers = []
    if recipe:
        layers.append(Layer(f"recipe {recipe}", recipes.load(recipe)[1]))
    layers.append(Layer(str(request.config or "--config"), file_values))
    layers.append(Layer("--set", request.assignments, is_text=True))
    flags = {**request.flags, **({"model": request.model} if request.model else {})}
    name = next((layer.values["model"] for layer in [Layer("", flags), *reversed(layers)] if "model" in layer.values), None)
    kind = registry.kind_of(str(name))
    classes = (*kind.settings_classes(), TokenizerSettings, TextSettings, SourceSettings, HoldoutSettings)
    layers.append(Layer("the command line", _applicable(flags, classes, kind)))
    return recipe, kind, resolve(classes, layers)


def run(plan: Plan, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    """Fit the model, save it whenever it got better, evaluate it exactly at the end.

    Raises:
        TrainingError: the loss is no longer a number. OutputError: the model cannot be written.
    """
    with contextlib.closing(MetricsLog(plan.output)) as log:
        for event in _work(plan, stop, log):
            log.add(event)
            yield event


def _work(plan: Plan, stop: Callable[[], bool], log: MetricsLog) -> Iterator[Event]:
    began = time.perf_counter()
    manifest, best_ppl = None, None
    for event in plan.kind.fit(plan.resolved, plan.data, stop, _initial_weights(plan)):
        yield event
        if isinstance(event, Fitted) and event.stopped == "diverged":
            _raise_diverged(plan, event, best_ppl)
        if (isinstance(event, Validated) and event.improved) or (isinstance(event, Fitted) and manifest is None):
            best_ppl = event.best_ppl_token
            manifest = _save(plan, event, time.perf_counter() - began)
            log.write_to_folder()
            yield Saved(str(plan.output), event.step)
    results = {} if event.stopped == "request" else _results(plan, event.model, manifest)
    facts = _facts(plan, time.perf_counter() - began, event)
    manifest = model_folder.save_results(plan.output, manifest, results, facts)
    model_card.write(plan.output, manifest, plan.data.tokenizer)
    yield Finished(str(plan.output), event.step, event.steps, time.perf_counter() - began, event.stopped, results)


def _validation(
    train_text: Corpus, valid: Corpus | None, kind: registry.Kind, resolved: Resolved
) -> tuple[Text, Text | None, str]:
    """(what is trained on, what is validated on, in words)."""
    if valid:
        return train_text, valid, ", ".join(valid.sources)
    share = resolved.make(HoldoutSettings).holdout
    if not kind.holds_out or not share:
        return train_text, None, "none"
    parts = hold_out(train_text, share)
    if parts is None:
        return train_text, None, SINGLE_LINE
    return *parts, f"the last {share:.0%} of the training text, held out"


def _tokenizer(request: Request, resolved: Resolved, text: Text) -> Tokenizer:
    if request.tokenizer_from is None:
        try:
            return tokenizers.train(resolved.make(TokenizerSettings), text.blocks())
        except SettingsError:
            if not any(True for _ in text.blocks()):
                raise TextError(f"no text in {', '.join(text.sources)}", "it is empty, or holds blank lines only") from None
            raise
    model, _ = model_folder.load(loading.find(request.tokenizer_from), "cpu")
    stored = model.tokenizer.to_settings()
    for name, value in stored.items():
        if resolved.origins[name] in ("--set", "the command line") and resolved.values[name] != value:
            raise UsageError(
                f"--tokenizer-from brings {name} = {value}", f"{resolved.values[name]} was asked for", "give one of them"
            )
    resolved.values.update(stored)
    resolved.origins.update(dict.fromkeys(stored, f"tokenizer of {request.tokenizer_from}"))
    return model.tokenizer


def _initial_weights(plan: Plan) -> dict[str, Any] | None:
    if plan.request.init_from is None:
        return None
    model, _ = model_folder.load(loading.find(plan.request.init_from), "cpu")
    arrays = model.to_arrays()
    wanted = {name: shape for name, (_, shape) in plan.kind.array_shapes(plan.resolved.values, plan.data.tokenizer.size).items()}
    if model.tokenizer.fingerprint != plan.data.tokenizer.fingerprint or {k: v.shape for k, v in arrays.items()} != wanted:
        raise UsageError(
            f"--init-from {plan.request.init_from}: its weights do not fit",
            "the shape of the network or the tokenizer differs",
            f"use its settings, and --tokenizer-from {plan.request.init_from}",
        )
    return arrays


def _applicable(flags: dict[str, Any], classes: tuple[type, ...], kind: registry.Kind) -> dict[str, Any]:
    """The named flags this kind of model has; of the general ones it lacks, a word is said."""
    known = {name for cls in classes for name in cls.__dataclass_fields__}
    general = {"budget", "device", "precision", "threads", "seed"}
    for name in flags.keys() - known:
        if name in general:
            notice(f"a {kind.name} has no use for --{name}: it is ignored")
    return {name: value for name, value in flags.items() if name in known or name not in general}


def _fresh_folder(name: str) -> Path:
    """./checkpoints/NAME, or NAME-2, NAME-3, ... where that is taken."""
    folder = Path("checkpoints") / name
    number = 2
    while folder.is_file() or (folder.exists() and any(folder.iterdir())):
        folder = Path("checkpoints") / f"{name}-{number}"
        number += 1
    return folder


def _save(plan: Plan, event: Validated | Fitted, seconds: float) -> model_folder.Manifest:
    settings = plan.resolved.values
    manifest = model_folder.save(
        plan.output, event.model, plan.kind.name, settings, event.step, {**_texts(plan), "seconds": round(seconds, 1)}
    )
    model_card.write(plan.output, manifest, plan.data.tokenizer)
    return manifest


def _results(plan: Plan, model: Any, manifest: model_folder.Manifest) -> dict[str, dict[str, Any]]:
    """The exact evaluations of the best weights: validation and test text, state carried, IEEE fp32."""
    model.fingerprint = manifest.fingerprint
    texts = {"valid": plan.valid, "test": plan.test}
    return {name: evaluate(model, text).to_dict() for name, text in texts.items() if text is not None}


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
    return {**_texts(plan), "tokens_read": event.tokens, "seconds": round(seconds, 1), "stopped": event.stopped}


def _raise_diverged(plan: Plan, event: Fitted, best_ppl: float | None) -> None:
    kept = f"the best model, of step {event.step}, is in {plan.output}" if best_ppl else "no good model was reached, none is saved"
    raise TrainingError(
        f"training diverged by {event.tokens} tokens: the loss is not a number", kept,
        "lower learning_rate or clip_norm, or use --precision fp32",
    )  # fmt: skip
