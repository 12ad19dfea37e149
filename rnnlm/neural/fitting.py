"""Truncated back-propagation through time (Williams & Peng 1990; Mikolov et al. 2010), as a generator of events.

B contiguous streams are read side by side in windows of T tokens; the state is carried from window to window and
detached, so gradients reach T tokens back at most. Validation happens at intervals, the best weights are kept, and
the run ends with its budget, without improvement (early stopping), or when the caller asks.
"""

import math
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from rnnlm import reading
from rnnlm.batches import Window, count_windows, stream_bounds, tbptt_windows, with_boundary
from rnnlm.config import Budget, Resolved
from rnnlm.encoding import TrainingData
from rnnlm.errors import TrainingError, notice
from rnnlm.events import Event, Fitted, Started, Step, Validated
from rnnlm.interface import PADDING
from rnnlm.neural.device import (
    keep_freed_memory,
    memory_errors,
    resolve_device,
    resolve_precision,
    training_products,
)
from rnnlm.neural.language_model import NeuralLanguageModel
from rnnlm.neural.network import RecurrentNetwork
from rnnlm.neural.optimizers import LearningRate, clip_gradients, make_optimizer
from rnnlm.neural.report import Report
from rnnlm.neural.settings import FittingSettings, NetworkSettings, RunSettings

VALIDATION_SHARE = 0.05  # of a time budget that validations may cost
FIRST_VALIDATION = 0.1  # share of a time budget before the first one, but two minutes at most: it is also the first save
FIRST_VALIDATION_SECONDS = 120


def fit(
    resolved: Resolved,
    data: TrainingData,
    stop: Callable[[], bool] = lambda: False,
    initial: dict[str, np.ndarray] | None = None,
) -> Iterator[Event]:
    """Train a recurrent network on `data`; `initial` weights replace the random ones; `stop` is asked at every step.

    Yields Started, then Step and Validated as they come, at the end Fitted with the best weights.

    Raises:
        DeviceError: the device asked for is not here. TrainingError: there is nothing to train on, or too little memory.
    """
    run = resolved.make(RunSettings)
    if run.threads:
        torch.set_num_threads(run.threads)
    device = resolve_device(run.device)
    precision = resolve_precision(run.precision, device)
    keep_freed_memory(device)
    torch.manual_seed(run.seed)
    with memory_errors(device):
        network = make_network(resolved.make(NetworkSettings), data, device, initial)
        trainer = Trainer(network, resolved.make(FittingSettings), run, data, precision)
        yield trainer.started()
        yield from trainer.train(stop)


def make_network(
    settings: NetworkSettings, data: TrainingData, device: torch.device, initial: dict[str, np.ndarray] | None = None
) -> RecurrentNetwork:
    """A network with random (drawn on the CPU, so the same on every device) or `initial` weights, on `device`."""
    network = RecurrentNetwork(settings, data.tokenizer.size)
    if data.tokenizer.counts_V is not None:
        network.set_output_bias(torch.from_numpy(data.tokenizer.counts_V))
    if initial is not None:
        network.load_state_dict({name: torch.from_numpy(array) for name, array in initial.items()})
    return network.to(device)


