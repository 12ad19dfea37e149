"""Averages of the weights over steps: what is validated and saved, while training goes on with the weights themselves."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from rnnlm.neural.fitting.optimization_settings import OptimizationSettings


class Averaging:
    """One average of each weight, if `settings` ask for it:

    asgd: the mean of the weights after each step from `asgd_start` on (Polyak & Juditsky 1992), or from the first validation
    on that triggers it (NT-ASGD, Merity et al. 2018, algorithm 1);
    ema_decay: the exponential moving average, with the decay min(ema_decay, (1 + n) / (10 + n)) after n weights, so that
    the first ones are soon forgotten.

    start: steps before the first weights that are averaged.
    """

    def __init__(self, settings: OptimizationSettings, network: nn.Module) -> None:
        trained = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
        self.names, self.weights = list(trained), list[torch.Tensor](trained.values())
        self.ema_decay = settings.ema_decay
        self.trigger = NonMonotone(settings.nonmonotone_interval) if settings.nonmonotone_interval else None
        starts_at_once = settings.optimizer == "asgd" and not self.trigger
        self.begin_after(0 if self.ema_decay is not None else settings.asgd_start if starts_at_once else math.inf)

    def begin_after(self, step: float) -> None:
        """A new average, of the weights after each step beyond `step`."""
        self.start = step
        self.count = 0
        self.averages: list[torch.Tensor] = []

    def after_validation(self, cost: float, step: int) -> None:
        """Take note of a validation after `step` steps, which may be the one from which on weights are averaged."""
        if self.trigger and self.start == math.inf and self.trigger.observe(cost):
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

    def state_dict(self) -> dict[str, Any]:
        history = self.trigger.history if self.trigger else None
        return {"start": self.start, "count": self.count, "history": history, **dict(zip(self.names, self.averages, strict=False))}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """To be called when the weights are loaded: an average that is not in `state`, as of a run in compact form, goes on from them."""
        self.start, self.count = state["start"], state["count"]
        if self.trigger:
            self.trigger.history = list(state["history"])
        found = [state.get(name, weight) for name, weight in zip(self.names, self.weights, strict=True)] if self.count else []
        self.averages = [average.to(weight.device, copy=True) for average, weight in zip(found, self.weights, strict=False)]

    def _share_of_new(self) -> float:
        if self.ema_decay is None:
            return 1.0 / (self.count + 1)
        return 1.0 - min(self.ema_decay, (1 + self.count) / (10 + self.count))


class NonMonotone:
    """Observes the figures of one validation after the other, less being better, and tells when they no longer improve: one is worse than
    the best of all but the last `interval` before it (Merity et al. 2018, algorithm 1)."""

    def __init__(self, interval: int | None) -> None:
        self.interval = interval or 0
        self.history: list[float] = []

    def observe(self, cost: float) -> bool:
        earlier = self.history[: -self.interval]
        self.history.append(cost)
        return bool(earlier) and cost > min(earlier)


class FineTuning:
    """The second run of AWD-LSTM (Merity et al. 2018, section 5): from the best weights on, which may be averages, averaged from the
    first step.

    It begins at the first validation after the share `fine_tune_after` of the budget, if that is asked for, and is over by the rule that
    triggers NT-ASGD. trigger: observes the validations of the second run; None before it.
    """

    def __init__(self, settings: OptimizationSettings) -> None:
        self.settings = settings
        self.trigger: NonMonotone | None = None
        self.is_over = False

    def after_validation(self, progress: float, cost: float) -> bool:
        """Take note of a validation, `progress` of the budget used; whether the second run begins here."""
        if self.trigger is not None:
            self.is_over = self.trigger.observe(cost)
            return False
        if self.settings.fine_tune_after is None or progress < self.settings.fine_tune_after:
            return False
        self.trigger = NonMonotone(self.settings.nonmonotone_interval)
        return True

    def state_dict(self) -> dict[str, Any]:
        return {"is_over": self.is_over, "history": self.trigger and self.trigger.history}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.is_over, self.trigger = state["is_over"], None
        if state["history"] is not None:
            self.trigger = NonMonotone(self.settings.nonmonotone_interval)
            self.trigger.history = list(state["history"])
