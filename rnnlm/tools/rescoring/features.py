"""Compute the features of each hypothesis of an n-best list besides its first-pass score, and learn
their weights.

The features are its log-probability under language models, or given its source under
encoder-decoders; its words; its words unknown to them; its further scores of the first pass. Each
distinct text is scored once per model, or once per source. The weights are those with the fewest
errors.
"""

import itertools
import json
import math
import numbers
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np

from rnnlm.amounts import plural
from rnnlm.checks import check_path
from rnnlm.errors import ModelError, TextError, UsageError, keyword, notice, shown
from rnnlm.interface import LanguageModel
from rnnlm.lm.base.span_scoring import (
    check_scores,
    initial_states,
    reads_conditions,
    score_spans,
    spans_between,
)
from rnnlm.scoring.prefixes import score_trie
from rnnlm.scoring.scorer import check
from rnnlm.scoring.sentences import Sentence
from rnnlm.storage.files import tables
from rnnlm.storage.files.outputs import save_file
from rnnlm.storage.files.reading import read_json
from rnnlm.text.lines import Progress, is_blank, silent, split_words
from rnnlm.text.marks import count_marks, tell_unseen
from rnnlm.tools.rescoring.nbest import FARTHEST_BELOW_BEST, SCORE, Utterance, score_names
from rnnlm.tools.rescoring.settings import TextMapping

# ---- The features.

LM, WORDS, OOV = "lm:", "words", "oov:"  # names of features; the model's name follows a colon
SAMPLE_TEXTS = 500
PIECE = re.compile(r"(^| )(\u2581|##)\S|\S@@( |$)")  # of SentencePiece, BERT and subword-nmt
TEXTS_AT_ONCE = 1 << 14
LOWEST_BEST = -1e9  # no real best of an utterance is below
_Text = tuple[str, str | None]  # with its source, if a model reads that


@dataclass(frozen=True)
class Hypotheses:
    """The hypotheses of S utterances, N at most each, as numbers.

    first_SN: scores of the first pass, whose weight is 1. features_KSN: the features that get
    weights. usable_SN: false where there is no hypothesis, or one that must not be chosen: a model
    finds it impossible, or the first pass excludes it. At least one of each utterance is usable.
    """

    first_SN: np.ndarray
    features_KSN: np.ndarray
    usable_SN: np.ndarray

    def total_SN(self, weights_K: np.ndarray) -> np.ndarray:
        """Return the score of each hypothesis under these weights; -inf where it is not usable."""
        total_SN = self.first_SN + np.tensordot(weights_K, self.features_KSN, axes=1)
        return np.where(self.usable_SN, total_SN, -np.inf)


@dataclass(frozen=True)
class FeatureTable(Hypotheses):
    """The features of a list, K of them, called `names`."""

    names: tuple[str, ...]
    utterances: tuple[Utterance, ...]
    best_S: np.ndarray  # place of the 1-best: the first that the first pass does not exclude
    exists_SN: np.ndarray  # false where an utterance has no further hypothesis

    def rows(self, indices: Sequence[int] | np.ndarray) -> "FeatureTable":
        """Return the utterances at these places alone."""
        return replace(
            self,
            first_SN=self.first_SN[indices],
            features_KSN=self.features_KSN[:, indices],
            usable_SN=self.usable_SN[indices],
            utterances=tuple(self.utterances[index] for index in indices),
            best_S=self.best_S[indices],
            exists_SN=self.exists_SN[indices],
        )

    def columns(self, names: Sequence[str]) -> "FeatureTable":
        """Return these features alone, in this order."""
        chosen = [self.names.index(name) for name in names]
        return replace(self, features_KSN=self.features_KSN[chosen], names=tuple(names))


