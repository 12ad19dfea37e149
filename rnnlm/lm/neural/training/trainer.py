"""Run the training loop, as a generator of events: for any objective, over batches from any source.

Where batches carry a state on, it is truncated back-propagation through time (Williams & Peng 1990;
Mikolov et al. 2010): the state is detached, so gradients reach back to the beginning of a batch.
Validation happens at intervals, the best weights are kept, and the run ends with its budget,
without improvement (early stopping), or when the caller asks. When it diverges, it goes back to its
last good state.
"""

import contextlib
import copy
from collections.abc import Callable, Generator, Iterator
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
from rnnlm.lm.neural.training import state
from rnnlm.lm.neural.training.contracts import (
    Batch,
    BatchSource,
    Carry,
    Objective,
    Stateful,
    Validation,
    ValidationResult,
)
from rnnlm.lm.neural.training.optimization import (
    Averaging,
    FineTuning,
    LearningRate,
    make_optimizer,
    set_layer_factors,
)
from rnnlm.lm.neural.training.progress import REPORT_SHARE, LayerStatistics, Meter
from rnnlm.lm.neural.training.ranks import SINGLE_PROCESS, SingleProcess
from rnnlm.lm.neural.training.rowwise import NoWaitingRows, RowwiseAdamW, WaitingRows
from rnnlm.lm.neural.training.settings import (
    BudgetClock,
    BudgetInterval,
    OptimizationSettings,
    RunSettings,
)
from rnnlm.lm.neural.training.step import (
    CudaRecorder,
    GraphedStep,
    TrainingStep,
    is_plain,
    make_step,
    records_steps,
    restart_rows,
)
from rnnlm.lm.neural.training.validation import (
    BestWeights,
    CurvePoints,
    Divergence,
    ModelSelection,
    Rollbacks,
    cost_of_pass,
    work_intervals,
)

# The entries that a run that goes back does not take from the earlier state.
KEPT_IN_ROLLBACKS = ("best", "clock", "rollbacks", "good")


