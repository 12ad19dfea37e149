"""The training text on the device: B contiguous streams, read side by side in windows of T tokens."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from rnnlm.batches import Window, count_windows, stream_bounds, tbptt_windows, with_boundary
from rnnlm.encoding import EncodedText
from rnnlm.errors import TrainingError, notice
from rnnlm.interface import PADDING
from rnnlm.neural.fitting_settings import FittingSettings
from rnnlm.neural.network import NetworkState


class TextStreams:
    """`text` as `batch_rows` streams (fewer where it is too short, with a notice) in windows of `bptt_tokens`.

    Raises:
        TrainingError: the text has no tokens.
    """

    def __init__(
        self, text: EncodedText, boundary_id: int, settings: FittingSettings, seed: int, device: torch.device
    ) -> None:
        if text.tokens < 1:
            raise TrainingError("there is nothing to train on", "the text has no tokens")
        self.rows = fitting_rows(settings.batch_rows, text.tokens)
        if self.rows < settings.batch_rows:
            notice(f"the text has {text.tokens} tokens only: {self.rows} parallel streams instead of {settings.batch_rows}")
        self.settings = settings
        self.random = np.random.default_rng(seed)
        self.device = device
        self.bounds = stream_bounds(text.tokens, self.rows)
        self.document_offsets = text.document_offsets
        self.steps_per_epoch = count_windows(self.bounds, settings.bptt_tokens, text.document_offsets)
        self.stream = self._on_device(with_boundary(text.ids, boundary_id).astype(np.int32))

    def windows(self) -> Iterator[tuple[float, Window]]:
        """(epochs done with it, window), epoch after epoch without end. An epoch's first window is fresh in every row,
        any other one by the chance `state_reset`."""
        epoch = 0
        while True:
            windows = tbptt_windows(self.bounds, self.settings.bptt_tokens, self.document_offsets)
            for done, window in enumerate(windows, start=1):
                if self.settings.state_reset:
                    drawn_B = self.random.random(self.rows) < self.settings.state_reset
                    window = Window(window.start_B, window.end_B, window.fresh_B | drawn_B)
                yield epoch + done / self.steps_per_epoch, window
            epoch += 1

    def gather(self, window: Window) -> tuple[Tensor, Tensor]:
        """inputs_TB and targets_TB on the device; targets past a row's end are padding."""
        length = int((window.end_B - window.start_B).max())
        start_B, end_B = self._on_device(window.start_B), self._on_device(window.end_B)
        position_TB = start_B + torch.arange(length, device=self.device).unsqueeze(1)
        inside_TB = position_TB < end_B
        position_TB = position_TB.clamp(max=len(self.stream) - 2)
        targets_TB = self.stream[position_TB + 1].long().masked_fill(~inside_TB, PADDING)
        return self.stream[position_TB].long(), targets_TB

    def refresh(self, state: NetworkState, fresh_B: np.ndarray) -> NetworkState:
        """`state` with the initial one (zeros) in the rows that begin anew."""
        if not fresh_B.any():
            return state
        fresh_1B1 = self._on_device(fresh_B).view(1, -1, 1)
        return tuple(tensor.masked_fill(fresh_1B1, 0.0) for tensor in state)

    def _on_device(self, array: np.ndarray) -> Tensor:
        """From memory that may be paged out, the host would wait until the device has come to the copy."""
        host = torch.from_numpy(np.ascontiguousarray(array))
        return (host.pin_memory() if self.device.type == "cuda" else host).to(self.device, non_blocking=True)


def fitting_rows(rows: int, tokens: int) -> int:
    """`rows`, or as many streams of two tokens or more as `tokens` allow; at least one."""
    return max(1, min(rows, tokens // 2))
