"""Output layers that group words: adaptive softmax, word classes, trees."""

import contextlib
import heapq
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from rnnlm.errors import ModelError
from rnnlm.interface import PADDING
from rnnlm.lm.neural.outputs.softmax import (
    CHUNK_LOGITS,
    LinearCrossEntropy,
    OutputLayer,
    linear_logits,
    log_likelihood,
    register_derived,
    unigram,
)
from rnnlm.lm.neural.shapes import class_count, cluster_ends, cluster_width

# ---- Adaptive softmax (Grave et al. 2017, "Efficient softmax approximation for GPUs", section 4).
#
# The head holds the most frequent words and one token for each cluster of rarer words; each cluster
# has its own softmax, over features projected to smaller and smaller widths: P(w | h) =
# P_head(cluster | h) P_cluster(w | h).


class AdaptiveSoftmax(OutputLayer):
    """The adaptive softmax. Clusters end at the ranks `cutoffs` (and at V); the first is the head.
    The i-th tail has width E / shrink^i.

    Unlike in the paper, clusters have biases, so that training can start at the unigram
    distribution.
    """

    needs_counts = True
    order_V: Tensor
    rank_V: Tensor

    def __init__(
        self, size: int, width: int, cutoffs: tuple[int, ...] | None, shrink: float
    ) -> None:
        super().__init__()
        self.ends = cluster_ends(size, cutoffs, shrink)
        sizes = [end - start for start, end in pairwise(self.ends)]
        widths = [cluster_width(width, shrink, i) for i in range(1, len(self.ends))]

        # The head, and of each tail a projection, weights and biases.
        head_size = self.ends[0] + len(sizes)
        self.head_weight = nn.Parameter(torch.empty(head_size, width))
        self.head_bias = nn.Parameter(torch.zeros(head_size))
        self.projections = nn.ParameterList()
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for count, narrow in zip(sizes, widths, strict=True):
            self.projections.append(torch.empty(narrow, width))
            self.weights.append(torch.empty(count, narrow))
            self.biases.append(torch.zeros(count))

        self.register_buffer("order_V", torch.empty(size, dtype=torch.int32))  # rank to id
        register_derived(self, "rank_V")  # id to rank

    def arrange(self, counts_V: Tensor) -> None:
        order_V = order_by_count(counts_V)
        p_V = unigram(counts_V)[order_V.long()]
        head, *tails = p_V.tensor_split(self.ends[:-1])
        cluster_masses = [tail.sum(dim=0, keepdim=True) for tail in tails]
        with torch.no_grad():
            self.order_V.copy_(order_V)
            self.head_bias.copy_(torch.cat([head, *cluster_masses]).log())
            for bias, tail in zip(self.biases, tails, strict=True):
                bias.copy_(tail.log())

    def prepare(self) -> None:
        self.rank_V = ranks(self.order_V)

    def matrices(self) -> list[nn.Parameter]:
        return [self.head_weight, *self.projections, *self.weights]

    def loss(self, features_NE: Tensor, targets_N: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        rank_N = self._ranks(targets_N)
        kept = (rank_N != PADDING).sum().clamp(min=1)
        head_N = self._head_targets(rank_N)
        loss = LinearCrossEntropy.apply(features_NE, self.head_weight, self.head_bias, head_N)
        for _, features_nD, weight, bias, local_n in self._tails(features_NE, rank_N):
            share = (local_n != PADDING).sum() / kept
            loss = loss + share * LinearCrossEntropy.apply(features_nD, weight, bias, local_n)
        return loss

    def score(
        self, features_NE: Tensor, targets_N: Tensor, tied_VE: Tensor | None = None
    ) -> Tensor:
        rank_N = self._ranks(targets_N)
        head_N = self._head_targets(rank_N)
        logprob_N = log_likelihood(features_NE, self.head_weight, self.head_bias, head_N)
        for rows, features_nD, weight, bias, local_n in self._tails(features_NE, rank_N):
            logprob_N[rows] += log_likelihood(features_nD, weight, bias, local_n)
        return logprob_N

    def predict(self, features_NE: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        logits = linear_logits(features_NE, self.head_weight, self.head_bias)
        words, clusters = torch.log_softmax(logits, dim=1).tensor_split([self.ends[0]], dim=1)
        parts = [words]
        tails = zip(self.projections, self.weights, self.biases, strict=True)
        for i, (projection, weight, bias) in enumerate(tails):
            logits = linear_logits(self._project(features_NE, projection), weight, bias)
            parts.append(torch.log_softmax(logits, dim=1) + clusters[:, i : i + 1])
        return torch.cat(parts, dim=1).index_select(1, self.rank_V)

    def _ranks(self, targets_N: Tensor) -> Tensor:
        return torch.where(targets_N == PADDING, PADDING, self.rank_V[targets_N.clamp(min=0)])

    def _head_targets(self, rank_N: Tensor) -> Tensor:
        """Return the targets of the head: of a frequent word itself, of a rarer one its
        cluster."""
        head = self.ends[0]
        target_N = rank_N.clamp(max=head)
        for start in self.ends[1:-1]:
            target_N = target_N + (rank_N >= start)
        return target_N

    def _tails(
        self, features_NE: Tensor, rank_N: Tensor
    ) -> Iterator[tuple[Tensor | slice, Tensor, Tensor, Tensor, Tensor]]:
        """Yield for each cluster the rows with targets in it, their projected features, its weight
        and bias, and the targets within it.

        Picking the rows needs their number on the host. On the CPU that is free. Another device
        would have to be waited for, and pays less for idle rows: there all rows are taken, with
        padding for targets elsewhere. A cluster without targets is included, too: its gradient is
        zero, not missing.
        """
        rows = [slice(None)] * len(self.weights)
        if len(self.weights) and picks_rows(features_NE):
            # The head and padding are group 0.
            group_N = torch.bucketize(rank_N, torch.tensor(self.ends[:-1]), right=True)
            order_N, counts = rows_by_group(group_N, len(self.weights))
            rows = order_N.split(counts)[1:]
        for i, (start, end) in enumerate(pairwise(self.ends)):
            rank_n = rank_N[rows[i]]
            is_inside_n = (rank_n >= start) & (rank_n < end)
            local_n = torch.where(is_inside_n, rank_n - start, PADDING)
            features_nD = self._project(features_NE[rows[i]], self.projections[i])
            yield rows[i], features_nD, self.weights[i], self.biases[i], local_n

    @staticmethod
    def _project(features_NE: Tensor, projection_DE: Tensor) -> Tensor:
        return torch.mm(features_NE, projection_DE.to(features_NE.dtype).t())


# ---- The vocabulary in descending count, cut into groups of neighbours: clusters of the adaptive
# softmax, classes.
#
# A token's rank is its place in that order; a group is a run of ranks.


def order_by_count(counts_V: Tensor) -> Tensor:
    """Sort the tokens by descending count, equal counts by ascending id: rank to id, (V,) int32."""
    return torch.argsort(counts_V, descending=True, stable=True).int()


def ranks(order_V: Tensor) -> Tensor:
    """Invert an order: id to rank, (V,) int64. Refuse one that is not a permutation."""
    sorted_V, rank_V = torch.sort(order_V.long())
    if not torch.equal(sorted_V, torch.arange(len(order_V), device=order_V.device)):
        raise ModelError(
            "the output layer's order of words is damaged",
            "it is not a permutation of the vocabulary",
        )
    return rank_V


def picks_rows(features_NE: Tensor) -> bool:
    """Return whether a group is computed for its own rows alone, which is done where the host need
    not wait for a device to count them."""
    return features_NE.device.type == "cpu"


def rows_by_group(group_N: Tensor, groups: int) -> tuple[Tensor, list[int]]:
    """Sort the rows by group; return them, and how many each of the groups 0 ... `groups` has. Only
    where :func:`picks_rows` says so."""
    counts = torch.bincount(group_N, minlength=groups + 1).tolist()
    return torch.argsort(group_N, stable=True), counts


# ---- Class-factored softmax, P(w | h) = P(class | h) P(w | class, h) (Goodman 2001; Mikolov et al.
# 2011, its factorised output layer).
#
# Words in descending frequency are cut into classes of equal mass of the square root of frequency,
# as in later versions of Mikolov's toolkit (in the paper: of frequency itself, which makes the
# rarest words one huge class). On the CPU a token then costs about C + |class| products instead of
# V.


class Slices(torch.autograd.Function):
    """Some slices of a tensor along its first dimension, which do not overlap.

    Its gradient is filled once; torch's own split would first make zeros for every slice that is
    not used.
    """

    @staticmethod
    def forward(ctx, whole: Tensor, *slices: slice) -> tuple[Tensor, ...]:
        ctx.slices, ctx.shape = slices, whole.shape
        return tuple(whole[rows] for rows in slices)

    @staticmethod
    def backward(ctx, *gradients: Tensor):
        gradient = gradients[0].new_zeros(ctx.shape)
        for rows, part in zip(ctx.slices, gradients, strict=True):
            gradient[rows] = part
        return gradient, *[None] * len(ctx.slices)


class ClassSoftmax(OutputLayer):
    """The class-factored softmax, with C classes (None: the square root of V). Rows of `weight` and
    `bias` are in order of rank, tied weights in order of ids."""

    needs_counts = True
    weight: nn.Parameter
    order_V: Tensor
    starts_C: Tensor
    rank_V: Tensor
    class_V: Tensor

    def __init__(self, size: int, width: int, classes: int | None, tied: bool) -> None:
        super().__init__()
        classes = class_count(size, classes)
        self.class_weight = nn.Parameter(torch.empty(classes, width))
        self.class_bias = nn.Parameter(torch.zeros(classes))
        self.register_parameter("weight", None if tied else nn.Parameter(torch.empty(size, width)))
        self.bias = nn.Parameter(torch.zeros(size))
        self.register_buffer("order_V", torch.empty(size, dtype=torch.int32))  # rank to id
        self.register_buffer("starts_C", torch.empty(classes, dtype=torch.int32))  # first ranks
        register_derived(self, "rank_V", "class_V")  # id to rank; rank to class
        self.sizes: list[int] = []

    def arrange(self, counts_V: Tensor) -> None:
        order_V = order_by_count(counts_V)
        p_V = unigram(counts_V)[order_V.long()]
        starts_C = class_starts(p_V.sqrt(), len(self.starts_C))
        masses = [part.sum() for part in p_V.tensor_split(starts_C[1:])]
        with torch.no_grad():
            self.order_V.copy_(order_V)
            self.starts_C.copy_(starts_C)
            self.bias.copy_(p_V.log())
            self.class_bias.copy_(torch.stack(masses).log())

    def prepare(self) -> None:
        self.rank_V = ranks(self.order_V)
        size, starts_C = len(self.order_V), self.starts_C.long()
        ends_C = torch.cat([starts_C[1:], starts_C.new_tensor([size])])
        self.sizes = (ends_C - starts_C).tolist()
        if min(self.sizes) < 1 or sum(self.sizes) != size:
            raise ModelError(
                "the output layer's classes are damaged", "their first words do not ascend"
            )
        rank_V = torch.arange(size, device=ends_C.device)
        self.class_V = torch.searchsorted(ends_C, rank_V, right=True)

    def matrices(self) -> list[nn.Parameter]:
        return [self.class_weight] if self.weight is None else [self.class_weight, self.weight]

    def loss(self, features_NE: Tensor, targets_N: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        rank_N, class_N = self._targets(targets_N)
        loss = LinearCrossEntropy.apply(features_NE, self.class_weight, self.class_bias, class_N)
        kept = (class_N != PADDING).sum().clamp(min=1)
        weight_VE = self._weight(tied_VE)

        # The sum over the targets of -log P(w | class, h).
        within: Tensor | float = 0.0
        if picks_rows(features_NE):
            with _few_rows(features_NE) as features_NE:
                for _, part in self._groups_by_class(features_NE, weight_VE, rank_N, class_N):
                    within = within + LinearCrossEntropy.apply(*part) * len(part[-1])
            return loss + within / kept
        for chunk in self._chunks(features_NE, weight_VE, rank_N):
            logprob_n = checkpoint(
                self._within, *chunk, use_reentrant=False, preserve_rng_state=False
            )
            within = within + logprob_n.sum()
        return loss - within / kept

    def score(
        self, features_NE: Tensor, targets_N: Tensor, tied_VE: Tensor | None = None
    ) -> Tensor:
        rank_N, class_N = self._targets(targets_N)
        logprob_N = log_likelihood(features_NE, self.class_weight, self.class_bias, class_N)
        weight_VE = self._weight(tied_VE)
        if picks_rows(features_NE):
            with _few_rows(features_NE) as features_NE:
                for rows, part in self._groups_by_class(features_NE, weight_VE, rank_N, class_N):
                    logprob_N[rows] += log_likelihood(*part)
            return logprob_N
        within = [self._within(*chunk) for chunk in self._chunks(features_NE, weight_VE, rank_N)]
        return logprob_N + torch.cat(within)

    def predict(self, features_NE: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        class_logits_NC = linear_logits(features_NE, self.class_weight, self.class_bias)
        class_NC = torch.log_softmax(class_logits_NC, dim=1)
        logits_NV = linear_logits(features_NE, self._weight(tied_VE), self.bias)
        within = [torch.log_softmax(part, dim=1) for part in logits_NV.split(self.sizes, dim=1)]
        by_rank_NV = torch.cat(within, dim=1) + class_NC.index_select(1, self.class_V)
        return by_rank_NV.index_select(1, self.rank_V)

    def _weight(self, tied_VE: Tensor | None) -> Tensor:
        """Return the words' weights, in order of rank."""
        return self.weight if tied_VE is None else tied_VE.index_select(0, self.order_V)

    def _targets(self, targets_N: Tensor) -> tuple[Tensor, Tensor]:
        """Return the targets' ranks and classes; padding stays padding."""
        is_padding = targets_N == PADDING
        rank_N = self.rank_V[targets_N.clamp(min=0)]
        class_N = self.class_V[rank_N]
        return (torch.where(is_padding, PADDING, rank_N), torch.where(is_padding, PADDING, class_N))

    def _groups_by_class(
        self, features_NE: Tensor, weight_VE: Tensor, rank_N: Tensor, class_N: Tensor
    ) -> Iterator[tuple[Tensor, tuple[Tensor, Tensor, Tensor, Tensor]]]:
        """Yield for each class among the targets its rows, and their features, the class's weight
        and bias, and the targets within it.

        For the CPU. All is sorted and cut once, so that its gradient is put together once, not
        class by class. The first class always comes: a window of padding has a gradient of zero,
        not none.
        """
        classes = len(self.sizes)
        group_N = torch.where(class_N == PADDING, classes, class_N)  # padding comes last
        order_N, counts = rows_by_group(group_N, classes)
        local_N = (rank_N - self.starts_C[class_N.clamp(min=0)])[order_N]

        # Where each class's targets and words begin and end, in sorted order.
        rows, words = [], []
        first_row = first_word = 0
        for count, size in zip(counts, self.sizes, strict=False):
            if count or not first_word:
                rows.append(slice(first_row, first_row + count))
                words.append(slice(first_word, first_word + size))
            first_row += count
            first_word += size

        features = Slices.apply(features_NE.index_select(0, order_N), *rows)
        weights = Slices.apply(weight_VE, *words)
        biases = Slices.apply(self.bias, *words)
        for i, chosen in enumerate(rows):
            yield order_N[chosen], (features[i], weights[i], biases[i], local_N[chosen])

    def _chunks(
        self, features_NE: Tensor, weight_VE: Tensor, rank_N: Tensor
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield a few rows at a time, for devices that the host should not wait for."""
        rows = max(1, CHUNK_LOGITS // len(self.bias))
        for features_nE, rank_n in zip(features_NE.split(rows), rank_N.split(rows), strict=True):
            yield features_nE, weight_VE, rank_n

    def _within(self, features_nE: Tensor, weight_VE: Tensor, rank_n: Tensor) -> Tensor:
        """Compute log P(w | class, h), 0 for padding, from the logits of all words, with words of
        other classes masked out."""
        index_n1 = rank_n.clamp(min=0).unsqueeze(1)
        other_nV = self.class_V != self.class_V[index_n1]
        logits_nV = linear_logits(features_nE, weight_VE, self.bias)
        logits_nV = logits_nV.masked_fill(other_nV, -torch.inf)
        target_n = logits_nV.gather(1, index_n1).squeeze(1)
        return (target_n - torch.logsumexp(logits_nV, dim=1)) * (rank_n != PADDING)


def class_starts(mass_V: Tensor, classes: int) -> Tensor:
    """Return the first rank of each class, (C,) int64: words in order of rank, cut where 1/C, 2/C,
    ... of the mass is reached.

    No class is empty: a word heavier than a class's share is a class by itself, and the classes
    after it begin later.
    """
    before_V = mass_V.cumsum(0) - mass_V
    shares_C = torch.arange(classes, dtype=mass_V.dtype) / classes * mass_V.sum()
    index_C = torch.arange(classes)
    surplus_C = (torch.searchsorted(before_V, shares_C) - index_C).cummax(0).values
    return torch.minimum(surplus_C + index_C, len(mass_V) - classes + index_C)


@contextlib.contextmanager
def _few_rows(features_NE: Tensor) -> Iterator[Tensor]:
    """Give the features in fp32 or wider, and turn autocast off: products of a few rows, each of
    another shape, take three times as long in bf16."""
    with torch.autocast(features_NE.device.type, enabled=False):
        yield features_NE.to(torch.promote_types(features_NE.dtype, torch.float32))


# ---- Hierarchical softmax (Morin & Bengio 2005) over a Huffman tree (Mikolov et al. 2013,
# "Distributed representations", 2.1).
#
# Each inner node decides between its two children by a logistic regression on the features; a
# word's probability is the product of the decisions on its path: P(w | h) = prod_d sigmoid(sign_d
# (v_d . h + b_d)). The rarer a word, the longer its path (Huffman 1952): a token costs about log2 V
# products of width E instead of V.
#
# Nodes are numbered: words 0 ... V-1, inner nodes V ... 2V-2 in the order in which they are joined,
# so that a parent has a larger number than its children and the root is the last.

CHUNK_NUMBERS = 1 << 22  # of gathered weights at once
DEEPEST = 100  # a Huffman tree over counts below 2^64 has at most log 2^64 / log 1.618 = 93 levels


class HierarchicalSoftmax(OutputLayer):
    """The hierarchical softmax: V - 1 inner nodes with a weight vector and a bias each. The tree is
    stored as each node's parent."""

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
        # The parent of each node but the root.
        self.register_buffer("parent_M", torch.empty(2 * size - 2, dtype=torch.int32))
        register_derived(self, "inner_VD", "sign_VD", "sign_M", "order_M")
        self.levels: tuple[int, ...] = ()

    def arrange(self, counts_V: Tensor) -> None:
        parents, counts = huffman((2 * counts_V.long() + 1).tolist())  # twice the add-half counts
        parent_M = torch.tensor(parents)
        count_M = torch.tensor(counts[:-1], dtype=torch.float64)
        # A node's bias is the log-odds of its children.
        children_M2 = count_M[torch.argsort(parent_M, stable=True)].view(-1, 2)
        with torch.no_grad():
            self.parent_M.copy_(parent_M)
            self.bias.copy_((children_M2[:, 0] / children_M2[:, 1]).log())

    def prepare(self) -> None:
        (self.inner_VD, self.sign_VD, self.sign_M, self.order_M, self.levels) = paths(self.parent_M)

    def matrices(self) -> list[nn.Parameter]:
        return [self.weight]

    def loss(self, features_NE: Tensor, targets_N: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        inner_ND, sign_ND = self._paths(targets_N)
        total = PathCrossEntropy.apply(features_NE, self.weight, self.bias, inner_ND, sign_ND)
        return total / (targets_N != PADDING).sum().clamp(min=1)

    def score(
        self, features_NE: Tensor, targets_N: Tensor, tied_VE: Tensor | None = None
    ) -> Tensor:
        inner_ND, sign_ND = self._paths(targets_N)
        wide = torch.promote_types(features_NE.dtype, torch.float32)
        rows = _chunk_rows(inner_ND, features_NE)
        chunks = [tensor.split(rows) for tensor in (features_NE, inner_ND, sign_ND)]
        parts = []
        for features, inner, sign in zip(*chunks, strict=True):
            z = (self.weight[inner] * features.to(wide).unsqueeze(1)).sum(dim=2) + self.bias[inner]
            parts.append(_log_decisions(z, sign).sum(dim=1))
        return torch.cat(parts)

    def predict(self, features_NE: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        wide = torch.promote_types(features_NE.dtype, torch.float32)
        size = len(self.bias) + 1
        z_MN = F.linear(self.weight.to(wide), features_NE.to(wide)).to(wide)
        z_MN = z_MN + self.bias.unsqueeze(1)

        # The log-probability of reaching each node, from the root down.
        logprob_MN = z_MN.new_zeros(2 * size - 1, len(features_NE))
        for nodes in self.order_M.split(self.levels):
            parents = self.parent_M[nodes]
            decision = F.logsigmoid(self.sign_M[nodes].unsqueeze(1) * z_MN[parents - size])
            logprob_MN[nodes] = logprob_MN[parents] + decision
        return logprob_MN[:size].t().contiguous()

    def _paths(self, targets_N: Tensor) -> tuple[Tensor, Tensor]:
        """Return the inner nodes and signs of the targets' paths, (N, D) each; padding has none."""
        word_N = targets_N.clamp(min=0)
        return self.inner_VD[word_N], self.sign_VD[word_N] * (targets_N != PADDING).unsqueeze(1)


class PathCrossEntropy(torch.autograd.Function):
    """Sum over rows and path nodes of -log sigmoid(sign (v_node . h + b_node)); a sign of 0 is no
    node.

    With z the logit, d loss / d z = -sign sigmoid(-sign z). The gradients are found in the forward
    pass, chunk by chunk, since the vectors of all paths, N D E numbers, are much more than the
    features. Computed in fp32 or wider: the sums are bound by memory, so that narrower products
    would gain nothing.
    """

    @staticmethod
    def forward(
        ctx,
        features_NE: Tensor,
        weight_ME: Tensor,
        bias_M: Tensor,
        inner_ND: Tensor,
        sign_ND: Tensor,
    ) -> Tensor:
        wide = torch.promote_types(features_NE.dtype, torch.float32)
        weight, bias = weight_ME.detach(), bias_M.detach()

        # Sums over the chunks.
        loss = torch.zeros((), dtype=wide, device=features_NE.device)
        grad_features = torch.empty_like(features_NE)
        grad_weight, grad_bias = torch.zeros_like(weight_ME), torch.zeros_like(bias_M)
        rows = _chunk_rows(inner_ND, features_NE)
        chunks = [tensor.split(rows) for tensor in (features_NE, inner_ND, sign_ND, grad_features)]
        for features, inner, sign, grad in zip(*chunks, strict=True):
            features, nodes = features.to(wide), inner.flatten()
            vectors = weight.index_select(0, nodes).view(*inner.shape, -1)
            z = (vectors * features.unsqueeze(1)).sum(dim=2) + bias[inner]
            loss -= _log_decisions(z, sign).sum()

            dz = -sign * torch.sigmoid(-sign * z)
            grad.copy_((dz.unsqueeze(2) * vectors).sum(dim=1))
            dvectors = (dz.unsqueeze(2) * features.unsqueeze(1)).flatten(0, 1)
            grad_weight.index_add_(0, nodes, dvectors.to(grad_weight.dtype))
            grad_bias.index_add_(0, nodes, dz.flatten().to(grad_bias.dtype))
        ctx.gradients = grad_features, grad_weight, grad_bias
        return loss

    @staticmethod
    def backward(ctx, grad: Tensor):
        return *(gradient * grad.to(gradient.dtype) for gradient in ctx.gradients), None, None


def _log_decisions(z_ND: Tensor, sign_ND: Tensor) -> Tensor:
    return F.logsigmoid(sign_ND * z_ND) * sign_ND.abs()


def _chunk_rows(inner_ND: Tensor, features_NE: Tensor) -> int:
    return max(1, CHUNK_NUMBERS // (inner_ND.shape[1] * features_NE.shape[1]))


def huffman(counts: list[int]) -> tuple[list[int], list[int]]:
    """Build a Huffman tree over whole-numbered counts: return each node's parent (2V - 2 of them:
    the root has none) and each node's count (2V - 1).

    Nodes of equal counts are joined in the order of their numbers, so the tree is the same
    everywhere.
    """
    counts = list(counts)
    parents = [0] * (2 * len(counts) - 2)
    heap = list(zip(counts, range(len(counts)), strict=True))
    heapq.heapify(heap)
    while len(heap) > 1:
        a, left = heapq.heappop(heap)
        b, right = heapq.heappop(heap)
        node = len(counts)
        parents[left] = parents[right] = node
        counts.append(a + b)
        heapq.heappush(heap, (a + b, node))
    return parents, counts


class Paths(NamedTuple):
    """The paths from the root to the words, D the longest; inner nodes are numbered from 0 here.

    inner_VD: inner nodes of each word's path, bottom up, int32, 0 where it has ended. sign_VD:
    int8, +1 where the path continues to a node's first child, -1 to the second, 0 where it has
    ended. order_M: all nodes but the root, by depth; levels: how many of them each depth has.
    sign_M: each node's own sign.
    """

    inner_VD: Tensor
    sign_VD: Tensor
    sign_M: Tensor
    order_M: Tensor
    levels: tuple[int, ...]


def paths(parent_M: Tensor) -> Paths:
    """Find the paths of a tree of M + 1 nodes, given each node's parent.

    All words climb at once, a level at a time. A tree that is not binary, whose parents do not have
    larger numbers than their children, or that is no Huffman tree is refused.
    """
    damaged = "the output layer's tree is damaged"
    M, V = len(parent_M), len(parent_M) // 2 + 1
    root = M
    node_M = torch.arange(M, device=parent_M.device)
    parent_M = parent_M.long()
    sorted_M, order_M = torch.sort(parent_M, stable=True)
    if not torch.equal(sorted_M, V + node_M // 2) or not bool((parent_M > node_M).all()):
        raise ModelError(damaged, "it is not a binary tree over the vocabulary")

    # Of the two children in a row, the first is the one with the smaller number.
    sign_M = torch.empty_like(parent_M)
    sign_M[order_M] = 1 - 2 * (node_M % 2)

    # The root is above itself, so that nodes which have reached it can keep climbing.
    parent_of = torch.cat([parent_M, parent_M.new_tensor([root])])
    sign_of = torch.cat([sign_M, sign_M.new_zeros(1)])
    depth_M = torch.zeros_like(parent_M)
    climbing_M = torch.arange(M, device=parent_M.device)
    inner, signs = [], []
    while bool((climbing_M != root).any()):
        depth_M += climbing_M != root
        above_M = parent_of[climbing_M]
        words_V = climbing_M[:V]
        inner.append(torch.where(words_V == root, 0, above_M[:V] - V).int())
        signs.append(sign_of[words_V].to(torch.int8))
        climbing_M = above_M
        if len(inner) > DEEPEST:  # the tables of a chain would fill the memory
            raise ModelError(damaged, "it is deeper than any Huffman tree")
    return Paths(
        inner_VD=torch.stack(inner, dim=1),
        sign_VD=torch.stack(signs, dim=1),
        sign_M=sign_M,
        order_M=torch.argsort(depth_M, stable=True),
        levels=tuple(torch.bincount(depth_M)[1:].tolist()),
    )
