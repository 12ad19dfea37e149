"""N-best lists rescored: weights for the first pass, language models, words and unknown words,
tuned on word errors; and applied.

The score of a hypothesis is first-pass score + sum of weight * feature, a log-linear model (Och &
Ney 2002); its weights are those of the fewest word errors (see :mod:`rnnlm.rescoring.mert`). The
weight of a language model is never negative.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rnnlm.errors import ModelError, UsageError, notice
from rnnlm.evaluation.resampling import Interval, permutation_p, ratio_interval
from rnnlm.interface import LanguageModel
from rnnlm.models.loading import ScoringModel, models_by_name
from rnnlm.rescoring.features import LM, OOV, WORDS, FeatureTable, feature_table
from rnnlm.rescoring.mert import Candidates, Tuned, Weights, matched, minimise_errors, warn_of_few
from rnnlm.rescoring.nbest import Utterance, with_references
from rnnlm.rescoring.settings import RescoreSettings, TextMapping
from rnnlm.text.lines import Progress, silent, split_words

# ---- Word errors: substitutions, deletions and insertions of the cheapest alignment (Levenshtein
# 1966), by rapidfuzz.
#
# The conventions are those of jiwer: words are what stands between white space, compared as they
# are; the errors of all utterances are added up before they are divided by the words of all
# references; an utterance with an empty reference adds its insertions, one with an empty hypothesis
# its deletions; where no reference holds a word, the rate is the number of insertions.


@dataclass(frozen=True)
class Edits:
    """How a hypothesis differs from a reference of so many `words`."""

    substitutions: int
    deletions: int
    insertions: int
    words: int

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions together."""
        return self.substitutions + self.deletions + self.insertions


