"""What every output layer promises: a normalised distribution over V tokens, given features of width E.

Shapes: N tokens, E width of the features, V vocabulary. Log-probabilities are natural, fp32 or wider.
"""

from torch import Tensor, nn

from rnnlm.interface import PADDING


class OutputLayer(nn.Module):
    """Base of the output layers; `predict` sums to one, `score` equals it at the targets.

    Life of a layer: it is made (weights empty, biases zero); `arrange` fixes what depends on token counts, once, before
    training, or a model file brings all of that back; `prepare` derives the rest; then it computes.
    `tied_VE` is the matrix of word vectors where the network ties the output weights to it, else None.
    """

    needs_counts = False  # whether it cannot be trained without the token counts
    is_exact = True  # whether the training loss is the cross-entropy that `score` gives

    def arrange(self, counts_V: Tensor) -> None:
        """Fill the buffers that depend on counts; with features of zero, predict() is then the add-half unigram."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Derive what is not stored from the stored buffers: to be called after `arrange` and after loading.

        Raises:
            ModelError: the stored buffers are damaged.
        """

    def matrices(self) -> list[nn.Parameter]:
        """The weight matrices, which the network initialises."""
        raise NotImplementedError

    def word_rows(self, tied_VE: Tensor | None = None) -> Tensor | None:
        """The weights of each word, (V, E), whose product with the features makes its logit; None where words have no such row, or rows
        that do not compare."""
        return None

    def loss(self, features_NE: Tensor, targets_N: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        """What training minimises, in nats: a mean over the targets that are not padding (-1)."""
        raise NotImplementedError

    def window_loss(self, features_TBE: Tensor, targets_TB: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        """`loss` of a window of T steps of B rows, for layers whose own dropout is one mask for each row."""
        features_NE, targets_N = features_TBE.flatten(0, 1), targets_TB.flatten()
        if targets_N.device.type == "cpu":  # where looking for padding waits for no device
            features_NE, targets_N = without_padding(features_NE, targets_N)
        return self.loss(features_NE, targets_N, tied_VE)

    def score(self, features_NE: Tensor, targets_N: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        """Log-probability (nats) of each target, shape (N,), 0 where it is padding. Memory does not grow with N V."""
        raise NotImplementedError

    def predict(self, features_NE: Tensor, tied_VE: Tensor | None = None) -> Tensor:
        """Log-probabilities (nats) of all tokens, shape (N, V)."""
        raise NotImplementedError


def without_padding(features_NE: Tensor, targets_N: Tensor) -> tuple[Tensor, Tensor]:
    """The rows whose targets are not padding; all rows where that would leave none."""
    kept_N = targets_N != PADDING
    return (features_NE[kept_N], targets_N[kept_N]) if kept_N.any() and not kept_N.all() else (features_NE, targets_N)


def unigram(counts_V: Tensor) -> Tensor:
    """Each token's add-half relative frequency, shape (V,), fp64."""
    frequency_V = counts_V.double() + 0.5
    return frequency_V / frequency_V.sum()


def derived(layer: nn.Module, *names: str) -> None:
    """Register buffers that `prepare` sets: they move with the layer, but are not stored."""
    for name in names:
        layer.register_buffer(name, None, persistent=False)
