"""Hierarchical softmax (Morin & Bengio 2005) over a Huffman tree (Mikolov et al. 2013, "Distributed representations", 2.1).

Each inner node decides between its two children by a logistic regression on the features; a word's probability is the
product of the decisions on its path: P(w | h) = prod_d sigmoid(sign_d (v_d . h + b_d)). The rarer a word, the longer its
path (Huffman 1952): a token costs about log2 V products of width E instead of V.

Nodes are numbered: words 0 ... V-1, inner nodes V ... 2V-2 in the order in which they are joined, so that a parent has
a larger number than its children and the root is the last.
"""

import heapq
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnlm.errors import ModelError
from rnnlm.interface import PADDING
from rnnlm.neural.outputs.base import OutputLayer, derived

CHUNK_NUMBERS = 1 << 22  # of gathered weights at once
DEEPEST = 100  # a Huffman tree over counts below 2^64 has at most log 2^64 / log 1.618 = 93 levels


class HierarchicalSoftmax(OutputLayer):
    """V - 1 inner nodes with a weight vector and a bias each; the tree is stored as each node's parent."""

    needs_counts = True
    parent_M: Tensor
    inner_VD: Tensor
    sign_VD: Tensor
    sign_M: Tensor
    order_M: Tensor

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


def _log_decisions(z_ND: Tensor, sign_ND: Tensor) -> Tensor:
    return F.logsigmoid(sign_ND * z_ND) * sign_ND.abs()


def _chunk_rows(inner_ND: Tensor, features_NE: Tensor) -> int:
    return max(1, CHUNK_NUMBERS // (inner_ND.shape[1] * features_NE.shape[1]))


def huffman(counts: list[int]) -> tuple[list[int], list[int]]:
    """Each node's parent (2V - 2 of them: the root has none) and each node's count (2V - 1), for whole-numbered counts.

    Equal counts are joined in the order of their numbers, so the tree is the same everywhere.
    """
    counts, parents = list(counts), [0] * (2 * len(counts) - 2)
    heap = list(zip(counts, range(len(counts)), strict=True))
    heapq.heapify(heap)
    while len(heap) > 1:
        (a, left), (b, right) = heapq.heappop(heap), heapq.heappop(heap)
        parents[left] = parents[right] = node = len(counts)
        counts.append(a + b)
        heapq.heappush(heap, (a + b, node))
    return parents, counts


@dataclass(frozen=True)
class Paths:
    """The ways from the root to the words, D the longest; inner nodes are numbered from 0 here.

    inner_VD: inner nodes of each word's path, bottom up, int32, 0 where it has ended. sign_VD: int8, +1 where the path goes
    on to a node's first child, -1 to the second, 0 where it has ended. order_M: all nodes but the root, by depth;
    levels: how many of them each depth has. sign_M: each node's own sign.
    """

    inner_VD: Tensor
    sign_VD: Tensor
    sign_M: Tensor
    order_M: Tensor
    levels: tuple[int, ...]


def paths(parent_M: Tensor) -> Paths:
    """The paths of a tree of M + 1 nodes, given each node's parent; all words climb at once, a level at a time.

    Raises:
        ModelError: it is not a binary tree whose parents have larger numbers than their children, or no Huffman tree.
    """
    M, V = len(parent_M), len(parent_M) // 2 + 1
    node_M, parent_M = torch.arange(M, device=parent_M.device), parent_M.long()
    sorted_M, order_M = torch.sort(parent_M, stable=True)
    if not torch.equal(sorted_M, V + node_M // 2) or not bool((parent_M > node_M).all()):
        raise ModelError("the output layer's tree is damaged", "it is not a binary tree over the vocabulary")
    sign_M = torch.empty_like(parent_M)
    sign_M[order_M] = 1 - 2 * (node_M % 2)  # of two children in a row, the first is the one with the smaller number
    root, climbing = M, torch.arange(M, device=parent_M.device)
    depth_M, inner, signs = torch.zeros_like(parent_M), [], []
    parent_of, sign_of = torch.cat([parent_M, parent_M.new_tensor([root])]), torch.cat([sign_M, sign_M.new_zeros(1)])
    while bool((climbing != root).any()):
        depth_M += climbing != root
        above = parent_of[climbing]
        inner.append(torch.where(climbing[:V] == root, 0, above[:V] - V).int())
        signs.append(sign_of[climbing[:V]].to(torch.int8))
        climbing = above
        if len(inner) > DEEPEST:  # the tables of a chain would fill the memory
            raise ModelError("the output layer's tree is damaged", "it is deeper than any Huffman tree")
    return Paths(
        torch.stack(inner, dim=1), torch.stack(signs, dim=1), sign_M, torch.argsort(depth_M, stable=True),
        tuple(torch.bincount(depth_M)[1:].tolist()),
    )  # fmt: skip
