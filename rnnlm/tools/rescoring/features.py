"""Compute the features of each hypothesis of an n-best list besides its first-pass score: its
log-probability under language models, or given its source under encoder-decoders; its words; its
words unknown to them. Each distinct text is scored once per model, or once per source."""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rnnlm.amounts import plural
from rnnlm.errors import TextError, UsageError, keyword, notice, shown
from rnnlm.interface import LanguageModel
from rnnlm.lm.base.span_scoring import (
    check_scores,
    initial_states,
    reads_sources,
    score_spans,
    spans_between,
)
from rnnlm.scoring.prefixes import score_trie
from rnnlm.scoring.scorer import check
from rnnlm.scoring.sentences import Sentence
from rnnlm.text.lines import Progress, is_blank, silent, split_words
from rnnlm.text.marks import count_marks, tell_unseen
from rnnlm.tools.rescoring.nbest import Utterance
from rnnlm.tools.rescoring.settings import TextMapping

LM, WORDS, OOV = "lm:", "words", "oov:"  # names of features; the model's name follows a colon
SAMPLE_TEXTS = 500
PIECE = re.compile(r"(^| )(\u2581|##)\S|\S@@( |$)")  # of SentencePiece, BERT and subword-nmt
TEXTS_AT_ONCE = 1 << 14
# First passes write -1e10, the lowest number of float32 or the like for the log of zero. A score so
# far below the best of its utterance excludes the hypothesis; no real best is below LOWEST_BEST.
FARTHEST_BELOW_BEST = 1e6
LOWEST_BEST = -1e9
_Text = tuple[str, str | None]  # with its source, if a model reads that


@dataclass(frozen=True)
class FeatureTable:
    """The features of a list: S utterances, N hypotheses at most, K features called `names`.

    usable_SN is false where there is no hypothesis, or one that must not be chosen: a model finds
    it impossible, or the first pass excludes it. At least one of each utterance is usable.
    """

    names: tuple[str, ...]
    utterances: tuple[Utterance, ...]
    first_SN: np.ndarray
    features_KSN: np.ndarray
    usable_SN: np.ndarray

    def rows(self, indices: Sequence[int] | np.ndarray) -> "FeatureTable":
        """Return the utterances at these places alone."""
        utterances = tuple(self.utterances[index] for index in indices)
        first_SN, usable_SN = self.first_SN[indices], self.usable_SN[indices]
        return FeatureTable(
            self.names, utterances, first_SN, self.features_KSN[:, indices], usable_SN
        )

    def columns(self, names: Sequence[str]) -> "FeatureTable":
        """Return these features alone, in this order."""
        chosen = [self.names.index(name) for name in names]
        return FeatureTable(
            tuple(names), self.utterances, self.first_SN, self.features_KSN[chosen], self.usable_SN
        )


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
    if not utterances or not models:
        raise UsageError(
            "there is nothing to rescore with" if models else "no language model is named",
            hint="name models with " + keyword("models"),
        )

    # The texts that models read.
    texts: list[str] = []
    for utterance in utterances:
        texts += [mapping.mapped(one.text, one.where) for one in utterance.hypotheses]
    _warn_of_empty(utterances, texts)
    distinct = list(dict.fromkeys(texts))

    # A column for each model, one for the unknown words of each vocabulary, and one for the words.
    columns: dict[str, np.ndarray] = {}
    oov = {}
    for name, model in models.items():
        reads = reads_sources(model)
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
    first_SN[exists_SN] = [hypothesis.score for hypothesis in hypotheses]
    features_KSN = np.zeros((len(columns), *exists_SN.shape))
    features_KSN[:, exists_SN] = list(columns.values())

    # Impossible hypotheses are not chosen, unless an utterance has no others.
    usable_SN = exists_SN & np.isfinite(features_KSN).all(axis=0)
    _warn_of_impossible(usable_SN, exists_SN)
    usable_SN[~usable_SN.any(axis=1), 0] = True
    usable_SN = _without_excluded(utterances, first_SN, usable_SN)
    return FeatureTable(
        tuple(columns), tuple(utterances), first_SN, np.nan_to_num(features_KSN, nan=0.0), usable_SN
    )


def _without_excluded(
    utterances: Sequence[Utterance], first_SN: np.ndarray, usable_SN: np.ndarray
) -> np.ndarray:
    """Return which of the usable hypotheses the first pass does not exclude, with a notice of the
    others. Where it excludes all of an utterance, the first of the best ones stays."""
    scores_SN = np.where(usable_SN, first_SN, -np.inf)
    lowest_S1 = np.maximum(scores_SN.max(axis=1, keepdims=True), LOWEST_BEST) - FARTHEST_BELOW_BEST
    kept_SN = scores_SN >= lowest_S1
    excluded_SN = usable_SN & ~kept_SN
    if not excluded_SN.any():
        return usable_SN

    alone_S = ~kept_SN.any(axis=1)
    first = utterances[int(excluded_SN.any(axis=1).argmax())]
    notice(
        f"{int(excluded_SN.sum()):,} hypotheses, the first in utterance {first.utt!r}, are "
        f"excluded by the first pass (scores more than {FARTHEST_BELOW_BEST:,.0f} below the best) "
        f"and are never chosen; {int(alone_S.sum()):,} utterances with no other hypotheses keep "
        "their best"
    )
    kept_SN[alone_S, scores_SN[alone_S].argmax(axis=1)] = True
    return kept_SN


def _warn_of_empty(utterances: Sequence[Utterance], texts: Sequence[str]) -> None:
    """Give notice of hypotheses without words. texts: the texts that models read for the hypotheses
    of all utterances, one after the other."""
    names = itertools.chain.from_iterable([one.utt] * len(one.hypotheses) for one in utterances)
    empty = [utt for utt, text in zip(names, texts, strict=True) if is_blank(text)]
    if empty:
        of_all = f"of {len(texts):,} hypotheses"
        notice(
            plural(len(empty), f"{of_all} has", f"{of_all} have") + " no words, the first in "
            f"utterance {empty[0]!r}: each is scored as </s> alone"
        )


def _warn_of_impossible(usable_SN: np.ndarray, exists_SN: np.ndarray) -> None:
    impossible = int((exists_SN & ~usable_SN).sum())
    if impossible:
        alone = int((~usable_SN.any(axis=1)).sum())
        notice(
            f"{impossible:,} hypotheses have probability zero under a model and are never chosen; "
            f"{alone:,} utterances with no other hypotheses keep their 1-best"
        )


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
    sample = texts[:: max(1, len(texts) // SAMPLE_TEXTS)]
    are_known = all(
        model.tokenizer.name == "word" and _unknown_share(model, sample) <= 0.5
        for model in models.values()
    )
    if odd is not None and not are_known:
        what = "pieces of words" if odd is pieces else "numbers"
        notice(
            f"{len(odd):,} of {len(texts):,} hypotheses look like {what} ({shown(odd[0])}): each "
            "is scored as a word; write out the words"
        )


def _unknown_share(model: LanguageModel, texts: list[str]) -> float:
    encoded = model.tokenizer.encode(texts)
    return len(encoded.oov) / max(1, len(encoded.ids) - len(texts))
