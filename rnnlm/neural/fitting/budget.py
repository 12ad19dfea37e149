"""How much of a budget in steps, epochs or time is used, and when something is due that happens
every so often."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rnnlm.config import Budget

MOST_COST = 0.01  # share of the time that something done every so many seconds may take


class BudgetClock:
    """A clock that runs from its creation.

    set_aside: seconds of a time budget kept for what comes after the last step. now: a clock to go
    by, in seconds; None: this process's own.
    """

    def __init__(self, budget: Budget, now: Callable[[], float] | None = None) -> None:
        self.budget = budget
        self.set_aside = 0.0
        self.now = now or time.perf_counter
        self.started_at = self.now()

    def elapsed(self) -> float:
        """Return the seconds since the start."""
        return self.now() - self.started_at

    def progress(self, step: int, epochs: float, seconds: float | None = None) -> float:
        """Return the share of the budget used after `step` steps, `epochs` of the text, `seconds`
        (None: now); 1 or more if it is spent."""
        if self.budget.steps:
            return step / self.budget.steps
        if self.budget.epochs:
            return epochs / self.budget.epochs
        if seconds is None:
            seconds = self.elapsed()
        return seconds / max(1e-3, (self.budget.seconds or 0.0) - self.set_aside)

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.elapsed(), "set_aside": self.set_aside}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a stored state: a time budget counts from the start of the run."""
        self.started_at -= state["seconds"]
        self.set_aside = state["set_aside"]


@dataclass
class Interval:
    """When something is due: every so many steps; or every so many seconds, and then less often if
    it would take more than :data:`MOST_COST` of the time."""

    every: Budget
    step: int = 0
    seconds: float = 0.0  # when it was last done
    cost: float = 0.0  # seconds that took

    @classmethod
    def parse(cls, text: str) -> "Interval":
        return cls(Budget.parse(text))

    def begin(self, step: int, seconds: float) -> None:
        """Count the next time from here."""
        self.step, self.seconds = step, seconds

    def due(self, step: int, seconds: float, soon: bool = False) -> bool:
        """Return whether it is time, after `step` steps, `seconds` after the start. soon: if it
        goes by time, the first of all need not wait."""
        if self.every.steps:
            return step - self.step >= self.every.steps
        if soon and not self.step:
            return True
        wait = max(self.every.seconds or 0.0, self.cost / MOST_COST)
        return seconds - self.seconds >= wait

    def done(self, step: int, began: float, ended: float) -> None:
        """Note that it was done after `step` steps, from `began` to `ended`, seconds."""
        self.step = step
        self.seconds = ended
        self.cost = ended - began
