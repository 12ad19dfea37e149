"""Runs that diverge: how that is noticed, and the last good state, to which they go back."""

import math

from rnnlm.config import Budget
from rnnlm.events import Step, TrainingState
from rnnlm.neural.fitting.budget import Interval
from rnnlm.neural.fitting.contracts import Numbers
from rnnlm.neural.fitting.settings import OptimizationSettings

GOOD_STATE_SECONDS = 10.0
TELLING_TOKENS = 32  # of a single window: fewer may all be rare


class Divergence(Numbers):
    """Judges the figures that are reported, and what validations find.

    A run is lost where the loss, a gradient or a weight is no number (nor the norm of all), or
    where two losses in a row are above 2 log V + 5 nats and the second is no better; so with
    validations. A uniform guess over V tokens has log V, so a model above it is confident in what
    is wrong. At high rates, or at a start from large weights, that happens to sound runs, which
    soon get better; the 5 nats are for small V (V = 2 has 0.7). A run that ends there, too, is
    lost: nothing better will come.

    Losses are of the weights before a step; so weights that are to be kept are tried on a batch,
    too (:meth:`accepts`).

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
        self.last_tried, self.fault = (0.0, 0), ""

    def observe(self, report: Step) -> None:
        """Judge one more report."""
        loss, last, self.last_loss = report.loss_nats, self.last_loss, report.loss_nats
        figures = {
            "the loss": loss,
            "a gradient": report.gradient_norm,
            "a weight": report.weight_norm,
        }
        broken = [what for what, figure in figures.items() if not math.isfinite(figure)]
        if broken:
            self._lost(f"{broken[0]} is not a number by step {report.step}")
        elif loss >= last > self.loss_limit:
            self._lost_above("the loss is", loss, report.step)

    def observe_validation(self, nats: float, step: int) -> None:
        """Judge one more loss of the validation text, infinite where it is not a number."""
        last, self.last_validation = self.last_validation, nats
        if nats >= last > self.limit:
            self._lost_above("the validation text has", nats, step)

    def accepts(self, loss_nats: float, step: int) -> bool:
        """Whether the last report was good, and so is the exact loss of a batch under the
        weights after `step` steps. Judged as reports are: this is how a run on noise words is
        found lost."""
        last, self.last_tried = self.last_tried, (loss_nats, step)
        if step > last[1] and loss_nats >= last[0] > self.limit:
            self._lost_above("the loss is", loss_nats, step)
        return self.is_sound and loss_nats <= self.limit

    def end(self, loss_nats: float, step: int, tokens: int) -> None:
        """Judge the exact loss of the last batch, of `tokens` targets, under the weights that the
        run ends with, after the last report."""
        if not math.isfinite(loss_nats):
            self._lost(f"the loss is not a number after step {step}")
        elif loss_nats > self.limit and (
            self.last_loss > self.loss_limit or tokens >= TELLING_TOKENS
        ):
            self._lost_above("the loss is", loss_nats, step)

    def forget(self) -> None:
        """The run goes on from an earlier state: what was noticed since is void."""
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
        """What was noticed first stays."""
        self.fault = self.fault or fault


class Rollbacks(Numbers):
    """How often the run went back to its last good state, and that state.

    Each time the learning rate is multiplied by `rollback_factor`, for the rest of the run. The
    count goes on in a run that is resumed: what fails again and again needs other settings. The
    state is in the host's memory, of each rank: one checkpoint (weights, best weights, moments of
    the optimizer), so four times the model's size or so.

    limit: how often that may happen. good: the state. interval: when the next one is due. fault:
    that of the last rollback.
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
        """How many more may follow."""
        return max(0, self.limit - self.count)

    @property
    def rate_factor(self) -> float:
        return self.factor**self.count

    @property
    def step(self) -> int:
        """Of the good state; 0 where there is none."""
        return self.good.facts["step"] if self.good else 0

    def __str__(self) -> str:
        """What was tried, to be read after what went wrong."""
        if not self.count:
            return ""
        times = "once" if self.count == 1 else f"{self.count} times"
        return f"; gone back {times}, to {self.rate_factor:g} of the learning rate"
