"""The hidden layer of a feed-forward language model: a window of words. Bengio et al. 2003, equation 1.

With x the vectors of the last N - 1 words, side by side: h = f(x W1 + b1). The output layer reads h and, with direct
connections, x as well: softmax(W2 h + W3 x + b3), the matrices W2 and W3 side by side.
"""

import torch
from torch import Tensor

from rnnlm.neural.layers.layer import Layer, State
from rnnlm.neural.layers.steps import Step, feed_forward_step
from rnnlm.neural.settings import FeedForwardSettings


class WordWindow(Layer):
    """The state is the vectors (N - 2, B, E) of the words before the next one; before the first word they are zeros.

    So words of an earlier window of text are read, but not trained, like the states of truncated BPTT.
    """

    def __init__(self, settings: FeedForwardSettings) -> None:
        super().__init__(settings.context_words * settings.input_width, settings.hidden_size)
        self.settings = settings

    def forward(self, x_TBE: Tensor, state: State) -> tuple[Tensor, State]:
        before = self.settings.context_words - 1
        all_SBE = torch.cat([state[0].to(x_TBE.dtype), x_TBE])  # S = N - 2 + T
        window_TBX = torch.cat([all_SBE[start : start + len(x_TBE)] for start in range(before + 1)], dim=2)
        after = all_SBE[len(all_SBE) - before :].to(state[0].dtype)  # words read as characters may come in bf16
        return self._hidden(window_TBX), (after,)

    def step(self, x_BE: Tensor, state: State) -> tuple[Step, State]:
        all_NBE = torch.cat([state[0], x_BE.unsqueeze(0)])
        return Step(self._hidden(torch.cat(all_NBE.unbind(0), dim=1))), (all_NBE[1:],)

    def _hidden(self, window_X: Tensor) -> Tensor:
        """Of windows (..., X): h and, with direct connections, the window after it."""
        h = feed_forward_step(window_X, self.weight_ih, self.bias_ih, self.settings.activation).hidden_BH
        return torch.cat([h, window_X.to(h.dtype)], dim=-1) if self.settings.direct_connections else h

    def state_shapes(self) -> list[tuple[int, int]]:
        return [(self.settings.context_words - 1, self.settings.input_width)]
