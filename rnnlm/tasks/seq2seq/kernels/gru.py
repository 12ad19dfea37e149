"""One GRU layer of the loop, whose reset gate acts after the recurrent product. See :func:`rnnlm.neural.layers.steps.gru_step`.

Arrays of a step lie in the order m r z n, as in :mod:`rnnlm.neural.layers.kernels.gru`, with m = h' Wn + bn'.
Shapes: T time, B rows, H units, X what is read at each step, E width of the words.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from rnnlm.neural.layers.kernels.gru import n_first, n_last, sigmoid_backward, through_update
from rnnlm.neural.layers.kernels.window import bias_gradient, input_gradients, recurrent_gradient, tanh_


class GruSteps:
    """words: what is known before the first step, (T, B, E), and its weights (3H, E); None: nothing. weights: for h' (3H, H) and for what
    is read (3H, X), rows in the order r z n. biases: inside and outside of what the reset gate multiplies."""

    def __init__(
        self, words: tuple[Tensor, Tensor] | None, weights: tuple[Tensor, Tensor], biases: tuple[Tensor, Tensor], h_BH: Tensor, T: int,
        products: torch.dtype,
    ) -> None:  # fmt: skip
        (self.weight_hh, self.weight_read), (self.bias_hh, self.bias_ih), self.words, self.h_BH = weights, biases, words, h_BH
        (B, H), X = h_BH.shape, self.weight_read.shape[1]
        self.tensors = (*(words or ()), *weights, *biases, h_BH)
        self.W, self.b = (n_first(each.detach()).to(products) for each in (self.weight_hh, self.bias_hh))
        self.U, bias = self.weight_read.detach().to(products), self.bias_ih.detach().to(products)
        self.base_TBG = bias.expand(T, B, 3 * H)
        if words is not None:
            words_TBE, weight_GE = (each.detach().to(products) for each in words)
            self.base_TBG = F.linear(words_TBE, weight_GE, bias)
        self.before_TBH, self.read_TBX = self.W.new_empty((T, B, H)), self.W.new_empty((T, B, X))
        self.gates_TB4H, self.y_TBH = (h_BH.new_empty((T, B, n * H)) for n in (4, 1))
        self.after: tuple[Tensor, ...] = (h_BH,)

    def forward(self, t: int, read_BX: Tensor) -> Tensor:
        (h_BH,), gates_B4H = self.after, self.gates_TB4H[t]
        H = h_BH.shape[1]
        a_BG = torch.addmm(self.base_TBG[t], self.read_TBX[t].copy_(read_BX), self.U.t())
        m, _, z, n = gates_B4H.chunk(4, 1)
        r, rz = gates_B4H[:, H : 2 * H], gates_B4H[:, H : 3 * H]
        gates_B4H[:, : 3 * H].copy_(torch.addmm(self.b, self.before_TBH[t].copy_(h_BH), self.W.t()))
        rz.add_(a_BG[:, : 2 * H]).sigmoid_()
        tanh_(torch.mul(r, m, out=n).add_(a_BG[:, 2 * H :]))
        self.after = (torch.lerp(n, h_BH, z, out=self.y_TBH[t]),)
        return self.y_TBH[t]

    def begin_backward(self, d_after: tuple[Tensor, ...]) -> None:
        self.back_BH = d_after[0]
        self.da_TB4H, self.d_B4H = self.W.new_empty(self.gates_TB4H.shape), torch.empty_like(self.gates_TB4H[0])

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
        of_words = () if self.words is None else input_gradients(of_read, *self.words, wanted=True)
        dW = n_last(recurrent_gradient(of_h, self.before_TBH, self.weight_hh))
        db = bias_gradient(self.da_TB4H, self.bias_ih)
        return *of_words, dW, recurrent_gradient(of_read, self.read_TBX, self.weight_read), n_last(db[: 3 * H]), db[H:], self.back_BH
