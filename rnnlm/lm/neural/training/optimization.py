"""Make optimizers by name, schedule the learning rate, average weights and clip gradients."""

import contextlib
import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from rnnlm.config import SCHEDULES
from rnnlm.errors import SettingsError
from rnnlm.lm.neural.layers.batch_norm import running_statistics
from rnnlm.lm.neural.layers.layers import LayeredNetwork
from rnnlm.lm.neural.training.contracts import StatefulAttributes
from rnnlm.lm.neural.training.rowwise import RowwiseAdamW
from rnnlm.lm.neural.training.settings import OptimizationSettings

# ---- Optimizers by name, the clipping of gradients, and penalties on the size of weights.

FUSED = {
    "sgd": ("cpu", "cuda"),
    "asgd": ("cpu", "cuda"),
    "adam": ("cpu", "cuda"),
    "adamw": ("cpu", "cuda"),
    "adagrad": ("cpu",),
}


def make_optimizer(
    settings: OptimizationSettings,
    network: LayeredNetwork,
    device: torch.device,
    is_recorded: bool = False,
    is_plain: bool = False,
) -> torch.optim.Optimizer:
    """Make the optimizer of `settings`, as one fused kernel where torch has it. Weight decay
    concerns matrices, not biases.

    is_recorded: whether its steps are recorded as CUDA graphs. Then it counts them on the device: a
    replay repeats the work of the device, not of the host. is_plain: whether one process takes a
    step at once. Then `adamw` may update rows of word vectors when the network reads them.

    `asgd` takes the steps of SGD; :class:`rnnlm.lm.neural.training.optimization.Averaging` averages
    the weights. (torch.optim.ASGD does both, but takes each step at the learning rate of the step
    before, and on CUDA the host waits for it.)
    """
    # What all optimizers share.
    name = settings.optimizer
    groups = list(_groups(settings, network))
    fused = {"fused": True} if device.type in FUSED.get(name, ()) else {}
    rate = settings.learning_rate
    if name in ("sgd", "asgd"):
        momentum = settings.momentum if name == "sgd" else 0.0
        return torch.optim.SGD(
            groups, lr=rate, momentum=momentum, nesterov=settings.nesterov, **fused
        )
    if name == "adagrad":
        return torch.optim.Adagrad(groups, lr=rate, **fused)
    if name == "rmsprop":
        return torch.optim.RMSprop(
            groups, lr=rate, alpha=settings.rms_decay, momentum=settings.momentum
        )

    # Adam and AdamW, one of which may leave rows of word vectors waiting.
    betas = settings.beta1, settings.beta2
    vectors_VE = _rowwise_vectors(settings, network, device) if is_plain else None
    if vectors_VE is not None:
        return RowwiseAdamW(groups, vectors_VE, lr=rate, betas=betas, **fused)
    kind = torch.optim.AdamW if name == "adamw" else torch.optim.Adam
    return kind(groups, lr=rate, betas=betas, capturable=is_recorded, **fused)


# Of a smaller vocabulary, a step reads so many rows that updating all takes no longer.
FEWEST_ROWS = 16_000


def _rowwise_vectors(
    settings: OptimizationSettings, network: LayeredNetwork, device: torch.device
) -> nn.Parameter | None:
    """Return the word vectors whose rows may wait for their updates until they are read.

    None if something needs all of them in each step, if the steps that a row misses would grow, if
    a GPU updates all in no time, or if a step reads many of them.
    """
    needs_all = (
        settings.l1 or settings.l2 or settings.ema_decay is not None or settings.varies_by_layer
    )
    is_growing = settings.beta1**2 >= settings.beta2  # the steps of a row without a gradient
    if needs_all or is_growing or settings.optimizer != "adamw" or device.type != "cpu":
        return None
    vectors_VE = network.sampled_vectors()
    if vectors_VE is None or len(vectors_VE) < FEWEST_ROWS:
        return None
    return vectors_VE if vectors_VE.requires_grad else None


def _groups(settings: OptimizationSettings, network: nn.Module) -> Iterator[dict[str, Any]]:
    """Yield the weights in groups: matrices, which decay, then biases and other vectors, which have
    a rate of their own.

    If layers learn at different rates, each depth has its two groups, the highest layer's first.
    """
    # Only networks whose settings have such rates have depths().
    depths = network.depths() if settings.varies_by_layer else {}  # type: ignore[operator]
    trained = [weight for weight in network.parameters() if weight.requires_grad]
    for depth in sorted({0, *depths.values()}):
        weights = [weight for weight in trained if depths.get(weight, 0) == depth]
        matrices = [weight for weight in weights if weight.dim() > 1]
        others = [weight for weight in weights if weight.dim() <= 1]
        yield _group(matrices, depth, own_factor=1.0, weight_decay=settings.weight_decay)
        yield _group(others, depth, own_factor=settings.bias_rate, weight_decay=0.0)


