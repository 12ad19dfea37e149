"""The gradients of a model's training loss beside difference quotients, for weights drawn from each
of its matrices."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from rnnlm.errors import UsageError
from rnnlm.evaluation import plotting
from rnnlm.inspection.common import Model, Subject, Table, plain, subjects
from rnnlm.interface import Device
from rnnlm.models import registry
from rnnlm.models.loading import SHIPPED

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# ---- Gradients beside difference quotients: (f(w + h) - f(w - h)) / 2h, weight by weight.

TOLERANCE = 1e-5  # a relative difference up to this is the quotient's own error
# gradients below this are compared as if they were as large: a quotient is right to about 1e-10,
# however small it is
FLOOR = 1e-4


@dataclass(frozen=True)
class CheckedWeight:
    """One weight w of a matrix, f at w + h and at w - h, and what the backward pass says."""

    index: tuple[int, ...]
    weight: float
    step: float
    above: float
    below: float
    gradient: float

    @property
    def quotient(self) -> float:
        """(f(w + h) - f(w - h)) / 2h."""
        return (self.above - self.below) / (2 * self.step)

    @property
    def difference(self) -> float:
        """|gradient - quotient|, relative to the greater of both, or to FLOOR where both are
        smaller."""
        return abs(self.gradient - self.quotient) / max(
            abs(self.gradient), abs(self.quotient), FLOOR
        )

    def agrees(self) -> bool:
        """Whether gradient and quotient are equal but for the quotient's own error."""
        return self.difference <= TOLERANCE  # not so of nan

    def to_dict(self) -> dict[str, Any]:
        """Its numbers by name."""
        return {
            "index": list(self.index), "weight": self.weight, "step": self.step,
            "above": self.above, "below": self.below,
            "quotient": self.quotient, "gradient": self.gradient, "difference": self.difference,
        }  # fmt: skip


@dataclass(frozen=True)
class CheckedMatrix:
    """The weights that were drawn from one matrix (or vector) of weights."""

    name: str
    shape: tuple[int, ...]
    weights: tuple[CheckedWeight, ...]

    @property
    def worst(self) -> CheckedWeight:
        """The one whose gradient differs most from its quotient."""
        return max(self.weights, key=lambda each: (not each.agrees(), each.difference))

    @property
    def zeros(self) -> int:
        """How many of them have a gradient of exactly zero."""
        return sum(each.gradient == 0 for each in self.weights)

    @property
    def largest(self) -> CheckedWeight:
        """The one whose gradient is the largest."""
        return max(self.weights, key=lambda each: abs(each.gradient))

    def label(self, weight: CheckedWeight) -> str:
        """Matrix and place of one of the weights."""
        return f"{self.name}[{', '.join(map(str, weight.index))}]"

    def to_dict(self) -> dict[str, Any]:
        """The matrix and its weights."""
        return {
            "name": self.name, "shape": list(self.shape), "zero_gradients": self.zeros,
            "largest_difference": self.worst.difference,
            "weights": [each.to_dict() for each in self.weights],
        }  # fmt: skip


def check(
    network: nn.Module,
    loss: Callable[[], Tensor],
    draw: int,
    step: float,
    random: np.random.Generator,
) -> Iterator[CheckedMatrix]:
    """Each matrix of `network` with `draw` of its weights, or all where it has no more: the one
    with the largest gradient, others whose gradient is not zero for half of them, as far as there
    are such, and any others.

    loss: f, the same each time that it is called with the same weights; float64. step: h. A
    quotient that differs from the gradient is taken again with h / 10, which is kept if it agrees:
    f has corners (ReLU), and across one the quotient is wrong.
    """
    parameters = dict(network.named_parameters())
    found = torch.autograd.grad(loss(), list(parameters.values()), allow_unused=True)
    for (name, parameter), gradient in zip(parameters.items(), found, strict=True):
        gradient_N = (
            (torch.zeros_like(parameter) if gradient is None else gradient).flatten().cpu().numpy()
        )
        checked = []
        for place in _drawn(gradient_N, draw, random):
            made = _quotient(loss, parameter, place, step, float(gradient_N[place]))
            if not made.agrees():
                closer = _quotient(loss, parameter, place, step / 10, made.gradient)
                made = closer if closer.agrees() else made
            checked.append(made)
        yield CheckedMatrix(name, tuple(parameter.shape), tuple(checked))


