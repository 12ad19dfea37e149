"""The recurrent layers, and the stack of them, apart from word input and output layer. The equations stand in steps.py."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from rnnlm.neural.layers import steps
from rnnlm.neural.layers.kernels import choice
from rnnlm.neural.layers.kernels.mogrifier import by_round, mogrifier_lstm
from rnnlm.neural.layers.layer import Layer, State
from rnnlm.neural.layers.qrnn import QuasiRecurrentLayer
from rnnlm.neural.recurrent_settings import ElmanCell, GruCell, LstmCell, QrnnCell, RecurrentSettings
from rnnlm.neural.regularization import dropout

Weights = tuple[Tensor, Tensor, Tensor]  # for what is read, for what is fed back, biases
HIGHWAY_BIAS = -1.0  # a highway starts by carrying most of its input (Srivastava et al. 2015)


class RecurrentLayer(Layer):
    """A layer that reads its own last output."""

    weight_hh: nn.Parameter

    def __init__(self, settings: RecurrentSettings, input_width: int, width: int, gates: int = 1) -> None:
        super().__init__(input_width, width, width, gates)
        self.weight_drop = settings.weight_drop

    def recurrent_weights(self) -> Tensor:
        """`weight_hh`; in training under DropConnect (Wan et al. 2013; Merity et al. 2018, section 2): one mask a window, so that
        all its steps go through the same weights, and gradients reach the weights themselves."""
        return dropout(self.weight_hh, self.weight_drop, self.training)


class ElmanLayer(RecurrentLayer):
    """One bias: a second one would add nothing."""

    def __init__(self, settings: ElmanCell, input_width: int, width: int) -> None:
        super().__init__(settings, input_width, width)
        self.activation = settings.activation
        self.is_launched_step_by_step = not choice.torch_has_elman(settings.activation)

    def forward(self, x_TBE: Tensor, state: State) -> tuple[Tensor, State]:
        weights = (self.weight_ih, self.recurrent_weights(), self.bias_ih)
        y_TBH = choice.elman(x_TBE, state[0][0], *weights, self.activation)
        return y_TBH, (y_TBH[-1:],)

    def step(self, x_BE: Tensor, state: State) -> tuple[steps.Step, State]:
        step = steps.elman_step(x_BE, state[0][0], self.weight_ih, self.weight_hh, self.bias_ih, self.activation)
        return step, step.state


class GruLayer(RecurrentLayer):
    """Blocks r, z, n. `bias_hh` is inside what the reset gate multiplies, in torch's form."""

    def __init__(self, settings: GruCell, input_width: int, width: int) -> None:
        super().__init__(settings, input_width, width, gates=3)
        self.bias_hh = nn.Parameter(torch.zeros(3 * width))
        self.reset_gate, self.update_gate = settings.reset_gate, settings.update_gate
        self.is_launched_step_by_step = not choice.torch_has_gru(settings.reset_gate)

    def forward(self, x_TBE: Tensor, state: State) -> tuple[Tensor, State]:
        weights = (self.weight_ih, self.recurrent_weights(), self.bias_ih, self.bias_hh)
        y_TBH = choice.gru(x_TBE, state[0][0], *weights, self.reset_gate, self.update_gate)
        return y_TBH, (y_TBH[-1:],)

    def step(self, x_BE: Tensor, state: State) -> tuple[steps.Step, State]:
        weights = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        step = steps.gru_step(x_BE, state[0][0], *weights, self.reset_gate, self.update_gate)
        return step, step.state


class LstmLayer(RecurrentLayer):
    """Blocks i, f, g, o; f, g, o where the gates are coupled. Peepholes: i, f, o (f, o), one number a unit."""

    states = 2

    def __init__(self, settings: LstmCell, input_width: int, width: int) -> None:
        super().__init__(settings, input_width, width, gates=3 if settings.coupled_gates else 4)
        self.coupled = settings.coupled_gates
        self.is_launched_step_by_step = not choice.torch_has_lstm(settings.peepholes, settings.coupled_gates)
        self.peepholes = nn.Parameter(torch.zeros((self.gates - 1) * width)) if settings.peepholes else None
        with torch.no_grad():  # Gers et al. 2000; Jozefowicz et al. 2015
            self.bias_ih.view(self.gates, width)[0 if self.coupled else 1] = settings.forget_bias

    def forward(self, x_TBE: Tensor, state: State) -> tuple[Tensor, State]:
        h_BH, c_BH = state[0][0], state[1][0]
        y_TBH, c_BH = self._read(x_TBE, h_BH, c_BH, (self.weight_ih, self.recurrent_weights(), self.bias_ih))
        return y_TBH, (y_TBH[-1:], c_BH.unsqueeze(0))

    def step(self, x_BE: Tensor, state: State) -> tuple[steps.Step, State]:
        weights = (self.weight_ih, self.weight_hh, self.bias_ih, self.peepholes)
        step = steps.lstm_step(x_BE, state[0][0], state[1][0], *weights, self.coupled)
        return step, step.state

    def _read(self, x_TBE: Tensor, h_BH: Tensor, c_BH: Tensor, weights: Weights) -> tuple[Tensor, Tensor]:
        return choice.lstm(x_TBE, h_BH, c_BH, *weights, self.peepholes, self.coupled)


