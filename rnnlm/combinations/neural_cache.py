"""The neural cache (Grave, Joulin & Usunier 2017): what followed hidden states like the present one
is likely to follow now.

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
from rnnlm.combinations.adapted_model import PART, AdaptedModel, with_hidden_states
from rnnlm.combinations.settings import NeuralCacheSettings
from rnnlm.interface import PADDING, Array, HiddenStateModel, LanguageModel, State, keeps

NO_WORD = -1
# of similarities, rows times places times pairs: what stays in the processor's cache
CHUNK_CELLS = 1 << 19


@keeps(State)
@dataclass(frozen=True)
class NeuralCacheState:
    """The model's state; hidden states (B, R + 1, H), latest last, and the words (B, R) that
    followed all but the last of them.

    NO_WORD: no such pair. has_read_B: false before a row's first input, which has no hidden state
    yet.
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
        own = {"hidden": self.hidden_BSH, "words": self.words_BR, "has_read": self.has_read_B}
        return {
            **with_prefix(PART, self.model.to_arrays()),
            **{name: arrays.as_numpy(tensor) for name, tensor in own.items()},
        }


@keeps(LanguageModel)
class NeuralCache(AdaptedModel):
    """Around a model with hidden states; the network runs once."""

    kind = "cache"
    model: HiddenStateModel
    settings: NeuralCacheSettings

    def __init__(
        self, model: LanguageModel, settings: NeuralCacheSettings = NeuralCacheSettings()
    ) -> None:
        super().__init__(with_hidden_states(model), settings)

    def initial_state(self, rows: int) -> NeuralCacheState:
        def none(*shape: int, dtype: torch.dtype) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=self.model.device)

        hidden_B1H = none(rows, 1, self.model.hidden_size, dtype=torch.float32)
        words_B0, has_read_B = none(rows, 0, dtype=torch.int64), none(rows, dtype=torch.bool)
        return NeuralCacheState(self.model.initial_state(rows), hidden_B1H, words_B0, has_read_B)

    def score(
        self, inputs_BT: Array, targets_BT: Array, state: NeuralCacheState
    ) -> tuple[Tensor, NeuralCacheState]:
        """:meth:`rnnlm.LanguageModel.score` in torch, on the model's device."""
        check_state(state, NeuralCacheState)
        inputs_BT = token_ids(inputs_BT)
        check_shapes(inputs_BT, token_ids(targets_BT))
        hidden_BTH, inner = self.model.hidden(inputs_BT, state.model)
        logprob_BT = self.model.score_hidden(hidden_BTH, targets_BT)
        seen = self._read(hidden_BTH, inputs_BT, state, inner)
        targets = self._known(targets_BT, hidden_BTH.device)
        share_BT, is_filled_BT = self.shares(seen.hidden_BSH, seen.words_BR, targets)
        return self._mixed(logprob_BT, share_BT, is_filled_BT) * (targets != PADDING), self._cut(
            seen
        )

    def predict(self, inputs_BT: Array, state: NeuralCacheState) -> tuple[Tensor, NeuralCacheState]:
        """:meth:`rnnlm.LanguageModel.predict` in torch, on the model's device."""
        check_state(state, NeuralCacheState)
        inputs_BT = token_ids(inputs_BT)
        hidden_BTH, inner = self.model.hidden(inputs_BT, state.model)
        logprob_BTV = self.model.predict_hidden(hidden_BTH)
        seen = self._read(hidden_BTH, inputs_BT, state, inner)
        parts = []
        for _, weight_BnM, words_BM, is_filled_Bn in self._attend(
            seen.hidden_BSH, seen.words_BR, inputs_BT.shape[1]
        ):
            share_BnV = weight_BnM.new_zeros((*weight_BnM.shape[:2], self.tokenizer.size))
            share_BnV.scatter_add_(
                2, words_BM.clamp(min=0)[:, None].expand_as(weight_BnM), weight_BnM
            )
            parts.append((share_BnV, is_filled_Bn[:, :, None]))
        share_BTV, is_filled_BT1 = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
        return self._mixed(logprob_BTV, share_BTV, is_filled_BT1), self._cut(seen)

    def text_shares(
        self, hidden_BTH: Tensor, inputs_BT: Array, targets_BT: Array
    ) -> tuple[Tensor, Tensor]:
        """:meth:`shares` of a text read from the initial state, whose hidden states are known."""
        state = self.initial_state(len(inputs_BT))
        seen = self._read(hidden_BTH, inputs_BT, state, state.model)
        return self.shares(
            seen.hidden_BSH, seen.words_BR, self._known(targets_BT, seen.words_BR.device)
        )

    def shares(
        self, hidden_BSH: Tensor, words_BR: Tensor, targets_BT: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The cache's own probability of each target, and whether there was a pair in it, both (B,
        T).

        `hidden_BSH`, `words_BR`: those of the state, then those of the T places, which are the last
        S - 1 to S - T.
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
        width = max(state.words_BR.shape[1] for state in states)
        missing = [width - state.words_BR.shape[1] for state in states]
        hidden = [
            F.pad(state.hidden_BSH, (0, 0, gap, 0))
            for state, gap in zip(states, missing, strict=True)
        ]
        words = [
            F.pad(state.words_BR, (gap, 0), value=NO_WORD)
            for state, gap in zip(states, missing, strict=True)
        ]
        inner = self.model.concat_states([state.model for state in states])
        return NeuralCacheState(
            inner,
            torch.cat(hidden),
            torch.cat(words),
            torch.cat([state.has_read_B for state in states]),
        )

    def state_from_arrays(self, arrays: dict[str, np.ndarray]) -> NeuralCacheState:
        own = (
            torch.as_tensor(arrays[name], device=self.model.device)
            for name in ("hidden", "words", "has_read")
        )
        return NeuralCacheState(self.model.state_from_arrays(strip_prefix(PART, arrays)), *own)

    def _read(
        self, hidden_BTH: Tensor, inputs_BT: Array, state: NeuralCacheState, inner: State
    ) -> NeuralCacheState:
        """The state with all that was read, more than it will keep."""
        words_BT = self._known(inputs_BT, hidden_BTH.device)
        # no hidden state was there before a row's first input
        words_BT[:, 0].masked_fill_(~state.has_read_B, NO_WORD)
        hidden = torch.cat([state.hidden_BSH, hidden_BTH], dim=1)
        return NeuralCacheState(
            inner,
            hidden,
            torch.cat([state.words_BR, words_BT], dim=1),
            torch.ones_like(state.has_read_B),
        )

    def _cut(self, seen: NeuralCacheState) -> NeuralCacheState:
        """The state with what the cache will still need; copied, so that the rest leaves memory."""
        pairs = self.settings.cache_tokens
        hidden, words = (
            seen.hidden_BSH[:, -(pairs + 1) :].clone(),
            seen.words_BR[:, -pairs:].clone(),
        )
        return NeuralCacheState(seen.model, hidden, words, seen.has_read_B)

    def _known(self, ids_BT: Array, device: torch.device) -> Tensor:
        """A copy of the ids, in which unseen words that have a number of their own are `<unk>`."""
        ids = torch.as_tensor(ids_BT, dtype=torch.int64, device=device)
        return (
            ids.clone()
            if self.tokenizer.unk_id is None
            else ids.masked_fill(ids >= self.tokenizer.size, self.tokenizer.unk_id)
        )

    def _attend(
        self, hidden_BSH: Tensor, words_BR: Tensor, T: int
    ) -> Iterator[tuple[slice, Tensor, Tensor, Tensor]]:
        """Chunk by chunk of the last T places: which they are, the weight of each pair (B, n, M),
        their words (B, M), and whether there is any, (B, n)."""
        B, R = words_BR.shape
        size = min(self.settings.cache_tokens, R)
        # so many places see rows + size pairs
        rows = max(1, int(math.sqrt(size**2 / 4 + CHUNK_CELLS / B) - size / 2))
        for start in range(0, T, rows):
            end = min(start + rows, T)
            # the latest pair at each place
            now = torch.arange(R - T + start, R - T + end, device=words_BR.device)[:, None]
            pairs = slice(max(0, R - T + start - size + 1), R - T + end)
            number = torch.arange(pairs.start, pairs.stop, device=words_BR.device)
            words_BM = words_BR[:, pairs]
            is_seen_BnM = ((number <= now) & (number > now - size)) & (words_BM != NO_WORD)[:, None]
            with self.model.exact_products():
                queries_BnH = (
                    hidden_BSH[:, R - T + 1 + start : R - T + 1 + end]
                    * self.settings.cache_flatness
                )
                similarity_BnM = torch.bmm(queries_BnH, hidden_BSH[:, pairs].transpose(1, 2))
            weight_BnM = similarity_BnM.masked_fill_(~is_seen_BnM, -torch.inf).softmax(dim=2)
            # no pair at all: softmax gives NaN
            yield slice(start, end), weight_BnM.nan_to_num_(0), words_BM, is_seen_BnM.any(dim=2)

    def _mixed(self, logprob: Tensor, share: Tensor, is_filled: Tensor) -> Tensor:
        return torch.where(
            is_filled, arrays.mixed(logprob, share, self.settings.cache_weight), logprob
        )
