"""Tests on each device: on the CPU in every run and, with `pytest -m gpu`, the same functions on a
CUDA device.

So an assertion that fails on a GPU has held on the CPU, and fails for reasons of the GPU.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from rnnlm.lm.neural.device import cpu_has_bf16_kernels
from rnnlm.lm.neural.training import step, trainer

WITHOUT_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
CUDA = pytest.param("cuda", marks=[pytest.mark.gpu, WITHOUT_CUDA])
NEEDS_BF16 = pytest.mark.skipif(
    not cpu_has_bf16_kernels(), reason="no bf16 kernels for this CPU (they need AVX-512)"
)
ON_EACH_DEVICE = pytest.mark.parametrize("device", ["cpu", CUDA])


@contextlib.contextmanager
def no_waits(device: str) -> Iterator[None]:
    """Fail where the host waits for a CUDA device meanwhile. A CPU has nothing to wait for."""
    if device == "cpu":
        yield
        return
    torch.cuda.synchronize()
    try:
        torch.cuda.set_sync_debug_mode("error")
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Say that there are two CUDA devices, of a generation that multiplies bf16; none computes."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))


class Repeater:
    """A recorder of steps for the CPU: a replay does the recorded run again, on the arrays of its
    recording.

    As in a CUDA graph, its results overwrite those of the replay before.
    """

    def __init__(self, device: Any = None) -> None:
        self.warm_ups = self.replays = 0

    def warm_up(self, run: Callable[[], Any]) -> Any:
        self.warm_ups += 1
        return run()

    def record(self, run: Callable[[], Any]) -> Callable[[], Any]:
        kept: list[torch.Tensor] = []

        def replay() -> Any:
            self.replays += 1
            loss, norm, carry = run()
            kept[:] = kept or [tensor.clone() for tensor in (loss, norm, *carry)]
            for place, result in zip(kept, (loss, norm, *carry), strict=True):
                place.copy_(result)
            return kept[0], kept[1], tuple(kept[2:])

        return replay


@pytest.fixture
def graphs_on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Record steps on the CPU, too, with a :class:`Repeater`."""
    recorder, has_graphs = step.CudaRecorder, step.has_graphs
    monkeypatch.setattr(
        step, "has_graphs", lambda device: device.type == "cpu" or has_graphs(device)
    )
    monkeypatch.setattr(
        trainer,
        "CudaRecorder",
        lambda device: Repeater() if device.type == "cpu" else recorder(device),
    )
