"""What is reported between validations: losses and gradient norms gathered on the device, copied to the host at intervals.

A step never waits for a report: the copy is begun when one is due, and read once it has arrived.
"""

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rnnlm.neural.fitting.ranks import SINGLE_PROCESS, SingleProcess
from rnnlm.neural.outputs.base import OutputLayer

REPORT_SECONDS = 0.5


class Meter:
    """Gathers the figures of steps from one report to the next; the weights of `network` are looked at once for each. Of several ranks each
    adds its rows' part of the mean loss.

    The norm of the weights leaves out the biases of the output layer: they start as logarithms of the tokens' frequencies, so their norm
    is large from the start, grows with the vocabulary, and would hide the others. If one of them is NaN, so is the norm.
    pending: whether there are steps that are not reported yet.
    """

    tokens: int
    tokens_before: int
    since: float
    sent: "_Sent | None"
    steps: int
    losses: Tensor
    norms: Tensor
    largest_norm: Tensor

    def __init__(
        self, device: torch.device, tokens: int = 0, network: nn.Module | None = None, ranks: SingleProcess = SINGLE_PROCESS
    ) -> None:
        self.device = device
        self.ranks = ranks
        self.now = ranks.now or time.perf_counter
        self.weights, self.output_biases = ([], []) if network is None else _without_output_biases(network)
        self.restart(tokens)

    def add(self, loss: Tensor, gradient_norm: Tensor, tokens: int) -> None:
        """The mean loss and the gradient's norm of one step, and the tokens read so far."""
        self.losses += loss * (tokens - self.tokens)
        self.norms += gradient_norm
        self.largest_norm = torch.maximum(self.largest_norm, gradient_norm)  # NaN stays NaN
        self.steps += 1
        self.tokens = tokens

    @property
    def pending(self) -> bool:
        return self.sent is not None or self.steps > 0

    def due(self) -> bool:
        """Whether it is time for a report and its figures have arrived on the host; or, where all ranks are to see the same, must have
        arrived, as all have synchronized since."""
        if self.sent is None and self.now() - self.since >= REPORT_SECONDS:
            self.sent = self._send()
        return self.sent is not None and (self.now() > self.sent.at if self.ranks.now else self.sent.has_arrived())

    def read(self) -> dict[str, Any]:
        """The figures that were due, as :class:`rnnlm.events.Step` calls them; where none were, of all steps so far, which waits for the
        device."""
        if self.sent is None:
            self.ranks.synchronize()
        sent = self.sent or self._send()
        losses, *all_norms = self.ranks.totals(*sent.read())
        # norms are the same on all ranks: a fault in one is all ranks'
        norms, largest_norm, weight_norm = (each / self.ranks.count for each in all_norms)
        tokens = sent.tokens - self.tokens_before
        speed = tokens / max(1e-9, sent.at - self.since)
        self.tokens_before, self.since, self.sent = sent.tokens, sent.at, None
        return {
            "tokens": sent.tokens, "loss_nats": losses / max(1, tokens), "tokens_per_second": speed,
            "gradient_norm": norms / max(1, sent.steps), "gradient_norm_max": largest_norm, "weight_norm": weight_norm,
        }  # fmt: skip

    def pause(self, seconds: float) -> None:
        """No steps were taken for so long: that does not count."""
        self.since += seconds

    def restart(self, tokens: int) -> None:
        """Begin anew, after a pause that does not count, `tokens` read so far."""
        self.tokens = self.tokens_before = tokens
        self.since = self.now()
        self.sent = None
        self._clear()

    def _clear(self) -> None:
        self.losses, self.norms, self.largest_norm = (torch.zeros((), device=self.device) for _ in range(3))
        self.steps = 0

    @torch.no_grad()
    def _send(self) -> "_Sent":
        """Steps from now on belong to the next report."""
        weight_norm = nn.utils.get_total_norm(self.weights).to(self.losses)
        weight_norm = weight_norm + 0 * nn.utils.get_total_norm(self.output_biases).to(self.losses)  # NaN if a bias is no number
        figures = torch.stack([self.losses, self.norms, self.largest_norm, weight_norm])
        tokens, steps, at = self.tokens, self.steps, self.now()
        self._clear()
        if self.device.type != "cuda":
            return _Sent(figures, None, tokens, steps, at)
        host = torch.empty(figures.shape, pin_memory=True).copy_(figures, non_blocking=True)
        arrival = torch.cuda.Event()
        arrival.record(torch.cuda.current_stream(self.device))  # which need not be that of the current device
        return _Sent(host, arrival, tokens, steps, at)


def _without_output_biases(network: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """The parameters of a network without the biases of its output layer, of whatever kind; and these."""
    layers = [layer for layer in network.modules() if isinstance(layer, OutputLayer)]
    biases: list[Tensor] = [weight for layer in layers for weight in layer.parameters() if weight.dim() == 1]
    apart = set(map(id, biases))
    return [weight for weight in network.parameters() if id(weight) not in apart], biases


@dataclass(frozen=True)
class _Sent:
    """Figures on their way to the host, with the tokens and steps they are of."""

    figures: Tensor
    arrival: "torch.cuda.Event | None"
    tokens: int
    steps: int
    at: float

    def has_arrived(self) -> bool:
        return self.arrival is None or self.arrival.query()

    def read(self) -> list[float]:
        """Sum of losses over tokens, sum of gradient norms, the largest of them, norm of the weights."""
        if self.arrival is not None:
            self.arrival.synchronize()
        return self.figures.tolist()
