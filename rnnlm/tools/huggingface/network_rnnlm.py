"""The network of a recurrent language model, in plain torch: nothing of transformers or rnnlm is
needed. `rnnlm export --hf` copies this file into the folders that it writes, beside steps_rnnlm.py,
the equations of its layers.

Shapes: B rows, T time, E width of a layer's input, H width of a layer, V vocabulary. Layers read
time first, (T, B, E). A state is one tensor (B, width) for each vector that a layer remembers, the
lowest layer first; all are zeros before the first token. Values that follow from a state are
computed from it without changing it: it may be used again.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .steps_rnnlm import elman_step, gru_step, lstm_step, mogrify, qrnn_gates

State = tuple[Tensor, ...]


class Layer(nn.Module):
    """A recurrent layer, with the weights and gate order of torch's own. Each has one bias;
    `bias_hh` is a second one, which only a GRU needs.

    Where torch has no kernel for it, its steps are computed one by one.
    """

    kernel: Callable[..., Any] | None = None
    states = 1  # vectors of its width that it remembers
    bias_hh: nn.Parameter | None

    def __init__(self, config: Any, input_width: int, width: int, gates: int) -> None:
        super().__init__()
        self.width = width
        self.weight_ih = uniform(gates * width, input_width)
        self.weight_hh = uniform(gates * width, width)
        self.bias_ih = nn.Parameter(torch.zeros(gates * width))
        self.bias_hh = None

    def state_widths(self) -> list[int]:
        """Return the width of each vector that it remembers."""
        return [self.width] * self.states

    def forward(self, x_TBE: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the outputs (T, B, H) and the state after them."""
        # torch's LSTM kernel fails under autocast on processors without AVX-512.
        is_mixed = x_TBE.device.type == "cpu" and torch.is_autocast_enabled("cpu")
        if self.kernel is not None and not (is_mixed and self.kernel is torch.lstm):
            return self._run(self.kernel, x_TBE, state)
        outputs = []
        for a_BG in self.read(x_TBE):
            state = self.step(a_BG, state)
            outputs.append(state[0])
        return torch.stack(outputs), state

    def read(self, x_TBE: Tensor) -> Tensor:
        """Return the steps' inputs: products of the inputs with the weights."""
        return F.linear(x_TBE, self.weight_ih, self.bias_ih)

    def step(self, a_BG: Tensor, state: State) -> State:
        """Return the state after one step, the output first."""
        raise NotImplementedError

    def _run(self, kernel: Callable[..., Any], x_TBE: Tensor, state: State) -> tuple[Tensor, State]:
        bias_hh = torch.zeros_like(self.bias_ih) if self.bias_hh is None else self.bias_hh
        weights = [self.weight_ih, self.weight_hh, self.bias_ih, bias_hh]
        # cuDNN wants them one behind the other.
        if x_TBE.is_cuda:
            flat = torch.cat([weight.flatten() for weight in weights])
            parts = flat.split([weight.numel() for weight in weights])
            weights = [part.view_as(weight) for part, weight in zip(parts, weights, strict=True)]
        before = tuple(part_BH.unsqueeze(0) for part_BH in state)
        settings = True, 1, 0.0, torch.is_grad_enabled(), False, False
        y_TBH, *after = kernel(x_TBE, before if len(before) > 1 else before[0], weights, *settings)
        return y_TBH, tuple(part_1BH[0] for part_1BH in after)


class ElmanLayer(Layer):
    """Elman's layer."""

    def __init__(self, config: Any, input_width: int, width: int) -> None:
        super().__init__(config, input_width, width, gates=1)
        self.activation = config.activation
        self.kernel = {"tanh": torch.rnn_tanh, "relu": torch.rnn_relu}.get(config.activation)

    def step(self, a_BG: Tensor, state: State) -> State:
        return (elman_step(a_BG, state[0], self.weight_hh, self.activation).hidden_BH,)


