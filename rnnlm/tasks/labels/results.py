"""The results of tagging a sentence and of classifying a text."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from rnnlm.tasks.labels.data import EDIT, LabelColumn
from rnnlm.text.labelled import edit_scripts, schemes
from rnnlm.text.labelled.splitting import Range


@dataclass(frozen=True)
class LabelSequence:
    """Labels of the words of a sentence (or the sounds of a word), and the probability of all
    together, with its natural logarithm."""

    labels: tuple[str, ...]
    probability: float
    logprob_nats: float

    def to_dict(self) -> dict[str, Any]:
        """What `rnnlm tag --json` prints of it."""
        return {
            "labels": list(self.labels),
            "probability": self.probability,
            "logprob_nats": self.logprob_nats,
        }


@dataclass(frozen=True)
class TaggedSentence:
    """A sentence with labels.

    text: as it was given, None where words were. words: what was labelled: words, or the letters of
    a word. multiwords: of each multiword form in the text its first word (from 0), the one behind
    its last, and its form. labels: for each label column of words, the label of each word; of a
    model of letters the sounds of the word, however many. sentence_labels: for each label column of
    sentences, the label; empty where the sentence has no words. nbest: for each label column of
    words its best label sequences, the best first, as many as were asked for. probabilities: where
    they were asked for, for each label column of words the probabilities of each word's labels,
    highest first, without those below 0.001. sentence_probabilities: for each label column of
    sentences those of all labels, where they or several label sequences were asked for.
    """

    words: tuple[str, ...]
    labels: Mapping[str, tuple[str, ...]]
    sentence_labels: Mapping[str, str]
    nbest: Mapping[str, tuple[LabelSequence, ...]]
    probabilities: Mapping[str, tuple[Mapping[str, float], ...]] = field(default_factory=dict)
    sentence_probabilities: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    text: str | None = None
    multiwords: tuple[Range, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """What `rnnlm tag --json` prints of it: `nbest` and probabilities where they were asked
        for."""
        found: dict[str, Any] = {
            "text": self.text, "words": list(self.words),
            "multiwords": [{"start": start, "end": end, "form": form} for start, end,
                           form in self.multiwords],
            "labels": {name: list(labels) for name, labels in self.labels.items()},
            "sentence_labels": dict(self.sentence_labels),
        }  # fmt: skip
        if any(len(best) > 1 for best in self.nbest.values()):
            found["nbest"] = {
                name: [each.to_dict() for each in best] for name, best in self.nbest.items()
            }
        if self.probabilities:
            found["probabilities"] = {
                name: [dict(each) for each in words] for name, words in self.probabilities.items()
            }
        if self.sentence_probabilities:
            found["sentence_probabilities"] = {
                name: dict(each) for name, each in self.sentence_probabilities.items()
            }
        return found


@dataclass(frozen=True)
class ClassifiedText:
    """A text with labels.

    text: as it was given, None where words were. labels: for each label column its label, or with
    multi-label its labels joined by `|` ("" is none); empty where the text has no words.
    probabilities: for each label column the probability of each label, highest first: they sum to
    one, or with multi-label are each label's own.
    """

    text: str | None
    words: tuple[str, ...]
    labels: Mapping[str, str]
    probabilities: Mapping[str, Mapping[str, float]]

    @property
    def label(self) -> str | None:
        """The label of the first, most often only, column; None where the text has no words."""
        return next(iter(self.labels.values()), None)

    def to_dict(self, top: int | None = None) -> dict[str, Any]:
        """What `rnnlm classify --json` prints of it. top: so many of the most probable labels
        alone."""
        probabilities = {
            name: dict(islice(each.items(), top)) for name, each in self.probabilities.items()
        }
        return {"text": self.text, "labels": dict(self.labels), "probabilities": probabilities}


# ---- Probabilities of a network's symbols as probabilities of the labels that people read.

LEAST = 1e-3  # less probable labels are left out


def of_words(
    column: LabelColumn, p_TK: np.ndarray, words: Sequence[str], labels: Sequence[str]
) -> tuple[Mapping[str, float], ...]:
    """The probabilities of each word's labels, highest first. labels: those that were found, one a
    word, by which IOB1 writes the next."""
    before = [schemes.OUTSIDE, *labels]
    rows = zip(p_TK, words, labels, before, strict=False)
    return tuple(
        _of_word(column, p_K, word, label, label_before) for p_K, word, label, label_before in rows
    )


def highest_first(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    """A table of labels and probabilities, those of the same label added up."""
    found: dict[str, float] = {}
    for label, p in pairs:
        found[label] = found.get(label, 0.0) + p
    return dict(
        sorted(((label, round(p, 6)) for label, p in found.items()), key=lambda pair: -pair[1])
    )


def _of_word(
    column: LabelColumn, p_K: np.ndarray, word: str, label: str, before: str
) -> Mapping[str, float]:
    likely = np.flatnonzero(p_K >= LEAST).tolist()
    found = highest_first(
        (_written(column, column.symbols[each], word, before), float(p_K[each])) for each in likely
    )
    return found if label in found else {**found, label: 0.0}


def _written(column: LabelColumn, symbol: str, word: str, before: str) -> str:
    """A symbol as the label of a word, the label before it being that."""
    if column.form == EDIT:
        return edit_scripts.apply(symbol, word)
    if column.inner == column.scheme or symbol == schemes.OUTSIDE:
        return symbol
    letter, kind = schemes.parse(symbol)
    inner = schemes.LETTERS[column.inner]
    begins = letter in (inner[0], inner[3])
    letter = schemes.LETTERS[column.scheme][inner.index(letter)]
    if (
        column.scheme == schemes.IOB1
        and begins
        and before != schemes.OUTSIDE
        and schemes.parse(before)[1] == kind
    ):
        letter = "B"
    return letter + (f"-{kind}" if kind else "")
