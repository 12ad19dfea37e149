"""Which decoders the loop of input feeding can run, and the loop for a window of one.

Shapes: T target time, B rows, S source time, E width of the word vectors, F of attentional vectors.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from rnnlm.neural.device import product_type
from rnnlm.neural.layers import layer as layers
from rnnlm.neural.layers.stack import LstmLayer, MogrifierLayer, RecurrentStack
from rnnlm.tasks.padding import is_word
from rnnlm.tasks.seq2seq.attention import Attention, Memory
from rnnlm.tasks.seq2seq.kernels.attending import AdditiveSteps, DotSteps
from rnnlm.tasks.seq2seq.kernels.fed_loop import FedLoop
from rnnlm.tasks.seq2seq.kernels.lstm import LstmSteps
from rnnlm.tasks.seq2seq.kernels.parts import Attending, Layer

State = tuple[Tensor, ...]


def has_loop(body: RecurrentStack) -> bool:
    """Whether all layers are LSTMs, plain or residual."""
    are_lstms = all(isinstance(layer, LstmLayer) and not isinstance(layer, MogrifierLayer) for layer in body.layers)
    return are_lstms and body.settings.connections in ("plain", "residual")


def make_loop(
    body: RecurrentStack, attention: Attention, weight_FC: Tensor, x_TBE: Tensor, memory: Memory, state: State,
    recurrent: Sequence[Tensor], masks: Sequence[Tensor | None],
) -> FedLoop:  # fmt: skip
    """recurrent: the recurrent weights of each layer, as dropout left them. masks: see :class:`FedLoop`."""
    *of_layers, fed_1BF = state
    parts: list[Layer] = []
    for number, (layer, weight_hh) in enumerate(zip(body.layers, recurrent, strict=True)):
        own = tuple(each[0] for each in of_layers[number * layer.states : (number + 1) * layer.states])
        parts.append(_layer(layer, x_TBE if number == 0 else None, weight_hh, own, len(x_TBE), product_type(x_TBE)))
    return FedLoop(
        parts, _attending(attention, memory, len(x_TBE), product_type(x_TBE)), weight_FC, fed_1BF[0], masks,
        body.settings.connections == "residual", product_type(x_TBE),
    )  # fmt: skip


def _layer(layer: layers.Layer, words_TBE: Tensor | None, weight_hh: Tensor, state: State, T: int, products: torch.dtype) -> Layer:
    assert isinstance(layer, LstmLayer)
    words, weight_read = None, layer.weight_ih
    if words_TBE is not None:
        E = words_TBE.shape[2]
        weight_GE, weight_read = layer.weight_ih.split([E, layer.weight_ih.shape[1] - E], dim=1)
        words = words_TBE, weight_GE
    h_BH, c_BH = state
    return LstmSteps(words, torch.cat([weight_hh, weight_read], dim=1), layer.bias_ih, (h_BH, c_BH), layer.peepholes, T, products)


def _attending(attention: Attention, memory: Memory, T: int, products: torch.dtype) -> Attending:
    assert memory.keys_SMA is not None
    states_SBH = memory.states_SMH
    keys_BSA, memory_BSH = (each.transpose(0, 1).to(states_SBH.dtype).contiguous() for each in (memory.keys_SMA, states_SBH))
    is_padding_BS = ~is_word(len(states_SBH), memory.lengths_M).t()
    if attention.scale is None:
        return DotSteps(keys_BSA, memory_BSH, is_padding_BS, T)
    assert isinstance(attention.query, torch.nn.Linear)
    return AdditiveSteps(keys_BSA, memory_BSH, is_padding_BS, attention.query.weight, attention.scale, T, products)
