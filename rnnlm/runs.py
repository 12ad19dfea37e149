"""Train from Python: a run whose events one may follow, or that one waits for.

A generator that is dropped or interrupted in the middle of a step is lost, and with it the work
since the last checkpoint. So no caller holds the generator of a run: :class:`StoringRun` asks it to
stop at the next step and lets it store its work, as Ctrl-C does on the command line. A notebook
keeps the traceback of an interruption, and with it every object on the way, so the run would not be
dropped: therefore Ctrl-C is handled here.
"""

import os
import signal
import threading
import weakref
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from rnnlm.config import SettingValue
from rnnlm.errors import TrainingError, UsageError, notice
from rnnlm.evaluation.learning_curves import LearningCurve, learning_curve
from rnnlm.evaluation.metrics import Evaluation, stored_evaluations
from rnnlm.events import Evaluating, Event, Finished, never
from rnnlm.storage.manifest import read_manifest
from rnnlm.tabular import html_table
from rnnlm.text.corpus import Corpus
from rnnlm.text.lines import Progress, silent
from rnnlm.training.plan import Plan, check_request, plan
from rnnlm.training.run_folder import CompletedRun

if TYPE_CHECKING:
    from rnnlm.model import Model

Texts: TypeAlias = str | Path | Corpus | Sequence[str | Path | Corpus]

# Arguments of `train` that are not part of the request
_OF_THE_CALL = ("text", "stop", "save", "settings")


def train(
    text: Texts | None = None,
    *,
    model: str | None = None,
    recipe: str | Path | None = None,
    output: str | Path | None = None,
    valid: Texts = (),
    test: Texts = (),
    budget: str | None = None,
    seed: int | None = None,
    device: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    save_every: str | None = None,
    overwrite: bool = False,
    tokenizer_from: str | Path | None = None,
    init_from: str | Path | None = None,
    counts: str | Path | None = None,
    task: str | None = None,
    contextual: Sequence[str | Path] = (),
    target: Texts = (),
    valid_target: Texts = (),
    test_target: Texts = (),
    init_encoder_from: str | Path | None = None,
    init_decoder_from: str | Path | None = None,
    stop: Callable[[], bool] = never,
    save: Callable[[], bool] = never,
    **settings: SettingValue,
) -> "TrainingRun":
    """Prepare a training run. It trains when you call `wait()` or iterate over it.

    The run saves its state on `close()`, on leaving `with rnnlm.train(...) as run:`, when it is
    garbage-collected, for example after `break`, and at once on Ctrl-C. The same call resumes the
    run; once it has ended, the same call returns its model at once.

    Args:
        text: One or more files, or a text in memory (:class:`rnnlm.Corpus`). None: a bundled
            corpus.
        model: Kind of model: "lstm" (the default, or that of `init_from`), "gru", "rnn", "ngram"
            and others.
        recipe: Name of a set of settings, which include the kind. None: the recipe for the kind and
            the task, if there is one.
        output: Folder of the model. None: ./checkpoints/TEXT-KIND.
        valid: Texts to validate on. Empty: hold out a share of the text (`holdout`, by default 5
            %).
        test: Texts to evaluate on at the end. Empty: none.
        budget: How long to train: "10m", "500steps" or "3epochs". None: as in the recipe.
        seed: Random seed. None: as in the recipe.
        device: Where to compute: "cpu", "cuda" and so on. None: as in the recipe, or the best
            available.
        precision: Precision of the computation, such as "bf16". None: as in the recipe, or the best
            available.
        threads: Number of CPU threads. None: as in the recipe, or the best available.
        save_every: Interval between checkpoints: "5m" or "200steps". None: as in the recipe.
        overwrite: Replace the model in `output`.
        tokenizer_from: Model whose tokenizer to use.
        init_from: Model to start from: its kind, weights, sizes and tokenizer.
        counts: For an n-gram model, a folder of counts from `rnnlm count` instead of a text.
        task: Name of the task, by default "language-model"; others come with satellites.
        contextual: For taggers and classifiers, language models whose hidden states are additional
            input.
        target: For encoder-decoders, one file of targets for each file of `text`.
        valid_target: For encoder-decoders, one file of targets for each file of `valid`.
        test_target: For encoder-decoders, one file of targets for each file of `test`.
        init_encoder_from: Language model to start the encoder from.
        init_decoder_from: Language model to start the decoder from.
        stop: Callback, asked at every step, that returns whether to end the run.
        save: Callback, asked at every step, that returns whether to save a checkpoint.
        **settings: All other settings, as `rnnlm train --help` lists them: `hidden_size=300`.

    Returns:
        The run, which has not begun.

    Raises:
        RnnlmError: Any subclass, for problems with arguments, text, device or output folder. Errors
            of text, device and folder are raised with the first event.
    """
    # All keywords by name, as they were given.
    given = dict(locals())
    from rnnlm.system import planning_together
    from rnnlm.training.resolution import request_of
    from rnnlm.training.run import run

    # The file of a text in memory lasts as long as the text is referenced, which the plan does.
    keywords = _asked(given) | settings
    held = (text, dict(keywords))
    request = request_of(text, keywords)
    check_request(request)

    def planned(held: object = held) -> Plan | CompletedRun:
        with planning_together():
            return plan(request)

    return TrainingRun(StoringRun(planned, run, stop, save))


