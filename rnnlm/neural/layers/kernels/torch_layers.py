"""torch's own recurrent layers, called so that its quickest kernels do the work.

On CUDA those are cuDNN's. They are quick under conditions, which are met here: weights in one array in cuDNN's order (where
torch finds them elsewhere it copies them at every call, with a warning), rows of numbers that fill whole loads, one type
for all, contiguous states, no packed sequences. Autocast stays outside: its wrapper of cuDNN's layers takes fp16
whatever type it was asked for, and gradients of a mean over thousands of tokens are below fp16's range.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from rnnlm.neural.device import product_type

WHOLE = 8  # numbers of bf16 in 16 bytes, which tensor cores load at once; rows of other lengths go through slower kernels
CUDNN_WITH_BF16 = 91300  # 9.13, with torch 2.10: before, torch works bf16 layers out step by step
TORCH_WITH_BF16 = "2.10"  # torch compares versions by their numbers

Weights = tuple[Tensor, Tensor, Tensor, Tensor | None]  # for inputs, for states, biases of both; None: zeros


def torchs_layer(layer: Callable, x_TBE: Tensor, states: Sequence[Tensor], weights: Weights) -> tuple[Tensor, ...]:
    """`layer` (torch.lstm, gru, rnn_tanh, rnn_relu) over a window, from states (B, H): y_TBH and, of an LSTM, the last cell."""
    if x_TBE.device.type == "cuda":
        return cudnns_layer(layer, x_TBE, states, weights)
    *given, last = weights
    y_TBH, *after = _run(layer, x_TBE, states, [*given, torch.zeros_like(given[-1]) if last is None else last])
    return y_TBH.to(states[0].dtype), *(state_1BH[0].to(states[0].dtype) for state_1BH in after[1:])


def cudnns_layer(layer: Callable, x_TBE: Tensor, states: Sequence[Tensor], weights: Weights) -> tuple[Tensor, ...]:
    """As :func:`torchs_layer`, under cuDNN's conditions. Exact: units that are added to fill up a row have weights and states of
    zero, so that they stay zero (in an LSTM s(0) * 0 + s(0) * tanh(0), likewise in the others) and count for nothing."""
    kind, kept = kernel_type(x_TBE), states[0].dtype
    units = states[0].shape[1]
    E, H = whole_width(x_TBE.shape[2]), whole_width(units)
    with torch.autocast(x_TBE.device.type, enabled=False):
        flat = flat_weights(weights, units, E, H, kind)
        wide = [_widened(state_BH.to(kind), H) for state_BH in states]
        y_TBH, *after = _run(layer, _widened(x_TBE.to(kind), E), wide, flat)
    return y_TBH[..., :units].to(kept), *(state_1BH[0, :, :units].to(kept) for state_1BH in after[1:])


def flat_weights(weights: Weights, units: int, E: int, H: int, kind: torch.dtype) -> list[Tensor]:
    """The weights of a layer of `units` units as views of one new array of type `kind`, in cuDNN's order: matrices for inputs
    and for states, both biases, without gaps. Widened with zeros to `E` inputs and `H` units, gate by gate."""
    weight_ih, weight_hh, bias_ih, bias_hh = weights
    given = weight_ih, weight_hh, bias_ih, torch.zeros_like(bias_ih) if bias_hh is None else bias_hh
    gates = len(bias_ih) // units
    shapes = (gates, H, E), (gates, H, H), (gates, H), (gates, H)
    wide = [_widened(each.to(kind).unflatten(0, (gates, units)), *shape).flatten() for each, shape in zip(given, shapes, strict=True)]
    parts = torch.cat(wide).split([len(each) for each in wide])
    return [part.view(gates * H, *shape[2:]) for part, shape in zip(parts, shapes, strict=True)]


def whole_width(width: int) -> int:
    """`width`, or the next one that fills whole loads: 1152 for 1150."""
    return -(-width // WHOLE) * WHOLE


def kernel_type(x: Tensor) -> torch.dtype:
    """The type of the products, or fp32 (in which torch lets cuDNN take TF32) where cuDNN's layers have no bf16."""
    wanted = product_type(x)
    return torch.float32 if wanted == torch.bfloat16 and not _cudnn_has_bf16() else wanted


def _cudnn_has_bf16() -> bool:
    return torch.__version__ >= TORCH_WITH_BF16 and (torch.backends.cudnn.version() or 0) >= CUDNN_WITH_BF16


def _widened(x: Tensor, *widths: int) -> Tensor:
    """`x` with zeros behind it, up to `widths` in its last dimensions."""
    missing = [number for width, size in zip(widths[::-1], reversed(x.shape), strict=False) for number in (0, width - size)]
    return F.pad(x, missing) if any(missing) else x


def _run(layer: Callable, x_TBE: Tensor, states: Sequence[Tensor], weights: list[Tensor]) -> tuple[Tensor, ...]:
    """torch's settings after the weights: biases, layers, dropout, training, both directions, rows first."""
    before = [state_BH.unsqueeze(0).contiguous() for state_BH in states]
    settings = True, 1, 0.0, torch.is_grad_enabled(), False, False
    return layer(x_TBE, tuple(before) if len(before) > 1 else before[0], weights, *settings)
