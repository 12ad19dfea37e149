"""Compare the gradients of a model's training loss, on the first examples of some data, with
difference quotients, matrix by matrix.
"""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial, singledispatch
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.func import functional_call

from rnnlm import registry
from rnnlm.errors import UsageError, keyword
from rnnlm.evaluation import plotting
from rnnlm.interface import Device
from rnnlm.lm.base.loading import SHIPPED
from rnnlm.lm.neural.network import Network
from rnnlm.lm.neural.trained_network import NeuralLanguageModel
from rnnlm.tabular import Result, Row, Table, to_builtins
from rnnlm.tasks.labelling.batches import batch_tensors, label_tensors
from rnnlm.tasks.labelling.data import LabelledData
from rnnlm.tasks.labelling.model import TaskModel
from rnnlm.tasks.labelling.networks.network import TaskNetwork
from rnnlm.tasks.seq2seq.data import PairedData
from rnnlm.tasks.seq2seq.model import Seq2SeqModel, pair_tensors
from rnnlm.tasks.seq2seq.network import Seq2SeqNetwork
from rnnlm.text.encoding import EncodedText
from rnnlm.tools.inspection.common import (
    InspectedModel,
    Inspection,
    Model,
    check_positive,
    load_models_for,
    sources_of,
)
from rnnlm.training.task import trained_corpus

# ---- The loss that training minimises, on the first examples, for the models of each task.

FirstLoss = tuple[Callable[[], Tensor], int]


@singledispatch
def first_loss(model: Any, network: Any, data: Any, tokens: int) -> FirstLoss:
    """Return a function that computes the mean loss of the first examples, which have `tokens`
    tokens or more, and the number of targets of this mean. network: like the model's."""
    raise NotImplementedError(type(model))


@first_loss.register
def _of_lines(
    model: NeuralLanguageModel, network: Network, data: EncodedText, tokens: int
) -> FirstLoss:
    """Prepare the mean loss of the first `tokens` tokens of a text, read as one stream. The targets
    are the tokens."""
    ids = np.asarray(data.ids[:tokens], dtype=np.int64)
    targets_T1 = torch.from_numpy(ids)[:, None].to(_device(network))
    first_11 = torch.full_like(targets_T1[:1], model.tokenizer.boundary_id)
    inputs_T1 = torch.cat((first_11, targets_T1[:-1]))

    def compute() -> Tensor:
        loss, penalty, _ = network.loss(inputs_T1, targets_T1, network.initial_state(1))
        return loss + penalty

    return compute, len(ids)


@first_loss.register
def _of_labels(
    model: TaskModel, network: TaskNetwork, examples: LabelledData, tokens: int
) -> FirstLoss:
    """Prepare the mean loss of the first examples, which have `tokens` words or more together. The
    targets are their labels: of words, or of whole texts."""
    words_E = np.diff(examples.words_encoded.word_offsets)
    chosen_B, device = _first(words_E, tokens), _device(network)
    inputs = tuple(
        tensor.double() if tensor.is_floating_point() else tensor
        for tensor in batch_tensors(examples.words_encoded, chosen_B, device)
    )
    labels = label_tensors(examples, chosen_B, device)
    count = int(words_E[chosen_B].sum()) if model.codec.word_columns else len(chosen_B)

    def compute() -> Tensor:
        return torch.stack(list(network.losses(network(inputs), labels))).sum() / count

    return compute, count


@first_loss.register
def _of_pairs(
    model: Seq2SeqModel, network: Seq2SeqNetwork, pairs: PairedData, tokens: int
) -> FirstLoss:
    """Prepare the mean loss of the first pairs, whose target sides have `tokens` tokens or more
    together. The targets are these tokens."""
    chosen_B = _first(pairs.target_lengths, tokens)
    sources_SB, lengths_1B, inputs_TB, targets_TB = pair_tensors(
        pairs, chosen_B, model.codec.target.boundary_id, _device(network)
    )
    count = int(pairs.target_lengths[chosen_B].sum())

    def compute() -> Tensor:
        return network.loss(sources_SB, lengths_1B[0], inputs_TB, targets_TB)

    return compute, count


def _first(lengths_E: np.ndarray, tokens: int) -> np.ndarray:
    """Return the numbers of the first examples, as many as reach `tokens`, or all."""
    enough = int(np.searchsorted(np.cumsum(lengths_E), tokens)) + 1
    return np.arange(min(len(lengths_E), enough))


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


