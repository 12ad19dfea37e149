"""What all output layers promise, and the full softmax over the vocabulary."""

import torch
from torch import Tensor, nn

from rnnlm.interface import PADDING
from rnnlm.neural.device import product_type
from rnnlm.neural.outputs.linear_cross_entropy import LinearCrossEntropy

# ---- What every output layer promises: a normalised distribution over V tokens, given features of
# width E.
#
# Shapes: N tokens, E width of the features, V vocabulary. Log-probabilities are natural, fp32 or
# wider.


class OutputLayer(nn.Module):
    """Base of the output layers; `predict` sums to one, `score` equals it at the targets.

    Life of a layer: it is made (weights empty, biases zero); `arrange` fixes what depends on token
    counts, once, before training, or a model file brings all of that back; `prepare` derives the
    rest; then it computes. `tied_VE` is the matrix of word vectors where the network ties the
    output weights to it, else None.
    """

    needs_counts = False  # whether it cannot be trained without the token counts
    is_exact = True  # whether the training loss is the cross-entropy that `score` gives

    def arrange(self, counts_V: Tensor) -> None:
        """Fill the buffers that depend on counts; with features of zero, predict() is then the
        add-half unigram."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Derive what is not stored from the stored buffers: to be called after `arrange` and after
        loading.

        Raises:
            ModelError: the stored buffers are damaged.
        """

    def matrices(self) -> list[nn.Parameter]:
        """The weight matrices, which the network initialises."""
        raise NotImplementedError

    def word_rows(self, tied_VE: Tensor | None = None) -> Tensor | None:
        """The weights of each word, (V, E), whose product with the features makes its logit; None
        where words have no such row, or rows that do not compare."""
        return None

    def loss(self, features_NE: Tensor, targets_N: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        """What training minimises, in nats: a mean over the targets that are not padding (-1)."""
        raise NotImplementedError

    def window_loss(
        self, features_TBE: Tensor, targets_TB: Tensor, tied_VE: Tensor | None = None
    ) -> Tensor:
        """`loss` of a window of T steps of B rows, for layers whose own dropout is one mask for
        each row."""
        features_NE, targets_N = features_TBE.flatten(0, 1), targets_TB.flatten()
        if targets_N.device.type == "cpu":  # where looking for padding waits for no device
            features_NE, targets_N = without_padding(features_NE, targets_N)
        return self.loss(features_NE, targets_N, tied_VE)

    def score(
        self, features_NE: Tensor, targets_N: Tensor, tied_VE: Tensor | None = None
    ) -> Tensor:
        """Log-probability (nats) of each target, shape (N,), 0 where it is padding. Memory does not
        grow with N V."""
        raise NotImplementedError

    def predict(self, features_NE: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        """Log-probabilities (nats) of all tokens, shape (N, V)."""
        raise NotImplementedError


def without_padding(features_NE: Tensor, targets_N: Tensor) -> tuple[Tensor, Tensor]:
    """The rows whose targets are not padding; all rows where that would leave none."""
    kept_N = targets_N != PADDING
    return (
        (features_NE[kept_N], targets_N[kept_N])
        if kept_N.any() and not kept_N.all()
        else (features_NE, targets_N)
    )


def unigram(counts_V: Tensor) -> Tensor:
    """Each token's add-half relative frequency, shape (V,), fp64."""
    frequency_V = counts_V.double() + 0.5
    return frequency_V / frequency_V.sum()


def derived(layer: nn.Module, *names: str) -> None:
    """Register buffers that `prepare` sets: they move with the layer, but are not stored."""
    for name in names:
        layer.register_buffer(name, None, persistent=False)


# ---- The full softmax over the vocabulary, logits = features W^T + b, and its cross-entropy.
#
# The loss never holds all logits of a large vocabulary, see linear_cross_entropy.py; nor does the
# score. The other output layers are built of the same parts.

CHUNK_LOGITS = 1 << 22


class SoftmaxOutput(OutputLayer):
    """Full softmax. `weight` is a parameter of its own, or None where the network ties it to the
    word vectors."""

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

    def score(
        self, features_NE: Tensor, targets_N: Tensor, tied_VE: Tensor | None = None
    ) -> Tensor:
        return log_likelihood(features_NE, self._weight(tied_VE), self.bias, targets_N)

    def predict(self, features_NE: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        return torch.log_softmax(
            linear_logits(features_NE, self._weight(tied_VE), self.bias), dim=1
        )

    def _weight(self, tied_VE: Tensor | None) -> Tensor:
        return self.weight if tied_VE is None else tied_VE


def linear_logits(features_NE: Tensor, weight_VE: Tensor, bias_V: Tensor) -> Tensor:
    """features W^T + b, (N, V): the product in the type of the features, the result in fp32 or
    wider."""
    dtype = features_NE.dtype
    logits_NV = torch.addmm(bias_V.to(dtype), features_NE, weight_VE.to(dtype).t())
    return logits_NV.to(torch.promote_types(dtype, torch.float32))


def log_likelihood(
    features_NE: Tensor, weight_VE: Tensor, bias_V: Tensor, targets_N: Tensor
) -> Tensor:
    """log softmax(features W^T + b) (nats) at each target, 0 where it is padding, shape (N,); chunk
    by chunk."""
    products = product_type(features_NE)  # once, not by autocast for every chunk: W is large
    features_NE, weight_VE = features_NE.to(products), weight_VE.to(products)
    index_N1 = targets_N.clamp(min=0).unsqueeze(1)
    parts = []
    for features_nE, index_n1 in zip(
        features_NE.split(rows := _chunk_rows(len(weight_VE))), index_N1.split(rows), strict=True
    ):
        logits_nV = linear_logits(features_nE, weight_VE, bias_V)
        parts.append(logits_nV.gather(1, index_n1).squeeze(1) - torch.logsumexp(logits_nV, dim=1))
    return torch.cat(parts) * (targets_N != PADDING)


def _chunk_rows(vocabulary_size: int) -> int:
    return max(1, CHUNK_LOGITS // vocabulary_size)
