"""Hold a training run from Python, and store its work however it is left.

A generator that is dropped or interrupted in the middle of a step is lost, and with it the work
since the last checkpoint. So no caller holds the generator of a run: :class:`StoringRun` asks it to
stop at the next step and lets it store its work, as Ctrl-C does on the command line. A notebook
keeps the traceback of an interruption, and with it every object on the way, so the run would not be
dropped: therefore Ctrl-C is handled here.
"""

import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator
from types import FrameType

from rnnlm.errors import TrainingError, notice
from rnnlm.events import Evaluating, Event
from rnnlm.text.lines import Progress, silent
from rnnlm.training.plan import Plan
from rnnlm.training.run_folder import CompletedRun

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
