"""The results of tagging a sentence and of classifying a text."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from rnnlm.tabular import RecordList, Result, Row, identifier, to_builtins
from rnnlm.tasks.labelling.data import EDIT, LabelColumn
from rnnlm.tasks.labelling.formats import edit_scripts, schemes


@dataclass(frozen=True)
class LabelSequence:
    """Labels of the words of a sentence (or the sounds of a word).

    Attributes:
        labels: The labels.
        probability: Probability of all of them together, 0 to 1.
        logprob_nats: Its natural logarithm.
    """

    labels: tuple[str, ...]
    probability: float
    logprob_nats: float


@dataclass(frozen=True)
class TaggedSentence:
    """A sentence with labels.

    Attributes:
        text: The sentence as it was given; None if words were given.
        words: Labelled words, or the letters of a word.
        labels: For each label column of words, the label of each word; for a model of letters, the
            sounds of the word, however many.
        sentence_labels: For each label column of sentences, the label; empty if the sentence has no
            words.
        reason: Reason why it has no labels.
        nbest: For each label column of words, the requested number of label sequences, best first.
        probabilities: If requested, for each label column of words the probabilities of each word's
            labels, highest first, without those below 0.001.
        sentence_probabilities: If probabilities or several label sequences were requested, for each
            label column of sentences the probabilities of all labels.
    """

    text: str | None
    words: tuple[str, ...]
    labels: Mapping[str, tuple[str, ...]]
    sentence_labels: Mapping[str, str]
    reason: str | None
    nbest: Mapping[str, tuple[LabelSequence, ...]]
    probabilities: Mapping[str, tuple[Mapping[str, float], ...]]
    sentence_probabilities: Mapping[str, Mapping[str, float]]

    def to_dict(self) -> dict[str, Any]:
        """Return the sentence in the form of `rnnlm tag --json`. Fields that were not requested are
        left out."""
        sentence = vars(self).copy()
        if all(len(best) < 2 for best in self.nbest.values()):
            del sentence["nbest"]
        for name in ("reason", "probabilities", "sentence_probabilities"):
            if not sentence[name]:
                del sentence[name]
        shown: dict[str, Any] = to_builtins(sentence)
        return shown


@dataclass(frozen=True)
class ClassifiedText(Result):
    """A text with labels.

    Attributes:
        text: The text as it was given; None if words were given.
        words: Its words.
        labels: For each label column its label, or with multi-label its labels joined by `|` ("" is
            none); empty if the text has no words.
        probabilities: For each label column the probability of each label, highest first. They sum
            to one; with multi-label, each label has its own.
        reason: Reason why it has no labels.
    """

    text: str | None
    words: tuple[str, ...]
    labels: Mapping[str, str]
    probabilities: Mapping[str, Mapping[str, float]]
    reason: str | None = None

    @property
    def label(self) -> str | None:
        """The label of the first column, usually the only one; None where the text has no
        words."""
        return next(iter(self.labels.values()), None)

    def to_dict(self, top: int | None = None) -> dict[str, Any]:
        """Return the text in the form of `rnnlm classify --json`, without its words, which are in
        the text.

        Args:
            top: Number of labels to return, most probable first. None: all.
        """
        text = super().to_dict()
        del text["words"]
        for name, by_label in text["probabilities"].items():
            text["probabilities"][name] = dict(islice(by_label.items(), top))
        if not self.reason:
            del text["reason"]
        return text


# ---- Probabilities of a network's symbols as probabilities of the labels that people read.

LEAST = 1e-3  # less probable labels are left out


def of_words(
    column: LabelColumn, p_TK: np.ndarray, words: Sequence[str], labels: Sequence[str]
) -> tuple[Mapping[str, float], ...]:
    """Return the probabilities of each word's labels, highest first. labels: those that were found,
    one a word."""
    by_word = []
    before = schemes.OUTSIDE  # the label of the word before, which IOB1 needs
    for p_K, word, label in zip(p_TK, words, labels, strict=False):
        # Several symbols may be the same label of this word.
        pairs = []
        for symbol in np.flatnonzero(p_K >= LEAST).tolist():
            pairs.append(
                (_written(column, column.symbols[symbol], word, before), float(p_K[symbol]))
            )
        probabilities = highest_first(pairs)
        probabilities.setdefault(label, 0.0)
        by_word.append(probabilities)
        before = label
    return tuple(by_word)


def highest_first(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Return labels and their probabilities, highest first; probabilities of the same label are
    added up."""
    totals: dict[str, float] = {}
    for label, p in pairs:
        totals[label] = totals.get(label, 0.0) + p
    rounded = {label: round(p, 6) for label, p in totals.items()}
    return dict(sorted(rounded.items(), key=lambda pair: -pair[1]))


def _written(column: LabelColumn, symbol: str, word: str, before: str) -> str:
    """Write a symbol as the label of a word. before: the label of the word before it."""
    if column.form == EDIT:
        return edit_scripts.apply(symbol, word)
    if column.inner == column.scheme or symbol == schemes.OUTSIDE:
        return symbol

    # The letter of the other scheme that means the same.
    letter, kind = schemes.parse(symbol)
    inner = schemes.LETTERS[column.inner]
    begins = letter in (inner[0], inner[3])
    letter = schemes.LETTERS[column.scheme][inner.index(letter)]

    # IOB1 writes B only where a span follows one of its type.
    if column.scheme == schemes.IOB1 and begins and before != schemes.OUTSIDE:
        _, kind_before = schemes.parse(before)
        if kind_before == kind:
            letter = "B"
    return f"{letter}-{kind}" if kind else letter


# ---- Lists of them, which are tables, too.


class TaggedSentences(RecordList[TaggedSentence]):
    """Tagged sentences, in a list that is also a table with a row per word."""

    def to_rows(self) -> list[Row]:
        """Return a row for each labelled word: the number of its sentence and its own, from 1, the
        word, and its label in each column."""
        rows: list[Row] = []
        for sentence_number, sentence in enumerate(self, start=1):
            of_sentence = {"sentence": sentence_number}
            for place, word in enumerate(sentence.words):
                row: Row = {**of_sentence, "word_index": place + 1, "word": word}
                for column, labels in sentence.labels.items():
                    # A model of letters writes sounds, of which there may be fewer or more.
                    row[identifier(column)] = labels[place] if place < len(labels) else None
                for column, label in sentence.sentence_labels.items():
                    row[identifier(column)] = label
                rows.append(row)
        return rows


class ClassifiedTexts(RecordList[ClassifiedText]):
    """Classified texts, in a list that is also a table with a row per text."""

    def to_rows(self) -> list[Row]:
        """Return a row for each text, with its label in each column and the probability of this
        label."""
        rows: list[Row] = []
        for classified in self:
            row: Row = {"text": classified.text or " ".join(classified.words)}
            for column, label in classified.labels.items():
                name = identifier(column)
                row[name] = label
                # With several labels none of the probabilities belongs to all together.
                row[f"{name}_probability"] = classified.probabilities[column].get(label)
            rows.append(row)
        return rows
