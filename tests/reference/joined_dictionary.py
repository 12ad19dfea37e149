"""Joining n-gram models from the definition, with dictionaries of words: slow, for the tests."""

import math
from collections.abc import Sequence

import numpy as np

from rnnlm.interface import BOUNDARY, SENTENCE_START
from rnnlm.lm.ngram.model import NgramModel

Gram = tuple[str, ...]
NEARLY_NOTHING = 1e-5  # the seen words leave less than rounding: what the models say counts


class Backoff:
    """A backoff model: n-gram to probability, context to backoff weight."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.prob: dict[Gram, float] = {}
        self.weight: dict[Gram, float] = {}

    def p(self, gram: Gram) -> float:
        """Return the probability of the last word after the others; 0 for an unknown one."""
        if gram in self.prob or len(gram) == 1:
            return self.prob.get(gram, 0.0)
        return self.weight.get(gram[:-1], 1.0) * self.p(gram[1:])


def table(model: NgramModel) -> Backoff:
    """Return the n-grams of a model, in words."""
    found = Backoff()
    found.words = model.tokenizer.symbols()
    names = [*found.words, SENTENCE_START]
    for n, level in enumerate(model.levels(), start=1):
        words = [column.tolist() for column in model.words(n, np.arange(len(level)))]
        for at, (logprob, logbackoff) in enumerate(
            zip(level.logprob_M.tolist(), level.logbackoff_M.tolist(), strict=True)
        ):
            gram = tuple(names[column[at]] for column in words)
            found.prob[gram] = math.exp(logprob)
            found.weight[gram] = math.exp(logbackoff)
    return found


def join(parts: Sequence[Backoff], weights: Sequence[float]) -> Backoff:
    """Return the union of the n-grams of all parts, with the mixture's probabilities and backoff
    weights that make the sum after each context one."""
    joined = Backoff()
    for part in parts:
        joined.words += [word for word in part.words if word not in joined.words]
    grams = sorted({gram for part in parts for gram in part.prob}, key=lambda gram: len(gram))
    for gram in grams:
        mixed = [weight * part.p(gram) for part, weight in zip(parts, weights, strict=True)]
        joined.prob[gram] = sum(mixed)
    total = sum(joined.prob[word,] for word in joined.words)
    for word in joined.words:
        joined.prob[word,] /= total
    joined.prob[SENTENCE_START,] = 1.0
    # From the shortest contexts up, since each needs the weights of the shorter ones.
    seen: dict[Gram, list[str]] = {}
    for gram in grams:
        if len(gram) > 1:
            seen.setdefault(gram[:-1], []).append(gram[-1])
    for context in sorted(seen, key=len):
        _weigh(joined, parts, weights, context, seen[context])
    return joined


def _weigh(
    joined: Backoff,
    parts: Sequence[Backoff],
    weights: Sequence[float],
    context: Gram,
    seen: list[str],
) -> None:
    others = [word for word in joined.words if word not in seen]
    total = sum(joined.prob[*context, word] for word in seen)
    unseen = sum(joined.p((*context[1:], word)) for word in others)
    left = 1 - total
    if left < NEARLY_NOTHING and total:
        mass = sum(
            weight * part.p((*context, word))
            for part, weight in zip(parts, weights, strict=True)
            for word in others
        )
        left = mass / (total + mass)
    if not unseen:
        left = 0.0
    if total:
        for word in seen:
            joined.prob[*context, word] *= (1 - left) / total
    joined.weight[context] = left / unseen if unseen else 1.0


def contexts(joined: Backoff) -> list[Gram]:
    """Return all contexts after which predictions may differ."""
    longest = max(map(len, joined.prob))
    return [gram for gram in joined.prob if len(gram) < longest and gram[-1] != BOUNDARY]
