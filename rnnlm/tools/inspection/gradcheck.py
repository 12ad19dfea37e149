"""Compare the gradients of a model's training loss with difference quotients, for weights drawn
from each of its matrices."""

import copy
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rnnlm import registry
from rnnlm.errors import UsageError, keyword
from rnnlm.evaluation import plotting
from rnnlm.interface import Device
from rnnlm.lm.base.loading import SHIPPED
from rnnlm.tabular import Result, Row, Table, to_builtins
from rnnlm.tools.inspection.common import (
    InspectedModel,
    Inspection,
    Model,
    check_positive,
    load_models_for,
    sources_of,
)
from rnnlm.tools.inspection.fixed_loss import first_loss
from rnnlm.training.task import trained_corpus

# ---- Gradients and difference quotients, (f(w + h) - f(w - h)) / 2h, weight by weight.

TOLERANCE = 1e-5  # a relative difference up to this is the quotient's own error
# Differences between smaller gradients are relative to this: a quotient is right to about 1e-10,
# however small it is
FLOOR = 1e-4


@dataclass(frozen=True)
class CheckedWeight(Result):
    """One weight w of a matrix, f at w + h and at w - h, and the gradient from the backward
    pass."""

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
        """`|gradient - quotient|`, relative to the larger of both, or to FLOOR where both are
        smaller."""
        larger = max(abs(self.gradient), abs(self.quotient), FLOOR)
        return abs(self.gradient - self.quotient) / larger

    def agrees(self) -> bool:
        """Return whether gradient and quotient are equal, except for the quotient's own error."""
        return self.difference <= TOLERANCE  # false for nan

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers, with what follows from them."""
        return super().to_dict() | {"quotient": self.quotient, "difference": self.difference}


@dataclass(frozen=True)
class CheckedMatrix:
    """The weights that were drawn from one matrix (or vector) of weights."""

    name: str
    shape: tuple[int, ...]
    weights: tuple[CheckedWeight, ...]

    @property
    def worst(self) -> CheckedWeight:
        """The weight whose gradient differs most from its quotient."""
        return max(self.weights, key=lambda weight: (not weight.agrees(), weight.difference))

    @property
    def zeros(self) -> int:
        """How many of the weights have a gradient of exactly zero."""
        return sum(weight.gradient == 0 for weight in self.weights)

    @property
    def largest(self) -> CheckedWeight:
        """The weight with the largest gradient."""
        return max(self.weights, key=lambda weight: abs(weight.gradient))

    def label(self, weight: CheckedWeight) -> str:
        """Name a weight by its matrix and its place."""
        return f"{self.name}[{', '.join(map(str, weight.index))}]"

    def to_dict(self) -> dict[str, Any]:
        """Return the matrix and its weights in JSON's types, with what follows from them."""
        return {
            "name": self.name,
            "shape": self.shape,
            "zero_gradients": self.zeros,
            "largest_difference": self.worst.difference,
            "weights": [weight.to_dict() for weight in self.weights],
        }


def check(
    network: nn.Module,
    loss: Callable[[], Tensor],
    draw: int,
    step: float,
    random: np.random.Generator,
) -> Iterator[CheckedMatrix]:
    """Check `draw` weights of each matrix of `network`, or all where it has no more. They are the
    one with the largest gradient, then others with a gradient that is not zero for half of them, as
    far as there are such, then any others.

    loss: f, which returns the same each time that it is called with the same weights; float64.
    step: h. A quotient that differs from the gradient is computed again with h / 10, which counts
    if it agrees: f has corners (ReLU), and across a corner the quotient is wrong.
    """
    parameters = dict(network.named_parameters())
    gradients = torch.autograd.grad(loss(), list(parameters.values()), allow_unused=True)
    for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
        if gradient is None:
            gradient = torch.zeros_like(parameter)
        gradient_N = gradient.flatten().cpu().numpy()
        checked = []
        for place in _draw_places(gradient_N, draw, random):
            made = _quotient(loss, parameter, place, step, float(gradient_N[place]))
            if not made.agrees():
                closer = _quotient(loss, parameter, place, step / 10, made.gradient)
                made = closer if closer.agrees() else made
            checked.append(made)
        yield CheckedMatrix(name, tuple(parameter.shape), tuple(checked))


