"""What is told of training between validations: losses gathered on the device, read there at intervals only."""

import time

import torch
from torch import Tensor

from rnnlm.events import Step

REPORT_SECONDS = 0.5


class Report:
    """Gathers losses on the device and reads them there at intervals only."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.tokens_before = self.tokens = 0
        self.restart()

    def add(self, loss: Tensor, tokens: int) -> None:
        """The mean loss of one step, and the tokens read so far."""
        self.losses += loss * (tokens - self.tokens)
        self.steps += 1
        self.tokens = tokens

    def due(self) -> bool:
        return time.perf_counter() - self.since >= REPORT_SECONDS

    def event(self, step: int, epoch: float, rate: float, progress: float, seconds: float) -> Step:
        loss_nats = float(self.losses) / max(1, self.tokens - self.tokens_before)
        speed = (self.tokens - self.tokens_before) / max(1e-9, time.perf_counter() - self.since)
        self.restart()
        return Step(step, epoch, self.tokens, loss_nats, rate, speed, min(1.0, progress), seconds)

    def restart(self) -> None:
        self.losses = torch.zeros((), device=self.device)
        self.steps = 0
        self.tokens_before = self.tokens
        self.since = time.perf_counter()
