"""Fitting a task's network to examples: what can be checked beforehand, the weights it starts from, and its training as events."""

import functools
from collections.abc import Callable, Iterator

import numpy as np
import torch

from rnnlm.config import Resolved
from rnnlm.events import Event, TrainingState, never
from rnnlm.neural.device import memory_errors
from rnnlm.neural.fitting import fitting, state
from rnnlm.neural.fitting.ranks import SINGLE_PROCESS, SingleProcess
from rnnlm.neural.fitting.settings import RunSettings
from rnnlm.neural.fitting.trainer import Trainer
from rnnlm.tasks.data import TaskData
from rnnlm.tasks.encoders import contextual
from rnnlm.tasks.fitting import transfer
from rnnlm.tasks.fitting.batches import ExampleBatches
from rnnlm.tasks.fitting.fitting_settings import TaskFittingSettings
from rnnlm.tasks.fitting.objective import JointLoss, TaskValidation
from rnnlm.tasks.model import TaskModel
from rnnlm.tasks.network import make_network
from rnnlm.tasks.settings import KINDS

check = functools.partial(fitting.check, has_text=False)


def fit(
    resolved: Resolved,
    data: TaskData,
    stop: Callable[[], bool] = never,
    initial: dict[str, np.ndarray] | TrainingState | None = None,
    save: Callable[[], bool] = never,
) -> Iterator[Event]:
    """Train a network on `data`; what it yields and raises is as for :func:`rnnlm.neural.fitting.fitting.fit`. initial: weights by name
    that replace the random ones; the others start at random."""
    yield from fitting.fit_with(make_trainer, resolved, data, stop, initial, save)


def make_trainer(
    resolved: Resolved, data: TaskData, initial: dict[str, np.ndarray] | TrainingState | None = None, ranks: SingleProcess = SINGLE_PROCESS
) -> Trainer:
    """A trainer on the device asked for, torch's threads and seed set; what it raises is as for :func:`fit`."""
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
            network.load_state_dict({name: torch.from_numpy(array) for name, array in initial.items()}, strict=False)
        network.to(device)
        errors = resolved.values["encoding_errors"]
        fitting.place_vectors(network.encoder.input.weight, settings, data.tokenizer.tokenizer, errors, is_started=initial is not None)
        ranks.seed_per_rank(run.seed)
        rows = stored.facts["source"]["rows"] if stored else settings.batch_rows * ranks.count
        batches = ExampleBatches(data.train, data.tokenizer, rows, run.seed, device, ranks)
        model = TaskModel(network, data.tokenizer, precision)
        validation = TaskValidation(data.valid, model, settings.criterion, ranks) if data.valid else None
        trainer = Trainer(JointLoss(model, weights), batches, validation, settings, run, precision, ranks)
        if stored:
            state.load_state_dict(trainer, stored)
        return trainer


initial_settings, initial_weights = transfer.settings, transfer.weights
