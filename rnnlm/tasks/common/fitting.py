"""Fit the network of a task to examples: the trainer, and the common parts of losses and
validations of all tasks."""

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from rnnlm.amounts import plural
from rnnlm.config import ResolvedSettings
from rnnlm.events import Event, TrainingState, never
from rnnlm.interface import FittingData, TextData, Tokenizer
from rnnlm.lm.neural.device import memory_errors
from rnnlm.lm.neural.layers.layers import LayeredNetwork
from rnnlm.lm.neural.trained_network import SavedModel
from rnnlm.lm.neural.training import fitting, state
from rnnlm.lm.neural.training.contracts import BatchSource, Carry, Objective, Validation
from rnnlm.lm.neural.training.ranks import SINGLE_PROCESS, SingleProcess
from rnnlm.lm.neural.training.settings import OptimizationSettings, RunSettings
from rnnlm.lm.neural.training.trainer import Trainer

N = TypeVar("N", bound=LayeredNetwork)
D = TypeVar("D", bound=FittingData)
M = TypeVar("M", bound=SavedModel[Any, Any])
T = TypeVar("T", bound=TextData)


class Fitting(ABC, Generic[N, D]):
    """The parts of a trainer that each task makes in its own way, for `data`."""

    settings_class: ClassVar[type[OptimizationSettings]]

    def __init__(self, resolved: ResolvedSettings, data: D, ranks: SingleProcess) -> None:
        self.resolved, self.data, self.ranks = resolved, data, ranks
        self.settings = resolved.make(self.settings_class)

    @abstractmethod
    def network(self) -> N:
        """Return a network with random weights."""

    @abstractmethod
    def words(self, network: N) -> tuple[Tensor | None, Tokenizer]:
        """Return the word vectors that the network reads, and the tokenizer of these words."""

    @abstractmethod
    def parts(
        self, network: N, rows: int, precision: str, device: torch.device
    ) -> tuple[Objective, BatchSource, Validation | None]:
        """Return the loss, the batches of `rows` examples, and the validation."""


def fit_examples(
    make: type[Fitting[Any, Any]],
    resolved: ResolvedSettings,
    data: FittingData,
    stop: Callable[[], bool] = never,
    initial: dict[str, np.ndarray] | TrainingState | None = None,
    save: Callable[[], bool] = never,
) -> Iterator[Event]:
    """Train a network on `data`; yields and raises as :func:`rnnlm.lm.neural.training.fitting.fit`.
    initial: weights by name that replace the random ones; the others start at random."""
    maker = functools.partial(trainer_of_examples, make)
    yield from fitting.fit_with(maker, resolved, data, stop, initial, save)


def trainer_of_examples(
    make: type[Fitting[Any, Any]],
    resolved: ResolvedSettings,
    data: FittingData,
    initial: dict[str, np.ndarray] | TrainingState | None = None,
    ranks: SingleProcess = SINGLE_PROCESS,
) -> Trainer:
    """Make a trainer on the device asked for; set torch's threads and seed."""
    run = resolved.make(RunSettings)
    device, precision = fitting.begin(resolved)
    stored = state.checked(initial) if isinstance(initial, TrainingState) else None
    task = make(resolved, data, ranks)
    with memory_errors(device):
        # Weights that are given replace random ones.
        network = task.network()
        if isinstance(initial, dict):
            tensors = {name: torch.from_numpy(array) for name, array in initial.items()}
            network.load_state_dict(tensors, strict=False)
        network.to(device)
        words_VE, tokenizer = task.words(network)
        errors = resolved.values["encoding_errors"]
        fitting.place_vectors(
            words_VE, task.settings, tokenizer, errors, is_started=initial is not None
        )

        # Weights are the same on all ranks, dropout is not.
        ranks.seed_per_rank(run.seed)
        # A run goes on with its rows, on however many ranks it began.
        new_rows = task.settings.batch_rows * ranks.count
        rows = stored.facts["source"]["rows"] if stored else new_rows
        objective, batches, validation = task.parts(network, rows, precision, device)
        trainer = Trainer(
            objective=objective,
            source=batches,
            validation=validation,
            settings=task.settings,
            run=run,
            precision=precision,
            ranks=ranks,
        )
        if stored:
            state.load_state_dict(trainer, stored)
        return trainer


class ExampleLoss(Generic[M]):
    """The base of the objectives of all tasks. model: reads the network in the precision of
    training."""

    is_exact = True

    def __init__(self, model: M) -> None:
        self.reader, self.network = model, model.network

    def initial_carry(self, rows: int) -> Carry:
        return ()

    def weights_changed(self) -> None:
        pass

    def model(self) -> M:
        return type(self.reader)(self.network, self.reader.codec)


class ExampleValidation(Generic[M, T]):
    """The base of the validations of all tasks: each rank measures all of `data`. criterion: the
    metric that chooses the weights."""

    example = "example"
    passes = 1.0

    def __init__(
        self, data: T, model: M, criterion: str, ranks: SingleProcess = SINGLE_PROCESS
    ) -> None:
        self.data, self.model, self.criterion, self.ranks = data, model, criterion, ranks
        self.tokens = data.tokens

    def __str__(self) -> str:
        return f"{plural(self.data.sentences, self.example)}, {self.model.precision}"

    def was_stopped(self, is_cut_off: bool) -> bool:
        """Return whether any rank was cut off: then none has a verdict."""
        stopped = self.ranks.totals(float(is_cut_off))[0]
        self.ranks.synchronize()
        return bool(stopped)
