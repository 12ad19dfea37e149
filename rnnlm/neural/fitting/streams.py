"""The training text as B contiguous streams, read side by side in windows of T tokens."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from rnnlm.errors import TrainingError, notice
from rnnlm.neural.fitting.settings import FittingSettings
from rnnlm.neural.fitting.text_windows import windows_of
from rnnlm.neural.network import NetworkState
from rnnlm.text.batches import Borders, DocumentBorders, DrawnLineBorders, Window, stream_bounds, tbptt_windows
from rnnlm.text.encoding import EncodedText

SHORTEST = 5  # tokens of a window whose length is drawn
LINES = 1  # tells the random numbers that draw lines from those that draw windows


class TextStreams:
    """`text` as `batch_rows` streams (fewer where it is too short, with a notice) in windows of `bptt_tokens`.

    Raises:
        TrainingError: the text has no tokens.
    """

    def __init__(self, text: EncodedText, boundary_id: int, settings: FittingSettings, seed: int, device: torch.device) -> None:
        if text.tokens < 1:
            raise TrainingError("there is nothing to train on", "the text has no tokens")
        self.rows = fitting_rows(settings.batch_rows, text.tokens)
        if self.rows < settings.batch_rows:
            notice(f"the text has {text.tokens} tokens only: {self.rows} parallel streams instead of {settings.batch_rows}")
        self.settings = settings
        self.seed = seed
        self.device = device
        self.tokens = text.tokens
        self.bounds = stream_bounds(text.tokens, self.rows)
        self.line_offsets, self.document_offsets = text.line_offsets, text.document_offsets
        self.text = windows_of(text.ids, boundary_id, self._on_device)

    def windows(self, epochs_done: float = 0.0) -> Iterator[tuple[float, Window]]:
        """(epochs done with it, window), epoch after epoch without end, after those that `epochs_done` says are done. An
        epoch's first window is fresh in every row, any other one where a document or a drawn line begins, and by the chance
        `state_reset`."""
        for epoch in itertools.count(int(epochs_done)):
            random = np.random.default_rng((self.seed, epoch))
            read = 0
            for window in tbptt_windows(self.bounds, self._lengths(random), self._borders(epoch)):
                if self.settings.state_reset:
                    drawn_B = random.random(self.rows) < self.settings.state_reset
                    window = replace(window, fresh_B=window.fresh_B | drawn_B)
                read += int((window.end_B - window.start_B).sum())
                done = epoch + read / self.tokens
                if done > epochs_done:
                    yield done, window

    def _borders(self, epoch: int) -> list[Borders]:
        """Where rows begin anew in that epoch: at every document, and at lines drawn by the chance `line_starts`."""
        borders: list[Borders] = [] if self.document_offsets is None else [DocumentBorders(self.document_offsets)]
        if self.settings.line_starts:
            random = np.random.default_rng((self.seed, epoch, LINES))
            borders.append(DrawnLineBorders(self.line_offsets, self.bounds[:-1], self.settings.line_starts, random))
        return borders

    def rate_factor(self, window: Window) -> float:
        """By what a step's learning rate is multiplied, so that tokens of longer and shorter windows weigh alike (Merity et al.
        2018, section 4.1); 1 where all windows have the same length."""
        return window.length / self.settings.bptt_tokens if self.settings.draws_lengths else 1.0

    def _lengths(self, random: np.random.Generator) -> Iterator[int]:
        """Of an epoch's windows: `bptt_tokens`, or drawn from a normal distribution around it or, by the chance `bptt_short`,
        around half of it; of :data:`SHORTEST` tokens at least; then the nearest multiple of `bptt_multiple`, which keeps the mean."""
        settings, multiple = self.settings, self.settings.bptt_multiple
        while True:
            length = settings.bptt_tokens
            if settings.draws_lengths:
                mean = length / 2 if random.random() < settings.bptt_short else length
                length = max(min(SHORTEST, length), round(random.normal(mean, settings.bptt_deviation)))
            yield max(1, round(length / multiple)) * multiple

    def gather(self, window: Window, rows: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """inputs_TB and targets_TB of some rows on the device, as long as the longest row of all; targets past a row's end are
        padding."""
        return self.text.window(window.start_B[rows], window.end_B[rows], int((window.end_B - window.start_B).max()))

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