# ---- Gradients and difference quotients, (f(w + h) - f(w - h)) / 2h.

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

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers, with what follows from them."""
        return super().to_dict() | {"quotient": self.quotient, "difference": self.difference}


@dataclass(frozen=True)
class CheckedMatrix:
    """The gradients of a matrix (or vector) of weights. is_right: along a direction in which all
    weights change, the loss changes as the gradients say. zeros: weights whose gradient is exactly
    zero. largest: the weight with the largest gradient."""

    name: str
    shape: tuple[int, ...]
    is_right: bool
    zeros: int
    largest: CheckedWeight

    @property
    def label(self) -> str:
        """The matrix, and the place of the weight with the largest gradient."""
        return f"{self.name}[{', '.join(map(str, self.largest.index))}]"

    def to_dict(self) -> dict[str, Any]:
        """Return the matrix in JSON's types."""
        return {
            "name": self.name,
            "shape": self.shape,
            "right": self.is_right,
            "zero_gradients": self.zeros,
            "largest": self.largest.to_dict(),
        }


def check(loss: "FixedLoss", step: float) -> Iterator[CheckedMatrix]:
    """Check the gradients of all weights, matrix by matrix, with :func:`torch.autograd.gradcheck`.
    step: h."""
    parameters = dict(loss.named_parameters())
    gradients = torch.autograd.grad(loss(), list(parameters.values()), materialize_grads=True)
    for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
        # Fast mode takes one direction instead of one weight after the other.
        is_right = gradcheck(
            partial(_loss_with, loss, name),
            parameter.detach().clone().requires_grad_(),
            eps=step,
            rtol=TOLERANCE,
            atol=FLOOR * TOLERANCE,
            nondet_tol=FLOOR * TOLERANCE,
            check_undefined_grad=False,
            fast_mode=True,
            raise_exception=False,
        )
        gradient = gradient.to_dense()
        place = int(gradient.abs().argmax())
        yield CheckedMatrix(
            name=name.removeprefix("network."),
            shape=tuple(parameter.shape),
            is_right=is_right,
            zeros=int((gradient == 0).sum()),
            largest=_quotient(loss, parameter, place, step, float(gradient.flatten()[place])),
        )


def _loss_with(loss: "FixedLoss", name: str, weights: Tensor) -> Tensor:
    """Compute the loss with other weights in the place of the ones called `name`."""
    given = weights.clone()
    if given.requires_grad:
        given.register_hook(Tensor.to_dense)  # gradients of word vectors are sparse
    value: Tensor = functional_call(loss, {name: given}, ())
    return value


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


