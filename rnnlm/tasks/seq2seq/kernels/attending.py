"""Attention, step by step, in the loop of input feeding or alone. The equations stand in :mod:`rnnlm.tasks.seq2seq.attention`.

Its products are small, and read the whole memory for one number or two that each of its numbers gives: they run in the type of the memory.
Shapes: T target time, B rows, S source time, H width of the memory, A of its keys, D of states.
"""

import contextlib
from typing import Any

import torch
from torch import Tensor

from rnnlm.neural.layers.kernels.window import tanh_
from rnnlm.tasks.seq2seq.kernels.parts import softmax_backward


class DotSteps:
    """Scores are products of keys and state, A = D: attention=dot and general."""

    def __init__(self, keys_BSA: Tensor, memory_BSH: Tensor, is_padding_BS: Tensor, T: int) -> None:
        self.tensors: tuple[Tensor, ...] = keys_BSA, memory_BSH
        self.keys_BSA, self.memory_BSH, self.is_padding_BS = keys_BSA.detach(), memory_BSH.detach(), is_padding_BS
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
        dweights_BS = torch.bmm(self.dcontext_TBH[t].unsqueeze(1), self.memory_BSH.transpose(1, 2)).squeeze(1)
        self.dscores_TBS[t] = softmax_backward(dweights_BS, self.weights_TBS[t])
        return self.scores_backward(t)

    def scores(self, t: int, h_BD: Tensor) -> Tensor:
        return torch.bmm(h_BD.unsqueeze(1), self.keys_BSA.transpose(1, 2)).squeeze(1)  # the vector first: a tenth of the time on a CPU

    def scores_backward(self, t: int) -> Tensor:
        return torch.bmm(self.dscores_TBS[t].unsqueeze(1), self.keys_BSA).squeeze(1)

    def gradients(self) -> tuple[Tensor | None, ...]:
        dkeys_BSA = torch.bmm(self.dscores_TBS.permute(1, 2, 0), torch.stack(self.states, dim=1))
        return dkeys_BSA, self.memory_gradient()

    def memory_gradient(self) -> Tensor:
        return torch.bmm(self.weights_TBS.permute(1, 2, 0), self.dcontext_TBH.transpose(0, 1))


class AdditiveSteps(DotSteps):
    """Scores are v . tanh(W h + key). The tanh, (B, S, A) numbers, is worked out again on the way back, not kept for each step."""

    def __init__(
        self, keys_BSA: Tensor, memory_BSH: Tensor, is_padding_BS: Tensor, query_AD: Tensor, scale_1A: Tensor, T: int,
        products: torch.dtype,
    ) -> None:  # fmt: skip
        super().__init__(keys_BSA, memory_BSH, is_padding_BS, T)
        self.tensors += query_AD, scale_1A
        self.query_AD, self.v_A = query_AD.detach().to(products), scale_1A.detach()[0].to(keys_BSA.dtype)
        B, _, A = keys_BSA.shape
        self.queries_TBA, self.dqueries_TBA = keys_BSA.new_empty((2, T, B, A)).unbind(0)
        self.dkeys_BSA, self.dv_A = torch.zeros_like(self.keys_BSA), torch.zeros_like(self.v_A)

    def scores(self, t: int, h_BD: Tensor) -> Tensor:
        self.queries_TBA[t] = torch.mm(h_BD.to(self.query_AD.dtype), self.query_AD.t())
        return torch.mv(self._compared(t).flatten(0, 1), self.v_A).view(self.is_padding_BS.shape)

    def scores_backward(self, t: int) -> Tensor:
        dscores_BS1, u_BSA = self.dscores_TBS[t].unsqueeze(2), self._compared(t)
        self.dv_A.addmv_(u_BSA.flatten(0, 1).t(), dscores_BS1.flatten())
        du_BSA = u_BSA.square_().neg_().add_(1).mul_(dscores_BS1)  # but for v, by which sums over it are multiplied
        self.dkeys_BSA += du_BSA
        dqueries_BA = torch.mul(du_BSA.sum(dim=1), self.v_A, out=self.dqueries_TBA[t])
        return torch.mm(dqueries_BA.to(self.query_AD.dtype), self.query_AD)

    def gradients(self) -> tuple[Tensor | None, ...]:
        dqueries_NA, h_ND = self.dqueries_TBA.flatten(0, 1).to(self.query_AD.dtype), torch.cat(self.states).to(self.query_AD.dtype)
        return self.dkeys_BSA * self.v_A, self.memory_gradient(), torch.mm(dqueries_NA.t(), h_ND).to(self.v_A.dtype), self.dv_A.unsqueeze(0)

    def _compared(self, t: int) -> Tensor:
        return tanh_(self.keys_BSA + self.queries_TBA[t].unsqueeze(1))


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, steps: DotSteps, h_TBD: Tensor, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        ctx.steps = steps
        with no_autocast(h_TBD):
            contexts_TBH = torch.stack([steps.forward(t, h_BD) for t, h_BD in enumerate(h_TBD)])
        weights_TBS = steps.weights_TBS.clone()
        ctx.mark_non_differentiable(weights_TBS)
        return contexts_TBH, weights_TBS

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        dh_TBD = torch.stack([ctx.steps.backward(t, dcontext_BH) for t, dcontext_BH in enumerate(gradients[0])])
        return None, dh_TBD.to(gradients[0].dtype), *ctx.steps.gradients()


def attend(steps: DotSteps, h_TBD: Tensor) -> tuple[Tensor, Tensor]:
    """The contexts (T, B, H) of states, and the weights of attention (T, B, S), which have no gradient."""
    contexts_TBH, weights_TBS = _Attend.apply(steps, h_TBD, *steps.tensors)
    return contexts_TBH, weights_TBS


def no_autocast(x: Tensor) -> contextlib.AbstractContextManager:
    """Autocast would take attention's products, too."""
    is_available = torch.amp.is_autocast_available(x.device.type)
    return torch.autocast(x.device.type, enabled=False) if is_available else contextlib.nullcontext()
