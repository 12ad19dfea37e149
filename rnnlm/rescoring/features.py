"""What is known of each hypothesis of an n-best list besides its first-pass score: its log-probability under language models, its
words, its words unknown to them. Each distinct text is scored once per model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rnnlm.errors import UsageError, notice
from rnnlm.inference import span_scoring
from rnnlm.inference.prefixes import score_trie
from rnnlm.interface import LanguageModel
from rnnlm.rescoring.nbest import Utterance
from rnnlm.scoring.sentence_checks import check
from rnnlm.scoring.sentences import Sentence
from rnnlm.text.lines import Progress, check_reserved, is_blank, silent, split_words
from rnnlm.text.marks import count_marks, tell_unseen
from rnnlm.text.normalisation import without_punctuation

LM, WORDS, OOV = "lm:", "words", "oov:"  # names of features; after a colon stands the model's name
SAMPLE_TEXTS = 500
TEXTS_AT_ONCE = 1 << 14


@dataclass(frozen=True)
class TextMapping:
    """What becomes of a hypothesis before a language model reads it.

    remove_punctuation: characters of Unicode's classes P and S become white space, but for apostrophes inside words and `<unk>`.
    special_symbols: as in :func:`rnnlm.text.lines.check_reserved`. normalise_wer: words are mapped before they are compared with the
    reference's, too.
    """

    lowercase: bool = False
    remove_punctuation: bool = False
    special_symbols: Literal["error", "drop", "replace"] = "error"
    normalise_wer: bool = False

    def mapped(self, text: str, where: str = "a hypothesis") -> str:
        """`text` in the model's writing, its words one space apart. where: its place, for messages.

        Raises:
            TextError: it holds `<s>` or `</s>`, and that is to be an error.
        """
        if self.lowercase:
            text = text.lower()  # first: <S> becomes a reserved symbol
        words = split_words(check_reserved(text, where, self.special_symbols))
        mapped = " ".join(words)
        return " ".join(split_words(without_punctuation(mapped))) if self.remove_punctuation else mapped

    def for_wer(self, text: str, where: str = "a text") -> str:
        """`text` as its words are compared with those of another.

        Raises:
            TextError: as :meth:`mapped`.
        """
        return self.mapped(text, where) if self.normalise_wer else text


@dataclass(frozen=True)
class FeatureTable:
    """The features of a list: S utterances, N hypotheses at most, K features called `names`.

    usable_SN is false where there is no hypothesis, or one that a model finds impossible.
    """

    names: tuple[str, ...]
    utterances: tuple[Utterance, ...]
    first_SN: np.ndarray
    features_KSN: np.ndarray
    usable_SN: np.ndarray

    def rows(self, indices: Sequence[int] | np.ndarray) -> "FeatureTable":
        """The utterances at these places alone."""
        utterances = tuple(self.utterances[index] for index in indices)
        return FeatureTable(self.names, utterances, self.first_SN[indices], self.features_KSN[:, indices], self.usable_SN[indices])

    def columns(self, names: Sequence[str]) -> "FeatureTable":
        """These features alone, in this order."""
        chosen = [self.names.index(name) for name in names]
        return FeatureTable(tuple(names), self.utterances, self.first_SN, self.features_KSN[chosen], self.usable_SN)


def feature_table(
    utterances: Sequence[Utterance], models: Mapping[str, LanguageModel], mapping: TextMapping, report: Progress = silent
) -> FeatureTable:
    """The features of `utterances` under `models` (by name).

    Models with the same tokenizer share the count of unknown words, which is called after the first of them. A hypothesis of
    probability zero is not usable; where that befalls all of an utterance, its 1-best stays alone. Both are counted in a notice, and so
    are hypotheses without words, which are scored as `</s>` alone.

    Raises:
        UsageError: there are no utterances or models. TextError: a text holds `<s>` or `</s>`, and that is to be an error.
        ModelError: scores are not numbers.
    """
    if not utterances or not models:
        raise UsageError("nothing to rescore" if models else "no language model to rescore with", hint="name models with -m")
    hypotheses = [hypothesis for utterance in utterances for hypothesis in utterance.hypotheses]
    texts = [mapping.mapped(h.text, h.where) for h in hypotheses]
    _warn_of_empty(utterances, texts)
    distinct = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    numbers_H = np.array([distinct[text] for text in texts])
    columns: dict[str, np.ndarray] = {}
    oov = {}
    for name, model in models.items():
        logprob_nats, unknown = _scored(model, list(distinct), name, report)
        columns[LM + name] = np.where(np.isneginf(logprob_nats), np.nan, logprob_nats)[numbers_H]
        vocabulary = model.tokenizer.in_direction(False).fingerprint
        if vocabulary not in oov:
            oov[vocabulary] = OOV + name, unknown[numbers_H]
        _warn_of_case(name, model, list(distinct), mapping)
    tell_unseen(count_marks(distinct), {name: model.tokenizer for name, model in models.items()})
    columns[WORDS] = np.array([float(len(split_words(text))) for text in distinct])[numbers_H]
    columns.update(oov.values())
    return _padded(utterances, columns)


def _scored(model: LanguageModel, texts: list[str], name: str, report: Progress) -> tuple[np.ndarray, np.ndarray]:
    """The log-probability (nats) of each text, with its end, and how many of its words are unknown, as floats."""
    totals, unknown = [], []
    for first in range(0, len(texts), TEXTS_AT_ONCE):
        sentences = [Sentence(text, first + number) for number, text in enumerate(texts[first : first + TEXTS_AT_ONCE], start=1)]
        checked, _ = check(sentences, "error", nulls=False)
        encoded = model.tokenizer.encode([sentence.text for sentence in checked])
        logprob_N = score_trie(model, encoded.ids, span_scoring.spans_between(encoded.offsets))
        span_scoring.check_scores(logprob_N)
        totals += np.add.reduceat(logprob_N, encoded.offsets[:-1]).tolist()
        unknown += np.diff(np.searchsorted(encoded.oov, encoded.offsets)).tolist()
        report(f"{name}: {len(totals):,} of {len(texts):,} texts scored")
    return np.array(totals), np.array(unknown, dtype=np.float64)


def _padded(utterances: Sequence[Utterance], columns: dict[str, np.ndarray]) -> FeatureTable:
    counts_S = np.array([len(utterance.hypotheses) for utterance in utterances])
    exists_SN = np.arange(counts_S.max()) < counts_S[:, None]
    first_SN = np.zeros(exists_SN.shape)
    first_SN[exists_SN] = [hypothesis.score for utterance in utterances for hypothesis in utterance.hypotheses]
    features_KSN = np.zeros((len(columns), *exists_SN.shape))
    features_KSN[:, exists_SN] = list(columns.values())
    usable_SN = exists_SN & np.isfinite(features_KSN).all(axis=0)
    _warn_of_impossible(usable_SN, exists_SN)
    usable_SN[~usable_SN.any(axis=1), 0] = True
    return FeatureTable(tuple(columns), tuple(utterances), first_SN, np.nan_to_num(features_KSN, nan=0.0), usable_SN)


def _warn_of_empty(utterances: Sequence[Utterance], texts: Sequence[str]) -> None:
    """texts: what the models read of the hypotheses of all utterances, one after the other."""
    of_utterance = (utterance.utt for utterance in utterances for _ in utterance.hypotheses)
    if empty := [utt for utt, text in zip(of_utterance, texts, strict=True) if is_blank(text)]:
        notice(
            f"{len(empty):,} of {len(texts):,} hypotheses hold no words, the first of utterance {empty[0]!r}: each is scored as </s> alone"
        )


def _warn_of_impossible(usable_SN: np.ndarray, exists_SN: np.ndarray) -> None:
    impossible = int((exists_SN & ~usable_SN).sum())
    if impossible:
        alone = int((~usable_SN.any(axis=1)).sum())
        notice(
            f"{impossible:,} hypotheses have probability zero under a model and are never chosen; "
            f"{alone:,} utterances, all of whose hypotheses have, keep their 1-best"
        )


def _warn_of_case(name: str, model: LanguageModel, texts: list[str], mapping: TextMapping) -> None:
    """A notice where nearly nothing is known, but would be in lower case."""
    sample = texts[:: max(1, len(texts) // SAMPLE_TEXTS)]
    share = _unknown_share(model, sample)
    if share > 0.5 and not mapping.lowercase and _unknown_share(model, [text.lower() for text in sample]) < share / 2:
        notice(f"{share:.0%} of the list's words are unknown to {name}, far fewer would be in lower case: --lowercase")


def _unknown_share(model: LanguageModel, texts: list[str]) -> float:
    encoded = model.tokenizer.encode(texts)
    return len(encoded.oov) / max(1, len(encoded.ids) - len(texts))