class Trainer(state.StatefulParts):
    """One run: the objective and its optimizer, the place in the training data, the best weights so
    far.

    A caller trains (:meth:`train`), or takes single steps after :meth:`begin`: :meth:`train_step`
    from the source, :meth:`step` of a batch of its own; :meth:`check` judges them.

    ranks: the ranks of the run, of which this is one. Each has a share of the rows; all take every
    step together.
    """

    def __init__(
        self,
        objective: Objective,
        source: BatchSource,
        validation: Validation | None,
        settings: OptimizationSettings,
        run: RunSettings,
        precision: str,
        ranks: SingleProcess = SINGLE_PROCESS,
    ) -> None:
        self.objective = objective
        self.network = objective.network
        self.source = source
        self.settings = settings
        self.precision = precision
        self.ranks = ranks
        self.device = next(self.network.parameters()).device

        # The parts that take the steps.
        self.is_recorded = records_steps(settings, self.network, self.device, ranks.count)
        self.optimizer = make_optimizer(
            settings, self.network, self.device, self.is_recorded, is_plain(settings, ranks)
        )
        self.waiting: WaitingRows | None = None  # rows of word vectors that wait for updates
        if isinstance(self.optimizer, RowwiseAdamW):
            self.waiting = self.optimizer.waiting
        self.schedule = LearningRate(settings)
        self.update = self._make_update()
        self.averaging = Averaging(settings, self.network)
        self.fine_tuning = FineTuning(settings)

        # The parts that validate, and choose the best weights.
        self.clock = BudgetClock(Budget.parse(run.budget), ranks.now)
        self.best = BestWeights(self.network)
        pass_cost = cost_of_pass(objective.uniform_nats, objective.is_exact)
        self.validation = ModelSelection(validation, self.best, settings, self.clock, pass_cost)
        self.curve = CurvePoints(self.validation)
        self.layers = LayerStatistics(self.network, validation, self.clock)

        # The parts that notice faults, and keep states to go back to or to resume from.
        self.meter = Meter(self.device, source.tokens, self.network, ranks, self._updated_rows)
        self.divergence = Divergence(objective.uniform_nats, objective.is_exact)
        self.rollbacks = Rollbacks(settings)
        self.checking, self.keeping = work_intervals(self.network, self.device)
        self.resumable = run.keep_checkpoints > 0
        self.saving = BudgetInterval(Budget.parse(run.save_every))

        # The place in the run.
        self.step_count = 0
        self.restart_carry()
        self.gradient_norm: Tensor  # of the last step, before clipping
        # Of the last step: its batch, and the carry that it began with.
        self.batch: Batch | None = None
        self.carry_before: Carry = ()

    def restart_carry(self) -> None:
        share = self.ranks.share(self.source.rows)
        self.carry = self.objective.initial_carry(share.stop - share.start)  # from batch to batch

    def train(self, stop: Callable[[], bool], save: Callable[[], bool] = never) -> Iterator[Event]:
        """Train until there is a reason to stop. Yield events on the way, at the end the best
        weights.

        stop, save: asked at every step whether to end, and whether to store a state to resume from.
        """
        stop, save = self.ranks.exchange_signals(stop, save)
        began_at = self.step_count
        self.begin()
        while True:
            self.ranks.synchronize_periodically(self.step_count)

            # Validate before anything that could end the run or store its state: so a validation
            # that is cut off is made up for when the run is resumed.
            yield from self._validate_if_due(stop)

            # Out of budget, out of patience, asked to stop, or diverged, which may be mended.
            reason = self._reason_to_stop(stop)
            if reason:
                yield from self._pending_reports()
                self._judge_end(reason)
                if not self.divergence.fault or not self.rollbacks.left:
                    break
                yield self._roll_back()
                continue

            yield from self._save_if_due(save)
            self.train_step()
            yield from self._report_if_due()
            self._check_if_due()

        yield from self._finish(reason, stop, self.resumable and self.step_count > began_at)

    def begin(self) -> None:
        """Start to count and time from here."""
        self.meter.restart(self.source.tokens)
        self.reported_at = self.progress()
        self.saving.begin(self.step_count, self.clock.elapsed())
        if not self.rollbacks.good and (self.rollbacks.left or self.step_count):
            self._keep_state()

    def _validate_if_due(self, stop: Callable[[], bool]) -> Iterator[Event]:
        """Validate where it is time for it, for the run to follow or for its learning curve."""
        step, epochs = self.step_count, self.source.epochs
        self.validation.ration(step, epochs, self.source.tokens)
        if not self.divergence.fault and self.validation.due(step, epochs):
            yield from self._pending_reports()
            was_sound = self._is_sound()  # asked before averages go in
            verdict = yield from self._validate_averages(stop)
            self._after_validation(verdict, was_sound)
        elif self.curve.due(step, epochs):
            yield from self._curve_point(stop)

    def _save_if_due(self, save: Callable[[], bool]) -> Iterator[Event]:
        """Store a state from which the run can resume, if it is time for it and the run is
        sound."""
        if self._saving_due(save):
            yield from self._pending_reports()
            with self._pause(self.saving):
                if self._looks_sound():
                    stored = state.state_dict(self)
                    # With a model, if no validation has kept one.
                    with self._final_weights():
                        model = None if self.best.weights else self.objective.model()
                        yield Checkpoint(self.step_count, self.clock.elapsed(), stored, model)

    def _report_if_due(self) -> Iterator[Event]:
        """Report where it is time for it."""
        is_share_used = self.progress() - self.reported_at >= REPORT_SHARE - 1e-9
        if self.meter.due(is_share_used):
            yield self._report()

    def _check_if_due(self) -> None:
        """Check the run where it is time for it, and now and then keep a state to go back to."""
        step, tokens = self.step_count, self.source.tokens
        if self.keeping.due(step, tokens):
            self.keeping.done(step, tokens)
            if self._is_sound():
                self._keep_state()
        elif self.checking.due(step, tokens):
            self.check()

    def _validate_averages(
        self, stop: Callable[[], bool], steers: bool = True
    ) -> Generator[Event, None, ValidationResult | None]:
        """Validate the weights, or their averages if there are some; return None if `stop` cut it
        off, or the run has diverged."""
        if self.divergence.fault:
            return None
        with self._final_weights():
            self.ranks.share_statistics(self.network)
            verdict = self.validation.run(self.step_count, stop, steers)
            if verdict is not None:
                yield Validated(
                    step=self.step_count,
                    epoch=self.source.epochs,
                    figures={verdict.name: verdict.metric, **verdict.metrics},
                    best=verdict.metric if self.best.metric is None else self.best.metric,
                    improved=self.validation.improved,
                    seconds=self.clock.elapsed(),
                    model=self.objective.model(),
                    criterion=verdict.name,
                    is_share=verdict.is_share,
                    share=self.validation.share,
                    layers=self.layers.measure(self.step_count, self.ranks.own_stop(stop)),
                )
        return verdict

    @contextlib.contextmanager
    def _final_weights(self) -> Iterator[None]:
        """Put the weights in place that are validated and saved: averages, if there are any, and
        word vectors with all their updates. Restore the others afterwards."""
        with self.averaging.in_place(), self._updated_rows():
            yield

    def _updated_rows(self) -> contextlib.AbstractContextManager[None]:
        """Put word vectors in place with all their updates in a context."""
        return self.waiting.in_place() if self.waiting else contextlib.nullcontext()

    def _curve_point(self, stop: Callable[[], bool]) -> Iterator[Event]:
        """Validate for the learning curve and the choice of weights; the run does not follow it."""
        yield from self._pending_reports()
        self.check()
        verdict = yield from self._validate_averages(stop, steers=False)
        if verdict is not None:
            self.curve.observe(self.step_count, self.source.epochs)
        self.meter.restart(self.source.tokens)

    def _after_validation(self, verdict: ValidationResult | None, was_sound: bool) -> None:
        """Let schedule, averages and fine-tuning follow a validation.

        The schedule may take the weights back to the best ones. The optimizer's state stays: if it
        were reset, Adam would take its largest steps just when the rate was lowered.
        """
        self.meter.restart(self.source.tokens)
        if verdict is None:
            return
        self.curve.observe(self.step_count, self.source.epochs)
        self.divergence.observe_validation(verdict, self.step_count)
        self.averaging.after_validation(verdict.order, self.step_count)
        if self.schedule.after_validation(verdict.loss_nats, self.validation.gained):
            self._restore_best()
        if self.fine_tuning.after_validation(self.progress(), verdict.order):
            self._restore_best()
            self.averaging.begin_after(self.step_count)
        # Keep a state that has the best weights in it.
        if was_sound and self.validation.improved:
            self._keep_state()

    def _restore_best(self) -> None:
        """Put the best weights back into the network."""
        if self.waiting:
            self.waiting.update_all()  # missed updates belong to the weights that are replaced
        self.best.restore()

    @property
    def is_over(self) -> bool:
        """Whether the run is to end before its budget: further validations would find nothing
        better."""
        return self.validation.is_hopeless or self.schedule.is_used_up or self.fine_tuning.is_over

    def progress(self) -> float:
        """Return the share of the budget that is used."""
        return self.clock.progress(self.step_count, self.source.epochs)

    def _reason_to_stop(self, stop: Callable[[], bool]) -> str:
        """Return one of the words of :class:`Fitted`; "" if there is no reason."""
        if self.divergence.fault:
            return "diverged"
        if self.is_over:
            return "early"
        if self.progress() >= 1.0:
            return "budget"
        return "request" if stop() else ""

    def _judge_end(self, reason: str) -> None:
        """Compute the loss of the weights that a run ends with, and judge it: the last loss that
        was checked belongs to the weights before the last step."""
        if reason == "request" or self.divergence.fault:
            return
        self.check()
        if reason == "budget" and self.batch and not self.divergence.fault:
            self.divergence.end(self._loss_now(), self.step_count, self.batch.count)

    def check(self) -> None:
        """Judge the steps since the last check. Waits for the device."""
        if self._observe(self.divergence):
            self.meter.end_check()
            self.checking.done(self.step_count, self.source.tokens)

    def _observe(self, judge: Divergence) -> bool:
        """Have the steps since the last check judged; return whether they could be."""
        steps, tokens, numbers = self.meter.since_check()
        # A classifier has a target for each text, however many tokens it has.
        targets = min(tokens, steps * self.batch.count) if self.batch else tokens
        return judge.observe(
            step=self.step_count,
            targets=targets,
            loss_nats=numbers["loss_nats"],
            gradient_norm=numbers["gradient_norm"],
            weight_norm=numbers["weight_norm"],
        )

    def _is_sound(self) -> bool:
        """Check the run, and return whether it may continue from here: the check was good, and so
        are the weights after it."""
        if not self.divergence.fault:
            self.check()
        return self._is_accepted(self.divergence)

    def _looks_sound(self) -> bool:
        """Return the same as :meth:`_is_sound`, but leave no trace: this is asked when the clock or
        the user says so, which must not change where the run goes."""
        judge = copy.copy(self.divergence)
        if not judge.fault:
            self._observe(judge)
        return self._is_accepted(judge)

    def _is_accepted(self, judge: Divergence) -> bool:
        """Return whether `judge` accepts the weights as they are."""
        if judge.fault:
            return False
        if self.batch is None:
            return True
        return judge.accepts(self._loss_now(), self.step_count, self.batch.count)

    def _loss_now(self) -> float:
        """Return the exact loss (nats per target) of the last batch, of all ranks' rows, under the
        weights after it. Waits for the device."""
        assert self.batch is not None
        with self._updated_rows():
            nats = self.objective.exact_nats(self.batch.tensors, self.carry_before)
        [total] = self.ranks.totals(nats)
        return total / self.batch.count

    def _saving_due(self, save: Callable[[], bool]) -> bool:
        """Return whether to store a checkpoint.

        With an interval in seconds, the first checkpoint is due as soon as a validation has chosen
        weights, without a wait: from then on the run can be resumed.
        """
        if not self.resumable:
            return False
        elapsed = self.clock.elapsed()
        has_best = bool(self.best.weights)
        is_due = self.saving.due(self.step_count, elapsed, soon=has_best) or save()
        if is_due:
            # Count from here, even if the state turns out not to be sound.
            self.saving.begin(self.step_count, elapsed)
        return is_due

    def _keep_state(self) -> None:
        """Keep the current state for the next rollback."""
        self.keeping.done(self.step_count, self.source.tokens)
        self.rollbacks.good = None  # first, so that memory holds one at a time
        self.rollbacks.good = state.state_dict(self)

    def parts(self) -> dict[str, Stateful]:
        return {
            "network": state.Weights(self.network, self.objective, self.ranks),
            "optimizer": state.Moments(self.optimizer),
            "waiting": self.waiting or NoWaitingRows(self.optimizer, self.network),
            "averaging": self.averaging,
            "source": self.source,
            "schedule": self.schedule,
            "best": self.best,
            "validation": self.validation,
            "curve": self.curve,
            "fine_tuning": self.fine_tuning,
            "divergence": self.divergence,
            "clock": self.clock,
            "meter": self.meter,
            "checking": self.checking,
            "keeping": self.keeping,
            "rollbacks": self.rollbacks,
            "good": state.GoodState(self.rollbacks),
            "layers": self.layers,
            "carry": state.CarryOfRanks(self),
            "random": state.RandomStates(
                self.device, self.ranks, self.source.seed, self.step_count
            ),
        }

    @contextlib.contextmanager
    def _pause(self, interval: BudgetInterval) -> Iterator[None]:
        """Charge the time spent in this context to `interval`, not to training."""
        began = self.clock.elapsed()
        yield
        self.ranks.synchronize()
        interval.done(self.step_count, began, self.clock.elapsed())
        self.meter.pause(self.clock.elapsed() - began)

    def train_step(self) -> None:
        """Take the next step of the run."""
        progress = self.progress()
        rate = self.schedule.at(progress, self.source.epochs)
        set_layer_factors(self.optimizer, self.settings, self.source.epochs)

        # Where the source goes on with fewer rows, no state is carried on.
        rows = self.source.rows
        batch = self.source.next(progress)
        if self.source.rows != rows:
            self.restart_carry()

        rate_now = rate * (self.rollbacks.rate_factor * batch.rate_factor)
        loss, self.carry = self.step(batch, self.carry, rate_now)
        self.meter.add(loss, self.gradient_norm, self.source.tokens)

    def step(self, batch: Batch, carry: Carry, rate: float) -> tuple[Tensor, Carry]:
        """Take one step; return its loss and the state that it carries on. Nothing here waits for
        the device.

        With several ranks, `carry` belongs to this rank's rows, and the loss is the part of the
        mean that these rows contribute.
        """
        carry = restart_rows(carry, batch.fresh)
        if self.is_recorded:
            # A recorded step overwrites the results of the one before.
            carry = tuple(tensor.clone() for tensor in carry)
        self.batch, self.carry_before = batch, carry
        with self.layers.measured_update():
            loss, self.gradient_norm, carry = self.update(batch, carry, rate)
        self.layers.norms = self.update.norms
        self.step_count += 1
        self.averaging.update(self.step_count)
        return loss, carry

    def _make_update(self) -> TrainingStep | GraphedStep:
        """Build the update for :meth:`step`. Rebuild it when the optimizer's arrays change: a
        recorded CUDA graph still points to the old ones."""
        step = make_step(self.objective, self.settings, self.optimizer, self.precision, self.ranks)
        return GraphedStep(step, CudaRecorder(self.device)) if self.is_recorded else step

    def _pending_reports(self) -> Iterator[Step]:
        """Report all steps that are not reported yet."""
        while self.meter.pending:
            yield self._report()

    def _report(self) -> Step:
        """Report the steps since the last report."""
        progress = min(1.0, self.progress())
        seconds = self.clock.elapsed()
        self.reported_at = progress
        return Step(
            step=self.step_count,
            epoch=self.source.epochs,
            learning_rate=self.optimizer.param_groups[0]["lr"],
            progress=progress,
            seconds=seconds,
            is_exact=self.objective.is_exact,
            **self.meter.read(),
        )

    def _roll_back(self) -> RolledBack:
        """Load the last good state, to continue from it at a lower rate."""
        failed_at = self.step_count
        rollbacks = self.rollbacks
        rollbacks.count += 1
        rollbacks.fault = self.divergence.fault
        self._load_good_state()
        self.divergence.forget()
        self.batch = None
        self.update = self._make_update()
        self.meter.restart(self.source.tokens)
        self.reported_at = self.progress()
        # The last checkpoint may be of a step that is now undone.
        self.saving.step = min(self.saving.step, self.step_count)
        return RolledBack(
            step=failed_at,
            to_step=self.step_count,
            why=rollbacks.fault,
            count=rollbacks.count,
            left=rollbacks.left,
            rate_factor=rollbacks.rate_factor,
            seconds=self.clock.elapsed(),
        )

    def _load_good_state(self) -> None:
        """Load the last good state, but keep the clock, the best weights and the record of
        rollbacks."""
        assert self.rollbacks.good is not None
        state.load_state_dict(self, self.rollbacks.good, but=KEPT_IN_ROLLBACKS)

    def _finish(self, reason: str, stop: Callable[[], bool], resumable: bool) -> Iterator[Event]:
        """Validate the last weights, and yield the end of the run with the best ones."""
        # If these weights are not sound, the run ends with the last good ones, or is lost.
        is_sound = not self.divergence.fault and self._looks_sound()
        if reason == "request" and not is_sound and not self.rollbacks.step:
            self.check()

        # The state to resume from contains the state to go back to.
        kept = None
        if resumable and not self.divergence.fault:
            kept = state.state_dict(self)
            if not is_sound and self.rollbacks.good:
                kept = state.with_parts(self.rollbacks.good, kept, KEPT_IN_ROLLBACKS)

        # A last validation that is cut off is made up for when the run is resumed.
        is_unvalidated = self.validation.outdated(self.step_count)
        if reason == "budget" and not self.divergence.fault and is_unvalidated:
            verdict = yield from self._validate_averages(stop)
            if verdict is None:
                reason = "request"
            else:
                self.divergence.observe_validation(verdict, self.step_count)
        self.validation.tell_stuck()
        is_undone = reason == "request" and not is_sound and bool(self.rollbacks.step)
        yield self._end_event(reason, kept, is_undone or bool(self.divergence.fault))

    def _end_event(self, reason: str, kept: TrainingState | None, goes_back: bool) -> Fitted:
        """Put the best weights back into the network, and make the event that ends the run.

        If nothing was validated, they are the last ones or their average; if the run `goes_back`,
        as one that diverged does, the last good ones (if there are none, `step` is 0).
        """
        steps, tokens = self.step_count, self.source.tokens
        best, rollbacks = self.best, self.rollbacks
        facts: dict[str, Any] = {"rollbacks": rollbacks.count} if rollbacks.count else {}

        # A run that is back at step 0 when its budget ends has diverged, too: all its steps failed.
        fault = self.divergence.fault
        if not steps and reason != "request":
            fault = fault or rollbacks.fault
        if fault:
            reason, kept = "diverged", None
            facts["divergence"] = f"{fault}{rollbacks}"
        if goes_back and rollbacks.good and not best.weights:
            self._load_good_state()

        if self.waiting:
            self.waiting.update_all()
        if best.weights:
            best.restore()
            step = best.step
        else:
            self.averaging.install()
            step = rollbacks.step if goes_back or fault else steps
        self.network.eval()
        return Fitted(
            step=step,
            steps=steps,
            tokens=tokens,
            seconds=self.clock.elapsed(),
            stopped=reason,
            model=self.objective.model(),
            best=best.metric,
            facts=facts,
            state=kept,
            criterion=best.name,
        )
