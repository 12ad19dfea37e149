"""Compute attention: what the decoder sees of a source at each step.

With h a state of the decoder and m_s the encoder's output at the source's token s:

    dot:      e_s = h . m_s                      (Luong et al. 2015)
    general:  e_s = h . (W m_s)                  (Luong et al. 2015)
    additive: e_s = v . tanh(W h + U m_s)        (Bahdanau et al. 2015)

    a = softmax of e over the source's tokens,  context = sum of a_s m_s

Shapes: T target time, S source time, M sources, B rows, k rows of each source, H width of the
memory, D of h, A of the keys.
"""

import contextlib
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from rnnlm.lm.neural.device import product_type
from rnnlm.lm.neural.layers.kernels.loops import tanh_
from rnnlm.tasks.batches import is_word
from rnnlm.tasks.seq2seq.settings import AttentionKind

# ---- Attention, step by step, in the loop of input feeding or alone.
#
# Its products are small, and each number of the memory serves one or two of them: they run in the
# type of the memory. Shapes: T target time, B rows, S source time, H width of the memory, A of its
# keys, D of states.


class DotSteps:
    """Attention whose scores are products of keys and state, A = D: attention=dot and general."""

    def __init__(self, keys_BSA: Tensor, memory_BSH: Tensor, is_padding_BS: Tensor, T: int) -> None:
        self.tensors: tuple[Tensor, ...] = keys_BSA, memory_BSH
        self.keys_BSA, self.memory_BSH = keys_BSA.detach(), memory_BSH.detach()
        self.is_padding_BS = is_padding_BS
        B, S, H = memory_BSH.shape
        self.weights_TBS, self.dscores_TBS = memory_BSH.new_empty((2, T, B, S)).unbind(0)
        self.states: list[Tensor] = []
        self.dcontext_TBH = memory_BSH.new_empty((T, B, H))

    def forward(self, t: int, h_BD: Tensor) -> Tensor:
        self.states.append(h_BD)
        scores_BS = self.scores(t, h_BD).masked_fill_(self.is_padding_BS, -torch.inf)
        torch.softmax(scores_BS, dim=1, out=self.weights_TBS[t])
        return torch.bmm(self.weights_TBS[t].unsqueeze(1), self.memory_BSH).squeeze(1)

    def backward(self, t: int, dcontext_BH: Tensor) -> Tensor:
        self.dcontext_TBH[t] = dcontext_BH
        dcontext_B1H = self.dcontext_TBH[t].unsqueeze(1)
        dweights_BS = torch.bmm(dcontext_B1H, self.memory_BSH.transpose(1, 2)).squeeze(1)
        self.dscores_TBS[t] = softmax_backward(dweights_BS, self.weights_TBS[t])
        return self.scores_backward(t)

    def scores(self, t: int, h_BD: Tensor) -> Tensor:
        # The vector first: that takes a tenth of the time on a CPU.
        return torch.bmm(h_BD.unsqueeze(1), self.keys_BSA.transpose(1, 2)).squeeze(1)

    def scores_backward(self, t: int) -> Tensor:
        return torch.bmm(self.dscores_TBS[t].unsqueeze(1), self.keys_BSA).squeeze(1)

    def gradients(self) -> tuple[Tensor | None, ...]:
        dkeys_BSA = torch.bmm(self.dscores_TBS.permute(1, 2, 0), torch.stack(self.states, dim=1))
        return dkeys_BSA, self.memory_gradient()

    def memory_gradient(self) -> Tensor:
        return torch.bmm(self.weights_TBS.permute(1, 2, 0), self.dcontext_TBH.transpose(0, 1))


