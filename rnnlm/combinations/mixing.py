"""Models of a folder each, mixed: weights tuned on a text or given, the mixture saved as a model of its own."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from rnnlm.combinations import adapted_parts
from rnnlm.combinations.mixture import Mixture, MixtureKind, added, check_weights, shared_tokenizer
from rnnlm.combinations.mixture_weights import MixtureWeights, Predictions, linear_weights, log_linear_weights
from rnnlm.errors import UsageError, nearest
from rnnlm.evaluation import perplexity
from rnnlm.evaluation.perplexity import Context, Evaluation
from rnnlm.inference import span_scoring
from rnnlm.interface import Device, LanguageModel
from rnnlm.models import card, loading, model_folder, model_parts, uses
from rnnlm.models.provenance import warn_if_trained_on
from rnnlm.text.corpus import Text
from rnnlm.text.encoding import EncodedText
from rnnlm.text.lines import Progress, TextSettings, prefixed, silent


@dataclass(frozen=True)
class MixedModel:
    """One of the models mixed. evaluation: of it alone, None where there was no text."""

    name: str
    fingerprint: str | None
    weight: float
    evaluation: Evaluation | None


@dataclass(frozen=True)
class Mixed:
    """A mixture, saved in `folder`. iterations: of tuning, None where the weights were given."""

    folder: str
    kind: MixtureKind
    parts: tuple[MixedModel, ...]
    iterations: int | None
    evaluation: Evaluation | None


def mix(
    names: Sequence[LanguageModel | str | Path], on: str | Path | Sequence[str | Path] | Text | None = None,
    output: str | Path = "checkpoints/mixture", *,
    kind: MixtureKind = "linear", weights: Sequence[float] | None = None, context: Context = "carry", bundle: bool = False,
    overwrite: bool = False, device: str | Device = "auto", text_settings: TextSettings | None = None, report: Progress = silent,
) -> Mixed:  # fmt: skip
    """Mix the models called `names`, with the weights under which the text `on` is most probable, or with given ones.

    names: or models loaded from folders; NAME+KIND adapts itself as tuned. kind: "linear" (probabilities are added up) or "log-linear"
    (multiplied and normalised). bundle: `output` holds copies of the models, else refers to them. report: called with tuning's progress.

    Raises:
        UsageError: there are fewer than two models, their tokenizers differ, the weights are not valid, or there is neither
            a text nor weights. TextError: the text cannot be read. ModelError: a model is missing or damaged. OutputError.
    """
    began = time.perf_counter()
    output, called = Path(output), [loading.name_of(name) for name in names]
    _check(called, on, kind, weights, context)
    folders = [loading.folder_of(name) for name in called]
    model_folder.check_output(output, overwrite)
    if not bundle:
        model_parts.referenced(output, folders)  # whether they can be, before the work
    models = [loading.load(name, device) for name in called]
    shared_tokenizer([model.tokenizer for model in models], called)
    measured = None if on is None else _measure(models, perplexity.as_text(on, text_settings), context, report)
    tuned = None
    if measured is not None and weights is None:
        warn_if_trained_on(measured.encoded.lines_hash, dict(zip(called, folders, strict=True)), "weights")
        tuned = measured.tune(kind, report)
    mixture = Mixture(models, tuned.weights_K if tuned else weights if weights is not None else (), kind)
    facts = _facts(called, mixture, measured, tuned) | {"seconds": round(time.perf_counter() - began, 1)}
    weighed = model_parts.ModelArrays(mixture.tokenizer, mixture.to_arrays())
    manifest = model_folder.save(output, weighed, "mixture", _settings(kind, models), 0, facts, folders, bundle)
    mixture.fingerprint = manifest.fingerprint
    whole, *alone = [None] * (1 + len(models)) if measured is None else measured.evaluations(mixture)
    if measured is not None and whole:
        manifest = model_folder.save_results(output, manifest, {measured.source: whole.to_dict()}, facts)
    card.write(output, manifest, mixture.tokenizer)
    parts = map(MixedModel, called, [model.fingerprint for model in models], mixture.weights_K.tolist(), alone)
    return Mixed(str(output), kind, tuple(parts), tuned.iterations if tuned else None, whole)


def _check(names: list[str], on: Any, kind: MixtureKind, weights: Sequence[float] | None, context: str) -> None:
    """What can be said before anything is read."""
    perplexity.check_context(context)
    if kind not in get_args(MixtureKind):
        raise UsageError(f"unknown kind of mixture {kind!r}", hint=nearest(kind, get_args(MixtureKind)))
    if len(names) < 2:
        raise UsageError("a mixture needs at least two models", f"there is {len(names)}", "name another one")
    if weights is not None:
        check_weights(np.asarray(weights, dtype=np.float64), len(names), kind)
    elif on is None:
        hint = "name a text to tune the weights on, --on TEXT, or give them, --weights 0.7,0.3"
        raise UsageError("the weights of the models are unknown", hint=hint)
    for name in names:
        uses.check_use("mix", loading.task_of(name), name)


@dataclass(frozen=True)
class _ScoredText:
    """A text, and the log-probability (nats) that each model gave to each of its tokens."""

    models: list[LanguageModel]
    text: Text
    encoded: EncodedText
    context: Context
    scores_KN: np.ndarray
    began: float

    @property
    def source(self) -> str:
        return ", ".join(self.text.sources)

    def tune(self, kind: MixtureKind, report: Progress) -> MixtureWeights:
        """The weights under which the text is most probable."""
        if kind == "linear":
            return linear_weights(self.scores_KN, report)
        parts = len(self.models)
        reader = Mixture(self.models, np.full(parts, 1 / parts), kind)
        predictions = Predictions(reader, self.encoded.ids, perplexity.spans_of(self.encoded, self.context))
        return log_linear_weights(predictions.kept(), parts, report)

    def evaluations(self, mixture: Mixture) -> list[Evaluation]:
        """Of the mixture, and of each model alone."""
        if mixture.kind == "linear":
            is_counting_K = mixture.weights_K > 0
            logprob_N = added(self.scores_KN[is_counting_K], mixture.weights_K[is_counting_K])
        else:
            logprob_N = span_scoring.score_spans(mixture, self.encoded.ids, perplexity.spans_of(self.encoded, self.context))
        measured = [(mixture, logprob_N), *zip(self.models, self.scores_KN, strict=True)]
        return [perplexity.summary(*each, self.encoded, self.context, self.began) for each in measured]


def _measure(models: list[LanguageModel], text: Text, context: Context, report: Progress) -> _ScoredText:
    """Read the text once through each model.

    Raises:
        ModelError: a model's scores are not numbers. TextError: the text cannot be read.
    """
    began = time.perf_counter()
    encoded = text.encode(shared_tokenizer([model.tokenizer for model in models]), report)
    spans = perplexity.spans_of(encoded, context)
    scores_KN = np.stack(
        [
            span_scoring.score_spans(model, encoded.ids, spans, report=prefixed(report, f"model {number} of {len(models)}"))
            for number, model in enumerate(models, start=1)
        ]
    )
    span_scoring.check_scores(scores_KN)
    return _ScoredText(models, text, encoded, context, scores_KN, began)


def _settings(kind: MixtureKind, models: Sequence[LanguageModel]) -> dict[str, Any]:
    return {"model": "mixture", "mixing": kind, **adapted_parts.stored(models)}


def _facts(names: list[str], mixture: Mixture, measured: _ScoredText | None, tuned: MixtureWeights | None) -> dict[str, Any]:
    """What is kept with the mixture: its models by name, their weights, and where these come from."""
    weights = mixture.weights_K.tolist()
    mixed = [
        {"model": name, "weight": weight, **({} if part.adaptation == "none" else {"adaptation": part.adaptation})}
        for name, weight, part in zip(names, weights, mixture.parts, strict=True)
    ]
    origin = "given" if tuned is None or measured is None else f"tuned on {measured.source}, context {measured.context}"
    return {"mixed": mixed, "weights": origin}
