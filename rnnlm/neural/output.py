"""The output layer: a softmax over the vocabulary, logits = features W^T + b, and its cross-entropy.

The loss never holds all logits of a large vocabulary: :class:`LinearCrossEntropy` works through them a chunk of rows
at a time and finds the gradients on the way.
"""

import torch
from torch import Tensor, nn

from rnnlm.interface import PADDING

CHUNK_LOGITS = 1 << 22
SMALLEST = torch.finfo(torch.float32).tiny  # stands for a probability that underflowed


class LinearCrossEntropy(torch.autograd.Function):
    """Mean over the targets that are not padding of -log softmax(features W^T + b)[target].

    With p the softmax and y the one-hot target, d loss / d logits = (p - y) / n; so the gradients of features, W and b
    are products of (p - y), formed chunk by chunk in the forward pass. Products run in the type of `features`
    (bf16 or fp32), the softmax in fp32 (or in fp64 where the features are).
    """

    @staticmethod
    def forward(ctx, features_NE: Tensor, weight_VE: Tensor, bias_V: Tensor, targets_N: Tensor) -> Tensor:
        weight = weight_VE.detach().to(features_NE.dtype)
        bias = bias_V.detach().to(features_NE.dtype)
        kept_N = targets_N != PADDING
        index_N1 = targets_N.clamp(min=0).unsqueeze(1)
        count = kept_N.sum().clamp(min=1)
        wide = torch.promote_types(features_NE.dtype, torch.float32)
        loss = torch.zeros((), dtype=wide, device=features_NE.device)
        grad_features = torch.empty_like(features_NE)
        grad_weight, grad_bias = torch.zeros_like(weight_VE), torch.zeros_like(bias_V)
        rows = _chunk_rows(len(weight))
        for start in range(0, len(features_NE), rows):
            part = slice(start, start + rows)
            features, index = features_NE[part], index_N1[part]
            kept_n1 = kept_N[part].to(features.dtype).unsqueeze(1)
            p = torch.softmax(torch.addmm(bias, features, weight.t()), dim=1, dtype=wide)
            p_target = p.gather(1, index)
            loss -= (p_target.clamp(min=SMALLEST).log() * kept_n1).sum()
            difference = p.scatter_(1, index, p_target - 1).to(features.dtype)  # p - y
            grad_features[part] = torch.mm(difference, weight) * kept_n1
            grad_weight += torch.mm(difference.t(), features * kept_n1)
            grad_bias += torch.mm(kept_n1.t(), difference)[0]
        ctx.gradients = grad_features, grad_weight, grad_bias, count
        return loss / count

    @staticmethod
    def backward(ctx, grad: Tensor):
        grad_features, grad_weight, grad_bias, count = ctx.gradients
        scale = grad / count
        return grad_features * scale.to(grad_features.dtype), grad_weight * scale, grad_bias * scale, None


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
