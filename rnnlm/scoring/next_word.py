"""Find the likeliest next words at each place of a sentence, for any kind of tokens.

Where every token is a word these are the likeliest tokens. Where words are made of pieces, whole
words are built piece by piece, the likeliest beginning first; P(w|c) is defined in
:mod:`rnnlm.lm.base.words`. A beginning is at least as likely as each word that continues it, so the
first word found is the likeliest: exactly so where the model sums to one and no more than
MOST_TRIED beginnings had to be tried; otherwise it is the best that was found. A word counts as the
tokenizer cuts it, not in other pieces.
"""

import heapq
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from numbers import Integral

import numpy as np

from rnnlm.errors import ArgumentTypeError, UsageError, given
from rnnlm.interface import BOUNDARY, LanguageModel, State
from rnnlm.lm.base.span_scoring import predict, read_on, stepping
from rnnlm.lm.base.words import WordFinder
from rnnlm.parallel import interruptible_pieces
from rnnlm.text.lines import WORD_SPACE

MOST_TRIED = 1000  # beginnings of words, at one place
TRIED_AT_ONCE = 16  # a network reads 16 rows in little more than the time of one
_SPACE = WORD_SPACE.encode()
_BEFORE = "a"  # any word: the next one is cut the same way after all of them


@dataclass(frozen=True)
class NextWord:
    """A word that may come next.

    Attributes:
        word: The word, or `</s>`.
        probability: Its probability there, 0 to 1.
    """

    word: str
    probability: float


def check_count(count: int) -> None:
    """Check how many words are asked for."""
    if not isinstance(count, Integral):
        raise ArgumentTypeError(f"count must be an int, not {given(count)}")
    if count < 0:
        raise UsageError(f"count = {count} is not valid", hint="it must be 1 or more")


def tokens_as_words(top_K2: np.ndarray, symbols: Sequence[str]) -> tuple[NextWord, ...]:
    """Return the likeliest tokens, given by id and log-probability (nats), as words, without
    impossible ones."""
    return tuple(
        NextWord(symbols[int(id)], math.exp(logprob_nats))
        for id, logprob_nats in top_K2.tolist()
        if logprob_nats > -math.inf
    )


@dataclass(frozen=True)
class _Beginning:
    """The pieces of a word so far, their cost (nats) after the context, and the state after all of
    them: a row of `state_B`."""

    ids: tuple[int, ...]
    cost_nats: float
    state_B: State
    row: int
    logprob_V: np.ndarray  # of the next piece
    order: np.ndarray  # the pieces that may continue the word, likeliest first


@dataclass(frozen=True, order=True)
class _Candidate:
    """The pieces of a whole word (`beginning` is None), or of a beginning and one more: the piece
    at `rank` of its `order`."""

    cost_nats: float
    number: int  # of equally likely ones the earlier comes first
    ids: tuple[int, ...] = field(compare=False)
    beginning: _Beginning | None = field(compare=False, default=None)
    rank: int = field(compare=False, default=0)