class GruLayer(Layer):
    """The gated recurrent unit. What its update gate does is in the weights."""

    bias_hh: nn.Parameter

    def __init__(self, config: Any, input_width: int, width: int) -> None:
        super().__init__(config, input_width, width, gates=3)
        self.bias_hh = nn.Parameter(torch.zeros(3 * width))
        self.reset_gate = config.reset_gate
        self.kernel = torch.gru if config.reset_gate == "after" else None

    def step(self, a_BG: Tensor, state: State) -> State:
        W = self.weight_hh.split((2 * self.width, self.width))
        form = self.bias_hh, self.reset_gate, "keep"
        return (gru_step(a_BG, state[0], W, *form).hidden_BH,)


class LstmLayer(Layer):
    """The long short-term memory: with peepholes or coupled gates, or as a Mogrifier."""

    states = 2

    def __init__(self, config: Any, input_width: int, width: int) -> None:
        self.coupled = config.coupled_gates
        super().__init__(config, input_width, width, gates=3 if self.coupled else 4)
        self.peepholes = None
        if config.peepholes:
            self.peepholes = nn.Parameter(torch.zeros((2 if self.coupled else 3) * width))

        # A matrix of low rank is the product of two.
        self.rounds = config.mogrifier_rounds
        self.mogrifier = nn.ParameterList()
        rank = config.mogrifier_rank
        for number in range(self.rounds):
            rows, columns = (input_width, width) if number % 2 == 0 else (width, input_width)
            shapes = [(rows, columns)] if rank is None else [(rank, columns), (rows, rank)]
            self.mogrifier.extend(uniform(*shape) for shape in shapes)
        if not (self.coupled or config.peepholes or self.rounds):
            self.kernel = torch.lstm

    def read(self, x_TBE: Tensor) -> Tensor:
        return x_TBE if self.rounds else super().read(x_TBE)

    def step(self, a_BG: Tensor, state: State) -> State:
        h_BH, c_BH = state
        if self.rounds:
            x_BE, h_BH, _ = mogrify(a_BG, h_BH, self._factors_by_round())
            a_BG = super().read(x_BE)
        step = lstm_step(a_BG, h_BH, c_BH, self.weight_hh, self.peepholes, self.coupled)
        assert step.cell_BH is not None
        return step.hidden_BH, step.cell_BH

    def _factors_by_round(self) -> list[list[Tensor]]:
        matrices = list(self.mogrifier)
        factors = len(matrices) // self.rounds
        return [matrices[start : start + factors] for start in range(0, len(matrices), factors)]


class QrnnLayer(Layer):
    """A convolution over the last k inputs, pooled over time."""

    def __init__(self, config: Any, input_width: int, width: int, words: int) -> None:
        nn.Module.__init__(self)
        self.width, self.input_width, self.before = width, input_width, words - 1
        self.pooling = config.pooling
        gates = 1 + len(config.pooling)
        self.weight_ih = uniform(gates * width, words * input_width)
        self.bias_ih = nn.Parameter(torch.zeros(gates * width))

    def state_widths(self) -> list[int]:
        return [self.width, self.before * self.input_width]

    def forward(self, x_TBE: Tensor, state: State) -> tuple[Tensor, State]:
        # Put the inputs of each window side by side, those before the first step included.
        c_BH, before_BX = state
        before_KBE = before_BX.unflatten(1, (self.before, self.input_width)).transpose(0, 1)
        inputs_SBE = torch.cat((before_KBE, x_TBE))
        T = len(x_TBE)
        windows = [inputs_SBE[start : start + T] for start in range(self.before + 1)]
        a_TBG = self.read(torch.cat(windows, dim=2))

        # The gates of all steps at once, then the cells one by one.
        gates = qrnn_gates(a_TBG, self.pooling)
        new_TBH = gates["input"] * gates["candidate"]
        cells = []
        for f_BH, new_BH in zip(gates["forget"], new_TBH, strict=True):
            c_BH = f_BH * c_BH + new_BH
            cells.append(c_BH)
        c_TBH = torch.stack(cells)
        after_BX = inputs_SBE[T:].transpose(0, 1).flatten(1)
        y_TBH = gates["output"] * c_TBH if "output" in gates else c_TBH
        return y_TBH, (c_BH, after_BX)


