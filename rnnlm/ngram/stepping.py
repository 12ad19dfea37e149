"""One word at a time through an n-gram model, for callers whose next question depends on the last answer: decoders.

The same numbers as `NgramModel.score`, which is made for whole texts; here a question is a few binary searches, without arrays.
Unlike a text, a context need not begin with a line: after the null context a word has its unigram probability.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from rnnlm.ngram.levels import NOWHERE, word_bits
from rnnlm.ngram.model import NgramModel, damaged


class Context(NamedTuple):
    """What of the words so far can change what comes next; equal where the model makes no difference.

    words: their ids, latest last; `<s>` is V. numbers, costs: of the contexts made of the last 1, 2, ... words, the number of that
    n-gram in the model, and what giving it up costs (nats).
    """

    words: tuple[int, ...]
    numbers: tuple[int, ...]
    costs: tuple[float, ...]


NULL = Context((), (), ())


class NgramSteps:
    """Steps through `model`. Words are token ids; logarithms in nats."""

    def __init__(self, model: NgramModel) -> None:
        self.order = model.order
        self._size = model.size
        self._bits = word_bits(model.size)
        self._unseen = model.unseen_context_logprob
        self._keys = [memoryview(keys) for keys in model.keys]
        self._values = [memoryview(values) for values in model.values]

    def begin(self) -> Context:
        """The start of a line."""
        if self.order == 1:
            return NULL
        return Context((self._size,), (self._size,), (self._values[0][self._size, 1],))

    def null(self) -> Context:
        """Nothing is known of what came before, not even that a line began."""
        return NULL

    def step(self, context: Context, word: int) -> tuple[float, int, Context]:
        """log p(word | context), the length of the longest n-gram of the model that ends with `word` there, and the context after it.

        Raises:
            ModelError: the tables of the model are damaged.
        """
        highest = len(self._keys)
        try:
            logprob, length = self._values[0][word, 0], 1
            numbers = [word] if highest else []
            costs = [self._values[0][word, 1]] if highest else []
            for at, (number, cost) in enumerate(zip(context.numbers, context.costs, strict=True)):
                found = self._find(at, number, word)
                if found >= 0:
                    logprob, length = self._values[at + 1][found, 0], at + 2
                else:
                    logprob += cost
                if at + 1 < highest:
                    numbers.append(found)
                    costs.append(self._values[at + 1][found, 1] if found >= 0 else self._unseen)
            return logprob, length, self._after((*context.words, word), numbers, costs)
        except IndexError:
            raise damaged() from None

    def line(self, context: Context, words: Sequence[int]) -> list[tuple[float, int]]:
        """What :meth:`step` answers for one word after the other, without the contexts."""
        answers = []
        for word in words:
            logprob, length, context = self.step(context, word)
            answers.append((logprob, length))
        return answers

    def _find(self, at: int, number: int, word: int) -> int:
        """The number of the n-gram of order at + 2 that is made of the context of that number and the word, or NOWHERE."""
        if number < 0:
            return NOWHERE
        keys, key = self._keys[at], number << self._bits | word
        place = bisect_left(keys, key)
        return place if place < len(keys) and keys[place] == key else NOWHERE

    def _after(self, words: tuple[int, ...], numbers: list[int], costs: list[float]) -> Context:
        """The context, without what lies before the longest n-gram that something follows or that costs something to give up."""
        kept = len(numbers)
        while kept and not costs[kept - 1] and not self._is_followed(kept - 1, numbers[kept - 1]):
            kept -= 1
        if not kept:
            return NULL
        return Context(words[-kept:], tuple(numbers[:kept]), tuple(costs[:kept]))

    def _is_followed(self, at: int, number: int) -> bool:
        """Whether longer n-grams begin with the n-gram of order at + 1 of that number."""
        if number < 0:
            return False
        keys = self._keys[at]
        place = bisect_left(keys, number << self._bits)
        return place < len(keys) and keys[place] >> self._bits == number
