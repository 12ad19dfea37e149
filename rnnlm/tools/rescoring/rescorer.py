"""Rescore n-best lists: tune weights for the first pass, language models, words and unknown words
on word errors, and apply them.

The score of a hypothesis is first-pass score + sum of weight * feature, a log-linear model (Och &
Ney 2002); its weights give the fewest word errors (see :mod:`rnnlm.tools.rescoring.features`).
Further scores of the first pass are features. The weight of a language model is never negative.
"""

import hashlib
import itertools
import math
import operator
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, overload

import numpy as np

from rnnlm.amounts import plural
from rnnlm.checks import check_class
from rnnlm.errors import ModelError, UsageError, first_of, joined_message, keyword, notice
from rnnlm.evaluation.resampling import Interval, permutation_p, ratio_interval
from rnnlm.interface import LanguageModel
from rnnlm.lm.base.loading import ScoringModel, models_by_name
from rnnlm.tabular import Cell, Records, Row, named_rows
from rnnlm.text.line_forms import lacks_blanks
from rnnlm.text.lines import Progress, silent, split_words
from rnnlm.text.normalisation import without_punctuation
from rnnlm.tools.rescoring.features import (
    LM,
    OOV,
    WORDS,
    Candidates,
    FeatureTable,
    Tuned,
    Weights,
    feature_table,
    matched,
    minimise_errors,
    warn_of_few,
)
from rnnlm.tools.rescoring.nbest import SCORE, Utterance, score_names, with_references
from rnnlm.tools.rescoring.settings import RescoreSettings, TextMapping

# ---- Word errors: substitutions, deletions and insertions of the cheapest alignment (Levenshtein
# 1966), by rapidfuzz.
#
# The conventions are jiwer's: words are separated by white space and compared as they are, but in
# NFC, as recognisers and file systems write accents as letters or behind them; the
# errors of all utterances are added up before they are divided by the words of all references; an
# utterance with an empty reference adds its insertions, one with an empty hypothesis its deletions;
# where no reference holds a word, the rate is the number of insertions.


