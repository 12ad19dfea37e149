"""Validate during training: decide when, and on how much of the text; keep the best weights; notice
a run that diverges.

Every validation takes part in the choice of the best weights. Those that come by epochs, by
`validate_every_steps` or, under a budget in time, by their cost also steer the run: rates, averages
and early stopping follow them. Others lie between them, for the learning curve and the choice.

All of them together cost at most a tenth of training, and less of a budget in time from two minutes
on. How many there are, and on how much of the text, follows from tokens alone where the budget is
in steps or epochs: the same seed has to give the same weights, however fast the machine is.
"""

import math
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from rnnlm.errors import notice
from rnnlm.events import TrainingState
from rnnlm.lm.neural.layers.layers import LayeredNetwork
from rnnlm.lm.neural.training.contracts import (
    DivisibleValidation,
    StatefulAttributes,
    Validation,
    ValidationResult,
)
from rnnlm.lm.neural.training.settings import BudgetClock, OptimizationSettings

ALLOWED_SHARE = 0.1  # share of training that validations may cost, by steps or epochs
ALLOWED_SHARE_OF_TIME = 0.04  # share of a time budget that they may cost
STEERING_SHARE = 0.02  # share of a time budget that those which steer may cost
# A budget in time below this affords as much as one in steps, for a curve of enough points.
SHORT_SECONDS, FEWEST_IN_SHORT = 120, 8
# Share of a time budget before the first one, but two minutes at most: it is also the first save.
FIRST = 0.1
FIRST_SECONDS = 120
# The time of a pass over a token, relative to a training step over a token: 0.24 to 0.52 were
# measured; for losses on sampled words, of which a pass reads all, 3 with 17,000 and with 35,000
# words, 27 with 150,000.
PASS_COST, PASS_COST_SAMPLED, LARGE_VOCABULARY = 0.5, 4.0, 35_000
# A run that cannot afford this many validations on the whole text reads a part of it in each.
FEWEST = 10
GOOD_PART = 10_000  # tokens of that part, unless the ends of epochs alone cost too much
LEAST_PART = 1_000  # tokens that each validation reads at any cost
RATIONED_AT = 0.02  # share of the budget after which the part is chosen


