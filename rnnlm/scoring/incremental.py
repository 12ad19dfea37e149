"""Read word by word through a model of any kind, for decoders and services: their next question
depends on the answers so far.

    scorer = model.scorer()
    logprob_nats, state = scorer.extend(scorer.begin(), "the")

A word counts with all its tokens, as in a line with one space between two words; so the words of
such a line and its `</s>` add up to the line's log-probability.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import cast

from rnnlm.amounts import plural
from rnnlm.errors import ArgumentTypeError, TextError, UsageError, given
from rnnlm.interface import BOUNDARY, LanguageModel
from rnnlm.lm.base.loading import language_model_of, name_if_saved
from rnnlm.lm.base.words import WordFinder, WordTokens
from rnnlm.scoring.next_word import NextWord, WordSearch, check_count
from rnnlm.scoring.prefixes import PrefixScorer, prefix_scorer
from rnnlm.text.lines import split_words


@dataclass(frozen=True, slots=True)
class WordPrefix:
    """The words of a line so far. A value: it can be kept, extended in several ways, and handed to
    other threads.

    Two prefixes are equal, with the same hash, if the model does not distinguish the words read:
    for decoders that merge hypotheses.
    """

    _read: object
    _begins_line: bool = False  # where that makes a difference
    _scorer: PrefixScorer | None = field(default=None, compare=False, repr=False)


class WordScorer:
    """A scorer for lines that grow word by word, returned by :meth:`rnnlm.Model.scorer`. Threads
    may share one.

    A network's predictions after each state are cached, up to 128 MiB, so further words after the
    same state cost nothing.

    Args:
        model: The model that scores.
    """

    def __init__(self, model: LanguageModel) -> None:
        self.model = model = language_model_of(model)
        self._prefixes = prefix_scorer(model)
        self._tokens = WordTokens(model.tokenizer)
        self._search = WordSearch(self._prefixes.model, WordFinder(model.tokenizer))

    def __repr__(self) -> str:
        return f"<scorer of {name_if_saved(self.model) or 'a model'}, word by word>"

    def __reduce__(self) -> tuple[object, ...]:
        return WordScorer, (self.model,)

    def begin(self) -> WordPrefix:
        """Return the state at the start of a line."""
        return self._prefix(self._prefixes.begin(), begins_line=True)

    def extend(self, state: WordPrefix, word: str) -> tuple[float, WordPrefix]:
        """Score a word after a prefix.

        A word may be several tokens, as in a line; if tokens are characters or bytes, they include
        the space before it. If words are made of pieces, log p is the log-probability of the
        pieces, so it includes longer words that begin with them.

        Args:
            state: The prefix.
            word: The next word, or `</s>`, which ends the line.

        Returns:
            log p(word | state) in nats, -inf if the word is impossible, and the prefix after the
            word; after `</s>`, the start of a new line.

        Raises:
            TextError: `word` is empty, contains white space, or is `<s>`.
            ArgumentTypeError: `word` is not a str.
            UsageError: `state` belongs to another scorer.
            ModelError: The model's scores are not numbers.
        """
        [answer] = self._extended([state], [word])
        return answer

    def extend_all(
        self, states: Iterable[WordPrefix], words: Iterable[str]
    ) -> list[tuple[float, WordPrefix]]:
        """Extend each prefix by one word. A network reads all prefixes in one batch, in a fraction
        of the time; log p may differ by rounding from the result of :meth:`extend`.

        Args:
            states: N prefixes.
            words: The next word of each, N words.

        Returns:
            For each prefix, the result of :meth:`extend`.

        Raises:
            UsageError: The numbers of states and words differ, or a state belongs to another
                scorer. Other errors are the errors of :meth:`extend`.
        """
        name, argument = "words", cast(object, words)
        if isinstance(states, WordPrefix):
            name, argument = "states", states
        if isinstance(argument, (WordPrefix, str, bytes)):
            raise ArgumentTypeError(
                f"extend_all: {name} must be a list, not {given(argument)}",
                hint="extend takes one state and one word",
            )
        return self._extended(list(states), list(words))

    def _extended(
        self, states: Sequence[WordPrefix], words: Sequence[str]
    ) -> list[tuple[float, WordPrefix]]:
        if len(states) != len(words):
            raise UsageError(
                f"{plural(len(states), 'state')} and {plural(len(words), 'word')}",
                "each state is extended by one word",
                "give as many of both",
            )

        # All first tokens side by side, then all second ones, and so on.
        tokens = [self._tokens_of(state, word) for state, word in zip(states, words, strict=True)]
        prefixes, totals = [state._read for state in states], [0.0] * len(states)
        for place in range(max(map(len, tokens), default=0)):
            having = [number for number, ids in enumerate(tokens) if place < len(ids)]
            before = [prefixes[number] for number in having]
            tokens_here = [tokens[number][place] for number in having]
            answers = self._prefixes.extend_all(before, tokens_here)
            for number, (logprob_nats, _, prefix) in zip(having, answers, strict=True):
                totals[number] += logprob_nats
                prefixes[number] = prefix

        extended = []
        for number, word in enumerate(words):
            after = states[number]  # a word that the tokenizer removes changes nothing
            if word == BOUNDARY:
                after = self.begin()
            elif tokens[number]:
                after = self._prefix(prefixes[number])
            extended.append((totals[number], after))
        return extended

    def next(self, state: WordPrefix, count: int = 10) -> list[NextWord]:
        """Return the likeliest next words, likeliest first, including `</s>`. Unknown words are
        left out.

        If every token is a word, the probability is exp(log p) of :meth:`extend`. If words are made
        of pieces, it is the probability of the whole word, including its end, given that another
        word ended before it (:mod:`rnnlm.lm.base.words`).

        Args:
            state: The prefix.
            count: Number of words to return.

        Raises:
            UsageError: `state` belongs to another scorer, or `count` is below 0.
            ArgumentTypeError: `count` is not a whole number.
            ModelError: The model's scores are not numbers.
        """
        self._check(state)
        check_count(count)
        logprob_V, after = self._prefixes.distribution(state._read)
        next_words = self._search.after(logprob_V.astype("float64"), after, state._begins_line)
        return list(islice(self._search.known(next_words), count))

    def _tokens_of(self, state: WordPrefix, word: str) -> tuple[int, ...]:
        self._check(state)
        if not isinstance(word, str):
            raise ArgumentTypeError(f"the word must be a str, not {given(word)}")
        # White space inside would make two words, which a line counts apart.
        if split_words(word) != [word] or "\n" in word:
            raise TextError(
                f"{word!r} is not one word",
                "a word has at least one character, and no white space",
                "extend word by word",
            )
        return self._tokens.of(word, state._begins_line)[0]

    def _check(self, state: WordPrefix) -> None:
        if not isinstance(state, WordPrefix):
            raise ArgumentTypeError(
                f"the state must be a WordPrefix, not {given(state)}", hint="begin with begin()"
            )
        # Tokens of another model mean other words.
        if state._scorer is not self._prefixes:
            raise UsageError(
                "this state belongs to another scorer",
                "models cannot share states",
                "begin with begin()",
            )

    def _prefix(self, read: object, begins_line: bool = False) -> WordPrefix:
        return WordPrefix(read, begins_line and not self._search.tokens_are_words, self._prefixes)
