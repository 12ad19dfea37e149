"""Input feeding (Luong et al. 2015, section 3.3): each step reads the attentional vector of the step before beside its word.

So the steps wait for each other, layers and attention alike. What dropout draws is drawn for the whole window before the first step.
Shapes: T target time, B rows, E width of the word vectors, D of the layers' states h, F of attentional vectors a, S source time.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call

from rnnlm.neural.layers.layer import Layer, State
from rnnlm.neural.layers.qrnn import QuasiRecurrentLayer
from rnnlm.neural.layers.stack import RecurrentStack
from rnnlm.neural.regularization import dropout
from rnnlm.tasks.seq2seq.attention import Memory
from rnnlm.tasks.seq2seq.kernels.single_step import layer_step
from rnnlm.tasks.seq2seq.settings import Seq2SeqSettings

Look = Callable[[Tensor, Memory], tuple[Tensor, Tensor]]  # h and the memory to a and the weights of attention


@dataclass(frozen=True)
class Drawn:
    """What dropout drew for a window. fed_TBF: what the fed vectors are multiplied by, and between_TBX: what each layer above the
    lowest one reads, None: nothing is dropped. weights: of each layer those that differ from its own, by name."""

    fed_TBF: Tensor | None
    between_TBX: tuple[Tensor | None, ...]
    weights: tuple[dict[str, Tensor], ...]


def draw(body: RecurrentStack, settings: Seq2SeqSettings, x_TBE: Tensor) -> Drawn:
    """What is dropped of a window of these word vectors."""
    layers, T, B = body.layers, *x_TBE.shape[:2]

    def mask(p: float, width: int) -> Tensor | None:
        if not body.training or not p:
            return None
        return dropout(layers[0].weight_ih.new_ones((T, B, width)), p, True, settings.locked_dropout)

    def weights(layer: Layer) -> dict[str, Tensor]:
        name = "weight_ih" if isinstance(layer, QuasiRecurrentLayer) else "weight_hh"
        return {name: dropout(layer.get_parameter(name), settings.weight_drop, True)} if body.training and settings.weight_drop else {}

    between = tuple(mask(settings.dropout_between, each.weight_ih.shape[1]) for each in layers[1:])
    return Drawn(mask(settings.dropout_input, settings.fed_width), between, tuple(map(weights, layers)))


def read_step_by_step(
    body: RecurrentStack, x_TBE: Tensor, memory: Memory, state: State, look: Look, drawn: Drawn
) -> tuple[Tensor, Tensor, State]:
    """a (T, B, F), the weights of attention (T, B, S) and the state after the last word. The layers of `body` drop nothing themselves."""
    *layers, fed_1BF = state
    features, weights = [], []
    for t, x_BE in enumerate(x_TBE):
        read_1BF = fed_1BF if drawn.fed_TBF is None else fed_1BF * drawn.fed_TBF[t]
        h_1BD, layers = _layers(body, torch.cat([x_BE.unsqueeze(0), read_1BF], dim=2), layers, drawn, t)
        a_1BF, weights_1BS = look(h_1BD, memory)
        fed_1BF = a_1BF.to(state[-1].dtype)
        features.append(a_1BF)
        weights.append(weights_1BS)
    return torch.cat(features), torch.cat(weights), (*layers, fed_1BF)


def _layers(body: RecurrentStack, x_1BX: Tensor, state: list[Tensor], drawn: Drawn, t: int) -> tuple[Tensor, list[Tensor]]:
    """What the layers make of one step, and their state after it."""
    after: list[Tensor] = []
    for number, (layer, weights) in enumerate(zip(body.layers, drawn.weights, strict=True)):
        if number and (mask_TBX := drawn.between_TBX[number - 1]) is not None:
            x_1BX = x_1BX * mask_TBX[t]
        own = tuple(state[len(after) : len(after) + len(layer.state_shapes())])
        if weights:
            y_1BD, own = functional_call(layer, weights, (x_1BX, own))
        else:
            y_1BD, own = layer(x_1BX, own) if torch.is_grad_enabled() or body.training else layer_step(layer, x_1BX, own)
        after += own
        x_1BX = body.connect(number, x_1BX, y_1BD)
    return x_1BX, after
