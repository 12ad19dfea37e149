"""Which decoders the loop of input feeding can run, and the loop for a window of one.

Shapes: T target time, B rows, S source time, E width of the word vectors, F of attentional vectors.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from rnnlm.neural.device import product_type
from rnnlm.neural.layers import layer as layers
from rnnlm.neural.layers.kernels.choice import swap_update_gate
from rnnlm.neural.layers.layer import State
from rnnlm.neural.layers.stack import GruLayer, LstmLayer, MogrifierLayer, RecurrentStack
from rnnlm.tasks.seq2seq.attention import Attention, Memory
from rnnlm.tasks.seq2seq.kernels.fed_loop import FedLoop
from rnnlm.tasks.seq2seq.kernels.gru import GruSteps
from rnnlm.tasks.seq2seq.kernels.lstm import LstmSteps
from rnnlm.tasks.seq2seq.kernels.parts import LayerSteps


def has_loop(body: RecurrentStack) -> bool:
    """Whether all layers are LSTMs or GRUs (reset after the product), plain or residual."""
    return all(map(_has_steps, body.layers)) and body.settings.connections in ("plain", "residual")


def _has_steps(layer: layers.Layer) -> bool:
    if isinstance(layer, GruLayer):
        return layer.reset_gate == "after"
    return isinstance(layer, LstmLayer) and not isinstance(layer, MogrifierLayer)


def make_loop(
    body: RecurrentStack, attention: Attention, weight_FC: Tensor, x_TBE: Tensor, memory: Memory, state: State,
    recurrent: Sequence[Tensor], masks: Sequence[Tensor | None],
) -> FedLoop:  # fmt: skip
    """recurrent: the recurrent weights of each layer, as dropout left them. masks: see :class:`FedLoop`."""
    (*of_layers, fed_1BF), T, products = state, len(x_TBE), product_type(x_TBE)
    parts: list[LayerSteps] = []
    for layer, weight_hh in zip(body.layers, recurrent, strict=True):
        own = tuple(of_layers.pop(0)[0] for _ in range(layer.states))
        parts.append(_steps(layer, None if parts else x_TBE, weight_hh, own, T, products))
    residual = body.settings.connections == "residual"
    return FedLoop(parts, attention.steps(memory, T, products), weight_FC, fed_1BF[0], masks, residual, products)


def _steps(layer: layers.Layer, words_TBE: Tensor | None, weight_hh: Tensor, state: State, T: int, products: torch.dtype) -> LayerSteps:
    weight_ih: Tensor = layer.weight_ih
    bias_ih: Tensor = layer.bias_ih
    bias_hh: Tensor | None = None
    if isinstance(layer, GruLayer):
        own = weight_ih, weight_hh, bias_ih, layer.bias_hh
        weight_ih, weight_hh, bias_ih, bias_hh = map(swap_update_gate, own) if layer.update_gate == "renew" else own
    words, weight_read = None, weight_ih
    if words_TBE is not None:
        E = words_TBE.shape[2]
        weight_GE, weight_read = weight_ih.split([E, weight_ih.shape[1] - E], dim=1)
        words = words_TBE, weight_GE
    if bias_hh is not None:
        return GruSteps(words, (weight_hh, weight_read), (bias_hh, bias_ih), state[0], T, products)
    assert isinstance(layer, LstmLayer)
    weight_GK = torch.cat([weight_hh, weight_read], dim=1)
    return LstmSteps(words, weight_GK, bias_ih, (state[0], state[1]), layer.peepholes, T, products)
