"""Recurrent layers as functions of their weights: `elman`, `gru`, `lstm`, each over a whole window, time first.

Where torch has a quicker kernel for a form it does the work (`_torch_is_quicker`, torch_layers.py), everything else goes to the loops
of elman.py, gru.py and lstm.py. Both compute the equations of layers/steps.py, take weights in the names, shapes and gate order
given there, and give gradients for inputs, first states, weights and biases. Under autocast products run in its type (bf16), while
outputs and states keep the type of the weights (fp32).
"""

import torch
from torch import Tensor

from rnnlm.neural.device import product_type
from rnnlm.neural.layers.kernels.elman import ScheduledElman
from rnnlm.neural.layers.kernels.gru import ResetAfterGRU, ResetBeforeGRU
from rnnlm.neural.layers.kernels.lstm import ScheduledLSTM
from rnnlm.neural.layers.kernels.torch_layers import torchs_layer
from rnnlm.neural.recurrent_settings import Activation, ResetGate, UpdateGate

TORCHS_ELMAN = {"tanh": torch.rnn_tanh, "relu": torch.rnn_relu}  # the activations that it has kernels for
WIDE_LSTM = 640  # hidden units from which on oneDNN's backward pass in bf16 is the slower one


def elman(x_TBE: Tensor, h_BH: Tensor, weight_ih_HE: Tensor, weight_hh_HH: Tensor, bias_H: Tensor, activation: Activation) -> Tensor:
    """y_TBH; the last state is y_TBH[-1]."""
    if torch_has_elman(activation) and _torch_is_quicker("elman", x_TBE, h_BH):
        return torchs_layer(TORCHS_ELMAN[activation], x_TBE, (h_BH,), (weight_ih_HE, weight_hh_HH, bias_H, None))[0]
    weights = weight_ih_HE, weight_hh_HH, bias_H
    return ScheduledElman.apply(x_TBE, h_BH, *weights, activation, product_type(x_TBE), torch.is_grad_enabled())


def gru(
    x_TBE: Tensor,
    h_BH: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
    reset_gate: ResetGate,
    update_gate: UpdateGate,
) -> Tensor:
    """y_TBH; the last state is y_TBH[-1]."""
    if update_gate == "renew":
        weight_ih, weight_hh, bias_ih, bias_hh = map(swap_update_gate, (weight_ih, weight_hh, bias_ih, bias_hh))
    weights = weight_ih, weight_hh, bias_ih, bias_hh
    if torch_has_gru(reset_gate) and _torch_is_quicker("gru", x_TBE, h_BH):
        return torchs_layer(torch.gru, x_TBE, (h_BH,), weights)[0]
    kind = ResetAfterGRU if reset_gate == "after" else ResetBeforeGRU
    return kind.apply(x_TBE, h_BH, *weights, product_type(x_TBE), torch.is_grad_enabled())


def swap_update_gate(weight_or_bias: Tensor) -> Tensor:
    """The same layer under the other convention of the update gate: as s(-a) = 1 - s(a), the rows of z are negated.

    Takes any of a GRU's weights (3H, .) or biases (3H,), gives a new one; exact, and its own inverse.
    """
    r, z, n = weight_or_bias.chunk(3)
    return torch.cat((r, -z, n))


def lstm(
    x_TBE: Tensor,
    h_BH: Tensor,
    c_BH: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor,
    peepholes: Tensor | None = None,
    coupled: bool = False,
) -> tuple[Tensor, Tensor]:
    """y_TBH and the last cell."""
    if torch_has_lstm(peepholes is not None, coupled) and _torch_is_quicker("lstm", x_TBE, h_BH):
        y_TBH, last_BH = torchs_layer(torch.lstm, x_TBE, (h_BH, c_BH), (weight_ih, weight_hh, bias, None))
        return y_TBH, last_BH
    weights = weight_ih, weight_hh, bias, peepholes
    return ScheduledLSTM.apply(x_TBE, h_BH, c_BH, *weights, product_type(x_TBE), torch.is_grad_enabled())


# Which forms torch has kernels for. All others are loops of our own on every device.


def torch_has_elman(activation: Activation) -> bool:
    """Return whether torch has a kernel for the Elman layer with this activation."""
    return activation in TORCHS_ELMAN


def torch_has_gru(reset_gate: ResetGate) -> bool:
    """Return whether torch has a kernel for the GRU with this reset gate."""
    return reset_gate == "after"


def torch_has_lstm(peepholes: bool, coupled: bool) -> bool:
    """Return whether torch has a kernel for the LSTM with or without peepholes and coupled gates."""
    return not peepholes and not coupled


def _torch_is_quicker(kind: str, x_TBE: Tensor, h_BH: Tensor) -> bool:
    """Whether torch's own kernel does the standard form of `kind` faster than the loops here.

    On a CPU it has one for the LSTM only, oneDNN's: 0.75 times the loops' time at H = 512 in bf16, half of it in fp32.
    But its backward pass in bf16 slows down with width: training takes 1.2 times the loops' time at H = 640, 1.5 times
    at H = 800, and three times where another training shares the cache. torch's GRU and Elman layers run step by step
    under autograd there, in 1.1 to 1.3 times the loops' time. Elsewhere it has all three.
    """
    if x_TBE.device.type != "cpu":
        return True
    trains_in_bf16 = product_type(x_TBE) == torch.bfloat16 and torch.is_grad_enabled()
    return kind == "lstm" and x_TBE.dtype != torch.float64 and not (trains_in_bf16 and h_BH.shape[1] >= WIDE_LSTM)
