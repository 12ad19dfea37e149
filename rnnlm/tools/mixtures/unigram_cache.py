"""Implement the word cache (Kuhn & De Mori 1990): words that were read recently become likelier.

p(w) = (1 - weight) p_model(w) + weight count(w among the last n inputs) / n, n being
`cache_tokens`, or fewer at the beginning.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnnlm import arrays
from rnnlm.arrays import strip_prefix, with_prefix
from rnnlm.checks import check_state, token_ids
from rnnlm.interface import PADDING, Array, LanguageModel, State, keeps
from rnnlm.lm.base.span_scoring import stepping
from rnnlm.text.encoding import known_ids
from rnnlm.tools.mixtures.adapted_model import NO_WORD, PART, AdaptedModel, UnigramCacheSettings


@keeps(State)
@dataclass(frozen=True)
class UnigramCacheState:
    """The model's state, and the last words read, (B, R), the latest at the end; NO_WORD before a
    row's first."""

    model: State
    words_BR: np.ndarray

    def select(self, rows: Sequence[int] | np.ndarray) -> "UnigramCacheState":
        return UnigramCacheState(
            self.model.select(rows), self.words_BR[np.asarray(rows, dtype=np.int64)]
        )

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {**with_prefix(PART, self.model.to_arrays()), "words": self.words_BR}


@keeps(LanguageModel)
class UnigramCache(AdaptedModel):
    """A model with a cache of words. It goes around any model; numbers have its type and are on its
    device."""

    kind = "unigram"
    settings: UnigramCacheSettings

    def __init__(
        self, model: LanguageModel, settings: UnigramCacheSettings = UnigramCacheSettings()
    ) -> None:
        super().__init__(model, settings)

    def stepping(self) -> "UnigramCache":
        """Return this model for one caller that reads token by token."""
        return UnigramCache(stepping(self.model), self.settings)

    def initial_state(self, rows: int) -> UnigramCacheState:
        return UnigramCacheState(
            self.model.initial_state(rows), np.zeros((rows, 0), dtype=np.int64)
        )

    def score(
        self, inputs_BT: Array, targets_BT: Array, state: UnigramCacheState
    ) -> tuple[Array, UnigramCacheState]:
        """Score as :meth:`rnnlm.LanguageModel.score` says, in the array type of the model that it
        adapts."""
        check_state(state, UnigramCacheState)
        inputs_BT = token_ids(inputs_BT)
        logprob_BT, after = self.model.score(inputs_BT, targets_BT, state.model)
        seen_BM, after = self._read(inputs_BT, state, after)
        known_BT = self._known(targets_BT)
        is_target_BT = arrays.as_array_of(known_BT != PADDING, logprob_BT)
        share_BT = self.shares(seen_BM, known_BT)
        mixed_BT = arrays.mixed(logprob_BT, share_BT, self.settings.cache_weight)
        return mixed_BT * is_target_BT, after

    def predict(
        self, inputs_BT: Array, state: UnigramCacheState
    ) -> tuple[Array, UnigramCacheState]:
        """Predict as :meth:`rnnlm.LanguageModel.predict` says, in the array type of the model that
        it adapts."""
        check_state(state, UnigramCacheState)
        inputs_BT = token_ids(inputs_BT)
        logprob_BTV, after = self.model.predict(inputs_BT, state.model)
        seen_BM, after = self._read(inputs_BT, state, after)
        share_BTV = self._all_shares(seen_BM, inputs_BT.shape[1])
        return arrays.mixed(logprob_BTV, share_BTV, self.settings.cache_weight), after

    def shares(self, seen_BM: np.ndarray, targets_BT: np.ndarray) -> np.ndarray:
        """Return the cache's own probability of each target, fp64. `seen_BM`: the words in the
        state, then the words at the T places."""
        # The places that the cache holds at each of the T places.
        (B, M), T = seen_BM.shape, targets_BT.shape[1]
        last_T = np.arange(M - T, M)
        first_T = np.maximum(0, last_T - self.settings.cache_tokens + 1)

        # One number for each row, word and place, so that a word's places are neighbours: how many
        # of them the cache holds is a difference of two ranks.
        row_B1 = np.arange(B)[:, None] * (self.tokenizer.size + 1)
        places = np.sort(((row_B1 + seen_BM + 1) * M + np.arange(M)).ravel())
        target_BT = (row_B1 + targets_BT + 1) * M
        before_BT = np.searchsorted(places, target_BT + first_T)
        upto_BT = np.searchsorted(places, target_BT + last_T, side="right")
        return (upto_BT - before_BT) / self._lengths(seen_BM, T)

    def concat_states(self, states: Sequence[UnigramCacheState]) -> UnigramCacheState:
        # Padding goes to the left: the latest word of each row stays last.
        width = max(state.words_BR.shape[1] for state in states)
        missing = [width - state.words_BR.shape[1] for state in states]
        words = [
            np.pad(state.words_BR, ((0, 0), (places, 0)), constant_values=NO_WORD)
            for state, places in zip(states, missing, strict=True)
        ]
        inner = self.model.concat_states([state.model for state in states])
        return UnigramCacheState(inner, np.concatenate(words))

    def state_from_arrays(self, arrays: dict[str, np.ndarray]) -> UnigramCacheState:
        return UnigramCacheState(
            self.model.state_from_arrays(strip_prefix(PART, arrays)), arrays["words"]
        )

    def _read(
        self, inputs_BT: Array, state: UnigramCacheState, after: State
    ) -> tuple[np.ndarray, UnigramCacheState]:
        """Return the words of the state and of the inputs in one, and the state after them."""
        seen_BM = np.concatenate([state.words_BR, self._known(inputs_BT)], axis=1)
        return seen_BM, UnigramCacheState(after, seen_BM[:, -self.settings.cache_tokens :])

    def _known(self, ids_BT: Array) -> np.ndarray:
        return known_ids(arrays.as_numpy(token_ids(ids_BT)).astype(np.int64), self.tokenizer)

    def _lengths(self, seen_BM: np.ndarray, T: int) -> np.ndarray:
        """Return how many words the cache holds at each of the last T places, (B, T)."""
        is_word_BM = seen_BM != NO_WORD
        before = seen_BM.shape[1] - T
        before_B1 = is_word_BM[:, :before].sum(axis=1, keepdims=True)
        return np.minimum(before_B1 + np.arange(1, T + 1), self.settings.cache_tokens)

    def _all_shares(self, seen_BM: np.ndarray, T: int) -> np.ndarray:
        """Return the cache's own probability of every word at each of the last T places, (B, T, V),
        fp64."""
        B, M = seen_BM.shape
        before, size = M - T, self.settings.cache_tokens
        first = max(0, before - size + 1)  # the earliest word in the cache at the first place
        change_BTV = np.zeros((B, T, self.tokenizer.size))

        def change(places: np.ndarray, delay: int, by: int) -> None:
            """Add `by` to the counts of the words at `places`, from `delay` places after them on.
            Before the first of the T places is as at the first."""
            row, column = np.nonzero(seen_BM[:, places] != NO_WORD)
            at = np.maximum(0, places[column] - before + delay)
            np.add.at(change_BTV, (row, at, seen_BM[row, places[column]]), by)

        # A word enters the cache at its place, and leaves it `size` places later.
        change(np.arange(first, M), 0, 1)
        change(np.arange(first, M - size), size, -1)
        return change_BTV.cumsum(axis=1) / self._lengths(seen_BM, T)[:, :, None]
