"""The objective and the validation of a task: the joint loss of all label columns, and accuracy, F1 and other figures of labels."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from rnnlm.neural.fitting.contracts import Carry, Loss, Verdict
from rnnlm.neural.fitting.ranks import SINGLE_PROCESS, SingleProcess
from rnnlm.tasks.codec import MULTI, LabelColumn
from rnnlm.tasks.data import LabelledData
from rnnlm.tasks.evaluation import figures
from rnnlm.tasks.fitting.batches import batch_tensors
from rnnlm.tasks.model import TaskModel

LOOKED_AT = 2  # texts, where a few are to be read


class JointLoss:
    """An Objective: the losses of all columns, summed with their weights, per word (of a classifier, per text). model: reads the network in
    the precision of training."""

    is_exact = True

    def __init__(self, model: TaskModel, weights: Sequence[float]) -> None:
        self.reader, self.network, self.weights = model, model.network, tuple(weights)
        self.columns = len(model.codec.columns)  # whose labels are a batch's last tensors
        self.uniform_nats = sum(weight * _uniform_nats(column) for weight, column in zip(self.weights, model.codec.columns, strict=True))

    def initial_carry(self, rows: int) -> Carry:
        return ()

    def loss(self, tensors: tuple[Tensor, ...], carry: Carry) -> Loss:
        features = self.network(tensors[: -self.columns])
        nats = self._weighted(self.network.losses(features, tensors[-self.columns :]))
        return Loss(nats / self._count(features.lengths_B), 0.0, ())

    def exact_nats(self, tensors: tuple[Tensor, ...], carry: Carry) -> float:
        with self.reader.reading():
            features = self.network(tensors[: -self.columns])
            return float(self._weighted(self.network.losses(features, tensors[-self.columns :])))

    def weights_changed(self) -> None:
        pass

    def model(self) -> TaskModel:
        return TaskModel(self.network, self.reader.codec)

    def _weighted(self, losses: Sequence[Tensor]) -> Tensor:
        weighted = [weight * loss for weight, loss in zip(self.weights, losses, strict=True)]
        return sum(weighted[1:], weighted[0])

    def _count(self, lengths_B: Tensor) -> Tensor | int:
        return lengths_B.sum() if self.reader.codec.word_columns else len(lengths_B)


def _uniform_nats(column: LabelColumn) -> float:
    """The loss of a blind guess at one place: over K labels log K; where a text has any number of them, log 2 for each."""
    labels = len(column.symbols)
    return labels * math.log(2) if column.form == MULTI else math.log(max(2, labels))


class TaskValidation:
    """A Validation: the figures of `data`, which each rank measures whole. criterion: of TaskFittingSettings."""

    def __init__(self, data: LabelledData, model: TaskModel, criterion: str, ranks: SingleProcess = SINGLE_PROCESS) -> None:
        self.data, self.model, self.criterion, self.ranks = data, model, criterion, ranks

    def __str__(self) -> str:
        return f"{self.data.sentences:,} examples, {self.model.precision}"

    def run(self, stop: Callable[[], bool]) -> Verdict | None:
        found = figures.answers(self.model, self.data, stop=self.ranks.own_stop(stop))
        stopped = self.ranks.totals(float(found is None))[0]
        self.ranks.synchronize()
        return None if stopped or found is None else figures.verdict(self.model, self.data, found, self.criterion)

    def read_some(self) -> None:
        """The first texts, one after the other, so that there is no padding."""
        for number in range(min(LOOKED_AT, self.data.sentences)):
            with self.model.reading():
                self.model.network(batch_tensors(self.data.words_encoded, np.array([number]), self.model.device))
