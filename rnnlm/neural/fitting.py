"""Truncated back-propagation through time (Williams & Peng 1990; Mikolov et al. 2010), as a generator of events.

B contiguous streams are read side by side in windows of T tokens; the state is carried from window to window and
detached, so gradients reach T tokens back at most. Validation happens at intervals, the best weights are kept, and
the run ends with its budget, without improvement (early stopping), when the caller asks, or when it diverges.
"""

from collections.abc import Callable, Generator, Iterator

import numpy as np
import torch
from torch import Tensor

from rnnlm.batches import Window
from rnnlm.config import Budget, Resolved
from rnnlm.corpus import TextSettings
from rnnlm.encoding import TrainingData
from rnnlm.errors import SettingsError, UsageError, notice
from rnnlm.events import Event, Fitted, Kept, Started, Step, TrainingState, Validated
from rnnlm.interface import Tokenizer
from rnnlm.neural import continuing
from rnnlm.neural.averaging import Averaging
from rnnlm.neural.budget import BudgetClock
from rnnlm.neural.cuda_graphs import with_graphs
from rnnlm.neural.device import (
    keep_freed_memory,
    memory_errors,
    resolve_device,
    resolve_precision,
)
from rnnlm.neural.divergence import Divergence, Snapshots
from rnnlm.neural.fine_tuning import FineTuning
from rnnlm.neural.fitting_settings import FittingSettings, RunSettings
from rnnlm.neural.iteration import Iteration
from rnnlm.neural.language_model import NeuralLanguageModel
from rnnlm.neural.learning_rate import LearningRate
from rnnlm.neural.network import Network, NetworkState, make_network
from rnnlm.neural.network_settings import KINDS, NetworkSettings
from rnnlm.neural.optimizers import make_optimizer
from rnnlm.neural.penalties import Penalty
from rnnlm.neural.report import Report
from rnnlm.neural.streams import TextStreams
from rnnlm.neural.validation import Validation
from rnnlm.neural.words.pretrained import check_text, load_vectors, read_vectors

KEEP_SECONDS = 600.0


def check(resolved: Resolved, has_valid: bool) -> None:
    """Whether the device and the precision asked for are here, the file of word vectors, and validation text for a schedule
    that needs it.

    Raises:
        DeviceError: they are not. SettingsError: there is no such device. TextError: the file of word vectors cannot be
            read, or is binary. UsageError: there is no validation text.
    """
    run, settings = resolved.make(RunSettings), resolved.make(FittingSettings)
    resolve_precision(run.precision, resolve_device(run.device))
    if settings.embeddings:
        check_text(settings.embeddings)
    if settings.hearing_validations and not has_valid:
        way_out = "name one with --valid, or hold some out: --set holdout=0.05"
        raise UsageError(f"{settings.hearing_validations} needs validation text", way_out=way_out)


def fit(
    resolved: Resolved,
    data: TrainingData,
    stop: Callable[[], bool] = lambda: False,
    initial: dict[str, np.ndarray] | TrainingState | None = None,
) -> Iterator[Event]:
    """Train a network on `data`; `initial` weights replace the random ones, or a run goes on where it was cut off; `stop` is
    asked at every step.

    Yields Started, then Step and Validated as they come, at the end Fitted with the best weights.

    Raises:
        DeviceError: the device asked for is not here. TrainingError: there is nothing to train on, or too little memory.
    """
    trainer = make_trainer(resolved, data, initial)
    yield trainer.started()
    if isinstance(initial, TrainingState) and trainer.progress() >= 1.0:
        notice("the run's budget, which counts from its start, is spent: raise it with --budget to go on")
    with memory_errors(trainer.device):
        yield from trainer.train(stop)


def make_trainer(
    resolved: Resolved, data: TrainingData, initial: dict[str, np.ndarray] | TrainingState | None = None
) -> "Trainer":
    """A trainer on the device asked for, torch's threads and seed set; what it raises is as for :func:`fit`."""
    run = resolved.make(RunSettings)
    if run.threads:
        torch.set_num_threads(run.threads)
    device = resolve_device(run.device)
    precision = resolve_precision(run.precision, device)
    keep_freed_memory(device)
    torch.manual_seed(run.seed)
    goes_on = isinstance(initial, TrainingState)
    with memory_errors(device):
        weights = None if goes_on else initial
        network = start_network(resolved.make(KINDS[resolved.values["model"]]), data.tokenizer, device, weights)
        settings = resolved.make(FittingSettings)
        encoding_errors = resolved.values.get("encoding_errors", TextSettings.encoding_errors)
        _place_vectors(network, settings, data.tokenizer, encoding_errors, is_started=initial is not None)
        trainer = Trainer(network, settings, run, data, precision)
        if goes_on:
            continuing.put_back(trainer, initial)
        return trainer


