"""What a training step cannot do without: its matrix products, recorded as it runs and repeated alone."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_aten = torch.ops.aten
_PRODUCTS = {_aten.mm: torch.mm, _aten.addmm: torch.mm, _aten.bmm: torch.bmm, _aten.baddbmm: torch.bmm}


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
    """A context that records the products done in it, in order; `repeat` does them again on numbers of no meaning.

    torch's recurrent layers are taken apart for it: of a kernel that does a whole layer no product would be seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.products: list[Product] = []

    def __enter__(self) -> "BareProducts":
        self._kernels = contextlib.ExitStack()
        self._kernels.enter_context(torch.backends.cudnn.flags(enabled=False))
        self._kernels.callback(torch._C._set_mkldnn_enabled, torch._C._get_mkldnn_enabled())
        torch._C._set_mkldnn_enabled(False)  # torch.backends.mkldnn.flags warns of TF32, which nobody asked for
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._kernels.close()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        product = _PRODUCTS.get(func.overloadpacket)
        if product is not None:
            left, right = args[-2:]
            self.products.append(Product(_operand(left), _operand(right), product is torch.bmm))
        return func(*args, **(kwargs or {}))

    def repeat(self) -> Callable[[], None]:
        """What does the recorded products once at each call; operands of one shape share their numbers."""
        tensors: dict[Operand, Tensor] = {}
        for product in self.products:
            for operand in (product.left, product.right):
                if operand not in tensors:
                    tensors[operand] = _filled(operand)

        def run() -> None:
            for product in self.products:
                multiply = torch.bmm if product.batched else torch.mm
                multiply(tensors[product.left], tensors[product.right])

        return run


def _operand(tensor: Tensor) -> Operand:
    return Operand(tuple(tensor.shape), tensor.stride(), tensor.dtype, tensor.device)


def _filled(operand: Operand) -> Tensor:
    """Ordinary numbers: zeros could be skipped, denormal ones are slow."""
    tensor = torch.empty_strided(operand.size, operand.stride, dtype=operand.dtype, device=operand.device)
    return tensor.uniform_(-0.1, 0.1)
