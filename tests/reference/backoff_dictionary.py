"""log p(w|h) of an n-gram model, asked of a dictionary of its n-grams one word at a time: a second
implementation.

The longest n-gram there is has the probability; each longer context given up on the way costs its
backoff weight, or, where the model has no such context, what it charges for those. Contexts that
would reach back beyond the start of the line, or of what was read, cost nothing.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from rnnlm.lm.ngram.model import NgramModel

Gram = tuple[int, ...]


class BackoffDictionary:
    """`<s>` is word `size`, read where the input is the boundary. values: [log p, log backoff]."""

    def __init__(self, model: NgramModel) -> None:
        self.order, self.size = model.order, model.size
        self.boundary_id = model.tokenizer.boundary_id
        self.unseen_context_logprob = model.unseen_context_logprob
        self.values: dict[Gram, list[float]] = {}
        grams: list[Gram] = [()]
        bits = self.size.bit_length()
        for level in model.levels():
            keys = [int(key) for key in level.keys_M]
            grams = [(*grams[key >> bits], key % (1 << bits)) for key in keys]
            rows = np.stack([level.logprob_M, level.logbackoff_M], axis=1).tolist()
            self.values.update(zip(grams, rows, strict=True))
        self.followed = {gram[:-1] for gram in self.values}

    def context(self, inputs: Sequence[int]) -> Gram:
        """Return the words of the current line, `<s>` first, as many as the order needs."""
        words: list[int] = []
        for word in inputs:
            words = [self.size] if word == self.boundary_id else [*words, word]
        return tuple(words[max(0, len(words) - self.order + 1) :])

    def cost(self, context: Gram) -> float:
        """Return the cost of backing off from a context."""
        return self.values[context][1] if context in self.values else self.unseen_context_logprob

    def logprob(self, inputs: Sequence[int], word: int) -> float:
        """Return log p of `word` after all the `inputs`."""
        cost = 0.0
        for context in _suffixes(self.context(inputs)):
            if (*context, word) in self.values:
                return cost + self.values[*context, word][0]
            if context:
                cost += self.cost(context)
        return -math.inf

    def remembered(self, inputs: Sequence[int]) -> int:
        """Return how many of the last inputs can matter later: those of the longest context that a
        word follows or that has a backoff weight."""
        return next(
            len(each)
            for each in _suffixes(self.context(inputs))
            if not each or each in self.followed or self.cost(each)
        )


def _suffixes(context: Gram) -> Iterator[Gram]:
    """Yield the suffixes of a context, the longest first, the empty one last."""
    return (context[start:] for start in range(len(context) + 1))