class Trainer:
    """One run: the network, its optimizer, its place in the text, its best weights."""

    def __init__(
        self, network: RecurrentNetwork, settings: FittingSettings, run: RunSettings, data: TrainingData, precision: str
    ) -> None:
        self.network = network
        self.settings = settings
        self.data = data
        self.device = network.embedding.weight.device
        self.precision = precision
        self.rows = _fitting_rows(settings.batch_rows, data.train.tokens)
        self.budget = Budget.parse(run.budget)
        self.optimizer = make_optimizer(settings, network, self.device)
        self.learning_rate = LearningRate(settings)
        self.random = np.random.default_rng(run.seed)
        self.stream = self._on_device(with_boundary(data.train.ids, data.tokenizer.boundary_id).astype(np.int32))
        self.steps_per_epoch = self._count_windows()
        self.step_count = self.token_count = 0
        self.best_ppl: float | None = None
        self.best_step = 0
        self.best_weights: dict[str, Tensor] = {}
        self.bad_validations = 0
        self.validation_seconds = 0.0
        self.started_at = time.perf_counter()
        self.validated_at = 0.0
        self.validated_step = 0

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
            rows=self.rows,
            bptt_tokens=self.settings.bptt_tokens,
            validation=f"{self._validation_rows()} streams, {self.precision}" if valid else "none",
        )

    def train(self, stop: Callable[[], bool]) -> Iterator[Event]:
        """Steps, validations, and at the end the best weights."""
        report = Report(self.device)
        state = self.network.initial_state(self.rows)
        stopped, epoch = "budget", 0.0
        for epoch_after, window in self.windows():
            progress = self._progress()
            if progress >= 1.0:
                break
            if stop():
                stopped = "request"
                break
            loss, state = self.step(window, state, self.learning_rate.at(progress))
            epoch = epoch_after
            self.token_count += int((window.end_B - window.start_B).sum())
            report.add(loss, self.token_count)
            validation_due = self._validation_due(progress)
            if validation_due or report.due():
                event = self._report(report, epoch, progress)
                yield event
                if not math.isfinite(event.loss_nats):
                    stopped = "diverged"
                    break
            if validation_due:
                yield self.validate(epoch)
                report.restart()
                if self.settings.patience and self.bad_validations >= self.settings.patience:
                    stopped = "early"
                    break
        if report.steps:
            yield self._report(report, epoch, progress)
        if self.data.valid and stopped == "budget" and self.step_count > self.validated_step:
            yield self.validate(epoch)
        yield self._fitted(stopped)

    def step(self, window: Window, state: tuple[Tensor, ...], rate: float) -> tuple[Tensor, tuple[Tensor, ...]]:
        """One window: loss, gradients, update. Nothing here waits for the device."""
        inputs_TB, targets_TB = self.gather(window)
        state = self._refresh(state, window.fresh_B)
        self.network.train()
        with training_products(self.precision, self.device):
            loss, state = self.network.loss(inputs_TB, targets_TB, state)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        clip_gradients(self.settings, self.network)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.step_count += 1
        return loss.detach(), tuple(tensor.detach() for tensor in state)

    def validate(self, epoch: float) -> Validated:
        """Perplexity of the validation text, read as several streams; the best weights are kept."""
        began = time.perf_counter()
        valid = self.data.valid
        model = NeuralLanguageModel(self.network, self.data.tokenizer, self.precision)
        spans = reading.spans_between(stream_bounds(valid.tokens, self._validation_rows()))
        ppl = _perplexity(reading.score_spans(model, valid.ids, spans))
        improved = ppl is not None and (self.best_ppl is None or ppl < self.best_ppl)
        if improved:
            self.best_ppl = ppl
            self._keep_best()
        self.bad_validations = 0 if improved else self.bad_validations + 1
        self.learning_rate.after_validation(improved)
        self.validation_seconds = time.perf_counter() - began
        self.validated_at, self.validated_step = self._elapsed(), self.step_count
        best = self.best_ppl if self.best_ppl is not None else math.inf
        return Validated(self.step_count, epoch, ppl or math.inf, best, improved, self._elapsed(), self._model())

    def windows(self) -> Iterator[tuple[float, Window]]:
        """(epochs done with it, window), epoch after epoch without end; an epoch's first window is fresh in every row."""
        bounds = stream_bounds(self.data.train.tokens, self.rows)
        epoch = 0
        while True:
            windows = tbptt_windows(bounds, self.settings.bptt_tokens, self.data.train.document_offsets)
            for done, window in enumerate(windows, start=1):
                if self.settings.state_reset:
                    drawn_B = self.random.random(self.rows) < self.settings.state_reset
                    window = Window(window.start_B, window.end_B, window.fresh_B | drawn_B)
                yield epoch + done / self.steps_per_epoch, window
            epoch += 1

    def gather(self, window: Window) -> tuple[Tensor, Tensor]:
        """inputs_TB and targets_TB on the device; targets past a row's end are padding."""
        length = int((window.end_B - window.start_B).max())
        start_B, end_B = self._on_device(window.start_B), self._on_device(window.end_B)
        position_TB = start_B + torch.arange(length, device=self.device).unsqueeze(1)
        inside_TB = position_TB < end_B
        position_TB = position_TB.clamp(max=len(self.stream) - 2)
        targets_TB = self.stream[position_TB + 1].long().masked_fill(~inside_TB, PADDING)
        return self.stream[position_TB].long(), targets_TB

    def _refresh(self, state: tuple[Tensor, ...], fresh_B: np.ndarray) -> tuple[Tensor, ...]:
        """`state` with the initial one (zeros) in the rows that begin anew."""
        if not fresh_B.any():
            return state
        fresh_1B1 = self._on_device(fresh_B).view(1, -1, 1)
        return tuple(tensor.masked_fill(fresh_1B1, 0.0) for tensor in state)

    def _on_device(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device, non_blocking=True)

    def _count_windows(self) -> int:
        bounds = stream_bounds(self.data.train.tokens, self.rows)
        return count_windows(bounds, self.settings.bptt_tokens, self.data.train.document_offsets)

    def _validation_rows(self) -> int:
        return _fitting_rows(32, self.data.valid.tokens // self.settings.bptt_tokens, quiet=True)

    def _elapsed(self) -> float:
        return time.perf_counter() - self.started_at

    def _progress(self) -> float:
        """The share of the budget used; of a time budget, the last validation's cost is set aside."""
        if self.budget.steps:
            return self.step_count / self.budget.steps
        if self.budget.epochs:
            return self.step_count / max(1, round(self.budget.epochs * self.steps_per_epoch))
        return self._elapsed() / max(1e-3, self.budget.seconds - 1.1 * self.validation_seconds)

    def _validation_due(self, progress: float) -> bool:
        if self.data.valid is None:
            return False
        if self.settings.validate_every_steps:
            return self.step_count % self.settings.validate_every_steps == 0
        if self.budget.seconds is None:
            return self.step_count % self.steps_per_epoch == 0
        if not self.validated_step:
            return progress >= FIRST_VALIDATION or self._elapsed() >= FIRST_VALIDATION_SECONDS
        return self._elapsed() - self.validated_at >= self.validation_seconds / VALIDATION_SHARE and progress < 0.97

    def _report(self, report: Report, epoch: float, progress: float) -> Step:
        return report.event(self.step_count, epoch, self.optimizer.param_groups[0]["lr"], progress, self._elapsed())

    def _keep_best(self) -> None:
        self.best_step = self.step_count
        self.best_weights = {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}

    def _model(self) -> NeuralLanguageModel:
        return NeuralLanguageModel(self.network, self.data.tokenizer)

    def _fitted(self, stopped: str) -> Fitted:
        """The best weights go back into the network (the last ones, where nothing was validated).

        Weights that are no numbers are a run that diverged, whatever ended it.
        """
        weights = self.network.state_dict()
        if not all(bool(tensor.isfinite().all()) for tensor in weights.values()):
            stopped = "diverged"
        if self.best_weights:
            self.network.load_state_dict(self.best_weights)
        else:
            self.best_step = self.step_count
        self.network.eval()
        return Fitted(self.best_step, self.step_count, self.token_count, self._elapsed(), stopped, self._model(), self.best_ppl)


def _fitting_rows(rows: int, tokens: int, quiet: bool = False) -> int:
    """`rows`, or as many streams as `tokens` allow."""
    if tokens < 1 and not quiet:
        raise TrainingError("there is nothing to train on", "the text has no tokens")
    fitting = max(1, min(rows, tokens // 2))
    if fitting < rows and not quiet:
        notice(f"the text has {tokens} tokens only: {fitting} parallel streams instead of {rows}")
    return fitting


def _perplexity(logprob_N: np.ndarray) -> float | None:
    """exp of the mean negative log-probability; None where that is not a finite number."""
    mean = -float(logprob_N.sum(dtype=np.float64)) / max(1, len(logprob_N))
    return math.exp(mean) if math.isfinite(mean) and mean < 700 else None