def feature_table(
    utterances: Sequence[Utterance],
    models: Mapping[str, LanguageModel],
    mapping: TextMapping,
    report: Progress = silent,
) -> FeatureTable:
    """Return the features of `utterances` under `models` (by name).

    Models with the same tokenizer share one feature that counts unknown words; it has the name of
    the first of these models. A hypothesis of probability zero is not usable; where that affects
    all of an utterance, its 1-best stays alone. Neither is one that the first pass excludes, by a
    score FARTHEST_BELOW_BEST below the best of its utterance; an utterance of these alone keeps the
    best. All are counted in notices, and so are hypotheses without words, which are scored as
    `</s>` alone.
    """
    if not utterances:
        raise UsageError("there are no utterances to rescore")
    if not models:
        raise UsageError("no language model is named", hint="name some with " + keyword("models"))

    # The texts that models read.
    scores = [name for name in score_names(utterances) if name.startswith(SCORE)]
    texts: list[str] = []
    for utterance in utterances:
        texts += [mapping.mapped(one.text, one.where) for one in utterance.hypotheses]

    # Give notice of hypotheses without words.
    names = itertools.chain.from_iterable([one.utt] * len(one.hypotheses) for one in utterances)
    empty = [utt for utt, text in zip(names, texts, strict=True) if is_blank(text)]
    if empty:
        of_all = f"of {len(texts):,} hypotheses"
        notice(
            plural(len(empty), f"{of_all} has", f"{of_all} have") + " no words, the first in "
            f"utterance {empty[0]!r}: each is scored as </s> alone"
        )

    distinct = list(dict.fromkeys(texts))

    # A column for each model, one for the unknown words of each vocabulary, and one for the words.
    columns: dict[str, np.ndarray] = {}
    oov = {}
    for name, model in models.items():
        reads = reads_conditions(model)
        sources = _sources(utterances, mapping, name) if reads else [None] * len(texts)
        logprob_nats, unknown = _scored(model, list(zip(texts, sources, strict=True)), name, report)
        columns[LM + name] = np.where(np.isneginf(logprob_nats), np.nan, logprob_nats)
        vocabulary = model.tokenizer.fingerprint
        if vocabulary not in oov:
            oov[vocabulary] = OOV + name, unknown
        _warn_of_case(name, model, distinct, mapping)
    _warn_of_pieces(distinct, models)
    tell_unseen(count_marks(distinct), {name: model.tokenizer for name, model in models.items()})
    columns[WORDS] = np.array([float(len(split_words(text))) for text in texts])
    columns.update(oov.values())

    # The log of zero excludes a hypothesis; a lower number would leave the range of floats.
    hypotheses = [one for utterance in utterances for one in utterance.hypotheses]
    for name in scores:
        key = name.removeprefix(SCORE)
        columns[name] = np.maximum([one.scores[key] for one in hypotheses], LOWEST_BEST)
    return _padded(utterances, columns)


def _sources(utterances: Sequence[Utterance], mapping: TextMapping, name: str) -> list[str]:
    """Return the source of each hypothesis, as the encoder-decoder of that name reads it.
    TextError: an utterance has none."""
    sources: list[str] = []
    for utterance in utterances:
        if utterance.source is None:
            raise TextError(
                f"{utterance.where}: utterance {utterance.utt!r} has no source",
                f"{name} is an encoder-decoder, which scores a target given its source",
                "name a file of sources: " + keyword("sources"),
            )
        sources += [mapping.mapped(utterance.source, utterance.where)] * len(utterance.hypotheses)
    return sources


