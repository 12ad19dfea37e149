"""Truncated back-propagation through time (Williams & Peng 1990; Mikolov et al. 2010), as a generator of events.

B contiguous streams are read side by side in windows of T tokens; the state is carried from window to window and
detached, so gradients reach T tokens back at most. Validation happens at intervals, the best weights are kept, and
the run ends with its budget, without improvement (early stopping), when the caller asks, or when it diverges.
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import replace

from torch import Tensor

from rnnlm.batches import Window
from rnnlm.config import Budget
from rnnlm.encoding import TrainingData
from rnnlm.errors import TrainingError
from rnnlm.events import Event, Fitted, Kept, Started, Step, TrainingState, Validated, never
from rnnlm.neural import continuing
from rnnlm.neural.averaging import Averaging
from rnnlm.neural.budget import BudgetClock, Interval
from rnnlm.neural.cuda_graphs import with_graphs
from rnnlm.neural.divergence import Divergence, Snapshots
from rnnlm.neural.fine_tuning import FineTuning
from rnnlm.neural.fitting_settings import FittingSettings, RunSettings
from rnnlm.neural.language_model import NeuralLanguageModel
from rnnlm.neural.learning_rate import LearningRate
from rnnlm.neural.network import Network, NetworkState
from rnnlm.neural.optimizers import make_optimizer
from rnnlm.neural.penalties import Penalty
from rnnlm.neural.ranks import ALONE, Alone
from rnnlm.neural.report import Report
from rnnlm.neural.shared_iteration import make_iteration
from rnnlm.neural.streams import TextStreams
from rnnlm.neural.validation import Validation


class Trainer:
    """One run: the network, its optimizer, its place in the text, its validation.

    ranks: this one is one of them, with a share of the rows; all take every step together. rows: of all ranks; None: `batch_rows` for each.

    Raises:
        TrainingError: the text has no tokens, or fewer rows than there are ranks.
    """

    def __init__(
        self, network: Network, settings: FittingSettings, run: RunSettings, data: TrainingData, precision: str,
        ranks: Alone = ALONE, rows: int | None = None,
    ) -> None:  # fmt: skip
        self.network = network
        self.settings = settings
        self.data = data
        self.precision = precision
        self.device = next(network.parameters()).device
        self.ranks = ranks
        of_all = replace(settings, batch_rows=rows or settings.batch_rows * ranks.count)
        self.streams = TextStreams(data.train, data.tokenizer.boundary_id, of_all, run.seed, self.device)
        if self.streams.rows < ranks.count:
            raise TrainingError(f"{ranks.count} processes are too many", f"there are {self.streams.rows} streams of text", "start fewer")
        self.rows = ranks.share(self.streams.rows)  # that this rank reads
        self.optimizer = make_optimizer(settings, network, self.device)
        self.learning_rate = LearningRate(settings)
        parts = network, settings, self.optimizer, Penalty(settings, network), precision
        iteration = make_iteration(*parts, ranks, self.streams.rows)
        self.iteration = with_graphs(iteration, settings, self.device)
        self.averaging = Averaging(settings, network)
        self.clock = BudgetClock(Budget.parse(run.budget), ranks.now)
        self.validation = Validation(data.valid, settings, self._model(precision), self.clock, ranks)
        self.fine_tuning = FineTuning(settings, self.averaging, self.validation)
        self.divergence = Divergence(data.tokenizer.size, network.output.is_exact)
        self.snapshots = Snapshots(network)
        self.step_count = self.token_count = 0
        self.epochs = 0.0  # done of the text
        self.state = network.initial_state(self.rows.stop - self.rows.start)  # the hidden state, carried from window to window
        self.loss: Tensor | None = None  # of the last step
        self.resumable = run.resumable
        self.saving = Interval.parse(run.save_every)

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
            processes=self.ranks.count,
            bptt_tokens=self.settings.bptt_tokens,
            validation=str(self.validation),
        )

    def train(self, stop: Callable[[], bool], save: Callable[[], bool] = never) -> Iterator[Event]:
        """Steps, validations, and at the end the best weights. Asked at every step: whether to `stop`, and whether to `save`
        what the run could go on from."""
        stop, save = self.ranks.hear(stop, save)
        self.report = Report(self.device, self.network.output.is_exact, self.token_count, self.ranks)
        self.saving.begin(self.step_count, self.clock.elapsed())
        stopped = yield from self._read_windows(stop, save)
        if self.report.steps:
            yield self._reported()
        if self.loss is not None and stopped == "budget":
            self.divergence.end(self.ranks.totals(float(self.loss))[0], self.step_count)
        can_go_on = self.resumable and self.step_count and not self.divergence.why
        kept = continuing.taken(self) if can_go_on else None
        if self.data.valid and stopped == "budget" and self.step_count > self.validation.step and not self.divergence.why:
            with self.averaging.in_place():
                yield from self._validate(stop)
        yield self._fitted(stopped, kept)

    def _read_windows(self, stop: Callable[[], bool], save: Callable[[], bool]) -> Generator[Event, None, str]:
        """Validations as they are due, and steps; why they ended.

        A validation that is due comes before whatever may end the run or store its state: so one that was cut off is made up for
        when the run goes on.
        """
        windows = self.streams.windows(self.epochs)
        while True:
            self.ranks.agree(self.step_count)
            if self._validation_due():
                if not (yield from self._validate_between_steps(stop)):
                    return "request"
                if self.divergence.why:
                    return "diverged"
            if self.is_over:
                return "early"
            if self.progress() >= 1.0:
                return "budget"
            if stop():
                return "request"
            if self.resumable and (self.saving.due(self.step_count, self.clock.elapsed()) or save()):
                yield from self._keep()
            self._take_step(*next(windows))
            if self.report.due():
                yield self._reported()
                if self.divergence.why:
                    return "diverged"

    @property
    def is_over(self) -> bool:
        """Whether the run is to end before its budget: further validations would find nothing better."""
        return self.validation.is_hopeless or self.learning_rate.is_used_up or self.fine_tuning.is_over

    def progress(self) -> float:
        """The share of the budget that is used."""
        return self.clock.progress(self.step_count, self.epochs)

    def step(self, window: Window, state: NetworkState, rate: float) -> tuple[Tensor, NetworkState]:
        """One window: loss, gradients, update. Nothing here waits for the device. Of several ranks, `state` is of this one's rows, and
        the loss is what they have of the mean."""
        inputs_TB, targets_TB = self.streams.gather(window, self.rows)
        state = self.streams.refresh(state, window.fresh_B[self.rows])
        loss, state = self.iteration(inputs_TB, targets_TB, state, rate, window)
        self.step_count += 1
        self.averaging.update(self.step_count)
        return loss, state

    def _take_step(self, epochs: float, window: Window) -> None:
        """The next step of the run; after it `epochs` are done."""
        rate = self.learning_rate.at(self.progress(), self.epochs) * self.streams.rate_factor(window)
        self.loss, self.state = self.step(window, self.state, rate)
        self.epochs = epochs
        self.token_count += int(window.tokens_B.sum())
        self.report.add(self.loss, self.token_count)

    def _validation_due(self) -> bool:
        return self.step_count > self.validation.step and self.validation.due(self.step_count, self.epochs)

    def _validate_between_steps(self, stop: Callable[[], bool]) -> Generator[Event, None, bool]:
        """Report, validate, and hear what follows for the steps to come; whether the validation came to its end."""
        if self.report.steps:
            yield self._reported()
        with self.averaging.in_place():
            is_done = yield from self._validate(stop)
        if is_done:
            self.fine_tuning.after_validation(self.progress(), self.step_count)
        self.report.restart()
        return is_done

    def _validate(self, stop: Callable[[], bool]) -> Generator[Event, None, bool]:
        """Read the validation text; where the schedule says so, the weights go back to the best ones. What the optimizer
        remembers stays: begun anew, Adam would take its largest steps just when the rate was lowered. Whether it was read to its end."""
        found = self.validation
        improved = found.read(self.step_count, stop)
        if improved is None:
            return False
        self.divergence.read_validation(found.ppl, self.step_count)
        self.averaging.after_validation(found.ppl, self.step_count)
        if self.learning_rate.after_validation(found.ppl, improved):
            found.restore_best()
        yield Validated(self.step_count, self.epochs, found.ppl, found.best_ppl, improved, self.clock.elapsed(), self._model())
        return True

    def _keep(self) -> Iterator[Kept]:
        """What the run could go on from now, to be stored; with the weights as a model where validation has kept none."""
        began = self.clock.elapsed()
        state = continuing.taken(self)
        if self.validation.best_weights:
            yield Kept(self.step_count, began, state, None)
        else:
            with self.averaging.in_place():
                yield Kept(self.step_count, began, state, self._model())
        self.ranks.meet()
        self.saving.done(self.step_count, began, self.clock.elapsed())
        self.report.pause(self.clock.elapsed() - began)

    def _reported(self) -> Step:
        rate = self.optimizer.param_groups[0]["lr"]
        event = self.report.event(self.step_count, self.epochs, rate, self.progress(), self.clock.elapsed())
        self.divergence.read(event)
        if self.validation.best_weights:
            self.snapshots.clear()
        elif self.divergence.is_sound:
            self.snapshots.take(event.step, event.seconds)
        return event

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
