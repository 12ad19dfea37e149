"""The hidden layer of a feed-forward language model: a window of words. Bengio et al. 2003, equation 1.

With x the vectors of the last N - 1 words, side by side: h = f(x W1 + b1). The output layer reads h and, with direct
connections, x as well: softmax(W2 h + W3 x + b3), the matrices W2 and W3 side by side.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnlm.neural.settings import FeedForwardSettings

ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid, "elu": F.elu, "leaky_relu": F.leaky_relu}


class WordWindow(nn.Module):
    """The state is the vectors (N - 2, B, E) of the words before the next one; before the first word they are zeros.

    So words of an earlier window of text are read, but not trained, like the states of truncated BPTT.
    """

    def __init__(self, settings: FeedForwardSettings) -> None:
        super().__init__()
        self.settings = settings
        self.weight_ih = nn.Parameter(torch.empty(settings.hidden_size, settings.context_words * settings.input_width))
        self.bias_ih = nn.Parameter(torch.zeros(settings.hidden_size))

    def forward(self, x_TBE: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        before = self.settings.context_words - 1
        all_SBE = torch.cat([state[0].to(x_TBE.dtype), x_TBE])  # S = N - 2 + T
        window_TBX = torch.cat([all_SBE[start : start + len(x_TBE)] for start in range(before + 1)], dim=2)
        y_TBH = ACTIVATIONS[self.settings.activation](F.linear(window_TBX, self.weight_ih, self.bias_ih))
        if self.settings.direct_connections:
            y_TBH = torch.cat([y_TBH, window_TBX.to(y_TBH.dtype)], dim=2)
        after = all_SBE[len(all_SBE) - before :].to(state[0].dtype)  # words read as characters may come in bf16
        return y_TBH, (after,)

    def state_shapes(self) -> list[tuple[int, int]]:
        """(places, width) of each tensor of the state."""
        return [(self.settings.context_words - 1, self.settings.input_width)]

    def matrices(self) -> Iterator[tuple[Tensor, str, int]]:
        """(weights, what they multiply, blocks stacked in them), to be initialised."""
        yield self.weight_ih, "input", 1
