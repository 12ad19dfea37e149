"""What is told of training between validations: losses summed on the device, copied to the host at intervals.

A step never waits for a report: the copy is begun when one is due, and read once it has arrived.
"""

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from rnnlm.events import Step
from rnnlm.neural.ranks import ALONE, Alone

REPORT_SECONDS = 0.5


class Report:
    """Gathers losses from one report to the next. Of several ranks each adds what its rows have of the mean loss."""

    def __init__(self, device: torch.device, is_exact: bool = True, tokens: int = 0, ranks: Alone = ALONE) -> None:
        self.device = device
        self.ranks = ranks
        self.now = ranks.now or time.perf_counter
        self.is_exact = is_exact
        self.tokens = tokens
        self.restart()

    def add(self, loss: Tensor, tokens: int) -> None:
        """The mean loss of one step, and the tokens read so far."""
        self.losses += loss * (tokens - self.tokens)
        self.steps += 1
        self.tokens = tokens

    def due(self) -> bool:
        """Whether it is time for a report and its losses have arrived on the host; or, where all ranks are to see the same, must have
        arrived, as all have met since."""
        if self.sent is None and self.now() - self.since >= REPORT_SECONDS:
            self.sent = self._send()
        return self.sent is not None and (self.now() > self.sent.at if self.ranks.now else self.sent.has_arrived())

    def event(self, step: int, epoch: float, rate: float, progress: float, seconds: float) -> Step:
        """The report; where none was due, of all steps so far, which waits for the device."""
        sent = self.sent or self._send()
        tokens = sent.tokens - self.tokens_before
        speed = tokens / max(1e-9, sent.at - self.since)
        losses = self.ranks.totals(sent.read())[0]
        event = Step(step, epoch, sent.tokens, losses / max(1, tokens), rate, speed, min(1.0, progress), seconds, self.is_exact)
        self.losses -= sent.losses
        self.steps -= sent.steps
        self.tokens_before, self.since, self.sent = sent.tokens, sent.at, None
        return event

    def pause(self, seconds: float) -> None:
        """So long no steps were taken: that is not to count."""
        self.since += seconds

    def restart(self) -> None:
        """Begin anew, after a pause that must not count."""
        self.losses = torch.zeros((), device=self.device)
        self.steps = 0
        self.tokens_before = self.tokens
        self.since = self.now()
        self.sent: _Sent | None = None

    def _send(self) -> "_Sent":
        losses = self.losses.clone()
        if self.device.type != "cuda":
            return _Sent(losses, losses, None, self.tokens, self.steps, self.now())
        host = torch.empty((), pin_memory=True).copy_(losses, non_blocking=True)
        arrival = torch.cuda.Event()
        arrival.record()
        return _Sent(losses, host, arrival, self.tokens, self.steps, self.now())


@dataclass(frozen=True)
class _Sent:
    """Losses on their way to the host, with the tokens and steps they are of."""

    losses: Tensor
    host: Tensor
    arrival: "torch.cuda.Event | None"
    tokens: int
    steps: int
    at: float

    def has_arrived(self) -> bool:
        return self.arrival is None or self.arrival.query()

    def read(self) -> float:
        if self.arrival is not None:
            self.arrival.synchronize()
        return float(self.host)
