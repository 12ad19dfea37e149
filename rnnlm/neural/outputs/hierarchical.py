"""Hierarchical softmax (Morin & Bengio 2005) over a Huffman tree (Mikolov et al. 2013, "Distributed representations", 2.1).

Each inner node decides between its two children by a logistic regression on the features; a word's probability is the
product of the decisions on its path: P(w | h) = prod_d sigmoid(sign_d (v_d . h + b_d)). A token costs about log2 V
products of width E instead of V.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnlm.interface import PADDING
from rnnlm.neural.outputs.base import OutputLayer, derived
from rnnlm.neural.outputs.huffman import huffman, paths

CHUNK_NUMBERS = 1 << 22  # of gathered weights at once


class PathCrossEntropy(torch.autograd.Function):
    """Sum over rows and path nodes of -log sigmoid(sign (v_node . h + b_node)); a sign of 0 is no node.

    With z the logit, d loss / d z = -sign sigmoid(-sign z). The gradients are found in the forward pass, chunk by chunk,
    since the vectors of all paths, N D E numbers, are much more than the features. Computed in fp32 or wider: the sums
    are bound by memory, so that narrower products would gain nothing.
    """

    @staticmethod
    def forward(ctx, features_NE: Tensor, weight_ME: Tensor, bias_M: Tensor, inner_ND: Tensor, sign_ND: Tensor) -> Tensor:
        wide = torch.promote_types(features_NE.dtype, torch.float32)
        loss = torch.zeros((), dtype=wide, device=features_NE.device)
        grad_features = torch.empty_like(features_NE)
        grad_weight, grad_bias = torch.zeros_like(weight_ME), torch.zeros_like(bias_M)
        rows = _chunk_rows(inner_ND, features_NE)
        chunks = (each.split(rows) for each in (features_NE, inner_ND, sign_ND, grad_features))
        for features, inner, sign, grad in zip(*chunks, strict=True):
            features, nodes = features.to(wide), inner.flatten()
            vectors = weight_ME.detach().index_select(0, nodes).view(*inner.shape, -1)
            z = (vectors * features.unsqueeze(1)).sum(dim=2) + bias_M.detach()[inner]
            loss -= _log_decisions(z, sign).sum()
            dz = -sign * torch.sigmoid(-sign * z)
            grad.copy_((dz.unsqueeze(2) * vectors).sum(dim=1))
            grad_weight.index_add_(0, nodes, (dz.unsqueeze(2) * features.unsqueeze(1)).flatten(0, 1).to(grad_weight.dtype))
            grad_bias.index_add_(0, nodes, dz.flatten().to(grad_bias.dtype))
        ctx.gradients = grad_features, grad_weight, grad_bias
        return loss

    @staticmethod
    def backward(ctx, grad: Tensor):
        return *(each * grad.to(each.dtype) for each in ctx.gradients), None, None


class HierarchicalSoftmax(OutputLayer):
    """V - 1 inner nodes with a weight vector and a bias each; the tree is stored as each node's parent."""

    needs_counts = True

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(size - 1, width))
        self.bias = nn.Parameter(torch.zeros(size - 1))
        self.register_buffer("parent_M", torch.empty(2 * size - 2, dtype=torch.int32))  # of each node but the root
        derived(self, "inner_VD", "sign_VD", "sign_M", "order_M")
        self.levels: tuple[int, ...] = ()

    def arrange(self, counts_V: Tensor) -> None:
        parents, counts = huffman((2 * counts_V.long() + 1).tolist())  # twice the add-half counts
        parent_M = torch.tensor(parents)
        count_M = torch.tensor(counts[:-1], dtype=torch.float64)
        children_M2 = count_M[torch.argsort(parent_M, stable=True)].view(-1, 2)
        with torch.no_grad():
            self.parent_M.copy_(parent_M)
            self.bias.copy_((children_M2[:, 0] / children_M2[:, 1]).log())

    def prepare(self) -> None:
        found = paths(self.parent_M)
        self.inner_VD, self.sign_VD = found.inner_VD, found.sign_VD
        self.sign_M, self.order_M, self.levels = found.sign_M, found.order_M, found.levels

    def matrices(self) -> list[nn.Parameter]:
        return [self.weight]

    def loss(self, features_NE: Tensor, targets_N: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        inner_ND, sign_ND = self._paths(targets_N)
        total = PathCrossEntropy.apply(features_NE, self.weight, self.bias, inner_ND, sign_ND)
        return total / (targets_N != PADDING).sum().clamp(min=1)

    def score(self, features_NE: Tensor, targets_N: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        inner_ND, sign_ND = self._paths(targets_N)
        wide = torch.promote_types(features_NE.dtype, torch.float32)
        rows, parts = _chunk_rows(inner_ND, features_NE), []
        for features, inner, sign in zip(features_NE.split(rows), inner_ND.split(rows), sign_ND.split(rows), strict=True):
            z = (self.weight[inner] * features.to(wide).unsqueeze(1)).sum(dim=2) + self.bias[inner]
            parts.append(_log_decisions(z, sign).sum(dim=1))
        return torch.cat(parts)

    def predict(self, features_NE: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        wide = torch.promote_types(features_NE.dtype, torch.float32)
        size = len(self.bias) + 1
        z_MN = F.linear(self.weight.to(wide), features_NE.to(wide)).to(wide) + self.bias.unsqueeze(1)
        logprob_MN = z_MN.new_zeros(2 * size - 1, len(features_NE))  # of reaching each node
        for nodes in self.order_M.split(self.levels):
            parents = self.parent_M[nodes]
            decision = F.logsigmoid(self.sign_M[nodes].unsqueeze(1) * z_MN[parents - size])
            logprob_MN[nodes] = logprob_MN[parents] + decision
        return logprob_MN[:size].t().contiguous()

    def _paths(self, targets_N: Tensor) -> tuple[Tensor, Tensor]:
        """Inner nodes and signs of the targets' paths, (N, D) each; padding has none."""
        word_N = targets_N.clamp(min=0)
        return self.inner_VD[word_N], self.sign_VD[word_N] * (targets_N != PADDING).unsqueeze(1)


def _log_decisions(z_ND: Tensor, sign_ND: Tensor) -> Tensor:
    return F.logsigmoid(sign_ND * z_ND) * sign_ND.abs()


def _chunk_rows(inner_ND: Tensor, features_NE: Tensor) -> int:
    return max(1, CHUNK_NUMBERS // (inner_ND.shape[1] * features_NE.shape[1]))