def _group(
    weights: list[nn.Parameter], depth: int, *, own_factor: float, weight_decay: float
) -> dict[str, Any]:
    """Return a group for the optimizer. Its learning rate is the run's times `factor`: the group's
    own factor, times that of its depth where layers learn at different rates."""
    return {
        "params": weights,
        "depth": depth,
        "own_factor": own_factor,
        "factor": own_factor,
        "weight_decay": weight_decay,
    }


def set_layer_factors(
    optimizer: torch.optim.Optimizer, settings: OptimizationSettings, epochs: float
) -> None:
    """Set the factor of each group's learning rate for the next step, `epochs` into the run."""
    if settings.varies_by_layer:
        for group in optimizer.param_groups:
            group["factor"] = group["own_factor"] * settings.rate_factor(group["depth"], epochs)


def drop_frozen_gradients(optimizer: torch.optim.Optimizer) -> None:
    """Drop the gradients of weights whose rate is zero: they count neither for clipping nor for the
    optimizer's state."""
    for group in optimizer.param_groups:
        if group["factor"] == 0:
            for parameter in group["params"]:
                parameter.grad = None


def gradient_norms(network: nn.Module) -> dict[nn.Parameter, Tensor]:
    """Return the norm of the gradient of each weight that has one, on their device."""
    gradients = _gradients_of(network.parameters())
    norms = torch._foreach_norm(list(gradients.values())) if gradients else ()
    return dict(zip(gradients, norms, strict=True))


def _gradients_of(weights: Iterable[nn.Parameter]) -> dict[nn.Parameter, Tensor]:
    """Return the gradient of each weight that has one; if only some rows do, theirs."""
    gradients = {weight: weight.grad for weight in weights if weight.grad is not None}
    return {w: grad.values() if grad.is_sparse else grad for w, grad in gradients.items()}


def clip_gradients(
    settings: OptimizationSettings,
    network: nn.Module,
    norms: dict[nn.Parameter, Tensor] | None = None,
) -> Tensor:
    """Clip gradients by value, then by global norm (Pascanu et al. 2013), if the settings say so.

    Return the global norm of the gradients before that. norms: as :func:`gradient_norms` gives
    them, if they are known.
    """
    if norms is None:
        norms = gradient_norms(network)

    # The global norm, and each gradient's values.
    every = torch.stack(list(norms.values())) if norms else torch.zeros(1)
    norm = norm_before = torch.linalg.vector_norm(every)
    gradients = list(_gradients_of(norms).values())
    if not gradients:
        return norm_before

    # By value, which changes the norm, then by norm.
    if settings.clip_value is not None:
        torch._foreach_clamp_min_(gradients, -settings.clip_value)
        torch._foreach_clamp_max_(gradients, settings.clip_value)
        if settings.clip_norm is not None:
            norm = nn.utils.get_total_norm(gradients)
    if settings.clip_norm is not None and not _is_within(norm, settings.clip_norm):
        torch._foreach_mul_(gradients, _clip_factor(norm, settings.clip_norm))
    return norm_before


def _clip_factor(norm: Tensor, clip_norm: float) -> Tensor:
    """Return the factor of all gradients, as torch's clip_grad_norm_ computes it."""
    return (clip_norm / (norm + 1e-6)).clamp(max=1.0)


def _is_within(norm: Tensor, clip_norm: float) -> bool:
    """Return whether that factor is exactly 1, as far as this is known without waiting for a
    device."""
    return norm.device.type == "cpu" and bool(_clip_factor(norm, clip_norm) == 1)


class Penalty:
    """A part of the loss, l1 |w|_1 + l2/2 |w|_2^2, added as its gradient: on all weight matrices
    (word vectors are some; biases are not) or on the recurrent ones (`weight_hh...`) alone.

    The loss that is reported stays the cross-entropy.
    """

    def __init__(self, settings: OptimizationSettings, network: nn.Module) -> None:
        self.l1, self.l2 = settings.l1, settings.l2
        self.weights: list[nn.Parameter] = []
        if not (self.l1 or self.l2):
            return
        for name, weight in network.named_parameters():
            is_recurrent = name.rpartition(".")[2].startswith("weight_hh")
            is_chosen = settings.penalised == "all" or is_recurrent
            if is_chosen and weight.dim() > 1 and weight.requires_grad:
                self.weights.append(weight)
        if not self.weights:
            raise SettingsError(
                "penalised = recurrent: this kind of model has no recurrent weights",
                hint="set penalised=all",
            )

    @torch.no_grad()
    def add_gradients(self) -> None:
        """Add l1 sign(w) + l2 w to the gradient of each penalised w (0 at w = 0), after the
        backward pass."""
        by_weight = _gradients_of(self.weights)
        weights: list[Tensor] = list(by_weight)
        gradients = list(by_weight.values())
        if weights and self.l2:
            torch._foreach_add_(gradients, weights, alpha=self.l2)
        if weights and self.l1:
            torch._foreach_add_(gradients, torch._foreach_sign(weights), alpha=self.l1)


