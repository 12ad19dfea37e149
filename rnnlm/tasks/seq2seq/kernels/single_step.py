"""One step of a stack of layers, as decoding takes it: without gradients, thousands of times in turn.

On a CPU the loops of :mod:`rnnlm.neural.layers.kernels` do a single step of an LSTM of five rows in a third of the time that oneDNN takes,
which lays out the weights anew in each call; over a window that pays.
"""

from torch import Tensor

from rnnlm.neural.device import product_type
from rnnlm.neural.layers.kernels.lstm import ScheduledLSTM
from rnnlm.neural.layers.layer import Layer, State
from rnnlm.neural.layers.stack import LstmLayer, MogrifierLayer, RecurrentStack


def one_step(body: RecurrentStack, x_1BE: Tensor, state: State) -> tuple[Tensor, State]:
    """What the stack gives, (1, B, H), and its state after the step. Nothing is dropped."""
    after: State = ()
    for number, layer in enumerate(body.layers):
        y_1BH, own = layer_step(layer, x_1BE, state[len(after) : len(after) + len(layer.state_shapes())])
        after += own
        x_1BE = body.connect(number, x_1BE, y_1BH)
    return x_1BE, after


def layer_step(layer: Layer, x_1BE: Tensor, state: State) -> tuple[Tensor, State]:
    """One layer of it."""
    if x_1BE.device.type != "cpu" or not isinstance(layer, LstmLayer) or isinstance(layer, MogrifierLayer):
        y_1BH, after = layer(x_1BE, state)
        return y_1BH, after
    weights = layer.weight_ih, layer.weight_hh, layer.bias_ih, layer.peepholes
    y_1BH, c_BH = ScheduledLSTM.apply(x_1BE, state[0][0], state[1][0], *weights, product_type(x_1BE), False)
    return y_1BH, (y_1BH, c_BH.unsqueeze(0))
