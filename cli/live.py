"""How a training run looks while it lasts: a live panel on a terminal, a plain line now and then
elsewhere."""

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rnnlm import events
from rnnlm.errors import number
from rnnlm.models import registry
from rnnlm.models.registry import Kind
from rnnlm.neural.fitting.settings import COUNTED

from . import terminal

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from rnnlm.training.plan import Plan

PLAIN_SECONDS = 15.0


@contextmanager
def display_for(kind: Kind) -> Iterator["PlainDisplay | CountingDisplay | LiveDisplay"]:
    """Show a run that trains such a kind of model, in the way that suits this terminal."""
    if kind.is_counted:
        with terminal.Progress() as progress:
            yield CountingDisplay(progress)
        return
    from rich.console import Console

    is_of_text = registry.task(kind.task).loss_is_of_text
    console = Console(file=terminal.unfailing(sys.stderr))
    if not console.is_terminal or console.is_dumb_terminal:
        with terminal.Progress() as progress:
            yield PlainDisplay(progress, is_of_text)
        return
    display = LiveDisplay(console, is_of_text)
    with display.live:
        yield display


def announce_counting(plan: "Plan") -> None:
    """Say that a run counts word vectors before its first step, if it does: a long text takes a
    while."""
    begins = not plan.finished and not plan.request.resume
    if begins and plan.resolved.values.get("embeddings") == COUNTED:
        terminal.say("word vectors are counted in the training text first")


class PlainDisplay:
    """One line per validation, and one now and then between them.

    evaluating: called with how far the exact evaluation is.
    """

    def __init__(self, progress: terminal.Progress, is_of_text: bool = True) -> None:
        self.progress = progress
        self.evaluating = terminal.Estimate(progress)
        self.is_of_text = is_of_text

    def show(self, event: events.Event) -> None:
        if isinstance(event, events.Validated):
            name, figure = criterion(event)
            part = f" on {event.share:.0%} of the text" if event.share < 1 else ""
            best = "" if event.best is None else f" (best {shown_figure(event, event.best)})"
            self.progress.say(
                f"step {event.step:,}: validation {name} {shown_figure(event, figure)}{part}{best}"
            )
        elif isinstance(event, events.CheckpointSaved):
            self.progress.say(f"step {event.step:,}: checkpoint")
        elif line := news(event):
            self.progress.say(line)
        elif (
            isinstance(event, events.Step)
            and self.progress.clock() - self.progress.last_line >= PLAIN_SECONDS
        ):
            left = terminal.duration(seconds_left(event))
            self.progress.say(
                f"step {event.step:,}, epoch {event.epoch:.2f}: "
                f"{training_figure(event, self.is_of_text)}, "
                f"{event.tokens_per_second:,.0f} tokens/s, {event.progress:.0%} done, {left} left"
            )


class CountingDisplay:
    """A line for each order counted, then what was estimated."""

    def __init__(self, progress: terminal.Progress) -> None:
        self.progress = progress
        self.evaluating = terminal.Estimate(progress)

    def show(self, event: events.Event) -> None:
        if isinstance(event, events.Started):
            self.progress.say(started_line(event))
        elif isinstance(event, events.Counted):
            self.progress.say(
                f"order {event.order}: {event.ngrams:,} n-grams, {event.seconds:.1f} s"
            )
        elif isinstance(event, events.Estimated):
            for name, value in event.estimated.items():
                self.progress.say(f"{name}: {in_words(value)}")
            kept = "/".join(map(str, event.ngrams))
            self.progress.say(
                f"n-grams kept {kept}, {megabytes(event.model_bytes)}; peak memory "
                f"{megabytes(event.peak_bytes)}"
            )
        elif isinstance(event, events.Validated) and event.ppl_token is not None:
            ppl = "infinite: a token has probability zero"
            if math.isfinite(event.ppl_token):
                ppl = number(event.ppl_token, 3)
            self.progress.say(f"validation perplexity {ppl}")


