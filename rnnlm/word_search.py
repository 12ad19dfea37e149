"""The likeliest next words at each place of a sentence, whatever a model's tokens are.

Where every token is a word these are the likeliest tokens. Where words are made of pieces, whole words are built piece by piece,
the likeliest beginning first: P(w|c) as :mod:`rnnlm.word_surprisals` has it. A beginning is at least as likely as each word that
goes on from it, so what is found first is the likeliest: exactly so where the model sums to one and no more than MOST_TRIED
beginnings had to be tried; else it is the best that was found. A word is counted as the tokenizer cuts it, not in other pieces.
"""

import heapq
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rnnlm import arrays
from rnnlm.corpus import WORD_SPACE
from rnnlm.distributions import log_sum
from rnnlm.interface import BOUNDARY, LanguageModel, State
from rnnlm.word_surprisals import WordFinder

MOST_TRIED = 1000  # beginnings of words, at one place


@dataclass(frozen=True)
class NextWord:
    """A word that may come next, or `</s>`, and how likely it is there."""

    word: str
    probability: float


def tokens_as_words(top_K2: np.ndarray, symbols: Sequence[str]) -> tuple[NextWord, ...]:
    """The likeliest tokens, given by id and log-probability (nats), as words."""
    return tuple(NextWord(symbols[int(id)], math.exp(logprob_nats)) for id, logprob_nats in top_K2.tolist())


@dataclass(frozen=True)
class _Beginning:
    """The pieces of a word so far, what they cost (nats) after the context, and the state behind all of them.

    logprob_V: of the next piece. order: the pieces that may go on from here, likeliest first.
    """

    ids: tuple[int, ...]
    logprob_nats: float
    state: State
    logprob_V: np.ndarray
    order: np.ndarray


class WordSearch:
    """Finds `count` likely words, piece by piece where the tokens of `model` are pieces of words."""

    def __init__(self, model: LanguageModel, finder: WordFinder, count: int) -> None:
        self.model = model
        self.finder = finder
        self.tokens_are_words = finder.tokens_are_words
        self.symbols = model.tokenizer.symbols()
        self.count = count
        self.starters = np.flatnonzero(finder.starts_word_V)
        self.others = np.flatnonzero(~finder.starts_word_V)

    def at_places(self, ids_T: np.ndarray, places: Sequence[int]) -> Iterator[tuple[NextWord, ...]]:
        """The likeliest words at each of the ascending `places` of a line, before the token there."""
        inputs_T = np.concatenate([[self.model.tokenizer.boundary_id], ids_T]).astype(np.int64)
        state, read = self.model.initial_state(1), 0
        for place in places:
            if place > read:
                _, state = self.model.score(inputs_T[None, read:place], inputs_T[None, read + 1 : place + 1], state)
                read = place
            logprob_V, after = self._predict(int(inputs_T[place]), state)
            yield tuple(itertools.islice(self._words(logprob_V, after, place == 0), self.count))

    def _words(self, logprob_V: np.ndarray, state: State, is_line_start: bool) -> Iterator[NextWord]:
        """Words after a context, likeliest first."""
        first = np.arange(len(logprob_V)) if is_line_start else self.starters
        log_boundary = 0.0 if is_line_start else self._log_boundary(logprob_V)
        root = _Beginning((), -log_boundary, state, logprob_V, _sorted(logprob_V, first))
        number, seen = itertools.count(), set()
        heap = [(-self._cost(root, 0), next(number), root, 0)]
        tried = 0
        while heap and tried < MOST_TRIED:
            cost, _, beginning, rank = heapq.heappop(heap)
            if cost == math.inf:
                return
            if rank < 0:
                word = self._spelled(beginning.ids)
                if word is not None and word not in seen:
                    seen.add(word)
                    yield NextWord(word, math.exp(-cost))
                continue
            if rank + 1 < len(beginning.order):
                heapq.heappush(heap, (-self._cost(beginning, rank + 1), next(number), beginning, rank + 1))
            tried += 1
            for entry in self._longer(beginning, int(beginning.order[rank]), -cost):
                heapq.heappush(heap, (entry[0], next(number), *entry[1:]))

    def _longer(self, beginning: _Beginning, piece: int, logprob_nats: float) -> Iterator[tuple[float, _Beginning, int]]:
        """What a piece makes of a beginning: a whole word (rank -1), and a beginning to go on from."""
        ids = (*beginning.ids, piece)
        if piece == self.model.tokenizer.boundary_id:
            yield -logprob_nats, _Beginning(ids, logprob_nats, beginning.state, beginning.logprob_V, beginning.order[:0]), -1
            return
        logprob_V, state = self._predict(piece, beginning.state)
        is_space = bool(self.finder.is_space_V[list(ids)].all())
        order = _sorted(logprob_V, np.arange(len(logprob_V)) if is_space else self.others)
        longer = _Beginning(ids, logprob_nats, state, logprob_V, order)
        if not is_space:
            yield -(logprob_nats + self._log_boundary(logprob_V)), longer, -1
        if len(order):
            yield -self._cost(longer, 0), longer, 0

    def _cost(self, beginning: _Beginning, rank: int) -> float:
        """Log-probability (nats) of a beginning and the piece of that rank."""
        return beginning.logprob_nats + float(beginning.logprob_V[beginning.order[rank]])

    def _log_boundary(self, logprob_V: np.ndarray) -> float:
        return float(log_sum(logprob_V[None, self.starters])[0])

    def _predict(self, id: int, state: State) -> tuple[np.ndarray, State]:
        predicted, state = self.model.predict(np.array([[id]]), state)
        return arrays.as_numpy(predicted)[0, -1].astype(np.float64), state

    def _spelled(self, ids: tuple[int, ...]) -> str | None:
        """How a word reads; None where the tokenizer would cut it otherwise."""
        tokenizer = self.model.tokenizer
        if ids[-1] == tokenizer.boundary_id:
            return BOUNDARY
        word = tokenizer.decode(ids).strip(WORD_SPACE)
        return word if self._bare(tokenizer.encode([word]).ids[:-1].tolist()) == self._bare(ids) else None

    def _bare(self, ids: Sequence[int]) -> list[int]:
        """Without the white space before a word."""
        return list(itertools.dropwhile(lambda id: self.finder.is_space_V[id], ids))


def _sorted(logprob_V: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    return candidates[np.argsort(-logprob_V[candidates], kind="stable")]