@dataclass(frozen=True)
class Edits:
    """The edits between a hypothesis and a reference.

    Attributes:
        substitutions: Number of substituted words.
        deletions: Number of deleted words.
        insertions: Number of inserted words.
        words: Number of words of the reference.
    """

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
    """The WER over a list.

    Attributes:
        wer: The rate as a fraction: 0.06 for 6 %.
        interval: 95 % interval over utterances; None if no reference holds a word.
        substitutions: Number of substituted words.
        deletions: Number of deleted words.
        insertions: Number of inserted words.
        words: Number of words of all references.
        utterances: Number of utterances.
        utterance_errors: Number of utterances with an error.
        cer: The same rate of characters, for scripts without blanks between words.
    """

    wer: float
    interval: Interval | None
    substitutions: int
    deletions: int
    insertions: int
    words: int
    utterances: int
    utterance_errors: int
    cer: float | None = None

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions together."""
        return self.substitutions + self.deletions + self.insertions


def count_edits(expected: list[str], recognised: list[str]) -> tuple[int, int, int, int]:
    """Count the edits that turn the words `expected` into `recognised`: the fields of
    :class:`Edits`."""
    from rapidfuzz.distance import Levenshtein

    kinds = [kind for kind, _, _ in Levenshtein.editops(expected, recognised).as_list()]
    return kinds.count("replace"), kinds.count("delete"), kinds.count("insert"), len(expected)


def count_all_edits(
    utterances: Sequence[Utterance], mapping: TextMapping, report: Progress = silent
) -> np.ndarray:
    """Count the edits of the hypotheses of S utterances, N at most each, (S, N, 4): the fields of
    :class:`Edits`; zeros where there is no reference, or no hypothesis."""
    longest = max(len(utterance.hypotheses) for utterance in utterances)
    edits_SN4 = np.zeros((len(utterances), longest, 4), dtype=np.int32)
    for row, utterance in enumerate(utterances):
        if utterance.reference is not None:
            expected = split_words(mapping.for_wer(utterance.reference, utterance.where))
            texts = [mapping.for_wer(one.text, one.where) for one in utterance.hypotheses]
            edits_SN4[row, : len(texts)] = [
                count_edits(expected, split_words(text)) for text in texts
            ]
        if row % UTTERANCES_AT_ONCE == 0 or row == len(utterances) - 1:
            report(f"{row + 1:,} of {len(utterances):,} utterances compared with their references")
    return edits_SN4


class ListEdits(NamedTuple):
    """The edits of all hypotheses of a list, as :func:`count_all_edits` counts them, and those of
    characters, if there is a CER."""

    words_SN4: np.ndarray
    characters_SN4: np.ndarray | None


def edits_of_list(
    utterances: Sequence[Utterance], mapping: TextMapping, cer: bool, report: Progress = silent
) -> ListEdits:
    """Count the edits of a list. cer: also those of characters, whatever the script."""
    words_SN4 = count_all_edits(utterances, mapping, report)
    if not cer and not lacks_blanks(_references(utterances), least=1):
        return ListEdits(words_SN4, None)
    in_characters = _InCharacters(**vars(mapping))
    return ListEdits(words_SN4, count_all_edits(utterances, in_characters, report))


def _references(utterances: Sequence[Utterance]) -> list[str]:
    return [one.reference for one in utterances if one.reference is not None]


def word_error_rate(edits_S4: np.ndarray) -> WordErrorRate:
    """Return the rate over utterances, with its interval (see
    :mod:`rnnlm.evaluation.resampling`). edits_S4: the fields of :class:`Edits`."""
    counts_S4 = edits_S4.astype(np.float64)
    errors_S, words_S = counts_S4[:, :3].sum(axis=1), counts_S4[:, 3]
    substitutions, deletions, insertions, words = counts_S4.sum(axis=0).astype(int).tolist()
    interval = ratio_interval(errors_S, words_S, least=0.0) if words else None
    return WordErrorRate(
        wer=interval.estimate if interval else float(errors_S.sum()),
        interval=interval,
        substitutions=substitutions,
        deletions=deletions,
        insertions=insertions,
        words=words,
        utterances=len(edits_S4),
        utterance_errors=int(np.count_nonzero(errors_S)),
    )


# ---- Weights tuned and applied.

UTTERANCES_AT_ONCE = 1000  # between reports
Models = Mapping[str, ScoringModel] | Sequence[ScoringModel]


@dataclass(frozen=True)
class RescoredHypothesis:
    """A hypothesis with its score.

    Attributes:
        text: The text.
        rank: Rank in the first pass, from 1.
        score: Total score, higher is better; None if it is never chosen: a model assigns it
            probability zero, or the first pass excludes it.
        first_pass: First-pass score `score`; None if the list has none.
        features: Values of the features, by name.
        edits: Edits to the reference; None if it is not known.
        character_edits: Edits of characters; None if no CER is computed.
    """

    text: str
    rank: int
    score: float | None
    first_pass: float | None
    features: dict[str, float]
    edits: Edits | None
    character_edits: Edits | None = None


@dataclass(frozen=True)
class RescoredUtterance:
    """A rescored utterance.

    Attributes:
        utt: Its id.
        reference: The correct text; None if unknown.
        hypotheses: The hypotheses, best first.
        source: For translations, the source text.
        best_before: Rank of the 1-best of the first pass: the first hypothesis that it does not
            exclude.
        group: Its group, such as its speaker; None if unknown.
    """

    utt: str
    reference: str | None
    hypotheses: tuple[RescoredHypothesis, ...]
    source: str | None = None
    best_before: int = 1
    group: str | None = None


@dataclass(frozen=True)
class Gain(Records):
    """The reduction of the WER by rescoring.

    Attributes:
        interval: The reduction as a fraction, with its interval; below zero, the WER rises.
        p_value: Probability of so large a difference by chance.
    """

    interval: Interval | None
    p_value: float

    def to_rows(self) -> list[Row]:
        """Return the gain as one row."""
        gain = low = high = None
        if self.interval is not None:
            gain, low, high = self.interval.estimate, self.interval.low, self.interval.high
        return [{"gain": gain, "low": low, "high": high, "p": self.p_value}]


@dataclass(frozen=True)
class Rates:
    """The WER over the utterances with a reference.

    Attributes:
        first: WER of the best hypotheses of the first pass.
        rescored: WER of the best hypotheses after rescoring.
        oracle: WER of the hypotheses with the fewest errors.
        gain: Gain of rescoring over the first pass.
    """

    first: WordErrorRate
    rescored: WordErrorRate
    oracle: WordErrorRate
    gain: Gain


class RankedUtterances(Sequence[RescoredUtterance]):
    """The utterances of a list in the order of `weights`. Each is made of arrays when it is asked
    for: a long list takes too much memory as objects."""

    def __init__(self, table: FeatureTable, weights: Weights, edits: ListEdits) -> None:
        # Places that are not usable, or not there, come last.
        self.table = table.columns(list(weights.weights))
        self.edits = edits
        self.total_SN = self.table.total_SN(np.array(list(weights.weights.values())))
        self.order_SN = np.argsort(-self.total_SN, axis=1, kind="stable")
        with_reference = [one.reference is not None for one in table.utterances]
        self.known_R = np.flatnonzero(with_reference)  # rows with a reference

    def __len__(self) -> int:
        return len(self.table.utterances)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(self) != len(other):
            return NotImplemented
        return all(map(operator.eq, self, other))

    @overload
    def __getitem__(self, row: int) -> RescoredUtterance: ...
    @overload
    def __getitem__(self, row: slice) -> tuple[RescoredUtterance, ...]: ...

    def __getitem__(self, row: int | slice) -> RescoredUtterance | tuple[RescoredUtterance, ...]:
        if isinstance(row, slice):
            return tuple(self[place] for place in range(len(self))[row])
        utterance = self.table.utterances[row]
        places_H = self.order_SN[row, : len(utterance.hypotheses)]
        features_HK = self.table.features_KSN[:, row, places_H].T.tolist()
        total_H = self.total_SN[row, places_H].tolist()
        of_words = _edits_at(utterance, self.edits.words_SN4, row, places_H)
        of_characters = _edits_at(utterance, self.edits.characters_SN4, row, places_H)
        hypotheses = []
        for h, place in enumerate(places_H.tolist()):
            hypothesis = utterance.hypotheses[place]
            hypotheses.append(
                RescoredHypothesis(
                    text=hypothesis.text,
                    rank=place + 1,
                    score=total_H[h] if math.isfinite(total_H[h]) else None,
                    first_pass=hypothesis.score,
                    features=dict(zip(self.table.names, features_HK[h], strict=True)),
                    edits=of_words[h],
                    character_edits=of_characters[h],
                )
            )
        return RescoredUtterance(
            utt=utterance.utt,
            reference=utterance.reference,
            hypotheses=tuple(hypotheses),
            source=utterance.source,
            best_before=int(self.table.best_S[row]) + 1,
            group=utterance.group,
        )

    def best_edits(self) -> np.ndarray:
        """Return the edits of the best hypotheses, where there is a reference, (R, 4)."""
        return self.edits.words_SN4[self.known_R, self.order_SN[self.known_R, 0]]

    def rates(self, rows_R: np.ndarray, seed: int) -> "Rates":
        """Return the rates of the utterances in these rows."""
        edits = self._chosen(self.edits.words_SN4, rows_R)
        rates = list(map(word_error_rate, edits))

        # The errors of characters, where they are counted, choose an oracle of their own.
        if self.edits.characters_SN4 is not None:
            in_characters = self._chosen(self.edits.characters_SN4, rows_R)
            cers = [word_error_rate(chosen).wer for chosen in in_characters]
            rates = [replace(rate, cer=cer) for rate, cer in zip(rates, cers, strict=True)]
        first, rescored, oracle = rates
        return Rates(first, rescored, oracle, _gain(edits[0], edits[1], seed))

    def _chosen(self, edits_SN4: np.ndarray, rows_R: np.ndarray) -> list[np.ndarray]:
        """Return the edits of the hypotheses that are best before, after, and of all, (R, 4)."""
        edits_RN4 = edits_SN4[rows_R]
        errors_RN = edits_RN4[..., :3].sum(axis=2)
        errors_RN[~self.table.exists_SN[rows_R]] = np.iinfo(errors_RN.dtype).max
        places = (self.table.best_S[rows_R], self.order_SN[rows_R, 0], errors_RN.argmin(axis=1))
        return [edits_RN4[np.arange(len(rows_R)), places_R] for places_R in places]


def _edits_at(
    utterance: Utterance, edits_SN4: np.ndarray | None, row: int, places_H: np.ndarray
) -> Sequence[Edits | None]:
    """Return the edits of the hypotheses at these places, None where they are not known."""
    if utterance.reference is None or edits_SN4 is None:
        return [None] * len(places_H)
    return [Edits(*edits) for edits in edits_SN4[row, places_H].tolist()]


@dataclass(frozen=True, repr=False)
class Rescored(Records):
    """A rescored list.

    Attributes:
        utterances: The utterances, in the order of the list.
        rates: Error rates; None if no reference is known.
        seed: Random seed of the permutations of groups.
    """

    utterances: RankedUtterances = field(repr=False)
    rates: Rates | None
    seed: int = field(default=1, repr=False)

    def __repr__(self) -> str:
        size = f"{len(self.utterances):,} utterances"
        if self.rates is None:
            return f"<Rescored: {size}>"
        first, now, oracle = self.rates.first.wer, self.rates.rescored.wer, self.rates.oracle.wer
        rates = f"WER {first:.2%}, rescored {now:.2%}, oracle {oracle:.2%}"
        return f"<Rescored: {size}, {rates}, p {self.rates.gain.p_value:.4f}>"

    @property
    def groups(self) -> dict[str | None, Rates]:
        """The rates of each group, over utterances with a reference; empty if there are none. The
        name None: utterances without a group."""
        members: dict[str | None, list[int]] = {}
        for row in self.utterances.known_R.tolist():
            members.setdefault(self.utterances.table.utterances[row].group, []).append(row)
        if set(members) <= {None}:
            return {}
        return {
            group: self.utterances.rates(np.array(rows), self.seed)
            for group, rows in members.items()
        }

    def to_rows(self) -> list[Row]:
        """Return a row for each hypothesis, the best of each utterance first: its new rank and its
        rank in the first pass, both from 1, its scores, edits and features."""
        hypotheses = itertools.chain.from_iterable(one.hypotheses for one in self.utterances)
        features = dict.fromkeys(itertools.chain.from_iterable(one.features for one in hypotheses))
        # A feature with the name of another column is numbered.
        headings = [
            "utt", "place", "rank", "text", "reference", "score", "first_pass", "errors",
            "reference_words", *features,
        ]  # fmt: skip
        rows: list[list[Cell]] = []
        for utterance in self.utterances:
            for place, hypothesis in enumerate(utterance.hypotheses, start=1):
                edits = hypothesis.edits
                values: list[Cell] = [
                    utterance.utt,
                    place,
                    hypothesis.rank,
                    hypothesis.text,
                    utterance.reference,
                    hypothesis.score,
                    hypothesis.first_pass,
                    None if edits is None else edits.errors,
                    None if edits is None else edits.words,
                ]
                rows.append(values + list(map(hypothesis.features.get, features)))
        return named_rows(headings, rows)


@dataclass(frozen=True)
class Stage:
    """The result of tuning with these models. gain: over the stage before, or over the first
    pass."""

    models: tuple[str, ...]
    weights: Weights
    rescored: Rescored
    gain: Gain | None


def tune_weights(
    utterances: Sequence[Utterance], models: Models, settings: RescoreSettings = RescoreSettings(),
    report: Progress = silent,
) -> Weights:  # fmt: skip
    """Find the weights with the lowest WER. A notice warns of fewer than FEW_UTTERANCES utterances.

    Args:
        utterances: Utterances with references.
        models: A list of models or of names of models, or a mapping to them from the names to use.
        settings: How to tune.
        report: Callback for the progress of scoring.

    Returns:
        The weights, with a record of the tuning.

    Raises:
        TextError: An utterance has no reference, or a text holds `<s>` or `</s>`.
        UsageError: There are no utterances, or no models.
        ModelError: A model does not exist, or its scores are not numbers.
    """
    models = models_by_name(models)
    utterances = with_references(utterances, settings.skip_incomplete)
    warn_of_few(len(utterances))
    table = feature_table(utterances, models, settings.mapping, report)
    edits_SN4 = count_all_edits(utterances, settings.mapping, report)
    return _tuned(table, models, settings, edits_SN4, report)


def rescore(
    utterances: Sequence[Utterance],
    models: Models,
    weights: Weights,
    *,
    seed: int = 1,
    cer: bool = False,
    report: Progress = silent,
) -> Rescored:
    """Reorder lists by weighted scores, and compute the WER if references are known.

    Args:
        utterances: Utterances to rescore.
        models: A list of models or of names of models, or a mapping to them from the names to use.
        weights: Result of :func:`tune_weights` or :func:`read_weights`.
        seed: Random seed of the permutations.
        cer: Compute the error rate of characters in any script.
        report: Callback for the progress of scoring.

    Returns:
        The lists in their new order, with the error rates.

    Raises:
        ModelError: The weights were tuned for other models, or do not come from tuning.
        TextError: As for :func:`tune_weights`.
        UsageError: As for :func:`tune_weights`.
    """
    named = models_by_name(models)
    check_class(weights, Weights, "weights")
    opened = matched(weights, named)
    score_names(utterances, weights.scores)
    _tell_of_tuned(utterances, weights.tuned.hashes if weights.tuned else ())
    table = feature_table(utterances, opened, weights.mapping, report)
    without_feature = sorted(weights.weights.keys() - set(table.names))
    if without_feature:
        raise ModelError(
            f"there is no feature {without_feature[0]!r} to weigh",
            "models with one tokenizer share their unknown words",
            "tune again",
        )
    edits = edits_of_list(utterances, weights.mapping, cer, report)
    return _applied(table, weights, seed, edits)


def tune_and_rescore(
    tune_on: Sequence[Utterance], apply_to: Sequence[Utterance], models: Models,
    settings: RescoreSettings = RescoreSettings(), *, report: Progress = silent,
) -> list[Stage]:  # fmt: skip
    """Tune weights on one list and apply them to another: with the first model alone, the first
    two, and so on, to all of them. Notices say where the lists are the same, and where there are
    fewer than FEW_UTTERANCES to tune on.

    Raises the errors of :func:`tune_weights`.
    """
    references = with_references(tune_on, settings.skip_incomplete)
    warn_of_few(len(references))
    _tell_of_tuned(apply_to, map(_hash_of, references))

    # A list that is both is scored once.
    models = models_by_name(models)
    score_names(apply_to, score_names(references))
    dev = test = feature_table(references, models, settings.mapping, report)
    if apply_to is not tune_on or len(dev.utterances) != len(tune_on):
        test = feature_table(apply_to, models, settings.mapping, report)

    # Edits are the same with all models.
    edits = edits_of_list(test.utterances, settings.mapping, settings.cer, report)
    dev_edits_SN4 = edits.words_SN4
    if test is not dev:
        dev_edits_SN4 = count_all_edits(dev.utterances, settings.mapping, report)
    stages: list[Stage] = []
    for count in range(1, len(models) + 1):
        first_models = dict(list(models.items())[:count])
        weights = _tuned(dev, first_models, settings, dev_edits_SN4, report)
        rescored = _applied(test, weights, settings.seed, edits)
        gain = rescored.rates.gain if rescored.rates else None
        if stages and rescored.rates:
            gain = gain_over(stages[-1].rescored, rescored, settings.seed)
        stages.append(Stage(tuple(first_models), weights, rescored, gain))
    return stages


def gain_over(before: Rescored, after: Rescored, seed: int = 1) -> Gain:
    """Return the gain of one result over another of the same list.

    Raises:
        UsageError: they are not of the same list, or without references.
    """
    lists = [result.utterances.table.utterances for result in (before, after)]
    names = [[utterance.utt for utterance in utterances] for utterances in lists]
    if names[0] != names[1] or not after.rates:
        raise UsageError("a gain compares results of the same list, with its references")
    return _gain(before.utterances.best_edits(), after.utterances.best_edits(), seed)


def _hash_of(utterance: Utterance) -> str:
    """Return a hash of an utterance's name and hypotheses."""
    texts = (utterance.utt, *(hypothesis.text for hypothesis in utterance.hypotheses))
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _tell_of_tuned(utterances: Sequence[Utterance], hashes: Iterable[str]) -> None:
    """Send a notice that names the utterances with references that the weights were tuned on."""
    known = set(hashes)
    with_reference = [utterance for utterance in utterances if utterance.reference is not None]
    tuned = [utterance for utterance in with_reference if _hash_of(utterance) in known]
    if tuned and len(tuned) == len(with_reference):
        notice(
            "the WER is measured on the list that the weights were tuned on; "
            + keyword("apply_to")
            + " or "
            + keyword("split")
            + " measure it on other utterances"
        )
    elif tuned:
        have = "has" if len(tuned) == 1 else "have"
        names = first_of([f"{utterance.utt} ({utterance.where})" for utterance in tuned], 5)
        notice(
            f"{len(tuned):,} of {plural(len(with_reference), 'utterance')} {have} tuned the "
            f"weights, which makes the WER too low: {names}"
        )