def _asked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords that ask the run for something: the others are left at their usual
    values."""
    keywords = {}
    for name, value in given.items():
        if name in _OF_THE_CALL:
            continue
        is_empty = isinstance(value, tuple) and not value
        if value is not None and value is not False and not is_empty:
            keywords[name] = value
    return keywords


class TrainingRun(Iterator[Event]):
    """A run of :func:`rnnlm.train`. To train, iterate over its events or call `wait()`.

    The run saves its state when it ends, on `close()`, on leaving a `with` block, when it is
    garbage-collected, and at once on Ctrl-C. The same call to `train` then resumes it. An n-gram
    model has no state to save before it is complete.

    Args:
        work: The run as the command line does it: it trains and stores checkpoints.
    """

    _finished: Finished | None = None

    def __init__(self, work: "StoringRun") -> None:
        self._work = work
        self._finalizer = weakref.finalize(self, work.drop)

    def __next__(self) -> Event:
        event = self._work.next()
        if isinstance(event, Finished):
            self._finished = event
        return event

    @property
    def folder(self) -> Path | None:
        """The folder that the model is saved in; None before the run has started."""
        return self._work.plan.output if self._work.plan else None

    def close(self) -> None:
        """End the run now and save its state. Do nothing if it has already ended.

        Raises:
            OutputError: the state cannot be written.
        """
        self._work.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None and not self._work.is_started:
            self._work.notify_unstarted()
        self.close()

    def wait(self, progress: bool = True) -> "FinishedRun":
        """Train to the end and return the finished run.

        Args:
            progress: Print progress on standard error, as `rnnlm train` does without a terminal.

        Raises:
            RnnlmError: As in iteration.
            TrainingError: The run was closed before its end.
        """
        if progress and self._finished is None:
            from rnnlm.training import printing

            plan = self._work.planned()
            if isinstance(plan, Plan):
                for _ in printing.shown(plan, self._with_progress):
                    pass
        for _ in self:
            pass
        return self._end

    def _with_progress(self, progress: Progress) -> "TrainingRun":
        self._work.progress = progress
        return self

    @property
    def model(self) -> "Model":
        """The best model so far, loaded from the run's folder.

        Raises:
            ModelError: no model is saved yet.
            UsageError: the run has not started.
        """
        from rnnlm.model import load

        return load(self._started_folder())

    @property
    def history(self) -> LearningCurve:
        """The measurements of the run so far, as a table.

        Raises:
            UsageError: the run has not started.
        """
        return learning_curve(self._started_folder())

    def _started_folder(self) -> Path:
        if self.folder is None:
            raise UsageError("the run has not started", hint="iterate over it, or call wait()")
        return self.folder

    @property
    def evaluation(self) -> Evaluation | None:
        """The exact evaluation at the end of the run; None before the end, or if there is none."""
        return self._end.evaluation if self._finished else None

    @property
    def _end(self) -> "FinishedRun":
        if self._finished is None:
            raise TrainingError(
                "the run was closed before its end",
                hint="call train again in the same way to continue",
            )
        return FinishedRun(Path(self._finished.folder), self._finished)

    def __repr__(self) -> str:
        if self._finished is not None:
            return repr(self._end)
        state = "not started" if self.folder is None else f"in {self.folder}"
        return f"<training run {state}>"


@dataclass(frozen=True, repr=False)
class FinishedRun:
    """A run that has ended.

    Attributes:
        folder: The folder of the model.
        finished: The last event, with the `step` of the best weights, the number of `steps`, the
            `seconds`, and the reason why the run `stopped`.
    """

    folder: Path
    finished: Finished = field(repr=False)

    @cached_property
    def model(self) -> "Model":
        """The best model of the run, loaded.

        Raises:
            ModelError: the model is missing or damaged.
        """
        from rnnlm.model import load

        return load(self.folder)

    def __fspath__(self) -> str:
        """Return the folder, so that functions take the run where they take the name of a model or
        of a run."""
        return str(self.folder)

    @cached_property
    def evaluations(self) -> Mapping[str, Evaluation]:
        """The exact evaluations at the end, under the names "valid" and "test"."""
        return stored_evaluations(read_manifest(self.folder))

    @property
    def evaluation(self) -> Evaluation | None:
        """The evaluation on the test text, or on the validation text if there is no test text."""
        evaluations = self.evaluations
        return evaluations.get("test") or evaluations.get("valid")

    @property
    def history(self) -> LearningCurve:
        """The validations of the run and its training losses, as a table."""
        return learning_curve(self.folder)

    def __repr__(self) -> str:
        # Counting is one step.
        steps = f"{self.finished.steps:,} steps, " if self.finished.steps > 1 else ""
        return f"<training run {self.folder}: {steps}{self.finished.seconds:.1f} s>"

    def _repr_html_(self) -> str:
        facts = [
            (f"{text}: {metric.label}", metric.with_unit())
            for text, evaluation in self.evaluations.items()
            for metric in evaluation.mains
        ]
        return html_table(repr(self).strip("<>"), (), facts)


# ---- The run behind a :class:`TrainingRun`, which stores its work however it is left.

Runner = Callable[[Plan, Callable[[], bool], Callable[[], bool], Progress], Iterator[Event]]


class StoringRun:
    """The run behind a :class:`rnnlm.TrainingRun`. It holds no reference to that, which can be
    dropped.

    It has no plan before it has started. `progress` is called with how far the exact evaluation is.
    Once the work is stored, the exception `interruption` is raised.
    """

    def __init__(
        self,
        make_plan: Callable[[], Plan | CompletedRun],
        runner: Runner,
        stop: Callable[[], bool],
        save: Callable[[], bool],
    ) -> None:
        self.make_plan = make_plan
        self.runner = runner
        self.stop = stop
        self.save = save
        self.plan: Plan | CompletedRun | None = None
        self.progress: Progress = silent
        self.events = self._events()
        self.process = os.getpid()
        self.is_started = self.is_executing = self.is_evaluating = self.is_closed = False
        self.interruption: BaseException | None = None

    def next(self) -> Event:
        """Return the next event, or store the work and raise the interruption."""
        if self.is_closed:
            raise StopIteration

        # Ctrl-C during the step only notes `interruption`, as a half-done step could not be stored.
        self.is_started = True
        _handle_interrupts(self)
        self.is_executing = True
        try:
            event = next(self.events)
        except BaseException:
            self._over()
            if self.interruption is None:
                raise
        finally:
            self.is_executing = False

        # The step is over: store the work, then interrupt. The run drops the exception, whose
        # traceback refers to everything that the run holds.
        if self.interruption is not None:
            self._store()
            interruption, self.interruption = self.interruption, None
            raise interruption
        self.is_evaluating = isinstance(event, Evaluating)
        return event

    def close(self) -> None:
        """Store the work and end the run: during a step, after that step."""
        if self.is_executing:
            self.interruption = self.interruption or StopIteration()
        elif not self.is_closed:
            self._store()

    def drop(self) -> None:
        """Store the work when the run is no longer referenced."""
        if os.getpid() != self.process:  # a copy of the run, in a process that was forked
            return
        if not self.is_started and not self.is_closed:
            self.notify_unstarted()
        self.close()

    def notify_unstarted(self) -> None:
        """Send a notice that nothing was trained."""
        notice(
            "a training run was never started, so nothing was trained: iterate over it, as in "
            "`for event in rnnlm.train(...): ...`"
        )

    @property
    def ends_in_order(self) -> bool:
        """Whether the run can be asked to stop and store its work. During the exact evaluation at
        its end, everything is stored already."""
        is_training = self.is_started and not self.is_evaluating
        return is_training and isinstance(self.plan, Plan) and self.plan.kind.trains_in_steps

    def planned(self) -> Plan | CompletedRun:
        """Return the plan of the run, which is made when it is first asked for: it reads the
        texts. A notice says that the run is done."""
        if self.plan is None:
            self.is_started = True
            self.plan = self.make_plan()
            if isinstance(self.plan, CompletedRun):
                self.plan.notify()
        return self.plan

    def _events(self) -> Generator[Event, None, None]:
        plan = self.planned()
        if isinstance(plan, CompletedRun):
            yield plan.finished
            return
        yield from self.runner(
            plan, self._wants_end, self.save, lambda report: self.progress(report)
        )

    def _wants_end(self) -> bool:
        """Return whether the run should stop. If the caller's `stop` raises, stop and raise that
        once the work is stored."""
        if self.is_closed or self.interruption is not None:
            return True
        try:
            return self.stop() or self.interruption is not None
        except (Exception, KeyboardInterrupt) as error:
            self.interruption = error
            return True

    def _store(self) -> None:
        """Let the run end in order, or abandon it if it cannot."""
        self.is_closed = self.is_executing = True
        try:
            if not self.ends_in_order:
                self.events.close()
            for _ in self.events:
                pass
        except TrainingError as error:  # it had not taken a step, or has diverged
            notice(str(error))
        finally:
            self.is_executing = False
            self._over()

    def _over(self) -> None:
        self.is_closed = True
        _open_runs.discard(self)
        if not _open_runs and signal.getsignal(signal.SIGINT) is _interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)


# ---- Ctrl-C, handled for all runs that have begun and not ended. A program with its own handler
# keeps it.

_open_runs: set[StoringRun] = set()


def _handle_interrupts(work: StoringRun) -> None:
    """Handle Ctrl-C as long as any run is open."""
    _open_runs.add(work)
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Store the work of all open runs, then interrupt as usual.

    A run in the middle of a step notes the interruption, and raises it after that step. A second
    Ctrl-C interrupts the step at once.
    """
    # Leave it to the runs in the middle of a step.
    is_noted = False
    for work in _open_runs:
        if work.is_executing and work.ends_in_order and work.interruption is None:
            work.interruption = KeyboardInterrupt()
            is_noted = True
    if is_noted:
        return

    # No run is in the middle of a step, or this is the second Ctrl-C. Closing a run removes it from
    # the set.
    for work in list(_open_runs):
        if not work.is_executing:
            work.interruption = KeyboardInterrupt()
            work.close()
    signal.default_int_handler(number, frame)
