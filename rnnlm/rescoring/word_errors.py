"""Word errors: substitutions, deletions and insertions of the cheapest alignment (Levenshtein 1966), by rapidfuzz.

The conventions are those of jiwer: words are what stands between white space, compared as they are; the errors of all utterances
are added up before they are divided by the words of all references; an utterance with an empty reference adds its insertions, one
with an empty hypothesis its deletions; where no reference holds a word, the rate is the number of insertions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnnlm.evaluation.resampling import Interval, ratio_interval
from rnnlm.text.lines import split_words


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
    """The errors over a list. wer: a fraction, 0.06 for 6 %; interval: its bootstrap interval over utterances, None where no
    reference holds a word; utterance_errors: utterances with an error."""

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
    return Edits(kinds.count("replace"), kinds.count("delete"), kinds.count("insert"), len(expected))


def word_error_rate(edits: Sequence[Edits], seed: int = 1) -> WordErrorRate:
    """The rate over utterances, with its interval (see :mod:`rnnlm.evaluation.resampling`).

    Raises:
        UsageError: there are no utterances.
    """
    errors_S, words_S = (np.array(values, dtype=np.float64) for values in ([e.errors for e in edits], [e.words for e in edits]))
    words = int(words_S.sum())
    interval = ratio_interval(errors_S, words_S, seed=seed) if words else None
    return WordErrorRate(
        wer=interval.estimate if interval else float(errors_S.sum()), interval=interval,
        substitutions=sum(e.substitutions for e in edits), deletions=sum(e.deletions for e in edits),
        insertions=sum(e.insertions for e in edits), words=words, utterances=len(edits),
        utterance_errors=int(np.count_nonzero(errors_S)),
    )  # fmt: skip