def _tuned(
    table: FeatureTable, models: Mapping[str, LanguageModel], settings: RescoreSettings,
    edits_SN4: np.ndarray, report: Progress,
) -> Weights:  # fmt: skip
    """Tune the weights of the features in the table that belong to these models and that the
    settings ask for."""
    names = [name for name in table.names if _is_wanted(name, models, settings)]
    table = _without_twins(table.columns(names))
    names = list(table.names)
    errors_SN = edits_SN4[..., :3].sum(axis=2)

    # A language model must not count against a hypothesis.
    lowest_K = np.where([name.startswith(LM) for name in names], 0.0, -np.inf)
    candidates = Candidates(table.first_SN, table.features_KSN, table.usable_SN, errors_SN)
    scores = [place for place, name in enumerate(names) if name.startswith(SCORE)]
    weights_K, errors = minimise_errors(
        candidates, lowest_K, seed=settings.seed, scores=scores, report=report
    )
    weights = dict(zip(names, weights_K.tolist(), strict=True))
    words = int(edits_SN4[:, 0, 3].sum())
    before = int(errors_SN[np.arange(len(errors_SN)), table.best_S].sum())
    if errors > before:
        notice(
            f"the weights give {errors:,} errors, the first hypotheses {before:,}: these do not "
            "always score highest, or cannot be chosen"
        )
    hashes = tuple(map(_hash_of, table.utterances))
    return Weights(
        weights,
        models={name: model.fingerprint for name, model in models.items()},
        mapping=settings.mapping,
        tuned=Tuned(len(edits_SN4), words, before, errors, settings.seed, hashes),
        scores=score_names(table.utterances),
        signature=settings.mapping.signature,
    )


