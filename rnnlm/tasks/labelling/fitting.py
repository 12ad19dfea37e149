"""Fit a tagger or classifier to examples: the trainer, the joint loss of its label columns, and its
validation."""

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from rnnlm.interface import PADDING, Tokenizer
from rnnlm.lm.neural.training.contracts import Carry, Loss, ValidationResult
from rnnlm.tasks.common.fitting import (
    ExampleLoss,
    ExampleValidation,
    Fitting,
    fit_examples,
    trainer_of_examples,
)
from rnnlm.tasks.labelling.batches import ExampleBatches, batch_tensors
from rnnlm.tasks.labelling.data import MULTI, LabelColumn, LabelledData, TaskData, every
from rnnlm.tasks.labelling.evaluation import evaluation
from rnnlm.tasks.labelling.model import TaskModel
from rnnlm.tasks.labelling.networks import contextual
from rnnlm.tasks.labelling.networks.network import Features, TaskNetwork, make_network
from rnnlm.tasks.labelling.settings import TaskFittingSettings, kinds


class LabelFitting(Fitting[TaskNetwork, TaskData]):
    """Parts of the trainer of a tagger or classifier."""

    settings_class = TaskFittingSettings
    settings: TaskFittingSettings

    def network(self) -> TaskNetwork:
        values = self.resolved.values
        shape = self.resolved.make(kinds()[values["task"], values["model"]])
        return make_network(shape, self.data.tokenizer)

    def words(self, network: TaskNetwork) -> tuple[Tensor | None, Tokenizer]:
        return network.encoder.input.weight, self.data.tokenizer.tokenizer

    def parts(
        self, network: TaskNetwork, rows: int, precision: str, device: torch.device
    ) -> "tuple[JointLoss, ExampleBatches, TaskValidation | None]":
        codec, seed = self.data.tokenizer, self.resolved.values["seed"]
        weights = self.settings.weights_of(len(codec.columns))

        # Frozen language models give the same states in each epoch: read once where memory allows.
        if codec.beside is not None:
            codec.beside.to(device)
        data = contextual.cached(self.data)

        batches = ExampleBatches(data.train, codec, rows, seed, device, self.ranks)
        model = TaskModel(network, codec, precision)
        criterion = self.settings.criterion
        validation = (
            TaskValidation(data.valid, model, criterion, self.ranks) if data.valid else None
        )
        return JointLoss(model, weights), batches, validation


fit = functools.partial(fit_examples, LabelFitting)
make_trainer = functools.partial(trainer_of_examples, LabelFitting)


# ---- The objective and the validation of a task: the joint loss of all label columns, and
# accuracy, F1 and other metrics of labels.

LOOKED_AT = 2  # texts, where a few are to be read


class JointLoss(ExampleLoss[TaskModel]):
    """An Objective: the losses of all columns, summed with their weights, per word (of a
    classifier, per text, or per node of trees that has a label)."""

    def __init__(self, model: TaskModel, weights: Sequence[float]) -> None:
        super().__init__(model)
        self.weights = tuple(weights)
        self.columns = len(model.codec.columns)  # whose labels are a batch's last tensors
        self.is_exact = model.network.settings.loss == "cross-entropy"
        pairs = zip(self.weights, model.codec.columns, strict=True)
        self.uniform_nats = sum(weight * _uniform_nats(column) for weight, column in pairs)

    def loss(self, tensors: tuple[Tensor, ...], carry: Carry) -> Loss:
        features = self.network(tensors[: -self.columns])
        nats = self._weighted(self.network.losses(features, tensors[-self.columns :]))
        return Loss(nats / self._count(features, tensors[-self.columns]), 0.0, ())

    def exact_nats(self, tensors: tuple[Tensor, ...], carry: Carry) -> float:
        with self.reader.reading():
            features = self.network(tensors[: -self.columns])
            return float(self._weighted(self.network.losses(features, tensors[-self.columns :])))

    def _weighted(self, losses: Sequence[Tensor]) -> Tensor:
        weighted = [weight * loss for weight, loss in zip(self.weights, losses, strict=True)]
        return sum(weighted[1:], weighted[0])

    def _count(self, features: Features, labels: Tensor) -> Tensor | int:
        codec = self.reader.codec
        if codec.word_columns:
            return features.lengths_B.sum()
        if codec.node_loss is not None and codec.columns[0].form != MULTI:
            return (labels != PADDING).sum().clamp(min=1)
        return len(features.lengths_B)


def _uniform_nats(column: LabelColumn) -> float:
    """Return the loss of a blind guess at one place: over K labels log K; where a text has any
    number of them, log 2 for each."""
    labels = len(column.symbols)
    return labels * math.log(2) if column.form == MULTI else math.log(max(2, labels))


class TaskValidation(ExampleValidation[TaskModel, LabelledData]):
    """A Validation: the metrics of labels. criterion: of TaskFittingSettings."""

    telling: tuple[int, ...] | None = None  # columns; None before the first validation

    def part(self, tokens: int) -> "TaskValidation":
        """Return the validation on every n-th example, about `tokens` tokens."""
        data = every(self.model.codec, self.data, -(-self.tokens // tokens))
        return TaskValidation(data, self.model, self.criterion, self.ranks)

    def run(self, stop: Callable[[], bool]) -> ValidationResult | None:
        if self.telling is None and self.criterion != "loss":
            self.telling = evaluation.informative_columns(self.model.codec, self.data)
        predicted = evaluation.predict_with_loss(
            self.model, self.data, stop=self.ranks.own_stop(stop)
        )
        if self.was_stopped(predicted is None) or predicted is None:
            return None
        return evaluation.verdict(
            self.model, self.data, *predicted, self.criterion, self.telling or ()
        )

    def read_some(self) -> None:
        """Read the first texts, one after the other, so that there is no padding."""
        for number in range(min(LOOKED_AT, self.data.sentences)):
            inputs = batch_tensors(self.data.words_encoded, np.array([number]), self.model.device)
            with self.model.reading():
                self.model.network(inputs)
