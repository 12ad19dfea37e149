"""One LSTM layer of the loop. The equations stand at :func:`rnnlm.neural.layers.steps.lstm_step`.

Shapes: T time, B rows, H units, G what the gates take of products, X what is read at each step, E width of the words, K = H + X.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from rnnlm.neural.layers.kernels.lstm import lstm_step, lstm_step_backward, peephole_gradient
from rnnlm.neural.layers.kernels.window import bias_gradient, input_gradients, recurrent_gradient


class LstmSteps:
    """words_TBE: what is known before the first step, with its weights; None: nothing. weight_GK: for [h'; what is read]."""

    def __init__(
        self, words: tuple[Tensor, Tensor] | None, weight_GK: Tensor, bias_G: Tensor, state: tuple[Tensor, Tensor],
        peepholes: Tensor | None, T: int, products: torch.dtype,
    ) -> None:  # fmt: skip
        self.h_BH, self.c_BH = state
        (B, H), (G, K) = self.h_BH.shape, weight_GK.shape
        self.words, self.bias_G, self.weight_GK, self.peepholes, self.first = words, bias_G, weight_GK, peepholes, 4 * H - G
        self.tensors = (*(words or ()), weight_GK, bias_G, *state, *(() if peepholes is None else (peepholes,)))
        self.W, bias = weight_GK.detach().to(products), bias_G.detach().to(products)
        self.base_TBG = bias.expand(T, B, G)
        if words is not None:
            words_TBE, weight_GE = (each.detach().to(products) for each in words)
            self.base_TBG = F.linear(words_TBE, weight_GE, bias)
        self.read_TBK = self.W.new_empty((T, B, K))
        self.gates_TB4H, self.cells_TBH, self.tanh_TBH, self.y_TBH = (bias_G.new_empty((T, B, n * H)) for n in (4, 1, 1, 1))
        self.after: tuple[Tensor, ...] = state

    def forward(self, t: int, read_BX: Tensor) -> Tensor:
        h_BH, c_BH = self.after
        read_BK, H = self.read_TBK[t], h_BH.shape[1]
        read_BK[:, :H], read_BK[:, H:] = h_BH, read_BX
        gates_B4H = self.gates_TB4H[t]
        gates_B4H[:, self.first :].copy_(torch.addmm(self.base_TBG[t], read_BK, self.W.t()))
        c_BH = lstm_step(gates_B4H, c_BH, self.peepholes, self.first, self.cells_TBH[t], self.tanh_TBH[t], self.y_TBH[t])
        self.after = self.y_TBH[t], c_BH
        return self.y_TBH[t]

    def begin_backward(self, d_after: tuple[Tensor, ...]) -> None:
        self.back_BH, self.dc_BH = d_after[0], d_after[1].clone()
        self.da_TBG, self.d_B4H = (
            torch.empty_like(self.base_TBG, memory_format=torch.contiguous_format),
            torch.empty_like(self.gates_TB4H[0]),
        )

    def backward(self, t: int, dh_BH: Tensor) -> Tensor:
        H, before_BH = dh_BH.shape[1], self.cells_TBH[t - 1] if t else self.c_BH
        dh_BH = dh_BH + self.back_BH
        lstm_step_backward(dh_BH, self.dc_BH, self.gates_TB4H[t], before_BH, self.tanh_TBH[t], self.peepholes, self.first, self.d_B4H)
        back_BK = torch.mm(self.da_TBG[t].copy_(self.d_B4H[:, self.first :]), self.W)
        self.back_BH = back_BK[:, :H]
        return back_BK[:, H:]

    def gradients(self) -> tuple[Tensor | None, ...]:
        of_words = () if self.words is None else input_gradients(self.da_TBG, *self.words, wanted=True)
        dW = recurrent_gradient(self.da_TBG, self.read_TBK, self.weight_GK)
        dp = () if self.peepholes is None else (peephole_gradient(self.da_TBG, self.c_BH, self.cells_TBH).to(self.peepholes.dtype),)
        return *of_words, dW, bias_gradient(self.da_TBG, self.bias_G), self.back_BH.to(self.h_BH.dtype), self.dc_BH, *dp
