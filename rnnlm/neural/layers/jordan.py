"""A recurrent layer that reads its own last output, not its last hidden state. Jordan 1986; as a language model, the
output that is fed back is the distribution over the next word.

h = f(x U + b + q' W), with q' the distribution (V) of the step before, or the word vector (E) expected under it.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnlm.neural.layers.layer import Layer, State
from rnnlm.neural.layers.steps import ACTIVATIONS, Step, elman_step
from rnnlm.neural.settings import JordanSettings

FedBack = Callable[[Tensor], Tensor]  # from a hidden vector (B, H) to what of its output the next step reads


class JordanLayer(Layer):
    """The state is the last hidden vector (1, B, H), from which the output fed back follows; zeros at the start stand for
    the distribution of the output layer's biases. Each step works out a distribution: the cost of T softmaxes one by one."""

    weight_hh: nn.Parameter
    is_launched_step_by_step = True

    def __init__(self, settings: JordanSettings, feedback_width: int) -> None:
        super().__init__(settings.input_width, settings.hidden_size, feedback_width)
        self.activation = settings.activation

    def forward(self, x_TBE: Tensor, state: State, fed_back: FedBack) -> tuple[Tensor, State]:
        h_BH, steps = state[0][0], []
        for inputs_BH in F.linear(x_TBE, self.weight_ih, self.bias_ih):  # one product for the whole window
            a_BH = inputs_BH + F.linear(fed_back(h_BH), self.weight_hh)
            h_BH = ACTIVATIONS[self.activation](a_BH.to(h_BH.dtype))  # products may run in bf16; the state keeps its type
            steps.append(h_BH)
        return torch.stack(steps), (h_BH.unsqueeze(0),)

    def step(self, x_BE: Tensor, state: State, fed_back: FedBack) -> tuple[Step, State]:  # type: ignore[override]
        step = elman_step(x_BE, fed_back(state[0][0]), self.weight_ih, self.weight_hh, self.bias_ih, self.activation)
        return step, step.state
