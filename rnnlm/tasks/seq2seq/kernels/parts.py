"""What all parts of the loop are: a layer, attention, or what joins them, with the arrays that it keeps of each step.

As in :mod:`rnnlm.neural.layers.kernels.window`, products that do not wait for the step before are taken for all steps at once:
what is made of the words before the first step, and the gradients of all weights after the last step backward.
"""

from typing import Protocol

from torch import Tensor


class Part(Protocol):
    """tensors: what it computes with and has gradients for."""

    tensors: tuple[Tensor, ...]

    def gradients(self) -> tuple[Tensor | None, ...]:
        """Those of `tensors`, after the last step backward."""


class LayerSteps(Part, Protocol):
    """A recurrent layer. It is given what it reads beside the words, (B, X), and gives (B, H)."""

    after: tuple[Tensor, ...]  # its state after the last step forward, (B, H) each

    def forward(self, t: int, read_BX: Tensor) -> Tensor: ...

    def begin_backward(self, d_after: tuple[Tensor, ...]) -> None:
        """d_after: the gradients of `after`."""

    def backward(self, t: int, dh_BH: Tensor) -> Tensor:
        """The gradient of what was read."""


class Attending(Part, Protocol):
    """Attention. It is given a state (B, D), and gives the context (B, H)."""

    weights_TBS: Tensor

    def forward(self, t: int, h_BD: Tensor) -> Tensor: ...

    def backward(self, t: int, dcontext_BH: Tensor) -> Tensor:
        """The gradient of the state."""


def softmax_backward(d_BS: Tensor, weights_BS: Tensor) -> Tensor:
    """The gradient before a softmax over S."""
    weighted_BS = weights_BS * d_BS
    return weighted_BS.addcmul_(weights_BS, weighted_BS.sum(dim=1, keepdim=True), value=-1)
