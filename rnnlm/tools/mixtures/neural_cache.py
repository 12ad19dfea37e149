"""Implement the neural cache (Grave, Joulin & Usunier 2017): words that followed similar hidden
states become likelier.

With h_i the hidden state after input i, over the last `cache_tokens` pairs of h_i and the input
x_i+1 that followed it:

    p_cache(w) ~ sum_i 1{w = x_i+1} exp(theta h_t . h_i)        equation 2
    p(w) = (1 - lambda) p_model(w) + lambda p_cache(w)          equation 3

A pair enters the cache when its word is read; while the cache is empty, p is the model's own.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rnnlm import arrays
from rnnlm.arrays import strip_prefix, with_prefix
from rnnlm.checks import check_shapes, check_state, token_ids
from rnnlm.interface import PADDING, Array, HiddenStateModel, LanguageModel, State, keeps
from rnnlm.tools.mixtures.adapted_model import (
    NO_WORD,
    PART,
    AdaptedModel,
    NeuralCacheSettings,
    with_hidden_states,
)

# Similarities of a chunk, rows times places times pairs: a size that stays in the processor's
# cache.
CHUNK_CELLS = 1 << 19


@keeps(State)
@dataclass(frozen=True)
class NeuralCacheState:
    """The model's state; hidden states (B, R + 1, H), the latest at the end, and the words (B, R)
    that followed all but the last of them.

    NO_WORD: there is no such pair. has_read_B: false before a row's first input, when there is no
    hidden state yet.
    """

    model: State
    hidden_BSH: Tensor
    words_BR: Tensor
    has_read_B: Tensor

    def select(self, rows: Sequence[int] | np.ndarray) -> "NeuralCacheState":
        index = torch.as_tensor(np.asarray(rows, dtype=np.int64), device=self.words_BR.device)
        return NeuralCacheState(
            self.model.select(rows),
            self.hidden_BSH[index],
            self.words_BR[index],
            self.has_read_B[index],
        )

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {
            **with_prefix(PART, self.model.to_arrays()),
            "hidden": arrays.as_numpy(self.hidden_BSH),
            "words": arrays.as_numpy(self.words_BR),
            "has_read": arrays.as_numpy(self.has_read_B),
        }


@keeps(LanguageModel)
class NeuralCache(AdaptedModel):
    """A model with hidden states and a cache of them; the network runs once."""

    kind = "cache"
    model: HiddenStateModel
    settings: NeuralCacheSettings

    def __init__(
        self, model: LanguageModel, settings: NeuralCacheSettings = NeuralCacheSettings()
    ) -> None:
        super().__init__(with_hidden_states(model), settings)

    def initial_state(self, rows: int) -> NeuralCacheState:
        device = self.model.device
        shape = (rows, 1, self.model.hidden_size)
        hidden_B1H = torch.zeros(shape, dtype=torch.float32, device=device)
        words_B0 = torch.zeros((rows, 0), dtype=torch.int64, device=device)
        has_read_B = torch.zeros(rows, dtype=torch.bool, device=device)
        return NeuralCacheState(self.model.initial_state(rows), hidden_B1H, words_B0, has_read_B)

    def score(
        self, inputs_BT: Array, targets_BT: Array, state: NeuralCacheState
    ) -> tuple[Tensor, NeuralCacheState]:
        """Score as :meth:`rnnlm.LanguageModel.score` says, in torch, on the model's device."""
        check_state(state, NeuralCacheState)
        inputs_BT = token_ids(inputs_BT)
        check_shapes(inputs_BT, token_ids(targets_BT))
        hidden_BTH, inner = self.model.hidden(inputs_BT, state.model)
        logprob_BT = self.model.score_hidden(hidden_BTH, targets_BT)
        seen = self._read(hidden_BTH, inputs_BT, state, inner)
        known_BT = self._known(targets_BT, hidden_BTH.device)
        share_BT, is_filled_BT = self.shares(seen.hidden_BSH, seen.words_BR, known_BT)
        mixed_BT = self._mix(logprob_BT, share_BT, is_filled_BT)
        return mixed_BT * (known_BT != PADDING), self._still_needed(seen)

    def predict(self, inputs_BT: Array, state: NeuralCacheState) -> tuple[Tensor, NeuralCacheState]:
        """Predict as :meth:`rnnlm.LanguageModel.predict` says, in torch, on the model's device."""
        check_state(state, NeuralCacheState)
        inputs_BT = token_ids(inputs_BT)
        T, V = inputs_BT.shape[1], self.tokenizer.size
        hidden_BTH, inner = self.model.hidden(inputs_BT, state.model)
        logprob_BTV = self.model.predict_hidden(hidden_BTH)
        seen = self._read(hidden_BTH, inputs_BT, state, inner)

        # Add the weights of all pairs up by their words.
        shares, is_filled = [], []
        for _, weight_BnM, words_BM, is_filled_Bn in self._attend(
            seen.hidden_BSH, seen.words_BR, T
        ):
            index_BnM = words_BM.clamp(min=0)[:, None].expand_as(weight_BnM)
            share_BnV = weight_BnM.new_zeros((*weight_BnM.shape[:2], V))
            shares.append(share_BnV.scatter_add_(2, index_BnM, weight_BnM))
            is_filled.append(is_filled_Bn[:, :, None])
        share_BTV, is_filled_BT1 = torch.cat(shares, dim=1), torch.cat(is_filled, dim=1)
        return self._mix(logprob_BTV, share_BTV, is_filled_BT1), self._still_needed(seen)

    def text_shares(
        self, hidden_BTH: Tensor, inputs_BT: Array, targets_BT: Array
    ) -> tuple[Tensor, Tensor]:
        """Return the :meth:`shares` of a text that is read from the initial state, and whose hidden
        states are known."""
        state = self.initial_state(len(inputs_BT))
        seen = self._read(hidden_BTH, inputs_BT, state, state.model)
        known_BT = self._known(targets_BT, seen.words_BR.device)
        return self.shares(seen.hidden_BSH, seen.words_BR, known_BT)

    def shares(
        self, hidden_BSH: Tensor, words_BR: Tensor, targets_BT: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the cache's own probability of each target, and whether there was a pair in it,
        both (B, T).

        `hidden_BSH`, `words_BR`: the state's hidden states and words, then the ones of the T
        places, which are the last S - 1 to S - T.
        """
        share_BT = torch.zeros(targets_BT.shape, device=hidden_BSH.device)
        is_filled_BT = torch.zeros(targets_BT.shape, dtype=torch.bool, device=hidden_BSH.device)
        for places, weight_BnM, words_BM, is_filled_Bn in self._attend(
            hidden_BSH, words_BR, targets_BT.shape[1]
        ):
            is_same_BnM = words_BM[:, None] == targets_BT[:, places, None]
            share_BT[:, places] = (weight_BnM * is_same_BnM).sum(dim=2)
            is_filled_BT[:, places] = is_filled_Bn
        return share_BT, is_filled_BT

    def concat_states(self, states: Sequence[NeuralCacheState]) -> NeuralCacheState:
        # Padding goes to the left, as pairs without a word: the latest pair of each row stays last.
        width = max(state.words_BR.shape[1] for state in states)
        hidden, words = [], []
        for state in states:
            missing = width - state.words_BR.shape[1]
            hidden.append(F.pad(state.hidden_BSH, (0, 0, missing, 0)))
            words.append(F.pad(state.words_BR, (missing, 0), value=NO_WORD))
        inner = self.model.concat_states([state.model for state in states])
        has_read_B = torch.cat([state.has_read_B for state in states])
        return NeuralCacheState(inner, torch.cat(hidden), torch.cat(words), has_read_B)

    def state_from_arrays(self, arrays: dict[str, np.ndarray]) -> NeuralCacheState:
        device = self.model.device
        return NeuralCacheState(
            self.model.state_from_arrays(strip_prefix(PART, arrays)),
            torch.as_tensor(arrays["hidden"], device=device),
            torch.as_tensor(arrays["words"], device=device),
            torch.as_tensor(arrays["has_read"], device=device),
        )

    def _read(
        self, hidden_BTH: Tensor, inputs_BT: Array, state: NeuralCacheState, inner: State
    ) -> NeuralCacheState:
        """Return the state with all that was read, more than it will keep."""
        words_BT = self._known(inputs_BT, hidden_BTH.device)
        # There was no hidden state before a row's first input.
        words_BT[:, 0].masked_fill_(~state.has_read_B, NO_WORD)
        return NeuralCacheState(
            inner,
            torch.cat([state.hidden_BSH, hidden_BTH], dim=1),
            torch.cat([state.words_BR, words_BT], dim=1),
            torch.ones_like(state.has_read_B),
        )

    def _still_needed(self, seen: NeuralCacheState) -> NeuralCacheState:
        """Return the state with only the entries that the cache will still need; copied, so that
        the rest leaves memory."""
        pairs = self.settings.cache_tokens
        hidden_BSH = seen.hidden_BSH[:, -(pairs + 1) :].clone()
        words_BR = seen.words_BR[:, -pairs:].clone()
        return NeuralCacheState(seen.model, hidden_BSH, words_BR, seen.has_read_B)

    def _known(self, ids_BT: Array, device: torch.device) -> Tensor:
        """Return a copy of the ids, in which unseen words with their own numbers are `<unk>`."""
        ids = torch.as_tensor(ids_BT, dtype=torch.int64, device=device)
        if self.tokenizer.unk_id is None:
            return ids.clone()
        return ids.masked_fill(ids >= self.tokenizer.size, self.tokenizer.unk_id)

    def _attend(
        self, hidden_BSH: Tensor, words_BR: Tensor, T: int
    ) -> Iterator[tuple[slice, Tensor, Tensor, Tensor]]:
        """Compare hidden states with earlier ones, chunk by chunk of the last T places.

        Yield which places they are, the weight of each pair (B, n, M), the pairs' words (B, M), and
        whether there is any, (B, n).
        """
        B, R = words_BR.shape
        device = words_BR.device
        size = min(self.settings.cache_tokens, R)
        # With n places a chunk sees n + size pairs: n (n + size) B cells.
        rows = max(1, int(math.sqrt(size**2 / 4 + CHUNK_CELLS / B) - size / 2))
        for part in arrays.blocks(T, rows):
            # Pairs by number: those that any of the places sees, and the latest at each place.
            first, last = R - T + part.start, R - T + part.stop
            pairs = slice(max(0, first - size + 1), last)
            number_M = torch.arange(pairs.start, pairs.stop, device=device)
            now_n1 = torch.arange(first, last, device=device)[:, None]
            words_BM = words_BR[:, pairs]
            is_near_nM = (number_M <= now_n1) & (number_M > now_n1 - size)
            is_seen_BnM = is_near_nM & (words_BM != NO_WORD)[:, None]

            # exp(theta h_t . h_i), normalised.
            with self.model.exact_products():
                queries_BnH = hidden_BSH[:, first + 1 : last + 1] * self.settings.cache_flatness
                similarity_BnM = torch.bmm(queries_BnH, hidden_BSH[:, pairs].transpose(1, 2))
            weight_BnM = similarity_BnM.masked_fill_(~is_seen_BnM, -torch.inf).softmax(dim=2)
            # Where there is no pair at all, softmax gives NaN.
            yield part, weight_BnM.nan_to_num_(0), words_BM, is_seen_BnM.any(dim=2)

    def _mix(self, logprob: Tensor, share: Tensor, is_filled: Tensor) -> Tensor:
        mixed = arrays.mixed(logprob, share, self.settings.cache_weight)
        return torch.where(is_filled, mixed, logprob)
