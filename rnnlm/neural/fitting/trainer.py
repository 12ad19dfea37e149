"""Truncated back-propagation through time (Williams & Peng 1990; Mikolov et al. 2010), as a generator of events.

B contiguous streams are read side by side in windows of T tokens; the state is carried from window to window and
detached, so gradients reach T tokens back at most. Validation happens at intervals, the best weights are kept, and
the run ends with its budget, without improvement (early stopping), or when the caller asks. When the numbers
come apart, it goes back to its last good state, a limited number of times.
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import replace

from torch import Tensor

from rnnlm.config import Budget
from rnnlm.errors import TrainingError
from rnnlm.events import Checkpoint, Event, Fitted, Started, Step, TrainingState, Validated, never
from rnnlm.neural.fitting import state as continuing
from rnnlm.neural.fitting.averaging import Averaging
from rnnlm.neural.fitting.budget import BudgetClock, Interval
from rnnlm.neural.fitting.cuda_graphs import GraphedIteration, with_graphs
from rnnlm.neural.fitting.divergence import Divergence
from rnnlm.neural.fitting.fine_tuning import FineTuning
from rnnlm.neural.fitting.optimizers import make_optimizer
from rnnlm.neural.fitting.penalties import Penalty
from rnnlm.neural.fitting.progress import Report
from rnnlm.neural.fitting.ranks import SINGLE_PROCESS, SingleProcess
from rnnlm.neural.fitting.rollbacks import Rollbacks, loss_now
from rnnlm.neural.fitting.schedule import LearningRate
from rnnlm.neural.fitting.settings import FittingSettings, RunSettings
from rnnlm.neural.fitting.shared_iteration import make_iteration
from rnnlm.neural.fitting.step import Iteration
from rnnlm.neural.fitting.streams import TextStreams
from rnnlm.neural.fitting.validation import Validation
from rnnlm.neural.language_model import NeuralLanguageModel
from rnnlm.neural.network import Network, NetworkState
from rnnlm.text.batches import Window
from rnnlm.text.encoding import TrainingData


class Trainer:
    """One run: the network, its optimizer, its place in the text, its validation.

    ranks: this one is one of them, with a share of the rows; all take every step together. rows: of all ranks; None: `batch_rows` for each.

    Raises:
        TrainingError: the text has no tokens, or fewer rows than there are ranks.
    """

    def __init__(
        self, network: Network, settings: FittingSettings, run: RunSettings, data: TrainingData, precision: str,
        ranks: SingleProcess = SINGLE_PROCESS, rows: int | None = None,
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
        self.iteration = self.make_iteration()
        self.averaging = Averaging(settings, network)
        self.clock = BudgetClock(Budget.parse(run.budget), ranks.now)
        self.validation = Validation(data.valid, settings, self._model(precision), self.clock, ranks)
        self.fine_tuning = FineTuning(settings, self.averaging, self.validation)
        self.divergence = Divergence(data.tokenizer.size, network.output.is_exact)
        self.rollbacks = Rollbacks(settings)
        self.step_count = self.token_count = 0
        self.epochs = 0.0  # done of the text
        self.state = network.initial_state(self.rows.stop - self.rows.start)  # the hidden state, carried from window to window
        self.gradient_norm: Tensor | None = None  # of the last step, before clipping
        self.window: Window | None = None  # of the last step
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
            step=self.step_count,
        )

    def train(self, stop: Callable[[], bool], save: Callable[[], bool] = never) -> Iterator[Event]:
        """Steps, validations, and at the end the best weights. Asked at every step: whether to `stop`, and whether to `save`
        what the run could go on from. A fault in the numbers sends the run back to its last good state, at a lower rate."""
        stop, save = self.ranks.hear(stop, save)
        weights = list(self.network.parameters())
        self.report = Report(self.device, self.network.output.is_exact, self.token_count, weights, self.ranks)
        self.saving.begin(self.step_count, self.clock.elapsed())
        began_at = self.step_count
        self.rollbacks.interval.begin(self.step_count, self.clock.elapsed())
        if self.rollbacks.left or self.step_count:
            self.rollbacks.take(self)
        stopped = yield from self._read_to_the_end(stop, save)
        while self.divergence.why and self.rollbacks.left:
            yield self.rollbacks.go_back(self)
            stopped = yield from self._read_to_the_end(stop, save)
        can_go_on = self.resumable and self.step_count > began_at and not self.divergence.why
        kept = (yield from self._kept_at_the_end()) if can_go_on else None
        if self.data.valid and stopped == "budget" and self.step_count > self.validation.step and not self.divergence.why:
            with self.averaging.in_place():
                is_done = yield from self._validate(stop)
            stopped = stopped if is_done else "request"  # it is made up for when the run goes on
        yield self._fitted(stopped, kept)

    def _read_to_the_end(self, stop: Callable[[], bool], save: Callable[[], bool]) -> Generator[Event, None, str]:
        """Steps, and whether the weights that they end with are good; why they ended."""
        stopped = yield from self._read_windows(stop, save)
        yield from self._report_rest()
        if self.window and stopped == "budget" and not self.divergence.why:
            self.divergence.end(loss_now(self), self.step_count, self.window.tokens)
        return stopped

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
            is_good_to_have = bool(self.validation.best_weights)  # what is saved of a run can be gone on with from then on
            if self.resumable and (self.saving.due(self.step_count, self.clock.elapsed(), soon=is_good_to_have) or save()):
                yield from self._keep()
                if self.divergence.why:
                    return "diverged"
            self._take_step(*next(windows))
            if self.report.due():
                yield self._reported()
                if self.rollbacks.interval.due(self.step_count, self.clock.elapsed()):
                    yield from self._remember()
                if self.divergence.why:
                    return "diverged"

    @property
    def is_over(self) -> bool:
        """Whether the run is to end before its budget: further validations would find nothing better."""
        return self.validation.is_hopeless or self.learning_rate.is_used_up or self.fine_tuning.is_over

    def progress(self) -> float:
        """The share of the budget that is used."""
        return self.clock.progress(self.step_count, self.epochs)

    def make_iteration(self) -> Iteration | GraphedIteration:
        """For :meth:`step`; anew wherever the optimizer's arrays are others, as a recorded one knows only those of before."""
        parts = self.network, self.settings, self.optimizer, Penalty(self.settings, self.network), self.precision
        return with_graphs(make_iteration(*parts, self.ranks, self.streams.rows), self.settings, self.device)

    def step(self, window: Window, state: NetworkState, rate: float) -> tuple[Tensor, NetworkState]:
        """One window: loss, gradients, update. Nothing here waits for the device. Of several ranks, `state` is of this one's rows, and
        the loss is what they have of the mean."""
        inputs_TB, targets_TB = self.streams.gather(window, self.rows)
        state = self.streams.refresh(state, window.fresh_B[self.rows])
        loss, self.gradient_norm, state = self.iteration(inputs_TB, targets_TB, state, rate, window)
        self.step_count += 1
        self.averaging.update(self.step_count)
        return loss, state

    def _take_step(self, epochs: float, window: Window) -> None:
        """The next step of the run; after it `epochs` are done."""
        factor = self.rollbacks.rate_factor * self.streams.rate_factor(window)
        loss, self.state = self.step(window, self.state, self.learning_rate.at(self.progress(), self.epochs) * factor)
        self.epochs, self.window = epochs, window
        self.token_count += window.tokens
        self.report.add(loss, self.gradient_norm, self.token_count)

    def _validation_due(self) -> bool:
        return self.step_count > self.validation.step and self.validation.due(self.step_count, self.epochs)

    def _validate_between_steps(self, stop: Callable[[], bool]) -> Generator[Event, None, bool]:
        """Report, validate, and hear what follows for the steps to come; False where `stop` cut the validation off."""
        is_good = yield from self._is_good()
        if self.divergence.why:
            return True
        with self.averaging.in_place():
            is_done = yield from self._validate(stop)
        if is_done:
            self.fine_tuning.after_validation(self.progress(), self.step_count)
            if is_good and self.validation.best_step == self.step_count:  # who goes back is to find its best weights behind it
                self.rollbacks.take(self)
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

    def _keep(self) -> Generator[Event, None, None]:
        """What the run could go on from now, to be stored if it is good; with the weights as a model where validation has kept none."""
        began = self.clock.elapsed()
        if not (yield from self._remember()):
            self.saving.begin(self.step_count, began)
            return
        taken = self.clock.elapsed()
        if self.validation.best_weights:
            yield Checkpoint(self.step_count, began, self.rollbacks.good, None)
        else:
            with self.averaging.in_place():
                yield Checkpoint(self.step_count, began, self.rollbacks.good, self._model())
        self.ranks.meet()
        self.saving.done(self.step_count, began, self.clock.elapsed())
        self.report.pause(self.clock.elapsed() - taken)

    def _remember(self) -> Generator[Event, None, bool]:
        """The state as it is now, if it is good, is what the next fault goes back to; whether it is."""
        began = self.clock.elapsed()
        is_good = yield from self._is_good()
        if is_good:
            self.rollbacks.take(self)
        self.ranks.meet()
        self.rollbacks.interval.done(self.step_count, began, self.clock.elapsed())
        self.report.pause(self.clock.elapsed() - began)
        return is_good

    def _kept_at_the_end(self) -> Generator[Event, None, TrainingState]:
        """What the run could go on from: the last good state, should this be none."""
        is_good = yield from self._is_good()
        if is_good or not self.rollbacks.good:
            self.rollbacks.take(self)
        return self.rollbacks.good

    def _is_good(self) -> Generator[Event, None, bool]:
        """Whether the run may go on from here. A loss is of the weights before its step: so they are tried as they are now, too."""
        yield from self._report_rest()
        return not self.divergence.why and (self.window is None or self.divergence.bears(loss_now(self), self.step_count))

    def _report_rest(self) -> Iterator[Step]:
        """What no report has told of yet."""
        while self.report.pending:
            yield self._reported()

    def _reported(self) -> Step:
        rate = self.optimizer.param_groups[0]["lr"]
        event = self.report.event(self.step_count, self.epochs, rate, self.progress(), self.clock.elapsed())
        self.divergence.read(event)
        return event

    def _model(self, precision: str = "fp32") -> NeuralLanguageModel:
        return NeuralLanguageModel(self.network, self.data.tokenizer, precision)

    def _fitted(self, stopped: str, kept: TrainingState | None = None) -> Fitted:
        """The best weights go back into the network; where nothing was validated, the last ones or their average, and the
        last good ones of a run that diverged (none: `step` is 0)."""
        steps, tokens, best, found = self.step_count, self.token_count, self.validation, self.rollbacks
        why = self.divergence.why or ("" if steps else found.why)  # the time was up when the run was back at its beginning
        facts = {"rollbacks": found.count} if found.count else {}
        if why:
            stopped, facts["divergence"] = "diverged", f"{why}{found}"
            if found.good and not best.best_weights:
                continuing.go_back(self, found.good)
        if best.best_weights:
            best.restore_best()
            step, ppl = best.best_step, best.best_ppl
        else:
            self.averaging.install()
            step, ppl = found.step if why else steps, None
        self.network.eval()
        kept = None if why else kept
        return Fitted(step, steps, tokens, self.clock.elapsed(), stopped, self._model(), ppl, facts, kept)