# ---- The learning rate: over the budget, over epochs, or by the results of validations.

_MOST_NATS = 100.0  # beyond it a perplexity is more than a number can hold


class LearningRate(StatefulAttributes):
    """The learning rate: warm-up over a share of the budget, then a schedule.

    constant: the peak rate.
    cosine, linear: down to `final_rate` of it over the budget.
    step: constant for `decay_after_epochs`, then times `decay_factor` every `decay_every_epochs`
        (Zaremba et al. 2014, section 4.1).
    plateau: times `plateau_factor` after more than `plateau_patience` validations without
        improvement. An improvement is a new best validation or, with `plateau_gain`, a perplexity
        lower by that much than in the validation before (Kim et al. 2016, section 4.2, with 1).
    halving: constant up to the first validation that improves too little, then half at it and at
        every later one. The second one that improves too little ends the run (Mikolov's rnnlm
        toolkit, `trainNet`).
    """

    STATE = ("factor", "bad_validations", "last_nats", "is_halving", "is_used_up")

    def __init__(self, settings: OptimizationSettings) -> None:
        self.settings = settings
        self.factor = 1.0  # the rate that validations led to
        self.bad_validations = 0
        self.last_nats = math.inf
        self.is_halving = False
        self.is_used_up = False  # training at lower rates would gain nothing

    def at(self, progress: float, epochs: float = 0.0) -> float:
        """Return the rate when `progress` (0 to 1) of the budget is used and `epochs` are done."""
        share = self._share(min(max(progress, 0.0), 1.0), epochs)
        return self.settings.learning_rate * self.factor * share

    def after_validation(self, loss_nats: float, improved: bool) -> bool:
        """Take note of a validation: its loss, and whether it is the best so far. Return whether
        the weights should go back to the best ones."""
        if self.settings.schedule == "halving":
            self._halve(loss_nats)
            return not improved
        if self.settings.schedule == "plateau":
            is_lowered = self._lower_on_plateau(self._has_gained(loss_nats, improved))
            return is_lowered and self.settings.return_to_best
        return False

    def _halve(self, nats: float) -> None:
        """Halve the rate if `nats`, minus the mean log-likelihood, improves too little, or has
        done so before.

        It improves enough if `nats * min_improvement` is no more than the nats of the validation
        before, whether or not that was the best one, as in Mikolov's toolkit.
        """
        if nats * self.settings.min_improvement > self.last_nats:
            self.is_used_up = self.is_halving
            self.is_halving = True
        if self.is_halving:
            self.factor /= 2
        self.last_nats = nats

    def _has_gained(self, nats: float, improved: bool) -> bool:
        """Return whether a validation counts as an improvement."""
        if not self.settings.plateau_gain:
            return improved
        last_ppl = math.exp(min(self.last_nats, _MOST_NATS))
        ppl = math.exp(min(nats, _MOST_NATS))
        self.last_nats = nats
        return last_ppl - ppl > self.settings.plateau_gain

    def _lower_on_plateau(self, improved: bool) -> bool:
        """Count validations without improvement, and lower the rate after too many; return whether
        it was lowered."""
        self.bad_validations = 0 if improved else self.bad_validations + 1
        if self.bad_validations <= self.settings.plateau_patience:
            return False
        self.factor *= self.settings.plateau_factor
        self.bad_validations = 0
        return True

    def _share(self, progress: float, epochs: float) -> float:
        """Return the share of the peak rate that warm-up and schedule leave."""
        settings = self.settings
        if progress < settings.warmup:
            return max(progress / settings.warmup, 0.01)
        if settings.schedule == "step":
            beyond = int(epochs) - settings.decay_after_epochs
            return settings.decay_factor ** max(0, beyond // settings.decay_every_epochs + 1)
        left = SCHEDULES[settings.schedule].left
        if left is None:
            return 1.0
        used = (progress - settings.warmup) / (1.0 - settings.warmup)
        return settings.final_rate + (1.0 - settings.final_rate) * left(used)


# ---- Averages of the weights over steps: these are validated and saved, while training continues
# with the weights themselves.


class Averaging:
    """One average of each weight, if `settings` ask for it.

    asgd: the mean of the weights after each step from `asgd_start` on (Polyak & Juditsky 1992), or
    from the first validation on that triggers it (NT-ASGD, Merity et al. 2018, algorithm 1).
    ema_decay: the exponential moving average, with the decay min(ema_decay, (1 + n) / (10 + n))
    after n weights, so that the first ones are soon forgotten.

    start: the average is of the weights after each step beyond this one; infinite: of none yet.
    """

    def __init__(self, settings: OptimizationSettings, network: nn.Module) -> None:
        # The statistics of batch normalisation belong to the weights of the same steps.
        trained = {name: w for name, w in network.named_parameters() if w.requires_grad}
        averaged: dict[str, Tensor] = {**trained, **running_statistics(network)}
        self.names, self.weights = list(averaged), list(averaged.values())

        # Averaging begins at once, after some steps, when a validation triggers it, or never.
        self.ema_decay = settings.ema_decay
        interval = settings.nonmonotone_interval
        self.trigger = NonMonotone(interval) if interval else None
        if self.ema_decay is not None:
            self.begin_after(0)
        elif settings.optimizer == "asgd" and not self.trigger:
            self.begin_after(settings.asgd_start)
        else:
            self.begin_after(math.inf)

    def begin_after(self, step: float) -> None:
        """Start a new average, of the weights after each step beyond `step`."""
        self.start = step
        self.count = 0
        self.averages: list[Tensor] = []

    def after_validation(self, order: list[float], step: int) -> None:
        """Take note of a validation after `step` steps; averaging begins after the one that
        triggers it."""
        if self.trigger and self.start == math.inf and self.trigger.observe(order):
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
        """Replace the weights by their averages, if there are some."""
        if self.averages:
            torch._foreach_copy_(self.weights, self.averages)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Replace the weights by their averages in this context, and restore them exactly
        afterwards."""
        before = [weight.detach().clone() for weight in self.weights] if self.averages else []
        self.install()
        try:
            yield
        finally:
            if before:
                with torch.no_grad():
                    torch._foreach_copy_(self.weights, before)

    def state_dict(self) -> dict[str, Any]:
        history = self.trigger and self.trigger.history
        averages = zip(self.names, self.averages, strict=True) if self.averages else ()
        return {"start": self.start, "count": self.count, "history": history, **dict(averages)}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a stored state."""
        self.start, self.count = state["start"], state["count"]
        if self.trigger:
            self.trigger.history = list(state["history"])
        averaged = zip(self.names, self.weights, strict=True) if self.count else ()
        self.averages = [state[name].to(weight.device, copy=True) for name, weight in averaged]

    def _share_of_new(self) -> float:
        """Return how much the weights of this step count in the average."""
        if self.ema_decay is None:
            return 1.0 / (self.count + 1)
        return 1.0 - min(self.ema_decay, (1 + self.count) / (10 + self.count))


class NonMonotone:
    """A test for validations that no longer improve: one is worse than the best of those more than
    `interval` before it (Merity et al. 2018, algorithm 1)."""

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self.history: list[list[float]] = []

    def observe(self, order: list[float]) -> bool:
        """Take note of the order of a validation's verdict; return whether they no longer
        improve."""
        earlier = self.history[: -self.interval]
        self.history.append(order)
        return bool(earlier) and order > min(earlier)


class FineTuning:
    """The second run of AWD-LSTM (Merity et al. 2018, section 5): from the best weights on, which
    may be averages, averaged from the first step.

    It begins at the first validation after the share `fine_tune_after` of the budget, if that is
    asked for, and is over by the rule that triggers NT-ASGD. trigger: that rule for the validations
    of the second run; None before it.
    """

    def __init__(self, settings: OptimizationSettings) -> None:
        self.settings = settings
        self.trigger: NonMonotone | None = None
        self.is_over = False

    def after_validation(self, progress: float, order: list[float]) -> bool:
        """Take note of a validation, `progress` of the budget used; return whether the second run
        begins here."""
        if self.trigger is not None:
            self.is_over = self.trigger.observe(order)
            return False
        if self.settings.fine_tune_after is None or progress < self.settings.fine_tune_after:
            return False
        self.trigger = self._new_trigger()
        return True

    def _new_trigger(self) -> NonMonotone:
        interval = self.settings.nonmonotone_interval
        assert interval is not None  # settings with fine_tune_after must have it
        return NonMonotone(interval)

    def state_dict(self) -> dict[str, Any]:
        return {"is_over": self.is_over, "history": self.trigger and self.trigger.history}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.is_over = state["is_over"]
        self.trigger = None
        if state["history"] is not None:
            self.trigger = self._new_trigger()
            self.trigger.history = list(state["history"])
