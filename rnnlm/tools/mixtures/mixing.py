"""Mix models: tune the weights on a text or take given ones, and save the mixture as a separate
model."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rnnlm import registry
from rnnlm.checks import several
from rnnlm.errors import UsageError, keyword
from rnnlm.evaluation import perplexity
from rnnlm.evaluation.perplexity import Context, TextEvaluation
from rnnlm.interface import Device, LanguageModel, Tokenizer
from rnnlm.lm.base import loading, span_scoring
from rnnlm.storage import manifest as model_parts, model_folder
from rnnlm.text.corpus import Text
from rnnlm.text.encoding import EncodedText
from rnnlm.text.lines import Progress, TextSettings, prefixed, silent
from rnnlm.tools.mixtures import adaptation
from rnnlm.tools.mixtures.mixture import Mixture, check_weights, mix_linear, shared_tokenizer
from rnnlm.training import card

# ---- The weights of a mixture under which a text is most probable.
#
# EM (Dempster, Laird & Rubin 1977; Jelinek & Mercer 1980). With g_k the mean over the
# tokens of p_k / sum over j of weight_j p_j, each round multiplies weight_k by g_k; the text never
# gets less probable. With other weights v in place of w, the mean of log(sum v_k p_k / sum w_k p_k)
# is by Jensen's inequality at most log(sum v_k g_k), so at most log(max over k of g_k): that is how
# far the best weights can be, and when to stop.
#
# Tokens that are impossible under any weights are left out, as no weights change that. Shapes: K
# parts, N tokens.

TOLERANCE_NATS = 1e-7  # a token: how far the mean log-probability may stay below the best
MOST_ROUNDS = 20_000


def linear_weights(scores_KN: np.ndarray, report: Progress = silent) -> tuple[np.ndarray, int]:
    """Find the weights by EM on the log-probabilities (nats) that each part gave to each token.
    Return them, (K,), and how many iterations over the text it took."""
    parts = len(scores_KN)
    best_N = scores_KN.max(axis=0)
    is_possible_N = np.isfinite(best_N)
    # Relative to the best part, so that nothing underflows.
    prob_KN = np.exp(scores_KN[:, is_possible_N] - best_N[is_possible_N])

    weights_K = np.full(parts, 1 / parts)
    rounds = 0
    while prob_KN.size and rounds < MOST_ROUNDS:
        gain_K = prob_KN @ (1 / (weights_K @ prob_KN)) / prob_KN.shape[1]
        rounds += 1
        # By the bound above, the best weights gain no more than this.
        if math.log(gain_K.max()) <= TOLERANCE_NATS:
            break
        weights_K = weights_K * gain_K
        weights_K /= weights_K.sum()
        report(f"EM, round {rounds:,}")
    return weights_K, rounds


# ---- Mixing models called by name, and saving the mixture.


@dataclass(frozen=True)
class MixedModel:
    """One of the models of a mixture.

    Attributes:
        name: Name of the model.
        fingerprint: Hash of its weights and tokenizer.
        weight: Weight in the mixture, 0 to 1.
        evaluation: Evaluation of the model alone; None if there was no text.
    """

    name: str
    fingerprint: str | None
    weight: float
    evaluation: TextEvaluation | None


@dataclass(frozen=True)
class MixingResult:
    """A saved mixture.

    Attributes:
        folder: Folder of the mixture; for "static", it may be an ARPA file.
        kind: "linear", or "static", which is an n-gram model.
        parts: The mixed models.
        iterations: Number of iterations of tuning; None if the weights were given.
        evaluation: Evaluation of the mixture; None if there was no text.
    """

    folder: str
    kind: Literal["linear", "static"]
    parts: tuple[MixedModel, ...]
    iterations: int | None
    evaluation: TextEvaluation | None


def mix(
    names: Sequence[LanguageModel | str | Path],
    on: str | Path | Sequence[str | Path] | Text | None = None,
    output: str | Path = "checkpoints/mixture",
    *,
    weights: Sequence[float] | None = None,
    context: Context = "carry",
    bundle: bool = False,
    overwrite: bool = False,
    device: str | Device = "auto",
    text_settings: TextSettings | None = None,
    report: Progress = silent,
) -> MixingResult:
    """Mix models, with given weights or with the weights that make a text most probable.

    Models of words may have different words. A word that a model lacks has probability zero there.

    Args:
        names: Names of models, or models loaded from folders; NAME+KIND adapts to the text with its
            tuned settings.
        on: Text to tune the weights on.
        output: Folder of the mixture.
        weights: Weight of each model, which sum to 1. None: tuned on the text.
        context: "carry" (read all lines as one stream) or "reset" (read each line alone).
        bundle: Copy the models into `output` instead of referring to their folders.
        overwrite: Replace a model in `output`.
        device: Where networks compute: "cpu", "cuda" and so on, or "auto" for the best available
            device.
        text_settings: How to read lines. None: the defaults.
        report: Callback for the progress of tuning.

    Returns:
        The mixture's folder, parts with weights, and evaluation.

    Raises:
        UsageError: There are fewer than two models, their tokenizers differ, the weights are
            invalid, or there are neither a text nor weights.
        TextError: The text cannot be read.
        ModelError: A model is missing or damaged.
        OutputError: The folder cannot be written, or already holds another model.
    """
    began = time.perf_counter()
    output = Path(output)
    called = [loading.name_of(name) for name in several(names, "names")]
    check_request(called, on, weights, context)
    folders = [loading.base_folder(name) for name in called]
    model_folder.check_output(output, overwrite)

    # Refuse models that cannot be referred to, or mixed, before the work begins.
    model_parts.check_number(f"the mixture {output}", folders)
    if not bundle:
        model_parts.referenced(output, folders)
    models = [loading.load(name, device) for name in called]
    shared_tokenizer([model.tokenizer for model in models], called)
    text = None if on is None else perplexity.as_text(on, text_settings)
    with model_folder.owned(output, overwrite, "mixing"):
        measured = None
        if text is not None:
            measured = measure(_with_all_words(models), text, context, report)
        by_name = dict(zip(called, folders, strict=True))
        chosen = choose_weights(weights, measured, by_name, report)
        mixture = Mixture(models, chosen.weights_K)

        # Save the mixture, then its results, which name its fingerprint.
        facts = _facts(called, mixture, chosen)
        facts["seconds"] = round(time.perf_counter() - began, 1)
        weighed = model_parts.ModelArrays(mixture.tokenizer, mixture.to_arrays())
        manifest = model_folder.save(
            folder=output,
            model=weighed,
            kind="mixture",
            settings={"model": "mixture", **adaptation.stored_settings(models)},
            step=0,
            training=facts,
            parts=folders,
            bundle=bundle,
        )
        mixture.fingerprint = manifest.fingerprint
        evaluations = measured.evaluations(mixture) if measured else None
        save_results(output, manifest, facts, measured, evaluations, mixture.tokenizer)
    return mixed(output, "linear", called, models, chosen, evaluations)


def save_results(
    output: Path,
    manifest: model_parts.Manifest,
    facts: dict[str, Any],
    measured: "ScoredText | None",
    evaluations: Sequence[TextEvaluation] | None,
    tokenizer: Tokenizer,
) -> None:
    """Store the first of the evaluations, the evaluation of the whole, beside its model in
    `output`, and write the card."""
    if measured is not None and evaluations is not None:
        results = {measured.source: evaluations[0].to_dict()}
        manifest = model_folder.save_results(output, manifest, results, facts)
    card.write(output, manifest, tokenizer)


def mixed(
    output: Path,
    kind: Literal["linear", "static"],
    names: Sequence[str],
    models: Sequence[LanguageModel],
    chosen: "ChosenWeights",
    evaluations: Sequence[TextEvaluation] | None,
) -> MixingResult:
    """Return the result of mixing; `evaluations` are of the whole, then of each model alone."""
    whole: TextEvaluation | None = None
    alone: Sequence[TextEvaluation | None] = [None] * len(models)
    if evaluations is not None:
        whole, *alone = evaluations
    fingerprints = [model.fingerprint for model in models]
    rows = zip(names, fingerprints, chosen.weights_K.tolist(), alone, strict=True)
    parts = tuple(MixedModel(*row) for row in rows)
    return MixingResult(str(output), kind, parts, chosen.iterations, whole)


@dataclass(frozen=True)
class ChosenWeights:
    """The weights of a mixture, and where they come from."""

    weights_K: np.ndarray
    origin: str  # in words
    iterations: int | None = None  # of tuning; None if the weights were given


def choose_weights(
    given: Sequence[float] | None,
    measured: "ScoredText | None",
    folders: Mapping[str, Path],
    report: Progress,
) -> ChosenWeights:
    """Return the given weights, or else the weights under which the text is most probable.
    `folders` have the names of the models."""
    if given is not None or measured is None:
        return ChosenWeights(np.asarray(given, dtype=np.float64), "given")
    loading.warn_if_trained_on(measured.encoded.lines_hash, folders, "weights")
    weights_K, iterations = linear_weights(measured.scores_KN, report)
    origin = f"tuned on {measured.source}, context {measured.context}"
    return ChosenWeights(weights_K, origin, iterations)


def check_request(
    names: list[str], on: object, weights: Sequence[float] | None, context: str
) -> None:
    """Refuse faulty requests, as far as they show before anything is read."""
    perplexity.check_context(context)
    if len(names) < 2:
        raise UsageError(
            "a mixture needs at least two models", f"only {len(names)} is named", "name another one"
        )
    if weights is not None:
        check_weights(np.asarray(weights, dtype=np.float64), len(names))
    elif on is None:
        raise UsageError(
            "the mixture has no weights",
            hint="tune them on a text with "
            + keyword("on", "TEXT")
            + ", or give them: "
            + keyword("weights", "0.7,0.3"),
        )
    for name in names:
        registry.check_use("mix", loading.task_of(name), name)


@dataclass(frozen=True)
class ScoredText:
    """A text, and the log-probability (nats) that each model gave to each of its tokens."""

    models: Sequence[LanguageModel]
    text: Text
    encoded: EncodedText
    context: Context
    scores_KN: np.ndarray
    began: float

    @property
    def source(self) -> str:
        return ", ".join(self.text.sources)

    def evaluations(self, mixture: Mixture) -> list[TextEvaluation]:
        """Evaluate the mixture, and each model alone."""
        is_active_K = mixture.weights_K > 0
        logprob_N = mix_linear(self.scores_KN[is_active_K], mixture.weights_K[is_active_K])
        return self.summaries([mixture, *self.models], [logprob_N, *self.scores_KN])

    def score(self, model: LanguageModel) -> np.ndarray:
        """Return the log-probability that a model gives to each token."""
        spans = perplexity.spans_of(self.encoded, self.context)
        return span_scoring.score_spans(model, self.encoded.ids, spans)

    def summaries(
        self, models: Sequence[LanguageModel], scores: Sequence[np.ndarray]
    ) -> list[TextEvaluation]:
        """Evaluate models that gave these log-probabilities to the tokens."""
        return [
            perplexity.text_evaluation(model, scores_N, self.encoded, self.context, self.began)
            for model, scores_N in zip(models, scores, strict=True)
        ]


def _with_all_words(models: Sequence[LanguageModel]) -> list[LanguageModel]:
    """Return the models as they are in a mixture: with the words of all, if they have others."""
    if len({model.tokenizer.fingerprint for model in models}) == 1:
        return list(models)
    rows = np.eye(len(models))
    return [
        Mixture(models, weights_K, model.fingerprint)
        for model, weights_K in zip(models, rows, strict=True)
    ]


def measure(
    models: Sequence[LanguageModel], text: Text, context: Context, report: Progress
) -> ScoredText:
    """Read the text once through each model."""
    began = time.perf_counter()
    encoded = text.encode(shared_tokenizer([model.tokenizer for model in models]), report)
    spans = perplexity.spans_of(encoded, context)
    scores = []
    for number, model in enumerate(models, start=1):
        own_report = prefixed(report, f"model {number} of {len(models)}")
        scores.append(span_scoring.score_spans(model, encoded.ids, spans, report=own_report))
    scores_KN = np.stack(scores)
    span_scoring.check_scores(scores_KN)
    return ScoredText(models, text, encoded, context, scores_KN, began)


def _facts(names: list[str], mixture: Mixture, chosen: ChosenWeights) -> dict[str, Any]:
    """Return the facts that are kept with the mixture: its models by name, their weights, and the
    origin of these."""
    parts = []
    for name, weight, part in zip(names, mixture.weights_K.tolist(), mixture.parts, strict=True):
        entry = {"model": name, "weight": weight}
        if part.adaptation != "none":
            entry["adaptation"] = part.adaptation
        parts.append(entry)
    return {"mixed": parts, "weights": chosen.origin}
