"""The n-gram model as a `LanguageModel`: sorted keys and a table of log-probabilities and backoff
weights by order.

    log p(w|h) = logprob(hw) where hw is in the model, else logbackoff(h) + log p(w|h')

The state is the last N-1 ids since the line began, shortened to the longest context in the model
(that changes nothing). Whole windows are scored at once: the number of the n-gram that ends at a
position comes from the number of the (n-1)-gram before it and the word.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from rnnlm import arrays as array_types
from rnnlm.arrays import drop_pages
from rnnlm.checks import check_shapes, check_state, token_ids
from rnnlm.errors import ModelError, no_token_error
from rnnlm.interface import PADDING, Array, LanguageModel, Shapes, State, Tokenizer, keeps
from rnnlm.lm.base.stored_model import PickledByOrigin
from rnnlm.lm.ngram import tables
from rnnlm.lm.ngram.compact import CODES, SUM_ERROR, CodedValues, Keys, Values, arrays_of, tables_of
from rnnlm.lm.ngram.incremental import IncrementalScorer
from rnnlm.lm.ngram.tables import (
    NOWHERE,
    BackoffLevel,
    find_many,
    longest_matches,
    make_keys,
    naming_damage,
    split_keys,
    word_bits,
)
from rnnlm.parallel import in_threads
from rnnlm.system import free_processors
from rnnlm.text.encoding import known_ids

SMALLEST_PIECE = 1 << 15  # tokens worth a separate thread
TRIES, DRAWN_TOGETHER = 16, 64  # to draw a unigram that is not taken
OUTSIDE = -2  # number of a context that reaches back beyond the start of the line


@keeps(State)
@dataclass(frozen=True)
class NgramState:
    """The last inputs of each of B rows.

    Attributes:
        inputs_BN: The last inputs, (B, order - 1), latest last; -1 if there are fewer, or more
            would change nothing.
    """

    inputs_BN: np.ndarray

    def select(self, rows: Sequence[int] | np.ndarray) -> "NgramState":
        return NgramState(self.inputs_BN[np.asarray(rows, dtype=np.int64)])

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {"inputs": self.inputs_BN}


@dataclass(frozen=True)
class Lookup:
    """The steps by which a token's probability was found.

    Attributes:
        order: Order of the n-gram that ends in the token.
        logprob_nats: Log-probability of the token, in nats.
        given_up: Contexts that were dropped for shorter ones, the longest first: their ids (`</s>`:
            the beginning of the line) and their backoff weights in nats.
    """

    order: int
    logprob_nats: float
    given_up: tuple[tuple[tuple[int, ...], float], ...]


@keeps(LanguageModel)
class NgramModel(PickledByOrigin):
    """A backoff n-gram model of order N, as sorted tables.

    Args:
        keys: `keys[n]`: sorted keys of the M n-grams of order n + 2, (M,) uint64.
        values: `values[n]`: log p(w|h) and log backoff of the M n-grams of order n + 1 in nats, (M,
            2) float32; the highest order has only the first column. In a quantised model, keys and
            values above the unigrams are compact (:mod:`rnnlm.lm.ngram.compact`).
        tokenizer: Tokenizer whose ids the model reads and predicts.
        normalised: Whether probabilities sum to one, of a quantised model within `SUM_ERROR`. False
            for estimators that do not sum to one, and for models of other programs.
        unseen_context_logprob: Log of the factor, in nats, for giving up a context that is not in
            the model: 0, except for stupid backoff.
        fingerprint: Hash of weights and tokenizer; None for a model that was never saved.
    """

    max_rows = None
    precision = "fp32"
    call_tokens = 1 << 21
    boundary_resets_state = True
    adaptation = "none"
    description = "an n-gram model"
    model_kind = "ngram"

    def __init__(
        self,
        keys: Sequence[Keys],
        values: Sequence[Values],
        tokenizer: Tokenizer,
        normalised: bool,
        unseen_context_logprob: float = 0.0,
        fingerprint: str | None = None,
    ) -> None:
        self.keys, self.values = tuple(keys), tuple(values)
        self.sum_error = SUM_ERROR if isinstance(self.values[-1], CodedValues) else 0.0
        self.tokenizer = tokenizer
        self.normalised = normalised
        self.unseen_context_logprob = unseen_context_logprob
        self.fingerprint = fingerprint
        self._index = np.int32 if max(map(len, self.values)) < 2**31 - 1 else np.int64

    @classmethod
    def from_levels(
        cls,
        levels: Sequence[BackoffLevel],
        tokenizer: Tokenizer,
        normalised: bool,
        unseen_context_logprob: float = 0.0,
    ) -> "NgramModel":
        """Make a model of its orders. Empty ones at the top are dropped, unless giving up the
        contexts below them has a cost.

        Args:
            levels: The orders, from the unigrams up.
            tokenizer: Tokenizer whose ids the model reads and predicts.
            normalised: Whether probabilities sum to one.
            unseen_context_logprob: Log of the factor, in nats, for giving up a context that is not
                in the model.
        """
        levels = list(levels)
        while len(levels) > 1 and not len(levels[-1]):
            if unseen_context_logprob or levels[-2].logbackoff_M.any():
                break
            levels.pop()
        keys = [level.keys_M for level in levels[1:]]
        values = [level.values_MK for level in levels]
        values[-1] = values[-1][:, :1]  # nothing backs off from the highest order
        return cls(keys, values, tokenizer, normalised, unseen_context_logprob)

    @property
    def order(self) -> int:
        """N, the number of words of the longest n-grams."""
        return len(self.values)

    @property
    def size(self) -> int:
        """V, the number of words that the model predicts, the boundary included."""
        return self.tokenizer.size

    def levels(self) -> Iterator[BackoffLevel]:
        """Yield the orders as tables, from the unigrams up."""
        unigram_keys = np.arange(self.size + 1, dtype=np.uint64)
        for keys, values in zip((unigram_keys, *self.keys), self.values, strict=True):
            yield BackoffLevel(self.size, keys[:], values[:])

    def words(self, n: int, numbers: np.ndarray) -> list[np.ndarray]:
        """Return the words of n-grams.

        Args:
            n: Order of the n-grams.
            numbers: Numbers of the n-grams, (S,).

        Returns:
            One array of token ids, (S,), for each of the n positions.
        """
        words = []
        for keys in reversed(self.keys[: n - 1]):
            numbers, last = split_keys(keys[numbers], self.size)
            words.append(last)
        return [numbers, *reversed(words)]

    def initial_state(self, rows: int) -> NgramState:
        return NgramState(np.full((rows, self.order - 1), PADDING, dtype=self._index))

    def score(
        self, inputs_BT: Array, targets_BT: Array, state: NgramState
    ) -> tuple[np.ndarray, NgramState]:
        """Score as :meth:`rnnlm.LanguageModel.score` does, in NumPy, float64.

        Args:
            inputs_BT: Token ids that the model reads, (B, T).
            targets_BT: Token ids to score, (B, T); -1 is padding and scores 0.
            state: State before the first input.

        Returns:
            Log-probabilities of the targets in nats, (B, T) float64, and the state after the last
            input.
        """
        inputs_BL = self._with_state(token_ids(inputs_BT), token_ids(targets_BT), state)
        targets_BT = known_ids(array_types.as_numpy(token_ids(targets_BT)), self.tokenizer)
        if not targets_BT.size:
            return np.zeros(targets_BT.shape), state

        # Cut the text into pieces for the processors; each reads the N - 1 inputs before it again.
        rows, tokens = targets_BT.shape
        length = max(-(-tokens // free_processors()), SMALLEST_PIECE // max(1, rows), 1)

        def score(piece: slice) -> tuple[np.ndarray, list[np.ndarray]]:
            inputs = inputs_BL[:, piece.start : piece.stop + self.order - 1]
            return self._score(inputs, targets_BT[:, piece])

        with naming_damage():
            scored = list(in_threads(score, array_types.blocks(tokens, length)))
            logprob_BT = np.concatenate([logprob_BT for logprob_BT, _ in scored], axis=1)
            return logprob_BT, self._state(inputs_BL, scored[-1][1])

    def _score(
        self, inputs_BL: np.ndarray, targets_BT: np.ndarray
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return log-probabilities of the targets, and the numbers of the contexts at the last
        input, by length."""
        is_padding_BT = targets_BT == PADDING
        words_BT = np.where(is_padding_BT, self.tokenizer.boundary_id, targets_BT)
        fresh = self.order - 1  # the inputs before it are in the state

        # Mostly the target is the next input, whose n-grams the walk finds. Others are looked up.
        next_BL = np.concatenate([inputs_BL[:, 1:], words_BT[:, -1:]], axis=1)
        odd = np.nonzero((words_BT != next_BL[:, fresh:]) & ~is_padding_BT)
        contexts, numbers = [], []
        for n, (contexts_BL, numbers_BL) in enumerate(self._walk(inputs_BL, next_BL), start=2):
            contexts_BT = contexts_BL[:, fresh:]
            numbers_BT = numbers_BL[:, fresh:]
            if len(odd[0]):
                numbers_BT = numbers_BT.copy()
                numbers_BT[odd] = self._find(n, contexts_BT[odd], words_BT[odd])
            contexts.append(contexts_BT)
            numbers.append(numbers_BT)

        logprob_BT = self._logprob(words_BT, contexts, numbers)
        logprob_BT[is_padding_BT] = 0.0
        return logprob_BT, [contexts_BT[:, -1] for contexts_BT in contexts]

    def _logprob(
        self, words_BT: np.ndarray, contexts: list[np.ndarray], numbers: list[np.ndarray]
    ) -> np.ndarray:
        """Return the log-probabilities of words, float64. contexts, numbers: for n = 2 to N, the
        numbers of contexts and n-grams that end in the words."""
        logprob_T = np.zeros(words_BT.size)
        # From the longest n-grams down, so that only the values that count are read: the longest
        # n-gram that is found, and the contexts dropped for it.
        left_R = np.arange(words_BT.size)
        for n in range(self.order, 1, -1):
            numbers_R = numbers[n - 2].ravel()[left_R]
            is_found_R = numbers_R >= 0
            [found_at] = is_found_R.nonzero()
            if len(found_at):
                logprob_T[left_R[found_at]] += self.values[n - 1][numbers_R[found_at], 0]
                left_R = left_R[~is_found_R]
            logprob_T[left_R] += self._cost(n - 1, contexts[n - 2].ravel()[left_R])
        logprob_T[left_R] += self.values[0][words_BT.ravel()[left_R], 0]
        return logprob_T.reshape(words_BT.shape)

    def _cost(self, length: int, contexts: np.ndarray) -> np.ndarray:
        """Return the cost of giving up contexts of that length (nats, float32)."""
        values = self.values[length - 1]
        cost = np.zeros(contexts.shape, dtype=np.float32)
        if len(values):
            cost = values[np.maximum(contexts, 0), -1]
            cost[contexts < 0] = 0
        if self.unseen_context_logprob:
            cost[contexts == NOWHERE] = self.unseen_context_logprob
        return cost

    def check_tables(self) -> tuple[str, str]:
        """Return the faults of its tables, or "", and a description of their content."""
        return tables.examine(self)

    def contexts(
        self, most: int, generator: "np.random.Generator"
    ) -> tuple[list[np.ndarray], bool]:
        """Draw contexts after which its predictions differ.

        Args:
            most: Largest number of contexts to return.
            generator: Random generator.

        Returns:
            Token ids of contexts by length, each (S, T), and whether these are all of its contexts.
        """
        return tables.contexts(self, most, generator)

    def longest_matches(self, ids_N: np.ndarray) -> tuple[np.ndarray, int]:
        """Find the longest of its n-grams that ends at each token of a text.

        Args:
            ids_N: Token ids, (N,).

        Returns:
            Number of words of these n-grams, (N,), and the length of the model's longest n-grams.
        """
        with naming_damage():
            matched_N = longest_matches(ids_N, self.keys, self.size, self.tokenizer.boundary_id)
        return matched_N, self.order

    def lookups(self, ids_T: np.ndarray) -> list[Lookup]:
        """Return how the probability of each token of a line was found.

        Args:
            ids_T: Token ids of the line, (T,).
        """
        # Walk the line once: of each length, the contexts and the n-grams at each token.
        boundary_1 = np.array([self.tokenizer.boundary_id])
        inputs_1T = np.concatenate([boundary_1, ids_T[:-1]])[None]
        inputs_1L = self._with_state(inputs_1T, None, self.initial_state(1))
        targets_1T = known_ids(ids_T, self.tokenizer)[None]
        next_1L = np.concatenate([inputs_1L[:, 1:], targets_1T[:, -1:]], axis=1)
        fresh = self.order - 1
        contexts, numbers = [], []
        with naming_damage():
            for contexts_1L, numbers_1L in self._walk(inputs_1L, next_1L):
                contexts.append(contexts_1L[:, fresh:])
                numbers.append(numbers_1L[:, fresh:])
            logprob_T = self._logprob(targets_1T, contexts, numbers)[0].tolist()

        # From the longest n-gram down to the one that exists, note the contexts that were dropped.
        lookups = []
        for at, logprob_nats in enumerate(logprob_T):
            order, given_up = self.order, []
            while order > 1 and numbers[order - 2][0, at] < 0:
                length = order - 1
                context = contexts[length - 1][:, at]
                cost = float(self._cost(length, context)[0])
                if context[0] >= 0 or cost:
                    ids = inputs_1L[0, fresh + at + 1 - length : fresh + at + 1].tolist()
                    given_up.append((tuple(ids), cost))
                order = length
            lookups.append(Lookup(order, logprob_nats, tuple(given_up)))
        return lookups

    def incremental(self) -> IncrementalScorer:
        """Return a scorer of one word at a time, for callers whose next question depends on the
        last answer."""
        return IncrementalScorer(self)

    def predict(self, inputs_BT: Array, state: NgramState) -> tuple[np.ndarray, NgramState]:
        """Predict as :meth:`rnnlm.LanguageModel.predict` does, in NumPy, float32.

        Args:
            inputs_BT: Token ids that the model reads, (B, T).
            state: State before the first input.

        Returns:
            Log-probabilities in nats, (B, T, V) float32, and the state after the last input.
        """
        inputs_BT = token_ids(inputs_BT)
        if not np.size(inputs_BT):
            return np.zeros((*np.shape(inputs_BT), self.size), dtype=np.float32), state
        inputs_BL = self._with_state(inputs_BT, None, state)
        next_BL = np.concatenate([inputs_BL[:, 1:], inputs_BL[:, :1]], axis=1)  # nothing is last
        contexts, last = [], []
        with naming_damage():
            for contexts_BL, _ in self._walk(inputs_BL, next_BL):
                contexts_BT = contexts_BL[:, self.order - 1 :]
                contexts.append(contexts_BT.ravel())
                last.append(contexts_BT[:, -1])
            logprob_RV = self._predict(contexts, np.size(inputs_BT))
            state = self._state(inputs_BL, last)
        return logprob_RV.reshape(*np.shape(inputs_BT), self.size), state

    def draw_next(
        self,
        input_B: np.ndarray,
        state: NgramState,
        streams: Sequence[np.random.Generator],
        forbidden: Sequence[int],
    ) -> tuple[np.ndarray, np.ndarray, NgramState]:
        """Draw the next word of each row in proportion to its probability. This takes time for the
        words that are stored after the row's contexts, where :meth:`predict` takes it for all.

        Args:
            input_B: The last word of each row, (B,).
            state: State before it.
            streams: Random numbers of each row.
            forbidden: Words that must not be drawn.

        Returns:
            Words and their log-probabilities in nats, (B,) each, and the state after the inputs.
        """
        inputs_BL = self._with_state(input_B[:, None], None, state)
        next_BL = np.concatenate([inputs_BL[:, 1:], inputs_BL[:, :1]], axis=1)  # nothing is last
        with naming_damage():
            contexts = [contexts_BL[:, -1] for contexts_BL, _ in self._walk(inputs_BL, next_BL)]
            is_taken_V = np.zeros(self.size, dtype=bool)
            drawn = [
                self._draw(
                    [contexts_B[row : row + 1] for contexts_B in contexts],
                    stream,
                    forbidden,
                    is_taken_V,
                )
                for row, stream in enumerate(streams)
            ]
            state = self._state(inputs_BL, contexts)
        word_B, logprob_B = map(np.array, zip(*drawn, strict=True))
        return word_B, logprob_B, state

    def _draw(
        self,
        contexts: list[np.ndarray],
        stream: np.random.Generator,
        forbidden: Sequence[int],
        is_taken_V: np.ndarray,
    ) -> tuple[int, float]:
        """Draw a word after contexts given by number, by length, (1,) each. is_taken_V: all False,
        as it is again afterwards."""
        # Words stored after the longest context, then words that only shorter ones have.
        taken = [np.asarray(forbidden, dtype=np.int64)]
        is_taken_V[taken[0]] = True
        logprobs = [np.full(len(forbidden), -np.inf)]
        cost = 0.0
        for n in range(self.order, 1, -1):
            _, numbers_M = self._followers(n, contexts[n - 2])
            _, words_M = split_keys(self.keys[n - 2][numbers_M], self.size)
            is_fresh_M = ~is_taken_V[words_M]
            taken.append(words_M[is_fresh_M])
            is_taken_V[taken[-1]] = True
            logprobs.append(self.values[n - 1][numbers_M[is_fresh_M], 0] + cost)
            cost += float(self._cost(n - 1, contexts[n - 2])[0])

        # All other words share what the unigrams leave.
        words, logprob_W = np.concatenate(taken), np.concatenate(logprobs)
        ends_W, ends_V = np.cumsum(np.exp(logprob_W)), self._unigram_ends_V
        of_words = float(np.exp(self.values[0][words, 0], dtype=np.float64).sum())
        rest = math.exp(cost) * max(0.0, float(ends_V[-1]) - of_words)
        seen = float(ends_W[-1]) if len(words) else 0.0
        if not seen + rest:
            raise no_token_error()
        place = stream.random() * (seen + rest)
        if place < seen:
            number = int(ends_W.searchsorted(place, side="right"))
            word, logprob = int(words[number]), float(logprob_W[number])
        else:
            word = self._draw_unigram(stream, is_taken_V)
            logprob = cost + float(self.values[0][word, 0])
        is_taken_V[words] = False
        return word, logprob

    def _draw_unigram(self, stream: np.random.Generator, is_taken_V: np.ndarray) -> int:
        """Draw a word that is not taken in proportion to its unigram probability."""
        ends_V = self._unigram_ends_V
        for _ in range(TRIES):
            words = ends_V.searchsorted(stream.random(DRAWN_TOGETHER) * ends_V[-1], side="right")
            words = words[~is_taken_V[words]]
            if len(words):
                return int(words[0])
        # Where the words that are taken have nearly all probability, look at the others alone.
        ends_V = np.where(is_taken_V, 0.0, np.diff(ends_V, prepend=0.0)).cumsum()
        return int(ends_V.searchsorted(stream.random() * ends_V[-1], side="right"))

    @cached_property
    def _unigram_ends_V(self) -> np.ndarray:
        """The sums of the unigrams' probabilities up to each word."""
        return np.cumsum(np.exp(self.values[0][: self.size, 0], dtype=np.float64))

    def _predict(self, contexts: list[np.ndarray], rows: int) -> np.ndarray:
        """Return log-probabilities of all words, (R, V), after contexts given by number, by
        length."""
        # longer_NR[n - 1]: the cost of giving up the contexts of n words and more.
        longer_NR = [np.zeros(rows)]
        for length in range(len(contexts), 0, -1):
            longer_NR.insert(0, longer_NR[0] + self._cost(length, contexts[length - 1]))
        logprob_RV = (self.values[0][: self.size, 0] + longer_NR[0][:, None]).astype(np.float32)

        # From the bigrams up, n-grams overwrite the probabilities that backing off would give their
        # words.
        for n, contexts_R in enumerate(contexts, start=2):
            rows_M, numbers_M = self._followers(n, contexts_R)
            _, words_M = split_keys(self.keys[n - 2][numbers_M], self.size)
            logprob_M = self.values[n - 1][numbers_M, 0]
            logprob_RV[rows_M, words_M] = logprob_M + longer_NR[n - 1][rows_M]
        return logprob_RV

    def concat_states(self, states: Sequence[NgramState]) -> NgramState:
        return NgramState(np.concatenate([state.inputs_BN for state in states]))

    def state_from_arrays(self, arrays: dict[str, np.ndarray]) -> NgramState:
        return NgramState(arrays["inputs"])

    def to_arrays(self) -> dict[str, np.ndarray]:
        facts = np.array([self.normalised, self.unseen_context_logprob], dtype=np.float64)
        stored = {"facts": facts, "values_1": self.values[0][:]}
        for n, (keys, values) in enumerate(zip(self.keys, self.values[1:], strict=True), start=2):
            stored |= arrays_of(n, keys, values)
        return stored

    def drop_pages(self) -> None:
        """Drop the tables from memory if they are mapped from files: they are read again when they
        are needed."""
        for array in self.to_arrays().values():
            drop_pages(array)

    def _with_state(
        self, inputs_BT: Array, targets_BT: Array | None, state: NgramState
    ) -> np.ndarray:
        """Return the inputs after those that the state remembers, (B, L)."""
        check_state(state, NgramState)
        check_shapes(inputs_BT, targets_BT, len(state.inputs_BN))
        known_BT = known_ids(array_types.as_numpy(inputs_BT), self.tokenizer)
        known_BT = known_BT.astype(state.inputs_BN.dtype)
        return np.concatenate([state.inputs_BN, known_BT], axis=1)

    def _walk(
        self, inputs_BL: np.ndarray, next_BL: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield for n = 2 to N, at each input: the number of the context of length n - 1 that ends
        there, and the number of the n-gram made of it and the word after the input."""
        if self.order == 1:
            return
        starts_BL = inputs_BL == self.tokenizer.boundary_id
        words_BL = np.maximum(next_BL, 0)
        contexts_BL = np.where(inputs_BL == PADDING, OUTSIDE, inputs_BL)
        contexts_BL[starts_BL] = self.size
        for n in range(2, self.order + 1):
            numbers_BL = self._find(n, contexts_BL, words_BL)
            yield contexts_BL, numbers_BL
            if n < self.order:
                # The contexts at each input are the n-grams that ended there, found one input
                # before. At the first input of a line there is no longer context than <s>.
                contexts_BL = np.empty_like(numbers_BL)
                contexts_BL[:, 1:] = numbers_BL[:, :-1]
                contexts_BL[:, :1] = OUTSIDE
                contexts_BL[starts_BL] = OUTSIDE

    def _find(self, n: int, contexts: np.ndarray, words: np.ndarray) -> np.ndarray:
        """Return the numbers of the n-grams made of contexts and words; a context that is nowhere
        or outside stays so."""
        numbers = np.minimum(contexts, NOWHERE)
        # In a text that the model has not seen, few long contexts are known.
        [known_K] = (contexts.ravel() >= 0).nonzero()
        if len(known_K):
            keys_K = make_keys(contexts.ravel()[known_K], words.ravel()[known_K], self.size)
            numbers.reshape(-1)[known_K] = find_many(self.keys[n - 2], keys_K)
        return numbers

    def _followers(self, n: int, contexts_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the n-grams after each context: rows and numbers, side by side."""
        known = np.flatnonzero(contexts_R >= 0)
        first, after = self._range(n, contexts_R[known])
        counts = np.maximum(after - first, 0)  # below 0 where the keys are damaged
        offsets = np.repeat(first - np.cumsum(counts) + counts, counts)
        return np.repeat(known, counts), offsets + np.arange(len(offsets))

    def _range(self, n: int, contexts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of the first n-gram that follows each context, and of the one past the
        last."""
        bits, starts = np.uint64(word_bits(self.size)), contexts.astype(np.uint64)
        keys = self.keys[n - 2]
        first = keys.searchsorted(starts << bits)
        return first, keys.searchsorted((starts + np.uint64(1)) << bits)

    def _state(self, inputs_BL: np.ndarray, last: list[np.ndarray]) -> NgramState:
        """Return the state after the inputs. `last`: numbers of the contexts that end there, by
        length.

        Words before the longest context that changes anything are dropped: a context that has a
        continuation, or that costs something to give up.
        """
        kept_B = np.zeros(len(inputs_BL), dtype=np.int64)
        for length, contexts_B in enumerate(last, start=1):
            # Contexts that are not in the model change nothing, unless they cost something.
            if not self.unseen_context_logprob and contexts_B.max() < 0:
                continue
            cost_B = self._cost(length, contexts_B)
            first_B, after_B = self._range(length + 1, np.maximum(contexts_B, 0))
            is_followed_B = (contexts_B >= 0) & (after_B > first_B)
            kept_B[(cost_B != 0) | is_followed_B] = length
        inputs_BN = inputs_BL[:, inputs_BL.shape[1] - (self.order - 1) :].copy()
        inputs_BN[np.arange(self.order - 1, 0, -1) > kept_B[:, None]] = PADDING
        return NgramState(inputs_BN)


# ---- The arrays of a stored model. Each order above the first has keys_n and values_n.


def array_shapes(
    settings: dict[str, Any], tokenizer: Tokenizer, stored: Shapes | None = None
) -> Shapes | None:
    """Return (safetensors type, shape) of the model's arrays by name; how many n-grams there are
    is taken from the `stored` ones."""
    if stored is None:
        return None
    order = sum(name.startswith("values_") for name in stored)
    if not order:
        raise ModelError("the weights do not fit the settings", "there are no unigrams")

    width = 2 if order > 1 else 1
    shapes: Shapes = {"facts": ("F64", (2,)), "values_1": ("F32", (tokenizer.size + 1, width))}
    for n in range(2, order + 1):
        # Stored arrays may have any name and shape: the loader compares them with these.
        _, shape = stored.get(f"values_{n}", ("", ()))
        ngrams = shape[0] if shape else tokenizer.size + 1
        width = 2 if n < order else 1
        if settings.get("quantize"):
            _, starts = stored.get(f"starts_{n}", ("", ()))
            shapes[f"keys_{n}"] = ("U32", (ngrams,))
            shapes[f"starts_{n}"] = ("U64", (math.prod(starts),))
            shapes[f"values_{n}"] = ("U8", (ngrams, width))
            shapes[f"codebooks_{n}"] = ("F32", (width, CODES))
            continue
        shapes[f"values_{n}"] = ("F32", (ngrams, width))
        shapes[f"keys_{n}"] = ("U64", (ngrams,))
    return shapes


def from_arrays(
    settings: dict[str, Any],
    tokenizer: Tokenizer,
    arrays: dict[str, np.ndarray],
    device: str,
    fingerprint: str | None,
) -> NgramModel:
    """Make the model whose `to_arrays()` returned `arrays`, which may be mapped files; `device`
    does not matter."""
    normalised, unseen = arrays["facts"].tolist()
    if normalised not in (0, 1) or not (math.isfinite(unseen) and unseen <= 0):
        raise ModelError(
            "the weights are damaged", f"their values are {normalised} and {unseen}", "rebuild it"
        )
    order = sum(name.startswith("values_") for name in arrays)
    tables_above = [tables_of(n, arrays) for n in range(2, order + 1)]
    keys = [keys for keys, _ in tables_above]
    values = [arrays["values_1"], *(values for _, values in tables_above)]
    return NgramModel(keys, values, tokenizer, bool(normalised), unseen, fingerprint)
