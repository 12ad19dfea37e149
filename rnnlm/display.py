"""What a run shows while Python waits for it: the lines of the command line.

This is the one module of the library that knows how to show things. :mod:`rnnlm.runs` alone imports
it, when somebody waits.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rnnlm import events

if TYPE_CHECKING:
    from rnnlm.training.plan import Plan


class Display(Protocol):
    """Something that shows the events of a run."""

    def show(self, event: events.Event) -> None:
        """Show an event, or nothing where it says nothing new."""

    def evaluating(self, said: str) -> None:
        """Show how far the exact evaluation is."""


@contextmanager
def showing(plan: "Plan") -> Iterator[Display]:
    """Show the run of `plan` while the context lasts."""
    from rnnlm.cli import live

    live.announce(plan)
    with live.display_for(plan.kind) as display:
        yield display