def ration(text: int, affordable: int, ends: int, wanted: int) -> tuple[int, int]:
    """Return how many tokens each validation reads, and how many validations there can be.

    text: tokens of the validation text. affordable: tokens that validations may read in all. ends:
    validations that there are in any case. wanted: how many there should be.
    """
    required = max(ends, min(wanted, FEWEST))
    if required * text <= affordable:
        return text, affordable // max(1, text)
    # Rather a part of the text than too few validations, but not too small a part.
    part = min(text, max(affordable // required, min(GOOD_PART, affordable // ends), LEAST_PART))
    return part, max(ends, affordable // part)


def cost_of_pass(uniform_nats: float | None, is_exact: bool) -> float:
    """Return the time of a pass over a token, relative to a training step over one. uniform_nats:
    log V. is_exact: whether the loss reads the whole vocabulary, too."""
    if is_exact or uniform_nats is None:
        return PASS_COST
    return PASS_COST_SAMPLED * max(1.0, math.exp(uniform_nats) / LARGE_VOCABULARY)


class BestWeights:
    """The weights of the best validation so far. Of equal metrics the lower loss is better, and of
    equal losses the later one: an early tie is mostly luck.

    cost, loss: its verdict's order. metric: its value of the metric `name`; None before the first.
    step: the steps before it.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.cost, self.loss = math.inf, math.inf
        self.metric: float | None = None
        self.name = ""
        self.step = 0
        self.weights: dict[str, Tensor] = {}

    def observe(self, verdict: ValidationResult, step: int) -> bool:
        """Keep the weights as they are now if they are the best so far; return whether they are."""
        is_best = verdict.cost < math.inf and verdict.order <= [self.cost, self.loss]
        if not is_best:
            return False
        self.cost, self.loss = verdict.order
        self.metric = verdict.metric
        self.name = verdict.name
        self.step = step
        self.weights = {
            name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()
        }
        return True

    def restore(self) -> None:
        """Put the best weights, if there are any, back into the network."""
        if self.weights:
            self.network.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        return {
            "cost": self.cost,
            "loss": self.loss,
            "figure": self.metric,
            "name": self.name,
            "step": self.step,
            **self.weights,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a stored state. It has no weights where nothing was validated yet."""
        device = next(self.network.parameters()).device
        self.weights = {
            name: value.to(device) for name, value in state.items() if isinstance(value, Tensor)
        }
        self.name, self.step = state["name"], state["step"]
        if self.weights:
            self.cost, self.loss, self.metric = state["cost"], state["loss"], state["figure"]
        else:
            self.cost, self.loss, self.metric = math.inf, math.inf, None


class ModelSelection(StatefulAttributes):
    """The choice of the model: validations when they are due, the best weights, and the end of a
    run whose validations find nothing better (early stopping).

    validation: None if there is nothing to validate on. step: step of the last validation that
    steers; 0 before the first. improved: whether the last validation was the best so far. gained:
    whether the last one that steers was the best of those that do. least: the order of that best
    one. moved: whether the metric and the loss have had two values yet. tokens: number of tokens
    that each validation reads; 0 before it is decided. count: number of validations that can be
    afforded. pass_cost: as of :func:`cost_of_pass`.
    """

    STATE = (
        *("step", "without_improvement", "read_at", "cost", "spent", "tokens", "count"),
        *("least", "first", "moved"),
    )

    def __init__(
        self,
        validation: Validation | None,
        best: BestWeights,
        settings: OptimizationSettings,
        clock: BudgetClock,
        pass_cost: float,
    ) -> None:
        self.validation = self.whole = validation
        self.best = best
        self.settings = settings
        self.clock = clock
        self.pass_cost = pass_cost

        # The last validation that steers, and how many since the best of those.
        self.step = 0
        self.read_at = 0.0
        self.least = [math.inf, math.inf]
        self.without_improvement = 0
        self.gained = False

        # The order of the first validation of either sort, the last one, and the seconds of all.
        self.first: list[float] = []
        self.moved = [False, False]
        self.improved = False
        self.cost = 0.0
        self.spent = 0.0

        # The ration.
        self.tokens = 0
        self.count = 0

    @property
    def wanted(self) -> int:
        """How many validations there should be; 0 if they come by steps."""
        return 0 if self.settings.validate_every_steps else self.settings.min_validations

    @property
    def is_short(self) -> bool:
        """Whether the budget is a short time."""
        seconds = self.clock.budget.seconds
        return seconds is not None and seconds < SHORT_SECONDS

    @property
    def allowed_share(self) -> float:
        """The share of training that validations may cost."""
        is_time = self.clock.budget.seconds is not None
        return ALLOWED_SHARE_OF_TIME if is_time and not self.is_short else ALLOWED_SHARE

    @property
    def share(self) -> float:
        """The share of the validation text that each validation reads."""
        if not isinstance(self.whole, DivisibleValidation) or not isinstance(
            self.validation, DivisibleValidation
        ):
            return 1.0
        return self.validation.tokens / max(1, self.whole.tokens)

    def due(self, step: int, epochs: float) -> bool:
        """Return whether to validate after `step` steps, `epochs` of the training text: every
        `validate_every_steps` steps, every epoch, or, under a budget in time, as often as the cost
        of validations allows."""
        if not self.outdated(step):
            return False
        if self.settings.validate_every_steps:
            return step % self.settings.validate_every_steps == 0
        if self.clock.budget.seconds is None:
            return epochs.is_integer()
        progress, elapsed = self.clock.progress(step, epochs), self.clock.elapsed()
        if not self.step:
            return progress >= FIRST or elapsed >= FIRST_SECONDS
        is_apart = elapsed - self.read_at >= self.cost / STEERING_SHARE
        return is_apart and progress < 1 - STEERING_SHARE

    def outdated(self, step: int) -> bool:
        """Return whether there is something to validate on, and no validation that steers after
        `step` steps yet."""
        return self.validation is not None and step > self.step

    def ration(self, step: int, epochs: float, tokens: int) -> None:
        """Decide, once, how much each validation reads and how many there can be.

        Called after each of the first steps; `tokens` have been trained on so far. Validations that
        are asked for by steps read all of the text.
        """
        if self.tokens or not step or not isinstance(self.whole, DivisibleValidation):
            return
        if self.settings.validate_every_steps:
            return

        # Under a budget in time, decide at the first validation, else soon after the start.
        progress = self.clock.progress(step, epochs)
        is_time = self.clock.budget.seconds is not None
        decided_at = min(RATIONED_AT, 0.5 / max(1, self.wanted))
        if not self.due(step, epochs) and (is_time or progress < decided_at):
            return

        # The whole run reads tokens at the rate of the steps so far.
        in_all = tokens / min(1.0, progress)
        share = self.allowed_share
        affordable = int(share * in_all / (self.pass_cost * self.whole.passes))
        if is_time:
            ends = FEWEST_IN_SHORT if self.is_short else 2
            wanted = max(self.wanted, FEWEST)
        else:
            ends = max(1, math.ceil(epochs / min(1.0, progress) - 1e-6))
            wanted = self.wanted
        self.tokens, self.count = ration(self.whole.tokens, affordable, ends, wanted)
        self._take_part()
        self._tell_ration(share)

    def _tell_ration(self, share: float) -> None:
        """Give notice if there are fewer validations of the whole text than requested."""
        # The default number was not requested.
        is_requested = self.wanted != OptimizationSettings.min_validations
        is_fewer = self.count < self.wanted and self.clock.budget.seconds is None
        if is_requested and self.share == 1 and is_fewer:
            notice(
                f"there are at most {self.count:,} validations, not {self.wanted:,}, so that "
                f"together they take at most {share * 100:.0f} % of training"
            )

    def _take_part(self) -> None:
        """Read no more of the text than was decided."""
        self.validation = self.whole
        if isinstance(self.whole, DivisibleValidation) and 0 < self.tokens < self.whole.tokens:
            self.validation = self.whole.part(self.tokens)

    def run(
        self, step: int, stop: Callable[[], bool], steers: bool = True
    ) -> ValidationResult | None:
        """Validate after `step` steps, and keep the weights if they are the best so far. Return
        None if `stop` cut it off, which leaves no trace."""
        began = self.clock.elapsed()
        if self.validation is None:
            return None
        verdict = self.validation.run(stop)
        if verdict is None:
            return None
        ended = self.clock.elapsed()
        self.cost = ended - began
        self.spent += self.cost
        self.improved = self.best.observe(verdict, step)
        self.first = self.first or verdict.order
        for place, (before, now) in enumerate(zip(self.first, verdict.order, strict=True)):
            self.moved[place] |= before != now
        if not steers:
            return verdict

        # Only validations that steer count for patience. A metric that never moved cannot decide,
        # so the loss does. Once it has moved, a tie is no gain. The budget sets time aside for one
        # more of them at the end.
        has_moved = self.moved[0]
        self.gained = verdict.cost < self.least[0] if has_moved else verdict.order < self.least
        self.least = min(self.least, verdict.order)
        self.without_improvement = 0 if self.gained else self.without_improvement + 1
        self.step, self.read_at = step, ended
        self.clock.set_aside = 1.1 * self.cost
        return verdict

    def tell_stuck(self) -> None:
        """Give notice if the metric was the same at every validation, while the loss moved."""
        if self.moved == [False, True]:
            notice(
                f"the validation metric {self.best.name} was {self.best.metric:.4g} each time, so "
                "the loss chose the weights"
            )

    @property
    def is_hopeless(self) -> bool:
        """Whether early stopping is on, and its patience is exhausted."""
        patience = self.settings.patience
        return patience is not None and self.without_improvement >= patience

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a stored state."""
        super().load_state_dict(state)
        self._take_part()


# ---- Validations between those that steer: they give the learning curve enough points, and the
# choice more candidates. Otherwise the run continues as if there had been none; but a schedule that
# goes back to the best weights may go back to the weights of one of these.


class CurvePoints(StatefulAttributes):
    """The schedule of such validations: `min_validations` of them, evenly over the budget, unless
    validations come by steps, or often enough by themselves.

    step, epochs, seconds: when the last validation of either sort was.
    """

    STATE = ("step", "epochs", "seconds")

    def __init__(self, selection: ModelSelection) -> None:
        self.selection = selection
        self.clock = selection.clock
        self.step, self.epochs, self.seconds = 0, 0.0, 0.0

    def due(self, step: int, epochs: float) -> bool:
        """Return whether to validate after `step` steps, `epochs` of the training text. The last
        validation of a run is not one of these."""
        if not self.selection.wanted or not self.selection.outdated(max(step, 1)):
            return False
        if step <= self.step or self._is_often_enough(step, epochs):
            return False
        seconds = self.clock.elapsed()
        progress = self.clock.progress(step, epochs, seconds)
        last = self.clock.progress(self.step, self.epochs, self.seconds)
        is_passed = self._place(progress, epochs) > self._place(last, self.epochs)

        # Under a budget in time, its own cost and that of a mean step may end the run: the
        # validation of the end would be of the same weights.
        after_a_step = seconds + self.selection.cost + seconds / step
        is_last = self.clock.progress(step, epochs, after_a_step) >= 1
        return is_passed and not is_last and self._is_affordable(seconds)

    def observe(self, step: int, epochs: float) -> None:
        """Take note of a validation of either sort."""
        self.step, self.epochs, self.seconds = step, epochs, self.clock.elapsed()

    def _is_affordable(self, seconds: float) -> bool:
        """Return whether one more validation, `seconds` into the run, would keep all of them within
        their share of the time, if the budget is in time."""
        if self.clock.budget.seconds is None:
            return True
        cost, spent = self.selection.cost, self.selection.spent
        # The cost of one is known after the first that steers.
        return cost > 0 and spent + cost <= self.selection.allowed_share * seconds

    def _is_often_enough(self, step: int, epochs: float) -> bool:
        """Return whether the validations that steer are at least as many as are wanted. They come
        once an epoch, or under a budget in time by their cost."""
        budget, wanted = self.clock.budget, self.selection.wanted
        if budget.seconds is not None:
            return 0 < self.selection.cost * wanted / STEERING_SHARE <= budget.seconds
        return epochs >= wanted * self.clock.progress(step, epochs)

    def _place(self, progress: float, epochs: float) -> int:
        """Return how many of the places of the run at which a validation is due have been passed.
        With a budget in epochs, their ends are among these places."""
        wanted, budget = self.selection.wanted, self.clock.budget
        count = self.selection.count if self.selection.tokens else sys.maxsize

        # The same number of places in each epoch, and no more than can be afforded.
        if budget.epochs:
            in_epoch = math.ceil(wanted / budget.epochs)
            if in_epoch * budget.epochs > count:
                in_epoch = math.floor(count / budget.epochs)
            return math.floor(epochs * in_epoch + 1e-9)

        # The validations at the ends of epochs use a part of the validations that can be afforded.
        if budget.seconds is None and progress > 0:
            ends_of_epochs = math.ceil(epochs / progress - 1e-6) - 1
            wanted = min(wanted, max(0, count - ends_of_epochs))
        return math.floor(progress * wanted + 1e-9)


# ---- Runs that diverge: how it is noticed, and the last good state, to which they go back.

TELLING_TARGETS = 32  # fewer may all be rare: their loss alone is not judged

# Checks, and states to go back to, are counted in the work of steps, tokens times weights, so that
# the same seed gives the same weights however fast the machine is. A check costs little beside the
# work it waits for, so a network of slow steps is checked at each one. A state costs about as much
# as a step, to copy it and to try its weights, so a hundred steps lie between two. Networks of the
# quickest steps, of 2 ms, come to a check in half a second and a state in ten seconds.
CHECK_WORK, CHECK_STEPS = 1e10, (1, 250)  # a second of a CPU's core; steps at least, at most
KEEP_WORK, KEEP_STEPS = 2e11, (100, 5000)
ACCELERATION = 2000.0  # speed of another device, relative to a core


class WorkInterval(StatefulAttributes):
    """A schedule for something that happens at intervals of work, of `weights` times tokens, but
    after a number of steps within `steps` (least, most)."""

    STATE = ("step", "tokens")

    def __init__(self, weights: int, work: float, steps: tuple[int, int]) -> None:
        self.tokens_between = work / max(1, weights)
        self.least, self.most = steps
        self.step = self.tokens = 0  # when it was last done

    def due(self, step: int, tokens: int) -> bool:
        """Return whether it is due after `step` steps over `tokens` tokens."""
        steps = step - self.step
        is_enough_work = tokens - self.tokens >= self.tokens_between
        return steps >= self.most or (is_enough_work and steps >= self.least)

    def done(self, step: int, tokens: int) -> None:
        """Note that it was done, and count the next time from here."""
        self.step, self.tokens = step, tokens


def work_intervals(
    network: LayeredNetwork, device: torch.device
) -> tuple[WorkInterval, WorkInterval]:
    """Return when the training of `network` is checked, and when its state is kept."""
    # Word vectors of which a step reads some make no work, but take as long to check as others.
    sampled = network.sampled_vectors()
    weights = sum(weight.numel() for weight in network.parameters() if weight is not sampled)
    speed = 1.0 if device.type == "cpu" else ACCELERATION
    checking = WorkInterval(weights, CHECK_WORK * speed, CHECK_STEPS)
    return checking, WorkInterval(weights, KEEP_WORK * speed, KEEP_STEPS)


class Divergence(StatefulAttributes):
    """A judge of losses and norms, each the mean since the last check, and of the losses of
    validations.

    A run is lost if the loss, or the norm of the gradients or of the weights, is not a number, or
    if two losses in a row are above 2 log V + 5 nats and the second is no better. The same holds
    for the losses of validations, but for high ones on a text of unknown words. A uniform guess
    over V tokens has a loss of log V, so a model above that is confident of wrong tokens. At high
    rates, or after a start from large weights, this happens to sound runs, too, which soon get
    better; the 5 nats are for small V (V = 2 has 0.7). A run that ends with such a loss is lost as
    well: it will not get better.

    The loss of a step belongs to the weights before it. So weights to be kept are tried on a batch,
    too (:meth:`accepts`).

    uniform_nats: log V; None if it is unknown: then the only faults are losses and norms that are
    not numbers. is_exact: whether the loss is on that scale; on another one (sampled, NCE) the only
    fault of a loss is not to be a number. fault: the fault that was noticed first, in words; "" if
    there is none.
    """

    STATE = ("last_loss", "last_validation", "last_tried")

    def __init__(self, uniform_nats: float | None, is_exact: bool = True) -> None:
        self.uniform_nats = uniform_nats
        self.limit = math.inf if uniform_nats is None else 2 * uniform_nats + 5
        self.loss_limit = self.limit if is_exact else math.inf
        # Below any limit: the first loss alone is no fault.
        self.last_loss = self.last_validation = 0.0
        self.last_tried: list[float] = [0.0, 0]  # a loss, and the steps that its weights took
        self.fault = ""

    def observe(
        self, step: int, targets: int, loss_nats: float, gradient_norm: float, weight_norm: float
    ) -> bool:
        """Judge the steps since the last check, up to `step`, over some `targets`. Return whether
        they could be judged: too few targets wait for the targets of the next steps."""
        for what, number in (
            ("the loss", loss_nats),
            ("a gradient", gradient_norm),
            ("a weight", weight_norm),
        ):
            if not math.isfinite(number):
                self._lost(f"{what} is not a number by step {step}")
                return True
        if targets < TELLING_TARGETS:
            return False
        last = self.last_loss
        self.last_loss = loss_nats
        if loss_nats >= last > self.loss_limit:
            self._lost_above("the loss is", loss_nats, step)
        return True

    def observe_validation(self, verdict: ValidationResult, step: int) -> None:
        """Remember the loss of one more validation, and judge it if it tells something."""
        nats = verdict.loss_nats
        last = self.last_validation
        self.last_validation = nats
        if nats >= last > self.limit and (verdict.is_telling or nats == math.inf):
            self._lost_above("the validation text has", nats, step)

    def accepts(self, loss_nats: float, step: int, targets: int) -> bool:
        """Return whether the last check was good, and so is the exact loss of a batch of that
        many targets under the weights after `step` steps.

        The exact loss is judged like the losses of checks: this is how a run on noise words is
        found to be lost.
        """
        if targets < TELLING_TARGETS:
            return self.is_sound and math.isfinite(loss_nats)
        last_nats, last_step = self.last_tried
        self.last_tried = [loss_nats, step]
        if step > last_step and loss_nats >= last_nats > self.limit:
            self._lost_above("the loss is", loss_nats, step)
        return self.is_sound and loss_nats <= self.limit

    def end(self, loss_nats: float, step: int, targets: int) -> None:
        """Judge the exact loss of the last batch, of that many targets, under the weights that
        the run ends with, after the last check."""
        is_telling = self.last_loss > self.loss_limit or targets >= TELLING_TARGETS
        if not math.isfinite(loss_nats):
            self._lost(f"the loss is not a number after step {step}")
        elif loss_nats > self.limit and is_telling:
            self._lost_above("the loss is", loss_nats, step)

    def forget(self) -> None:
        """Forget the observations since an earlier state, from which the run continues."""
        self.last_tried = [0.0, 0]
        self.fault = ""

    @property
    def is_sound(self) -> bool:
        """Whether the last check was good."""
        return not self.fault and self.last_loss <= self.loss_limit

    def _lost_above(self, what: str, nats: float, step: int) -> None:
        self._lost(
            f"{what} {nats:.1f} nats per target by step {step}; a uniform guess has "
            f"{self.uniform_nats:.1f}"
        )

    def _lost(self, fault: str) -> None:
        """Keep the fault that was noticed first."""
        self.fault = self.fault or fault


class Rollbacks(StatefulAttributes):
    """The number of rollbacks so far, and the last good state.

    Each time the learning rate is multiplied by `rollback_factor`, for the rest of the run. The
    count continues in a resumed run: a run that fails again and again needs other settings. The
    state is in the host's memory, in each rank: weights, best weights and moments of the optimizer,
    so about four times the model's size.

    limit: how often the run may go back. good: the state. fault: the fault that led to the last
    rollback.
    """

    STATE = ("count",)

    def __init__(self, settings: OptimizationSettings) -> None:
        self.limit = settings.rollbacks
        self.factor = settings.rollback_factor
        self.count = 0
        self.good: TrainingState | None = None
        self.fault = ""

    @property
    def left(self) -> int:
        """How many more times the run may go back."""
        return max(0, self.limit - self.count)

    @property
    def rate_factor(self) -> float:
        """The factor of the learning rate."""
        return self.factor**self.count

    @property
    def step(self) -> int:
        """The step of the good state; 0 if there is none."""
        return self.good.facts["step"] if self.good else 0

    def __str__(self) -> str:
        """Return the end of a message about a fault: how often the run went back."""
        if not self.count:
            return ""
        times = "once" if self.count == 1 else f"{self.count} times"
        return f"; rolled back {times}, down to {self.rate_factor:g} of the learning rate"