class FixedLoss(nn.Module):
    """The loss of `network`, a copy in float64 without dropout, on the same data each time, in
    nats: a mean over its `targets`, the tokens or words that are predicted or labelled, or the
    texts of a classifier. Where it draws noise words (loss=sampled, nce), these are the same
    each time."""

    def __init__(
        self, network: nn.Module, compute: Callable[[], Tensor], targets: int, seed: int
    ) -> None:
        super().__init__()
        self.network, self.compute = network, compute
        self.targets, self.seed = targets, seed

    def forward(self) -> Tensor:
        device = next(self.network.parameters()).device
        is_cuda = device.type == "cuda"
        with torch.random.fork_rng([device] if is_cuda else []):
            # torch.manual_seed also notes where it was called from, for devices that are not in
            # use yet. That takes longer than the loss.
            torch.default_generator.manual_seed(self.seed)
            if is_cuda:
                torch.cuda.manual_seed(self.seed)
            return self.compute()


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
        return all(matrix.is_right for matrix in self.matrices)

    @property
    def worked(self) -> CheckedMatrix:
        """The matrix of which a weight's numbers are shown: a wrong one if there is any, otherwise
        the one with the largest gradient, of recurrent weights if there are any."""
        wrong = [matrix for matrix in self.matrices if not matrix.is_right]
        if wrong:
            return max(wrong, key=lambda matrix: matrix.largest.difference)
        recurrent = [matrix for matrix in self.matrices if "weight_hh" in matrix.name]
        return max(recurrent or self.matrices, key=lambda matrix: abs(matrix.largest.gradient))

    @property
    def verdict(self) -> str:
        """Whether the backward pass is right, and where it is wrong."""
        wrong = [matrix.name for matrix in self.matrices if not matrix.is_right]
        if wrong:
            return (
                f"The backward pass is wrong: the gradients of {len(wrong)} of "
                f"{len(self.matrices)} matrices differ from difference quotients by more than "
                f"{TOLERANCE:g}: {', '.join(wrong)}."
            )
        weights = sum(math.prod(matrix.shape) for matrix in self.matrices)
        zeros = sum(matrix.zeros for matrix in self.matrices)
        return (
            f"The backward pass is right: the gradients of {weights:,} weights in "
            f"{len(self.matrices)} matrices equal difference quotients; {zeros:,} of them are zero."
        )

    def tables(self) -> Sequence[Table]:
        """Return a row for each matrix; and the numbers of one weight, from w to the relative
        difference."""
        columns = (
            "matrix",
            "shape",
            "right",
            "zero gradients",
            "largest gradient",
            "its relative difference",
        )
        rows = []
        for checked in self.matrices:
            shape = " x ".join(map(str, checked.shape))
            numbers = checked.zeros, checked.largest.gradient, checked.largest.difference
            rows.append((checked.name, shape, "yes" if checked.is_right else "no", *numbers))

        worked = {name: format(value, form) for name, (value, form) in self._steps().items()}
        title = f"One weight, step by step: {self.worked.label}"
        return (
            Table(columns, tuple(rows)),
            Table(("quantity", "value"), tuple(worked.items()), title),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the matrices and the weight that is worked out, in JSON's types."""
        content = {
            "model": self.model,
            "loss_nats": self.loss_nats,
            "targets": self.targets,
            "right": self.is_right,
            "tolerance": TOLERANCE,
            "matrices": list(map(CheckedMatrix.to_dict, self.matrices)),
            "worked": {"matrix": self.worked.name} | self.worked.largest.to_dict(),
        }
        return dict(to_builtins(content))

    def to_rows(self, table: int | str = 0) -> list[Row]:
        """Return the rows of a table, with the numbers of the one weight as they are.

        Raises:
            UsageError: the table does not exist.
        """
        if self.table(table) == self.tables()[0]:
            return super().to_rows(table)
        return [{"quantity": name, "value": value} for name, (value, _) in self._steps().items()]

    def _steps(self) -> dict[str, tuple[float, str]]:
        """Return the numbers of a weight, from w to the relative difference, with their formats."""
        weight = self.worked.largest
        return {
            "w": (weight.weight, ".12g"),
            "h": (weight.step, "g"),
            "f(w + h)": (weight.above, ".15g"),
            "f(w - h)": (weight.below, ".15g"),
            "(f(w + h) - f(w - h)) / 2h": (weight.quotient, ".12g"),
            "gradient": (weight.gradient, ".12g"),
            "relative difference": (weight.difference, ".2g"),
        }

    def figure(self, axes: "plotting.Axes | None" = None) -> "plotting.Figure":
        """Draw the relative difference of the largest gradient of each matrix."""
        height = 1.5 + 0.28 * len(self.matrices)
        title = f"{plotting.short_name(self.model)}: gradients left of the line are right"
        label = "relative difference between backward pass and difference quotient"
        figure, axes = plotting.new_figure(title, label, "", height=height, axes=axes)
        shown = [max(matrix.largest.difference, SMALLEST_SHOWN) for matrix in self.matrices]
        axes.plot(
            shown,
            range(len(shown)),
            linestyle="none",
            marker="o",
            markersize=4,
            color=plotting.COLOURS[0],
            label="the largest gradient of a matrix",
        )
        axes.axvline(TOLERANCE, color=plotting.COLOURS[1], label="tolerance")
        axes.set_yticks(range(len(self.matrices)), [matrix.name for matrix in self.matrices])
        axes.invert_yaxis()
        plotting.log_x(axes)
        plotting.legend_below(figure, axes)
        return figure


def inspect_gradcheck(
    model: Model = SHIPPED, text: Data | None = None, *, step: float = 1e-5,
    tokens: int = 40, seed: int = 0,
    device: str | Device = "auto",
) -> GradientCheck:  # fmt: skip
    """Compare the backward pass of a model, given itself or by its name, with (f(w + h) - f(w - h))
    / 2h, in float64, without dropout.

    f is the loss that training minimises, on the first `tokens` tokens of `text` (for taggers,
    classifiers and encoder-decoders, the first examples of their kind of data); None: the test part
    of a bundled corpus. All weights of a matrix change together. step: h. Layers run through the
    kernels of training that support float64: on a CPU the LSTM's own loops, not oneDNN's.

    Raises:
        UsageError: a number is not positive, the model has no gradients, or the data do not have
            its labels.
        ModelError: the model does not exist.
        TextError: the text cannot be read.
        DeviceError: `device` is not available.
    """
    check_positive(step=step, tokens=tokens)
    [checked] = load_models_for("gradcheck", (model,), device)

    # The loss that training minimises, on the first tokens of the text; for models other than
    # language models, on the first examples that have that many. Label smoothing and penalties on
    # weights are left out.
    network = copy.deepcopy(checked.model.network)
    if checked.model.device.type == "mps":  # which has no float64
        network = network.cpu()
    network = network.double().eval().requires_grad_()
    examples = registry.task(checked.task).read(
        checked.model, (_bundled(checked) if text is None else text)
    )
    compute, count = first_loss(checked.model, network, examples, tokens)
    loss = FixedLoss(network, compute, count, seed)
    return GradientCheck(checked.name, loss().item(), loss.targets, tuple(check(loss, step)))


def _bundled(subject: InspectedModel) -> Data:
    """Return the test part of the bundled English, or of the bundled corpus that a model of another
    task was trained on."""
    if registry.task(subject.task).reads_lines:
        return sources_of(())
    try:
        return trained_corpus(subject.model)
    except UsageError:
        raise UsageError(
            "no data to compute the loss on",
            f"{subject.name} was not trained on a bundled corpus",
            "name a file: " + keyword("text", "FILE"),
        ) from None