def _drawn(gradient_N: np.ndarray, draw: int, random: np.random.Generator) -> list[int]:
    """Different places: the largest gradient's, then others where it is not zero, then any."""
    felt = random.permutation(np.flatnonzero(gradient_N))[: (draw + 1) // 2]
    any_place = random.permutation(len(gradient_N))[: 2 * draw]
    places = map(int, (np.abs(gradient_N).argmax(), *felt, *any_place))
    return list(dict.fromkeys(places))[:draw]


@torch.no_grad()
def _quotient(
    loss: Callable[[], Tensor], parameter: nn.Parameter, place: int, step: float, gradient: float
) -> CheckedWeight:
    flat_N = parameter.view(-1)
    weight = float(flat_N[place])
    flat_N[place] = weight + step
    above = float(loss())
    flat_N[place] = weight - step
    below = float(loss())
    flat_N[place] = weight
    return CheckedWeight(
        tuple(map(int, np.unravel_index(place, tuple(parameter.shape)))),
        weight,
        step,
        above,
        below,
        gradient,
    )


# ---- The training loss of a model of any task on a small piece of data, as a function that can be
# called again and again.

Data = str | Path | Sequence[str | Path]


# what computes the loss of a model of some task, and the number of its targets
MakeLoss = Callable[[Any, Any, "Data", int], tuple[Callable[[], Tensor], int]]


@dataclass(frozen=True)
class FixedLoss:
    """The loss of `network`, a copy in float64 without dropout, on always the same data, in nats: a
    mean over its `targets`, the tokens or words that are predicted or labelled, or the texts of a
    classifier. Where it draws noise words (loss=sampled, nce), these are the same each time."""

    network: nn.Module
    compute: Callable[[], Tensor]
    targets: int
    seed: int

    def __call__(self) -> Tensor:
        device = next(self.network.parameters()).device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(self.seed)
            return self.compute()


def loss_of(subject: Subject, data: Data, tokens: int, seed: int) -> FixedLoss:
    """The loss that training minimises, on the first `tokens` tokens of `data`; of other models
    than language models on its first examples, as many as reach so many. Label smoothing and
    penalties on weights are left out.

    Raises:
        TextError: the data cannot be read or are empty. UsageError: they do not have the model's
            labels.
    """
    network = copy.deepcopy(subject.model.network)
    if subject.model.device.type == "mps":  # which has no float64
        network = network.cpu()
    network = network.double().eval().requires_grad_()
    task = registry.task(subject.task)
    examples = task.read(subject.model, data)
    compute, count = task.loss_of_first(subject.model, network, examples, tokens)
    return FixedLoss(network, compute, count, seed)


# ---- gradcheck

SMALLEST_SHOWN = 1e-16  # of a relative difference in a plot


@dataclass(frozen=True)
class GradientCheck:
    """The weights that were checked, matrix by matrix. loss_nats: f, a mean over `targets`."""

    model: str
    loss_nats: float
    targets: int
    matrices: tuple[CheckedMatrix, ...]

    @property
    def is_right(self) -> bool:
        """Whether all gradients are the difference quotients."""
        return all(each.worst.agrees() for each in self.matrices)

    @property
    def worked(self) -> tuple[CheckedMatrix, CheckedWeight]:
        """The weight whose numbers are shown: the worst one if there is a wrong gradient, else the
        one with the largest gradient, of recurrent weights if there are any."""
        if not self.is_right:
            matrix = max(self.matrices, key=_badness)
            return matrix, matrix.worst
        recurrent = [each for each in self.matrices if "weight_hh" in each.name] or self.matrices
        matrix = max(recurrent, key=lambda each: abs(each.largest.gradient))
        return matrix, matrix.largest

    @property
    def verdict(self) -> str:
        """Whether the backward pass is right, and where it is worst."""
        weights = [weight for matrix in self.matrices for weight in matrix.weights]
        zeros = sum(matrix.zeros for matrix in self.matrices)
        worst = max(self.matrices, key=_badness)
        where = f"{worst.worst.difference:.2g} at {worst.label(worst.worst)}"
        said_zeros = (
            f"; {zeros:,} of the gradients {'is' if zeros == 1 else 'are'} zero" if zeros else ""
        )
        if self.is_right:
            return (
                f"The backward pass is right: {len(weights):,} gradients from "
                f"{len(self.matrices)} matrices equal their difference "
                f"quotients; the largest relative difference is {where}{said_zeros}."
            )
        wrong = sum(not weight.agrees() for weight in weights)
        return (f"The backward pass is wrong: {wrong:,} of {len(weights):,} gradients differ from "
                "their difference quotients by more than "
                f"{TOLERANCE:g}, the worst by {where}{said_zeros}.")  # fmt: skip

    def tables(self) -> Sequence[Table]:
        """A row for each matrix; and the numbers of one weight, from w to the relative
        difference."""
        columns = (
            "matrix",
            "shape",
            "weights",
            "zero gradients",
            "largest gradient",
            "largest relative difference",
        )
        rows = tuple(
            (each.name, " x ".join(map(str, each.shape)), len(each.weights), each.zeros,
             each.largest.gradient,
             each.worst.difference)
            for each in self.matrices
        )  # fmt: skip
        matrix, weight = self.worked
        worked = (
            ("w", f"{weight.weight:.12g}"), ("h", f"{weight.step:g}"),
            ("f(w + h)", f"{weight.above:.15g}"),
            ("f(w - h)", f"{weight.below:.15g}"),
            ("(f(w + h) - f(w - h)) / 2h", f"{weight.quotient:.12g}"),
            ("gradient", f"{weight.gradient:.12g}"),
            ("relative difference", f"{weight.difference:.2g}"),
        )  # fmt: skip
        return Table(columns, rows), Table(
            ("quantity", "value"), worked, f"One weight, step by step: {matrix.label(weight)}"
        )

    def to_dict(self) -> dict[str, Any]:
        """All weights that were checked, as JSON can hold them."""
        matrix, weight = self.worked
        return plain({
            "model": self.model, "loss_nats": self.loss_nats, "targets": self.targets,
            "right": self.is_right, "tolerance": TOLERANCE,
            "matrices": [each.to_dict() for each in self.matrices],
            "worked": {"matrix": matrix.name} | weight.to_dict(),
        })  # fmt: skip

    def figure(self) -> "Figure":
        """The relative difference of each weight, a row for each matrix."""
        height = 1.5 + 0.28 * len(self.matrices)
        figure, axes = plotting.new_figure(
            f"Gradients of {plotting.short_name(self.model)}",
            "relative difference",
            "",
            height=height,
        )
        for row, each in enumerate(self.matrices):
            shown = [max(weight.difference, SMALLEST_SHOWN) for weight in each.weights]
            axes.plot(
                shown,
                [row] * len(shown),
                marker="o",
                markersize=4,
                linestyle="none",
                color=plotting.COLOURS[0],
            )
        axes.axvline(TOLERANCE, color=plotting.COLOURS[1])
        axes.set_yticks(range(len(self.matrices)), [each.name for each in self.matrices])
        axes.invert_yaxis()
        plotting.log_x(axes)
        return figure


def inspect_gradcheck(
    model: Model = SHIPPED, text: Data | None = None, *, weights: int = 6, step: float = 1e-5,
    tokens: int = 40, seed: int = 0,
    device: str | Device = "auto",
) -> GradientCheck:  # fmt: skip
    """The backward pass of a model, itself or by its name, against (f(w + h) - f(w - h)) / 2h, in
    float64, without dropout.

    f is the loss that training minimises, on the first `tokens` tokens of `text` (of taggers,
    classifiers and encoder-decoders, the first examples of their kind of data); None: the test part
    of a bundled corpus. weights: how many are drawn from each matrix. step: h. Layers run through
    the kernels of training, those that do float64: on a CPU the LSTM's own loops, not oneDNN's.

    Raises:
        UsageError: a number is not positive, the model has no gradients, or the data do not have
            its labels. ModelError: there is no such model. TextError: the text cannot be read.
            DeviceError: `device` is not available.
    """
    for name, value in {"weights": weights, "step": step, "tokens": tokens}.items():
        if not (np.isfinite(value) and value > 0):
            raise UsageError(f"{name} = {value:g} is not a positive number")
    [checked] = subjects("gradcheck", (model,), device)
    loss = loss_of(checked, _bundled(checked) if text is None else text, tokens, seed)
    found = tuple(check(loss.network, loss, weights, step, np.random.default_rng(seed)))
    return GradientCheck(checked.name, loss().item(), loss.targets, found)


def _bundled(subject: Subject) -> Data:
    """The test part of the bundled corpus that models of its task are looked at with."""
    try:
        return registry.task(subject.task).usual_test(subject.model)
    except UsageError:
        why = f"{subject.name} was not trained on a bundled corpus"
        raise UsageError(
            "no data to take the loss of", why, "name a file: --on FILE, text=FILE"
        ) from None


def _badness(matrix: CheckedMatrix) -> tuple[bool, float]:
    return not matrix.worst.agrees(), matrix.worst.difference