@dataclass(frozen=True)
class WordErrorRate:
    """The errors over a list. wer: a fraction, 0.06 for 6 %; interval: its bootstrap interval over
    utterances, None where no reference holds a word; utterance_errors: utterances with an error."""

    wer: float
    interval: Interval | None
    substitutions: int
    deletions: int
    insertions: int
    words: int
    utterances: int
    utterance_errors: int

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions together."""
        return self.substitutions + self.deletions + self.insertions


def count_edits(reference: str, hypothesis: str) -> Edits:
    """The edits that make `hypothesis` of `reference`."""
    from rapidfuzz.distance import Levenshtein

    expected, found = split_words(reference), split_words(hypothesis)
    kinds = [edit.tag for edit in Levenshtein.editops(expected, found)]
    return Edits(
        kinds.count("replace"), kinds.count("delete"), kinds.count("insert"), len(expected)
    )


def word_error_rate(edits: Sequence[Edits], seed: int = 1) -> WordErrorRate:
    """The rate over utterances, with its interval (see :mod:`rnnlm.evaluation.resampling`).

    Raises:
        UsageError: there are no utterances.
    """
    errors_S, words_S = (
        np.array(values, dtype=np.float64)
        for values in ([e.errors for e in edits], [e.words for e in edits])
    )
    words = int(words_S.sum())
    interval = ratio_interval(errors_S, words_S, seed=seed) if words else None
    return WordErrorRate(
        wer=interval.estimate if interval else float(errors_S.sum()), interval=interval,
        substitutions=sum(e.substitutions for e in edits),
        deletions=sum(e.deletions for e in edits),
        insertions=sum(e.insertions for e in edits), words=words, utterances=len(edits),
        utterance_errors=int(np.count_nonzero(errors_S)),
    )  # fmt: skip


# ---- rescorer

CROSS_VALIDATE = ": cross-validation (--folds 5) tells what such weights do on other utterances"
Models = Mapping[str, ScoringModel] | Sequence[str | Path]


@dataclass(frozen=True)
class RescoredHypothesis:
    """A hypothesis with its score. rank: that of the first pass, from 1; features: their values by
    name; score: None where a model finds it impossible; edits: None where the reference is not
    known."""

    text: str
    rank: int
    score: float | None
    first_pass: float
    features: dict[str, float]
    edits: Edits | None


@dataclass(frozen=True)
class RescoredUtterance:
    """An utterance with its hypotheses, the best first."""

    utt: str
    reference: str | None
    hypotheses: tuple[RescoredHypothesis, ...]
    source: str | None = None


@dataclass(frozen=True)
class Gain:
    """By how much the word-error rate falls (a fraction; below zero: rises), and how likely as
    large a difference is by chance."""

    interval: Interval | None
    p_value: float


@dataclass(frozen=True)
class Rates:
    """Word-error rates of the first pass' 1-best, of the rescored one, and of the best hypothesis
    there is; over the utterances with a reference. gain: of rescoring over the first pass."""

    first: WordErrorRate
    rescored: WordErrorRate
    oracle: WordErrorRate
    gain: Gain


@dataclass(frozen=True)
class Rescored:
    """A list rescored. rates: None where no reference is known."""

    utterances: tuple[RescoredUtterance, ...]
    rates: Rates | None


@dataclass(frozen=True)
class Stage:
    """What came of tuning with these models. gain: over the stage before, or over the first
    pass."""

    models: tuple[str, ...]
    weights: Weights
    rescored: Rescored
    gain: Gain | None


def tune_weights(
    utterances: Sequence[Utterance], models: Models, settings: RescoreSettings = RescoreSettings(),
    report: Progress = silent,
) -> Weights:  # fmt: skip
    """The weights with the fewest word errors on `utterances`; `models`, themselves or to be
    loaded, by a name for each, or a list of the names that they are loaded by. `report` is called
    with how far scoring is. A notice says so where there are fewer than FEW_UTTERANCES.

    Raises:
        TextError: an utterance has no reference, or a text holds `<s>` or `</s>`. UsageError:
            nothing to rescore, or with.
        ModelError: there is no such model, or a model's scores are not numbers.
    """
    utterances = with_references(utterances, settings.skip_incomplete)
    warn_of_few(len(utterances), CROSS_VALIDATE)
    models = models_by_name(models)
    table = feature_table(utterances, models, settings.mapping, report)
    return _tuned(table, models, settings)


def rescore(
    utterances: Sequence[Utterance],
    models: Models,
    weights: Weights,
    *,
    seed: int = 1,
    report: Progress = silent,
) -> Rescored:
    """The list in the order of `weights`, with word-error rates where references are known;
    `models` as for :func:`tune_weights`.

    Raises:
        ModelError: the weights were tuned for other models, or no tuning made them. TextError,
            UsageError: as :func:`tune_weights`.
    """
    table = feature_table(
        utterances, matched(weights, models_by_name(models)), weights.mapping, report
    )
    if strangers := sorted(weights.weights.keys() - set(table.names)):
        raise ModelError(
            f"there is no feature {strangers[0]!r} to weigh",
            "models with one tokenizer share their unknown words",
            "tune again",
        )
    return _applied(table, weights, seed)


def tune_and_rescore(
    tune_on: Sequence[Utterance], apply_to: Sequence[Utterance], models: Models,
    settings: RescoreSettings = RescoreSettings(), *, each: bool = False, report: Progress = silent,
) -> list[Stage]:  # fmt: skip
    """Weights tuned on one list and applied to another; with `each`, with the first model alone,
    the first two, and so on. Notices say where the lists are the same, and where there are fewer
    than FEW_UTTERANCES to tune on.

    Raises:
        As :func:`tune_weights`.
    """
    references = with_references(tune_on, settings.skip_incomplete)
    warn_of_few(len(references), CROSS_VALIDATE)
    if _texts(apply_to) == _texts(tune_on):
        notice(
            "errors are counted on the list the weights were tuned on; --apply, --split or "
            "--folds tell what they do elsewhere"
        )
    models = models_by_name(models)
    dev = feature_table(references, models, settings.mapping, report)
    test = (
        dev
        if apply_to is tune_on and len(dev.utterances) == len(tune_on)
        else feature_table(apply_to, models, settings.mapping, report)
    )
    stages: list[Stage] = []
    for count in range(1 if each else len(models), len(models) + 1):
        some = dict(list(models.items())[:count])
        weights = _tuned(dev, some, settings)
        rescored = _applied(test, weights, settings.seed)
        gain = rescored.rates.gain if rescored.rates else None
        if stages and rescored.rates:
            gain = gain_over(stages[-1].rescored, rescored, settings.seed)
        stages.append(Stage(tuple(some), weights, rescored, gain))
    return stages


def cross_validate(
    utterances: Sequence[Utterance], models: Models, folds: int,
    settings: RescoreSettings = RescoreSettings(), report: Progress = silent,
) -> Rescored:  # fmt: skip
    """Each utterance rescored with weights tuned on those of the other folds; number i, from 0, is
    in fold i modulo `folds`.

    Raises:
        UsageError: the folds are fewer than two, or more than the utterances. And as
            :func:`tune_weights`.
    """
    utterances = with_references(utterances, settings.skip_incomplete)
    if not 2 <= folds <= len(utterances):
        raise UsageError(
            f"{folds} folds of {len(utterances)} utterances are not possible",
            hint="2 or more, one utterance each at least",
        )
    warn_of_few(len(utterances) - -(-len(utterances) // folds))
    models = models_by_name(models)
    table = feature_table(utterances, models, settings.mapping, report)
    fold_S = np.arange(len(table.utterances)) % folds
    found: dict[int, RescoredUtterance] = {}
    for fold in range(folds):
        weights = _tuned(table.rows(np.flatnonzero(fold_S != fold)), models, settings)
        inside = np.flatnonzero(fold_S == fold)
        found.update(zip(inside.tolist(), _reordered(table.rows(inside), weights), strict=True))
    rescored = [found[index] for index in sorted(found)]
    return Rescored(tuple(rescored), _rates(rescored, settings.seed))


def gain_over(before: Rescored, after: Rescored, seed: int = 1) -> Gain:
    """The gain of one result over another of the same list.

    Raises:
        UsageError: they are not of the same list, or without references.
    """
    if [each.utt for each in before.utterances] != [
        each.utt for each in after.utterances
    ] or not after.rates:
        raise UsageError("a gain compares results of the same list, with its references")
    best = [
        [each.hypotheses[0] for each in result.utterances if each.reference is not None]
        for result in (before, after)
    ]
    return _gain(_counted(best[0]), _counted(best[1]), seed)


def _texts(utterances: Sequence[Utterance]) -> list[tuple[str, list[str]]]:
    return [(each.utt, [hypothesis.text for hypothesis in each.hypotheses]) for each in utterances]


def _tuned(
    table: FeatureTable, models: Mapping[str, LanguageModel], settings: RescoreSettings
) -> Weights:
    names = [name for name in table.names if _is_wanted(name, models, settings)]
    table = table.columns(names)
    edits = [_edits(utterance, settings.mapping) for utterance in table.utterances]
    errors_SN = np.zeros(table.first_SN.shape, dtype=np.int64)
    for row, found in enumerate(edits):
        errors_SN[row, : len(found)] = [edit.errors for edit in found]
    lowest_K = np.array([0.0 if name.startswith(LM) else -np.inf for name in names])
    candidates = Candidates(table.first_SN, table.features_KSN, table.usable_SN, errors_SN)
    weights_K, errors = minimise_errors(
        candidates, lowest_K, restarts=settings.restarts, seed=settings.seed
    )
    words = sum(found[0].words for found in edits)
    tuned = Tuned(len(edits), words, int(errors_SN[:, 0].sum()), errors, settings.seed)
    fingerprints = {name: model.fingerprint for name, model in models.items()}
    return Weights(
        dict(zip(names, weights_K.tolist(), strict=True)), fingerprints, settings.mapping, tuned
    )


def _is_wanted(name: str, models: Mapping[str, LanguageModel], settings: RescoreSettings) -> bool:
    if name == WORDS:
        return settings.words
    kind, _, model = name.partition(":")
    return model in models and (settings.oov or f"{kind}:" != OOV)


def _edits(utterance: Utterance, mapping: TextMapping) -> list[Edits]:
    reference = mapping.for_wer(utterance.reference or "", utterance.where)
    return [
        count_edits(reference, mapping.for_wer(hypothesis.text, hypothesis.where))
        for hypothesis in utterance.hypotheses
    ]


def _applied(table: FeatureTable, weights: Weights, seed: int) -> Rescored:
    utterances = _reordered(table, weights)
    known = [utterance for utterance in utterances if utterance.reference is not None]
    if 0 < len(known) < len(utterances):
        notice(
            f"{len(utterances) - len(known):,} utterances have no reference: word-error rates "
            f"are of the other {len(known):,}"
        )
    return Rescored(tuple(utterances), _rates(known, seed) if known else None)


def _reordered(table: FeatureTable, weights: Weights) -> list[RescoredUtterance]:
    table = table.columns(list(weights.weights))
    candidates = Candidates(
        table.first_SN,
        table.features_KSN,
        table.usable_SN,
        np.zeros(table.first_SN.shape, dtype=np.int64),
    )
    total_SN = candidates.total_SN(np.array(list(weights.weights.values())))
    order_SN = np.argsort(-total_SN, axis=1, kind="stable")
    found = []
    for row, utterance in enumerate(table.utterances):
        edits = (
            _edits(utterance, weights.mapping)
            if utterance.reference is not None
            else [None] * len(utterance.hypotheses)
        )
        hypotheses = []
        for at in [at for at in order_SN[row].tolist() if at < len(utterance.hypotheses)]:
            features = dict(zip(table.names, table.features_KSN[:, row, at].tolist(), strict=True))
            hypothesis, total = utterance.hypotheses[at], float(total_SN[row, at])
            score = total if np.isfinite(total) else None
            hypotheses.append(
                RescoredHypothesis(
                    hypothesis.text, at + 1, score, hypothesis.score, features, edits[at]
                )
            )
        found.append(
            RescoredUtterance(
                utterance.utt, utterance.reference, tuple(hypotheses), utterance.source
            )
        )
    return found


def _rates(utterances: Sequence[RescoredUtterance], seed: int) -> Rates:
    ranked = [
        _counted(sorted(utterance.hypotheses, key=lambda hypothesis: hypothesis.rank))
        for utterance in utterances
    ]
    first = [edits[0] for edits in ranked]
    rescored = _counted([utterance.hypotheses[0] for utterance in utterances])
    oracle = [min(edits, key=lambda each: each.errors) for edits in ranked]
    rates = (
        word_error_rate(first, seed),
        word_error_rate(rescored, seed),
        word_error_rate(oracle, seed),
    )
    return Rates(*rates, _gain(first, rescored, seed))


def _counted(hypotheses: Iterable[RescoredHypothesis]) -> list[Edits]:
    """The errors of each, which a reference has shown."""
    return [hypothesis.edits for hypothesis in hypotheses if hypothesis.edits is not None]


def _gain(before: Sequence[Edits], after: Sequence[Edits], seed: int) -> Gain:
    fewer_S = np.array(
        [a.errors - b.errors for a, b in zip(before, after, strict=True)], dtype=np.float64
    )
    words_S = np.array([a.words for a in before], dtype=np.float64)
    interval = ratio_interval(fewer_S, words_S, seed=seed) if words_S.sum() else None
    return Gain(interval, permutation_p(fewer_S, seed=seed))
