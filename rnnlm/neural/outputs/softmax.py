"""The full softmax over the vocabulary, logits = features W^T + b, and its cross-entropy.

The loss never holds all logits of a large vocabulary, see linear_cross_entropy.py; nor does the score. The other output
layers are built of the same parts.
"""

import torch
from torch import Tensor, nn

from rnnlm.interface import PADDING
from rnnlm.neural.device import product_type
from rnnlm.neural.outputs.base import OutputLayer, unigram
from rnnlm.neural.outputs.linear_cross_entropy import LinearCrossEntropy

CHUNK_LOGITS = 1 << 22


class SoftmaxOutput(OutputLayer):
    """Full softmax. `weight` is a parameter of its own, or None where the network ties it to the word vectors."""

    weight: nn.Parameter

    def __init__(self, size: int, width: int, tied: bool) -> None:
        super().__init__()
        self.register_parameter("weight", None if tied else nn.Parameter(torch.empty(size, width)))
        self.bias = nn.Parameter(torch.zeros(size))

    def arrange(self, counts_V: Tensor) -> None:
        with torch.no_grad():
            self.bias.copy_(unigram(counts_V).log())

    def matrices(self) -> list[nn.Parameter]:
        return [] if self.weight is None else [self.weight]

    def word_rows(self, tied_VE: Tensor | None = None) -> Tensor | None:
        return self._weight(tied_VE)

    def loss(self, features_NE: Tensor, targets_N: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        return LinearCrossEntropy.apply(features_NE, self._weight(tied_VE), self.bias, targets_N)

    def score(self, features_NE: Tensor, targets_N: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        return log_likelihood(features_NE, self._weight(tied_VE), self.bias, targets_N)

    def predict(self, features_NE: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        return torch.log_softmax(linear_logits(features_NE, self._weight(tied_VE), self.bias), dim=1)

    def _weight(self, tied_VE: Tensor | None) -> Tensor:
        return self.weight if tied_VE is None else tied_VE


def linear_logits(features_NE: Tensor, weight_VE: Tensor, bias_V: Tensor) -> Tensor:
    """features W^T + b, (N, V): the product in the type of the features, the result in fp32 or wider."""
    dtype = features_NE.dtype
    logits_NV = torch.addmm(bias_V.to(dtype), features_NE, weight_VE.to(dtype).t())
    return logits_NV.to(torch.promote_types(dtype, torch.float32))


def log_likelihood(features_NE: Tensor, weight_VE: Tensor, bias_V: Tensor, targets_N: Tensor) -> Tensor:
    """log softmax(features W^T + b) (nats) at each target, 0 where it is padding, shape (N,); chunk by chunk."""
    products = product_type(features_NE)  # once, not by autocast for every chunk: W is large
    features_NE, weight_VE = features_NE.to(products), weight_VE.to(products)
    index_N1 = targets_N.clamp(min=0).unsqueeze(1)
    parts = []
    for features_nE, index_n1 in zip(features_NE.split(rows := _chunk_rows(len(weight_VE))), index_N1.split(rows), strict=True):
        logits_nV = linear_logits(features_nE, weight_VE, bias_V)
        parts.append(logits_nV.gather(1, index_n1).squeeze(1) - torch.logsumexp(logits_nV, dim=1))
    return torch.cat(parts) * (targets_N != PADDING)


def _chunk_rows(vocabulary_size: int) -> int:
    return max(1, CHUNK_LOGITS // vocabulary_size)
