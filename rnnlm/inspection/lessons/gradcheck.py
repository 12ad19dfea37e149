"""The gradients of a model's training loss beside difference quotients, for weights drawn from each of its matrices."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import rnnlm.corpora as corpora
from rnnlm.errors import UsageError
from rnnlm.evaluation import plotting
from rnnlm.inspection.lessons.difference_quotients import TOLERANCE, CheckedMatrix, CheckedWeight, check
from rnnlm.inspection.lessons.losses import Data, loss_of
from rnnlm.inspection.result import Table, plain
from rnnlm.inspection.subjects import Model, Subject, subjects
from rnnlm.interface import Device
from rnnlm.models.loading import SHIPPED
from rnnlm.models.uses import LANGUAGE_MODEL
from rnnlm.tasks.evaluation.bundled_data import bundled_corpus_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
        """The weight whose numbers are shown: the worst one if there is a wrong gradient, else the one with the largest gradient, of
        recurrent weights if there are any."""
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
        said_zeros = f"; {zeros:,} of the gradients {'is' if zeros == 1 else 'are'} zero" if zeros else ""
        if self.is_right:
            return (f"The backward pass is right: {len(weights):,} gradients from {len(self.matrices)} matrices equal their difference "
                    f"quotients; the largest relative difference is {where}{said_zeros}.")  # fmt: skip
        wrong = sum(not weight.agrees() for weight in weights)
        return (f"The backward pass is wrong: {wrong:,} of {len(weights):,} gradients differ from their difference quotients by more than "
                f"{TOLERANCE:g}, the worst by {where}{said_zeros}.")  # fmt: skip

    def tables(self) -> Sequence[Table]:
        """A row for each matrix; and the numbers of one weight, from w to the relative difference."""
        columns = ("matrix", "shape", "weights", "zero gradients", "largest gradient", "largest relative difference")
        rows = tuple(
            (each.name, " x ".join(map(str, each.shape)), len(each.weights), each.zeros, each.largest.gradient,
             each.worst.difference)
            for each in self.matrices
        )  # fmt: skip
        matrix, weight = self.worked
        worked = (
            ("w", f"{weight.weight:.12g}"), ("h", f"{weight.step:g}"), ("f(w + h)", f"{weight.above:.15g}"),
            ("f(w - h)", f"{weight.below:.15g}"), ("(f(w + h) - f(w - h)) / 2h", f"{weight.quotient:.12g}"),
            ("gradient", f"{weight.gradient:.12g}"), ("relative difference", f"{weight.difference:.2g}"),
        )  # fmt: skip
        return Table(columns, rows), Table(("quantity", "value"), worked, f"One weight, step by step: {matrix.label(weight)}")

    def to_dict(self) -> dict[str, Any]:
        """All weights that were checked, as JSON can hold them."""
        matrix, weight = self.worked
        return plain({
            "model": self.model, "loss_nats": self.loss_nats, "targets": self.targets, "right": self.is_right, "tolerance": TOLERANCE,
            "matrices": [each.to_dict() for each in self.matrices], "worked": {"matrix": matrix.name} | weight.to_dict(),
        })  # fmt: skip

    def figure(self) -> "Figure":
        """The relative difference of each weight, a row for each matrix."""
        height = 1.5 + 0.28 * len(self.matrices)
        figure, axes = plotting.new_figure(f"Gradients of {plotting.short_name(self.model)}", "relative difference", "", height=height)
        for row, each in enumerate(self.matrices):
            shown = [max(weight.difference, SMALLEST_SHOWN) for weight in each.weights]
            axes.plot(shown, [row] * len(shown), marker="o", markersize=4, linestyle="none", color=plotting.COLOURS[0])
        axes.axvline(TOLERANCE, color=plotting.COLOURS[1])
        axes.set_yticks(range(len(self.matrices)), [each.name for each in self.matrices])
        axes.invert_yaxis()
        plotting.log_x(axes)
        return figure


def inspect_gradcheck(
    model: Model = SHIPPED, text: Data | None = None, *, weights: int = 6, step: float = 1e-5, tokens: int = 40, seed: int = 0,
    device: str | Device = "auto",
) -> GradientCheck:  # fmt: skip
    """The backward pass of a model, itself or by its name, against (f(w + h) - f(w - h)) / 2h, in float64, without dropout.

    f is the loss that training minimises, on the first `tokens` tokens of `text` (of taggers, classifiers and encoder-decoders, the first
    examples of their kind of data); None: the test part of a bundled corpus. weights: how many are drawn from each matrix. step: h.
    Layers run through the kernels of training, those that do float64: on a CPU the LSTM's own loops, not oneDNN's.

    Raises:
        UsageError: a number is not positive, the model has no gradients, or the data do not have its labels. ModelError: there is no such
            model. TextError: the text cannot be read. DeviceError: `device` is not available.
    """
    for name, value in {"weights": weights, "step": step, "tokens": tokens}.items():
        if not (np.isfinite(value) and value > 0):
            raise UsageError(f"{name} = {value:g} is not a positive number")
    [checked] = subjects("gradcheck", (model,), device)
    loss = loss_of(checked, _bundled(checked) if text is None else text, tokens, seed)
    found = tuple(check(loss.network, loss, weights, step, np.random.default_rng(seed)))
    return GradientCheck(checked.name, loss().item(), loss.targets, found)


def _bundled(subject: Subject) -> str:
    """The test part of the bundled corpus of running text, or of the one that the model of a task was trained on."""
    if subject.task == LANGUAGE_MODEL:
        return str(corpora.part("english", "test"))
    try:
        return bundled_corpus_of(subject.model, "")
    except UsageError:
        why = f"{subject.name} was not trained on a bundled corpus"
        raise UsageError("no data to take the loss of", why, "name a file: --on FILE, text=FILE") from None


def _badness(matrix: CheckedMatrix) -> tuple[bool, float]:
    return not matrix.worst.agrees(), matrix.worst.difference
