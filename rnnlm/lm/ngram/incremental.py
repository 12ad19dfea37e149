"""Read one word at a time through an n-gram model, for callers whose next question depends on the
last answer: decoders.

The same numbers as `NgramModel.score`, which is made for whole texts; here a question is a few
short binary searches, without arrays. A scorer first builds an index: for each context, the place
at which its n-grams begin. That takes a second for some 15 million n-grams. Unlike a text, a
context need not begin with a line: after the null context a word has its unigram probability.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rnnlm.interface import State
from rnnlm.lm.ngram.tables import NOWHERE, NgramTables, damage_error, word_bits


class NgramContext(NamedTuple):
    """The part of the words so far that can affect the next one. Two contexts are equal if the
    model does not distinguish them.

    Attributes:
        token_ids: Ids of the words, latest last; `<s>` is V.
        numbers: For the contexts of the last 1, 2, ... words, the number of that n-gram in the
            model.
        costs: For these contexts, the log of the backoff weight in nats.
    """

    token_ids: tuple[int, ...]
    numbers: tuple[int, ...]
    costs: tuple[float, ...]


NULL = NgramContext((), (), ())


class _OrderIndex(NamedTuple):
    """The n-grams of one order, above the first.

    width: how many values each has: log p and, but for the highest order, cost. starts: where the
    n-grams after each context begin.
    """

    n: int
    keys: Sequence[int]
    values: Sequence[float]
    width: int
    starts: Sequence[int]


class IncrementalScorer:
    """Scores growing prefixes under a model. Words are token ids; logarithms are in nats.

    Args:
        model: The model.
    """

    def __init__(self, model: NgramTables) -> None:
        self.model = model
        self.order = model.order
        self._size = model.size
        self._bits = word_bits(model.size)
        self._unseen = model.unseen_context_logprob
        # The log p and the cost of each word in turn, or log p alone in a unigram model.
        self._unigrams: Sequence[float] = _one_by_one(model.values[0][:])
        self._width = model.values[0].shape[1]
        self._orders = [self._order(model, n) for n in range(2, model.order + 1)]

    def _order(self, model: NgramTables, n: int) -> _OrderIndex:
        # Single values are read faster from arrays than through codes.
        keys, values = model.keys[n - 2][:], model.values[n - 1][:]
        contexts = np.arange(len(model.values[n - 2]) + 1, dtype=np.uint64)
        contexts <<= np.uint64(self._bits)
        index = np.uint32 if len(keys) < 1 << 32 else np.uint64
        starts = keys.searchsorted(contexts).astype(index)
        return _OrderIndex(n, keys.data, _one_by_one(values), values.shape[1], starts.data)

    def begin(self) -> NgramContext:
        """Return the start of a line."""
        if self.order == 1:
            return NULL
        return NgramContext((self._size,), (self._size,), (self._unigrams[2 * self._size + 1],))

    def null(self) -> NgramContext:
        """Return the context of unknown text, for which not even the beginning of a line is
        known."""
        return NULL

    def extend(self, context: NgramContext, word: int) -> tuple[float, int, NgramContext]:
        """Score a word after a context.

        Args:
            context: The context.
            word: Token id of the word.

        Returns:
            log p(word | context) in nats, the length of the model's longest n-gram that ends with
            `word` there, and the context after it.
        """
        logprob, length, numbers, costs = self._read(context.numbers, context.costs, word)
        return logprob, length, self._after((*context.token_ids, word), numbers, costs)

    def extend_all(
        self, contexts: Sequence[NgramContext], words: Sequence[int]
    ) -> list[tuple[float, int, NgramContext]]:
        """Extend contexts one after the other.

        Args:
            contexts: N contexts.
            words: The next word of each, N token ids.

        Returns:
            For each context, the result of :meth:`extend`.
        """
        return [self.extend(context, word) for context, word in zip(contexts, words, strict=True)]

    def distribution(self, context: NgramContext) -> tuple[np.ndarray, State]:
        """Return log p of every word after a context in nats, (V,), and the model's state there.

        Args:
            context: The context.
        """
        state = self.model.initial_state(1)
        if not context.token_ids:
            return np.asarray(self.model.values[0])[: self._size, 0], state
        token_ids = np.array(context.token_ids)
        token_ids[token_ids == self._size] = self.model.tokenizer.boundary_id
        *before, last = token_ids
        state.inputs_BN[0, self.order - 1 - len(before) :] = before
        logprob_11V, state = self.model.predict(np.array([[last]]), state)
        return logprob_11V[0, 0], state

    def score_tokens(self, context: NgramContext, words: Sequence[int]) -> list[tuple[float, int]]:
        """Score words one after the other, like :meth:`extend`, and return the results without
        contexts.

        Args:
            context: Context of the first word.
            words: Token ids.

        Returns:
            For each word, its log-probability in nats, and the length of the longest n-gram.
        """
        answers = []
        numbers: Sequence[int] = context.numbers
        costs: Sequence[float] = context.costs
        for word in words:
            logprob, length, numbers, costs = self._read(numbers, costs, word)
            answers.append((logprob, length))
        return answers

    def _read(
        self, numbers: Sequence[int], costs: Sequence[float], word: int
    ) -> tuple[float, int, list[int], list[float]]:
        """Return the result of :meth:`extend`, with numbers and costs of the contexts after `word`
        in place of the context.

        Everything is inlined in one loop, for speed: decoders call this for each word.
        """
        try:
            logprob, length = self._unigrams[word * self._width], 1
            after = [word] if self._orders else []
            costs_after = [self._unigrams[2 * word + 1]] if self._orders else []
            for (n, keys, values, width, starts), number, cost in zip(
                self._orders, numbers, costs, strict=False
            ):
                # The n-gram made of the context and the word, if it is in the model.
                place = NOWHERE
                if number >= 0:
                    key, end = number << self._bits | word, starts[number + 1]
                    place = bisect_left(keys, key, starts[number], end)
                    if place == end or keys[place] != key:
                        place = NOWHERE
                if place >= 0:
                    logprob, length = values[place * width], n
                else:
                    logprob += cost
                if width > 1:
                    after.append(place)
                    costs_after.append(values[2 * place + 1] if place >= 0 else self._unseen)
        except IndexError:
            raise damage_error() from None

        # Contexts that are not in the model and cost nothing make no difference.
        while after and after[-1] < 0 and not costs_after[-1]:
            after.pop()
            costs_after.pop()
        return logprob, length, after, costs_after

    def _after(
        self, words: tuple[int, ...], numbers: list[int], costs: list[float]
    ) -> NgramContext:
        """Return the context, without the words before the longest n-gram that has a continuation
        or a cost."""
        kept = len(numbers)
        while kept and not costs[kept - 1] and not self._is_followed(kept - 1, numbers[kept - 1]):
            kept -= 1
        if not kept:
            return NULL
        return NgramContext(words[-kept:], tuple(numbers[:kept]), tuple(costs[:kept]))

    def _is_followed(self, at: int, number: int) -> bool:
        """Return whether longer n-grams begin with the n-gram of order at + 1 of that number."""
        starts = self._orders[at].starts
        return number >= 0 and starts[number] < starts[number + 1]


def _one_by_one(values_MK: np.ndarray) -> memoryview:
    """Return the values, row by row, as a sequence that is quick to ask for a single one."""
    return values_MK.reshape(-1).data
