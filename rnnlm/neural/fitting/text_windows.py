"""Where the training text lies: on the device, or, where it is too large for memory, on disk; and the windows read from it."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from rnnlm.files.chunked_array import ChunkedArray
from rnnlm.interface import PADDING
from rnnlm.text.batches import with_boundary

OnDevice = Callable[[np.ndarray], Tensor]  # copies an array to the device


class TextWindows(Protocol):
    """The rows of a window: row b has the targets `ids[start_B[b]:end_B[b]]`, and as inputs what stands before each."""

    def window(self, start_B: np.ndarray, end_B: np.ndarray, length: int) -> tuple[Tensor, Tensor]:
        """inputs_TB and targets_TB (int64) on the device, of that length; targets past a row's end are padding."""
        ...


def windows_of(ids: np.ndarray | ChunkedArray, boundary_id: int, on_device: OnDevice) -> TextWindows:
    """The windows of a text of these `ids`."""
    return (DiskWindows if isinstance(ids, ChunkedArray) else DeviceWindows)(ids, boundary_id, on_device)


class DeviceWindows:
    """All of the text on the device."""

    def __init__(self, ids: np.ndarray, boundary_id: int, on_device: OnDevice) -> None:
        self.on_device = on_device
        self.stream = on_device(with_boundary(ids, boundary_id).astype(np.int32))

    def window(self, start_B: np.ndarray, end_B: np.ndarray, length: int) -> tuple[Tensor, Tensor]:
        start_B, end_B = self.on_device(start_B), self.on_device(end_B)
        position_TB = start_B + torch.arange(length, device=self.stream.device).unsqueeze(1)
        inside_TB = position_TB < end_B
        position_TB = position_TB.clamp(max=len(self.stream) - 2)
        targets_TB = self.stream[position_TB + 1].long().masked_fill(~inside_TB, PADDING)
        return self.stream[position_TB].long(), targets_TB


class DiskWindows:
    """The text on disk: a window's rows are gathered on the host, and copied while the device works on the one before.

    A window is the same as of :class:`DeviceWindows`, past its rows' ends, too.
    """

    def __init__(self, ids: ChunkedArray, boundary_id: int, on_device: OnDevice) -> None:
        self.ids = ids
        self.boundary_id = boundary_id
        self.on_device = on_device

    def window(self, start_B: np.ndarray, end_B: np.ndarray, length: int) -> tuple[Tensor, Tensor]:
        inputs_BT = np.empty((len(start_B), length), dtype=np.int64)
        targets_BT = np.full_like(inputs_BT, PADDING)
        for row, (start, end) in enumerate(zip(start_B.tolist(), end_B.tolist(), strict=True)):
            self._read_row(start, end, inputs_BT[row], targets_BT[row])
        return self.on_device(inputs_BT.T), self.on_device(targets_BT.T)

    def _read_row(self, start: int, end: int, inputs_T: np.ndarray, targets_T: np.ndarray) -> None:
        last, wanted = len(self.ids) - 1, end - start  # where the last input stands: what lies behind reads that one again
        start = min(start, last)
        stream = np.empty(min(len(inputs_T), last - start + 1) + 1, dtype=np.int64)  # the inputs, and the target of the last
        stream[0] = self.boundary_id
        self.ids.read_into(stream[start == 0 :], max(0, start - 1))
        inputs_T[: len(stream) - 1] = stream[:-1]
        inputs_T[len(stream) - 1 :] = stream[-2]
        targets_T[:wanted] = stream[1 : wanted + 1]
