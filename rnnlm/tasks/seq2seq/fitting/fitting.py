"""Fitting an encoder-decoder to pairs: what can be checked beforehand, the weights it starts from, and its training as events."""

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
from rnnlm.tasks.seq2seq.data import PairTrainingData
from rnnlm.tasks.seq2seq.fitting import transfer
from rnnlm.tasks.seq2seq.fitting.batches import PairBatches
from rnnlm.tasks.seq2seq.fitting.fitting_settings import Seq2SeqFittingSettings
from rnnlm.tasks.seq2seq.fitting.objective import PairValidation, TargetLoss
from rnnlm.tasks.seq2seq.model import Seq2SeqModel
from rnnlm.tasks.seq2seq.network import make_network
from rnnlm.tasks.seq2seq.settings import KINDS


def fit(
    resolved: Resolved,
    data: PairTrainingData,
    stop: Callable[[], bool] = never,
    initial: dict[str, np.ndarray] | TrainingState | None = None,
    save: Callable[[], bool] = never,
) -> Iterator[Event]:
    """Train a network on `data`; what it yields and raises is as for :func:`rnnlm.neural.fitting.fitting.fit`. initial: weights by name
    that replace the random ones; the others start at random."""
    yield from fitting.fit_with(make_trainer, resolved, data, stop, initial, save)


def make_trainer(
    resolved: Resolved,
    data: PairTrainingData,
    initial: dict[str, np.ndarray] | TrainingState | None = None,
    ranks: SingleProcess = SINGLE_PROCESS,
) -> Trainer:
    """A trainer on the device asked for, torch's threads and seed set; what it raises is as for :func:`fit`."""
    run, settings = resolved.make(RunSettings), resolved.make(Seq2SeqFittingSettings)
    device, precision = fitting.begin(run)
    stored = state.checked(initial) if isinstance(initial, TrainingState) else None
    codec = data.tokenizer
    with memory_errors(device):
        network = make_network(resolved.make(KINDS[resolved.values["model"]]), codec.source, codec.target)
        if isinstance(initial, dict):
            network.load_state_dict({name: torch.from_numpy(array) for name, array in initial.items()}, strict=False)
        network.to(device)
        errors = resolved.values["encoding_errors"]
        words = network.source_words or network.target_words
        fitting.place_vectors(words.weight, settings, codec.source, errors, is_started=initial is not None)
        ranks.seed_per_rank(run.seed)
        rows = stored.facts["source"]["rows"] if stored else settings.batch_rows * ranks.count
        batches = PairBatches(data.train, codec.target.boundary_id, rows, run.seed, device, ranks)
        model = Seq2SeqModel(network, codec, precision)
        validation = PairValidation(data.valid, model, settings.criterion, ranks) if data.valid else None
        trainer = Trainer(TargetLoss(model, settings), batches, validation, settings, run, precision, ranks)
        if stored:
            state.load_state_dict(trainer, stored)
        return trainer


check = functools.partial(fitting.check, has_text=False)
initial_settings, initial_weights = transfer.settings, transfer.weights
