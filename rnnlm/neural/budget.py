"""How much of a budget in steps, epochs or time is used."""

import time

from rnnlm.config import Budget


class BudgetClock:
    """Runs from its creation. `set_aside`: seconds of a time budget kept for what comes after the last step."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.set_aside = 0.0
        self.started_at = time.perf_counter()

    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.started_at

    def progress(self, step: int, epochs: float) -> float:
        """The share of the budget used after `step` steps, `epochs` of the text; 1 or more where it is spent."""
        if self.budget.steps:
            return step / self.budget.steps
        if self.budget.epochs:
            return epochs / self.budget.epochs
        return self.elapsed() / max(1e-3, self.budget.seconds - self.set_aside)
