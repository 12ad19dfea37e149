"""n-gram models of sentences given as lists of word ids, and slow questions to them, for the tests.

Word 0 is `</s>`, the boundary; `<s>` is called BEGIN in contexts.
"""

import math
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from rnnlm.errors import RnnlmWarning
from rnnlm.lm.ngram.counting.count_trie import Level, NgramCounts, count
from rnnlm.lm.ngram.fitting import estimate, heldout_counts
from rnnlm.lm.ngram.settings import NgramSettings
from rnnlm.lm.ngram.smoothing import ESTIMATORS
from rnnlm.lm.ngram.tables import BackoffLevel, make_keys

BEGIN, END = "<s>", 0
Sentences = Sequence[Sequence[int]]
Gram = tuple[int | str, ...]


def ids_of(sentences: Sentences) -> np.ndarray:
    return np.array([word for sentence in sentences for word in (*sentence, END)], dtype=np.uint16)


def counts_of(sentences: Sentences, size: int, order: int, **options: Any) -> NgramCounts:
    return NgramCounts(size, tuple(count(ids_of(sentences), END, size, order, **options)))


def level_of(size: int, contexts, words, logprob, logbackoff) -> BackoffLevel:
    """Make a level from separate arrays, in the order of the keys."""
    values = np.stack([logprob, logbackoff], axis=1).astype(np.float32)
    return BackoffLevel(size, make_keys(np.asarray(contexts), np.asarray(words), size), values)


def grams_of(levels: Sequence[Any], size: int) -> list[list[Gram]]:
    """Return the n-grams of each order in words, from tables of words and contexts."""
    grams: list[list[Gram]] = [[(word,) for word in (*range(size), BEGIN)]]
    for level in levels[1:]:
        pairs = zip(level.contexts_M.tolist(), level.words_M.tolist(), strict=True)
        grams.append([(*grams[-1][context], word) for context, word in pairs])
    return grams


class Table:
    """log p(w|h) and log backoff of each n-gram, looked up as the ARPA format says: the longest
    n-gram there is, and the weights of the contexts given up on the way."""

    def __init__(self, levels: Sequence[BackoffLevel], size: int, smoothing: Any) -> None:
        self.order, self.size = len(levels), size
        self.smoothing = smoothing
        self.grams = grams_of(levels, size)
        self.logprob, self.logbackoff = {}, {}
        for grams, level in zip(self.grams, levels, strict=True):
            self.logprob.update(zip(grams, level.logprob_M.tolist(), strict=True))
            self.logbackoff.update(zip(grams, level.logbackoff_M.tolist(), strict=True))

    def contexts(self) -> list[Gram]:
        """Return all n-grams after which a next word may be asked for."""
        return [(), *(gram for grams in self.grams[:-1] for gram in grams if gram[-1] != END)]

    def p(self, word: int, context: Gram = ()) -> float:
        return math.exp(self._logprob(word, context[max(0, len(context) - self.order + 1) :]))

    def _logprob(self, word: int, context: Gram) -> float:
        if (*context, word) in self.logprob:
            return self.logprob[*context, word]
        weight = self.logbackoff.get(context, self.smoothing.unseen_context_logprob)
        return weight + self._logprob(word, context[1:])


def fit(
    name: str,
    sentences: Sentences,
    size: int,
    order: int = 2,
    prune: Sequence[int] = (),
    heldout: Sentences | None = None,
    **settings: Any,
) -> Table:
    """Estimate a model, without notices."""
    counts = counts_of(sentences, size, order)
    seen = None if heldout is None else heldout_counts(counts, ids_of(heldout), END)
    smoothing = ESTIMATORS[name](
        NgramSettings(order=order, smoothing=name, **settings), counts, seen
    )
    with warnings.catch_warnings(action="ignore", category=RnnlmWarning):
        return Table(list(estimate(counts, smoothing, prune)), size, smoothing)


def assert_same(found: Iterable[Level], expected: Iterable[Level]) -> None:
    """Check that levels have the same arrays."""
    for level, other in zip(found, expected, strict=True):
        assert (level.size, level.after_start) == (other.size, other.after_start)
        for name in ("keys_M", "suffixes_M", "counts_M"):
            array, wanted = np.asarray(getattr(level, name)), np.asarray(getattr(other, name))
            assert array.tolist() == wanted.tolist(), name
