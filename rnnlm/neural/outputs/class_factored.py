"""Class-factored softmax, P(w | h) = P(class | h) P(w | class, h) (Goodman 2001; Mikolov et al. 2011, its factorised
output layer).

Words in descending frequency are cut into classes of equal mass of the square root of frequency, as in later versions of
Mikolov's toolkit (in the paper: of frequency itself, which makes the rarest words one huge class). On the CPU a token then
costs about C + |class| products instead of V.
"""

import contextlib
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from rnnlm.errors import ModelError, SettingsError
from rnnlm.interface import PADDING
from rnnlm.neural.outputs.base import OutputLayer, derived, unigram
from rnnlm.neural.outputs.linear_cross_entropy import LinearCrossEntropy
from rnnlm.neural.outputs.softmax import CHUNK_LOGITS, linear_logits, log_likelihood
from rnnlm.neural.outputs.word_groups import order_by_count, picks_rows, ranks, rows_by_group


class Slices(torch.autograd.Function):
    """Some slices of a tensor along its first dimension, which do not overlap.

    Its gradient is filled once; torch's own split would first make zeros for every slice that is not used.
    """

    @staticmethod
    def forward(ctx, whole: Tensor, *slices: slice) -> tuple[Tensor, ...]:
        ctx.slices, ctx.shape = slices, whole.shape
        return tuple(whole[each] for each in slices)

    @staticmethod
    def backward(ctx, *gradients: Tensor):
        gradient = gradients[0].new_zeros(ctx.shape)
        for each, part in zip(ctx.slices, gradients, strict=True):
            gradient[each] = part
        return gradient, *(None for _ in ctx.slices)


