"""Fit a tagger or classifier to examples: the trainer, the joint loss of its label columns, and its
validation."""

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
    """Train a network on `data`; yields and raises as :func:`rnnlm.neural.fitting.fitting.fit`.
    initial: weights by name that replace the random ones; the others start at random."""
    yield from fitting.fit_with(make_trainer, resolved, data, stop, initial, save)


def make_trainer(
    resolved: Resolved,
    data: TaskData,
    initial: dict[str, np.ndarray] | TrainingState | None = None,
    ranks: SingleProcess = SINGLE_PROCESS,
) -> Trainer:
    """Make a trainer on the device asked for; set torch's threads and seed. Raises as
    :func:`fit`."""
    run, settings = resolved.make(RunSettings), resolved.make(TaskFittingSettings)
    device, precision = fitting.begin(run)
    stored = state.checked(initial) if isinstance(initial, TrainingState) else None
    weights = settings.weights_of(len(data.tokenizer.columns))
    with memory_errors(device):
        # Frozen language models give the same states in each epoch: read once where memory allows.
        if data.tokenizer.beside is not None:
            data.tokenizer.beside.to(device)
        data = contextual.cached(data)

        # Weights that are given replace random ones.
        shape = resolved.make(KINDS[resolved.values["task"], resolved.values["model"]])
        network = make_network(shape, data.tokenizer)
        if isinstance(initial, dict):
            tensors = {name: torch.from_numpy(array) for name, array in initial.items()}
            network.load_state_dict(tensors, strict=False)
        network.to(device)
        fitting.place_vectors(
            network.encoder.input.weight,
            settings,
            data.tokenizer.tokenizer,
            resolved.values["encoding_errors"],
            is_started=initial is not None,
        )

        # Weights are the same on all ranks, dropout is not.
        ranks.seed_per_rank(run.seed)
        rows = settings.batch_rows * ranks.count
        if stored:
            rows = stored.facts["source"]["rows"]  # on however many ranks the run began
        batches = ExampleBatches(data.train, data.tokenizer, rows, run.seed, device, ranks)
        model = TaskModel(network, data.tokenizer, precision)
        validation = None
        if data.valid:
            validation = TaskValidation(data.valid, model, settings.criterion, ranks)
        objective = JointLoss(model, weights)
        trainer = Trainer(
            objective=objective,
            source=batches,
            validation=validation,
            settings=settings,
            run=run,
            precision=precision,
            ranks=ranks,
        )
        if stored:
            state.load_state_dict(trainer, stored)
        return trainer


# ---- The objective and the validation of a task: the joint loss of all label columns, and
# accuracy, F1 and other metrics of labels.

LOOKED_AT = 2  # texts, where a few are to be read


class JointLoss:
    """An Objective: the losses of all columns, summed with their weights, per word (of a
    classifier, per text). model: reads the network in the precision of training."""

    is_exact = True

    def __init__(self, model: TaskModel, weights: Sequence[float]) -> None:
        self.reader, self.network, self.weights = model, model.network, tuple(weights)
        self.columns = len(model.codec.columns)  # whose labels are a batch's last tensors
        self.uniform_nats = 0.0
        for weight, column in zip(self.weights, model.codec.columns, strict=True):
            self.uniform_nats += weight * _uniform_nats(column)

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
        if self.reader.codec.word_columns:
            return lengths_B.sum()
        return len(lengths_B)


def _uniform_nats(column: LabelColumn) -> float:
    """Return the loss of a blind guess at one place: over K labels log K; where a text has any
    number of them, log 2 for each."""
    labels = len(column.symbols)
    if column.form == MULTI:
        return labels * math.log(2)
    return math.log(max(2, labels))


class TaskValidation:
    """A Validation: the metrics on `data`, which each rank measures whole. criterion: of
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
        self.telling: tuple[int, ...] | None = None  # columns; None before the first validation

    def part(self, tokens: int) -> "TaskValidation":
        """Return the validation on every n-th example, about `tokens` tokens."""
        data = every(self.model.codec, self.data, -(-self.tokens // tokens))
        return TaskValidation(data, self.model, self.criterion, self.ranks)

    def __str__(self) -> str:
        return f"{self.data.sentences:,} examples, {self.model.precision}"

    def run(self, stop: Callable[[], bool]) -> Verdict | None:
        if self.telling is None and self.criterion != "loss":
            self.telling = evaluation.telling_columns(self.model.codec, self.data)
        found = evaluation.answers(self.model, self.data, stop=self.ranks.own_stop(stop))
        # If one rank was stopped, none has a verdict.
        stopped = self.ranks.totals(float(found is None))[0]
        self.ranks.synchronize()
        if stopped or found is None:
            return None
        return evaluation.verdict(self.model, self.data, found, self.criterion, self.telling or ())

    def read_some(self) -> None:
        """Read the first texts, one after the other, so that there is no padding."""
        for number in range(min(LOOKED_AT, self.data.sentences)):
            chosen = np.array([number])
            with self.model.reading():
                inputs = batch_tensors(self.data.words_encoded, chosen, self.model.device)
                self.model.network(inputs)