class MixtureOfSoftmaxes(nn.Module):
    """log sum_k pi_k softmax(h_k W + b) of features g, with pi = softmax(g P) and h_k = tanh(g L_k
    + l_k), as wide as the word vectors. W and b belong to the network: `output` reads h."""

    def __init__(self, config: Any, features: int) -> None:
        super().__init__()
        self.width = config.mixture_size
        self.prior_weight = uniform(config.mixture_components, features)
        self.latent_weight = uniform(config.mixture_components * self.width, features)
        self.latent_bias = nn.Parameter(torch.zeros(config.mixture_components * self.width))

    def forward(self, g: Tensor, output: Callable[[Tensor], Tensor]) -> Tensor:
        logprior = torch.log_softmax(F.linear(g, self.prior_weight), dim=-1)
        latents = torch.tanh(F.linear(g, self.latent_weight, self.latent_bias))
        total: Tensor | None = None
        for k, h in enumerate(latents.split(self.width, dim=-1)):
            joint = torch.log_softmax(output(h), dim=-1) + logprior[..., k : k + 1]
            total = joint if total is None else torch.logaddexp(total, joint)
        assert total is not None
        return total


class RecurrentNetwork(nn.Module):
    """Word vectors, recurrent layers and one softmax: the next word's logits follow from the words
    read so far.

    config: an object with the attributes of config.json. From the second layer f on, which reads x,
    the next one reads f(x), with residual connections x + f(x), with highway connections t f(x) +
    (1 - t) x where t = s(A x + a). With dense ones each layer reads the words and all layers below
    it.
    """

    layers: Sequence[Layer]

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.connections = config.connections
        widths = config.layer_sizes
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size)
        layers = nn.ModuleList()
        below = config.embedding_size
        for number, width in enumerate(widths):
            layers.append(make_layer(config, number, below, width))
            below = below + width if config.connections == "dense" else width
        # The annotation names the type of the layers, which nn.ModuleList does not.
        self.layers = layers  # type: ignore[assignment]
        self.highways = nn.ModuleList()
        if config.connections == "highway":
            self.highways.extend(nn.Linear(width, width) for width in widths[1:])
        self.projection = None
        if config.projection_size is not None:
            self.projection = nn.Linear(below, config.projection_size)
            below = config.projection_size
        self.features = below
        self.mixture = None
        if getattr(config, "mixture_components", None) is not None:
            self.mixture = MixtureOfSoftmaxes(config, below)
            below = config.mixture_size
        # Without its bias, the output is as other programs expect: they share it with the words,
        # resize it, or put another layer in its place.
        self.output = nn.Linear(below, config.vocab_size, bias=False)
        self.output_bias = nn.ParameterList([torch.zeros(config.vocab_size)])
        if config.tie_word_embeddings:
            self.output.weight = self.embedding.weight

    def initial_state(self, rows: int) -> State:
        """Return the state before the first token."""
        zeros = self.embedding.weight.new_zeros
        return tuple(
            zeros((rows, width)) for layer in self.layers for width in layer.state_widths()
        )

    def forward(
        self, x_BTE: Tensor, mask_BT: Tensor | None = None, state: State | None = None
    ) -> tuple[Tensor, State, list[Tensor]]:
        """Read word vectors. Return the output layer's input (B, T, F), the state after the last
        token, and the outputs of each layer (B, T, H).

        mask_BT: 0 at places that are not read; their outputs are zeros, and the state stays as it
        is.
        """
        state = self.initial_state(len(x_BTE)) if state is None else state
        x_TBE = x_BTE.transpose(0, 1)
        if mask_BT is None or bool(mask_BT.all()):
            outputs, state = self._read(x_TBE, state)
        else:
            outputs, state = self._read_masked(x_TBE, mask_BT.t() != 0, state)
        top_BTF, *layers = [y_TBH.transpose(0, 1) for y_TBH in outputs]
        return top_BTF, state, layers

    def logits(self, g: Tensor) -> Tensor:
        """Return the log-probabilities of all words, plus a constant, after features g."""
        return self._affine(g) if self.mixture is None else self.mixture(g, self._affine)

    def _affine(self, h: Tensor) -> Tensor:
        return self.output(h) + self.output_bias[0]

    def _read_masked(
        self, x_TBE: Tensor, mask_TB: Tensor, state: State
    ) -> tuple[list[Tensor], State]:
        """Read spans of time in which the same rows are read from the first to the last step."""
        # A span ends where a row begins or stops to be read.
        rows, T = x_TBE.shape[1], len(x_TBE)
        is_change_T = (mask_TB[1:] != mask_TB[:-1]).any(dim=1)
        bounds = [0, *(is_change_T.nonzero().flatten() + 1).tolist(), T]

        # Rows that are not read give zeros, and keep their state.
        widths = [self.features, *(layer.width for layer in self.layers)]
        outputs = [x_TBE.new_zeros((T, rows, width)) for width in widths]
        for start, end in pairwise(bounds):
            read_N = mask_TB[start].nonzero().flatten()
            if not len(read_N):
                continue
            before = tuple(part_BH[read_N] for part_BH in state)
            parts, after = self._read(x_TBE[start:end, read_N], before)
            for whole, part in zip(outputs, parts, strict=True):
                whole[start:end, read_N] = part
            state = tuple(
                old_BH.index_copy(0, read_N, new_NH)
                for old_BH, new_NH in zip(state, after, strict=True)
            )
        return outputs, state

    def _read(self, x_TBE: Tensor, state: State) -> tuple[list[Tensor], State]:
        """Return the output layer's input, then the outputs of each layer; and the state."""
        layers = []
        after: State = ()
        for number, layer in enumerate(self.layers):
            count = len(layer.state_widths())
            y_TBH, layer_state = layer(x_TBE, state[len(after) : len(after) + count])
            layers.append(y_TBH)
            after += layer_state
            x_TBE = self._connect(number, x_TBE, y_TBH)
        if self.projection is not None:
            x_TBE = self.projection(x_TBE)
        return [x_TBE, *layers], after

    def _connect(self, number: int, x_TBE: Tensor, y_TBH: Tensor) -> Tensor:
        if self.connections == "dense":
            return torch.cat((x_TBE, y_TBH), dim=2)
        if number == 0 or self.connections == "plain":
            return y_TBH
        if self.connections == "residual":
            return x_TBE + y_TBH
        t_TBH = torch.sigmoid(self.highways[number - 1](x_TBE))
        return x_TBE + t_TBH * (y_TBH - x_TBE)


# By the name of the cell; `rnnlm export --hf` refuses models of other cells.
LAYERS: dict[str, Callable[..., Layer]] = {
    "rnn": ElmanLayer,
    "gru": GruLayer,
    "lstm": LstmLayer,
    "qrnn": QrnnLayer,
}


def make_layer(config: Any, number: int, input_width: int, width: int) -> Layer:
    """Make layer `number`, counted from 0."""
    cls = LAYERS[config.cell]
    if cls is QrnnLayer:
        words = config.convolution_words if number == 0 else 1
        return QrnnLayer(config, input_width, width, words)
    return cls(config, input_width, width)


def uniform(*shape: int) -> nn.Parameter:
    """Make random weights, in [-0.1, 0.1]."""
    return nn.Parameter(torch.empty(shape).uniform_(-0.1, 0.1))
