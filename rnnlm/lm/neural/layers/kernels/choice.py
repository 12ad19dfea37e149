"""Compute recurrent layers as functions of their weights: `elman`, `gru`, `lstm`, each over a whole
window, time first, in the forms that defaults or recipes train.

Where torch has a quicker kernel for a form it does the work (`_torch_is_quicker`); the loops of
loops.py do the rest. Both compute the equations of layers/steps.py, take weights in the names,
shapes and gate order given there, and give gradients for inputs, first states, weights and biases.
Under autocast products run in its type (bf16), while outputs and states keep the type of
the weights (fp32).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from rnnlm.lm.neural.device import cpu_has_bf16_kernels, product_type
from rnnlm.lm.neural.layers.kernels.loops import ScheduledElman, ScheduledGRU, ScheduledLSTM
from rnnlm.lm.neural.settings import Activation, UpdateGate

TORCHS_ELMAN = {"tanh": torch.rnn_tanh, "relu": torch.rnn_relu}  # its kernels by activation
WIDE_LSTM = 640  # hidden units from which on oneDNN's backward pass in bf16 is the slower one


def elman(
    x_TBE: Tensor,
    h_BH: Tensor,
    weight_ih_HE: Tensor,
    weight_hh_HH: Tensor,
    bias_H: Tensor,
    activation: Activation,
) -> Tensor:
    """Return y_TBH; the last state is y_TBH[-1]."""
    weights = weight_ih_HE, weight_hh_HH, bias_H
    if torch_has_elman(activation) and _torch_is_quicker("elman", x_TBE, h_BH):
        of_torch = (*weights, torch.zeros_like(bias_H))
        return torchs_layer(TORCHS_ELMAN[activation], x_TBE, (h_BH,), of_torch)[0]
    settings = activation, product_type(x_TBE), torch.is_grad_enabled()
    return ScheduledElman.apply(x_TBE, h_BH, *weights, *settings)


def gru(
    x_TBE: Tensor,
    h_BH: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
    update_gate: UpdateGate,
) -> Tensor:
    """Return y_TBH, with the reset gate after the product; the last state is y_TBH[-1]."""
    if update_gate == "renew":
        weight_ih, weight_hh = swap_update_gate(weight_ih), swap_update_gate(weight_hh)
        bias_ih, bias_hh = swap_update_gate(bias_ih), swap_update_gate(bias_hh)
    weights = weight_ih, weight_hh, bias_ih, bias_hh
    if _torch_is_quicker("gru", x_TBE, h_BH):
        return torchs_layer(torch.gru, x_TBE, (h_BH,), weights)[0]
    return ScheduledGRU.apply(x_TBE, h_BH, *weights, product_type(x_TBE), torch.is_grad_enabled())


def swap_update_gate(weight_or_bias: Tensor) -> Tensor:
    """Negate the rows of z, which takes a GRU to the other convention of its update gate, as s(-a)
    = 1 - s(a).

    It takes any of a GRU's weights (3H, .) or biases (3H,) and returns a new one. It is exact, and
    its own inverse.
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
    coupled: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return y_TBH and the last cell."""
    weights = weight_ih, weight_hh, bias
    if not coupled and _torch_is_quicker("lstm", x_TBE, h_BH):
        of_torch = (*weights, torch.zeros_like(bias))
        y_TBH, last_BH = torchs_layer(torch.lstm, x_TBE, (h_BH, c_BH), of_torch)
        return y_TBH, last_BH
    settings = product_type(x_TBE), torch.is_grad_enabled()
    return ScheduledLSTM.apply(x_TBE, h_BH, c_BH, *weights, *settings)


def torch_has_elman(activation: Activation) -> bool:
    """Return whether torch has a kernel for the Elman layer with this activation. Without one, it
    is our own loop on every device."""
    return activation in TORCHS_ELMAN


def _torch_is_quicker(kind: str, x_TBE: Tensor, h_BH: Tensor) -> bool:
    """Return whether torch's own kernel computes the standard form of `kind` faster than our loops.

    On a CPU it has one for the LSTM only, oneDNN's: 0.75 times the loops' time at H = 512 in bf16,
    half of it in fp32. But its backward pass in bf16 slows down with width: training takes 1.2
    times the loops' time at H = 640, 1.5 times at H = 800, and three times where another training
    shares the cache. Without AVX-512 there is none in bf16. torch's GRU and Elman layers run step
    by step under autograd there, in 1.1 to 1.3 times the loops' time. Elsewhere it has all three.
    """
    if x_TBE.device.type != "cpu":
        return True
    if kind != "lstm" or x_TBE.dtype == torch.float64:
        return False
    if product_type(x_TBE) != torch.bfloat16:
        return True
    return cpu_has_bf16_kernels() and not (h_BH.shape[1] >= WIDE_LSTM and torch.is_grad_enabled())


# ---- torch's own recurrent layers, called so that its quickest kernels do the work.
#
# On CUDA the fastest kernels are cuDNN's. They are quick under conditions, which are met here:
# weights in one array in cuDNN's order (where torch finds them elsewhere it copies them at every
# call, with a warning), rows of numbers that fill whole loads, one type for all, contiguous states,
# no packed sequences. Autocast stays outside: its wrapper of cuDNN's layers uses fp16 for any
# requested type, and gradients of a mean over thousands of tokens are below fp16's range.

# Numbers of bf16 in 16 bytes, which tensor cores load at once; rows of other lengths go through
# slower kernels.
WHOLE = 8
CUDNN_WITH_BF16 = 91300  # 9.13, with torch 2.10: before, torch works bf16 layers out step by step
TORCH_WITH_BF16 = "2.10"  # torch compares versions by their numbers

Weights = tuple[Tensor, Tensor, Tensor, Tensor]  # for inputs, for states, biases of both


def torchs_layer(
    layer: Callable, x_TBE: Tensor, states: Sequence[Tensor], weights: Weights
) -> tuple[Tensor, ...]:
    """Run `layer` (torch.lstm, gru, rnn_tanh, rnn_relu) over a window, from states (B, H); return
    y_TBH and, of an LSTM, the last cell."""
    if x_TBE.device.type == "cuda":
        return cudnns_layer(layer, x_TBE, states, weights)
    kept = states[0].dtype
    y_TBH, *after = _run(layer, x_TBE, states, list(weights))
    return y_TBH.to(kept), *(state_1BH[0].to(kept) for state_1BH in after[1:])


def cudnns_layer(
    layer: Callable, x_TBE: Tensor, states: Sequence[Tensor], weights: Weights
) -> tuple[Tensor, ...]:
    """Compute :func:`torchs_layer` under cuDNN's conditions.

    It is exact: units that are added to fill up a row have weights and states of zero, so that they
    stay zero (in an LSTM s(0) * 0 + s(0) * tanh(0), likewise in the others) and count for nothing.
    """
    kind, kept = kernel_type(x_TBE), states[0].dtype
    units = states[0].shape[1]
    E, H = whole_width(x_TBE.shape[2]), whole_width(units)
    with torch.autocast(x_TBE.device.type, enabled=False):
        flat = flat_weights(weights, units, E, H, kind)
        wide = [_pad_with_zeros(state_BH.to(kind), H) for state_BH in states]
        y_TBH, *after = _run(layer, _pad_with_zeros(x_TBE.to(kind), E), wide, flat)
    cells = [state_1BH[0, :, :units].to(kept) for state_1BH in after[1:]]
    return y_TBH[..., :units].to(kept), *cells


def flat_weights(weights: Weights, units: int, E: int, H: int, kind: torch.dtype) -> list[Tensor]:
    """Copy the weights of a layer of `units` units into one new array of type `kind`; return them
    as views of it.

    They are in cuDNN's order: matrices for inputs and for states, both biases, without gaps. They
    are widened with zeros to `E` inputs and `H` units, gate by gate.
    """
    gates = len(weights[2]) // units
    shapes = (gates, H, E), (gates, H, H), (gates, H), (gates, H)
    # One copy after the other: each is dropped when it is padded.
    by_gate = (weight.to(kind).unflatten(0, (gates, units)) for weight in weights)
    padded = zip(by_gate, shapes, strict=True)
    wide = [_pad_with_zeros(weight, *shape).flatten() for weight, shape in padded]
    parts = torch.cat(wide).split([len(weight) for weight in wide])
    return [part.view(gates * H, *shape[2:]) for part, shape in zip(parts, shapes, strict=True)]


def whole_width(width: int) -> int:
    """Return `width`, or the next one that fills whole loads: 1152 for 1150."""
    return -(-width // WHOLE) * WHOLE


def kernel_type(x: Tensor) -> torch.dtype:
    """Return the type of the products, or fp32 (in which torch lets cuDNN take TF32) where cuDNN's
    layers have no bf16."""
    if product_type(x) != torch.bfloat16:  # asking for versions takes time, and may fail
        return product_type(x)
    cudnn = torch.backends.cudnn.version() or 0
    has_bf16 = torch.__version__ >= TORCH_WITH_BF16 and cudnn >= CUDNN_WITH_BF16
    return torch.bfloat16 if has_bf16 else torch.float32


def _pad_with_zeros(x: Tensor, *widths: int) -> Tensor:
    """Put zeros behind `x`, up to `widths` in its last dimensions."""
    missing: list[int] = []
    for width, size in zip(widths[::-1], reversed(x.shape), strict=False):
        missing += [0, width - size]
    return F.pad(x, missing) if any(missing) else x


def _run(
    layer: Callable, x_TBE: Tensor, states: Sequence[Tensor], weights: list[Tensor]
) -> tuple[Tensor, ...]:
    """Call torch's `layer` with its settings after the weights: biases, layers, dropout, training,
    both directions, rows first."""
    before = [state_BH.unsqueeze(0).contiguous() for state_BH in states]
    settings = True, 1, 0.0, torch.is_grad_enabled(), False, False
    return layer(x_TBE, tuple(before) if len(before) > 1 else before[0], weights, *settings)
