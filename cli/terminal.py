"""What people see: messages on stderr, tables on stdout. Text from outside is shown literally, with
control characters escaped. A piped table is TSV (:mod:`rnnlm.storage.files.tables`): tabs and line
ends inside its cells are kept, in quotes."""

import contextlib
import re
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import click

from rnnlm import progress
from rnnlm.amounts import ago, amount, bounds, duration, plural  # noqa: F401 for commands
from rnnlm.errors import Keyword, RnnlmWarning, parts_of, visible
from rnnlm.progress import Progress, done_and_wanted, say
from rnnlm.system import quoted
from rnnlm.tabular import GAP, Table, to_builtins

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

NARROW_COLUMNS = 50
BAR_COLUMNS = 60
BAR_SECONDS = 1.0  # before a bar is drawn
_PERCENT = re.compile(r"(\d+)%")

# What some commands call a parameter, where neither the option nor click's name of it is the same.
_OTHER_OPTIONS = {"text": "--on", "format": "--input-format"}


def spelled(message: str) -> str:
    """Write the keywords of a message as options of the command that runs. A keyword without an
    option is left as it is."""
    return "".join(map(_as_option, parts_of(message)))


def _as_option(part: str | Keyword) -> str:
    context = click.get_current_context(silent=True)
    if context is None or isinstance(part, str):
        return str(part)
    options = [option for option in context.command.params if isinstance(option, click.Option)]
    for option in options:
        if _is_called(option, part.name):
            return _with_value(option, part.value)
    if part.value is not ... and any("--set" in option.opts for option in options):
        from rnnlm.config import as_text

        return f"--set {part.name}={as_text(part.value)}"
    return str(part)


progress.spelled = spelled


def _end_with_command(begun: Progress) -> None:
    """Close the progress when the command ends. Without a terminal, have it say meanwhile that the
    work goes on."""
    context = click.get_current_context(silent=True)
    if context is not None:
        context.call_on_close(begun.close)
    # A process that was started with stderr closed has none.
    if context is not None and sys.stderr is not None and not sys.stderr.isatty():
        threading.Thread(target=begun.go_on_saying, daemon=True).start()


progress.on_begin = _end_with_command


def _is_called(option: click.Option, name: str) -> bool:
    """Return whether an option is for the setting or parameter that Python calls `name`."""
    word = f"--{name.replace('_', '-')}"
    # An option that may be repeated is called like one item of the list.
    words = (word, word.removesuffix("s"), _OTHER_OPTIONS.get(name))
    return option.name == name or any(word in option.opts for word in words)


def _with_value(option: click.Option, value: object) -> str:
    """Return an option with this value as one types it; ...: the option alone."""
    if value is False and option.secondary_opts:
        return option.secondary_opts[0]
    if value is ... or value is True:
        return option.opts[0]
    return f"{option.opts[0]} {quoted(str(value))}"


def say_signatures(signatures: dict[str, Any]) -> None:
    """Print the data and the method of each model's metrics: a line for each, with the model's name
    if there are several."""
    for name, signature in signatures.items():
        of = f" of {name}" if len(signatures) > 1 else ""
        say(f"signature{of}: {signature}")


class _Unfailing:
    """A stream that never fails: output for a terminal that is gone is lost. All but writing is
    left to the stream itself."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


def drawing_console() -> "Console | None":
    """Return the console of stderr where a panel can be redrawn on it; else None."""
    from rich.console import Console

    console = Console(file=cast(IO[str], _Unfailing(sys.stderr)))
    return console if console.is_terminal and not console.is_dumb_terminal else None


def bar_panel(console: "Console", share: float, lines: Iterable[str]) -> "RenderableType":
    """Return a progress bar with lines below it."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table as RichTable
    from rich.text import Text

    panel = RichTable.grid()
    panel.add_row(ProgressBar(total=1.0, completed=share, width=min(BAR_COLUMNS, console.width)))
    for line in lines:
        panel.add_row(Text(visible(line), overflow="ellipsis", no_wrap=True))
    return panel