def _draw_places(gradient_N: np.ndarray, draw: int, random: np.random.Generator) -> list[int]:
    """Draw different places: the largest gradient's, then others where it is not zero, then any."""
    felt = random.permutation(np.flatnonzero(gradient_N))[: (draw + 1) // 2]
    any_place = random.permutation(len(gradient_N))[: 2 * draw]
    places = map(int, (np.abs(gradient_N).argmax(), *felt, *any_place))
    return list(dict.fromkeys(places))[:draw]


@torch.no_grad()
def _quotient(
    loss: Callable[[], Tensor], parameter: nn.Parameter, place: int, step: float, gradient: float
) -> CheckedWeight:
    """Compute f on both sides of a weight, and put the weight back."""
    flat_N = parameter.view(-1)
    weight = float(flat_N[place])
    flat_N[place] = weight + step
    above = float(loss())
    flat_N[place] = weight - step
    below = float(loss())
    flat_N[place] = weight
    index = tuple(map(int, np.unravel_index(place, tuple(parameter.shape))))
    return CheckedWeight(index, weight, step, above, below, gradient)


# ---- The training loss of a model of any task on a small piece of data, as a function that can be
# called again and again.

Data = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class FixedLoss:
    """The loss of `network`, a copy in float64 without dropout, on the same data each time, in
    nats: a mean over its `targets`, the tokens or words that are predicted or labelled, or the
    texts of a classifier. Where it draws noise words (loss=sampled, nce), these are the same
    each time."""

    network: nn.Module
    compute: Callable[[], Tensor]
    targets: int
    seed: int

    def __call__(self) -> Tensor:
        device = next(self.network.parameters()).device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(self.seed)
            return self.compute()


def loss_of(subject: InspectedModel, data: Data, tokens: int, seed: int) -> FixedLoss:
    """Return the loss that training minimises, on the first `tokens` tokens of `data`; for
    models other than language models, on the first examples that have that many. Label smoothing
    and penalties on weights are left out."""
    network = copy.deepcopy(subject.model.network)
    if subject.model.device.type == "mps":  # which has no float64
        network = network.cpu()
    network = network.double().eval().requires_grad_()
    examples = registry.task(subject.task).read(subject.model, data)
    compute, count = first_loss(subject.model, network, examples, tokens)
    return FixedLoss(network, compute, count, seed)


# ---- `rnnlm inspect gradcheck`: the gradients of a model.

SMALLEST_SHOWN = 1e-16  # of a relative difference in a plot


@dataclass(frozen=True, repr=False)
class GradientCheck(Inspection):
    """The weights that were checked, matrix by matrix. loss_nats: f, a mean over `targets`."""

    model: str
    loss_nats: float
    targets: int
    matrices: tuple[CheckedMatrix, ...]

    @property
    def is_right(self) -> bool:
        """Whether all gradients equal their difference quotients."""
        return all(matrix.worst.agrees() for matrix in self.matrices)

    @property
    def worked(self) -> tuple[CheckedMatrix, CheckedWeight]:
        """The weight whose numbers are shown: the worst one if a gradient is wrong, otherwise
        the one with the largest gradient, of recurrent weights if there are any."""
        if not self.is_right:
            matrix = max(self.matrices, key=_badness)
            return matrix, matrix.worst
        recurrent = [
            matrix for matrix in self.matrices if "weight_hh" in matrix.name
        ] or self.matrices
        matrix = max(recurrent, key=lambda matrix: abs(matrix.largest.gradient))
        return matrix, matrix.largest

    @property
    def verdict(self) -> str:
        """Whether the backward pass is right, and where it is worst."""
        weights = list(itertools.chain.from_iterable(matrix.weights for matrix in self.matrices))
        worst = max(self.matrices, key=_badness)
        where = f"{worst.worst.difference:.2g} at {worst.label(worst.worst)}"
        zeros = sum(matrix.zeros for matrix in self.matrices)
        if zeros:
            verb = "is" if zeros == 1 else "are"
            where += f"; {zeros:,} of the gradients {verb} zero"
        if self.is_right:
            return (
                f"The backward pass is right: {len(weights):,} gradients from "
                f"{len(self.matrices)} matrices equal their difference "
                f"quotients; the largest relative difference is {where}."
            )
        wrong = sum(not weight.agrees() for weight in weights)
        return (
            f"The backward pass is wrong: {wrong:,} of {len(weights):,} gradients differ from "
            f"their difference quotients by more than {TOLERANCE:g}, the worst by {where}."
        )

    def tables(self) -> Sequence[Table]:
        """Return a row for each matrix; and the numbers of one weight, from w to the relative
        difference."""
        columns = (
            "matrix",
            "shape",
            "weights",
            "zero gradients",
            "largest gradient",
            "largest relative difference",
        )
        rows = []
        for checked in self.matrices:
            shape = " x ".join(map(str, checked.shape))
            gradient, difference = checked.largest.gradient, checked.worst.difference
            rows.append(
                (checked.name, shape, len(checked.weights), checked.zeros, gradient, difference)
            )

        matrix, weight = self.worked
        worked = {name: format(value, form) for name, (value, form) in _steps(weight).items()}
        title = f"One weight, step by step: {matrix.label(weight)}"
        return (
            Table(columns, tuple(rows)),
            Table(("quantity", "value"), tuple(worked.items()), title),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return all weights that were checked, in JSON's types."""
        matrix, weight = self.worked
        content = {
            "model": self.model,
            "loss_nats": self.loss_nats,
            "targets": self.targets,
            "right": self.is_right,
            "tolerance": TOLERANCE,
            "matrices": list(map(CheckedMatrix.to_dict, self.matrices)),
            "worked": {"matrix": matrix.name} | weight.to_dict(),
        }
        shown: dict[str, Any] = to_builtins(content)
        return shown

    def to_rows(self, table: int | str = 0) -> list[Row]:
        """Return the rows of a table, with the numbers of the one weight as they are.

        Raises:
            UsageError: the table does not exist.
        """
        if self.table(table) == self.tables()[0]:
            return super().to_rows(table)
        _, weight = self.worked
        return [{"quantity": name, "value": value} for name, (value, _) in _steps(weight).items()]

    def figure(self, axes: "plotting.Axes | None" = None) -> "plotting.Figure":
        """Draw the relative difference of each weight, in a row for each matrix."""
        height = 1.5 + 0.28 * len(self.matrices)
        title = f"{plotting.short_name(self.model)}: gradients left of the line are right"
        label = "relative difference between backward pass and difference quotient"
        figure, axes = plotting.new_figure(title, label, "", height=height, axes=axes)
        style: dict[str, Any] = {"marker": "o", "markersize": 4, "linestyle": "none"}
        style |= {"color": plotting.COLOURS[0], "label": "a weight"}
        for row, matrix in enumerate(self.matrices):
            shown = [max(weight.difference, SMALLEST_SHOWN) for weight in matrix.weights]
            axes.plot(shown, [row] * len(shown), **style)
        axes.axvline(TOLERANCE, color=plotting.COLOURS[1], label="tolerance")
        axes.set_yticks(range(len(self.matrices)), [matrix.name for matrix in self.matrices])
        axes.invert_yaxis()
        plotting.log_x(axes)
        plotting.legend_below(figure, axes)
        return figure


def _steps(weight: CheckedWeight) -> dict[str, tuple[float, str]]:
    """Return the numbers of a weight, from w to the relative difference, with their formats."""
    return {
        "w": (weight.weight, ".12g"),
        "h": (weight.step, "g"),
        "f(w + h)": (weight.above, ".15g"),
        "f(w - h)": (weight.below, ".15g"),
        "(f(w + h) - f(w - h)) / 2h": (weight.quotient, ".12g"),
        "gradient": (weight.gradient, ".12g"),
        "relative difference": (weight.difference, ".2g"),
    }


def inspect_gradcheck(
    model: Model = SHIPPED, text: Data | None = None, *, weights: int = 6, step: float = 1e-5,
    tokens: int = 40, seed: int = 0,
    device: str | Device = "auto",
) -> GradientCheck:  # fmt: skip
    """Compare the backward pass of a model, given itself or by its name, with (f(w + h) - f(w - h))
    / 2h, in float64, without dropout.

    f is the loss that training minimises, on the first `tokens` tokens of `text` (for taggers,
    classifiers and encoder-decoders, the first examples of their kind of data); None: the test part
    of a bundled corpus. weights: how many are drawn from each matrix. step: h. Layers run through
    the kernels of training that support float64: on a CPU the LSTM's own loops, not oneDNN's.

    Raises:
        UsageError: a number is not positive, the model has no gradients, or the data do not have
            its labels.
        ModelError: the model does not exist.
        TextError: the text cannot be read.
        DeviceError: `device` is not available.
    """
    check_positive(weights=weights, step=step, tokens=tokens)
    [checked] = load_models_for("gradcheck", (model,), device)
    data = _bundled(checked) if text is None else text
    loss = loss_of(checked, data, tokens, seed)
    random = np.random.default_rng(seed)
    matrices = tuple(check(loss.network, loss, weights, step, random))
    return GradientCheck(checked.name, loss().item(), loss.targets, matrices)


def _bundled(subject: InspectedModel) -> Data:
    """Return the test part of the bundled English, or of the bundled corpus that a model of another
    task was trained on."""
    if registry.task(subject.task).reads_lines:
        return sources_of(())
    try:
        return trained_corpus(subject.model)
    except UsageError:
        why = f"{subject.name} was not trained on a bundled corpus"
        raise UsageError(
            "no data to compute the loss on", why, "name a file: " + keyword("text", "FILE")
        ) from None


def _badness(matrix: CheckedMatrix) -> tuple[bool, float]:
    return not matrix.worst.agrees(), matrix.worst.difference
