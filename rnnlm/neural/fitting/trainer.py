"""The training loop, as a generator of events: for any objective, over batches from any source.

Truncated back-propagation through time (Williams & Peng 1990; Mikolov et al. 2010) where batches
carry a state on: it is detached, so gradients reach back to the beginning of a batch. Validation
happens at intervals, the best weights are kept, and the run ends with its budget, without
improvement (early stopping), or when the caller asks. When it diverges, it goes back to its last
good state.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from rnnlm.config import Budget
from rnnlm.events import (
    Checkpoint,
    Event,
    Fitted,
    RolledBack,
    Step,
    TrainingState,
    Validated,
    never,
)
from rnnlm.neural.fitting import state
from rnnlm.neural.fitting.budget import BudgetClock, Interval
from rnnlm.neural.fitting.contracts import Batch, BatchSource, Carry, Objective, Validation, Verdict
from rnnlm.neural.fitting.divergence import Divergence, Rollbacks
from rnnlm.neural.fitting.optimization import (
    Averaging,
    FineTuning,
    LearningRate,
    make_optimizer,
    set_layer_factors,
)
from rnnlm.neural.fitting.progress import REPORT_SHARE, LayerFigures, Meter
from rnnlm.neural.fitting.ranks import SINGLE_PROCESS, SingleProcess
from rnnlm.neural.fitting.settings import OptimizationSettings, RunSettings
from rnnlm.neural.fitting.step import (
    CudaRecorder,
    GraphedStep,
    TrainingStep,
    make_step,
    records_steps,
    restart_rows,
)
from rnnlm.neural.fitting.validation import BestWeights, CurvePoints, ModelSelection


class Trainer:
    """One run: the objective and its optimizer, the place in the training data, the best weights so
    far.

    ranks: this one is one of them, with a share of the rows; all take every step together.
    """

    def __init__(
        self, objective: Objective, source: BatchSource, validation: Validation | None,
        settings: OptimizationSettings, run: RunSettings,
        precision: str, ranks: SingleProcess = SINGLE_PROCESS,
    ) -> None:  # fmt: skip
        self.objective, self.network = objective, objective.network
        self.source, self.settings, self.precision, self.ranks = source, settings, precision, ranks
        self.device = next(self.network.parameters()).device
        self.is_recorded = records_steps(settings, self.network, self.device, ranks.count)
        self.optimizer = make_optimizer(settings, self.network, self.device, self.is_recorded)
        self.schedule = LearningRate(settings)
        self.update = self.make_update()
        self.averaging, self.fine_tuning = Averaging(settings, self.network), FineTuning(settings)
        self.clock = BudgetClock(Budget.parse(run.budget), ranks.now)
        self.best = BestWeights(self.network)
        self.validation = ModelSelection(
            validation, self.best, settings, self.clock, objective.is_exact
        )
        self.curve = CurvePoints(self.validation)
        self.layers = LayerFigures(self.network, validation, self.clock)
        self.divergence = Divergence(objective.uniform_nats, objective.is_exact)
        self.rollbacks = Rollbacks(settings)
        self.resumable, self.saving = run.resumable, Interval.parse(run.save_every)
        self.step_count = 0
        self.share = ranks.share(source.rows)  # the rows that this rank reads
        # from batch to batch
        self.carry = objective.initial_carry(self.share.stop - self.share.start)
        self.gradient_norm: Tensor  # of the last step, before clipping
        self.batch: Batch | None = None  # of the last step

    def train(self, stop: Callable[[], bool], save: Callable[[], bool] = never) -> Iterator[Event]:
        """Steps, validations, and at the end the best weights. Asked at every step: whether to
        `stop`, and whether to `save` what the run could go on from. A validation that is due comes
        before whatever may end the run or store its state: so one that was cut off is made up for
        when the run goes on."""
        stop, save = self.ranks.exchange_signals(stop, save)
        began_at = self.step_count
        self.begin()
        while True:
            self.ranks.synchronize_periodically(self.step_count)
            if self.validation_due():
                yield from self.pending_reports()
                is_good = self.is_good()
                with self.averaging.in_place():
                    if verdict := self.validate(stop):
                        yield self.validated(verdict, stop)
                self.after_validation(verdict, is_good)
            elif self.curve.due(self.step_count, self.source.epochs):
                yield from self.curve_point(stop)
            if reason := self.reason_to_stop(stop):
                yield from self.pending_reports()
                self.judge_end(reason)
                if not self.divergence.fault or not self.rollbacks.left:
                    break
                yield self.roll_back()
                continue
            if self.saving_due(save):
                yield from self.pending_reports()
                if self.remember():
                    with self.pause(self.saving), self.averaging.in_place():
                        yield self.checkpoint()
                if self.divergence.fault:
                    continue
            self.train_step()
            if self.meter.due(self.progress() - self.reported_at >= REPORT_SHARE - 1e-9):
                yield self.report()
                if self.rollbacks.interval.due(self.step_count, self.clock.elapsed()):
                    yield from self.pending_reports()
                    self.remember()
        yield from self.finish(
            reason, stop, resumable=self.resumable and self.step_count > began_at
        )

    def begin(self) -> None:
        """What is counted and timed counts from here."""
        self.meter = Meter(self.device, self.source.tokens, self.network, self.ranks)
        self.reported_at = self.progress()
        for interval in (self.saving, self.rollbacks.interval):
            interval.begin(self.step_count, self.clock.elapsed())
        if self.rollbacks.left or self.step_count:
            self.keep_state()

    def validation_due(self) -> bool:
        self.validation.ration(self.step_count, self.source.epochs, self.source.tokens)
        return not self.divergence.fault and self.validation.due(
            self.step_count, self.source.epochs
        )

    def validate(self, stop: Callable[[], bool], steers: bool = True) -> Verdict | None:
        """None where `stop` cut it off, or the run has diverged."""
        if self.divergence.fault:
            return None
        return self.validation.run(self.step_count, stop, steers)

    def validated(self, verdict: Verdict, stop: Callable[[], bool] = never) -> Validated:
        return Validated(
            step=self.step_count,
            epoch=self.source.epochs,
            figures={verdict.name: verdict.figure, **verdict.figures},
            best=verdict.figure if self.best.figure is None else self.best.figure,
            improved=self.validation.improved,
            seconds=self.clock.elapsed(),
            model=self.objective.model(),
            criterion=verdict.name,
            share=self.validation.share,
            layers=self.layers.measure(self.step_count, self.ranks.own_stop(stop)),
        )

    def curve_point(self, stop: Callable[[], bool]) -> Iterator[Event]:
        """A validation that the run does not follow; its weights may be the best ones."""
        yield from self.pending_reports()
        with self.averaging.in_place():
            if verdict := self.validate(stop, steers=False):
                self.curve.observe(self.step_count, self.source.epochs)
                yield self.validated(verdict, stop)
        self.meter.restart(self.source.tokens)

    def after_validation(self, verdict: Verdict | None, is_good: bool) -> None:
        """What follows for the steps to come. Where the schedule says so, the weights go back to
        the best ones. What the optimizer remembers stays: begun anew, Adam would take its largest
        steps just when the rate was lowered."""
        self.meter.restart(self.source.tokens)
        if verdict is None:
            return
        self.curve.observe(self.step_count, self.source.epochs)
        self.divergence.observe_validation(verdict.loss_nats, self.step_count)
        self.averaging.after_validation(verdict.cost, self.step_count)
        if self.schedule.after_validation(verdict.loss_nats, self.validation.gained):
            self.best.restore()
        if self.fine_tuning.after_validation(self.progress(), verdict.cost):
            self.best.restore()
            self.averaging.begin_after(self.step_count)
        # so that the good state has the best weights behind it
        if is_good and self.validation.improved:
            self.keep_state()

    @property
    def is_over(self) -> bool:
        """Whether the run is to end before its budget: further validations would find nothing
        better."""
        return self.validation.is_hopeless or self.schedule.is_used_up or self.fine_tuning.is_over

    def progress(self) -> float:
        """The share of the budget that is used."""
        return self.clock.progress(self.step_count, self.source.epochs)

    def reason_to_stop(self, stop: Callable[[], bool]) -> str:
        """One of the words of :class:`Fitted`; "" where there is none."""
        if self.divergence.fault:
            return "diverged"
        if self.is_over:
            return "early"
        if self.progress() >= 1.0:
            return "budget"
        return "request" if stop() else ""

    def judge_end(self, reason: str) -> None:
        """A loss is of the weights before its step: so the weights that a run ends with are tried,
        too."""
        if reason == "budget" and self.batch and not self.divergence.fault:
            self.divergence.end(self.loss_now(self.batch), self.step_count, self.batch.count)

    def is_good(self) -> bool:
        """Whether the run may go on from here, all steps reported: the last report was good, and so
        are the weights after it."""
        return not self.divergence.fault and (
            self.batch is None
            or self.divergence.accepts(self.loss_now(self.batch), self.step_count)
        )

    def loss_now(self, batch: Batch) -> float:
        """The exact loss (nats per target) of the last batch, of all ranks' rows, under the weights
        after it; waits for the device."""
        return (
            self.ranks.totals(self.objective.exact_nats(batch.tensors, self.carry))[0] / batch.count
        )

    def saving_due(self, save: Callable[[], bool]) -> bool:
        """By time, the first checkpoint waits for the best weights only: from then on the run can
        be resumed."""
        elapsed = self.clock.elapsed()
        is_due = self.resumable and (
            self.saving.due(self.step_count, elapsed, soon=bool(self.best.weights)) or save()
        )
        if is_due:
            # also where the state turns out not to be good
            self.saving.begin(self.step_count, elapsed)
        return is_due

    def checkpoint(self) -> Checkpoint:
        """The last good state, with a model where no validation has kept one."""
        model = None if self.best.weights else self.objective.model()
        assert self.rollbacks.good is not None
        return Checkpoint(self.step_count, self.clock.elapsed(), self.rollbacks.good, model)

    def remember(self) -> bool:
        """The state as it is now, if it is good, is what the next fault goes back to; whether it
        is."""
        with self.pause(self.rollbacks.interval):
            if is_good := self.is_good():
                self.keep_state()
        return is_good

    def keep_state(self) -> None:
        self.rollbacks.good = None  # first, so that memory holds one at a time
        self.rollbacks.good = state.state_dict(self)

    @contextlib.contextmanager
    def pause(self, interval: Interval) -> Iterator[None]:
        """What lasts while this does is the cost of `interval`, and does not count as training."""
        began = self.clock.elapsed()
        yield
        self.ranks.synchronize()
        interval.done(self.step_count, began, self.clock.elapsed())
        self.meter.pause(self.clock.elapsed() - began)

    def train_step(self) -> None:
        """The next step of the run."""
        rate = self.schedule.at(self.progress(), self.source.epochs)
        set_layer_factors(self.optimizer, self.settings, self.source.epochs)
        self.batch = self.source.next()
        loss, self.carry = self.step(
            self.batch, self.carry, rate * (self.rollbacks.rate_factor * self.batch.rate_factor)
        )
        self.meter.add(loss, self.gradient_norm, self.source.tokens)

    def step(self, batch: Batch, carry: Carry, rate: float) -> tuple[Tensor, Carry]:
        """Loss, gradients, update; nothing here waits for the device. Of several ranks, `carry` is
        of this one's rows, and the loss is their part of the mean."""
        loss, self.gradient_norm, carry = self.update(batch, restart_rows(carry, batch.fresh), rate)
        self.step_count, self.layers.norms = self.step_count + 1, self.update.norms
        self.averaging.update(self.step_count)
        return loss, carry

    def make_update(self) -> TrainingStep | GraphedStep:
        """For :meth:`step`; anew wherever the optimizer's arrays are others, as a recorded one
        knows only those of before."""
        step = make_step(self.objective, self.settings, self.optimizer, self.precision, self.ranks)
        return GraphedStep(step, CudaRecorder(self.device)) if self.is_recorded else step

    def pending_reports(self) -> Iterator[Step]:
        """Of all steps that are not reported yet."""
        while self.meter.pending:
            yield self.report()

    def report(self) -> Step:
        rate, is_exact = self.optimizer.param_groups[0]["lr"], self.objective.is_exact
        progress, seconds = min(1.0, self.progress()), self.clock.elapsed()
        self.reported_at = progress
        report = Step(step=self.step_count, epoch=self.source.epochs, learning_rate=rate,
                      progress=progress, seconds=seconds,
                      is_exact=is_exact, **self.meter.read())  # fmt: skip
        self.divergence.observe(report)
        return report

    def roll_back(self) -> RolledBack:
        """Take up the last good state, to go on from there at a lower rate."""
        step, rollbacks, self.batch = self.step_count, self.rollbacks, None
        rollbacks.count, rollbacks.fault = rollbacks.count + 1, self.divergence.fault
        self.load_good_state()
        self.divergence.forget()
        self.update = self.make_update()
        self.meter.restart(self.source.tokens)
        self.reported_at = self.progress()
        # The next checkpoint comes as soon, whether a report noticed the fault or a checkpoint.
        self.saving.step = min(self.saving.step, self.step_count)
        count, left, factor = rollbacks.count, rollbacks.left, rollbacks.rate_factor
        return RolledBack(
            step, self.step_count, rollbacks.fault, count, left, factor, self.clock.elapsed()
        )

    def load_good_state(self) -> None:
        """But time has gone on, the best weights stay, and rollbacks stay counted."""
        assert self.rollbacks.good is not None
        state.load_state_dict(self, self.rollbacks.good, but=("best", "clock", "rollbacks"))

    def finish(self, reason: str, stop: Callable[[], bool], resumable: bool) -> Iterator[Event]:
        """The state to go on from, which is the last good one should this be none; a last
        validation; the best weights."""
        kept = None
        if resumable and not self.divergence.fault:
            if self.is_good() or not self.rollbacks.good:
                self.keep_state()
            kept = self.rollbacks.good
        if (
            reason == "budget"
            and not self.divergence.fault
            and self.validation.outdated(self.step_count)
        ):
            with self.averaging.in_place():
                if verdict := self.validate(stop):
                    yield self.validated(verdict, stop)
                    self.divergence.observe_validation(verdict.loss_nats, self.step_count)
            reason = reason if verdict else "request"  # it is made up for when the run goes on
        yield self.fitted(reason, kept)

    def fitted(self, reason: str, kept: TrainingState | None) -> Fitted:
        """The best weights go back into the network; where nothing was validated, the last ones or
        their average, and the last good ones of a run that diverged (none: `step` is 0)."""
        steps, tokens, found = self.step_count, self.source.tokens, self.rollbacks
        # the time was up when the run was back at its beginning
        fault = self.divergence.fault or ("" if steps else found.fault)
        facts: dict[str, Any] = {"rollbacks": found.count} if found.count else {}
        if fault:
            reason, kept, facts["divergence"] = "diverged", None, f"{fault}{found}"
            if found.good and not self.best.weights:
                self.load_good_state()
        if (best := self.best).weights:
            best.restore()
            step = best.step
        else:
            self.averaging.install()
            step = found.step if fault else steps
        self.network.eval()
        return Fitted(
            step,
            steps,
            tokens,
            self.clock.elapsed(),
            reason,
            self.objective.model(),
            best.figure,
            facts,
            kept,
            best.name,
        )