class ClassSoftmax(OutputLayer):
    """C classes (None: the square root of V). Rows of `weight` and `bias` are in order of rank; tied weights in that of ids.

    Raises:
        SettingsError: there are more classes than words.
    """

    needs_counts = True
    weight: nn.Parameter
    order_V: Tensor
    starts_C: Tensor
    rank_V: Tensor
    class_V: Tensor

    def __init__(self, size: int, width: int, classes: int | None, tied: bool) -> None:
        super().__init__()
        classes = round(math.sqrt(size)) if classes is None else classes
        if classes > size:
            what = f"classes = {classes} is more than the vocabulary's {size} words"
            raise SettingsError(what, hint="lower it, or leave it out")
        self.class_weight = nn.Parameter(torch.empty(classes, width))
        self.class_bias = nn.Parameter(torch.zeros(classes))
        self.register_parameter("weight", None if tied else nn.Parameter(torch.empty(size, width)))
        self.bias = nn.Parameter(torch.zeros(size))
        self.register_buffer("order_V", torch.empty(size, dtype=torch.int32))  # rank to id
        self.register_buffer("starts_C", torch.empty(classes, dtype=torch.int32))  # first rank of each class
        derived(self, "rank_V", "class_V")  # id to rank; rank to class
        self.sizes: list[int] = []

    def arrange(self, counts_V: Tensor) -> None:
        order_V = order_by_count(counts_V)
        p_V = unigram(counts_V)[order_V.long()]
        starts_C = class_starts(p_V.sqrt(), len(self.starts_C))
        with torch.no_grad():
            self.order_V.copy_(order_V)
            self.starts_C.copy_(starts_C)
            self.bias.copy_(p_V.log())
            self.class_bias.copy_(torch.stack([part.sum() for part in p_V.tensor_split(starts_C[1:])]).log())

    def prepare(self) -> None:
        self.rank_V = ranks(self.order_V)
        size, starts_C = len(self.order_V), self.starts_C.long()
        ends_C = torch.cat([starts_C[1:], starts_C.new_tensor([size])])
        self.sizes = (ends_C - starts_C).tolist()
        if min(self.sizes) < 1 or sum(self.sizes) != size:
            raise ModelError("the output layer's classes are damaged", "their first words do not ascend")
        self.class_V = torch.searchsorted(ends_C, torch.arange(size, device=ends_C.device), right=True)

    def matrices(self) -> list[nn.Parameter]:
        return [self.class_weight] if self.weight is None else [self.class_weight, self.weight]

    def loss(self, features_NE: Tensor, targets_N: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        rank_N, class_N = self._targets(targets_N)
        loss = LinearCrossEntropy.apply(features_NE, self.class_weight, self.class_bias, class_N)
        kept = (class_N != PADDING).sum().clamp(min=1)
        weight_VE = self._weight(tied_VE)
        if picks_rows(features_NE):
            with _few_rows(features_NE) as features_NE:
                parts = self._by_class(features_NE, weight_VE, rank_N, class_N)
                return loss + sum(LinearCrossEntropy.apply(*part) * len(part[-1]) for _, part in parts) / kept
        return loss - sum(
            checkpoint(self._within, *part, use_reentrant=False, preserve_rng_state=False).sum()
            for part in self._chunks(features_NE, weight_VE, rank_N)
        ) / kept  # fmt: skip

    def score(self, features_NE: Tensor, targets_N: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        rank_N, class_N = self._targets(targets_N)
        logprob_N = log_likelihood(features_NE, self.class_weight, self.class_bias, class_N)
        weight_VE = self._weight(tied_VE)
        if picks_rows(features_NE):
            with _few_rows(features_NE) as features_NE:
                for rows, part in self._by_class(features_NE, weight_VE, rank_N, class_N):
                    logprob_N[rows] += log_likelihood(*part)
            return logprob_N
        return logprob_N + torch.cat([self._within(*part) for part in self._chunks(features_NE, weight_VE, rank_N)])

    def predict(self, features_NE: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        class_NC = torch.log_softmax(linear_logits(features_NE, self.class_weight, self.class_bias), dim=1)
        words = linear_logits(features_NE, self._weight(tied_VE), self.bias).split(self.sizes, dim=1)
        within_NV = torch.cat([torch.log_softmax(part, dim=1) for part in words], dim=1)
        return (within_NV + class_NC.index_select(1, self.class_V)).index_select(1, self.rank_V)

    def _weight(self, tied_VE: Tensor | None) -> Tensor:
        """Words' weights, in order of rank."""
        return self.weight if tied_VE is None else tied_VE.index_select(0, self.order_V)

    def _targets(self, targets_N: Tensor) -> tuple[Tensor, Tensor]:
        """The targets' ranks and classes; padding stays padding."""
        is_padding = targets_N == PADDING
        rank_N = self.rank_V[targets_N.clamp(min=0)]
        return torch.where(is_padding, PADDING, rank_N), torch.where(is_padding, PADDING, self.class_V[rank_N])

    def _by_class(
        self, features_NE: Tensor, weight_VE: Tensor, rank_N: Tensor, class_N: Tensor
    ) -> Iterator[tuple[Tensor, tuple[Tensor, Tensor, Tensor, Tensor]]]:
        """Of each class among the targets: its rows, and their features, the class's weight and bias, targets within it.

        For the CPU. All is sorted and cut once, so that its gradient is put together once, not class by class. The first
        class always comes: a window of padding has a gradient of zero, not none.
        """
        order_N, counts = rows_by_group(torch.where(class_N == PADDING, len(self.sizes), class_N), len(self.sizes))
        local_N = (rank_N - self.starts_C[class_N.clamp(min=0)])[order_N]
        rows, words, first, start = [], [], 0, 0
        for count, size in zip(counts, self.sizes, strict=False):  # padding comes last and has no class
            if count or not start:
                rows.append(slice(first, first + count))
                words.append(slice(start, start + size))
            first, start = first + count, start + size
        features = Slices.apply(features_NE.index_select(0, order_N), *rows)
        weights, biases = Slices.apply(weight_VE, *words), Slices.apply(self.bias, *words)
        parts = zip(features, weights, biases, (local_N[each] for each in rows), strict=True)
        return zip((order_N[each] for each in rows), parts, strict=True)

    def _chunks(self, features_NE: Tensor, weight_VE: Tensor, rank_N: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """For devices that the host should not wait for: a few rows at a time."""
        rows = max(1, CHUNK_LOGITS // len(self.bias))
        parts = zip(features_NE.split(rows), rank_N.split(rows), strict=True)
        return ((features_nE, weight_VE, rank_n) for features_nE, rank_n in parts)

    def _within(self, features_nE: Tensor, weight_VE: Tensor, rank_n: Tensor) -> Tensor:
        """log P(w | class, h), 0 for padding, from the logits of all words, those of other classes masked out."""
        index_n1 = rank_n.clamp(min=0).unsqueeze(1)
        other_nV = self.class_V != self.class_V[index_n1]
        logits_nV = linear_logits(features_nE, weight_VE, self.bias).masked_fill(other_nV, -torch.inf)
        return (logits_nV.gather(1, index_n1).squeeze(1) - torch.logsumexp(logits_nV, dim=1)) * (rank_n != PADDING)


def class_starts(mass_V: Tensor, classes: int) -> Tensor:
    """The first rank of each class, (C,) int64: words in order of rank, cut where 1/C, 2/C, ... of the mass is reached.

    No class is empty: a word heavier than a class's share is a class of its own, and the classes after it begin later.
    """
    before_V = mass_V.cumsum(0) - mass_V
    shares_C = torch.arange(classes, dtype=mass_V.dtype) / classes * mass_V.sum()
    index_C = torch.arange(classes)
    ascending_C = (torch.searchsorted(before_V, shares_C) - index_C).cummax(0).values + index_C
    return torch.minimum(ascending_C, len(mass_V) - classes + index_C)


@contextlib.contextmanager
def _few_rows(features_NE: Tensor) -> Iterator[Tensor]:
    """The features in fp32 or wider, and no autocast: products of a few rows, each of another shape, take three times as long in bf16."""
    with torch.autocast(features_NE.device.type, enabled=False):
        yield features_NE.to(torch.promote_types(features_NE.dtype, torch.float32))
