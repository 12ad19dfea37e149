"""Fitting a task's network to examples: what can be checked beforehand, the weights it starts from,
and its training as events."""

import functools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from rnnlm.config import Resolved
from rnnlm.events import Event, TrainingState, never
from rnnlm.neural.device import memory_errors
from rnnlm.neural.fitting import fitting, state
from rnnlm.neural.fitting.contracts import Carry, Loss, Verdict
from rnnlm.neural.fitting.ranks import SINGLE_PROCESS, SingleProcess
from rnnlm.neural.fitting.settings import RunSettings
from rnnlm.neural.fitting.trainer import Trainer
from rnnlm.tasks.batches import ExampleBatches, batch_tensors
from rnnlm.tasks.labels import contextual, evaluation
from rnnlm.tasks.labels.data import MULTI, LabelColumn, LabelledData, TaskData, every
from rnnlm.tasks.labels.model import TaskModel
from rnnlm.tasks.labels.network import make_network
from rnnlm.tasks.labels.settings import KINDS, TaskFittingSettings

check = functools.partial(fitting.check, has_text=False)


def fit(
    resolved: Resolved,
    data: TaskData,
    stop: Callable[[], bool] = never,
    initial: dict[str, np.ndarray] | TrainingState | None = None,
    save: Callable[[], bool] = never,
) -> Iterator[Event]:
    """Train a network on `data`; what it yields and raises is as for
    :func:`rnnlm.neural.fitting.fitting.fit`. initial: weights by name that replace the random ones;
    the others start at random."""
    yield from fitting.fit_with(make_trainer, resolved, data, stop, initial, save)


def make_trainer(
    resolved: Resolved,
    data: TaskData,
    initial: dict[str, np.ndarray] | TrainingState | None = None,
    ranks: SingleProcess = SINGLE_PROCESS,
) -> Trainer:
    """A trainer on the device asked for, torch's threads and seed set; what it raises is as for
    :func:`fit`."""
    run, settings = resolved.make(RunSettings), resolved.make(TaskFittingSettings)
    device, precision = fitting.begin(run)
    stored = state.checked(initial) if isinstance(initial, TrainingState) else None
    weights = settings.weights_of(len(data.tokenizer.columns))
    with memory_errors(device):
        if data.tokenizer.beside is not None:
            data.tokenizer.beside.to(device)
        data = contextual.cached(data)
        shape = resolved.make(KINDS[resolved.values["task"], resolved.values["model"]])
        network = make_network(shape, data.tokenizer)
        if isinstance(initial, dict):
            network.load_state_dict(
                {name: torch.from_numpy(array) for name, array in initial.items()}, strict=False
            )
        network.to(device)
        errors = resolved.values["encoding_errors"]
        fitting.place_vectors(
            network.encoder.input.weight,
            settings,
            data.tokenizer.tokenizer,
            errors,
            is_started=initial is not None,
        )
        ranks.seed_per_rank(run.seed)
        rows = stored.facts["source"]["rows"] if stored else settings.batch_rows * ranks.count
        batches = ExampleBatches(data.train, data.tokenizer, rows, run.seed, device, ranks)
        model = TaskModel(network, data.tokenizer, precision)
        validation = (
            TaskValidation(data.valid, model, settings.criterion, ranks) if data.valid else None
        )
        trainer = Trainer(
            JointLoss(model, weights), batches, validation, settings, run, precision, ranks
        )
        if stored:
            state.load_state_dict(trainer, stored)
        return trainer


# ---- The objective and the validation of a task: the joint loss of all label columns, and
# accuracy, F1 and other figures of labels.

LOOKED_AT = 2  # texts, where a few are to be read


class JointLoss:
    """An Objective: the losses of all columns, summed with their weights, per word (of a
    classifier, per text). model: reads the network in the precision of training."""

    is_exact = True

    def __init__(self, model: TaskModel, weights: Sequence[float]) -> None:
        self.reader, self.network, self.weights = model, model.network, tuple(weights)
        self.columns = len(model.codec.columns)  # whose labels are a batch's last tensors
        self.uniform_nats = sum(
            weight * _uniform_nats(column)
            for weight, column in zip(self.weights, model.codec.columns, strict=True)
        )

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
    """The loss of a blind guess at one place: over K labels log K; where a text has any number of
    them, log 2 for each."""
    labels = len(column.symbols)
    return labels * math.log(2) if column.form == MULTI else math.log(max(2, labels))


class TaskValidation:
    """A Validation: the figures of `data`, which each rank measures whole. criterion: of
    TaskFittingSettings."""

    passes = 1.0

    def __init__(
        self,
        data: LabelledData,
        model: TaskModel,
        criterion: str,
        ranks: SingleProcess = SINGLE_PROCESS,
    ) -> None:
        self.data, self.model, self.criterion, self.ranks = data, model, criterion, ranks
        self.tokens = data.tokens

    def part(self, tokens: int) -> "TaskValidation":
        """Every so many-th example."""
        data = every(self.model.codec, self.data, -(-self.tokens // tokens))
        return TaskValidation(data, self.model, self.criterion, self.ranks)

    def __str__(self) -> str:
        return f"{self.data.sentences:,} examples, {self.model.precision}"

    def run(self, stop: Callable[[], bool]) -> Verdict | None:
        found = evaluation.answers(self.model, self.data, stop=self.ranks.own_stop(stop))
        stopped = self.ranks.totals(float(found is None))[0]
        self.ranks.synchronize()
        return (
            None
            if stopped or found is None
            else evaluation.verdict(self.model, self.data, found, self.criterion)
        )

    def read_some(self) -> None:
        """The first texts, one after the other, so that there is no padding."""
        for number in range(min(LOOKED_AT, self.data.sentences)):
            with self.model.reading():
                self.model.network(
                    batch_tensors(self.data.words_encoded, np.array([number]), self.model.device)
                )
