"""Validation during training: when it is due, and the best weights so far."""

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from rnnlm.neural.fitting.budget import BudgetClock
from rnnlm.neural.fitting.contracts import Numbers, Validation, Verdict
from rnnlm.neural.fitting.settings import OptimizationSettings

COST_SHARE = 0.05  # of a time budget that validations may cost
# share of a time budget before the first one, but two minutes at most: it is also the first save
FIRST = 0.1
FIRST_SECONDS = 120


class BestWeights:
    """Those of the best validation so far. figure: what it found, called `name`; None before the
    first. step: after so many steps."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.cost = math.inf
        self.figure: float | None = None
        self.name = ""
        self.step = 0
        self.weights: dict[str, Tensor] = {}

    def observe(self, verdict: Verdict, step: int) -> bool:
        """Whether the weights as they are now are the best so far; then they are kept."""
        if not verdict.cost < self.cost:
            return False
        self.cost, self.figure, self.name, self.step = (
            verdict.cost,
            verdict.figure,
            verdict.name,
            step,
        )
        self.weights = {
            name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()
        }
        return True

    def restore(self) -> None:
        """The best weights, if there are any, go back into the network."""
        if self.weights:
            self.network.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        return {
            "cost": self.cost,
            "figure": self.figure,
            "name": self.name,
            "step": self.step,
            **self.weights,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Without weights, as of a run in compact form, the search for the best ones begins
        anew."""
        device = next(self.network.parameters()).device
        self.weights = {
            name: value.to(device) for name, value in state.items() if isinstance(value, Tensor)
        }
        self.cost, self.figure = (
            (state["cost"], state["figure"]) if self.weights else (math.inf, None)
        )
        self.name, self.step = state["name"], state["step"]


class ModelSelection(Numbers):
    """Validates when that is due, and ends a run whose validations find nothing better (early
    stopping).

    validation: None where there is nothing to validate on. step: of the last one; 0 before the
    first. improved: whether that was the best so far.
    """

    STATE = ("step", "without_improvement", "read_at", "cost")

    def __init__(
        self,
        validation: Validation | None,
        best: BestWeights,
        settings: OptimizationSettings,
        clock: BudgetClock,
    ) -> None:
        self.validation = validation
        self.best = best
        self.settings = settings
        self.clock = clock
        self.step = self.without_improvement = 0
        self.read_at = self.cost = 0.0
        self.improved = False

    def due(self, step: int, epochs: float) -> bool:
        """Whether to validate after `step` steps, `epochs` of the training text: every so many,
        every epoch, or, under a budget in time, as often as its cost allows."""
        if not self.outdated(step):
            return False
        if self.settings.validate_every_steps:
            return step % self.settings.validate_every_steps == 0
        if self.clock.budget.seconds is None:
            return epochs.is_integer()
        progress, elapsed = self.clock.progress(step, epochs), self.clock.elapsed()
        if not self.step:
            return progress >= FIRST or elapsed >= FIRST_SECONDS
        return elapsed - self.read_at >= self.cost / COST_SHARE and progress < 1 - COST_SHARE

    def outdated(self, step: int) -> bool:
        """Whether there is something to validate on, and it was not yet done after `step` steps."""
        return self.validation is not None and step > self.step

    def run(self, step: int, stop: Callable[[], bool]) -> Verdict | None:
        """Validate after `step` steps, and keep the weights if they are the best so far; None where
        `stop` cut it off: that leaves no trace."""
        began = self.clock.elapsed()
        verdict = None if self.validation is None else self.validation.run(stop)
        if verdict is None:
            return None
        self.improved = self.best.observe(verdict, step)
        self.without_improvement = 0 if self.improved else self.without_improvement + 1
        self.step, self.read_at = step, self.clock.elapsed()
        self.cost = self.read_at - began
        self.clock.set_aside = 1.1 * self.cost  # for the last one
        return verdict

    @property
    def is_hopeless(self) -> bool:
        """Whether early stopping is asked for, and its patience is over."""
        return (
            self.settings.patience is not None
            and self.without_improvement >= self.settings.patience
        )


# ---- Validations between those that choose the best weights: they give the learning curve enough
# points, and the run goes on as if there had been none. So steps, rates, early stopping, averages
# and the model that is kept are the same with and without them.

ALLOWED_SHARE = 0.1  # of the time that has passed: what they may take
# that they may take in any case, unless the budget is in time: short runs have all of theirs
ALLOWED_SECONDS = 60.0


class CurvePoints(Numbers):
    """When one is due: `min_validations` of them, evenly over the budget, unless validations come
    by steps, or often enough by themselves.

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
        """Whether to validate after `step` steps, `epochs` of the training text. The last
        validation is not one of these."""
        if not self.wanted or step <= self.step or self._is_often_enough(step, epochs):
            return False
        seconds = self.clock.elapsed()
        progress = self.clock.progress(step, epochs, seconds)
        is_passed = self._mark(progress, epochs) > self._mark(
            self.clock.progress(self.step, self.epochs, self.seconds), self.epochs
        )
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
            # what one costs is not found out at the budget's expense
            return cost > 0 and self.spent + cost <= ALLOWED_SHARE * seconds
        return self.spent + cost <= max(ALLOWED_SECONDS, ALLOWED_SHARE * seconds)

    def _is_often_enough(self, step: int, epochs: float) -> bool:
        """Whether the validations that choose are as many as are wanted: one an epoch, or under a
        budget in time by their cost."""
        budget = self.clock.budget
        if budget.seconds is not None:
            return 0 < self.selection.cost * self.wanted / COST_SHARE <= budget.seconds
        return epochs >= self.wanted * self.clock.progress(step, epochs)

    def _mark(self, progress: float, epochs: float) -> int:
        """How many of the places where one is due have been passed; they include the ends of epochs
        where the budget is in epochs."""
        budget_epochs = self.clock.budget.epochs
        share = (
            progress * self.wanted
            if budget_epochs is None
            else epochs * math.ceil(self.wanted / budget_epochs)
        )
        return math.floor(share + 1e-9)
