"""The recurrent layers, apart from embedding and output: torch's fused kernels where it has them, one loop where not.

All take x_TBE and a state, a tuple of tensors (L, B, H), and give y_TBH and the state after the last step.
Elman (1990), with activation f:      h = f(x U + b + h' W + b')
GRU (Cho et al. 2014, torch's form):  r = s(..), z = s(..), n = tanh(x Un + bn + r * (h' Wn + bn')), h = (1 - z) n + z h'
LSTM (Gers et al. 2000):              c = s(f) c' + s(i) tanh(g), h = s(o) tanh(c)
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnlm.neural.regularization import dropout
from rnnlm.neural.network_settings import RecurrentSettings

RecurrentState = tuple[Tensor, ...]  # (h,) or, for the LSTM, (h, c)


class RecurrentStack(nn.Module):
    """`settings.layers` recurrent layers with dropout between them."""

    def __init__(self, settings: RecurrentSettings) -> None:
        super().__init__()
        self.settings = settings
        self.kernel = _kernel(settings)
        if settings.model == "lstm":
            _set_forget_bias(self.kernel, settings.forget_bias)

    def forward(self, x_TBE: Tensor, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        if self.settings.model == "lstm":
            return self.kernel(x_TBE, state)
        y_TBH, h_LBH = self.kernel(x_TBE, state[0])
        return y_TBH, (h_LBH,)

    def initial_state(self, rows: int) -> RecurrentState:
        """Zeros: the state before the first token."""
        weight = next(self.parameters())
        shape = (self.settings.layers, rows, self.settings.hidden_size)
        return tuple(weight.new_zeros(shape) for _ in range(2 if self.settings.model == "lstm" else 1))


class SigmoidElman(nn.Module):
    """Elman layers with the sigmoid, for which torch has no kernel. Parameters are named and shaped as nn.RNN's."""

    def __init__(self, input_size: int, hidden_size: int, num_layers: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.num_layers = num_layers
        self.dropout = dropout
        bound = 1 / math.sqrt(hidden_size)
        for layer in range(num_layers):
            width = input_size if layer == 0 else hidden_size
            self.register_parameter(f"weight_ih_l{layer}", _uniform((hidden_size, width), bound))
            self.register_parameter(f"weight_hh_l{layer}", _uniform((hidden_size, hidden_size), bound))
            self.register_parameter(f"bias_ih_l{layer}", _uniform((hidden_size,), bound))
            self.register_parameter(f"bias_hh_l{layer}", _uniform((hidden_size,), bound))

    def forward(self, x_TBE: Tensor, h_LBH: Tensor) -> tuple[Tensor, Tensor]:
        last = []
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x_TBE = dropout(x_TBE, self.dropout, self.training)
            x_TBE = self._layer(layer, x_TBE, h_LBH[layer])
            last.append(x_TBE[-1])
        return x_TBE, torch.stack(last)

    def _layer(self, layer: int, x_TBE: Tensor, h_BH: Tensor) -> Tensor:
        U_HE, W_HH, b_H, c_H = (
            getattr(self, f"{kind}_l{layer}") for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        steps = []
        for inputs_BH in F.linear(x_TBE, U_HE, b_H + c_H):  # one product for the whole window
            h_BH = torch.sigmoid(inputs_BH + F.linear(h_BH, W_HH))
            steps.append(h_BH)
        return torch.stack(steps)


def _kernel(settings: RecurrentSettings) -> nn.Module:
    sizes = (settings.embedding_size, settings.hidden_size, settings.layers)
    dropout = settings.dropout_between if settings.layers > 1 else 0.0
    if settings.model == "lstm":
        return nn.LSTM(*sizes, dropout=dropout)
    if settings.model == "gru":
        return nn.GRU(*sizes, dropout=dropout)
    if settings.activation == "sigmoid":
        return SigmoidElman(*sizes, dropout=dropout)
    return nn.RNN(*sizes, nonlinearity=settings.activation, dropout=dropout)


def _set_forget_bias(lstm: nn.Module, bias: float) -> None:
    """All biases zero, the forget gate's `bias` (Gers et al. 2000; Jozefowicz et al. 2015)."""
    for layer in range(lstm.num_layers):
        forget = slice(lstm.hidden_size, 2 * lstm.hidden_size)  # torch's gate order: i, f, g, o
        bias_ih, bias_hh = getattr(lstm, f"bias_ih_l{layer}"), getattr(lstm, f"bias_hh_l{layer}")
        nn.init.zeros_(bias_ih)
        nn.init.zeros_(bias_hh)
        with torch.no_grad():
            bias_ih[forget] = bias


def _uniform(shape: tuple[int, ...], bound: float) -> nn.Parameter:
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