SAME_COUNTS = 0.95  # share of hypotheses in which two counts of unknown words are one


def _without_twins(table: FeatureTable) -> FeatureTable:
    """Leave out counts of unknown words that nearly equal an earlier one: two of them would get
    large weights of opposite signs, as only their difference is seen."""
    kept: list[str] = []
    columns = dict(zip(table.names, table.features_KSN[:, table.exists_SN], strict=True))
    for name in table.names:
        counts = [columns[other] for other in kept if other.startswith(OOV)]
        is_twin = any(np.mean(columns[name] == other) >= SAME_COUNTS for other in counts)
        if not (name.startswith(OOV) and is_twin):
            kept.append(name)
    return table.columns(kept)


def _is_wanted(name: str, models: Mapping[str, LanguageModel], settings: RescoreSettings) -> bool:
    if name == WORDS or name.startswith(SCORE):
        return settings.words or name != WORDS
    kind, _, model = name.partition(":")
    return model in models and (settings.oov or f"{kind}:" != OOV)


def _applied(table: FeatureTable, weights: Weights, seed: int, edits: ListEdits) -> Rescored:
    utterances = RankedUtterances(table, weights, edits)
    known_R = utterances.known_R
    if 0 < len(known_R) < len(utterances):
        notice(
            f"{len(utterances) - len(known_R):,} utterances have no reference: the WER is over the "
            f"other {len(known_R):,}"
        )
    rates = utterances.rates(known_R, seed) if len(known_R) else None
    if rates and rates.first.cer is not None:
        _tell_of_cer(_references(table.utterances))
    if rates and rates.oracle.wer > MUCH_WRONG:
        _tell_differing(utterances, rates.oracle, weights.mapping)
    return Rescored(utterances, rates, seed)