class WordSearch:
    """Find likely words, piece by piece where the tokens of `model` are pieces of words."""

    def __init__(self, model: LanguageModel, finder: WordFinder) -> None:
        self.model = model = stepping(model)
        self.finder = finder
        self.tokens_are_words = finder.tokens_are_words
        self.symbols = model.tokenizer.symbols()
        self.token_bytes = [] if self.tokens_are_words else model.tokenizer.token_bytes()
        self.others = np.flatnonzero(~finder.starts_word_V)
        self.tokens_before = len(model.tokenizer.encode([_BEFORE]).ids) - 1
        self.at_once = min(TRIED_AT_ONCE, model.max_rows or TRIED_AT_ONCE)

    def at_places(
        self, ids_T: np.ndarray, places: Sequence[int], begun: str = "", state: State | None = None
    ) -> Iterator[Iterator[NextWord]]:
        """Yield the words at each of the ascending `places` of a line, before the token there,
        likeliest first. Each begins with `begun`, as the tokenizer writes it; the line begins in
        `state`, by default the model's initial one."""
        inputs_T = np.concatenate([[self.model.tokenizer.boundary_id], ids_T]).astype(np.int64)
        if state is None:
            state = self.model.initial_state(1)
        read = 0
        for place in interruptible_pieces(places):
            state = read_on(self.model, inputs_T[None, read : place + 1], state)
            read = place
            [logprob_V], after = self._predict([int(inputs_T[place])], state)
            yield self.after(logprob_V, after, place == 0, begun)

    def after(
        self, logprob_V: np.ndarray, state: State, is_line_start: bool, begun: str = ""
    ) -> Iterator[NextWord]:
        """Yield the words that may come next, likeliest first, where `logprob_V` (nats) is the
        distribution of the next token and `state` the model's state there."""
        if self.tokens_are_words:
            return self._tokens(logprob_V, begun)
        return self._words(logprob_V, state, is_line_start, begun.encode())

    def known(self, words: Iterable[NextWord]) -> Iterator[NextWord]:
        """Leave out words that hold the symbol of unknown ones."""
        unk_id = self.model.tokenizer.unk_id
        unknown = None if unk_id is None else self.symbols[unk_id]
        return (word for word in words if unknown is None or unknown not in word.word)

    def _tokens(self, logprob_V: np.ndarray, begun: str) -> Iterator[NextWord]:
        for id in _ranking(logprob_V, self.finder.starters).tolist():
            if self.symbols[id].startswith(begun):
                yield from tokens_as_words(np.array([[id, logprob_V[id]]]), self.symbols)

    def _words(
        self, logprob_V: np.ndarray, state: State, is_line_start: bool, begun: bytes
    ) -> Iterator[NextWord]:
        """Yield words after a context, likeliest first."""
        # At the start of a line every piece begins a word; elsewhere one that does not would
        # continue the word before.
        if is_line_start:
            first, log_boundary = np.arange(len(logprob_V)), 0.0
        else:
            first = self.finder.starters
            log_boundary = float(self.finder.log_boundary(logprob_V[None])[0])
        root = _Beginning((), log_boundary, state, 0, logprob_V, _ranking(logprob_V, first))

        number = itertools.count()
        heap: list[_Candidate] = []
        self._push_extension(heap, root, 0, number)
        seen: set[str] = set()
        tried = 0
        for _ in interruptible_pieces(itertools.count()):
            # A whole word on top of the heap is likelier than all that is still to come.
            while heap and heap[0].beginning is None and heap[0].cost_nats < math.inf:
                whole = heapq.heappop(heap)
                word = self._spelling(whole.ids, is_line_start, begun)
                if word is not None and word not in seen:
                    seen.add(word)
                    yield NextWord(word, math.exp(-whole.cost_nats))
            if not heap or heap[0].cost_nats == math.inf:
                return

            # Extend the likeliest beginnings, many at once. When too many have been tried, the
            # whole words found so far are the answer.
            chosen = self._pop_beginnings(heap, number, begun)
            tried += len(chosen)
            self._extend(heap, chosen, number)
            if tried >= MOST_TRIED:
                heap = sorted(candidate for candidate in heap if candidate.beginning is None)

    def _push_extension(
        self, heap: list[_Candidate], beginning: _Beginning, rank: int, number: Iterator[int]
    ) -> None:
        """Push the beginning with one more piece onto the heap: the one at `rank` of its order, if
        the order goes so far."""
        if rank < len(beginning.order):
            piece = int(beginning.order[rank])
            ids = (*beginning.ids, piece)
            cost_nats = beginning.cost_nats - float(beginning.logprob_V[piece])
            heapq.heappush(heap, _Candidate(cost_nats, next(number), ids, beginning, rank))

    def _pop_beginnings(
        self, heap: list[_Candidate], number: Iterator[int], begun: bytes
    ) -> list[_Candidate]:
        """Take the beginnings to try next from the heap: those likelier than any whole word
        there."""
        chosen: list[_Candidate] = []
        while heap and len(chosen) < self.at_once:
            beginning = heap[0].beginning
            if beginning is None or heap[0].cost_nats == math.inf:
                break
            candidate = heapq.heappop(heap)
            self._push_extension(heap, beginning, candidate.rank + 1, number)
            text = self._text(candidate.ids)
            if text.startswith(begun) or begun.startswith(text):
                chosen.append(candidate)
        return chosen

    def _extend(
        self, heap: list[_Candidate], chosen: list[_Candidate], number: Iterator[int]
    ) -> None:
        """Read the chosen beginnings side by side. Push the whole words that they make onto the
        heap, and the likeliest extension of each."""
        # `</s>` is a whole word; nothing follows it.
        boundary_id = self.model.tokenizer.boundary_id
        unfinished = []
        for candidate in chosen:
            if candidate.ids[-1] == boundary_id:
                whole = _Candidate(candidate.cost_nats, next(number), candidate.ids)
                heapq.heappush(heap, whole)
            else:
                unfinished.append(candidate)
        if not unfinished:
            return

        parents = [candidate.beginning for candidate in unfinished]  # no whole word is chosen
        states = [parent.state_B.select([parent.row]) for parent in parents if parent]
        last_ids = [candidate.ids[-1] for candidate in unfinished]
        logprob_BV, state_B = self._predict(last_ids, self.model.concat_states(states))
        log_boundary_B = self.finder.log_boundary(logprob_BV)
        for row, candidate in enumerate(unfinished):
            # White space alone is no word yet, and any piece may follow it.
            ids = candidate.ids
            followers = self.others
            if self.finder.is_space_V[list(ids)].all():
                followers = np.arange(logprob_BV.shape[1])
            else:
                cost_nats = candidate.cost_nats - float(log_boundary_B[row])
                heapq.heappush(heap, _Candidate(cost_nats, next(number), ids))
            logprob_V = logprob_BV[row]
            order = _ranking(logprob_V, followers)
            beginning = _Beginning(ids, candidate.cost_nats, state_B, row, logprob_V, order)
            self._push_extension(heap, beginning, 0, number)

    def _predict(self, ids_B: Sequence[int], state: State) -> tuple[np.ndarray, State]:
        logprob_BV, state = predict(self.model, np.array(ids_B), state)
        return logprob_BV.astype(np.float64), state

    def _text(self, ids: Sequence[int]) -> bytes:
        return b"".join(self.token_bytes[id] for id in ids).lstrip(_SPACE)

    def _spelling(self, ids: tuple[int, ...], is_line_start: bool, begun: bytes) -> str | None:
        """Return the word that the pieces spell.

        None: it does not begin with `begun`, or the tokenizer cuts it into other pieces, as where
        `ids` hold more white space than the one space before a word.
        """
        tokenizer = self.model.tokenizer
        if ids[-1] == tokenizer.boundary_id:
            return BOUNDARY
        word = tokenizer.decode(ids).strip(WORD_SPACE)
        line, first = f"{_BEFORE} {word}", self.tokens_before
        if is_line_start:
            line, first = word, 0
        encoded = tokenizer.encode([line]).ids[first:-1]
        is_same = tuple(encoded.tolist()) == ids and self._text(ids).startswith(begun)
        return word if is_same else None


def _ranking(logprob_V: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    return candidates[np.argsort(-logprob_V[candidates], kind="stable")]