class Bar(Progress):
    """A progress that a terminal shows as a bar with the last message below it, as it shows
    training. phases: how the messages of each part of the work begin, in their order: the bar is
    about the whole."""

    def __init__(
        self,
        phases: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
        about: Path | str = "",
    ) -> None:
        super().__init__(clock, about)
        self.phases = phases
        self.share = 0.0
        self.console = drawing_console() if sys.stderr is not None else None
        self.live: Live | None = None

    def __call__(self, message: str) -> None:
        if self.console is None:
            super().__call__(message)
            return
        self.take(message)
        self.share = max(self.share, self._share(message))
        is_long = self.clock() - self.began >= BAR_SECONDS
        if self.live is None and is_long and not self.closed.is_set():
            from rich.live import Live

            # Rows that are printed meanwhile appear above the bar; a file gets them as they are.
            self.live = Live(
                console=self.console,
                refresh_per_second=4,
                redirect_stdout=sys.stdout.isatty(),
                get_renderable=self._panel,
            )
            self.live.start()

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            self.share = 1.0
        self.close()

    def close(self) -> None:
        super().close()
        if self.live is not None:
            self.live.stop()

    def _panel(self) -> "RenderableType":
        assert self.console is not None  # it draws this
        done = f"{self.share:.0%} done, after {duration(self.clock() - self.began)}"
        return bar_panel(self.console, self.share, [done, self.shown()])

    def _share(self, message: str) -> float:
        """Return how much of the whole a message says to be done."""
        percent, counts = _PERCENT.search(message), done_and_wanted(message)
        share = None
        if percent:
            share = int(percent[1]) / 100
        elif counts:
            share = counts[0] / max(1, counts[1])
        for place, phase in enumerate(self.phases):
            if message.startswith(phase):
                return (place + (1.0 if share is None else share)) / len(self.phases)
        return 0.0 if self.phases else share or 0.0


def counting_phases(order: int) -> list[str]:
    """Return how the messages of each part of counting n-grams begin."""
    return ["counting:", "merging:", *(f"order {n}:" for n in range(1, order + 1))]


def show_error(what: str, why: str = "", hint: str = "") -> None:
    """Print an error: a line each for what is wrong, why, and the way out."""
    say("error: " + what)
    if why:
        say("  why: " + why)
    if hint:
        say("  try: " + hint)


class Notes:
    """Prints notices of the library, each as one line. One that is sent again word for word, as by
    each run of a grid, is not shown again."""

    def __init__(self) -> None:
        self.shown: set[str] = set()

    def show(
        self, message: Warning | str, category: type[Warning], *where: Any, **more: Any
    ) -> None:
        """Print a warning. Those of other libraries are for developers, and are dropped."""
        text = message.args[0] if isinstance(message, Warning) else message
        if issubclass(category, RnnlmWarning) and text not in self.shown:
            self.shown.add(text)
            say("note: " + text)


def print_json(*values: Any) -> None:
    """Print one line of JSON for each value, on stdout; dataclasses by the names of their
    fields."""
    from rnnlm.storage.files.tables import json_text

    for value in values:
        click.echo(json_text(to_builtins(value)))


def counting_reasons(
    results: Iterable[tuple[Any, Any]], done: str, nouns: tuple[str, str], lack: str
) -> Iterator[tuple[Any, Any]]:
    """Pass on the items and their results; show the progress, and at the end how many have no
    result.

    done: the work on each, such as "tagged". nouns: the singular and the plural of the items. lack:
    the result.
    """
    reasons: Counter[str] = Counter()
    with Progress() as progress:
        for number, (read, result) in enumerate(results, start=1):
            progress(f"{number:,} {nouns[1]} {done}")
            if result.reason:
                reasons[result.reason] += 1
            yield read, result
    print_reasons(reasons, *nouns, lack)


def print_reasons(reasons: "Counter[str]", what: str, several: str, lack: str) -> None:
    """Say how many of several things have no result, and why. lack: the result."""
    from rnnlm.text.lines import by_kind

    for reason, count in by_kind(reasons).items():
        have = "has" if count == 1 else "have"
        say(f"note: {plural(count, what, several)} {have} no {lack}: " + reason)


def tsv_line(cells: Iterable[str]) -> str:
    """Return a row of TSV. Tabs and line ends stay, for programs to read back; other control
    characters are escaped, as the row may end up on a terminal."""
    from rnnlm.storage.files import (
        tables,  # also reads settings files, whose imports --help can do without
    )

    return tables.tsv_line(visible(cell, kept="\t\n") for cell in cells)


def print_table(table: Table, gap: int = GAP) -> None:
    """Print a table as aligned text on a terminal, TSV elsewhere; on a narrow terminal one cell a
    line. gap: spaces between columns."""
    is_terminal, width = sys.stdout.isatty(), shutil.get_terminal_size().columns
    if is_terminal and width >= NARROW_COLUMNS:
        click.echo(table.text(width, gap))
        return
    if table.title:
        click.echo(visible(table.title, kept="\n"))
    if not is_terminal:
        for row in [table.columns, *table.cells()]:
            click.echo(tsv_line(row), nl=False)
        return

    # Too narrow for columns: the cells of a row below each other, a blank line between rows.
    for row in table.cells():
        for head, cell in zip(table.columns, row, strict=True):
            click.echo(f"{visible(head)}: {visible(cell)}".strip())
        click.echo()
