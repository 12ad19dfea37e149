"""Adaptive softmax (Grave et al. 2017, "Efficient softmax approximation for GPUs", section 4).

The head holds the most frequent words and one token for each cluster of rarer words; a cluster has a softmax of its own,
over features projected to ever smaller widths: P(w | h) = P_head(cluster | h) P_cluster(w | h).
"""

import math
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

from rnnlm.errors import SettingsError
from rnnlm.interface import PADDING
from rnnlm.neural.outputs.base import OutputLayer, derived, unigram
from rnnlm.neural.outputs.linear_cross_entropy import LinearCrossEntropy
from rnnlm.neural.outputs.softmax import linear_logits, log_likelihood
from rnnlm.neural.outputs.word_groups import order_by_count, picks_rows, ranks, rows_by_group

SMALLEST_HEAD = 2048
NARROWEST_CLUSTER = 16


class AdaptiveSoftmax(OutputLayer):
    """Clusters end at the ranks `cutoffs` (and at V); the first is the head. The i-th tail has width E / shrink^i.

    Unlike in the paper, clusters have biases, so that training can start at the unigram distribution.

    Raises:
        SettingsError: the cut-offs do not ascend between 1 and V - 1.
    """

    needs_counts = True
    order_V: Tensor
    rank_V: Tensor

    def __init__(self, size: int, width: int, cutoffs: tuple[int, ...] | None, shrink: float) -> None:
        super().__init__()
        self.ends = (*_checked(default_cutoffs(size, shrink) if cutoffs is None else cutoffs, size), size)
        sizes = [end - start for start, end in pairwise(self.ends)]
        widths = [cluster_width(width, shrink, i) for i in range(1, len(self.ends))]
        head_size = self.ends[0] + len(sizes)
        self.head_weight = nn.Parameter(torch.empty(head_size, width))
        self.head_bias = nn.Parameter(torch.zeros(head_size))
        self.projections = nn.ParameterList(torch.empty(narrow, width) for narrow in widths)
        self.weights = nn.ParameterList(torch.empty(*shape) for shape in zip(sizes, widths, strict=True))
        self.biases = nn.ParameterList(torch.zeros(each) for each in sizes)
        self.register_buffer("order_V", torch.empty(size, dtype=torch.int32))  # rank to id
        derived(self, "rank_V")  # id to rank

    def arrange(self, counts_V: Tensor) -> None:
        order_V = order_by_count(counts_V)
        p_V = unigram(counts_V)[order_V.long()]
        head, *tails = p_V.tensor_split(self.ends[:-1])
        with torch.no_grad():
            self.order_V.copy_(order_V)
            self.head_bias.copy_(torch.cat([head, *(tail.sum(dim=0, keepdim=True) for tail in tails)]).log())
            for bias, tail in zip(self.biases, tails, strict=True):
                bias.copy_(tail.log())

    def prepare(self) -> None:
        self.rank_V = ranks(self.order_V)

    def matrices(self) -> list[nn.Parameter]:
        return [self.head_weight, *self.projections, *self.weights]

    def loss(self, features_NE: Tensor, targets_N: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        rank_N = self._ranks(targets_N)
        kept = (rank_N != PADDING).sum().clamp(min=1)
        loss = LinearCrossEntropy.apply(features_NE, self.head_weight, self.head_bias, self._head_targets(rank_N))
        for _, features_nD, weight, bias, local_n in self._tails(features_NE, rank_N):
            share = (local_n != PADDING).sum() / kept
            loss = loss + share * LinearCrossEntropy.apply(features_nD, weight, bias, local_n)
        return loss

    def score(self, features_NE: Tensor, targets_N: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        rank_N = self._ranks(targets_N)
        logprob_N = log_likelihood(features_NE, self.head_weight, self.head_bias, self._head_targets(rank_N))
        for rows, features_nD, weight, bias, local_n in self._tails(features_NE, rank_N):
            logprob_N[rows] += log_likelihood(features_nD, weight, bias, local_n)
        return logprob_N

    def predict(self, features_NE: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        head = torch.log_softmax(linear_logits(features_NE, self.head_weight, self.head_bias), dim=1)
        words, clusters = head.tensor_split([self.ends[0]], dim=1)
        parts = [words]
        for i, (projection, weight, bias) in enumerate(zip(self.projections, self.weights, self.biases, strict=True)):
            logits = linear_logits(self._project(features_NE, projection), weight, bias)
            parts.append(torch.log_softmax(logits, dim=1) + clusters[:, i : i + 1])
        return torch.cat(parts, dim=1).index_select(1, self.rank_V)

    def _ranks(self, targets_N: Tensor) -> Tensor:
        return torch.where(targets_N == PADDING, PADDING, self.rank_V[targets_N.clamp(min=0)])

    def _head_targets(self, rank_N: Tensor) -> Tensor:
        """A frequent word stands for itself, a rarer one for its cluster."""
        head = self.ends[0]
        target_N = rank_N.clamp(max=head)
        for start in self.ends[1:-1]:
            target_N = target_N + (rank_N >= start)
        return target_N

    def _tails(self, features_NE: Tensor, rank_N: Tensor) -> Iterator[tuple[Tensor | slice, Tensor, Tensor, Tensor, Tensor]]:
        """Of each cluster: the rows with targets in it, their projected features, its weight and bias, targets within it.

        Picking the rows needs their number on the host. On the CPU that is free. Another device would have to be waited
        for, and pays less for idle rows: there all rows are taken, with padding for targets elsewhere. A cluster without
        targets is included, too: its gradient is zero, not missing.
        """
        rows = [slice(None)] * len(self.weights)
        if len(self.weights) and picks_rows(features_NE):
            group_N = torch.bucketize(rank_N, torch.tensor(self.ends[:-1]), right=True)  # head and padding are group 0
            order_N, counts = rows_by_group(group_N, len(self.weights))
            rows = order_N.split(counts)[1:]
        for i, (start, end) in enumerate(pairwise(self.ends)):
            local_n = rank_N[rows[i]]
            local_n = torch.where((local_n >= start) & (local_n < end), local_n - start, PADDING)
            features_nD = self._project(features_NE[rows[i]], self.projections[i])
            yield rows[i], features_nD, self.weights[i], self.biases[i], local_n

    @staticmethod
    def _project(features_NE: Tensor, projection_DE: Tensor) -> Tensor:
        return torch.mm(features_NE, projection_DE.to(features_NE.dtype).t())


def default_cutoffs(size: int, shrink: float) -> tuple[int, ...]:
    """Where clusters end by default: from V and the shrinking factor s alone, taking counts to be Zipf's, p ~ 1 / rank.

    With a head of k words and one tail, a token costs k + p_tail (V - k) / s columns of width E (the paper's cost
    model without its constant; p_tail = ln(V / k) / ln V), which is least near k = V / (s ln V). A second cut-off at the
    geometric mean of k and V halves the tail's mass and its cost more than that; the head is then most of the whole.
    A third could save another quarter, but gives the words behind it still narrower vectors. A head below 2,048 words
    saves nothing beside the hidden layers (an LSTM of 512 units has 4,096 columns of that width) and costs quality;
    where that is half of the vocabulary there are no clusters.
    """
    if size <= 2 * SMALLEST_HEAD:
        return ()
    head = max(SMALLEST_HEAD, round(size / (shrink * math.log(size))))
    return head, round(math.sqrt(head * size))


def cluster_width(width: int, shrink: float, i: int) -> int:
    """Width of the i-th tail: E / shrink^i, but not below 16 (narrower products save no time), nor above E."""
    return min(width, max(NARROWEST_CLUSTER, int(width / shrink**i)))


def _checked(cutoffs: tuple[int, ...], size: int) -> tuple[int, ...]:
    if any(end <= start for start, end in pairwise((0, *cutoffs, size))):
        raise SettingsError(
            f"cutoffs = {','.join(map(str, cutoffs))} is not valid",
            f"cut-offs must ascend, starting at 1 or later, and stay below the vocabulary's {size} words",
            "change them, or leave cutoffs out",
        )  # fmt: skip
    return cutoffs
