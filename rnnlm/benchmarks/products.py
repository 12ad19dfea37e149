"""What a training step cannot do without: its matrix products, recorded as it runs and repeated
alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_aten = torch.ops.aten
_PRODUCTS = {
    _aten.mm: torch.mm,
    _aten.addmm: torch.mm,
    _aten.bmm: torch.bmm,
    _aten.baddbmm: torch.bmm,
}


@dataclass(frozen=True)
class Operand:
    """One side of a product, without its content."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device


@dataclass(frozen=True)
class Product:
    """One matrix product, or a batch of them."""

    left: Operand
    right: Operand
    batched: bool


class BareProducts(TorchDispatchMode):
    """A context that records the products done in it, in order; `repeat` does them again on numbers
    of no meaning.

    Of a kernel that does a whole recurrent layer no product is seen: oneDNN's are known, cuDNN is
    left out meanwhile.
    """

    def __init__(self) -> None:
        super().__init__()
        self.products: list[Product] = []

    def __enter__(self) -> "BareProducts":
        self._without_cudnn = torch.backends.cudnn.flags(enabled=False)
        self._without_cudnn.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._without_cudnn.__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        product = _PRODUCTS.get(func.overloadpacket)
        if product is not None:
            left, right = args[-2:]
            self.products.append(Product(_operand(left), _operand(right), product is torch.bmm))
        if func.overloadpacket in (_aten.mkldnn_rnn_layer, _aten.mkldnn_rnn_layer_backward):
            x_TBE, _, weight_hh = args[:3]
            self.products += _of_fused_layer(
                x_TBE, weight_hh, is_forward=func.overloadpacket is _aten.mkldnn_rnn_layer
            )
        return func(*args, **(kwargs or {}))

    def repeat(self) -> Callable[[], None]:
        """What does the recorded products once at each call; operands of one shape share their
        numbers."""
        operands = {
            operand for product in self.products for operand in (product.left, product.right)
        }
        tensors = {operand: _filled(operand) for operand in operands}

        def run() -> None:
            for product in self.products:
                multiply = torch.bmm if product.batched else torch.mm
                multiply(tensors[product.left], tensors[product.right])

        return run


def _of_fused_layer(x_TBE: Tensor, weight_hh: Tensor, is_forward: bool) -> list[Product]:
    """What oneDNN's recurrent layer multiplies inside: the window's inputs at once, states step by
    step."""
    (T, B, E), (G, H), like = x_TBE.shape, weight_hh.shape, x_TBE

    def product(rows: int, inner: int, columns: int) -> Product:
        left = Operand((rows, inner), (inner, 1), like.dtype, like.device)
        right = Operand((inner, columns), (columns, 1), like.dtype, like.device)
        return Product(left, right, batched=False)

    if is_forward:
        return [product(T * B, E, G), *[product(B, H, G)] * T]
    return [
        product(T * B, G, E),
        product(G, T * B, E),
        product(G, T * B, H),
        *[product(B, G, H)] * T,
    ]


def _operand(tensor: Tensor) -> Operand:
    return Operand(tuple(tensor.shape), tensor.stride(), tensor.dtype, tensor.device)


def _filled(operand: Operand) -> Tensor:
    """Ordinary numbers: zeros could be skipped, denormal ones are slow."""
    tensor = torch.empty_strided(
        operand.size, operand.stride, dtype=operand.dtype, device=operand.device
    )
    return tensor.uniform_(-0.1, 0.1)
