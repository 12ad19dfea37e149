"""Recurrent and feed-forward layers: dropout, the computation of one layer, stacks of them in one
direction or both, and their names as people are shown them."""

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnlm import satellites
from rnnlm.interface import Array
from rnnlm.lm.neural.activations import BY_NAME, DOUBLED, SIGMOID, TANH, Activation
from rnnlm.lm.neural.cells import cells
from rnnlm.lm.neural.layers import steps
from rnnlm.lm.neural.layers.batch_norm import BatchNorm
from rnnlm.lm.neural.layers.kernels import choice
from rnnlm.lm.neural.layers.kernels.loops import LinearRecurrence, tanh, window_product
from rnnlm.lm.neural.layers.steps import (
    ACTIVATIONS,
    CellStep,
    Matrix,
    elman_step,
    feed_forward_step,
    qrnn_step,
)
from rnnlm.lm.neural.settings import (
    HIGHWAY_BIAS,
    Activation as ActivationName,
    Cell,
    ElmanCell,
    FeedForwardSettings,
    GruCell,
    JordanSettings,
    LstmCell,
    QrnnCell,
    RecurrentSettings,
    Size,
    array_sizes,
)
from rnnlm.parallel import interruptible_pieces, tokens_of_a_piece

# ---- Dropout (Srivastava et al. 2014), inverted: kept values are scaled up, so that expected
# values stay. Locked (variational) dropout (Gal & Ghahramani 2016) has one mask for each row, the
# same at all steps of a window.


def dropout(x_TBE: Tensor, p: float, training: bool, locked: bool = False) -> Tensor:
    """Set each element of `x` to zero with probability `p`, and divide the others by 1 - p; return
    `x` itself if not training. On a CPU, `p` is rounded to a multiple of 1 / 65,536, but never to 0
    nor 1."""
    if not training or p == 0:
        return x_TBE
    shape = (1, *x_TBE.shape[1:]) if locked else x_TBE.shape

    if x_TBE.device.type != "cpu":
        return x_TBE * F.dropout(x_TBE.new_ones(shape), p) if locked else F.dropout(x_TBE, p)
    return x_TBE * _keep_factors(shape, p).to(x_TBE.dtype)


LEVELS = 1 << 16  # values of the 16 random bits that decide on an element