class AdditiveSteps(DotSteps):
    """Attention whose scores are v . tanh(W h + key). The tanh, (B, S, A) numbers, is computed
    again on the way back, not kept for each step."""

    def __init__(
        self,
        keys_BSA: Tensor,
        memory_BSH: Tensor,
        is_padding_BS: Tensor,
        query_AD: Tensor,
        scale_1A: Tensor,
        T: int,
        products: torch.dtype,
    ) -> None:
        super().__init__(keys_BSA, memory_BSH, is_padding_BS, T)
        self.tensors += query_AD, scale_1A
        self.query_AD = query_AD.detach().to(products)
        self.v_A = scale_1A.detach()[0].to(keys_BSA.dtype)
        B, _, A = keys_BSA.shape
        self.queries_TBA, self.dqueries_TBA = keys_BSA.new_empty((2, T, B, A)).unbind(0)
        self.dkeys_BSA, self.dv_A = torch.zeros_like(self.keys_BSA), torch.zeros_like(self.v_A)

    def scores(self, t: int, h_BD: Tensor) -> Tensor:
        self.queries_TBA[t] = torch.mm(h_BD.to(self.query_AD.dtype), self.query_AD.t())
        return torch.mv(self._compared(t).flatten(0, 1), self.v_A).view(self.is_padding_BS.shape)

    def scores_backward(self, t: int) -> Tensor:
        dscores_BS1, u_BSA = self.dscores_TBS[t].unsqueeze(2), self._compared(t)
        self.dv_A.addmv_(u_BSA.flatten(0, 1).t(), dscores_BS1.flatten())
        # Without the factor v, by which the sums over it are multiplied.
        du_BSA = u_BSA.square_().neg_().add_(1).mul_(dscores_BS1)
        self.dkeys_BSA += du_BSA
        dqueries_BA = torch.mul(du_BSA.sum(dim=1), self.v_A, out=self.dqueries_TBA[t])
        return torch.mm(dqueries_BA.to(self.query_AD.dtype), self.query_AD)

    def gradients(self) -> tuple[Tensor | None, ...]:
        dqueries_NA = self.dqueries_TBA.flatten(0, 1).to(self.query_AD.dtype)
        h_ND = torch.cat(self.states).to(self.query_AD.dtype)
        dquery_AD = torch.mm(dqueries_NA.t(), h_ND).to(self.v_A.dtype)
        dkeys_BSA = self.dkeys_BSA * self.v_A
        return dkeys_BSA, self.memory_gradient(), dquery_AD, self.dv_A.unsqueeze(0)

    def _compared(self, t: int) -> Tensor:
        return tanh_(self.keys_BSA + self.queries_TBA[t].unsqueeze(1))


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, steps: DotSteps, h_TBD: Tensor, *tensors: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.steps = steps
        with no_autocast(h_TBD):
            contexts_TBH = torch.stack([steps.forward(t, h_BD) for t, h_BD in enumerate(h_TBD)])
        weights_TBS = steps.weights_TBS.clone()
        ctx.mark_non_differentiable(weights_TBS)
        return contexts_TBH, weights_TBS

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        dcontext_TBH = gradients[0]
        dh = [ctx.steps.backward(t, dcontext_BH) for t, dcontext_BH in enumerate(dcontext_TBH)]
        dh_TBD = torch.stack(dh).to(dcontext_TBH.dtype)
        return None, dh_TBD, *ctx.steps.gradients()


def attend(steps: DotSteps, h_TBD: Tensor) -> tuple[Tensor, Tensor]:
    """Return the contexts (T, B, H) of states, and the weights of attention (T, B, S), which have
    no gradient."""
    contexts_TBH, weights_TBS = _Attend.apply(steps, h_TBD, *steps.tensors)
    return contexts_TBH, weights_TBS


def no_autocast(x: Tensor) -> contextlib.AbstractContextManager:
    """Switch autocast off: it would take attention's products, too."""
    if torch.amp.is_autocast_available(x.device.type):
        return torch.autocast(x.device.type, enabled=False)
    return contextlib.nullcontext()


# ---- The module of attention, over whole windows or, in steps, for the loop of input feeding.

CHUNK_NUMBERS = 1 << 24  # of tanh(W h + U m) at once, of which there are T B S A


