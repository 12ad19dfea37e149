"""Compute input feeding as one loop over the steps of a window, forward and backward, each part of
a step scheduled by hand; and single steps, as decoding takes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from rnnlm.lm.neural.device import product_type
from rnnlm.lm.neural.layers import layers
from rnnlm.lm.neural.layers.kernels.choice import swap_update_gate
from rnnlm.lm.neural.layers.kernels.loops import (
    ScheduledLSTM,
    bias_gradient,
    input_gradients,
    lstm_step,
    lstm_step_backward,
    n_first,
    n_last,
    peephole_gradient,
    recurrent_gradient,
    sigmoid_backward,
    tanh_,
    through_update,
)
from rnnlm.lm.neural.layers.layers import (
    GruLayer,
    Layer,
    LstmLayer,
    MogrifierLayer,
    RecurrentStack,
    State,
)
from rnnlm.tasks.seq2seq.attention import (
    Attending,
    Attention,
    EncoderMemory,
    LayerSteps,
    no_autocast,
)

# ---- The loop of input feeding: layers, attention and the attentional vector, which the next step
# reads.
#
# Shapes: T target time, B rows, X what a layer reads, D width of the highest layer's states, H of
# the memory, F of attentional vectors.

tanh_backward = torch.ops.aten.tanh_backward


@dataclass
class FedLoop:
    """The parts of a step, and the arrays that they share.

    masks: of what the lowest layer reads of the fed vectors, (T, B, F), then of what each layer
    above it reads, (T, B, X); None: all of it. weight_FC: of [h; context]. residual: each layer
    above the lowest adds what it reads to what it gives.
    """

    layers: Sequence[LayerSteps]
    attending: Attending
    weight_FC: Tensor
    fed_BF: Tensor
    masks: Sequence[Tensor | None]
    residual: bool
    products: torch.dtype

    def __post_init__(self) -> None:
        self.W = self.weight_FC.detach().to(self.products)
        T, B, _ = self.attending.weights_TBS.shape
        self.joint_TBC = self.W.new_empty((T, B, self.weight_FC.shape[1]))

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All that has a gradient."""
        tensors: list[Tensor] = []
        for part in (*self.layers, self.attending):
            tensors += part.tensors
        return *tensors, self.weight_FC, self.fed_BF

    def forward(self) -> Tensor:
        """Return a (T, B, F)."""
        T, B, _ = self.joint_TBC.shape
        a_TBF, fed_BF = self.fed_BF.new_empty((T, B, len(self.W))), self.fed_BF
        for t in range(T):
            h_BD = self._layers(t, fed_BF)
            joint_BC, D = self.joint_TBC[t], h_BD.shape[1]
            joint_BC[:, D:] = self.attending.forward(t, h_BD)
            joint_BC[:, :D] = h_BD
            fed_BF = tanh_(a_TBF[t].copy_(torch.mm(joint_BC, self.W.t())))
        return a_TBF

    def _layers(self, t: int, fed_BF: Tensor) -> Tensor:
        x_BX = fed_BF
        for number, (layer, mask_TBX) in enumerate(zip(self.layers, self.masks, strict=True)):
            read_BX = x_BX if mask_TBX is None else x_BX * mask_TBX[t]
            y_BD = layer.forward(t, read_BX)
            x_BX = y_BD + read_BX if number and self.residual else y_BD
        return x_BX

    def backward(self, a_TBF: Tensor, da_TBF: Tensor, dfed_BF: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of `tensors`. dfed_BF: that of the last attentional vector, beside
        da_TBF."""
        T, B, F = a_TBF.shape
        memory_width = self.attending.tensors[1].shape[2]
        D = self.W.shape[1] - memory_width
        dz_TBF = self.joint_TBC.new_empty((T, B, F))
        for t in reversed(range(T)):
            dz_TBF[t] = tanh_backward(da_TBF[t] + dfed_BF, a_TBF[t])
            djoint_BC = torch.mm(dz_TBF[t], self.W)
            dh_BD = self.attending.backward(t, djoint_BC[:, D:]) + djoint_BC[:, :D]
            dfed_BF = self._layers_backward(t, dh_BD)

        # Gradients of weights wait for no step: one product each.
        dW = torch.mm(dz_TBF.flatten(0, 1).t(), self.joint_TBC.flatten(0, 1))
        gradients: list[Tensor | None] = []
        for part in (*self.layers, self.attending):
            gradients += part.gradients()
        return *gradients, dW.to(self.weight_FC.dtype), dfed_BF.to(self.fed_BF.dtype)

    def _layers_backward(self, t: int, d_BX: Tensor) -> Tensor:
        for number in reversed(range(len(self.layers))):
            dread_BX = self.layers[number].backward(t, d_BX)
            if number and self.residual:
                dread_BX = dread_BX + d_BX
            mask_TBX = self.masks[number]
            d_BX = dread_BX if mask_TBX is None else dread_BX * mask_TBX[t]
        return d_BX


class _FedLoopFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loop: FedLoop, *tensors: Tensor) -> tuple[Tensor, ...]:
        with no_autocast(loop.fed_BF):
            a_TBF = loop.forward()
        ctx.loop = loop
        ctx.save_for_backward(a_TBF)
        weights_TBS = loop.attending.weights_TBS.clone()
        ctx.mark_non_differentiable(weights_TBS)
        after: list[Tensor] = []
        for layer in loop.layers:
            after += [tensor.clone() for tensor in layer.after]
        return a_TBF, weights_TBS, a_TBF[-1].clone(), *after

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        da_TBF, _, dfed_BF, *d_after = gradients
        for layer in ctx.loop.layers:
            layer.begin_backward(tuple(d_after[: len(layer.after)]))
            del d_after[: len(layer.after)]
        return None, *ctx.loop.backward(*ctx.saved_tensors, da_TBF, dfed_BF)


def run(loop: FedLoop) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Return a (T, B, F), the weights of attention (T, B, S), which have no gradient, and the state
    after the last step, (1, B, width) each: of the layers, then the last attentional vector."""
    a_TBF, weights_TBS, fed_BF, *layers = _FedLoopFunction.apply(loop, *loop.tensors)
    return a_TBF, weights_TBS, tuple(tensor.unsqueeze(0) for tensor in (*layers, fed_BF))


# ---- Which decoders the loop of input feeding can run, and the loop for a window of one.
#
# Shapes: T target time, B rows, S source time, E width of the word vectors, F of attentional
# vectors.


def has_loop(body: RecurrentStack) -> bool:
    """Return whether all layers are LSTMs or GRUs (reset after the product), not normalised, plain
    or residual."""
    return all(map(_has_steps, body.layers)) and body.settings.connections in ("plain", "residual")


def _has_steps(layer: layers.Layer) -> bool:
    if isinstance(layer, GruLayer):
        return layer.reset_gate == "after" and not len(layer.norms)
    return _is_plain_lstm(layer)


def _is_plain_lstm(layer: layers.Layer) -> bool:
    if not isinstance(layer, LstmLayer) or isinstance(layer, MogrifierLayer):
        return False
    return not len(layer.norms)


def make_loop(
    body: RecurrentStack,
    attention: Attention,
    weight_FC: Tensor,
    x_TBE: Tensor,
    memory: EncoderMemory,
    state: State,
    recurrent: Sequence[Tensor],
    masks: Sequence[Tensor | None],
) -> FedLoop:
    """Make the loop for a window. recurrent: the recurrent weights of each layer, as dropout left
    them. masks: see :class:`FedLoop`."""
    *of_layers, fed_1BF = state
    T, products = len(x_TBE), product_type(x_TBE)
    parts: list[LayerSteps] = []
    for layer, weight_hh in zip(body.layers, recurrent, strict=True):
        layer_state = tuple(of_layers.pop(0)[0] for _ in layer.parts)
        words_TBE = None if parts else x_TBE  # the lowest layer alone reads words
        parts.append(_steps(layer, words_TBE, weight_hh, layer_state, T, products))
    return FedLoop(
        parts,
        attention.steps(memory, T, products),
        weight_FC,
        fed_1BF[0],
        masks,
        body.settings.connections == "residual",
        products,
    )


def _steps(
    layer: layers.Layer,
    words_TBE: Tensor | None,
    weight_hh: Tensor,
    state: State,
    T: int,
    products: torch.dtype,
) -> LayerSteps:
    # A GRU whose update gate is the share that is new, not that stays, has its sign flipped.
    weight_ih: Tensor = layer.weight_ih
    bias_ih: Tensor = layer.bias_ih
    bias_hh: Tensor | None = None
    if isinstance(layer, GruLayer):
        bias_hh = layer.bias_hh
        if layer.update_gate == "renew":
            weight_ih, weight_hh = swap_update_gate(weight_ih), swap_update_gate(weight_hh)
            bias_ih, bias_hh = swap_update_gate(bias_ih), swap_update_gate(bias_hh)

    # The words are known before the first step, so their product is taken for all steps at once.
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


# ---- One GRU layer of the loop, whose reset gate acts after the recurrent product. See
# :func:`rnnlm.lm.neural.layers.steps.gru_step`.
#
# Arrays of a step lie in the order m r z n, as in :mod:`rnnlm.lm.neural.layers.kernels.loops`, with
# m = h' Wn + bn'. Shapes: T time, B rows, H units, X what is read at each step, E width of the
# words.


class GruSteps:
    """A GRU layer. words: what is known before the first step, (T, B, E), and its weights (3H, E);
    None: nothing. weights: for h' (3H, H) and for what is read (3H, X), rows in the order r z n.
    biases: inside and outside of what the reset gate multiplies."""

    def __init__(
        self,
        words: tuple[Tensor, Tensor] | None,
        weights: tuple[Tensor, Tensor],
        biases: tuple[Tensor, Tensor],
        h_BH: Tensor,
        T: int,
        products: torch.dtype,
    ) -> None:
        self.weight_hh, self.weight_read = weights
        self.bias_hh, self.bias_ih = biases
        self.words, self.h_BH = words, h_BH
        self.tensors = (*(words or ()), *weights, *biases, h_BH)
        B, H = h_BH.shape
        X = self.weight_read.shape[1]

        # Cast the weights once. The words don't depend on the steps, so their part of the gates is
        # one product for all T.
        self.W = n_first(self.weight_hh.detach()).to(products)
        self.b = n_first(self.bias_hh.detach()).to(products)
        self.U = self.weight_read.detach().to(products)
        bias = self.bias_ih.detach().to(products)
        self.base_TBG = bias.expand(T, B, 3 * H)
        if words is not None:
            words_TBE, weight_GE = (tensor.detach().to(products) for tensor in words)
            self.base_TBG = F.linear(words_TBE, weight_GE, bias)

        # What each step leaves for the way back.
        self.before_TBH = self.W.new_empty((T, B, H))
        self.read_TBX = self.W.new_empty((T, B, X))
        self.gates_TB4H = h_BH.new_empty((T, B, 4 * H))
        self.y_TBH = h_BH.new_empty((T, B, H))
        self.after: tuple[Tensor, ...] = (h_BH,)

    def forward(self, t: int, read_BX: Tensor) -> Tensor:
        [h_BH] = self.after
        gates_B4H = self.gates_TB4H[t]
        H = h_BH.shape[1]
        a_BG = torch.addmm(self.base_TBG[t], self.read_TBX[t].copy_(read_BX), self.U.t())
        m, r, z, n = gates_B4H.chunk(4, 1)
        rz = gates_B4H[:, H : 3 * H]
        mrz_BG = torch.addmm(self.b, self.before_TBH[t].copy_(h_BH), self.W.t())
        gates_B4H[:, : 3 * H].copy_(mrz_BG)
        rz.add_(a_BG[:, : 2 * H]).sigmoid_()
        tanh_(torch.mul(r, m, out=n).add_(a_BG[:, 2 * H :]))
        self.after = (torch.lerp(n, h_BH, z, out=self.y_TBH[t]),)
        return self.y_TBH[t]

    def begin_backward(self, d_after: tuple[Tensor, ...]) -> None:
        self.back_BH = d_after[0]
        self.da_TB4H = self.W.new_empty(self.gates_TB4H.shape)
        self.d_B4H = torch.empty_like(self.gates_TB4H[0])

    def backward(self, t: int, dh_BH: Tensor) -> Tensor:
        H = dh_BH.shape[1]
        m, r, z, n = self.gates_TB4H[t].chunk(4, 1)
        dm, dr, dz, dn = self.d_B4H.chunk(4, 1)
        dh_BH = dh_BH + self.back_BH
        through_update(dh_BH, z, n, self.y_TBH[t - 1] if t else self.h_BH, dz, dn)
        torch.mul(dn, m, out=dr)
        torch.mul(dn, r, out=dm)
        rz, d_rz = self.gates_TB4H[t][:, H : 3 * H], self.d_B4H[:, H : 3 * H]
        sigmoid_backward(d_rz, rz, grad_input=d_rz)
        da_B4H = self.da_TB4H[t].copy_(self.d_B4H)
        self.back_BH = dh_BH.mul_(z).add_(torch.mm(da_B4H[:, : 3 * H], self.W))
        return torch.mm(da_B4H[:, H:], self.U)

    def gradients(self) -> tuple[Tensor | None, ...]:
        H = self.h_BH.shape[1]
        of_h, of_read = self.da_TB4H[..., : 3 * H], self.da_TB4H[..., H:]
        of_words: tuple[Tensor | None, ...] = ()
        if self.words is not None:
            of_words = input_gradients(of_read, *self.words, wanted=True)
        dW = n_last(recurrent_gradient(of_h, self.before_TBH, self.weight_hh))
        dU = recurrent_gradient(of_read, self.read_TBX, self.weight_read)
        db = bias_gradient(self.da_TB4H, self.bias_ih)
        return *of_words, dW, dU, n_last(db[: 3 * H]), db[H:], self.back_BH


# ---- One LSTM layer of the loop. For the equations see
# :func:`rnnlm.lm.neural.layers.steps.lstm_step`.
#
# Shapes: T time, B rows, H units, G what the gates take of products, X what is read at each step, E
# width of the words, K = H + X.


class LstmSteps:
    """An LSTM layer. words: what is known before the first step, with its weights; None: nothing.
    weight_GK: for [h'; what is read]."""

    def __init__(
        self,
        words: tuple[Tensor, Tensor] | None,
        weight_GK: Tensor,
        bias_G: Tensor,
        state: tuple[Tensor, Tensor],
        peepholes: Tensor | None,
        T: int,
        products: torch.dtype,
    ) -> None:
        self.h_BH, self.c_BH = state
        self.words, self.bias_G, self.weight_GK = words, bias_G, weight_GK
        self.peepholes = peepholes
        self.tensors: tuple[Tensor, ...] = (*(words or ()), weight_GK, bias_G, *state)
        if peepholes is not None:
            self.tensors += (peepholes,)
        B, H = self.h_BH.shape
        G, K = weight_GK.shape
        self.gates_start = 4 * H - G  # coupled gates have no input gate

        # Cast the weights once. The words don't depend on the steps, so their part of the gates is
        # one product for all T.
        self.W, bias = weight_GK.detach().to(products), bias_G.detach().to(products)
        self.base_TBG = bias.expand(T, B, G)
        if words is not None:
            words_TBE, weight_GE = (tensor.detach().to(products) for tensor in words)
            self.base_TBG = F.linear(words_TBE, weight_GE, bias)

        # What each step leaves for the way back.
        self.read_TBK = self.W.new_empty((T, B, K))
        self.gates_TB4H = bias_G.new_empty((T, B, 4 * H))
        self.cells_TBH = bias_G.new_empty((T, B, H))
        self.tanh_TBH = bias_G.new_empty((T, B, H))
        self.y_TBH = bias_G.new_empty((T, B, H))
        self.after: tuple[Tensor, ...] = state

    def forward(self, t: int, read_BX: Tensor) -> Tensor:
        h_BH, c_BH = self.after
        read_BK, H = self.read_TBK[t], h_BH.shape[1]
        read_BK[:, :H], read_BK[:, H:] = h_BH, read_BX
        gates_B4H = self.gates_TB4H[t]
        gates_B4H[:, self.gates_start :].copy_(torch.addmm(self.base_TBG[t], read_BK, self.W.t()))
        c_BH = lstm_step(
            gates_B4H,
            c_BH,
            self.peepholes,
            self.gates_start,
            self.cells_TBH[t],
            self.tanh_TBH[t],
            self.y_TBH[t],
        )
        self.after = self.y_TBH[t], c_BH
        return self.y_TBH[t]

    def begin_backward(self, d_after: tuple[Tensor, ...]) -> None:
        self.back_BH, self.dc_BH = d_after[0], d_after[1].clone()
        # The base may be one bias, expanded; its gradient has a place for each number.
        self.da_TBG = torch.empty_like(self.base_TBG, memory_format=torch.contiguous_format)
        self.d_B4H = torch.empty_like(self.gates_TB4H[0])

    def backward(self, t: int, dh_BH: Tensor) -> Tensor:
        H = dh_BH.shape[1]
        before_BH = self.cells_TBH[t - 1] if t else self.c_BH
        dh_BH = dh_BH + self.back_BH
        lstm_step_backward(
            dh_BH,
            self.dc_BH,
            self.gates_TB4H[t],
            before_BH,
            self.tanh_TBH[t],
            self.peepholes,
            self.gates_start,
            self.d_B4H,
        )
        back_BK = torch.mm(self.da_TBG[t].copy_(self.d_B4H[:, self.gates_start :]), self.W)
        self.back_BH = back_BK[:, :H]
        return back_BK[:, H:]

    def gradients(self) -> tuple[Tensor | None, ...]:
        of_words: tuple[Tensor | None, ...] = ()
        if self.words is not None:
            of_words = input_gradients(self.da_TBG, *self.words, wanted=True)
        dW = recurrent_gradient(self.da_TBG, self.read_TBK, self.weight_GK)
        db = bias_gradient(self.da_TBG, self.bias_G)
        dh_BH = self.back_BH.to(self.h_BH.dtype)
        gradients = (*of_words, dW, db, dh_BH, self.dc_BH)
        if self.peepholes is None:
            return gradients
        dp = peephole_gradient(self.da_TBG, self.c_BH, self.cells_TBH)
        return *gradients, dp.to(self.peepholes.dtype)


# ---- One step of a stack of layers, as decoding takes it: without gradients, thousands of times.
#
# On a CPU the loops of :mod:`rnnlm.lm.neural.layers.kernels` do a single step of an LSTM of five
# rows in a third of the time that oneDNN takes. It lays out the weights in each call, which pays
# over a window.


def one_step(body: RecurrentStack, x_1BE: Tensor, state: State) -> tuple[Tensor, State]:
    """Return what the stack gives, (1, B, H), and its state after the step. Nothing is dropped."""
    after: State = ()
    for number, layer in enumerate(body.layers):
        end = len(after) + len(layer.state_shapes())
        y_1BH, layer_state = layer_step(layer, x_1BE, state[len(after) : end])
        after += layer_state
        x_1BE = body.connect(number, x_1BE, y_1BH)
    return x_1BE, after


def layer_step(layer: Layer, x_1BE: Tensor, state: State) -> tuple[Tensor, State]:
    """Return what one layer gives, (1, B, H), and its state after the step."""
    if x_1BE.device.type != "cpu" or not _is_plain_lstm(layer):
        y_1BH, after = layer(x_1BE, state)
        return y_1BH, after
    assert isinstance(layer, LstmLayer)
    weights = layer.weight_ih, layer.weight_hh, layer.bias_ih, layer.peepholes
    y_1BH, c_BH = ScheduledLSTM.apply(
        x_1BE, state[0][0], state[1][0], *weights, product_type(x_1BE), False
    )
    return y_1BH, (y_1BH, c_BH.unsqueeze(0))