MUCH_WRONG = 0.5  # WER of an oracle whose texts are probably written in another way
MUCH_CHANGED = 0.2  # share of words that differ in a form between the two sides
_FORMS: dict[str, Callable[[str], str]] = {
    "case (" + keyword("lowercase", True) + ")": str.lower,
    "punctuation (" + keyword("remove_punctuation", True) + ")": without_punctuation,
    "forms of letters (full width, ligatures)": lambda word: unicodedata.normalize("NFKC", word),
}


def _tell_differing(
    utterances: RankedUtterances, oracle: WordErrorRate, mapping: TextMapping
) -> None:
    """Send a notice of the forms in which references and hypotheses differ."""
    known = [utterances[row] for row in utterances.known_R.tolist()]
    pairs = [(one.reference or "", one.hypotheses[0].text) for one in known]
    said, heard = (mapping.for_wer("\n".join(texts)) for texts in zip(*pairs, strict=True))
    forms = [
        name
        for name, fold in _FORMS.items()
        if abs(_share_changed(said, fold) - _share_changed(heard, fold)) > MUCH_CHANGED
    ]
    forms += ["blanks between words"] if lacks_blanks([said]) or lacks_blanks([heard]) else []
    notice(
        f"even the oracle's WER is {oracle.wer:.0%}: references and hypotheses "
        + ("differ in " + joined_message(", ", forms) if forms else "have few words in common")
        + "; with "
        + keyword("normalise_wer", True)
        + ", the WER compares the texts that models read"
    )