def start_network(
    settings: NetworkSettings, tokenizer: Tokenizer, device: torch.device, initial: dict[str, np.ndarray] | None = None
) -> Network:
    """A network with random (drawn on the CPU, so the same on every device) or `initial` weights, on `device`."""
    network = make_network(settings, tokenizer)
    if initial is not None:
        network.load_state_dict({name: torch.from_numpy(array) for name, array in initial.items()})
        network.prepare()
    return network.to(device)


def _place_vectors(
    network: Network, settings: FittingSettings, tokenizer: Tokenizer, encoding_errors: str, is_started: bool
) -> None:
    """Word vectors from a file, and whether they are trained; `is_started`: whether the network has weights of another model.

    Raises:
        SettingsError: there are no word vectors, they have another width, or would stay random. TextError: the file is damaged.
    """
    if not settings.embeddings and not settings.freeze_embeddings:
        return
    weight_VE = network.input.weight
    if weight_VE is None:
        raise SettingsError("embeddings are for word vectors", "words are read as characters alone", "set characters_beside=true")
    if not settings.embeddings and not is_started:
        way_out = "name a file with --embeddings, or a model with --init-from"
        raise SettingsError("freeze_embeddings = true would keep random word vectors", way_out=way_out)
    if settings.embeddings:
        found = read_vectors(settings.embeddings, tokenizer.symbols(), weight_VE.shape[1], encoding_errors)
        load_vectors(weight_VE, found)
    weight_VE.requires_grad_(not settings.freeze_embeddings)


