"""What a run shows while Python waits for it: in a terminal the lines of the command line, in a
notebook a bar and a learning curve.

This is the one module of the library that knows how to show things. :mod:`rnnlm.runs` alone imports
it, when somebody waits.
"""

import html
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, Protocol

from rnnlm import events
from rnnlm.errors import UsageError, nearest, require_package

if TYPE_CHECKING:
    from rnnlm.training.plan import Plan

UPDATE_SECONDS = 0.5  # between two updates in a notebook
KINDS = ("auto", "terminal", "notebook")


class Display(Protocol):
    """Something that shows the events of a run."""

    def show(self, event: events.Event) -> None:
        """Show an event, or nothing where it says nothing new."""

    def evaluating(self, said: str) -> None:
        """Show how far the exact evaluation is."""


@contextmanager
def showing(
    plan: "Plan", progress: Literal["auto", "terminal", "notebook"] | None
) -> Iterator[Display]:
    """Show the run of `plan` while the context lasts, in the way that `progress` names.

    Raises:
        UsageError: there is no such way, or IPython is not installed.
    """
    if progress is None:
        yield Silent()
        return
    if progress not in KINDS:
        raise UsageError(f"progress={progress!r} is not known", hint=nearest(progress, KINDS))
    if progress == "notebook" or (progress == "auto" and in_notebook()):
        yield NotebookDisplay(plan)
        return

    # The display of the command line.
    from rnnlm.cli import live

    live.announce(plan)
    with live.display_for(plan.kind) as display:
        yield display


def in_notebook() -> bool:
    """Return whether this is a notebook: IPython with a kernel behind it."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    names = [each.__name__ for each in type(shell).__mro__]
    return "ZMQInteractiveShell" in names


class Updatable(Protocol):
    """What IPython gives for something that is displayed."""

    def update(self, shown: object) -> None:
        """Show this instead."""


class Silent:
    """Nothing is shown."""

    def show(self, event: events.Event) -> None:
        pass

    def evaluating(self, said: str) -> None:
        pass


class NotebookDisplay:
    """One bar, a line of numbers and the learning curve so far, replaced in place."""

    def __init__(self, plan: "Plan") -> None:
        self.title = f"{plan.kind.name} in {plan.output}"
        self.share = 0.0
        self.said = "starting ..."
        self.metrics: dict[str, str] = {}
        self.curve = Curve()
        self.shown_at = -math.inf
        self.handle: Updatable | None = None
        self.update()

    def show(self, event: events.Event) -> None:
        # Steps come often: the page is updated now and then.
        if isinstance(event, events.Step):
            self.share = event.progress
            self.said = f"step {event.step:,}, epoch {event.epoch:.2f}, {event.progress:.0%} done"
            self.metrics["loss"] = f"{event.loss_nats:.3f} nats"
            self.metrics["speed"] = f"{event.tokens_per_second:,.0f} tokens/s"
            if time.monotonic() < self.shown_at + UPDATE_SECONDS:
                return
        elif isinstance(event, events.Validated):
            value = event.figures[event.criterion]
            self.metrics[f"validation {event.criterion}"] = f"{value:,.4g}"
            self.curve.add(event.step, value)
        elif isinstance(event, events.RolledBack):
            self.said = f"{event.why}; back to step {event.to_step:,}"
        elif isinstance(event, events.Counted):
            self.said = f"order {event.order}: {event.ngrams:,} n-grams"
        elif isinstance(event, events.Fitted):
            self.share = 1.0
        elif isinstance(event, events.Finished):
            self.share = 1.0
            self.said = f"finished after {event.seconds:.1f} s"
        else:
            return
        self.update()

    def evaluating(self, said: str) -> None:
        self.said = said
        self.update()

    def update(self) -> None:
        """Show what is known by now."""
        display = require_package("IPython.display", "notebooks", "displays in notebooks")
        self.shown_at = time.monotonic()
        shown = display.HTML(self.as_html())
        if self.handle is None:
            self.handle = display.display(shown, display_id=True)
        else:
            self.handle.update(shown)

    def as_html(self) -> str:
        """Return the bar, the numbers and the curve, without style sheet or script."""
        numbers = ", ".join(f"{name} {value}" for name, value in self.metrics.items())
        lines = [self.title, self.said, numbers]
        text = "<br>".join(html.escape(line) for line in lines if line)
        bar = f'<progress value="{self.share:.4f}" max="1" style="width: 24em"></progress>'
        return f"<div>{bar}<br>{text}{self.curve.as_svg()}</div>"


class Curve:
    """The validations of a run as a small picture, in plain SVG: it is drawn often."""

    WIDTH, HEIGHT, MARGIN = 420, 140, 24

    def __init__(self) -> None:
        self.points: list[tuple[int, float]] = []

    def add(self, step: int, value: float) -> None:
        """Add a validation. After a rollback, steps come again: the later ones count."""
        self.points = [point for point in self.points if point[0] < step]
        if math.isfinite(value):
            self.points.append((step, value))

    def as_svg(self) -> str:
        """Return the picture; nothing until there are two points."""
        if len(self.points) < 2:
            return ""
        steps, values = zip(*self.points, strict=True)
        low, high = min(values), max(values)
        last = steps[-1]

        # Steps go to the right from 0, values up.
        inner_width = self.WIDTH - 2 * self.MARGIN
        inner_height = self.HEIGHT - 2 * self.MARGIN
        height_of = inner_height / (high - low) if high > low else 0.0
        places = [
            (self.MARGIN + inner_width * step / last, self.MARGIN + (high - value) * height_of)
            for step, value in self.points
        ]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        axis = self.HEIGHT - self.MARGIN + 14
        texts = [
            (self.MARGIN, self.MARGIN - 8, "start", f"{high:,.4g}"),
            (self.MARGIN, axis, "start", f"{low:,.4g} at least"),
            (self.WIDTH - self.MARGIN, axis, "end", f"step {last:,}"),
        ]
        labels = "".join(
            f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="11" fill="currentColor">'
            f"{html.escape(text)}</text>"
            for x, y, anchor, text in texts
        )
        size = f'width="{self.WIDTH}" height="{self.HEIGHT}"'
        return (
            f'<br><svg {size} role="img" aria-label="validations by step">'
            f'<polyline points="{line}" fill="none" stroke="#0072b2" stroke-width="2"/>'
            f"{labels}</svg>"
        )
