"""Runs that diverge: how it is noticed, and the last good state, to which they go back."""

import math

from rnnlm.config import Budget
from rnnlm.events import Step, TrainingState
from rnnlm.neural.fitting.budget import Interval
from rnnlm.neural.fitting.contracts import Numbers
from rnnlm.neural.fitting.settings import OptimizationSettings

GOOD_STATE_SECONDS = 10.0
TELLING_TOKENS = 32  # of a single window: fewer may all be rare


class Divergence(Numbers):
    """A judge of reported figures and of what validations find.

    A run is lost if the loss, a gradient or a weight is not a number (nor the norm of all), or if
    two losses in a row are above 2 log V + 5 nats and the second is no better. The same holds for
    validations. A uniform guess over V tokens has log V, so a model above it is confident in what
    is wrong. At high rates, or at a start from large weights, that happens to sound runs, which
    soon get better; the 5 nats are for small V (V = 2 has 0.7). A run that ends there, too, is
    lost: nothing better will come.

    A loss is that of the weights before its step; so weights that are to be kept are tried on a
    batch, too (:meth:`accepts`).

    uniform_nats: log V; None where that is unknown: then only what is not a number is a fault.
    is_exact: whether the loss is on that scale; on another one (sampled, NCE) only a loss that is
    not a number is a fault. fault: what was noticed, in words; "" as long as all is well.
    """

    STATE = ("last_loss", "last_validation")

    def __init__(self, uniform_nats: float | None, is_exact: bool = True) -> None:
        self.uniform_nats = uniform_nats
        self.limit = math.inf if uniform_nats is None else 2 * uniform_nats + 5
        self.loss_limit = self.limit if is_exact else math.inf
        self.last_loss = math.inf
        self.last_validation = 0.0  # none yet, which is not a bad one
        self.last_tried = (0.0, 0)  # a loss, and the steps that its weights took
        self.fault = ""

    def observe(self, report: Step) -> None:
        """Judge one more report."""
        loss, last = report.loss_nats, self.last_loss
        self.last_loss = loss
        if not math.isfinite(loss):
            self._lost(f"the loss is not a number by step {report.step}")
        elif not math.isfinite(report.gradient_norm):
            self._lost(f"a gradient is not a number by step {report.step}")
        elif not math.isfinite(report.weight_norm):
            self._lost(f"a weight is not a number by step {report.step}")
        elif loss >= last > self.loss_limit:
            self._lost_above("the loss is", loss, report.step)

    def observe_validation(self, nats: float, step: int) -> None:
        """Judge one more loss of the validation text, infinite where it is not a number."""
        last = self.last_validation
        self.last_validation = nats
        if nats >= last > self.limit:
            self._lost_above("the validation text has", nats, step)

    def accepts(self, loss_nats: float, step: int) -> bool:
        """Return whether the last report was good, and so is the exact loss of a batch under the
        weights after `step` steps.

        The exact loss is judged as reported ones are: this is how a run on noise words is found to
        be lost.
        """
        last_nats, last_step = self.last_tried
        self.last_tried = (loss_nats, step)
        if step > last_step and loss_nats >= last_nats > self.limit:
            self._lost_above("the loss is", loss_nats, step)
        return self.is_sound and loss_nats <= self.limit

    def end(self, loss_nats: float, step: int, tokens: int) -> None:
        """Judge the exact loss of the last batch, of `tokens` targets, under the weights that the
        run ends with, after the last report."""
        is_telling = self.last_loss > self.loss_limit or tokens >= TELLING_TOKENS
        if not math.isfinite(loss_nats):
            self._lost(f"the loss is not a number after step {step}")
        elif loss_nats > self.limit and is_telling:
            self._lost_above("the loss is", loss_nats, step)

    def forget(self) -> None:
        """Forget what was noticed since an earlier state, from which the run goes on."""
        self.last_tried = (0.0, 0)
        self.fault = ""

    @property
    def is_sound(self) -> bool:
        """Whether the last report was good."""
        return not self.fault and self.last_loss <= self.loss_limit

    def _lost_above(self, what: str, nats: float, step: int) -> None:
        self._lost(
            f"{what} {nats:.1f} nats per token by step {step}; a uniform guess has "
            f"{self.uniform_nats:.1f}"
        )

    def _lost(self, fault: str) -> None:
        """Keep the fault that was noticed first."""
        self.fault = self.fault or fault


class Rollbacks(Numbers):
    """How often the run went back to its last good state, and that state.

    Each time the learning rate is multiplied by `rollback_factor`, for the rest of the run. The
    count goes on in a run that is resumed: what fails again and again needs other settings. The
    state is in the host's memory, in each rank: one checkpoint (weights, best weights, moments of
    the optimizer), so about four times the model's size.

    limit: how often the run may go back. good: the state. interval: when the next one is due.
    fault: that of the last rollback.
    """

    STATE = ("count",)

    def __init__(self, settings: OptimizationSettings) -> None:
        self.limit = settings.rollbacks
        self.factor = settings.rollback_factor
        self.count = 0
        self.good: TrainingState | None = None
        self.interval = Interval(Budget(seconds=GOOD_STATE_SECONDS))
        self.fault = ""

    @property
    def left(self) -> int:
        """How many more times the run may go back."""
        return max(0, self.limit - self.count)

    @property
    def rate_factor(self) -> float:
        """What the learning rate is multiplied by."""
        return self.factor**self.count

    @property
    def step(self) -> int:
        """The step of the good state; 0 if there is none."""
        return self.good.facts["step"] if self.good else 0

    def __str__(self) -> str:
        """Say what was tried, to be read after what went wrong."""
        if not self.count:
            return ""
        times = "once" if self.count == 1 else f"{self.count} times"
        return f"; gone back {times}, to {self.rate_factor:g} of the learning rate"
