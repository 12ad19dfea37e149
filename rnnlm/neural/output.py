"""The output layer: a softmax over the vocabulary, logits = features W^T + b, and its cross-entropy.

The loss never holds all logits of a large vocabulary, see linear_cross_entropy.py; nor does the score.
"""

import torch
from torch import Tensor, nn

from rnnlm.interface import PADDING
from rnnlm.neural.linear_cross_entropy import LinearCrossEntropy

CHUNK_LOGITS = 1 << 22


class SoftmaxOutput(nn.Module):
    """Full softmax. `weight` is a parameter of its own, or None where the network ties it to the embedding."""

    def __init__(self, size: int, width: int, tied: bool) -> None:
        super().__init__()
        self.weight = None if tied else nn.Parameter(torch.empty(size, width))
        self.bias = nn.Parameter(torch.zeros(size))

    def loss(self, features_NE: Tensor, weight_VE: Tensor, targets_N: Tensor) -> Tensor:
        """Mean cross-entropy (nats) over targets that are not padding."""
        return LinearCrossEntropy.apply(features_NE, weight_VE, self.bias, targets_N)

    def predict(self, features_NE: Tensor, weight_VE: Tensor) -> Tensor:
        """Log-probabilities (nats) of all tokens, shape (N, V), fp32 or wider."""
        logits_NV = torch.addmm(self.bias.to(features_NE.dtype), features_NE, weight_VE.to(features_NE.dtype).t())
        return torch.log_softmax(logits_NV.to(torch.promote_types(logits_NV.dtype, torch.float32)), dim=1)

    def score(self, features_NE: Tensor, weight_VE: Tensor, targets_N: Tensor) -> Tensor:
        """Log-probability (nats) of each target, 0 where it is padding, shape (N,)."""
        weight = weight_VE.to(features_NE.dtype)
        bias = self.bias.to(features_NE.dtype)
        index_N1 = targets_N.clamp(min=0).unsqueeze(1)
        parts = []
        for features, index in zip(features_NE.split(rows := _chunk_rows(len(weight))), index_N1.split(rows), strict=True):
            logits = torch.addmm(bias, features, weight.t())
            logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
            parts.append(logits.gather(1, index).squeeze(1) - torch.logsumexp(logits, dim=1))
        return torch.cat(parts) * (targets_N != PADDING)


def _chunk_rows(vocabulary_size: int) -> int:
    return max(1, CHUNK_LOGITS // vocabulary_size)