def _share_changed(text: str, fold: Callable[[str], str]) -> float:
    """Return the share of the words of a text that `fold` changes."""
    words = split_words(text)
    return sum(fold(word) != word for word in words) / max(1, len(words))


class _InCharacters(TextMapping):
    """A mapping whose words are the characters of a text."""

    def for_wer(self, text: str, where: str = "a text") -> str:
        return " ".join("".join(split_words(super().for_wer(text, where))))


def _tell_of_cer(references: Sequence[str]) -> None:
    """Send a notice that says why there is a CER."""
    single = sum(len(split_words(reference)) == 1 for reference in references)
    why = "CER counts errors of characters, without the blanks"
    if single and lacks_blanks(references, least=1):
        why = (
            f"{single:,} of {plural(len(references), 'reference is', 'references are')} a single "
            "word, as their script has no blanks between words: CER counts errors of characters"
        )
    notice(why)


def _gain(before_S4: np.ndarray, after_S4: np.ndarray, seed: int) -> Gain:
    fewer_S = (before_S4[:, :3].sum(axis=1) - after_S4[:, :3].sum(axis=1)).astype(np.float64)
    words_S = before_S4[:, 3].astype(np.float64)
    interval = ratio_interval(fewer_S, words_S) if words_S.sum() else None
    return Gain(interval, permutation_p(fewer_S, seed=seed))
