"""Models of a folder each, mixed: weights tuned on a text or given, the mixture saved as a model of
its own."""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from rnnlm import arrays as array_types
from rnnlm.checks import several
from rnnlm.combinations import adaptation
from rnnlm.combinations.mixture import (
    Mixture,
    MixtureKind,
    MixtureState,
    added,
    at_targets,
    check_weights,
    multiplied,
    shared_tokenizer,
)
from rnnlm.errors import UsageError, nearest
from rnnlm.evaluation import perplexity
from rnnlm.evaluation.perplexity import Context, TextEvaluation
from rnnlm.inference import span_scoring
from rnnlm.interface import Array, Device, LanguageModel
from rnnlm.models import card, loading, model_folder, registry
from rnnlm.models import manifest as model_parts
from rnnlm.models.loading import warn_if_trained_on
from rnnlm.text.corpus import Text
from rnnlm.text.encoding import EncodedText, known_ids
from rnnlm.text.lines import Progress, TextSettings, prefixed, silent

# ---- The weights of a mixture under which a text is most probable.
#
# Linear: EM (Dempster, Laird & Rubin 1977; Jelinek & Mercer 1980). With g_k the mean over the
# tokens of p_k / sum over j of weight_j p_j, each round multiplies weight_k by g_k; the text never
# gets less probable. With other weights v in place of w, the mean of log(sum v_k p_k / sum w_k p_k)
# is by Jensen's inequality at most log(sum v_k g_k), so at most log(max over k of g_k): that is how
# far the best weights can be, and when to stop.
#
# Log-linear: Newton's method. With s_k = log p_k, the mean of -log p is convex in the weights; its
# gradient is the mean of E[s_k] - s_k(target), its Hessian the mean of Cov[s_j, s_k], both exact:
# over the whole vocabulary, under the mixture as it is.
#
# Tokens that are impossible under any weights are left out, as no weights change that. Shapes: K
# parts, N tokens, R places, V vocabulary.

TOLERANCE_NATS = 1e-7  # a token: how far the mean log-probability may stay below the best
MOST_ROUNDS, MOST_STEPS = 20_000, 100
# predictions are kept where they take no more, else computed again at each step
KEPT_BYTES = 1 << 30
SMALLEST_CURVATURE = 1e-6  # of the largest: directions in which the parts are the same to rounding

Predicted = tuple[list[Array], np.ndarray]  # logprob_RV of each part, the targets, (R,)


@dataclass(frozen=True)
class MixtureWeights:
    """The weights found. iterations: how often the text was gone through for them."""

    weights_K: np.ndarray
    iterations: int


def linear_weights(scores_KN: np.ndarray, report: Progress = silent) -> MixtureWeights:
    """EM on the log-probabilities (nats) that each part gave to each token."""
    parts = len(scores_KN)
    best_N = scores_KN.max(axis=0)
    possible_KN = scores_KN[:, np.isfinite(best_N)]
    # relative to the best part: nothing underflows
    prob_KN = np.exp(possible_KN - best_N[np.isfinite(best_N)])
    weights_K = np.full(parts, 1 / parts)
    rounds = 0
    while prob_KN.size and rounds < MOST_ROUNDS:
        gain_K = prob_KN @ (1 / (weights_K @ prob_KN)) / prob_KN.shape[1]
        rounds += 1
        if math.log(gain_K.max()) <= TOLERANCE_NATS:
            break
        weights_K = weights_K * gain_K
        weights_K /= weights_K.sum()
        report(f"EM, round {rounds:,}")
    return MixtureWeights(weights_K, rounds)


def log_linear_weights(
    predictions: Iterable[Predicted], parts: int, report: Progress = silent
) -> MixtureWeights:
    """Newton's method on what the parts predict at each place, gone through once a step; starts at
    equal weights."""
    weights_K = np.full(parts, 1 / parts)
    good_K, good_loss = weights_K, math.inf
    for step in range(1, MOST_STEPS + 1):
        loss, gradient_K, hessian_KK = _moments(predictions, weights_K)
        report(f"Newton, step {step}: {loss:.4f} nats per token")
        if not loss <= good_loss + TOLERANCE_NATS:  # too far, perhaps beyond what numbers can hold
            weights_K = (good_K + weights_K) / 2
            continue
        good_K, good_loss = weights_K, loss
        change_K = (
            -np.linalg.pinv(hessian_KK, rcond=SMALLEST_CURVATURE, hermitian=True) @ gradient_K
        )
        if -gradient_K @ change_K / 2 <= TOLERANCE_NATS:
            break
        weights_K = weights_K + change_K
    return MixtureWeights(good_K, step)