def _keep_factors(shape: Sequence[int], p: float) -> Tensor:
    """Draw the factors of dropout on the CPU, fp32: 0 with probability q, 1 / (1 - q) otherwise.

    q is `p` in whole steps of 1 / 65,536, at least one and at most 65,535 of them. torch's own
    dropout takes ten nanoseconds an element for its mask, a tenth of a training step, and its
    uniform numbers three; numpy's SFC64 takes half of one. A number drawn by torch seeds it, so
    that masks follow from the state of torch's generator, as all else that is random.
    """
    seed = int(torch.randint(1 << 62, ()))
    count = math.prod(shape)
    words = np.random.SFC64(seed).random_raw(-(-count // 4))  # of 64 bits each
    bits = words.view(np.uint16)[:count]

    # numpy also compares and converts several times as fast as torch does.
    dropped_levels = min(max(round(p * LEVELS), 1), LEVELS - 1)
    is_kept = bits >= np.uint16(dropped_levels)
    factors = torch.from_numpy(is_kept.astype(np.float32))
    return factors.mul_(LEVELS / (LEVELS - dropped_levels)).view(shape)


# ---- The common parts of all layers: weights under torch's names, a state, a quick pass over a
# window and a plain step that shows its inner values.

State = tuple[Tensor, ...]  # tensors (steps, B, width)
HIDDEN, CELL = "hidden state", "tanh of the cell"  # values that are no gates
RECURRENT = "recurrent"  # the only matrix of an Elman layer


class Layer(nn.Module):
    """Base of all layers. `forward` takes x_TBE and the state, and gives y_TBH and the state after
    the last step.

    Weights are `gates` blocks of `width` rows each: U for the layer's input and, if something of
    width `fed_back` comes back to it, W for the fed-back vector. Biases start at zero. A layer has
    the properties that networks, training and inspections ask for.
    """

    # Its tensors (1, B, H) of state, which are fed back
    parts: tuple[str, ...] = ("h",)
    # The gates and candidates with their own activation; without any, the hidden state has it
    gate_names: tuple[str, ...] = ()
    activation: ActivationName
    # The weights that `weight_drop` drops elements of
    dropped = "weight_hh"
    weight_drop = 0.0
    # Whether a GPU runs many small kernels for each step, so that launching them takes the time.
    is_launched_step_by_step = False
    weight_hh: nn.Parameter | None

    def __init__(self, input_width: int, width: int, fed_back: int = 0, gates: int = 1) -> None:
        super().__init__()
        self.width, self.gates = width, gates
        self.weight_ih = nn.Parameter(torch.empty(gates * width, input_width))
        self.weight_hh = nn.Parameter(torch.empty(gates * width, fed_back)) if fed_back else None
        self.bias_ih = nn.Parameter(torch.zeros(gates * width))

    def step(self, x_BE: Tensor, state: State) -> tuple[CellStep, State]:
        """Take one step by its equations, without dropout; return it and the state after it."""
        raise NotImplementedError

    def state_shapes(self) -> list[tuple[int, int]]:
        """Return (steps, width) of each tensor of the state."""
        return [(1, self.width)] * len(self.parts)

    def drawn_weights(self) -> Tensor:
        """Return the weights called `dropped`; in training under DropConnect (Wan et al. 2013;
        Merity et al. 2018, section 2).

        The mask is drawn once a window, so that all its steps go through the same weights.
        Gradients reach the weights themselves.
        """
        return dropout(getattr(self, self.dropped), self.weight_drop, self.training)

    def activations(self) -> dict[str, Activation]:
        """Return the activations by the names of their values.

        They are gates as in :class:`rnnlm.lm.neural.layers.steps.CellStep`, "hidden state" of
        layers without gates, "tanh of the cell" of an LSTM. A gate that a form of the layer does
        not have is left out, such as an input gate that is 1 - forget.
        """
        if not self.gate_names:
            return {HIDDEN: BY_NAME[self.activation]}
        return {name: TANH if name == "candidate" else SIGMOID for name in self.gate_names}

    def recurrent_blocks(self) -> dict[str, Tensor]:
        """Return the matrices (H, H) that take the state to the state, by the gates' names; none
        for a layer that reads something else back than its state."""
        return {}

    def round_matrices(self) -> dict[str, Tensor]:
        """Return the matrices by which the state and the input gate each other, by names."""
        return {}

    def given_up(self, gates: Mapping[str, Array]) -> Array | None:
        """Return the share of the state that is overwritten at each word, from the means of the
        gates; None where no gate decides that."""
        return 1 - gates["forget"] if "forget" in gates else None

    def matrices(self) -> Iterator[tuple[Tensor, str, int]]:
        """Yield the weights to be initialised: (weights, their operand, blocks stacked in them)."""
        for name, weight in self.named_parameters(recurse=False):
            if weight.dim() > 1:
                blocks = len(weight) // self.width if len(weight) % self.width == 0 else 1
                yield weight, "recurrent" if is_recurrent(name) else "input", blocks


def is_recurrent(name: str) -> bool:
    """Return whether weights of that name multiply the state."""
    return name.startswith("weight_hh")


# ---- The recurrent layers, and the stack of them, apart from word input and output layer. The
# equations are in steps.py.

STEPS_OF_A_PIECE = 512  # that a layer takes between two interruption points


class RecurrentLayer(Layer):
    """A layer that reads its own last output.

    `forward` takes the weights that :meth:`drawn_weights` returned, too, for several pieces of a
    window to go through the same; None: drawn in each call. `step` takes them in the place of
    `weight_hh`.
    """

    weight_hh: nn.Parameter
    # Whether kernels/ has this form; otherwise windows go through the steps under autograd
    has_kernel = True

    def __init__(
        self, input_width: int, width: int, gates: int = 1, weight_drop: float = 0.0
    ) -> None:
        super().__init__(input_width, width, width, gates)
        self.weight_drop = weight_drop
        self.norms = nn.ParameterList()  # see steps.py

    def forward(
        self, x_TBE: Tensor, state: State, drawn: Tensor | None = None
    ) -> tuple[Tensor, State]:
        weight_hh = self.drawn_weights() if drawn is None else drawn
        read = self._read_window if self.has_kernel else self._read_by_steps
        return read(x_TBE, state, weight_hh)

    def step(
        self, x_BE: Tensor, state: State, weight_hh: Tensor | None = None
    ) -> tuple[CellStep, State]:
        W = self.weight_hh if weight_hh is None else weight_hh
        a_BG = self.inputs(x_BE, self.weight_ih)
        return self.step_from(a_BG, state, self.matrices_of_steps(W))

    def inputs(self, x: Tensor, U: Matrix) -> Tensor:
        """Return what steps read of x, of one step or of many at once: x U + b."""
        a = steps.product(x, U, None if len(self.norms) else self.bias_ih)
        # Products may run in bf16; gates and states keep the type of the weights.
        return a.to(self.weight_ih.dtype)

    def matrices_of_steps(self, weight_hh: Tensor) -> list[Tensor]:
        """Return the matrices that a step multiplies by."""
        return [weight_hh]

    def step_from(
        self, a_BG: Tensor, state: State, matrices: Sequence[Matrix]
    ) -> tuple[CellStep, State]:
        """Take one step from what :meth:`inputs` and :meth:`matrices_of_steps` returned."""
        raise NotImplementedError

    def normalise(self, *widths: int) -> None:
        """Make gains of layer normalisation, which start at one, of these widths."""
        self.norms.extend(nn.Parameter(torch.ones(width)) for width in widths)
        self.has_kernel, self.is_launched_step_by_step = False, True

    def _read_window(self, x_TBE: Tensor, state: State, weight_hh: Tensor) -> tuple[Tensor, State]:
        """Compute `forward` by the fastest kernel."""
        raise NotImplementedError

    def _read_by_steps(
        self, x_TBE: Tensor, state: State, weight_hh: Tensor
    ) -> tuple[Tensor, State]:
        """Compute `forward` by the plain steps."""
        T, B, _ = x_TBE.shape
        matrices = [window_product(W, T, B) for W in self.matrices_of_steps(weight_hh)]
        hidden = []
        for a_BG in self.inputs(x_TBE, self.weight_ih).unbind(0):
            step, state = self.step_from(a_BG, state, matrices)
            hidden.append(step.hidden_BH)
        return torch.stack(hidden), state

    def recurrent_blocks(self) -> dict[str, Tensor]:
        # A normalised product has no size that its matrix decides.
        if len(self.norms):
            return {}
        names = self.gate_names or (RECURRENT,)
        return dict(zip(names, self.weight_hh.chunk(len(names)), strict=True))


class ElmanLayer(RecurrentLayer):
    """Elman's layer, with one bias: a second one would add nothing."""

    def __init__(
        self, cell: ElmanCell, input_width: int, width: int, weight_drop: float = 0.0
    ) -> None:
        super().__init__(input_width, width, weight_drop=weight_drop)
        self.activation = cell.activation
        self.is_launched_step_by_step = not choice.torch_has_elman(cell.activation)
        if cell.layer_norm:
            self.normalise(width)

    def _read_window(self, x_TBE: Tensor, state: State, weight_hh: Tensor) -> tuple[Tensor, State]:
        weights = (self.weight_ih, weight_hh, self.bias_ih)
        y_TBH = choice.elman(x_TBE, state[0][0], *weights, self.activation)
        return y_TBH, (y_TBH[-1:],)

    def step_from(
        self, a_BG: Tensor, state: State, matrices: Sequence[Matrix]
    ) -> tuple[CellStep, State]:
        form = self.activation, list(self.norms), self.bias_ih
        step = elman_step(a_BG, state[0][0], matrices[0], *form)
        return step, step.state


class GruLayer(RecurrentLayer):
    """The gated recurrent unit, in blocks r, z, n. In torch's form the reset gate multiplies
    `bias_hh`, too."""

    gate_names = ("reset", "update", "candidate")

    def __init__(
        self, cell: GruCell, input_width: int, width: int, weight_drop: float = 0.0
    ) -> None:
        super().__init__(input_width, width, gates=3, weight_drop=weight_drop)
        self.bias_hh = nn.Parameter(torch.zeros(3 * width))
        self.reset_gate, self.update_gate = cell.reset_gate, cell.update_gate
        self.has_kernel = cell.reset_gate == "after"
        self.is_launched_step_by_step = not self.has_kernel
        if cell.layer_norm:
            self.normalise(3 * width, 3 * width)

    def _read_window(self, x_TBE: Tensor, state: State, weight_hh: Tensor) -> tuple[Tensor, State]:
        weights = (self.weight_ih, weight_hh, self.bias_ih, self.bias_hh)
        y_TBH = choice.gru(x_TBE, state[0][0], *weights, self.update_gate)
        return y_TBH, (y_TBH[-1:],)

    def inputs(self, x: Tensor, U: Matrix) -> Tensor:
        if not len(self.norms):
            return super().inputs(x, U)
        return steps.normalised_gru_inputs(x, U, self.bias_ih, self.norms[0])

    def matrices_of_steps(self, weight_hh: Tensor) -> list[Tensor]:
        return list(weight_hh.split((2 * self.width, self.width)))

    def step_from(
        self, a_BG: Tensor, state: State, matrices: Sequence[Matrix]
    ) -> tuple[CellStep, State]:
        form = self.reset_gate, self.update_gate, list(self.norms)
        step = steps.gru_step(a_BG, state[0][0], matrices, self.bias_hh, *form)
        return step, step.state

    def given_up(self, gates: Mapping[str, Array]) -> Array | None:
        return 1 - gates["update"] if self.update_gate == "keep" else gates["update"]


class LstmLayer(RecurrentLayer):
    """The long short-term memory, in blocks i, f, g, o; f, g, o if the gates are coupled.
    Peepholes: i, f, o (f, o), one number a unit."""

    parts = ("h", "c")
    gate_names: tuple[str, ...] = ("input", "forget", "candidate", "output")

    def __init__(
        self, cell: LstmCell, input_width: int, width: int, weight_drop: float = 0.0
    ) -> None:
        super().__init__(input_width, width, 3 if cell.coupled_gates else 4, weight_drop)
        self.coupled = cell.coupled_gates
        self.gate_names = self.gate_names[-self.gates :]
        self.has_kernel = not (cell.peepholes or cell.mogrifier_rounds)
        self.is_launched_step_by_step = self.coupled or not self.has_kernel
        self.peepholes: nn.Parameter | None = None
        if cell.peepholes:
            self.peepholes = nn.Parameter(torch.zeros((self.gates - 1) * width))
        if cell.layer_norm:
            self.normalise(self.gates * width, self.gates * width, width)
            self.norms.append(nn.Parameter(torch.zeros(width)))  # the bias of the cell

        # A forget gate that starts open (Gers et al. 2000; Jozefowicz et al. 2015).
        forget = 0 if self.coupled else 1
        with torch.no_grad():
            self.bias_ih.view(self.gates, width)[forget] = cell.forget_bias

    def _read_window(self, x_TBE: Tensor, state: State, weight_hh: Tensor) -> tuple[Tensor, State]:
        weights = (self.weight_ih, weight_hh, self.bias_ih)
        y_TBH, c_BH = choice.lstm(x_TBE, state[0][0], state[1][0], *weights, self.coupled)
        return y_TBH, (y_TBH[-1:], c_BH.unsqueeze(0))

    def inputs(self, x: Tensor, U: Matrix) -> Tensor:
        a = super().inputs(x, U)
        return steps.normalised(a, self.norms[0]) if len(self.norms) else a

    def step_from(
        self, a_BG: Tensor, state: State, matrices: Sequence[Matrix]
    ) -> tuple[CellStep, State]:
        form = self.peepholes, self.coupled, list(self.norms), self.bias_ih
        step = steps.lstm_step(a_BG, state[0][0], state[1][0], matrices[0], *form)
        return step, step.state

    def normalised(self, cell: Tensor) -> Tensor:
        """Return the vector that goes through the tanh: the cell, or the normalised one."""
        norms = list(self.norms)
        return steps.normalised(cell, *norms[2:]) if norms else cell

    def activations(self) -> dict[str, Activation]:
        return super().activations() | {CELL: TANH}


class MogrifierLayer(LstmLayer):
    """An LSTM whose input and last output gate each other for `mogrifier_rounds` before each step
    (Melis et al. 2020).

    Odd rounds gate x by a matrix (E, H), even ones h' by one (H, E); of rank k it is the product of
    (., k) and (k, .).
    """

    def __init__(
        self, cell: LstmCell, input_width: int, width: int, weight_drop: float = 0.0
    ) -> None:
        super().__init__(cell, input_width, width, weight_drop)
        self.rounds = cell.mogrifier_rounds
        sizes = cell.array_sizes(input_width, width)
        factors = [size for name, size in sizes.items() if name.startswith("mogrifier.")]
        self.mogrifier = nn.ParameterList(map(torch.empty, factors))

    def matrices(self) -> Iterator[tuple[Tensor, str, int]]:
        yield from super().matrices()
        for number, factors in enumerate(self.by_round(list(self.mogrifier))):
            multiplied = "recurrent" if number % 2 == 0 else "input"
            for factor in factors:
                yield factor, multiplied, 1

    def activations(self) -> dict[str, Activation]:
        rounds = {f"round {number}": DOUBLED for number in range(1, self.rounds + 1)}
        return rounds | super().activations()

    def round_matrices(self) -> dict[str, Tensor]:
        """Return the matrix of each round; of low rank, the product of its two factors."""
        matrices = {}
        for number, (first, *second) in enumerate(self.by_round(list(self.mogrifier)), start=1):
            matrices[f"round {number}"] = second[0].double() @ first.double() if second else first
        return matrices

    def by_round(self, factors: Sequence[Any]) -> list[Sequence[Any]]:
        """Group the factors, one or two a round."""
        per_round = len(factors) // self.rounds
        return [factors[start : start + per_round] for start in range(0, len(factors), per_round)]

    def inputs(self, x: Tensor, U: Matrix) -> Tensor:
        """Return x: its product with U waits for the rounds of each step."""
        return x.to(self.weight_ih.dtype)

    def matrices_of_steps(self, weight_hh: Tensor) -> list[Tensor]:
        return [weight_hh, self.weight_ih, *self.mogrifier]

    def step_from(
        self, a_BG: Tensor, state: State, matrices: Sequence[Matrix]
    ) -> tuple[CellStep, State]:
        W, U, *factors = matrices
        x_BE, h_BH, gates = steps.mogrify(a_BG, state[0][0], self.by_round(factors))
        gated = h_BH.unsqueeze(0), state[1]
        step, state = super().step_from(super().inputs(x_BE, U), gated, [W])
        return CellStep(step.hidden_BH, step.cell_BH, gates | step.gates), state


def lstm_layer(cell: LstmCell, input_width: int, width: int, weight_drop: float = 0.0) -> LstmLayer:
    """Make an LSTM layer in the form that its settings ask for."""
    form = MogrifierLayer if cell.mogrifier_rounds else LstmLayer
    return form(cell, input_width, width, weight_drop)


class Stack(nn.Module):
    """Layers on top of each other, with dropout between them.

    From the second layer f on, which reads x, the next one reads

    plain: f(x). residual (He et al. 2016): x + f(x). highway (Srivastava et al. 2015): t f(x) + (1
    - t) x, t = s(A x + a). dense (Godin et al. 2017): each layer, and the output layer, reads the
    words and all layers below, side by side.
    """

    highways: nn.ModuleList

    def __init__(self, settings: RecurrentSettings) -> None:
        super().__init__()
        self.settings = settings

    def _make_highways(self) -> nn.ModuleList:
        """Make the gates of highway connections, one for each layer but the lowest."""
        if self.settings.connections != "highway":
            return nn.ModuleList()
        directions = self.settings.directions
        return nn.ModuleList(_highway(directions * width) for width in self.settings.widths[1:])

    def drop_between(self, number: int, x_TBE: Tensor) -> Tensor:
        """Apply dropout to the input of layer `number`, unless it is the lowest."""
        if number == 0:
            return x_TBE
        settings = self.settings
        return dropout(x_TBE, settings.dropout_between, self.training, settings.locked_dropout)

    def connect(self, number: int, x_TBE: Tensor, y_TBH: Tensor) -> Tensor:
        """Return the next layer's input after layer `number`, which read x and gave y."""
        connections = self.settings.connections
        if connections == "dense":
            return torch.cat([x_TBE, y_TBH.to(x_TBE.dtype)], dim=2)
        if number == 0 or connections == "plain":
            return y_TBH
        if connections == "residual":
            return x_TBE + y_TBH
        t_TBH = torch.sigmoid(self.highways[number - 1](x_TBE))
        return x_TBE + t_TBH * (y_TBH - x_TBE)

    def matrices(self) -> Iterator[tuple[Tensor, str, int]]:
        """Yield the weights to be initialised, as :meth:`Layer.matrices` does."""
        for layer in self.modules():
            if isinstance(layer, Layer):
                yield from layer.matrices()


class RecurrentStack(Stack):
    """Layers that read one window after the other, from a state to a state."""

    layers: Sequence[Layer]

    def __init__(self, settings: RecurrentSettings) -> None:
        super().__init__(settings)
        # The annotation names the type of the layers, which nn.ModuleList does not.
        self.layers = make_layers(settings)  # type: ignore[assignment]
        self.highways = self._make_highways()

    def forward(
        self, x_TBE: Tensor, state: State, lookback: "LookBack | None" = None
    ) -> tuple[Tensor, State]:
        after: State = ()
        for number, layer in enumerate(self.layers):
            layer_state = state[len(after) : len(after) + len(layer.state_shapes())]
            x_TBE = self.drop_between(number, x_TBE)
            if lookback is None:
                y_TBH, layer_state = layer(x_TBE, layer_state)
            else:
                y_TBH, layer_state = lookback.read(layer, x_TBE, layer_state)
            x_TBE = self.connect(number, x_TBE, y_TBH)
            after += layer_state
        return x_TBE, after

    def read(self, x_TBE: Tensor, lengths_B: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """Read whole rows, as :meth:`BidirectionalStack.read` does: padding comes after all words,
        and has no influence on them, however long the rows are."""
        layers: list[Tensor] = []
        for number, layer in enumerate(self.layers):
            x_TBE = self.drop_between(number, x_TBE)
            y_TBH = read_rows(layer, x_TBE)
            layers.append(y_TBH)
            x_TBE = self.connect(number, x_TBE, y_TBH)
        return x_TBE, layers

    def state_shapes(self) -> list[tuple[int, int]]:
        """Return (steps, width) of each tensor of the state."""
        return list(itertools.chain.from_iterable(layer.state_shapes() for layer in self.layers))


@dataclass(frozen=True)
class LookBack:
    """The inputs that are read again before a window of truncated BPTT, so that gradients reach
    them (Williams & Peng 1990). A stored state and all inputs from it to the window's end are read
    at each step.

    window: steps of the window, the last ones that are read. cuts: (step, rows that restart there
    from the initial state, (1, B, 1) bool, or None), ascending; before step `window` is the state
    that the next window's look-back begins from.
    """

    window: int
    cuts: tuple[tuple[int, Tensor | None], ...]

    @classmethod
    def make(cls, restart_B: Tensor, window: int, device: torch.device) -> "LookBack":
        """Make it of the step at which each row restarts, -1 for none."""
        cuts = []
        for step in sorted({window, *restart_B.tolist()} - {-1}):
            restarts_1B1 = (restart_B == step).view(1, -1, 1)
            cuts.append((step, restarts_1B1.to(device) if restarts_1B1.any() else None))
        return cls(window, tuple(cuts))

    def read(
        self, body: nn.Module, x_SBE: Tensor, state: State, *feedback: "FedBack"
    ) -> tuple[Tensor, State]:
        """Return y_SBH of a layer or a stack, and the state that the next window's look-back begins
        from. The outputs of a row before it restarts mean nothing."""
        if isinstance(body, RecurrentStack):
            return body(x_SBE, state, self)
        assert isinstance(body, Layer)
        # One mask for all pieces.
        drawn = {"drawn": body.drawn_weights()} if body.weight_drop else {}
        pieces, start, kept = [], 0, state
        for step, restarts_1B1 in (*self.cuts, (len(x_SBE), None)):
            if step > start:
                y_TBH, state = body(x_SBE[start:step], state, *feedback, **drawn)
                pieces.append(y_TBH)
                start = step
            if restarts_1B1 is not None:
                state = tuple(tensor.masked_fill(restarts_1B1, 0.0) for tensor in state)
            if step == self.window:
                kept = state
        return torch.cat(pieces), kept


def make_layers(settings: RecurrentSettings) -> nn.ModuleList:
    """Make the layers of one direction, the lowest first; each reads the outputs of all directions
    below it."""
    layers = nn.ModuleList()
    below = settings.input_width
    for number, width in enumerate(settings.widths):
        layers.append(make_layer(settings, number, below, width))
        given = settings.directions * width
        below = below + given if settings.connections == "dense" else given
    return layers


def make_layer(settings: RecurrentSettings, number: int, input_width: int, width: int) -> Layer:
    """Make layer `number` of a stack, counted from 0."""
    assert settings.cell is not None
    cell = settings.cell.of_layer(number)
    with satellites.blaming("cells", settings.model):
        make: Callable[..., Layer] = cells()[settings.model].layer()
        return make(cell, input_width, width, settings.weight_drop)


def _highway(width: int) -> nn.Linear:
    gate = nn.Linear(width, width)
    nn.init.constant_(gate.bias, HIGHWAY_BIAS)
    return gate


# ---- Recurrent layers that read each row from both ends (Schuster & Paliwal 1997; Graves &
# Schmidhuber 2005).
#
# The two directions have separate weights. Each layer gives [forward; backward], side by side, and
# the layers above read both.


class BidirectionalStack(Stack):
    """Layers that read whole rows of different lengths, from states of zeros on.

    For the backward direction a row is reversed within its own length, so that padding comes last
    in both directions and has no influence on the tokens before it.
    """

    onwards: Sequence[Layer]
    backwards: Sequence[Layer]

    def __init__(self, settings: RecurrentSettings) -> None:
        super().__init__(settings)
        # The annotations name the type of the layers, which nn.ModuleList does not.
        self.onwards = make_layers(settings)  # type: ignore[assignment]
        self.backwards = make_layers(settings)  # type: ignore[assignment]
        self.highways = self._make_highways()

    def read(self, x_TBE: Tensor, lengths_B: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the outputs of the highest layer, (T, B, H), and [forward; backward] of each layer
        by itself, before it is connected to those below. Cells after a row's end mean nothing."""
        places_N = mirror_places(len(x_TBE), lengths_B)
        layers: list[Tensor] = []
        pairs = zip(self.onwards, self.backwards, strict=True)
        for number, (onwards, backwards) in enumerate(pairs):
            x_TBE = self.drop_between(number, x_TBE)
            forward_TBH = read_rows(onwards, x_TBE)
            backward_TBH = read_rows(backwards, mirror(x_TBE, places_N))
            layers.append(torch.cat([forward_TBH, mirror(backward_TBH, places_N)], dim=2))
            x_TBE = self.connect(number, x_TBE, layers[-1])
        return x_TBE, layers


def reader_of_rows(settings: RecurrentSettings) -> BidirectionalStack | RecurrentStack:
    """Make the layers that read whole rows, from both ends or from one."""
    return BidirectionalStack(settings) if settings.directions == 2 else RecurrentStack(settings)


def read_rows(layer: Layer, x_TBE: Tensor) -> Tensor:
    """Return the outputs of a layer for whole rows, (T, B, H). A thread that others may interrupt
    reads them in pieces."""
    state = first_state(layer, x_TBE)
    steps = tokens_of_a_piece(len(x_TBE), STEPS_OF_A_PIECE)
    outputs = []
    for window_TBE in interruptible_pieces(x_TBE.split(steps)):
        y_TBH, state = layer(window_TBE, state)
        outputs.append(y_TBH)
    return torch.cat(outputs) if len(outputs) > 1 else outputs[0]


def first_state(layer: Layer, x_TBE: Tensor) -> State:
    """Return zeros, of the type of the layer's weights, for the rows of x."""
    rows = x_TBE.shape[1]
    return tuple(
        layer.weight_ih.new_zeros((steps, rows, width)) for steps, width in layer.state_shapes()
    )


def mirror_places(T: int, lengths_B: Tensor) -> Tensor:
    """Return the places (T B) int64 that turn every row of a window round within its length.

    For each cell (t, b), in the order of memory, it is the cell that takes its place. Cells after a
    row's end stay where they are. Done twice, all is as before.
    """
    rows = len(lengths_B)
    t_T1 = torch.arange(T, device=lengths_B.device).unsqueeze(1)
    other_TB = torch.where(t_T1 < lengths_B, lengths_B - 1 - t_T1, t_T1)
    return (other_TB * rows + torch.arange(rows, device=lengths_B.device)).flatten()


def mirror(x_TBE: Tensor, places_N: Tensor) -> Tensor:
    """Turn the rows of x round, for places from :func:`mirror_places`."""
    return _Mirror.apply(x_TBE, places_N)


class _Mirror(torch.autograd.Function):
    """The exchange of cells, whose gradient goes the same way, as it is its own inverse: whole rows
    are copied, where autograd's own rule for an index would add them to zeros one by one."""

    @staticmethod
    def forward(ctx: Any, x_TBE: Tensor, places_N: Tensor) -> Tensor:
        ctx.save_for_backward(places_N)
        return x_TBE.flatten(0, 1).index_select(0, places_N).view(x_TBE.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return mirror(gradients[0], *ctx.saved_tensors), None


# ---- A recurrent layer that reads its own last output, not its last hidden state. Jordan 1986; as
# a language model, the output that is fed back is the distribution over the next word.
#
# h = f(x U + b + q' W), with q' the distribution (V) of the step before, or the word vector (E)
# expected under it.

# from a hidden vector (B, H) to the part of its output that the next step reads
FedBack = Callable[[Tensor], Tensor]
RowReader = Callable[[Tensor], Tensor]  # from ids to their word vectors, in one more dimension


class JordanLayer(Layer):
    """Jordan's layer. Each step computes a distribution: the cost of T softmaxes one by one.

    The state is the last hidden vector (1, B, H), from which the output fed back follows. From the
    zeros at the start it follows that the first one is the distribution of the output layer's
    biases.
    """

    weight_hh: nn.Parameter
    is_launched_step_by_step = True

    def __init__(self, settings: JordanSettings, feedback_width: int) -> None:
        super().__init__(settings.input_width, settings.hidden_size, feedback_width)
        self.activation = settings.activation

    def forward(self, x_TBE: Tensor, state: State, fed_back: FedBack) -> tuple[Tensor, State]:
        h_BH = state[0][0]
        hidden = []
        # The product of the inputs is taken at once for the whole window.
        for inputs_BH in F.linear(x_TBE, self.weight_ih, self.bias_ih):
            a_BH = inputs_BH + F.linear(fed_back(h_BH), self.weight_hh)
            # Products may run in bf16; the state keeps its type.
            h_BH = ACTIVATIONS[self.activation](a_BH.to(h_BH.dtype))
            hidden.append(h_BH)
        return torch.stack(hidden), (h_BH.unsqueeze(0),)

    def step(  # type: ignore[override]  # which reads its output, too
        self, x_BE: Tensor, state: State, fed_back: FedBack
    ) -> tuple[CellStep, State]:
        a_BH = steps.product(x_BE, self.weight_ih, self.bias_ih)
        step = elman_step(a_BH, fed_back(state[0][0]), self.weight_hh, self.activation)
        return step, step.state


# ---- The hidden layers of a feed-forward language model: a window of words. Bengio et al. 2003,
# equation 1.
#
# With x the vectors of the last N - 1 words, side by side: h = f(x W1 + b1), and each further layer
# reads the h below. The output layer reads the last h and, with direct connections, x as well:
# softmax(W2 h + W3 x + b3), the matrices W2 and W3 side by side.


class WordWindow(Layer):
    """The hidden layers over a window of words.

    The state is the vectors (N - 2, B, E) of the words before the next one; before the first word
    they are zeros. So words of an earlier window of text are read, but not trained, like the states
    of truncated BPTT.
    """

    def __init__(self, settings: FeedForwardSettings) -> None:
        super().__init__(settings.context_words * settings.input_width, settings.hidden_size)
        self.settings = settings
        self.activation = settings.activation
        if not settings.layers:  # nothing between the word vectors and the output layer
            self.width = settings.output_width
            self.register_parameter("weight_ih", None)
            self.register_parameter("bias_ih", None)
        above = [nn.Linear(self.width, self.width) for _ in range(settings.layers - 1)]
        # nn.ModuleList does not give the type of its modules.
        self.above: Sequence[nn.Linear] = nn.ModuleList(above)  # type: ignore[assignment]
        norm = functools.partial(BatchNorm, self.width) if settings.batch_norm else nn.Identity
        self.norms = nn.ModuleList(norm() for _ in range(settings.layers))

    def activations(self) -> dict[str, Activation]:
        return super().activations() if self.settings.layers else {}

    def matrices(self) -> Iterator[tuple[Tensor, str, int]]:
        yield from super().matrices()
        for linear in self.above:
            yield linear.weight, "input", 1

    def forward(self, x_TBE: Tensor, state: State) -> tuple[Tensor, State]:
        all_SBE = torch.cat([state[0].to(x_TBE.dtype), x_TBE])  # S = N - 2 + T
        # Words read as characters may come in bf16; the state keeps its type.
        after = all_SBE[len(x_TBE) :].to(state[0].dtype)
        return self._hidden(self.windows(x_TBE, state)), (after,)

    def windows(self, x_TBE: Tensor, state: State) -> Tensor:
        """Return the vectors of each word and of those before it, side by side, (T, B, X)."""
        T = len(x_TBE)
        all_SBE = torch.cat([state[0].to(x_TBE.dtype), x_TBE])
        starts = range(self.settings.context_words)
        return torch.cat([all_SBE[start : start + T] for start in starts], dim=2)

    def step(self, x_BE: Tensor, state: State) -> tuple[CellStep, State]:
        all_NBE = torch.cat([state[0], x_BE.unsqueeze(0)])
        return CellStep(self._hidden(torch.cat(all_NBE.unbind(0), dim=1))), (all_NBE[1:],)

    def _hidden(self, window_X: Tensor) -> Tensor:
        """Return h of windows (..., X) and, with direct connections, the window after it."""
        if not self.settings.layers:
            return window_X
        h = self.hidden_layers(window_X)[-1]
        if not self.settings.direct_connections:
            return h
        return torch.cat([h, window_X.to(h.dtype)], dim=-1)

    def hidden_layers(self, window_X: Tensor) -> list[Tensor]:
        """Return h of each hidden layer, the lowest first."""
        step = functools.partial(feed_forward_step, activation=self.activation)
        a_H = steps.product(window_X, self.weight_ih, self.bias_ih)
        hidden = [step(a_H, norm=self.norms[0]).hidden_BH]
        for linear, norm in zip(self.above, self.norms[1:], strict=True):
            hidden.append(step(linear(hidden[-1]), norm=norm).hidden_BH)
        return hidden

    def state_shapes(self) -> list[tuple[int, int]]:
        return [(self.settings.context_words - 1, self.settings.input_width)]


# ---- The quasi-recurrent layer (Bradbury, Merity, Xiong & Socher 2017): gates that read words, not
# the state, so that all products of a window are taken at once; the remaining steps are
# element-wise. The equations are in steps.py.


_GATES_OF_POOLING = {
    "f": ("forget", "candidate"),
    "fo": ("forget", "candidate", "output"),
    "ifo": ("input", "forget", "candidate", "output"),
}


class QuasiRecurrentLayer(Layer):
    """The quasi-recurrent layer, in blocks z, f, o, i, as many as the pooling has, for k =
    `convolution_words` inputs, oldest first.

    The state is c (1, B, H) and the k - 1 inputs before the window (k - 1, B, E); zeros come
    before the first word. `weight_drop` is DropConnect on all its weights, as in the AWD-QRNN
    (Merity et al. 2018b).
    """

    parts = ("c",)
    dropped = "weight_ih"

    def __init__(
        self, cell: QrnnCell, input_width: int, width: int, weight_drop: float = 0.0
    ) -> None:
        super().__init__(cell.convolution_words * input_width, width, gates=1 + len(cell.pooling))
        self.input_width = input_width
        self.words = cell.convolution_words
        self.pooling = cell.pooling
        self.gate_names = _GATES_OF_POOLING[cell.pooling]
        self.weight_drop = weight_drop

    def forward(
        self, x_TBE: Tensor, state: State, drawn: Tensor | None = None
    ) -> tuple[Tensor, State]:
        c_1BH, *before = state
        inputs_SBE = torch.cat((*before, x_TBE.to(c_1BH.dtype)))
        weights = self.drawn_weights() if drawn is None else drawn
        z_TBH, f_TBH, *more = self._gates(inputs_SBE, len(x_TBE), weights)
        i_TBH = more[1] if self.pooling == "ifo" else 1 - f_TBH
        c_TBH = LinearRecurrence.apply(f_TBH, i_TBH * z_TBH, c_1BH[0])
        y_TBH = c_TBH if self.pooling == "f" else more[0] * c_TBH
        # A convolution of one word has no inputs to remember.
        after = (c_TBH[-1:], inputs_SBE[len(x_TBE) :])
        return y_TBH, after[: len(state)]

    def step(self, x_BE: Tensor, state: State) -> tuple[CellStep, State]:
        c_1BH, *before = state
        inputs_KBE = torch.cat((*before, x_BE.unsqueeze(0)))
        window_BX = torch.cat(inputs_KBE.unbind(0), dim=1)
        a_BG = steps.product(window_BX, self.weight_ih, self.bias_ih)
        step = qrnn_step(a_BG, c_1BH[0], self.pooling)
        after = (*step.state[1:], inputs_KBE[1:])
        return step, after[: len(state)]

    def state_shapes(self) -> list[tuple[int, int]]:
        shapes = [(1, self.width)]
        if self.words > 1:
            shapes.append((self.words - 1, self.input_width))
        return shapes

    def _gates(self, inputs_SBE: Tensor, T: int, weights: Tensor) -> tuple[Tensor, ...]:
        """Return z, f, o, i of each step, after their activations."""
        windows_TBX = torch.cat([inputs_SBE[first : first + T] for first in range(self.words)], 2)
        a_TBG = F.linear(windows_TBX, weights, self.bias_ih).to(self.weight_ih.dtype)
        z_TBH, gates_TBG = a_TBG.split((self.width, (self.gates - 1) * self.width), dim=2)
        return tanh(z_TBH), *torch.sigmoid(gates_TBG).chunk(self.gates - 1, dim=2)


# ---- The layer of a cell that says its steps alone, as those of packages do.


class SteppedLayer(Layer):
    """A layer that makes its weights as the settings of its cell say, and takes their steps.

    `weight_drop` is DropConnect on the first matrix that multiplies the state; without any, on the
    one that multiplies the input.
    """

    is_launched_step_by_step = True

    def __init__(self, cell: Cell, input_width: int, width: int, weight_drop: float = 0.0) -> None:
        nn.Module.__init__(self)  # the cell names its own weights
        self.cell, self.width, self.weight_drop = cell, width, weight_drop
        self.parts = cell.parts
        sizes = array_sizes(cell, input_width, width)
        check_steps(cell, sizes, input_width, width)

        # Vectors begin where the cell lets them, matrices once they are initialised.
        for name, size in sizes.items():
            empty = torch.empty(size) if len(size) > 1 else torch.zeros(size)
            self.register_parameter(name, nn.Parameter(empty))
        with torch.no_grad():
            cell.start(dict(self.named_parameters()))
        self.dropped = next(filter(is_recurrent, sizes), "weight_ih")

    def forward(
        self, x_TBE: Tensor, state: State, drawn: Tensor | None = None
    ) -> tuple[Tensor, State]:
        drawn = self.drawn_weights() if drawn is None else drawn
        weights = dict(self.named_parameters()) | {self.dropped: drawn}
        hidden = []
        for x_BE in x_TBE.to(self.weight_ih.dtype).unbind(0):
            step, state = self.step(x_BE, state, weights)
            hidden.append(step.hidden_BH.to(self.weight_ih.dtype))
        return torch.stack(hidden), state

    def step(
        self, x_BE: Tensor, state: State, weights: dict[str, Tensor] | None = None
    ) -> tuple[CellStep, State]:
        parts = [part[0] for part in state]
        step = self.cell.step(x_BE, parts, weights or dict(self.named_parameters()))
        # Products may run in bf16; the state keeps its type.
        after = dict(zip(("h", "c"), step.state, strict=False))
        return step, tuple(after[part].to(self.weight_ih.dtype) for part in self.parts)

    def activations(self) -> dict[str, Activation]:
        return {name: BY_NAME[called] for name, called in self.cell.activations.items()}


def check_steps(cell: Cell, sizes: Mapping[str, Size], input_width: int, width: int) -> None:
    """Take two steps of a cell from random weights, the second one from the state after the first.
    Refuse values that are not those that its settings declare, or not finite."""
    # The random numbers of a run are left alone, and so are its devices.
    draw = functools.partial(torch.randn, device="cpu", generator=torch.Generator().manual_seed(0))
    weights = {
        name: draw(size) / width**0.5 if len(size) > 1 else draw(size).zero_()
        for name, size in sizes.items()
    }
    cell.start(weights)
    gates = [name for name in cell.activations if name != HIDDEN]
    declared = dict.fromkeys(("h", *cell.parts, *gates), (2, width))
    state = [draw((2, width)).zero_() for _ in cell.parts]
    for _ in range(2):
        step = cell.step(draw((2, input_width)), state, weights)
        given: dict[str, Any] = {
            "h": step.hidden_BH,
            "c": step.cell_BH,
            **{name: step.gates.get(name) for name in gates},
        }
        shapes = {name: tuple(x.shape) for name, x in given.items() if x is not None}
        if shapes != declared:
            raise ValueError(f"step() gives {shapes}, where {declared} is declared")
        if not all(given[name].isfinite().all() for name in declared):
            raise ValueError("step() gives numbers that are not finite")
        state = [given[part] for part in cell.parts]


# ---- The layers of a network by the names that people are shown.

# Endings of the names of layers that come in pairs, one for each direction.
FORWARD, BACKWARD = " forward", " backward"


class LayeredNetwork(nn.Module):
    """A network of any task."""

    def bodies(self) -> dict[str, nn.Module]:
        """Return the modules that hold its layers, the lowest first, by the prefix of the layers'
        names: nothing, or "encoder " and "decoder "."""
        return {}

    @property
    def feedback(self) -> tuple[FedBack, ...]:
        """The further inputs of its body: for a Jordan layer its last output, otherwise nothing."""
        return ()

    def sampled_vectors(self) -> nn.Parameter | None:
        """Return the word vectors if a training step reads only some of their rows."""
        return None

    def read_rows_by(self, read: RowReader | None) -> None:
        """Read the rows of :meth:`sampled_vectors` by `read` from now on; None: as usual."""
        raise NotImplementedError


def named_layers(network: LayeredNetwork) -> dict[str, Layer]:
    """Return the layers of a network of any task by name, the lowest first.

    They are "layer 1", "layer 2"; of a network that reads from both ends "layer 1 forward", "layer
    1 backward"; of an encoder-decoder "encoder layer 1", ..., "decoder layer 1". Bags of words and
    filters have no layers.
    """
    by_name = {}
    for prefix, body in network.bodies().items():
        for row in rows_of(body):
            for name, layer in row:
                by_name[prefix + name] = layer
    return by_name


def rows_of(body: nn.Module) -> Iterator[list[tuple[str, Layer]]]:
    """Yield the layers of a network's body by name, the lowest first; those that read the same from
    either end side by side."""
    if isinstance(body, Layer):
        yield [("layer 1", body)]
    elif isinstance(body, RecurrentStack):
        for number, layer in enumerate(body.layers, start=1):
            yield [(f"layer {number}", layer)]
    elif isinstance(body, BidirectionalStack):
        pairs = zip(body.onwards, body.backwards, strict=True)
        for number, (onwards, backwards) in enumerate(pairs, start=1):
            yield [(f"layer {number}{FORWARD}", onwards), (f"layer {number}{BACKWARD}", backwards)]
