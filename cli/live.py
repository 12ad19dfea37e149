"""Show a training run while it lasts: a live panel on a terminal, a plain line now and then
elsewhere."""

import functools
import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rnnlm import events, registry
from rnnlm.amounts import duration
from rnnlm.errors import visible
from rnnlm.progress import Progress
from rnnlm.training.printing import (
    CountingDisplay,
    PlainDisplay,
    criterion,
    lines_for,
    other_metrics,
    rare_event_lines,
    seconds_left,
    shown,
    shown_metric,
    training_metric,
)

from . import terminal
from .signals import Signals, explaining

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from rnnlm.training.plan import Plan


@contextmanager
def display_for(kind: registry.Kind, order: int = 1) -> Iterator["PlainDisplay | LiveDisplay"]:
    """Show a run that trains this kind of model, in the way that suits the terminal. order: of
    the n-grams that it counts."""
    if kind.is_counted:
        with terminal.Bar([*terminal.counting_phases(order), "estimating:"]) as progress:
            yield CountingDisplay(progress)
        return
    console = terminal.drawing_console()
    if console is None:
        with lines_for(kind) as lines:
            yield lines
        return
    display = LiveDisplay(console, registry.task(kind.task).reads_lines)
    with display.live:
        yield display


def follow(plan: "Plan", signals: Signals, speaks: bool) -> events.Finished | None:
    """Run the plan, and show it if this process is the one that `speaks`. Return its last event.

    A signal lets the run save its work while there is work to save. Before the first step, and
    during the exact evaluation at the end, when all is saved, it ends the program at once.
    """
    from rnnlm.training import run as training

    run_of = functools.partial(training.run, plan, signals.wants_end, signals.wants_saving)
    with ExitStack() as trained:
        for event in shown(plan, run_of, display_for) if speaks else run_of():
            if isinstance(event, events.Started):
                trained.enter_context(signals)
            if speaks and isinstance(event, events.Evaluating):
                signals.restore()
                trained.enter_context(explaining(functools.partial(say_complete, plan)))
    return event if speaks and isinstance(event, events.Finished) else None


def say_complete(plan: "Plan") -> None:
    """Say that nothing is lost where the exact evaluation is cut off."""
    terminal.say(
        f"the model in {plan.output} is complete; the same command"
        + (" without --overwrite" if plan.request.overwrite else "")
        + " evaluates it"
    )


def say_ended(plan: "Plan", finished: events.Finished, is_stopped: bool) -> None:
    """Say how a run ended, and where its model is."""
    from rnnlm.config import Budget
    from rnnlm.storage.manifest import read_manifest
    from rnnlm.training import card

    if is_stopped:
        terminal.say(
            f"stopped on request; the best model (step {finished.step:,}) is saved in "
            f"{finished.folder}"
        )
        if plan.resolved.values.get("keep_checkpoints"):
            without = " without --overwrite" if plan.request.overwrite else ""
            terminal.say(f"to resume, run the same command again{without}")
    else:
        saved = f"saved in {finished.folder}"
        if plan.kind.trains_in_steps:
            saved += f", step {finished.step:,} of {finished.steps:,}"
        if finished.seconds >= 1:
            saved += f", after {terminal.duration(finished.seconds)}"
        if finished.stopped == "early":
            saved += " (stopped early: no improvement)"
        # A budget of time gives another number of steps on another day.
        timed = Budget.parse(plan.resolved.values.get("budget", "1steps")).seconds
        if timed and finished.stopped == "budget":
            again = card.way_to_repeat(read_manifest(plan.output))
            saved += f"; to repeat about the same run: {again}"
        terminal.say(saved)


class LiveDisplay:
    """A progress bar with the metrics below it, redrawn in place until the run is trained. The
    progress of the exact evaluation is then shown below it, line by line."""

    def __init__(self, console: "Console", loss_is_of_text: bool = True) -> None:
        from rich.live import Live

        self.console, self.loss_is_of_text = console, loss_is_of_text
        self.step: events.Step | None = None
        self.latest: dict[type, Any] = {}  # the last event of each kind
        self.live = Live(
            console=console, refresh_per_second=4, transient=False, get_renderable=self._panel
        )
        self.progress: Progress | None = None

    def evaluating(self, message: str) -> None:
        """Show how far the exact evaluation is, and how long it may take."""
        # Training is over, and its panel complete: it stays above the lines that follow.
        if self.progress is None:
            self.live.stop()
            self.progress = Progress()
        self.progress(message)

    def show(self, event: events.Event) -> None:
        self.latest[type(event)] = event
        for line in rare_event_lines(event):
            self.console.print(visible(line), markup=False, highlight=False)
        if isinstance(event, events.Step):
            self.step = event
        elif isinstance(event, events.Fitted) and event.stopped == "budget" and self.step:
            # The last report of a step may be older than the end.
            self.step = replace(self.step, step=event.steps, progress=1.0)

    def _panel(self) -> "RenderableType":
        from rich.text import Text

        if self.step is None:
            return Text("starting ...")
        lines = self._lines(self.step, narrow=self.console.width < terminal.NARROW_COLUMNS)
        return terminal.bar_panel(self.console, self.step.progress, lines)

    def _lines(self, step: events.Step, narrow: bool) -> list[str]:
        progress = [f"{step.progress:.0%} done", f"{duration(seconds_left(step))} left"]
        speed = f"{step.tokens_per_second:,.0f} tokens/s"
        train = training_metric(step, self.loss_is_of_text).removeprefix("perplexity ")
        metrics = [f"train {train}"]
        validated = self.latest.get(events.Validated)
        if validated:
            value = criterion(validated)[1]
            shown_value = shown_metric(validated, value, [validated.best])
            metrics.append(f"valid {shown_value}{other_metrics(validated)}")
            if validated.best is not None and not math.isnan(value):
                metrics.append(f"best {shown_metric(validated, validated.best, [value])}")
        if narrow:
            return [*progress, speed, *metrics]

        # There is room for where the run is stored.
        saved = self.latest.get(events.ModelSaved)
        if saved:
            metrics.append(f"saved at step {saved.step:,}")
        name = "perplexity: " if step.is_exact and self.loss_is_of_text else ""
        steps = [f"step {step.step:,}", f"epoch {step.epoch:.2f}", speed]
        return [", ".join([*progress, *steps]), name + ", ".join(metrics)]