class MogrifierLayer(LstmLayer):
    """An LSTM whose input and last output gate each other for `mogrifier_rounds` before each step (Melis et al. 2020). Odd
    rounds gate x by a matrix (E, H), even ones h' by one (H, E); of rank k it is the product of (., k) and (k, .)."""

    def __init__(self, settings: LstmCell, input_width: int, width: int) -> None:
        super().__init__(settings, input_width, width)
        self.rounds, rank = settings.mogrifier_rounds, settings.mogrifier_rank
        self.is_launched_step_by_step = True
        shapes = []
        for number in range(self.rounds):
            rows, columns = (input_width, width) if number % 2 == 0 else (width, input_width)
            shapes += [(rows, columns)] if rank is None else [(rank, columns), (rows, rank)]
        self.mogrifier = nn.ParameterList(torch.empty(shape) for shape in shapes)

    def matrices(self) -> Iterator[tuple[Tensor, str, int]]:
        yield from super().matrices()
        for place, factor in enumerate(self.mogrifier):
            yield factor, "input" if place * self.rounds // len(self.mogrifier) % 2 else "recurrent", 1

    def step(self, x_BE: Tensor, state: State) -> tuple[steps.Step, State]:
        x_BE, h_BH, gates = steps.mogrify(x_BE, state[0][0], by_round(list(self.mogrifier), self.rounds))
        step, state = super().step(x_BE, (h_BH.unsqueeze(0), state[1]))
        return steps.Step(step.hidden_BH, step.cell_BH, gates | step.gates), state

    def _read(self, x_TBE: Tensor, h_BH: Tensor, c_BH: Tensor, weights: Weights) -> tuple[Tensor, Tensor]:
        return mogrifier_lstm(x_TBE, h_BH, c_BH, *weights, self.rounds, list(self.mogrifier), self.peepholes)


class Stack(nn.Module):
    """Layers on top of each other, with dropout between them. From the second layer f on, with x what it reads:

    plain: f(x). residual (He et al. 2016): x + f(x). highway (Srivastava et al. 2015): t f(x) + (1 - t) x, t = s(A x + a).
    dense (Godin et al. 2017): each layer, and the output layer, reads the words and all layers below, side by side.
    """

    highways: nn.ModuleList

    def __init__(self, settings: RecurrentSettings) -> None:
        super().__init__()
        self.settings = settings

    def _make_highways(self) -> nn.ModuleList:
        widths = self.settings.widths[1:] if self.settings.connections == "highway" else ()
        return nn.ModuleList(_highway(self.settings.directions * width) for width in widths)

    def drop_between(self, number: int, x_TBE: Tensor) -> Tensor:
        """What layer `number` reads of x: the lowest one all of it."""
        return dropout(x_TBE, self.settings.dropout_between, self.training, self.settings.locked_dropout) if number else x_TBE

    def connect(self, number: int, x_TBE: Tensor, y_TBH: Tensor) -> Tensor:
        """What is read after layer `number`, which read x and gave y."""
        connections = self.settings.connections
        if connections == "dense":
            return torch.cat([x_TBE, y_TBH.to(x_TBE.dtype)], dim=2)
        if number == 0 or connections == "plain":
            return y_TBH
        if connections == "residual":
            return x_TBE + y_TBH
        t_TBH = torch.sigmoid(self.highways[number - 1](x_TBE))
        return x_TBE + t_TBH * (y_TBH - x_TBE)


class RecurrentStack(Stack):
    """Reads one window after the other, from a state to a state."""

    layers: Sequence[Layer]

    def __init__(self, settings: RecurrentSettings) -> None:
        super().__init__(settings)
        self.layers = make_layers(settings)  # type: ignore[assignment]  # a list of modules does not say of which
        self.highways = self._make_highways()

    def forward(self, x_TBE: Tensor, state: State) -> tuple[Tensor, State]:
        after: State = ()
        for number, layer in enumerate(self.layers):
            x_TBE = self.drop_between(number, x_TBE)
            y_TBH, layer_state = layer(x_TBE, state[len(after) : len(after) + len(layer.state_shapes())])
            after += layer_state
            x_TBE = self.connect(number, x_TBE, y_TBH)
        return x_TBE, after

    def state_shapes(self) -> list[tuple[int, int]]:
        """(places, width) of each tensor of the state."""
        return [shape for layer in self.layers for shape in layer.state_shapes()]

    def matrices(self) -> Iterator[tuple[Tensor, str, int]]:
        """(weights, what they multiply, blocks stacked in them), to be initialised."""
        for layer in self.layers:
            yield from layer.matrices()


def make_layers(settings: RecurrentSettings) -> nn.ModuleList:
    """The layers of one direction, the lowest first; each reads what all directions of those below give."""
    below, layers = settings.input_width, nn.ModuleList()
    for number, width in enumerate(settings.widths):
        layers.append(make_layer(settings, number, below, width))
        given = settings.directions * width
        below = below + given if settings.connections == "dense" else given
    return layers


def make_layer(settings: RecurrentSettings, number: int, input_width: int, width: int) -> Layer:
    if isinstance(settings, QrnnCell):
        return QuasiRecurrentLayer(settings, input_width, width, settings.convolution_words if number == 0 else 1)
    if isinstance(settings, LstmCell):
        kind = MogrifierLayer if settings.mogrifier_rounds else LstmLayer
        return kind(settings, input_width, width)
    return {"rnn": ElmanLayer, "gru": GruLayer}[settings.model](settings, input_width, width)


def _highway(width: int) -> nn.Linear:
    gate = nn.Linear(width, width)
    nn.init.constant_(gate.bias, HIGHWAY_BIAS)
    return gate
