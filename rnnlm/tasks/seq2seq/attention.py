"""Attention: what the decoder sees of a source at each step.

With h a state of the decoder and m_s what the encoder gives for the source's token s:

    dot:      e_s = h . m_s                      (Luong et al. 2015)
    general:  e_s = h . (W m_s)                  (Luong et al. 2015)
    additive: e_s = v . tanh(W h + U m_s)        (Bahdanau et al. 2015)

    a = softmax of e over the source's own tokens,  context = sum of a_s m_s

Shapes: T target time, S source time, M sources, B rows, k rows of each source, H width of the memory, D of h, A of the keys.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from rnnlm.neural.device import product_type
from rnnlm.tasks.padding import is_word
from rnnlm.tasks.seq2seq.kernels.attending import AdditiveSteps, DotSteps, attend
from rnnlm.tasks.seq2seq.settings import AttentionKind

CHUNK_NUMBERS = 1 << 24  # of tanh(W h + U m) at once, of which there are T B S A


class Memory(NamedTuple):
    """What the decoder sees of M sources. states_SMH: the encoder's outputs, zeros in padding. keys_SMA: what states of the decoder are
    compared with, None without attention. lengths_M: tokens of each source, `</s>` counted."""

    states_SMH: Tensor
    keys_SMA: Tensor | None
    lengths_M: Tensor

    def select(self, chosen_N: Tensor) -> "Memory":
        """That of the chosen sources."""
        keys_SNA = None if self.keys_SMA is None else self.keys_SMA.index_select(1, chosen_N)
        return Memory(self.states_SMH.index_select(1, chosen_N), keys_SNA, self.lengths_M.index_select(0, chosen_N))


class Attention(nn.Module):
    """`kind` of attention of states of width D to memories of width H; additive ones compare vectors of width A = `size`."""

    def __init__(self, kind: AttentionKind, width: int, memory_width: int, size: int) -> None:
        super().__init__()
        self.kind = kind
        compared = size if kind == "additive" else width
        self.key = nn.Linear(memory_width, compared, bias=False) if kind != "dot" else nn.Identity()
        self.query = nn.Linear(width, compared, bias=False) if kind == "additive" else nn.Identity()
        self.scale = nn.Parameter(torch.empty(1, compared)) if kind == "additive" else None

    def forward(self, h_TBD: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Contexts (T, B, H) and weights (T, B, S), zeros at padding. Rows stand by source, k for each one: B = M k."""
        assert memory.keys_SMA is not None
        (S, M, _), (T, B, _) = memory.states_SMH.shape, h_TBD.shape
        if self.kind == "additive" and M == B and T > 1:
            return attend(self.steps(memory, T, product_type(h_TBD)), h_TBD)
        query_MNA = self.query(h_TBD).view(T, M, B // M, -1).transpose(0, 1).flatten(1, 2)  # N = T k
        is_padding_M1S = ~is_word(S, memory.lengths_M).t().unsqueeze(1)
        scores_MNS = self._scores(query_MNA, memory.keys_SMA.transpose(0, 1))
        weights_MNS = scores_MNS.to(memory.states_SMH.dtype).masked_fill(is_padding_M1S, -torch.inf).softmax(dim=2)
        context_MNH = torch.bmm(weights_MNS, memory.states_SMH.transpose(0, 1))
        return self._rows(context_MNH, T), self._rows(weights_MNS, T)

    def _scores(self, query_MNA: Tensor, keys_MSA: Tensor) -> Tensor:
        if self.scale is None:
            return torch.bmm(query_MNA.to(keys_MSA.dtype), keys_MSA.transpose(1, 2))
        parts = query_MNA.split(max(1, CHUNK_NUMBERS // keys_MSA.numel()), dim=1)
        tanhs = (torch.tanh(part_MnA.unsqueeze(2) + keys_MSA.unsqueeze(1)) for part_MnA in parts)
        return torch.cat([nn.functional.linear(tanh_MnSA, self.scale).squeeze(3) for tanh_MnSA in tanhs], dim=1)

    def steps(self, memory: Memory, T: int, products: torch.dtype) -> DotSteps:
        """The same as steps, for T of them; row b reads source b."""
        assert memory.keys_SMA is not None
        memory_BSH = memory.states_SMH.transpose(0, 1).contiguous()
        is_padding_BS = ~is_word(len(memory.states_SMH), memory.lengths_M).t()
        if self.kind == "dot":
            return DotSteps(memory_BSH, memory_BSH, is_padding_BS, T)
        keys_BSA = memory.keys_SMA.transpose(0, 1).to(memory_BSH.dtype).contiguous()
        if self.scale is None:
            return DotSteps(keys_BSA, memory_BSH, is_padding_BS, T)
        assert isinstance(self.query, nn.Linear)
        return AdditiveSteps(keys_BSA, memory_BSH, is_padding_BS, self.query.weight, self.scale, T, products)

    @staticmethod
    def _rows(x_MNX: Tensor, T: int) -> Tensor:
        """(T, B, X), the rows of a source beside each other."""
        return x_MNX.unflatten(1, (T, -1)).transpose(0, 1).flatten(1, 2)