class Trainer:
    """One run: the network, its optimizer, its place in the text, its validation."""

    def __init__(
        self, network: Network, settings: FittingSettings, run: RunSettings, data: TrainingData, precision: str
    ) -> None:
        self.network = network
        self.settings = settings
        self.data = data
        self.precision = precision
        self.device = next(network.parameters()).device
        self.streams = TextStreams(data.train, data.tokenizer.boundary_id, settings, run.seed, self.device)
        self.optimizer = make_optimizer(settings, network, self.device)
        self.learning_rate = LearningRate(settings)
        iteration = Iteration(network, settings, self.optimizer, Penalty(settings, network), precision)
        self.iteration = with_graphs(iteration, settings, self.device)
        self.averaging = Averaging(settings, network)
        self.clock = BudgetClock(Budget.parse(run.budget))
        self.validation = Validation(data.valid, settings, self._model(precision), self.clock)
        self.fine_tuning = FineTuning(settings, self.averaging, self.validation)
        self.divergence = Divergence(data.tokenizer.size, network.output.is_exact)
        self.snapshots = Snapshots(network)
        self.step_count = self.token_count = 0
        self.epochs = 0.0  # done of the text
        self.state = network.initial_state(self.streams.rows)  # the hidden state, carried from window to window
        self.resumable = run.resumable
        self.kept_at = 0.0  # seconds of the run

    def started(self) -> Started:
        valid = self.data.valid
        return Started(
            model=self.network.settings.model,
            parameters=sum(parameter.numel() for parameter in self.network.parameters()),
            vocabulary_size=self.data.tokenizer.size,
            train_tokens=self.data.train.tokens,
            valid_tokens=valid.tokens if valid else 0,
            device=str(self.device),
            precision=self.precision,
            rows=self.streams.rows,
            bptt_tokens=self.settings.bptt_tokens,
            validation=str(self.validation),
        )

    def train(self, stop: Callable[[], bool]) -> Iterator[Event]:
        """Steps, validations, and at the end the best weights."""
        report = Report(self.device, self.network.output.is_exact, self.token_count)
        stopped, loss = yield from self._read_windows(report, stop)
        if report.steps:
            yield self._report(report)
        if loss is not None and stopped == "budget":
            self.divergence.end(float(loss), self.step_count)
        can_go_on = self.resumable and self.step_count and stopped != "early" and not self.divergence.why
        kept = continuing.taken(self) if can_go_on else None
        if self.data.valid and stopped == "budget" and self.step_count > self.validation.step and not self.divergence.why:
            with self.averaging.in_place():
                yield self._validate()
        yield self._fitted(stopped, kept)

    def _read_windows(self, report: Report, stop: Callable[[], bool]) -> Generator[Event, None, tuple[str, Tensor | None]]:
        """Steps and validations as they are due; why they ended, and the last loss."""
        loss = None
        for epochs, window in self.streams.windows(self.epochs):
            if self.progress() >= 1.0:
                break
            if stop():
                return "request", loss
            rate = self.learning_rate.at(self.progress(), self.epochs) * self.streams.rate_factor(window)
            loss, self.state = self.step(window, self.state, rate)
            self.epochs = epochs
            self.token_count += int((window.end_B - window.start_B).sum())
            report.add(loss, self.token_count)
            validation_due = self.validation.due(self.step_count, epochs)
            if validation_due or report.due():
                yield self._report(report)
                if self.divergence.why:
                    break
            if validation_due:
                with self.averaging.in_place():
                    yield self._validate()
                self.fine_tuning.after_validation(self.progress(), self.step_count)
                report.restart()
                if self.divergence.why:
                    break
                if self._keeping_due():
                    yield Kept(self.step_count, self.clock.elapsed(), continuing.taken(self))
                if self.validation.is_hopeless or self.learning_rate.is_used_up or self.fine_tuning.is_over:
                    return "early", loss
        return "budget", loss

    def _keeping_due(self) -> bool:
        """Whether it is long ago that what the run could go on from was told."""
        if not self.resumable or self.clock.elapsed() - self.kept_at < KEEP_SECONDS:
            return False
        self.kept_at = self.clock.elapsed()
        return True

    def progress(self) -> float:
        """The share of the budget that is used."""
        return self.clock.progress(self.step_count, self.epochs)

    def step(self, window: Window, state: NetworkState, rate: float) -> tuple[Tensor, NetworkState]:
        """One window: loss, gradients, update. Nothing here waits for the device."""
        inputs_TB, targets_TB = self.streams.gather(window)
        state = self.streams.refresh(state, window.fresh_B)
        loss, state = self.iteration(inputs_TB, targets_TB, state, rate)
        self.step_count += 1
        self.averaging.update(self.step_count)
        return loss, state

    def _report(self, report: Report) -> Step:
        rate = self.optimizer.param_groups[0]["lr"]
        event = report.event(self.step_count, self.epochs, rate, self.progress(), self.clock.elapsed())
        self.divergence.read(event)
        if self.validation.best_weights:
            self.snapshots.clear()
        elif self.divergence.is_sound:
            self.snapshots.take(event.step, event.seconds)
        return event

    def _validate(self) -> Validated:
        """Read the validation text; where the schedule says so, the weights go back to the best ones. What the optimizer
        remembers stays: begun anew, Adam would take its largest steps just when the rate was lowered."""
        found = self.validation
        improved = found.read(self.step_count)
        self.divergence.read_validation(found.ppl, self.step_count)
        self.averaging.after_validation(found.ppl, self.step_count)
        if self.learning_rate.after_validation(found.ppl, improved):
            found.restore_best()
        return Validated(self.step_count, self.epochs, found.ppl, found.best_ppl, improved, self.clock.elapsed(), self._model())

    def _model(self, precision: str = "fp32") -> NeuralLanguageModel:
        return NeuralLanguageModel(self.network, self.data.tokenizer, precision)

    def _fitted(self, stopped: str, kept: TrainingState | None = None) -> Fitted:
        """The best weights go back into the network; where nothing was validated, the last ones or their average, and the
        last good ones of a run that diverged (none: `step` is 0). Weights that are no numbers are such a run, too."""
        if not all(bool(tensor.isfinite().all()) for tensor in self.network.state_dict().values()):
            self.divergence.why = self.divergence.why or f"a weight is not a number after step {self.step_count}"
        facts = {"divergence": self.divergence.why} if self.divergence.why else {}
        best = self.validation
        step, ppl = self.step_count, None
        if best.best_weights:
            best.restore_best()
            step, ppl = best.best_step, best.best_ppl
        elif facts:
            step = self.snapshots.restore()
        else:
            self.averaging.install()
        self.network.eval()
        stopped = "diverged" if facts else stopped
        kept = None if facts else kept
        return Fitted(step, self.step_count, self.token_count, self.clock.elapsed(), stopped, self._model(), ppl, facts, kept)