class LiveDisplay:
    """A progress bar with the figures below it, redrawn in place until the run is trained. How far
    the exact evaluation is then stands below, line by line."""

    def __init__(self, console: "Console", is_of_text: bool = True) -> None:
        from rich.live import Live

        self.console, self.is_of_text = console, is_of_text
        self.step: events.Step | None = None
        self.latest: dict[type, Any] = {}  # the last event of each kind
        self.live = Live(
            console=console, refresh_per_second=4, transient=False, get_renderable=self._panel
        )
        self.progress: terminal.Progress | None = None

    def evaluating(self, message: str) -> None:
        """Show how far the exact evaluation is, and how long it may last."""
        if self.progress is None:
            self.live.stop()
            self.progress = terminal.Progress()
            self.estimate = terminal.Estimate(self.progress)
        self.estimate(message)

    def show(self, event: events.Event) -> None:
        self.latest[type(event)] = event
        if line := news(event):
            self.console.print(terminal.visible(line), markup=False, highlight=False)
        elif isinstance(event, events.Step):
            self.step = event
        elif isinstance(event, events.Fitted) and event.stopped == "budget" and self.step:
            self.step = replace(self.step, step=event.steps, progress=1.0)

    def _panel(self) -> "RenderableType":
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        if self.step is None:
            return Text("starting ...")
        width = min(60, self.console.width)
        bar = ProgressBar(total=1.0, completed=self.step.progress, width=width)
        narrow = self.console.width < terminal.NARROW_COLUMNS
        panel = Table.grid()
        panel.add_row(bar)
        for line in self._lines(self.step, narrow):
            panel.add_row(Text(line, overflow="ellipsis", no_wrap=True))
        return panel

    def _lines(self, step: events.Step, narrow: bool) -> list[str]:
        left = terminal.duration(seconds_left(step))
        progress = [f"{step.progress:.0%} done", f"{left} left"]
        speed = [
            f"step {step.step:,}",
            f"epoch {step.epoch:.2f}",
            f"{step.tokens_per_second:,.0f} tokens/s",
        ]
        train = f"train {training_figure(step, self.is_of_text).removeprefix('perplexity ')}"
        validated, saved, checkpoint = (
            self.latest.get(kind)
            for kind in (events.Validated, events.ModelSaved, events.CheckpointSaved)
        )
        valid = [f"valid {shown_figure(validated, criterion(validated)[1])}"] if validated else []
        valid += (
            [f"best {shown_figure(validated, validated.best)}"]
            if validated and validated.best is not None
            else []
        )
        if narrow:
            return [*progress, speed[2], train, *valid]
        saved = [f"saved at step {saved.step:,}"] if saved else []
        kept = [f"checkpoint at step {checkpoint.step:,}"] if checkpoint else []
        return [
            ", ".join([*progress, *speed]),
            ("perplexity: " if step.is_exact and self.is_of_text else "")
            + ", ".join([train, *valid, *saved, *kept]),
        ]


def shown_figure(event: events.Validated, figure: float) -> str:
    """A perplexity, a loss or a figure from 0 to 100 as it is, a share in percent."""
    from rnnlm.evaluation.metrics import Metric

    found = Metric(event.criterion, figure)
    return found.shown() + ("%" if found.unit == "percent" else "")


def criterion(event: events.Validated) -> tuple[str, float]:
    """The name and the figure by which the best weights are chosen."""
    shown = {events.PERPLEXITY: "perplexity", "mean": "mean of the label columns"}
    return shown.get(event.criterion, event.criterion), event.figures[event.criterion]


def started_line(event: events.Started) -> str:
    return (
        f"{event.model}: "
        + (f"{event.parameters:,} parameters, " if event.parameters else "")
        + f"vocabulary {event.vocabulary_size:,}, "
        f"{event.train_tokens:,} tokens, {event.device} {event.precision}"
        + (
            f", {event.rows} streams of {event.bptt_tokens}-token windows"
            if event.bptt_tokens
            else ""
        )
        + (f" in {event.processes} processes" if event.processes > 1 else "")
        + (", steps recorded as CUDA graphs" if event.cuda_graphs else "")
        + (f"; validation during training: {event.validation}" if event.validation else "")
    )


def news(event: events.Event) -> str:
    """The line for an event that does not happen at every step; "" for others."""
    if isinstance(event, events.Started):
        return started_line(event)
    if isinstance(event, events.RolledBack):
        rate, attempts = (
            f"{event.rate_factor:g} of the learning rate",
            f"{event.left} more such attempt{'' if event.left == 1 else 's'}",
        )
        return f"{event.why}; back to step {event.to_step:,} at {rate} ({attempts})"
    if isinstance(event, events.SaveFailed):
        again = f"training goes on, and it is tried again within {event.retry_seconds:.0f} s"
        return f"note: step {event.step:,} is not saved: {event.why}; {again}"
    return (
        f"all is saved; exact evaluation: {', '.join(event.texts)}"
        if isinstance(event, events.Evaluating)
        else ""
    )


def training_figure(event: events.Step, is_of_text: bool = True) -> str:
    """The perplexity since the last report; the loss itself where it is on noise words, or of
    labels."""
    if not (event.is_exact and is_of_text):
        return f"loss {event.loss_nats:.3f}"
    return f"perplexity {math.exp(event.loss_nats) if event.loss_nats < 700 else math.inf:.1f}"


def seconds_left(event: events.Step) -> float:
    if event.progress <= 0:
        return 0.0
    return event.seconds * (1 - event.progress) / event.progress


def in_words(value: object) -> str:
    """A list or a table on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{key}: {each}" for key, each in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
