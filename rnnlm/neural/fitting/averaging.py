"""Averages of the weights over steps: what is validated and saved, while training goes on with the weights themselves."""

import contextlib
import math
from collections.abc import Iterator

import torch
from torch import nn

from rnnlm.neural.fitting.settings import FittingSettings


class Averaging:
    """One average of each weight, if `settings` ask for it:

    asgd: the mean of the weights after each step from `asgd_start` on (Polyak & Juditsky 1992), or from the first validation
    on that triggers it (NT-ASGD, Merity et al. 2018, algorithm 1);
    ema_decay: the exponential moving average, with the decay min(ema_decay, (1 + n) / (10 + n)) after n weights, so that
    the first ones are soon forgotten.

    start: steps before the first weights that are averaged.
    """

    def __init__(self, settings: FittingSettings, network: nn.Module) -> None:
        self.weights = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.ema_decay = settings.ema_decay
        self.trigger = NonMonotone(settings.nonmonotone_interval) if settings.nonmonotone_interval else None
        starts_at_once = settings.optimizer == "asgd" and not self.trigger
        self.begin_after(0 if self.ema_decay is not None else settings.asgd_start if starts_at_once else math.inf)

    def begin_after(self, step: float) -> None:
        """A new average, of the weights after each step beyond `step`."""
        self.start = step
        self.count = 0
        self.averages: list[torch.Tensor] = []

    def after_validation(self, ppl: float, step: int) -> None:
        """Hear of a validation after `step` steps, which may be the one from which on weights are averaged."""
        if self.trigger and self.start == math.inf and self.trigger.hears(ppl):
            self.begin_after(step)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take the weights as they are after `step` steps into the average."""
        if step <= self.start:
            return
        if not self.count:
            self.averages = [weight.clone() for weight in self.weights]
        else:
            torch._foreach_lerp_(self.averages, self.weights, self._share_of_new())
        self.count += 1

    @torch.no_grad()
    def install(self) -> None:
        """The weights become their averages, where there are some."""
        if self.averages:
            torch._foreach_copy_(self.weights, self.averages)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """The weights are their averages while this lasts, and afterwards exactly what they were."""
        before = [weight.detach().clone() for weight in self.weights] if self.averages else []
        self.install()
        try:
            yield
        finally:
            if before:
                with torch.no_grad():
                    torch._foreach_copy_(self.weights, before)

    def _share_of_new(self) -> float:
        if self.ema_decay is None:
            return 1.0 / (self.count + 1)
        return 1.0 - min(self.ema_decay, (1 + self.count) / (10 + self.count))


class NonMonotone:
    """Hears perplexities, one validation after the other, and tells when they no longer get better: one is worse than the best
    of all but the last `interval` ones before it (Merity et al. 2018, algorithm 1)."""

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self.heard: list[float] = []

    def hears(self, ppl: float) -> bool:
        earlier = self.heard[: -self.interval]
        self.heard.append(ppl)
        return bool(earlier) and ppl > min(earlier)
