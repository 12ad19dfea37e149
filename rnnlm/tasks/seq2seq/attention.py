"""Compute attention: the decoder's view of a source at each step.

With h a state of the decoder and m_s the encoder's output at the source's token s:

    dot:      e_s = h . m_s                      (Luong et al. 2015)
    general:  e_s = h . (W m_s)                  (Luong et al. 2015)
    additive: e_s = v . tanh(W h + U m_s)        (Bahdanau et al. 2015)

    a = softmax of e over the source's tokens,  context = sum of a_s m_s

Shapes: T target time, S source time, M sources, B rows, k rows of each source, H width of the
memory, D of h, A of the keys.
"""

import contextlib
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from rnnlm.tasks.common.batches import is_word
from rnnlm.tasks.seq2seq.settings import AttentionKind


def additive_scores(query_MNA: Tensor, keys_MSA: Tensor, scale_1A: Tensor) -> Tensor:
    """Return the scores (M, N, S) of additive attention, v . tanh(query + key).

    As tanh(a) = 2 s(2a) - 1, and torch's logistic function s takes an eighth of the time of its
    tanh on a CPU, they are 2v . s(2 query + 2 key) - (sum of v).
    """
    sigmoid_MNSA = torch.sigmoid((2 * query_MNA).unsqueeze(2) + (2 * keys_MSA).unsqueeze(1))
    return nn.functional.linear(sigmoid_MNSA, 2 * scale_1A, -scale_1A.sum(1)).squeeze(3)


def no_autocast(x: Tensor) -> contextlib.AbstractContextManager:
    """Switch autocast off: it would take attention's products, too."""
    if torch.amp.is_autocast_available(x.device.type):
        return torch.autocast(x.device.type, enabled=False)
    return contextlib.nullcontext()


CHUNK_NUMBERS = 1 << 24  # of tanh(W h + U m) at once, of which there are T B S A


class EncoderMemory(NamedTuple):
    """M sources as the decoder sees them. states_SMH: the encoder's outputs, zeros in padding.
    keys_SMA: keys to compare states of the decoder with, None without attention. lengths_M: number
    of tokens of each source, `</s>` counted."""

    states_SMH: Tensor
    keys_SMA: Tensor | None
    lengths_M: Tensor

    def select(self, chosen_N: Tensor) -> "EncoderMemory":
        """Return the memory of the chosen sources."""
        keys_SNA = None if self.keys_SMA is None else self.keys_SMA.index_select(1, chosen_N)
        return EncoderMemory(
            self.states_SMH.index_select(1, chosen_N),
            keys_SNA,
            self.lengths_M.index_select(0, chosen_N),
        )


class Attention(nn.Module):
    """Attention of a `kind`, of states of width D to memories of width H; additive attention
    compares vectors of width A = `size`."""

    def __init__(self, kind: AttentionKind, width: int, memory_width: int, size: int) -> None:
        super().__init__()
        self.kind = kind
        compared = size if kind == "additive" else width
        self.key: nn.Module = nn.Identity()
        self.query: nn.Module = nn.Identity()
        self.scale: nn.Parameter | None = None
        if kind != "dot":
            self.key = nn.Linear(memory_width, compared, bias=False)
        if kind == "additive":
            self.query = nn.Linear(width, compared, bias=False)
            self.scale = nn.Parameter(torch.empty(1, compared))

    def forward(self, h_TBD: Tensor, memory: EncoderMemory) -> tuple[Tensor, Tensor]:
        """Return contexts (T, B, H) and weights (T, B, S), zeros at padding. Rows are grouped by
        source, k for each one: B = M k."""
        assert memory.keys_SMA is not None
        S, M, _ = memory.states_SMH.shape
        T, B, _ = h_TBD.shape

        # All N = T k states of a source at once.
        query_MNA = self.query(h_TBD).view(T, M, B // M, -1).transpose(0, 1).flatten(1, 2)
        is_padding_M1S = ~is_word(S, memory.lengths_M).t().unsqueeze(1)
        dtype = memory.states_SMH.dtype
        scores_MNS = self._scores(query_MNA, memory.keys_SMA.transpose(0, 1), dtype).to(dtype)
        weights_MNS = scores_MNS.masked_fill(is_padding_M1S, -torch.inf).softmax(dim=2)
        context_MNH = torch.bmm(weights_MNS, memory.states_SMH.transpose(0, 1))
        return self._rows(context_MNH, T), self._rows(weights_MNS, T)

    def _scores(self, query_MNA: Tensor, keys_MSA: Tensor, dtype: torch.dtype) -> Tensor:
        if self.scale is None:
            return torch.bmm(query_MNA.to(keys_MSA.dtype), keys_MSA.transpose(1, 2))

        # Of a long window only a part's vectors are in memory: they are computed again backward.
        query_MNA, keys_MSA = query_MNA.to(dtype), keys_MSA.to(dtype)
        parts = query_MNA.split(max(1, CHUNK_NUMBERS // keys_MSA.numel()), dim=1)
        with no_autocast(query_MNA):
            if len(parts) == 1:
                return additive_scores(query_MNA, keys_MSA, self.scale)
            scores = [
                checkpoint(additive_scores, part_MnA, keys_MSA, self.scale, use_reentrant=False)
                for part_MnA in parts
            ]
        return torch.cat(scores, dim=1)

    @staticmethod
    def _rows(x_MNX: Tensor, T: int) -> Tensor:
        """Return the rows of a source beside each other, (T, B, X)."""
        return x_MNX.unflatten(1, (T, -1)).transpose(0, 1).flatten(1, 2)