@dataclass(frozen=True)
class Predictions:
    """What the parts of a mixture predict at each place of a text, some places at a time; computed
    again in each iteration."""

    mixture: Mixture
    ids: np.ndarray
    spans: np.ndarray

    def __iter__(self) -> Iterator[Predicted]:
        for _, _, predicted in span_scoring.windows(
            self.mixture, self.ids, self.spans, self._predict
        ):
            yield predicted

    def _predict(
        self, inputs_BT: np.ndarray, targets_BT: np.ndarray, state: MixtureState
    ) -> tuple[Predicted, MixtureState]:
        predicted_KBTV, after = self.mixture.predict_parts(inputs_BT, state)
        size = self.mixture.tokenizer.size
        target_R = known_ids(targets_BT, self.mixture.tokenizer).reshape(-1)
        return ([each.reshape(-1, size) for each in predicted_KBTV], target_R), after

    def kept(self) -> Iterable[Predicted]:
        """The same, in memory where there is room."""
        cells = len(self.mixture.parts) * len(self.ids) * self.mixture.tokenizer.size
        return list(self) if cells * np.dtype(np.float64).itemsize <= KEPT_BYTES else self


def _moments(
    predictions: Iterable[Predicted], weights_K: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """The mean of -log p(target), in nats, its gradient and its Hessian."""
    parts = len(weights_K)
    total, gradient_K, hessian_KK, counted = 0.0, np.zeros(parts), np.zeros((parts, parts)), 0
    for logprobs_KRV, target_R in predictions:
        with np.errstate(invalid="ignore"):  # a weight of 0 times the log of 0
            logprob_RV = multiplied(logprobs_KRV, weights_K)
        xp = array_types.library(logprob_RV)
        score_R = array_types.as_numpy(at_targets(logprob_RV, target_R))
        counts_R = np.isfinite(score_R) & (target_R >= 0)
        total -= float(score_R[counts_R].sum(dtype=np.float64))
        counted += int(counts_R.sum())
        prob_RV = xp.exp(logprob_RV) * array_types.as_array_of(counts_R, logprob_RV)[:, None]
        weighted, centred = [], []
        for k, each_RV in enumerate(logprobs_KRV):
            each_RV = xp.where(xp.isneginf(logprob_RV), 0.0, each_RV)
            centred_RV = each_RV - xp.sum(prob_RV * each_RV, axis=-1, keepdims=True)
            gradient_K[k] -= array_types.as_numpy(at_targets(centred_RV, target_R))[counts_R].sum(
                dtype=np.float64
            )
            weighted.append((prob_RV * centred_RV).reshape(-1))
            centred.append(centred_RV.reshape(-1))
        hessian_KK += [[float(one @ other) for other in centred] for one in weighted]
    counted = max(1, counted)
    return total / counted, gradient_K / counted, hessian_KK / counted


# ---- mixing


@dataclass(frozen=True)
class MixedModel:
    """One of the models mixed. evaluation: of it alone, None where there was no text."""

    name: str
    fingerprint: str | None
    weight: float
    evaluation: TextEvaluation | None


@dataclass(frozen=True)
class Mixed:
    """A mixture, saved in `folder`. iterations: of tuning, None where the weights were given."""

    folder: str
    kind: MixtureKind
    parts: tuple[MixedModel, ...]
    iterations: int | None
    evaluation: TextEvaluation | None


def mix(
    names: Sequence[LanguageModel | str | Path],
    on: str | Path | Sequence[str | Path] | Text | None = None,
    output: str | Path = "checkpoints/mixture", *,
    kind: MixtureKind = "linear", weights: Sequence[float] | None = None,
    context: Context = "carry", bundle: bool = False,
    overwrite: bool = False, device: str | Device = "auto",
    text_settings: TextSettings | None = None, report: Progress = silent,
) -> Mixed:  # fmt: skip
    """Mix the models called `names`, with the weights under which the text `on` is most probable,
    or with given ones.

    names: or models loaded from folders; NAME+KIND adapts itself as tuned. kind: "linear"
    (probabilities are added up) or "log-linear" (multiplied and normalised). bundle: `output` holds
    copies of the models, else refers to them. report: called with tuning's progress.

    Raises:
        UsageError: there are fewer than two models, their tokenizers differ, the weights are not
            valid, or there is neither a text nor weights. TextError: the text cannot be read.
            ModelError: a model is missing or damaged. OutputError.
    """
    began = time.perf_counter()
    output, called = Path(output), [loading.name_of(name) for name in several(names, "names")]
    _check(called, on, kind, weights, context)
    folders = [loading.folder_of(name) for name in called]
    with model_folder.owned(output, overwrite, "mixing"):
        if not bundle:
            model_parts.referenced(output, folders)  # whether they can be, before the work
        models = [loading.load(name, device) for name in called]
        shared_tokenizer([model.tokenizer for model in models], called)
        measured = (
            None
            if on is None
            else _measure(models, perplexity.as_text(on, text_settings), context, report)
        )
        tuned = None
        if measured is not None and weights is None:
            warn_if_trained_on(
                measured.encoded.lines_hash, dict(zip(called, folders, strict=True)), "weights"
            )
            tuned = measured.tune(kind, report)
        mixture = Mixture(
            models, tuned.weights_K if tuned else weights if weights is not None else (), kind
        )
        facts = _facts(called, mixture, measured, tuned) | {
            "seconds": round(time.perf_counter() - began, 1)
        }
        weighed = model_parts.ModelArrays(mixture.tokenizer, mixture.to_arrays())
        manifest = model_folder.save(
            output, weighed, "mixture", _settings(kind, models), 0, facts, folders, bundle
        )
        mixture.fingerprint = manifest.fingerprint
        whole, *alone = (
            [None] * (1 + len(models)) if measured is None else measured.evaluations(mixture)
        )
        if measured is not None and whole:
            manifest = model_folder.save_results(
                output, manifest, {measured.source: whole.to_dict()}, facts
            )
        card.write(output, manifest, mixture.tokenizer)
    parts = map(
        MixedModel,
        called,
        [model.fingerprint for model in models],
        mixture.weights_K.tolist(),
        alone,
    )
    return Mixed(str(output), kind, tuple(parts), tuned.iterations if tuned else None, whole)


def _check(
    names: list[str], on: object, kind: MixtureKind, weights: Sequence[float] | None, context: str
) -> None:
    """What can be said before anything is read."""
    perplexity.check_context(context)
    if kind not in get_args(MixtureKind):
        raise UsageError(
            f"unknown kind of mixture {kind!r}", hint=nearest(kind, get_args(MixtureKind))
        )
    if len(names) < 2:
        raise UsageError(
            "a mixture needs at least two models", f"there is {len(names)}", "name another one"
        )
    if weights is not None:
        check_weights(np.asarray(weights, dtype=np.float64), len(names), kind)
    elif on is None:
        hint = "name a text to tune the weights on, --on TEXT, or give them, --weights 0.7,0.3"
        raise UsageError("the weights of the models are unknown", hint=hint)
    for name in names:
        registry.check_use("mix", loading.task_of(name), name)


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
        predictions = Predictions(
            reader, self.encoded.ids, perplexity.spans_of(self.encoded, self.context)
        )
        return log_linear_weights(predictions.kept(), parts, report)

    def evaluations(self, mixture: Mixture) -> list[TextEvaluation]:
        """Of the mixture, and of each model alone."""
        if mixture.kind == "linear":
            is_counting_K = mixture.weights_K > 0
            logprob_N = added(self.scores_KN[is_counting_K], mixture.weights_K[is_counting_K])
        else:
            logprob_N = span_scoring.score_spans(
                mixture, self.encoded.ids, perplexity.spans_of(self.encoded, self.context)
            )
        measured = [(mixture, logprob_N), *zip(self.models, self.scores_KN, strict=True)]
        return [
            perplexity.summary(*each, self.encoded, self.context, self.began) for each in measured
        ]


def _measure(
    models: list[LanguageModel], text: Text, context: Context, report: Progress
) -> _ScoredText:
    """Read the text once through each model.

    Raises:
        ModelError: a model's scores are not numbers. TextError: the text cannot be read.
    """
    began = time.perf_counter()
    encoded = text.encode(shared_tokenizer([model.tokenizer for model in models]), report)
    spans = perplexity.spans_of(encoded, context)
    scores_KN = np.stack(
        [
            span_scoring.score_spans(
                model,
                encoded.ids,
                spans,
                report=prefixed(report, f"model {number} of {len(models)}"),
            )
            for number, model in enumerate(models, start=1)
        ]
    )
    span_scoring.check_scores(scores_KN)
    return _ScoredText(models, text, encoded, context, scores_KN, began)


def _settings(kind: MixtureKind, models: Sequence[LanguageModel]) -> dict[str, Any]:
    return {"model": "mixture", "mixing": kind, **adaptation.stored(models)}


def _facts(
    names: list[str], mixture: Mixture, measured: _ScoredText | None, tuned: MixtureWeights | None
) -> dict[str, Any]:
    """What is kept with the mixture: its models by name, their weights, and where these come
    from."""
    weights = mixture.weights_K.tolist()
    mixed = [
        {
            "model": name,
            "weight": weight,
            **({} if part.adaptation == "none" else {"adaptation": part.adaptation}),
        }
        for name, weight, part in zip(names, weights, mixture.parts, strict=True)
    ]
    origin = (
        "given"
        if tuned is None or measured is None
        else f"tuned on {measured.source}, context {measured.context}"
    )
    return {"mixed": mixed, "weights": origin}
