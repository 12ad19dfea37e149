"""The n-gram model as a `LanguageModel`: sorted keys and a table of log-probabilities and backoff
weights by order.

    log p(w|h) = logprob(hw) where hw is in the model, else logbackoff(h) + log p(w|h')

The state is the last N-1 ids since the line began, shortened to what the model has as a context
(that changes nothing). Whole windows are scored at once: the number of the n-gram that ends at a
position comes from that of the (n-1)-gram before it and the word.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnlm import arrays as array_types
from rnnlm.checks import check_shapes, check_state, token_ids
from rnnlm.errors import ModelError
from rnnlm.interface import PADDING, Answers, Array, LanguageModel, Shapes, State, Tokenizer, keeps
from rnnlm.models.pickling import PickledByOrigin
from rnnlm.ngram import checks
from rnnlm.ngram.checks import longest_matches
from rnnlm.ngram.incremental import IncrementalScorer
from rnnlm.ngram.tables import (
    NOWHERE,
    BackoffLevel,
    find_many,
    make_keys,
    naming_damage,
    split_keys,
    word_bits,
)
from rnnlm.system import in_threads, processors
from rnnlm.text.encoding import known_ids

SMALLEST_PIECE = 1 << 15  # tokens worth a thread of their own
OUTSIDE = -2  # number of a context that reaches back beyond the start of the line


@keeps(State)
@dataclass(frozen=True)
class NgramState:
    """The last inputs of each row, (B, N-1), latest last; -1 where there are fewer, or more would
    change nothing."""

    inputs_BN: np.ndarray

    def select(self, rows: Sequence[int] | np.ndarray) -> "NgramState":
        return NgramState(self.inputs_BN[np.asarray(rows, dtype=np.int64)])

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {"inputs": self.inputs_BN}


@keeps(LanguageModel, Answers)
class NgramModel(PickledByOrigin):
    """keys[n]: sorted uint64 keys of order n + 2. values[n]: (M, 2) float32 of order n + 1: log
    p(w|h), log backoff, nats (the highest order has only the first).

    normalised: False for estimators that do not sum to one, and for models of other programs.
    unseen_context_logprob: what giving up a context that is not in the model costs (0, but for
    stupid backoff).
    """

    max_rows = None
    precision = "fp32"
    call_tokens = 1 << 21
    forgets_at_boundary = True
    adaptation = "none"
    description = "an n-gram model"

    def __init__(
        self, keys: Sequence[np.ndarray], values: Sequence[np.ndarray], tokenizer: Tokenizer,
        normalised: bool,
        unseen_context_logprob: float = 0.0, fingerprint: str | None = None,
    ) -> None:  # fmt: skip
        self.keys, self.values = tuple(keys), tuple(values)
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
        """The model of these orders, from the unigrams up; orders of which pruning left nothing are
        dropped."""
        levels = [level for level in levels if len(level)]
        values = [*(level.values_MK for level in levels[:-1]), levels[-1].values_MK[:, :1]]
        return cls(
            [level.keys_M for level in levels[1:]],
            values,
            tokenizer,
            normalised,
            unseen_context_logprob,
        )

    @property
    def order(self) -> int:
        """N, the number of words of its longest n-grams."""
        return len(self.values)

    @property
    def size(self) -> int:
        """V, the number of words that it predicts, the boundary included."""
        return self.tokenizer.size

    def levels(self) -> Iterator[BackoffLevel]:
        """The orders as tables, from the unigrams up."""
        keys = (np.arange(self.size + 1, dtype=np.uint64), *self.keys)
        yield from (BackoffLevel(self.size, *each) for each in zip(keys, self.values, strict=True))

    def words(self, n: int, numbers: np.ndarray) -> list[np.ndarray]:
        """The words of n-grams of order n, given by number: one array a position."""
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
        """:meth:`rnnlm.LanguageModel.score` in numpy, float64."""
        inputs_BL = self._with_state(token_ids(inputs_BT), token_ids(targets_BT), state)
        targets_BT = known_ids(array_types.as_numpy(token_ids(targets_BT)), self.tokenizer)
        if not targets_BT.size:
            return np.zeros(targets_BT.shape), state
        length = max(
            -(-targets_BT.shape[1] // processors()), SMALLEST_PIECE // max(1, len(inputs_BL)), 1
        )
        # each piece reads the N - 1 inputs before it again
        starts = range(0, targets_BT.shape[1], length)
        pieces = [
            (
                inputs_BL[:, start : start + length + self.order - 1],
                targets_BT[:, start : start + length],
            )
            for start in starts
        ]
        with naming_damage():
            *_, (_, last) = scored = list(in_threads(lambda piece: self._score(*piece), pieces))
        return np.concatenate([logprob_BT for logprob_BT, _ in scored], axis=1), self._state(
            inputs_BL, last
        )

    def _score(
        self, inputs_BL: np.ndarray, targets_BT: np.ndarray
    ) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
        """Log-probabilities of the targets, and number and cost of the contexts at the last input,
        by length."""
        is_padding_BT = targets_BT == PADDING
        words_BT = np.where(is_padding_BT, self.tokenizer.boundary_id, targets_BT)
        # not what is read next
        odd = np.nonzero(~is_padding_BT & (words_BT != self._next(inputs_BL)[:, self.order - 1 :]))
        logprob_BT = self.values[0][:, 0].astype(np.float64)[words_BT]
        last = []
        for n, (contexts_BT, cost_BT, found_BT, longer_BT) in enumerate(
            self._walk(inputs_BL), start=2
        ):
            shorter = logprob_BT[odd]
            logprob_BT = np.where(found_BT, longer_BT, logprob_BT + cost_BT)
            numbers = self._find(n, contexts_BT[odd], words_BT[odd])
            logprob_BT[odd] = np.where(
                numbers >= 0, self._values(n, numbers)[0], shorter + cost_BT[odd]
            )
            last.append((contexts_BT[:, -1], cost_BT[:, -1]))
        logprob_BT[is_padding_BT] = 0.0
        return logprob_BT, last

    @property
    def with_ngrams(self) -> "NgramModel":
        return self

    def check_tables(self) -> tuple[str, str]:
        return checks.examine(self)

    def contexts(self, most: int, generator: np.random.Generator) -> tuple[list[np.ndarray], bool]:
        return checks.contexts(self, most, generator)

    def longest_matches(self, ids_N: np.ndarray) -> tuple[np.ndarray, int]:
        matched_N = longest_matches(ids_N, self.keys, self.size, self.tokenizer.boundary_id)
        return matched_N, self.order

    def incremental(self) -> IncrementalScorer:
        """One word at a time, for callers whose next question depends on the last answer."""
        return IncrementalScorer(self)

    def predict(self, inputs_BT: Array, state: NgramState) -> tuple[np.ndarray, NgramState]:
        """:meth:`rnnlm.LanguageModel.predict` in numpy, float32."""
        inputs_BT = token_ids(inputs_BT)
        if not np.size(inputs_BT):
            return np.zeros((*np.shape(inputs_BT), self.size), dtype=np.float32), state
        inputs_BL = self._with_state(inputs_BT, None, state)
        with naming_damage():
            read = [(contexts_BT, cost_BT) for contexts_BT, cost_BT, _, _ in self._walk(inputs_BL)]
            logprob_RV = self._predict(
                [(contexts_BT.ravel(), cost_BT.ravel()) for contexts_BT, cost_BT in read],
                np.size(inputs_BT),
            )
        after = self._state(
            inputs_BL, [(contexts_BT[:, -1], cost_BT[:, -1]) for contexts_BT, cost_BT in read]
        )
        return logprob_RV.reshape(*np.shape(inputs_BT), self.size), after

    def _predict(self, read: list[tuple[np.ndarray, np.ndarray]], rows: int) -> np.ndarray:
        """Log-probabilities of all words, (R, V), after contexts given by number and cost, by
        length."""
        longer_NR = list(
            itertools.accumulate((cost_R for _, cost_R in reversed(read)), initial=np.zeros(rows))
        )[::-1]
        logprob_RV = (self.values[0][: self.size, 0] + longer_NR[0][:, None]).astype(np.float32)
        # longer_NR[n - 1]: what giving up the longer contexts costs
        for n, (contexts_R, _) in enumerate(read, start=2):
            rows_M, numbers_M = self._following(n, contexts_R)
            _, words_M = split_keys(self.keys[n - 2][numbers_M], self.size)
            logprob_RV[rows_M, words_M] = (
                self.values[n - 1][:, 0][numbers_M] + longer_NR[n - 1][rows_M]
            )
        return logprob_RV

    def concat_states(self, states: Sequence[NgramState]) -> NgramState:
        return NgramState(np.concatenate([state.inputs_BN for state in states]))

    def state_from_arrays(self, arrays: dict[str, np.ndarray]) -> NgramState:
        return NgramState(arrays["inputs"])

    def to_arrays(self) -> dict[str, np.ndarray]:
        keys = {f"keys_{n}": keys for n, keys in enumerate(self.keys, start=2)}
        values = {f"values_{n}": values for n, values in enumerate(self.values, start=1)}
        facts = np.array([self.normalised, self.unseen_context_logprob], dtype=np.float64)
        return {"facts": facts, **keys, **values}

    def _with_state(
        self, inputs_BT: Array, targets_BT: Array | None, state: NgramState
    ) -> np.ndarray:
        """The inputs after those that the state remembers, (B, L)."""
        check_state(state, NgramState)
        check_shapes(inputs_BT, targets_BT, len(state.inputs_BN))
        inputs_BT = known_ids(array_types.as_numpy(inputs_BT), self.tokenizer).astype(
            state.inputs_BN.dtype
        )
        return np.concatenate([state.inputs_BN, inputs_BT], axis=1)

    def _next(self, inputs_BL: np.ndarray) -> np.ndarray:
        """The input after each, PADDING after the last."""
        return np.concatenate(
            [inputs_BL[:, 1:], np.full((len(inputs_BL), 1), PADDING, dtype=inputs_BL.dtype)], axis=1
        )

    def _walk(
        self, inputs_BL: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
        """For n = 2 to N, at each input behind those of the state, (B, T): the number of the
        context of length n - 1 that ends there, what giving it up costs, whether the n-gram made by
        it and the next input is there, and its log-probability."""
        if self.order == 1:
            return
        starts_BL = inputs_BL == self.tokenizer.boundary_id
        words_BL = np.maximum(self._next(inputs_BL), 0)
        contexts_BL = np.where(
            starts_BL, self.size, np.where(inputs_BL == PADDING, OUTSIDE, inputs_BL)
        )
        backoff_BL = self._values(1, contexts_BL)[1]
        fresh = self.order - 1
        for n in range(2, self.order + 1):
            cost_BL = backoff_BL
            if self.unseen_context_logprob:
                cost_BL = np.where(contexts_BL == NOWHERE, self.unseen_context_logprob, backoff_BL)
            numbers_BL = self._find(n, contexts_BL, words_BL)
            longer_BL, backoff_BL = self._values(n, numbers_BL)
            yield (
                contexts_BL[:, fresh:],
                cost_BL[:, fresh:],
                numbers_BL[:, fresh:] >= 0,
                longer_BL[:, fresh:],
            )
            contexts_BL, backoff_BL = (
                self._moved(array, starts_BL) for array in (numbers_BL, backoff_BL)
            )

    def _moved(self, array_BL: np.ndarray, starts_BL: np.ndarray) -> np.ndarray:
        """What was found at an input, one further; at the first input of a line there is no longer
        context."""
        outside = OUTSIDE if array_BL.dtype.kind == "i" else 0
        moved_BL = np.empty_like(array_BL)
        moved_BL[:, 1:] = array_BL[:, :-1]
        moved_BL[:, :1] = outside
        moved_BL[starts_BL] = outside
        return moved_BL

    def _find(self, n: int, contexts: np.ndarray, words: np.ndarray) -> np.ndarray:
        """Numbers of the n-grams made of contexts and words; a context that is nowhere or outside
        stays so."""
        keys = make_keys(np.maximum(contexts, 0).ravel(), words.ravel(), self.size)
        found = find_many(self.keys[n - 2], keys).astype(self._index).reshape(contexts.shape)
        return np.where(contexts < 0, contexts, found)

    def _values(self, n: int, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """log p(w|h) and log backoff of n-grams (the highest order has none); 0 where there is no
        n-gram."""
        found = np.take(self.values[n - 1], np.maximum(numbers, 0), axis=0)
        found[numbers < 0] = 0
        return found[..., 0], found[..., -1]

    def _following(self, n: int, contexts_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The n-grams after each context: rows and numbers, side by side."""
        known = np.flatnonzero(contexts_R >= 0)
        first, after = self._range(n, contexts_R[known])
        counts = np.maximum(after - first, 0)  # below 0 where the keys are damaged
        offsets = np.repeat(first - np.cumsum(counts) + counts, counts)
        return np.repeat(known, counts), offsets + np.arange(len(offsets))

    def _range(self, n: int, contexts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The n-grams that follow each context are those numbered first to after - 1."""
        bits, starts = np.uint64(word_bits(self.size)), contexts.astype(np.uint64)
        keys = self.keys[n - 2]
        return np.searchsorted(keys, starts << bits), np.searchsorted(
            keys, (starts + np.uint64(1)) << bits
        )

    def _state(
        self, inputs_BL: np.ndarray, last: list[tuple[np.ndarray, np.ndarray]]
    ) -> NgramState:
        """The state after the inputs. `last`: numbers and costs of the contexts that end there, by
        length. What lies before the longest of them that changes anything is dropped: something
        follows it, or giving it up costs."""
        kept_B = np.zeros(len(inputs_BL), dtype=np.int64)
        for length, (contexts_B, cost_B) in enumerate(last, start=1):
            first_B, after_B = self._range(length + 1, np.maximum(contexts_B, 0))
            kept_B[(cost_B != 0) | ((contexts_B >= 0) & (after_B > first_B))] = length
        inputs_BN = inputs_BL[:, inputs_BL.shape[1] - (self.order - 1) :].copy()
        inputs_BN[np.arange(self.order - 1, 0, -1) > kept_B[:, None]] = PADDING
        return NgramState(inputs_BN)


def array_shapes(
    settings: dict[str, Any], tokenizer: Tokenizer, stored: Shapes | None = None
) -> Shapes | None:
    """Name to (safetensors type, shape) of the model's arrays; the numbers of n-grams are taken
    from the `stored` ones.

    Raises:
        ModelError: the stored arrays do not make an n-gram model.
    """
    if stored is None:
        return None
    order = sum(name.startswith("values_") for name in stored)
    shapes: Shapes = {"facts": ("F64", (2,))}
    for n in range(1, order + 1):
        _, found = stored.get(f"values_{n}", ("", ()))
        ngrams = found[0] if found and n > 1 else tokenizer.size + 1
        if not ngrams:
            raise ModelError("the weights do not fit the settings", f"there are no {n}-grams")
        shapes[f"values_{n}"] = ("F32", (ngrams, 2 if n < order else 1))
        if n > 1:
            shapes[f"keys_{n}"] = ("U64", (ngrams,))
    if not order:
        raise ModelError("the weights do not fit the settings", "there are no unigrams")
    return shapes


def from_arrays(
    settings: dict[str, Any],
    tokenizer: Tokenizer,
    arrays: dict[str, np.ndarray],
    device: str,
    fingerprint: str | None,
) -> NgramModel:
    """The model whose `to_arrays()` gave `arrays`, which may be mapped files; `device` does not
    matter.

    Raises:
        ModelError: what they say of the model makes no sense.
    """
    order = sum(name.startswith("values_") for name in arrays)
    normalised, unseen_context_logprob = arrays["facts"].tolist()
    if normalised not in (0, 1) or not (
        math.isfinite(unseen_context_logprob) and unseen_context_logprob <= 0
    ):
        raise ModelError(
            "the weights are damaged",
            f"they hold the facts {normalised} and {unseen_context_logprob}",
            "make it again",
        )
    return NgramModel(
        [arrays[f"keys_{n}"] for n in range(2, order + 1)],
        [arrays[f"values_{n}"] for n in range(1, order + 1)],
        tokenizer, bool(normalised), unseen_context_logprob, fingerprint,
    )  # fmt: skip
