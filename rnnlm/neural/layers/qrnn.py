"""The quasi-recurrent layer (Bradbury, Merity, Xiong & Socher 2017): gates that read words, not the state, so that all products
of a window are taken at once; what is left to do step by step is element-wise. The equations stand in steps.py."""

import torch
from torch import Tensor
from torch.nn import functional as F

from rnnlm.neural.layers.kernels.linear_recurrence import LinearRecurrence
from rnnlm.neural.layers.kernels.window import tanh
from rnnlm.neural.layers.layer import Layer, State
from rnnlm.neural.layers.steps import Step, qrnn_step
from rnnlm.neural.recurrent_settings import QrnnCell
from rnnlm.neural.regularization import dropout


class QuasiRecurrentLayer(Layer):
    """Blocks z, f, o, i of weights, as many as the pooling has, for k = `convolution_words` inputs, oldest first.

    The state is c (1, B, H) and the k - 1 inputs before the window (k - 1, B, E); zeros stand before the first word.
    `weight_drop` is DropConnect on all its weights, as in the AWD-QRNN (Merity et al. 2018b).
    """

    def __init__(self, settings: QrnnCell, input_width: int, width: int, convolution_words: int) -> None:
        super().__init__(convolution_words * input_width, width, gates=1 + len(settings.pooling))
        self.input_width, self.words = input_width, convolution_words
        self.pooling, self.weight_drop = settings.pooling, settings.weight_drop

    def forward(self, x_TBE: Tensor, state: State) -> tuple[Tensor, State]:
        c_1BH, *before = state
        inputs_SBE = torch.cat((*before, x_TBE.to(c_1BH.dtype)))
        z_TBH, f_TBH, *more = self._gates(inputs_SBE, len(x_TBE))
        i_TBH = more[1] if len(more) == 2 else 1 - f_TBH
        c_TBH = LinearRecurrence.apply(f_TBH, i_TBH * z_TBH, c_1BH[0])
        y_TBH = more[0] * c_TBH if more else c_TBH
        return y_TBH, (c_TBH[-1:], inputs_SBE[len(x_TBE) :])[: len(state)]

    def step(self, x_BE: Tensor, state: State) -> tuple[Step, State]:
        c_1BH, *before = state
        inputs_KBE = torch.cat((*before, x_BE.unsqueeze(0)))
        step = qrnn_step(torch.cat(inputs_KBE.unbind(0), dim=1), c_1BH[0], self.weight_ih, self.bias_ih, self.pooling)
        return step, (*step.state[1:], inputs_KBE[1:])[: len(state)]

    def state_shapes(self) -> list[tuple[int, int]]:
        return [(1, self.width), *([(self.words - 1, self.input_width)] if self.words > 1 else [])]

    def _gates(self, inputs_SBE: Tensor, T: int) -> tuple[Tensor, ...]:
        """z, f, o, i of each step, after their activations."""
        windows_TBX = torch.cat([inputs_SBE[start : start + T] for start in range(self.words)], dim=2)
        weights = dropout(self.weight_ih, self.weight_drop, self.training)
        a_TBG = F.linear(windows_TBX, weights, self.bias_ih).to(self.weight_ih.dtype)
        z_TBH, gates_TBG = a_TBG.split((self.width, (self.gates - 1) * self.width), dim=2)
        return tanh(z_TBH), *torch.sigmoid(gates_TBG).chunk(self.gates - 1, dim=2)