class EncoderMemory(NamedTuple):
    """M sources as the decoder sees them. states_SMH: the encoder's outputs, zeros in padding.
    keys_SMA: what states of the decoder are compared with, None without attention. lengths_M:
    tokens of each source, `</s>` counted."""

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
        # Step by step the additive kind needs T times less memory.
        if self.kind == "additive" and M == B and T > 1:
            return attend(self.steps(memory, T, product_type(h_TBD)), h_TBD)

        # All N = T k states of a source at once.
        query_MNA = self.query(h_TBD).view(T, M, B // M, -1).transpose(0, 1).flatten(1, 2)
        is_padding_M1S = ~is_word(S, memory.lengths_M).t().unsqueeze(1)
        scores_MNS = self._scores(query_MNA, memory.keys_SMA.transpose(0, 1))
        scores_MNS = scores_MNS.to(memory.states_SMH.dtype)
        weights_MNS = scores_MNS.masked_fill(is_padding_M1S, -torch.inf).softmax(dim=2)
        context_MNH = torch.bmm(weights_MNS, memory.states_SMH.transpose(0, 1))
        return self._rows(context_MNH, T), self._rows(weights_MNS, T)

    def _scores(self, query_MNA: Tensor, keys_MSA: Tensor) -> Tensor:
        if self.scale is None:
            return torch.bmm(query_MNA.to(keys_MSA.dtype), keys_MSA.transpose(1, 2))
        scores = []
        for part_MnA in query_MNA.split(max(1, CHUNK_NUMBERS // keys_MSA.numel()), dim=1):
            tanh_MnSA = torch.tanh(part_MnA.unsqueeze(2) + keys_MSA.unsqueeze(1))
            scores.append(nn.functional.linear(tanh_MnSA, self.scale).squeeze(3))
        return torch.cat(scores, dim=1)

    def steps(self, memory: EncoderMemory, T: int, products: torch.dtype) -> DotSteps:
        """Return this attention as T steps. Row b reads source b."""
        assert memory.keys_SMA is not None
        memory_BSH = memory.states_SMH.transpose(0, 1).contiguous()
        is_padding_BS = ~is_word(len(memory.states_SMH), memory.lengths_M).t()
        if self.kind == "dot":
            return DotSteps(memory_BSH, memory_BSH, is_padding_BS, T)
        keys_BSA = memory.keys_SMA.transpose(0, 1).to(memory_BSH.dtype).contiguous()
        if self.scale is None:
            return DotSteps(keys_BSA, memory_BSH, is_padding_BS, T)
        assert isinstance(self.query, nn.Linear)
        return AdditiveSteps(
            keys_BSA=keys_BSA,
            memory_BSH=memory_BSH,
            is_padding_BS=is_padding_BS,
            query_AD=self.query.weight,
            scale_1A=self.scale,
            T=T,
            products=products,
        )

    @staticmethod
    def _rows(x_MNX: Tensor, T: int) -> Tensor:
        """Return the rows of a source beside each other, (T, B, X)."""
        return x_MNX.unflatten(1, (T, -1)).transpose(0, 1).flatten(1, 2)


# ---- Parts of the loop of input feeding: a layer, attention, or what joins them, with the arrays
# that it keeps of each step.
#
# As in :mod:`rnnlm.lm.neural.layers.kernels.loops`, products that do not wait for the step before
# are taken for all steps at once: those with the words before the first step, and the gradients of
# all weights after the last step backward.


class LoopPart(Protocol):
    """A part of the loop. tensors: what it computes with and has gradients for."""

    tensors: tuple[Tensor, ...]

    def gradients(self) -> tuple[Tensor | None, ...]:
        """Return the gradients of `tensors`, after the last step backward."""


class LayerSteps(LoopPart, Protocol):
    """A recurrent layer. It is given what it reads beside the words, (B, X), and gives (B, H)."""

    after: tuple[Tensor, ...]  # its state after the last step forward, (B, H) each

    def forward(self, t: int, read_BX: Tensor) -> Tensor: ...

    def begin_backward(self, d_after: tuple[Tensor, ...]) -> None:
        """Begin with the gradients of `after`."""

    def backward(self, t: int, dh_BH: Tensor) -> Tensor:
        """Return the gradient of what was read."""


class Attending(LoopPart, Protocol):
    """Attention. It is given a state (B, D), and gives the context (B, H)."""

    weights_TBS: Tensor

    def forward(self, t: int, h_BD: Tensor) -> Tensor: ...

    def backward(self, t: int, dcontext_BH: Tensor) -> Tensor:
        """Return the gradient of the state."""


def softmax_backward(d_BS: Tensor, weights_BS: Tensor) -> Tensor:
    """Return the gradient before a softmax over S."""
    weighted_BS = weights_BS * d_BS
    return weighted_BS.addcmul_(weights_BS, weighted_BS.sum(dim=1, keepdim=True), value=-1)
