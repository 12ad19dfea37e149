"""A recurrent layer that reads its own last output, not its last hidden state. Jordan 1986; as a language model, the
output that is fed back is the distribution over the next word.

h = f(x U + b + q' W), with q' the distribution (V) of the step before, or the word vector (E) expected under it.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnlm.neural.layers.feedforward import ACTIVATIONS
from rnnlm.neural.settings import JordanSettings


class JordanLayer(nn.Module):
    """The state is the last hidden vector (1, B, H), from which the output fed back follows; zeros at the start stand for
    the distribution of the output layer's biases. Each step works out a distribution: the cost of T softmaxes one by one."""

    def __init__(self, settings: JordanSettings, feedback_width: int) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[settings.activation]
        self.width = settings.hidden_size
        self.weight_ih = nn.Parameter(torch.empty(self.width, settings.input_width))
        self.weight_hh = nn.Parameter(torch.empty(self.width, feedback_width))
        self.bias_ih = nn.Parameter(torch.zeros(self.width))

    def forward(self, x_TBE: Tensor, state: tuple[Tensor, ...], fed_back: Callable[[Tensor], Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """`fed_back`: from a hidden vector (B, H) to what of its output the next step reads."""
        h_BH, steps = state[0][0], []
        for inputs_BH in F.linear(x_TBE, self.weight_ih, self.bias_ih):  # one product for the whole window
            a_BH = inputs_BH + F.linear(fed_back(h_BH), self.weight_hh)
            h_BH = self.activation(a_BH.to(h_BH.dtype))  # products may run in bf16; the state keeps its type
            steps.append(h_BH)
        return torch.stack(steps), (h_BH.unsqueeze(0),)

    def state_shapes(self) -> list[tuple[int, int]]:
        """(places, width) of each tensor of the state."""
        return [(1, self.width)]

    def matrices(self) -> Iterator[tuple[Tensor, str, int]]:
        """(weights, what they multiply, blocks stacked in them), to be initialised."""
        yield self.weight_ih, "input", 1
        yield self.weight_hh, "recurrent", 1
