"""A device that computes nothing, for machines without a GPU: what runs on it shows which tensors
are where, and when the host waits for a device.

torch's FakeTensorMode follows shapes, types and devices. Its tensors are on `lazy:1` here, a device
that every build of torch knows and none has kernels for. What is on the host is computed as usual.
Numbers that come back from the device are zeros.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

NAME = "lazy:1"  # the second one, so that "lazy" alone is another device
COPY, COPY_INTO = torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default
NUMBER = torch.ops.aten._local_scalar_dense.default


class FakeDevice(FakeTensorMode):
    """The device, within whose context tensors can be made there or moved to it.

    A tensor of the host in an operation of the device raises FakeTensorDeviceMismatchError, and a
    mask as an index DynamicOutputShapeException: the host would wait for its count.
    """

    name = NAME
    avoid_device_init = True  # as on a machine without CUDA: torch has no such device to prepare

    def __init__(self) -> None:
        super().__init__(allow_non_fake_inputs=True)
        self.may_wait = True

    @contextlib.contextmanager
    def no_waits(self) -> Iterator[None]:
        """Fail where the host waits for the device in this context."""
        self.may_wait = False
        try:
            yield
        finally:
            self.may_wait = True

    def wait(self, what: str) -> None:
        """Raise an error if the host must not wait now."""
        if not self.may_wait:
            raise RuntimeError(f"the host waits for the device: {what}")

    def dispatch(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation of torch, below autograd."""
        kwargs = kwargs or {}
        asked = kwargs.get("device")
        if FakeTensor not in types and (asked is None or asked.type == "cpu"):
            return func(*args, **kwargs)

        if torch.Tag.data_dependent_output in func.tags:  # item(), float(), if, equal()
            self.wait("a number is read")
            return 0.0 if func is NUMBER and args[0].is_floating_point() else False
        if func in (COPY, COPY_INTO):
            return self.copy(func, types, args, kwargs)
        return super().dispatch(func, types, args, kwargs)

    def copy(self, func: Any, types: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """Copy between host and device, or within the device."""
        source = args[0] if func is COPY else args[1]
        if func is COPY:
            goes_to = kwargs.get("device") or source.device
        else:
            goes_to = args[0].device
        is_async = kwargs.get("non_blocking") or (func is COPY_INTO and args[2:] == (True,))
        if not isinstance(source, FakeTensor) and not is_async:
            self.wait("a copy from the host")
        if goes_to.type != "cpu":
            return super().dispatch(func, types, args, kwargs)

        self.wait("a copy to the host")
        if func is COPY_INTO:
            return args[0].zero_()
        return torch.zeros(source.shape, dtype=kwargs.get("dtype") or source.dtype)
