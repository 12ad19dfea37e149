"""The loop of input feeding: layers, attention and the attentional vector, which the next step reads.

Shapes: T target time, B rows, X what a layer reads, D width of the highest layer's states, H of the memory, F of attentional vectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rnnlm.neural.layers.kernels.window import tanh_
from rnnlm.tasks.seq2seq.kernels.attending import no_autocast
from rnnlm.tasks.seq2seq.kernels.parts import Attending, LayerSteps

tanh_backward = torch.ops.aten.tanh_backward


@dataclass
class FedLoop:
    """masks: of what the lowest layer reads of the fed vectors, (T, B, F), then of what each layer above it reads, (T, B, X); None: all
    of it. weight_FC: of [h; context]. residual: each layer but the lowest adds what it reads to what it gives."""

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
        return *(each for part in (*self.layers, self.attending) for each in part.tensors), self.weight_FC, self.fed_BF

    def forward(self) -> Tensor:
        """a (T, B, F)."""
        T, B, _ = self.joint_TBC.shape
        a_TBF, fed_BF = self.fed_BF.new_empty((T, B, len(self.W))), self.fed_BF
        for t in range(T):
            h_BD = self._layers(t, fed_BF)
            context_BH, joint_BC, D = self.attending.forward(t, h_BD), self.joint_TBC[t], h_BD.shape[1]
            joint_BC[:, :D], joint_BC[:, D:] = h_BD, context_BH
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
        """The gradients of `tensors`; dfed_BF: that of the last attentional vector, beside da_TBF."""
        (T, B, F), D = a_TBF.shape, self.W.shape[1] - self.attending.tensors[1].shape[2]
        dz_TBF = self.joint_TBC.new_empty((T, B, F))
        for t in reversed(range(T)):
            dz_TBF[t] = tanh_backward(da_TBF[t] + dfed_BF, a_TBF[t])
            djoint_BC = torch.mm(dz_TBF[t], self.W)
            dh_BD = self.attending.backward(t, djoint_BC[:, D:]) + djoint_BC[:, :D]
            dfed_BF = self._layers_backward(t, dh_BD)
        dW = torch.mm(dz_TBF.flatten(0, 1).t(), self.joint_TBC.flatten(0, 1)).to(self.weight_FC.dtype)
        parts = (each for part in (*self.layers, self.attending) for each in part.gradients())
        return *parts, dW, dfed_BF.to(self.fed_BF.dtype)

    def _layers_backward(self, t: int, d_BX: Tensor) -> Tensor:
        for number in reversed(range(len(self.layers))):
            dread_BX = self.layers[number].backward(t, d_BX)
            if number and self.residual:
                dread_BX = dread_BX + d_BX
            mask_TBX = self.masks[number]
            d_BX = dread_BX if mask_TBX is None else dread_BX * mask_TBX[t]
        return d_BX


class _Run(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loop: FedLoop, *tensors: Tensor) -> tuple[Tensor, ...]:
        with no_autocast(loop.fed_BF):
            a_TBF = loop.forward()
        ctx.loop = loop
        ctx.save_for_backward(a_TBF)
        weights_TBS = loop.attending.weights_TBS.clone()
        ctx.mark_non_differentiable(weights_TBS)
        return a_TBF, weights_TBS, a_TBF[-1].clone(), *(each.clone() for layer in loop.layers for each in layer.after)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        da_TBF, _, dfed_BF, *d_after = gradients
        for layer in ctx.loop.layers:
            layer.begin_backward(tuple(d_after[: len(layer.after)]))
            del d_after[: len(layer.after)]
        return None, *ctx.loop.backward(*ctx.saved_tensors, da_TBF, dfed_BF)


def run(loop: FedLoop) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """a (T, B, F), the weights of attention (T, B, S), which have no gradient, and the state after the last step, (1, B, width) each:
    of the layers, then the last attentional vector."""
    a_TBF, weights_TBS, fed_BF, *layers = _Run.apply(loop, *loop.tensors)
    return a_TBF, weights_TBS, tuple(each.unsqueeze(0) for each in (*layers, fed_BF))
