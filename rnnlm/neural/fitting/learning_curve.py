"""Validations between those that choose the best weights: they give the learning curve enough points, and the run goes on as if there
had been none. So steps, rates, early stopping, averages and the model that is kept are the same with and without them."""

import math
from collections.abc import Callable
from typing import Any

from rnnlm.neural.fitting.contracts import Numbers, Verdict
from rnnlm.neural.fitting.validation import COST_SHARE, ModelSelection

ALLOWED_SHARE = 0.1  # of the time that has passed: what they may take
ALLOWED_SECONDS = 60.0  # that they may take in any case, unless the budget is in time: short runs have all of theirs


class CurvePoints(Numbers):
    """When one is due: `min_validations` of them, evenly over the budget, unless validations come by steps, or often enough by themselves.

    step, epochs, seconds: of the last validation of either sort. spent: seconds taken.
    """

    STATE = ("step", "epochs", "seconds", "spent")

    def __init__(self, selection: ModelSelection) -> None:
        self.selection = selection
        self.clock = selection.clock
        settings = selection.settings
        asked = selection.validation is not None and not settings.validate_every_steps
        self.wanted = settings.min_validations if asked else 0
        self.step, self.epochs, self.seconds, self.spent = 0, 0.0, 0.0, 0.0
        self.cost = 0.0  # seconds that the last one took; 0 before the first

    def due(self, step: int, epochs: float) -> bool:
        """Whether to validate after `step` steps, `epochs` of the training text. The last validation is not one of these."""
        if not self.wanted or step <= self.step or self._is_often_enough(step, epochs):
            return False
        seconds = self.clock.elapsed()
        progress = self.clock.progress(step, epochs, seconds)
        is_passed = self._mark(progress, epochs) > self._mark(self.clock.progress(self.step, self.epochs, self.seconds), self.epochs)
        return is_passed and progress < 1 and self._is_affordable(seconds)

    def run(self, step: int, epochs: float, stop: Callable[[], bool]) -> Verdict | None:
        """Validate after `step` steps; None where `stop` cut it off, which leaves no trace."""
        began = self.clock.elapsed()
        verdict = self.selection.validation.run(stop) if self.selection.validation else None
        if verdict:
            self.observe(step, epochs)
            self.cost = self.seconds - began
            self.spent += self.cost
        return verdict

    def observe(self, step: int, epochs: float) -> None:
        """Take note of a validation of either sort."""
        self.step, self.epochs, self.seconds = step, epochs, self.clock.elapsed()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Checkpoints of before hold none."""
        super().load_state_dict({**self.state_dict(), **state})

    def _is_affordable(self, seconds: float) -> bool:
        """Whether another one after so many seconds would stay within what they may take."""
        cost = self.cost or self.selection.cost
        if self.clock.budget.seconds is not None:
            return cost > 0 and self.spent + cost <= ALLOWED_SHARE * seconds  # what one costs is not found out at the budget's expense
        return self.spent + cost <= max(ALLOWED_SECONDS, ALLOWED_SHARE * seconds)

    def _is_often_enough(self, step: int, epochs: float) -> bool:
        """Whether the validations that choose are as many as are wanted: one an epoch, or under a budget in time by their cost."""
        budget = self.clock.budget
        if budget.seconds is not None:
            return 0 < self.selection.cost * self.wanted / COST_SHARE <= budget.seconds
        return epochs >= self.wanted * self.clock.progress(step, epochs)

    def _mark(self, progress: float, epochs: float) -> int:
        """How many of the places where one is due have been passed; they include the ends of epochs where the budget is in epochs."""
        budget_epochs = self.clock.budget.epochs
        share = progress * self.wanted if budget_epochs is None else epochs * math.ceil(self.wanted / budget_epochs)
        return math.floor(share + 1e-9)