def _scored(
    model: LanguageModel, texts: list[_Text], name: str, report: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """Return the log-probability (nats) of each text, with its end, and how many of its words are
    unknown, as floats. Equal texts are scored once."""
    numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    distinct, totals, unknown = list(numbers), list[float](), list[int]()
    for first in range(0, len(distinct), TEXTS_AT_ONCE):
        numbered = enumerate(distinct[first : first + TEXTS_AT_ONCE], start=first + 1)
        sentences = [Sentence(text, number, source=source) for number, (text, source) in numbered]
        checked, _ = check(sentences, "error", nulls=False)
        encoded = model.tokenizer.encode([sentence.text for sentence in checked])
        spans = spans_between(encoded.offsets)

        # Hypotheses share beginnings, except where they begin in several states.
        initial = initial_states(model, [sentence.source for sentence in checked])
        if initial:
            logprob_N = score_spans(model, encoded.ids, spans, initial)
        else:
            logprob_N = score_trie(model, encoded.ids, spans)
        check_scores(logprob_N)
        totals += np.add.reduceat(logprob_N, encoded.offsets[:-1]).tolist()
        unknown += np.diff(np.searchsorted(encoded.oov, encoded.offsets)).tolist()
        report(f"{name}: {len(totals):,} of {len(distinct):,} texts scored")
    numbers_H = [numbers[text] for text in texts]
    return np.array(totals)[numbers_H], np.array(unknown, dtype=np.float64)[numbers_H]


def _padded(utterances: Sequence[Utterance], columns: dict[str, np.ndarray]) -> FeatureTable:
    """Lay the columns, which run over all hypotheses, out by utterance."""
    counts_S = np.array([len(utterance.hypotheses) for utterance in utterances])
    exists_SN = np.arange(counts_S.max()) < counts_S[:, None]
    hypotheses = itertools.chain.from_iterable(utterance.hypotheses for utterance in utterances)
    first_SN = np.zeros(exists_SN.shape)
    first_SN[exists_SN] = [hypothesis.score or 0.0 for hypothesis in hypotheses]
    features_KSN = np.zeros((len(columns), *exists_SN.shape))
    features_KSN[:, exists_SN] = list(columns.values())

    # Impossible hypotheses are not chosen, unless an utterance has no others.
    usable_SN = exists_SN & np.isfinite(features_KSN).all(axis=0)
    impossible = int((exists_SN & ~usable_SN).sum())
    if impossible:
        alone = int((~usable_SN.any(axis=1)).sum())
        notice(
            f"{impossible:,} hypotheses have probability zero under a model and are never chosen; "
            f"{alone:,} utterances with no other hypotheses keep their 1-best"
        )

    usable_SN[~usable_SN.any(axis=1), 0] = True
    of_scores = [name.startswith(SCORE) for name in columns]
    scores_XSN = np.stack([first_SN, *features_KSN[of_scores]])
    best_S = _not_excluded(scores_XSN, exists_SN)[0].argmax(axis=1)
    kept_SN, excluded_SN = _not_excluded(scores_XSN, usable_SN)
    if excluded_SN.any():
        alone_S = (excluded_SN == usable_SN).all(axis=1)
        first = utterances[int(excluded_SN.any(axis=1).argmax())]
        notice(
            f"{int(excluded_SN.sum()):,} hypotheses, the first in utterance {first.utt!r}, are "
            f"excluded by the first pass (scores more than {FARTHEST_BELOW_BEST:,.0f} below the "
            f"best) and are never chosen; {int(alone_S.sum()):,} utterances with no other "
            "hypotheses keep their best"
        )
    features_KSN = np.nan_to_num(features_KSN, nan=0.0)
    named = (tuple(columns), tuple(utterances))
    return FeatureTable(first_SN, features_KSN, kept_SN, *named, best_S, exists_SN)


def _not_excluded(scores_XSN: np.ndarray, usable_SN: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which of the usable hypotheses stay, and which a score of the first pass excludes,
    (S, N) each. Where all of an utterance are excluded, the first of the best ones stays."""
    of_usable_XSN = np.where(usable_SN, scores_XSN, -np.inf)
    best_XS1 = np.maximum(of_usable_XSN.max(axis=2, keepdims=True), LOWEST_BEST)
    kept_SN = (of_usable_XSN >= best_XS1 - FARTHEST_BELOW_BEST).all(axis=0) & usable_SN
    excluded_SN = usable_SN & ~kept_SN
    alone_S = ~kept_SN.any(axis=1)
    kept_SN[alone_S, of_usable_XSN[0, alone_S].argmax(axis=1)] = True
    return kept_SN, excluded_SN


def _warn_of_case(name: str, model: LanguageModel, texts: list[str], mapping: TextMapping) -> None:
    """Give notice where nearly nothing is known, but would be in lower case."""
    sample = texts[:: max(1, len(texts) // SAMPLE_TEXTS)]
    share = _unknown_share(model, sample)
    if share <= 0.5 or mapping.lowercase:
        return
    if _unknown_share(model, list(map(str.lower, sample))) < share / 2:
        notice(
            f"{share:.0%} of the list's words are unknown to {name}, but far fewer in "
            "lower case: try " + keyword("lowercase", True)
        )


def _warn_of_pieces(texts: list[str], models: Mapping[str, LanguageModel]) -> None:
    """Give notice of hypotheses that are pieces of words, or numbers of words or pieces, unless
    models of words know them."""
    pieces = [text for text in texts if PIECE.search(text)]
    numbers = [text for text in texts if text.replace(" ", "").isdigit()]
    odd = next((row for row in (pieces, numbers) if len(row) > len(texts) / 2), None)
    if odd is None:
        return

    # A model that was trained on such words knows them.
    sample = texts[:: max(1, len(texts) // SAMPLE_TEXTS)]
    are_known = all(
        model.tokenizer.name == "word" and _unknown_share(model, sample) <= 0.5
        for model in models.values()
    )
    if not are_known:
        what = "pieces of words" if odd is pieces else "numbers"
        notice(
            f"{len(odd):,} of {len(texts):,} hypotheses look like {what} ({shown(odd[0])}): each "
            "is scored as a word; write out the words"
        )


def _unknown_share(model: LanguageModel, texts: list[str]) -> float:
    encoded = model.tokenizer.encode(texts)
    return len(encoded.oov) / max(1, len(encoded.ids) - len(texts))


# ---- Minimum error rate training: the weights with the fewest errors, by exact line search (Och
# 2003, section 3.2; Macherey et al. 2008).
#
# Along a line in the space of weights each hypothesis' score is a line, too: base + gamma * slope.
# Which hypothesis of an utterance is the highest changes only at the corners of their upper
# envelope, so the number of errors over all utterances is a step function of gamma with finitely
# many steps: all are visited, none is missed.
#
# The choice: the middle of the interval with the fewest errors; of several such intervals the
# widest, of equally wide ones the lowest. An interval without an end is cut off two units beyond
# its last corner. One unit is the weight with which a feature varies as much as the first pass does
# (units). If nothing changes along a line, the weight stays. Of hypotheses with the same score the
# earlier one counts. Such ties lie at corners, not in intervals; so the weight also stays if its
# corner has fewer errors than the best interval, and no end is worse than its start.

OPEN_UNITS = 2.0  # how far an interval without an end reaches
RESTARTS = 20  # from random weights
LARGEST_START = 2.0  # random weights to start from, in units
BEYOND_BASE = 1e6  # the weight, in units, beside which the first pass no longer matters


@dataclass(frozen=True)
class Candidates(Hypotheses):
    """Hypotheses whose errors are known. errors_SN: integers."""

    errors_SN: np.ndarray

    def best_S(self, weights_K: np.ndarray) -> np.ndarray:
        """Return which hypothesis of each utterance has the highest score; of equal ones the
        first."""
        return self.total_SN(weights_K).argmax(axis=1)

    def errors(self, weights_K: np.ndarray) -> int:
        """Return the errors of the hypotheses chosen with these weights."""
        return int(self.errors_SN[np.arange(len(self.errors_SN)), self.best_S(weights_K)].sum())


@dataclass(frozen=True)
class Steps:
    """The errors along a line: errors[i] between corners[i - 1] and corners[i]; corners ascend,
    some may be equal."""

    corners: np.ndarray
    errors: np.ndarray


def errors_along(
    base_SN: np.ndarray, slope_SN: np.ndarray, usable_SN: np.ndarray, errors_SN: np.ndarray
) -> Steps:
    """Return the step function of the errors over gamma from -inf to inf, where base + gamma *
    slope decides.

    The envelopes of all utterances are walked at once, from the flattest line on; each move goes to
    the line that is met first.
    """
    slope_SN = np.where(usable_SN, slope_SN, np.inf)
    at_S = _first_of_highest(base_SN, slope_SN == slope_SN.min(axis=1, keepdims=True))
    rows = np.arange(len(at_S))
    corners, changes = [np.zeros(0)], [np.zeros(0)]
    start_errors = int(errors_SN[rows, at_S].sum())
    corner_S = np.full(len(at_S), -np.inf)
    while len(rows):
        # Where each steeper line meets the one that is highest now.
        base, slope = base_SN[rows], slope_SN[rows]
        here = np.arange(len(rows)), at_S
        steeper = usable_SN[rows] & (slope > slope[here][:, None])
        with np.errstate(all="ignore"):
            gammas = (base[here][:, None] - base) / (slope - slope[here][:, None])
        meets = np.where(steeper, gammas, np.inf)
        first_S = meets.min(axis=1)

        # Utterances that no line meets any more are done.
        moves = np.isfinite(first_S)
        if not moves.any():
            break
        meets, steeper = meets[moves], steeper[moves]
        base, slope, rows = base[moves], slope[moves], rows[moves]
        corner_S = np.maximum(corner_S[moves], first_S[moves])  # rounding must not lead back

        # Of lines met at the same place the steepest one leads on.
        met = steeper & (meets <= first_S[moves][:, None])
        steepest = np.where(met, slope, -np.inf).max(axis=1, keepdims=True)
        before_S, at_S = at_S[moves], _first_of_highest(base, met & (slope == steepest))
        corners.append(corner_S)
        changes.append(errors_SN[rows, at_S] - errors_SN[rows, before_S])

    # The corners of all utterances, in the order of gamma.
    corners_C, changes_C = np.concatenate(corners), np.concatenate(changes)
    order = np.argsort(corners_C, kind="stable")
    errors = start_errors + np.concatenate([[0], np.cumsum(changes_C[order])]).astype(np.int64)
    return Steps(corners_C[order], errors)


def _first_of_highest(values_SN: np.ndarray, among_SN: np.ndarray) -> np.ndarray:
    return np.where(among_SN, values_SN, -np.inf).argmax(axis=1)


def best_on_line(steps: Steps, lowest: float, unit: float, stay: float) -> float:
    """Choose the gamma at or above `lowest` with the fewest errors, by the rule at the head of this
    file. stay: the weight now, which is kept if nothing changes along the line."""
    inside = steps.corners > lowest
    corners, errors = steps.corners[inside], steps.errors[np.count_nonzero(~inside) :]
    # Nothing changes above `lowest`, so every weight there is as good, and the present one stays.
    # If it is `lowest` and a corner is there, hypotheses tie: take a place beyond the corner.
    if not len(corners):
        if stay > lowest or lowest not in steps.corners:
            return stay
        return lowest + OPEN_UNITS * unit / 2

    # The intervals, without the empty ones between equal corners.
    start = lowest if np.isfinite(lowest) else corners[0] - OPEN_UNITS * unit
    edges = np.concatenate([[start], corners, [corners[-1] + OPEN_UNITS * unit]])
    real = np.flatnonzero(np.diff(edges) > 0)
    errors, starts, ends = errors[real], edges[real], edges[real + 1]

    # Neighbours with as many errors are one.
    joins = np.flatnonzero(np.append(True, errors[1:] != errors[:-1]))
    last = np.append(joins[1:], len(ends)) - 1
    errors, starts, ends = errors[joins], starts[joins], ends[last]
    best = np.flatnonzero(errors == errors.min())
    widest = best[np.argmax(ends[best] - starts[best])]
    return float((starts[widest] + ends[widest]) / 2)


def minimise_errors(
    candidates: Candidates, lowest_K: np.ndarray, *, seed: int = 1, scores: Sequence[int] = (),
    report: Progress = silent,
) -> tuple[np.ndarray, int]:  # fmt: skip
    """Return the weights found, and their errors. From zero and from RESTARTS random weights, one
    weight after the other goes to the best place on its line, until a round over all of them lowers
    the errors no further. Of equally good ends the one found first is taken.

    lowest_K: the lowest weight each feature may have. With one feature the result is the best there
    is, and nothing is random. scores: the features that are further scores of the first pass; the
    result is at least as good as with each of them alone.
    """
    units_K = units(candidates)
    varying = np.flatnonzero(units_K > 0)
    # Several weights have several valleys: begin at random places, too.
    starts = [np.zeros(len(units_K))]
    if len(varying) > 1:
        random = np.random.default_rng(seed)
        drawn = random.uniform(-LARGEST_START, LARGEST_START, (RESTARTS, len(units_K))) * units_K
        starts += list(np.where(drawn < lowest_K, -drawn, drawn))
    starts += _starts_of_single_scores(candidates, lowest_K, seed, scores)
    ends = []
    for done, start_K in enumerate(starts, start=1):
        ends.append(_descend(candidates, start_K, varying, units_K, lowest_K))
        report(f"weights tuned from {done:,} of {len(starts):,} starts")
    return min(ends, key=lambda end: end[1])


def _starts_of_single_scores(
    candidates: Candidates, lowest_K: np.ndarray, seed: int, scores: Sequence[int]
) -> Iterator[np.ndarray]:
    """Yield the best weights with the base alone, and with each of `scores` alone as the base."""
    others = np.delete(np.arange(len(lowest_K)), scores)
    has_base, units_K = candidates.first_SN.any(), units(candidates)
    for place in [None, *scores] if scores else []:
        base_SN = candidates.first_SN if place is None else candidates.features_KSN[place]
        alone = replace(candidates, first_SN=base_SN, features_KSN=candidates.features_KSN[others])
        start_K = np.zeros(len(lowest_K))
        start_K[others], _ = minimise_errors(alone, lowest_K[others], seed=seed)
        # The base keeps its weight of 1, which must not matter here.
        if place is not None:
            start_K[place] = 1.0
            start_K *= units_K[place] * (BEYOND_BASE if has_base else 1.0)
        yield start_K


def units(candidates: Candidates) -> np.ndarray:
    """Return for each feature the weight with which it varies within utterances as much as the
    first pass does; 0 where it never varies."""
    usable_SN = candidates.usable_SN
    count_S1 = usable_SN.sum(axis=1, keepdims=True)

    def spread(values_SN: np.ndarray) -> float:
        values_SN = np.where(usable_SN, values_SN, 0.0)
        mean_S1 = values_SN.sum(axis=1, keepdims=True) / count_S1
        away_SN = np.where(usable_SN, values_SN - mean_S1, 0.0)
        norm = float(np.sqrt((away_SN**2).sum()))
        # A feature that never varies may have a tiny spread from rounding: count it as none. A
        # hypothesis without others is never rounded, and its score may be any low number.
        several_SN = np.where(count_S1 > 1, values_SN, 0.0)
        return norm if norm > 1e-9 * float(np.abs(several_SN).sum()) else 0.0

    first = spread(candidates.first_SN) or 1.0
    spread_K = np.array(list(map(spread, candidates.features_KSN)))
    return np.divide(first, spread_K, out=np.zeros_like(spread_K), where=spread_K > 0)


def _descend(
    candidates: Candidates,
    start_K: np.ndarray,
    varying: np.ndarray,
    units_K: np.ndarray,
    lowest_K: np.ndarray,
) -> tuple[np.ndarray, int]:
    weights_K = start_K.copy()
    errors, before = candidates.errors(weights_K), np.inf
    while errors < before:
        before = errors
        for k in varying:
            # Along this weight alone, all others held.
            without_K = np.where(np.arange(len(weights_K)) == k, 0.0, weights_K)
            base_SN = candidates.first_SN + np.tensordot(without_K, candidates.features_KSN, axes=1)
            steps = errors_along(
                base_SN, candidates.features_KSN[k], candidates.usable_SN, candidates.errors_SN
            )
            tried_K = weights_K.copy()
            tried_K[k] = best_on_line(steps, lowest_K[k], units_K[k], weights_K[k])
            tried_errors = candidates.errors(tried_K)
            if tried_errors <= errors:
                weights_K, errors = tried_K, tried_errors
    return weights_K, errors


# ---- The weights with which an n-best list is rescored, in memory and as a file: for which models,
# for which form of the text.

FEW_UTTERANCES = 500  # weights tuned on fewer differ from sample to sample


@dataclass(frozen=True)
class Tuned:
    """A record of tuning.

    Attributes:
        utterances: Number of utterances.
        words: Number of words of the references.
        errors_before: Number of word errors before tuning.
        errors_after: Number of word errors after tuning.
        seed: Random seed of restarts.
        hashes: Hashes of the utterances, which identify them when the weights are applied.
    """

    utterances: int
    words: int
    errors_before: int
    errors_after: int
    seed: int
    hashes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Weights:
    """The weights of the features; the first-pass score `score` has the weight 1.

    Attributes:
        weights: Weight of each feature, by name.
        models: Fingerprint of each language model, by name; None for a model that was never saved.
        mapping: How texts are changed before models read them.
        tuned: Record of the tuning; None if the weights do not come from tuning.
        scores: Scores of the first pass that the lists have: `score`, whose weight is 1, and
            `score:NAME` of each further one.
        signature: Signature of the WER that was tuned.
        format_version: Version of the file format.

    Raises:
        UsageError: A weight is not a finite number.
    """

    weights: dict[str, float]
    models: dict[str, str | None]
    mapping: TextMapping = TextMapping()
    tuned: Tuned | None = None
    scores: tuple[str, ...] = ("score",)
    signature: str = ""
    format_version: Literal[1] = 1

    def __post_init__(self) -> None:
        for name, weight in self.weights.items():
            if not isinstance(weight, numbers.Real) or not math.isfinite(weight):
                raise UsageError(
                    f"the weight of {name!r} is {shown(weight)}", "weights must be finite numbers"
                )


def save_weights(weights: Weights, path: str | Path) -> None:
    """Write weights to a JSON file. The file appears only once it is complete.

    Args:
        weights: The weights.
        path: File to write.

    Raises:
        OutputError: The file cannot be written.
    """
    text = json.dumps(asdict(weights), indent=2, allow_nan=False)
    save_file(Path(path), [text.encode() + b"\n"])


def read_weights(path: str | Path) -> Weights:
    """Read weights from a file. A notice warns of weights tuned on fewer than FEW_UTTERANCES
    utterances.

    Args:
        path: File that :func:`save_weights` wrote.

    Returns:
        The weights.

    Raises:
        TextError: The file cannot be read, or does not hold weights.
    """
    check_path(path, "read_weights: the file")
    what = f"{path} holds no weights"
    weights = read_json(
        Path(path), Weights, TextError, what, "write them with " + keyword("weights_output")
    )

    content = read_json(Path(path), dict, TextError, what)
    known = [field.name for field in (*fields(Weights), *fields(TextMapping))]
    tables.tell_unread(str(path), [*content, *content.get("mapping", ())], known)

    # Each model has a weight, and each weight a model.
    needed = {LM + name for name in weights.models} | {*weights.scores} - {"score"}
    allowed = {WORDS, *needed, *(OOV + name for name in weights.models)}
    without_model = sorted(weights.weights.keys() - allowed)
    if without_model:
        raise TextError(what, f"{without_model[0]!r} is a feature of no model in it", "tune again")
    missing = sorted(needed - weights.weights.keys())
    if missing:
        raise TextError(what, f"the weight of {missing[0]!r} is missing", "tune again")
    if weights.tuned:
        warn_of_few(weights.tuned.utterances)
    return weights


def warn_of_few(utterances: int) -> None:
    """Give notice where weights were tuned on so few utterances that they differ from sample to
    sample."""
    if utterances < FEW_UTTERANCES:
        notice(
            f"weights tuned on {plural(utterances, 'utterance')}, "
            f"fewer than {FEW_UTTERANCES}, are uncertain"
        )


def matched(weights: Weights, models: Mapping[str, LanguageModel]) -> dict[str, LanguageModel]:
    """Return `models` under the names that `weights` have for them, in their order. The fingerprint
    counts, not the name. ModelError: they are not the models the weights were tuned for."""
    left = dict(models)
    models_by_name = {}
    for name, fingerprint in weights.models.items():
        # Models that were never saved have no fingerprint: only the name identifies them.
        same = [
            model_name
            for model_name, model in left.items()
            if model.fingerprint == fingerprint and (fingerprint or model_name == name)
        ]
        if not same:
            given = ", ".join(
                f"{model_name} ({model.fingerprint})" for model_name, model in models.items()
            )
            raise ModelError(
                "the weights were tuned for other models",
                f"for {name} ({fingerprint}); given: {given}",
                "name those models, or tune again",
            )  # fmt: skip
        models_by_name[name] = left.pop(same[0])
    if left:
        raise ModelError(
            "the weights were tuned for other models",
            f"there is none for {next(iter(left))}",
            "leave it out, or tune again",
        )
    return models_by_name
