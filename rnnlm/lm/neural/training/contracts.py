"""The parts that the trainer needs: a source of batches, an objective, a validation. It knows no
task beyond these three.

Shapes: rows (B) are dimension 1 of every tensor of a batch and of a carry, so that ranks and
accumulation can divide them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from rnnlm.lm.neural.layers.layers import LayeredNetwork

# State that one batch leaves to the next, (places, B, width); zeros where a row begins; () if
# nothing is carried.
Carry = tuple[Tensor, ...]


@dataclass(frozen=True)
class Batch:
    """The batch of one training step. Under several ranks, `tensors` are of this rank's rows alone.

    tensors: the objective's input, on the device. count_B: the number of targets of each row of all
    ranks. share: this rank's rows among them. fresh: (1, B, 1), which rows start from the initial
    state, on the device; None if none does. rate_factor: multiplies the learning rate in this step.
    """

    tensors: tuple[Tensor, ...]
    count_B: np.ndarray
    share: slice
    fresh: Tensor | None = None
    rate_factor: float = 1.0

    @property
    def count(self) -> int:
        """Targets of all rows of all ranks."""
        return int(self.count_B.sum())


class Loss(NamedTuple):
    """The loss of a batch.

    mean_nats: a mean over the targets of the tensors; with the batch's counts it makes a sum, so
    that ranks, accumulation and rows of unequal length weigh right. penalty: minimised beside it, a
    mean over all cells. carry: for the next batch.
    """

    mean_nats: Tensor
    penalty: Tensor | float
    carry: Carry


@dataclass(frozen=True)
class ValidationResult:
    """The result of a validation.

    loss_nats: mean per target, infinite where it is not a number. metric: the value of the metric
    `name`, by which the best weights are chosen. is_share: it is a share of 1. metrics: other
    metrics by name. is_telling: whether a high loss tells that the run has diverged, and not that
    the text has many words that the model does not know.
    """

    loss_nats: float
    metric: float
    name: str
    higher_is_better: bool = False
    is_share: bool = False
    metrics: dict[str, float] = field(default_factory=dict)
    is_telling: bool = True

    @property
    def cost(self) -> float:
        """The metric, negated if higher is better: less is better."""
        return -self.metric if self.higher_is_better else self.metric

    @property
    def order(self) -> list[float]:
        """The numbers that validations are ranked by, less being better: of equal metrics, the loss
        decides."""
        return [self.cost, self.loss_nats]


class Stateful(Protocol):
    """State that a run carries from step to step: numbers, lists of numbers and tensors, by
    name."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> object: ...


class StatefulAttributes:
    """A :class:`Stateful` that carries the attributes named in STATE."""

    STATE: ClassVar[tuple[str, ...]] = ()

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.STATE}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in self.STATE:
            setattr(self, name, state[name])


class BatchSource(Stateful, Protocol):
    """Batches without end; each rank gets its share of one global batch. Its state records the
    batches that :meth:`next` has returned.

    tokens, epochs: numbers read so far. rows: of all ranks. seed: seed of random draws.
    """

    tokens: int
    epochs: float
    rows: int
    seed: int

    def next(self, progress: float = 0.0) -> Batch:
        """Return the next batch, when such a share of the run's budget is used. Its rows may be
        fewer than those of the batch before; then all begin with the initial state."""
        ...


class Objective(Protocol):
    """The loss that is minimised, and the model that is trained.

    uniform_nats: the cost of a blind guess, to notice divergence; None if it is unknown. is_exact:
    whether the loss is on that scale; sampled losses are not.
    """

    @property
    def network(self) -> LayeredNetwork: ...

    @property
    def uniform_nats(self) -> float | None: ...

    @property
    def is_exact(self) -> bool: ...

    def initial_carry(self, rows: int) -> Carry: ...

    def loss(self, tensors: tuple[Tensor, ...], carry: Carry) -> Loss: ...

    def exact_nats(self, tensors: tuple[Tensor, ...], carry: Carry) -> float:
        """Return the sum over the targets, under the weights as they are, without dropout or
        sampling. Waits for the device."""

    def weights_changed(self) -> None:
        """Derive the values that follow from the weights; called after weights were loaded."""

    def model(self) -> Any:
        """Return a view of the network as a model, which can be saved."""


class Validation(Protocol):
    """A measurement of the model on data that it is not trained on."""

    def run(self, stop: Callable[[], bool]) -> ValidationResult | None:
        """Measure the model; return None if `stop`, asked again and again, cut that off."""


@runtime_checkable
class DivisibleValidation(Protocol):
    """A Validation that can read a part of its data.

    tokens: how many it reads. passes: how often it goes over each; decoding counts as several.
    """

    tokens: int
    passes: float

    def part(self, tokens: int) -> Validation:
        """Return a validation on about that many tokens, spread evenly over the data."""
